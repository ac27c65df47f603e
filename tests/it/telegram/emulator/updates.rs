//! How updates get to the bot: long polls, their conflicts, and webhooks.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use serde_json::json;
use teloxide::{
    payloads::SetWebhookSetters,
    requests::Requester,
    types::{AllowedUpdate, ChatId},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::*;

fn ids(updates: &[Update]) -> Vec<u32> {
    updates.iter().map(|u| u.id.0).collect()
}

#[tokio::test]
async fn a_long_poll_ends_with_news_and_an_offset_confirms() {
    let (fake, bot) = started().await;
    let waiting = tokio::spawn(async move { bot.get_updates().timeout(10).await });
    fake.wait_for(|w| w.pollers() == 1, SOON).await;
    fake.say(ANNA, ANNA, "one");
    let first = waiting.await.unwrap().unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(fake.pollers(), 0);
    let (fake, bot) = started().await;
    for n in 0..5 {
        fake.say(ANNA, ANNA, &n.to_string());
    }
    let some = bot.get_updates().limit(2).await.unwrap();
    let again = bot.get_updates().limit(2).await.unwrap();
    assert_eq!((some.len(), ids(&some)), (2, ids(&again)), "what is not confirmed comes again");
    let rest = bot.get_updates().offset(offset_after(some[1].id.0)).await.unwrap();
    assert_eq!((rest.len(), fake.pending_updates()), (3, 3));
    let last = bot.get_updates().offset(-1).await.unwrap();
    assert_eq!(
        (ids(&last), fake.pending_updates()),
        (ids(&rest[2..]), 1),
        "a negative offset forgets the others"
    );
}

#[tokio::test]
async fn a_poller_that_goes_away_is_no_poller() {
    let (fake, bot) = started().await;
    let waiting = tokio::spawn(async move { bot.get_updates().timeout(10).await });
    fake.wait_for(|w| w.pollers() == 1, SOON).await;
    waiting.abort();
    fake.wait_for(|w| w.pollers() == 0, SOON).await;
}

#[tokio::test]
async fn a_newer_poller_evicts_the_older() {
    let (fake, bot) = started().await;
    let other = bot.clone();
    let older = tokio::spawn(async move { other.get_updates().timeout(10).await });
    fake.wait_for(|w| w.pollers() == 1, SOON).await;
    let newer = tokio::spawn(async move { bot.get_updates().timeout(10).await });
    assert_eq!(api(older.await.unwrap()), ApiError::TerminatedByOtherGetUpdates);
    fake.say(ANNA, ANNA, "for the newer");
    assert_eq!(newer.await.unwrap().unwrap().len(), 1);
    assert_eq!(fake.calls_of("getUpdates")[0].code, 409);
}

#[tokio::test]
async fn only_allowed_kinds_come() {
    let (fake, bot) = started().await;
    let wanted = [AllowedUpdate::CallbackQuery];
    bot.get_updates().allowed_updates(wanted).await.unwrap();
    let sent = bot.send_message(ChatId(ANNA), "x").await.unwrap();
    fake.say(ANNA, ANNA, "not wanted");
    fake.press_data(ANNA, ANNA, sent.id.0, "wanted");
    let got = updates(&bot).await;
    assert!(matches!(got[..], [Update { kind: UpdateKind::CallbackQuery(_), .. }]), "{got:?}");
    bot.get_updates().allowed_updates(vec![]).await.unwrap();
    fake.say(ANNA, ANNA, "wanted again");
    assert_eq!(updates(&bot).await.len(), 1);
    assert_eq!(fake.push_update("chat_member", json!({})), None, "only by name");
}

#[tokio::test]
async fn updates_are_doubled_turned_round_and_held_on_command() {
    let (fake, bot) = started().await;
    fake.hold(true);
    for n in 0..3 {
        fake.say(ANNA, ANNA, &n.to_string());
    }
    assert!(bot.get_updates().await.unwrap().is_empty());
    fake.hold(false);
    fake.reorder(1);
    fake.duplicate(1);
    let turned = ids(&bot.get_updates().await.unwrap());
    let sorted: Vec<u32> = turned.iter().rev().copied().collect();
    assert!(sorted.is_sorted() && sorted.len() == 3, "{turned:?}");
    let twice = bot.get_updates().offset(offset_after(sorted[2])).await.unwrap();
    assert_eq!(ids(&twice), sorted[..1], "a confirmed update comes once more");
    assert!(bot.get_updates().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_wait_tells_what_happened() {
    let (fake, bot) = started().await;
    bot.send_message(ChatId(ANNA), "only this").await.unwrap();
    let watcher = fake.clone();
    let wait = tokio::spawn(async move { watcher.wait_for(|_| false, Duration::from_millis(10)).await });
    let panic = wait.await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("only this") && text.contains("sendMessage"), "{text}");
    let found = fake.wait_message(ANNA, |m| m.text.starts_with("only"), SOON).await;
    assert_eq!(found.text, "only this");
    assert_eq!(fake.wait_some(|w| w.from_bot(ANNA).next().map(|m| m.id), SOON).await, found.id);
}

/// What a webhook got: secret and text of each delivery.
type Got = Arc<Mutex<Vec<(String, String)>>>;

/// A webhook that answers 500 to the first delivery.
async fn hook() -> (String, Got, JoinHandle<()>) {
    let got = Got::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let take = async |State(got): State<Got>, headers: HeaderMap, body: String| {
        let secret = headers.get("x-telegram-bot-api-secret-token").map(|v| v.to_str().unwrap().to_owned());
        let update: Value = serde_json::from_str(&body).unwrap();
        let text = update["message"]["text"].as_str().unwrap_or_default().to_owned();
        let mut got = got.lock().unwrap();
        got.push((secret.unwrap_or_default(), text));
        if got.len() == 1 {
            axum::http::StatusCode::INTERNAL_SERVER_ERROR
        } else {
            axum::http::StatusCode::OK
        }
    };
    let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&got));
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, got, task)
}

#[tokio::test]
async fn a_webhook_gets_every_update_in_order_with_the_secret() {
    let (fake, bot) = started().await;
    let (url, got, task) = hook().await;
    let polling = {
        let bot = bot.clone();
        tokio::spawn(async move { bot.get_updates().timeout(10).await })
    };
    fake.wait_for(|w| w.pollers() == 1, SOON).await;
    bot.set_webhook(url.parse().unwrap()).secret_token("s3cret").await.unwrap();
    assert_eq!(api(polling.await.unwrap()), ApiError::TerminatedByOtherGetUpdates);
    let refused = api(bot.get_updates().await).to_string();
    assert!(refused.contains("can't use getUpdates method while webhook is active"), "{refused}");
    fake.say(ANNA, ANNA, "one");
    fake.say(ANNA, ANNA, "two");
    fake.wait_for(|w| w.pending_updates() == 0, SOON).await;
    let secret = |text: &str| ("s3cret".to_owned(), text.to_owned());
    assert_eq!(*got.lock().unwrap(), [secret("one"), secret("one"), secret("two")]);
    let info = bot.get_webhook_info().await.unwrap();
    assert_eq!((info.url.unwrap().as_str(), info.pending_update_count), (url.as_str(), 0));
    assert_eq!(
        info.last_error_message.unwrap(),
        "Wrong response from the webhook: 500 Internal Server Error"
    );
    bot.delete_webhook().await.unwrap();
    assert_eq!(bot.get_webhook_info().await.unwrap().url, None);
    fake.say(ANNA, ANNA, "three");
    assert_eq!(only_message(&bot).await.text(), Some("three"));
    task.abort();
    let plain = bot.set_webhook("http://example.com/x".parse().unwrap()).await;
    assert_eq!(api(plain), ApiError::WebhookRequireHttps);
    bot.set_webhook(url.parse().unwrap()).secret_token("no spaces").await.unwrap_err();
}
