//! Who the bot is, its menu, and how a call may be written.

use teloxide::{
    Bot,
    payloads::{DeleteMyCommandsSetters, GetMyCommandsSetters, SetMyCommandsSetters},
    requests::Requester,
    types::{BotCommand, BotCommandScope, ChatId, UserId},
};

use super::*;

#[tokio::test]
async fn a_bot_introduces_itself_and_looks_around() {
    let (fake, bot) = started().await;
    let me = bot.get_me().await.unwrap();
    assert_eq!((me.username(), me.id.0 as i64), (fake.bot_name().as_str(), fake.bot_id()));
    assert!(me.can_read_all_group_messages);
    assert!(bot.get_chat(ChatId(ANNA)).await.unwrap().is_private());
    assert_eq!(bot.get_chat(ChatId(GROUP)).await.unwrap().title(), Some("Ops"));
    assert_eq!(api(bot.get_chat(ChatId(7)).await), ApiError::ChatNotFound);
    fake.set_bot_status(GROUP, BEN, "administrator");
    fake.join(GROUP, BEN);
    let member = async |id: u64| bot.get_chat_member(ChatId(GROUP), UserId(id)).await.unwrap().kind;
    assert!(member(me.id.0).await.is_administrator());
    assert!(member(BEN as u64).await.is_member());
    assert!(member(ANNA as u64).await.is_left());
    assert_eq!(api(bot.get_chat_member(ChatId(GROUP), UserId(9)).await), ApiError::UserNotFound);
}

#[tokio::test]
async fn a_menu_belongs_to_its_scope() {
    let (fake, bot) = started().await;
    let menu = vec![BotCommand::new("status", "How things are"), BotCommand::new("stop", "Stop")];
    bot.set_my_commands(menu.clone()).await.unwrap();
    let scope = BotCommandScope::AllPrivateChats;
    bot.set_my_commands(menu[..1].to_vec()).scope(scope.clone()).language_code("de").await.unwrap();
    assert_eq!(bot.get_my_commands().await.unwrap(), menu);
    assert_eq!(bot.get_my_commands().scope(scope.clone()).language_code("de").await.unwrap(), menu[..1]);
    assert_eq!(fake.commands("default", "").unwrap()[1], ("stop".to_owned(), "Stop".to_owned()));
    assert_eq!(fake.commands("all_private_chats", "de").unwrap().len(), 1);
    bot.delete_my_commands().scope(scope).language_code("de").await.unwrap();
    assert_eq!(fake.commands("all_private_chats", "de"), None);
    for (command, text) in [("Status", "x"), ("", "x"), ("a-b", "x"), ("ok", "")] {
        bot.set_my_commands([BotCommand::new(command, text)]).await.unwrap_err();
    }
    bot.set_my_commands(vec![BotCommand::new("a", "b"); 101]).await.unwrap_err();
    assert_eq!(fake.commands("default", "").unwrap().len(), 2, "a refused menu changes nothing");
}

#[tokio::test]
async fn calls_are_understood_however_they_are_written() {
    let (fake, bot) = started().await;
    let base = format!("{}/bot{}", fake.url(), fake.token());
    let chat = format!("chat_id={ANNA}");
    let http = client();
    let form = "application/x-www-form-urlencoded";
    let requests = [
        http.get(format!("{base}/sendmessage?{chat}&text=a%20query")),
        http.post(format!("{base}/SENDMESSAGE"))
            .header("content-type", form)
            .body(format!("{chat}&text=a+form")),
        http.post(format!("{base}/sendMessage")).multipart(
            reqwest::multipart::Form::new()
                .text("chat_id", ANNA.to_string())
                .text("text", "{\"a\":\"part\"}"),
        ),
        http.post(format!("{base}/sendMessage?{chat}")).json(&serde_json::json!({"text": "both"})),
    ];
    for request in requests {
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    assert_eq!(texts(&fake.messages(ANNA)), ["a query", "a form", "{\"a\":\"part\"}", "both"]);
    assert!(fake.calls().iter().all(|c| c.method == "sendMessage" && c.ok() && c.chat == Some(ANNA)));
    let broken =
        http.post(format!("{base}/sendMessage")).header("content-type", "application/json").body("{");
    assert_eq!(broken.send().await.unwrap().status(), 400);
    let (code, answer) = raw(&fake, "sendLetter", serde_json::json!({})).await;
    assert_eq!((code, answer["description"].as_str()), (404, Some("Not Found")));
    let foreign = Bot::new("123:AAforeign").set_api_url(fake.url().parse().unwrap());
    assert_eq!(api(foreign.get_me().await), ApiError::InvalidToken);
    let status =
        async |path: &str| http.get(format!("{}{path}", fake.url())).send().await.unwrap().status().as_u16();
    assert_eq!(status("/bot123:AAforeign/getMe").await, 401);
    assert_eq!(status("/botnonsense/getMe").await, 404);
    assert_eq!(status("/file/bot123:AAforeign/x").await, 401);
    assert_eq!(api(bot.send_message(ChatId(7), "x").await), ApiError::ChatNotFound);
}
