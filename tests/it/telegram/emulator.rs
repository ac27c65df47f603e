//! The emulator of the Bot API, driven by teloxide's own client.

mod account;
mod chats;
mod checks;
mod faults;
mod page;
mod updates;

use std::time::Duration;

use serde_json::Value;
use teloxide::{
    ApiError, Bot, RequestError,
    payloads::GetUpdatesSetters,
    requests::Requester,
    types::{InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, UpdateKind},
};

use crate::fake::telegram::{FakeTelegram, Options, Shown};

const ANNA: i64 = 1001;
const BEN: i64 = 1002;
const GROUP: i64 = -1_001_234_567_890;
const FORUM: i64 = -1_001_234_567_891;
const SOON: Duration = Duration::from_secs(10);

async fn started() -> (FakeTelegram, Bot) {
    with(Options::default()).await
}

async fn with(options: Options) -> (FakeTelegram, Bot) {
    let fake = FakeTelegram::start(options).await;
    fake.private(ANNA, "Anna");
    fake.person(BEN, "Ben", "ben_ops");
    fake.supergroup(GROUP, "Ops", false);
    let bot = Bot::new(fake.token()).set_api_url(fake.url().parse().unwrap());
    (fake, bot)
}

/// Takes all updates that wait and confirms them.
async fn updates(bot: &Bot) -> Vec<Update> {
    let updates = bot.get_updates().await.unwrap();
    if let Some(last) = updates.iter().map(|u| u.id.0).max() {
        bot.get_updates().offset(offset_after(last)).await.unwrap();
    }
    updates
}

fn offset_after(id: u32) -> i32 {
    i32::try_from(id).unwrap() + 1
}

/// The message of the only update that waits.
async fn only_message(bot: &Bot) -> Message {
    let mut updates = updates(bot).await;
    assert_eq!(updates.len(), 1, "{updates:#?}");
    match updates.remove(0).kind {
        UpdateKind::Message(message) => message,
        other => panic!("{other:#?}"),
    }
}

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// A call by hand, for what teloxide's types cannot say: status and answer.
async fn raw(fake: &FakeTelegram, method: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/bot{}/{method}", fake.url(), fake.token());
    let answer = client().post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

/// The error that Telegram itself told.
fn api<T: std::fmt::Debug>(result: Result<T, RequestError>) -> ApiError {
    match result {
        Err(RequestError::Api(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A picture of this size, as far as its header tells.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes
}

fn keyboard(label: &str, data: &str) -> InlineKeyboardMarkup {
    InlineKeyboardMarkup::new([[InlineKeyboardButton::callback(label, data)]])
}

fn texts(messages: &[Shown]) -> Vec<&str> {
    messages.iter().map(|m| m.text.as_str()).collect()
}
