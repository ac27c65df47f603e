//! The Bot API's methods that the bot uses, one function each.

use std::time::Duration;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, value::RawValue};
use teloxide::types::{
    AllowedUpdate, BotCommand, BotCommandScope, ChatAction, File, Me, MessageId, Update, WebhookInfo,
};

use super::{Api, Fields, MAX_ANSWER, huge};
use crate::channels::telegram::{
    decode,
    fault::Fault,
    post::{Place, Post},
};

/// The most updates of one poll.
const BATCH: u8 = 100;
/// What `getMe` must say for teloxide; old servers leave some out.
const ABILITIES: [&str; 5] = [
    "can_join_groups",
    "can_read_all_group_messages",
    "supports_inline_queries",
    "can_connect_to_business",
    "has_main_web_app",
];

/// An update's id, and the update, or what came in its place when it is of no known kind.
pub type Arrived = (u32, Result<Update, Value>);

impl Api {
    /// Who we are.
    ///
    /// # Errors
    /// As for all methods: the [`Fault`] says whether it may have had an effect.
    pub async fn get_me(&self) -> Result<Me, Fault> {
        let mut me: Map<String, Value> = self.call("getMe", Fields::default()).await?;
        for ability in ABILITIES {
            me.entry(ability).or_insert(false.into());
        }
        serde_json::from_value(me.into()).map_err(|_| unreadable())
    }

    /// Whether the server answers and knows the token.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn ping(&self) -> Result<(), Fault> {
        self.call::<IgnoredAny>("getMe", Fields::default()).await.map(drop)
    }

    /// The updates from `offset` on, which confirms all before; waits up to `timeout_s` seconds for the first. What
    /// cannot be understood does not block the rest.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn get_updates(
        &self,
        offset: Option<u32>,
        timeout_s: u16,
        allowed: &[AllowedUpdate],
    ) -> Result<Vec<Arrived>, Fault> {
        let fields = Fields::default()
            .with("offset", offset)
            .with("limit", BATCH)
            .with("timeout", timeout_s)
            .with("allowed_updates", allowed);
        let limit = Duration::from_secs(timeout_s.into()) + self.0.timeouts.poll_margin;
        let raw: Vec<Box<RawValue>> = self.call_within("getUpdates", fields, limit).await?;
        let arrived: Vec<_> = raw.iter().filter_map(|raw| parse_update(raw.get())).collect();
        if arrived.is_empty() && !raw.is_empty() {
            // Nothing of it could be confirmed, so it would come again at once.
            return Err(unreadable());
        }
        Ok(arrived)
    }

    /// Where updates go.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn get_webhook_info(&self) -> Result<WebhookInfo, Fault> {
        self.call("getWebhookInfo", Fields::default()).await
    }

    /// Has updates posted to `url`, with `secret` in `X-Telegram-Bot-Api-Secret-Token`.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn set_webhook(
        &self,
        url: &str,
        secret: &str,
        max_connections: u8,
        allowed: &[AllowedUpdate],
    ) -> Result<(), Fault> {
        let fields = Fields::default()
            .with("url", url)
            .with("secret_token", secret)
            .with("max_connections", max_connections)
            .with("allowed_updates", allowed);
        self.call::<IgnoredAny>("setWebhook", fields).await.map(drop)
    }

    /// Has updates kept until they are polled; those that wait stay.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn delete_webhook(&self) -> Result<(), Fault> {
        self.call::<IgnoredAny>("deleteWebhook", Fields::default()).await.map(drop)
    }

    /// Sends a message, as a reply if the other still exists; gives its id. Not idempotent.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn send(&self, place: Place, post: &Post, reply_to: Option<i32>) -> Result<i32, Fault> {
        let (method, fields) = Fields::send(place, post, reply_to);
        self.call::<MessageId>(method, fields).await.map(|id| id.0)
    }

    /// Turns a message into `post`; `was_media` says whether it has a picture or a file now. A text for such a message
    /// becomes its caption.
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::NotModified`] when it says that already.
    pub async fn edit(&self, place: Place, message: i32, post: &Post, was_media: bool) -> Result<(), Fault> {
        let (method, fields) = Fields::edit(place, message, post, was_media);
        self.call::<IgnoredAny>(method, fields).await.map(drop)
    }

    /// Deletes a message; one's own only within 48 h.
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::MessageGone`] when there is none.
    pub async fn delete_message(&self, place: Place, message: i32) -> Result<(), Fault> {
        let fields = Fields::default().with("chat_id", place.chat).with("message_id", message);
        self.call::<IgnoredAny>("deleteMessage", fields).await.map(drop)
    }

    /// Answers a button's press, with at most 200 characters in a notice, or in a dialog when `alert`.
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::QueryTooOld`] when it comes too late.
    pub async fn answer_callback(&self, id: &str, text: &str, alert: bool) -> Result<(), Fault> {
        let text: Option<String> = (!text.is_empty()).then(|| text.chars().take(200).collect());
        let fields =
            Fields::default().with("callback_query_id", id).with("text", text).with("show_alert", alert);
        self.call::<IgnoredAny>("answerCallbackQuery", fields).await.map(drop)
    }

    /// Shows for some 5 s that the bot does something.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn chat_action(&self, place: Place, action: ChatAction) -> Result<(), Fault> {
        let fields = Fields::default()
            .with("chat_id", place.chat)
            .with("message_thread_id", place.thread)
            .with("action", action);
        self.call::<IgnoredAny>("sendChatAction", fields).await.map(drop)
    }

    /// Where a file can be fetched, for at least an hour.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn get_file(&self, file_id: &str) -> Result<File, Fault> {
        self.call("getFile", Fields::default().with("file_id", file_id)).await
    }

    /// Fetches a file that `getFile` named, of at most `max_bytes`.
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::TooLong`] when it is larger.
    pub async fn download(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, Fault> {
        let request = self.0.http.get(self.url(&["file"], path)).timeout(self.0.timeouts.transfer);
        let response = self.execute(request).await?;
        let status = response.status().as_u16();
        if status == 404 {
            return Err(Fault::Other { code: 404, description: "the file is not there any more".into() });
        }
        if status != 200 {
            let body = self.read(response, MAX_ANSWER, huge()).await.unwrap_or_default();
            return Err(Fault::from_answer(status, &body, &self.0.token));
        }
        if response.content_length().is_some_and(|n| n > max_bytes as u64) {
            return Err(Fault::TooLong);
        }
        self.read(response, max_bytes, Fault::TooLong).await
    }

    /// Puts these commands into the menu.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn set_commands(&self, scope: &BotCommandScope, list: &[BotCommand]) -> Result<(), Fault> {
        let fields = Fields::default().with("scope", scope).with("commands", list);
        self.call::<IgnoredAny>("setMyCommands", fields).await.map(drop)
    }

    /// Takes the scope's own commands out of the menu again.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn delete_commands(&self, scope: &BotCommandScope) -> Result<(), Fault> {
        self.call::<IgnoredAny>("deleteMyCommands", Fields::default().with("scope", scope)).await.map(drop)
    }
}

/// One element of `getUpdates`; none without an id, because it could not be confirmed. The id is read by itself, so
/// that nothing else in an update can keep it from being confirmed.
fn parse_update(raw: &str) -> Option<Arrived> {
    #[derive(Deserialize)]
    struct Id {
        update_id: u32,
    }
    let Id { update_id } = serde_json::from_str(raw).ok()?;
    let unread = || (update_id, Err(Value::String(raw.chars().take(1000).collect())));
    Some(serde_json::from_str(raw).ok().and_then(decode::read).unwrap_or_else(unread))
}

fn unreadable() -> Fault {
    Fault::Unknown("the answer is not Telegram's, HTTP 200".into())
}
