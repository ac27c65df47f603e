//! The page on which a person plays the phone.

use serde_json::json;
use teloxide::{
    payloads::{AnswerCallbackQuerySetters, SendMessageSetters},
    requests::Requester,
    types::{CallbackQueryId, ChatId, InputFile},
};

use super::*;

async fn act(fake: &FakeTelegram, body: Value) -> (u16, String) {
    let request = client().post(format!("{}/phone/do", fake.url())).header("x-phone", "1").json(&body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn state(fake: &FakeTelegram, seen: i64) -> Value {
    let url = format!("{}/phone/state?seen={seen}", fake.url());
    client()
        .get(url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .map(|b| serde_json::from_slice(&b).unwrap())
        .unwrap()
}

#[tokio::test]
async fn a_person_plays_the_phone() {
    let (fake, bot) = started().await;
    let page = client().get(fake.url()).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.contains(outside), "the page must need nothing from outside: {outside}");
    }
    assert_eq!(act(&fake, json!({"act": "say", "chat": ANNA, "user": ANNA, "text": "/status"})).await.0, 200);
    assert_eq!(only_message(&bot).await.text(), Some("/status"));
    let sent = bot.send_message(ChatId(ANNA), "sure?").reply_markup(keyboard("Yes", "ok")).await.unwrap();
    let seen = state(&fake, -1).await;
    let chat = &seen["chats"].as_array().unwrap().iter().find(|c| c["id"] == ANNA).unwrap()["messages"];
    assert_eq!((&chat[0]["text"], &chat[1]["keyboard"][0][0]["text"]), (&json!("/status"), &json!("Yes")));
    let press = json!({"act": "press", "chat": ANNA, "user": ANNA, "message": sent.id.0, "data": "ok"});
    let id: Value = serde_json::from_str(&act(&fake, press).await.1).unwrap();
    let id = CallbackQueryId(id["id"].as_str().unwrap().to_owned());
    bot.answer_callback_query(id).text("done").await.unwrap();
    let news = state(&fake, seen["version"].as_i64().unwrap()).await;
    assert_eq!(news["toasts"][0]["text"], "done");
    let edit = json!({"act": "edit", "chat": ANNA, "user": ANNA, "message": 1, "text": "/help"});
    assert_eq!(act(&fake, edit).await.0, 200);
    assert_eq!(fake.message(ANNA, 1).unwrap().text, "/help");
    for wrong in [
        json!({"act": "say", "chat": 7, "user": ANNA, "text": "x"}),
        json!({"act": "say", "chat": ANNA, "user": ANNA, "text": " "}),
        json!({"act": "edit", "chat": ANNA, "user": BEN, "message": 1, "text": "x"}),
        json!({"act": "forward", "chat": ANNA, "user": ANNA, "from_chat": ANNA, "message": 99}),
        json!({"act": "fault", "kind": "flood"}),
        json!({"act": "dance"}),
    ] {
        assert_eq!(act(&fake, wrong.clone()).await.0, 400, "{wrong}");
    }
    let foreign =
        client().post(format!("{}/phone/do", fake.url())).json(&json!({"act": "heal"})).send().await;
    assert_eq!(foreign.unwrap().status(), 404, "another site's page may not act");
}

#[tokio::test]
async fn the_page_uploads_downloads_and_makes_trouble() {
    let (fake, bot) = started().await;
    let query = format!("chat={ANNA}&user={ANNA}&kind=document&name=a%20b.log&caption=look");
    let request = client().post(format!("{}/phone/upload?{query}", fake.url())).header("x-phone", "1");
    assert_eq!(request.body("{\"not\": \"json\"").send().await.unwrap().status(), 200);
    let message = only_message(&bot).await;
    assert_eq!(message.document().unwrap().file_name.as_deref(), Some("a b.log"));
    let sent = bot.send_photo(ChatId(ANNA), InputFile::memory(png(4, 3)).file_name("c.png")).await.unwrap();
    let id = fake.message(ANNA, sent.id.0).unwrap().media.unwrap().file_id;
    let got = client().get(format!("{}/phone/file/{id}", fake.url())).send().await.unwrap();
    assert_eq!((got.status().as_u16(), &got.headers()["content-type"]), (200, &"image/png".parse().unwrap()));
    assert_eq!(got.bytes().await.unwrap(), png(4, 3));
    let kinds =
        ["429", "502", "400", "401", "409", "land_then_drop", "drop", "hang", "garbage", "drip", "late"];
    for kind in kinds {
        assert_eq!(
            act(&fake, json!({"act": "fault", "kind": kind, "method": "getMe", "times": 2})).await.0,
            200
        );
    }
    assert_eq!(fake.faults_left(), 2 * kinds.len());
    for what in ["duplicate", "reorder", "expire", "heal"] {
        assert_eq!(act(&fake, json!({"act": what})).await.0, 200);
    }
    assert_eq!(fake.faults_left(), 0);
    act(&fake, json!({"act": "block", "user": ANNA})).await;
    assert_eq!(api(bot.send_message(ChatId(ANNA), "x").await), ApiError::BotBlocked);
    act(&fake, json!({"act": "unblock", "user": ANNA})).await;
    act(&fake, json!({"act": "delete", "chat": ANNA, "message": sent.id.0})).await;
    assert_eq!(fake.messages(ANNA).len(), 1);
}
