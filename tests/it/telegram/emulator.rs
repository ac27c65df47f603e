//! The emulator of the Bot API, driven by teloxide's own client.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use teloxide::{
    ApiError, Bot, RequestError,
    net::Download,
    payloads::{
        AnswerCallbackQuerySetters, DeleteMyCommandsSetters, EditMessageReplyMarkupSetters,
        EditMessageTextSetters, GetMyCommandsSetters, GetUpdatesSetters, SendDocumentSetters,
        SendMessageSetters, SendPhotoSetters, SendVoiceSetters, SetMyCommandsSetters, SetWebhookSetters,
    },
    requests::Requester,
    types::{
        AllowedUpdate, BotCommand, BotCommandScope, CallbackQueryId, ChatAction, ChatId, FileId,
        InlineKeyboardButton, InlineKeyboardMarkup, InputFile, InputMedia, InputMediaDocument,
        InputMediaPhoto, MessageEntity, MessageId, MessageOrigin, ReplyParameters, ThreadId, Update,
        UpdateKind, UserId,
    },
};

use crate::fake::telegram::{Draft, FakeTelegram, Fault, MediaKind, Options, Rates, Shown};

const ANNA: i64 = 1001;
const BEN: i64 = 1002;
const GROUP: i64 = -1_001_234_567_890;
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
        bot.get_updates().offset(i32::try_from(last).unwrap() + 1).await.unwrap();
    }
    updates
}

/// A call by hand, for what teloxide's types cannot say: status and body.
async fn raw(fake: &FakeTelegram, method: &str, body: Value) -> (u16, Value) {
    let (status, body) = post(&format!("{}/bot{}/{method}", fake.url(), fake.token()), body).await;
    (status, serde_json::from_str(&body).unwrap())
}

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

async fn post(url: &str, body: Value) -> (u16, String) {
    let answer = client().post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A picture of this size, as far as its header tells.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes
}

fn texts(messages: &[Shown]) -> Vec<&str> {
    messages.iter().map(|m| m.text.as_str()).collect()
}

#[tokio::test]
async fn a_bot_introduces_itself_and_talks() {
    let (fake, bot) = started().await;
    let me = bot.get_me().await.unwrap();
    assert_eq!((me.username(), me.id.0 as i64), (fake.bot_name().as_str(), fake.bot_id()));
    let asked = fake.say(ANNA, ANNA, "how is web?");
    let got = updates(&bot).await;
    let UpdateKind::Message(message) = &got[0].kind else { panic!("{got:?}") };
    assert_eq!((message.text(), message.id.0), (Some("how is web?"), asked));
    let sent = bot.send_message(ChatId(ANNA), "well").await.unwrap();
    assert_eq!(sent.id.0, asked + 1, "both sides take numbers of one counter");
    assert_eq!(texts(&fake.messages(ANNA)), ["how is web?", "well"]);
    assert_eq!(fake.pending_updates(), 0);
}
