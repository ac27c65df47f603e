//! What the emulator knows: people, chats and their messages, updates that wait, and everything that the bot did.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{faults::Armed, limits::Meter, updates::Queue};

/// Everything, as observers see it.
pub struct World {
    /// The bot's own account.
    pub bot: BotAccount,
    /// People by their id.
    pub people: BTreeMap<i64, Person>,
    /// Chats by their id.
    pub chats: BTreeMap<i64, Chat>,
    /// Uploaded files by their `file_id`.
    pub files: BTreeMap<String, File>,
    /// Presses of buttons, in order.
    pub presses: Vec<Press>,
    /// Every call of the bot, in order.
    pub calls: Vec<Call>,
    /// Every `sendChatAction` that landed, in order.
    pub actions: Vec<Action>,
    /// The registered commands by scope (`{"type":"default"}` is `default`) and language.
    pub commands: BTreeMap<(String, String), Vec<(String, String)>>,
    /// Broken rate limits, in order.
    pub violations: Vec<Violation>,
    /// Counts what a person could see change.
    pub version: u64,
    pub(super) queue: Queue,
    pub(super) armed: Vec<Armed>,
    pub(super) meter: Option<Meter>,
    /// The counter that private chats and basic groups share.
    account_ids: i32,
    serial: u64,
}

/// The bot's account.
#[derive(Clone, Debug)]
pub struct BotAccount {
    /// Its id: the number before the token's colon.
    pub id: i64,
    /// Its name.
    pub first_name: String,
    /// Its username without `@`.
    pub username: String,
    /// Whether groups show it only what is addressed to it.
    pub privacy: bool,
}

/// Somebody with a phone.
#[derive(Clone, Debug)]
pub struct Person {
    /// The numeric id.
    pub id: i64,
    /// The first name.
    pub first_name: String,
    /// The username without `@`.
    pub username: Option<String>,
    /// Has blocked the bot.
    pub blocked: bool,
    /// Has closed the account.
    pub deactivated: bool,
}

/// What kind of chat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatKind {
    /// One person and the bot.
    Private,
    /// A basic group.
    Group,
    /// A supergroup.
    Supergroup {
        /// Has topics.
        forum: bool,
    },
}

/// A chat.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Its id.
    pub id: i64,
    /// Its kind.
    pub kind: ChatKind,
    /// A group's title, a person's first name.
    pub title: String,
    /// All messages that were ever there, the deleted ones too.
    pub messages: BTreeMap<i32, Shown>,
    /// Topics: thread id and name.
    pub topics: BTreeMap<i32, String>,
    /// The people who are members (known so far).
    pub members: BTreeSet<i64>,
    /// The bot's status: `member`, `administrator`, `left` or `kicked`.
    pub bot_status: &'static str,
    own_ids: i32,
}

/// A message as the people of the chat see it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its number in the chat.
    pub id: i32,
    /// The chat.
    pub chat: i64,
    /// Who wrote it; the bot's own id for the bot.
    pub from: i64,
    /// Whether the bot wrote it.
    pub from_bot: bool,
    /// The text, or the caption.
    pub text: String,
    /// The text's entities, as Telegram's JSON.
    pub entities: Vec<Value>,
    /// Rows of inline buttons.
    pub keyboard: Vec<Vec<Button>>,
    /// What is attached.
    pub media: Option<Media>,
    /// How often it was edited with an effect.
    pub edits: u32,
    /// What stood there before, oldest first (text or caption).
    pub past: Vec<String>,
    /// Nobody sees it any more.
    pub deleted: bool,
    /// Unix seconds.
    pub date: i64,
    /// Unix seconds of the last edit.
    pub edit_date: Option<i64>,
    /// The topic, or the reply thread of a supergroup.
    pub thread: Option<i32>,
    /// Whether `thread` is a forum's topic.
    pub in_topic: bool,
    /// The message that it replies to.
    pub reply_to: Option<i32>,
    /// The quoted piece: text and position.
    pub quote: Option<(String, usize)>,
    /// Where it was forwarded from, as Telegram's JSON.
    pub forward_origin: Option<Value>,
    /// A service message's own fields.
    pub service: Option<Value>,
    /// Came without a sound.
    pub silent: bool,
    /// When the emulator took it (monotonic).
    pub at: Instant,
}

/// A button of an inline keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// What stands on it.
    pub label: String,
    /// Its `callback_data`; none for a link.
    pub data: Option<String>,
    /// Its link.
    pub url: Option<String>,
}

/// What kind of file a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Photo,
    /// A file.
    Document,
    /// A voice note.
    Voice,
}

/// A message's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Its kind.
    pub kind: MediaKind,
    /// The file's id for `getFile`.
    pub file_id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub mime: String,
    /// Its content.
    pub bytes: Bytes,
    /// Pixels; zero unless a picture.
    pub width: u32,
    /// Pixels; zero unless a picture.
    pub height: u32,
    /// Seconds; zero unless a voice note.
    pub duration: u32,
}

/// An uploaded file.
#[derive(Clone, Debug)]
pub struct File {
    /// Where `/file/bot<token>/` has it.
    pub path: String,
    /// What it is.
    pub media: Media,
}

/// A press of a button and what the bot said to it.
#[derive(Clone, Debug)]
pub struct Press {
    /// The callback query's id.
    pub id: String,
    /// The chat.
    pub chat: i64,
    /// The message with the button.
    pub message: i32,
    /// Who pressed.
    pub user: i64,
    /// The button's data.
    pub data: String,
    /// When.
    pub at: Instant,
    /// Too old to be answered.
    pub expired: bool,
    /// The bot's answer.
    pub answer: Option<CallbackAnswer>,
}

/// The bot's answer to a press.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// The toast; empty ends the button's spinner only.
    pub text: String,
    /// Shown as a box that must be closed.
    pub alert: bool,
    /// When.
    pub at: Instant,
}

/// One call of the Bot API.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method in Telegram's own spelling.
    pub method: String,
    /// Its `chat_id`.
    pub chat: Option<i64>,
    /// Its `message_id`.
    pub message: Option<i32>,
    /// When it came.
    pub at: Instant,
    /// The HTTP status of the answer; 0 when there was none (dropped, hung, or still waiting).
    pub code: u16,
    /// Whether it had its effect, answered or not.
    pub landed: bool,
    /// The answer's description; empty when ok.
    pub error: String,
    /// Its parameters; a file is `{"file": name, "bytes": n}`.
    pub params: Value,
}

impl Call {
    /// Whether it was answered with success.
    pub fn ok(&self) -> bool {
        self.code == 200
    }
}

/// A `sendChatAction`.
#[derive(Clone, Debug)]
pub struct Action {
    /// The chat.
    pub chat: i64,
    /// The topic.
    pub thread: Option<i32>,
    /// `typing`, `upload_photo` …
    pub action: String,
    /// When.
    pub at: Instant,
}

/// A broken rate limit.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The method.
    pub method: String,
    /// The chat.
    pub chat: i64,
    /// Which limit.
    pub limit: &'static str,
    /// When.
    pub at: Instant,
}

impl World {
    pub(super) fn new(bot: BotAccount, meter: Option<Meter>) -> Self {
        Self {
            bot,
            people: BTreeMap::new(),
            chats: BTreeMap::new(),
            files: BTreeMap::new(),
            presses: vec![],
            calls: vec![],
            actions: vec![],
            commands: BTreeMap::new(),
            violations: vec![],
            version: 0,
            queue: Queue::default(),
            armed: vec![],
            meter,
            account_ids: 0,
            serial: 1000,
        }
    }

    /// The chat's visible messages, in order.
    pub fn messages(&self, chat: i64) -> Vec<Shown> {
        self.history(chat).filter(|m| !m.deleted).cloned().collect()
    }

    /// All of the chat's messages, deleted ones and service messages too, without copying.
    pub fn history(&self, chat: i64) -> impl DoubleEndedIterator<Item = &Shown> {
        self.chats.get(&chat).into_iter().flat_map(|c| c.messages.values())
    }

    /// The visible messages that the bot wrote there, without copying.
    #[allow(clippy::wrong_self_convention, reason = "it reads as the messages that come from the bot")]
    pub fn from_bot(&self, chat: i64) -> impl DoubleEndedIterator<Item = &Shown> {
        self.history(chat).filter(|m| m.from_bot && !m.deleted)
    }

    /// One message.
    pub fn message(&self, chat: i64, id: i32) -> Option<&Shown> {
        self.chats.get(&chat)?.messages.get(&id)
    }

    /// How many updates the bot has not confirmed.
    pub fn pending_updates(&self) -> usize {
        self.queue.pending()
    }

    /// How many `getUpdates` wait at this moment.
    pub fn pollers(&self) -> usize {
        self.queue.polling
    }

    pub(super) fn add_chat(&mut self, id: i64, kind: ChatKind, title: &str) {
        self.chats.entry(id).or_insert_with(|| Chat {
            id,
            kind,
            title: title.to_owned(),
            messages: BTreeMap::new(),
            topics: BTreeMap::new(),
            members: BTreeSet::new(),
            bot_status: "member",
            own_ids: 0,
        });
    }

    /// A number that nothing else has.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The next message's number: supergroups count on their own, all other chats share the account's counter.
    pub(super) fn next_message_id(&mut self, chat: i64) -> i32 {
        let counter = match self.chats.get_mut(&chat) {
            Some(chat) if matches!(chat.kind, ChatKind::Supergroup { .. }) => &mut chat.own_ids,
            _ => &mut self.account_ids,
        };
        *counter += 1;
        *counter
    }

    pub(super) fn store(&mut self, message: Shown) {
        if let Some(chat) = self.chats.get_mut(&message.chat) {
            chat.messages.insert(message.id, message);
        }
    }

    /// Keeps a file and gives it its id; bots and people get ids in the same way.
    pub(super) fn keep(&mut self, mut media: Media) -> Media {
        let serial = self.serial();
        let (folder, letter) = match media.kind {
            MediaKind::Photo => ("photos", 'P'),
            MediaKind::Document => ("documents", 'D'),
            MediaKind::Voice => ("voice", 'V'),
        };
        media.file_id = format!("{letter}{:0>5}-{serial:08}AAQ", self.bot.id % 100_000);
        let name = if media.name.is_empty() { format!("file_{serial}") } else { media.name.clone() };
        let path = format!("{folder}/{serial}/{name}");
        self.files.insert(media.file_id.clone(), File { path, media: media.clone() });
        media
    }

    pub(super) fn user_json(&self, id: i64) -> Value {
        if id == self.bot.id {
            return json!({"id": id, "is_bot": true, "first_name": self.bot.first_name,
                "username": self.bot.username});
        }
        let mut user = json!({"id": id, "is_bot": false, "first_name": format!("User {id}")});
        if let Some(person) = self.people.get(&id) {
            user["first_name"] = person.first_name.clone().into();
            if let Some(name) = &person.username {
                user["username"] = name.clone().into();
            }
            user["language_code"] = "en".into();
        }
        user
    }

    pub(super) fn chat_json(&self, id: i64) -> Value {
        let Some(chat) = self.chats.get(&id) else { return Value::Null };
        match chat.kind {
            ChatKind::Private => {
                let mut json = json!({"id": id, "type": "private", "first_name": chat.title});
                if let Some(name) = self.people.get(&id).and_then(|p| p.username.as_ref()) {
                    json["username"] = name.clone().into();
                }
                json
            }
            ChatKind::Group => {
                json!({"id": id, "type": "group", "title": chat.title, "all_members_are_administrators": false})
            }
            ChatKind::Supergroup { forum: false } => {
                json!({"id": id, "type": "supergroup", "title": chat.title})
            }
            ChatKind::Supergroup { forum: true } => {
                json!({"id": id, "type": "supergroup", "title": chat.title, "is_forum": true})
            }
        }
    }

    /// A message in Telegram's JSON, with the message that it replies to.
    pub(super) fn message_json(&self, message: &Shown) -> Value {
        let mut json = self.bare_json(message);
        let root = message.thread.filter(|_| message.in_topic && message.service.is_none());
        // In a topic, what replies to nothing replies to the topic's first message.
        if let Some(to) = message.reply_to.or(root).and_then(|id| self.message(message.chat, id)) {
            json["reply_to_message"] = self.bare_json(to);
        }
        json
    }

    fn bare_json(&self, message: &Shown) -> Value {
        let mut json = json!({
            "message_id": message.id, "from": self.user_json(message.from),
            "chat": self.chat_json(message.chat), "date": message.date,
        });
        if let Some(thread) = message.thread {
            json["message_thread_id"] = thread.into();
        }
        if message.in_topic {
            json["is_topic_message"] = true.into();
        }
        if let Some(date) = message.edit_date {
            json["edit_date"] = date.into();
        }
        if let Some(origin) = &message.forward_origin {
            json["forward_origin"] = origin.clone();
        }
        if let Some((text, position)) = &message.quote {
            json["quote"] = json!({"text": text, "position": position, "is_manual": true});
        }
        for (key, value) in message.service.iter().filter_map(Value::as_object).flatten() {
            json[key] = value.clone();
        }
        let (text, entities) = match message.media {
            None => ("text", "entities"),
            Some(_) => ("caption", "caption_entities"),
        };
        if !message.text.is_empty() {
            json[text] = message.text.clone().into();
            if !message.entities.is_empty() {
                json[entities] = message.entities.clone().into();
            }
        }
        if let Some(media) = &message.media {
            media.write(&mut json);
        }
        if !message.keyboard.is_empty() {
            json["reply_markup"] = keyboard_json(&message.keyboard);
        }
        json
    }
}

impl Media {
    fn write(&self, message: &mut Value) {
        let mut file = self.file_json();
        match self.kind {
            MediaKind::Photo => {
                file["width"] = self.width.into();
                file["height"] = self.height.into();
                message["photo"] = json!([file]);
            }
            MediaKind::Document => {
                file["file_name"] = self.name.clone().into();
                file["mime_type"] = self.mime.clone().into();
                message["document"] = file;
            }
            MediaKind::Voice => {
                file["duration"] = self.duration.into();
                file["mime_type"] = self.mime.clone().into();
                message["voice"] = file;
            }
        }
    }

    pub(super) fn file_json(&self) -> Value {
        json!({"file_id": self.file_id, "file_unique_id": format!("u{}", self.file_id),
            "file_size": self.bytes.len()})
    }
}

/// An inline keyboard in Telegram's JSON.
pub(super) fn keyboard_json(rows: &[Vec<Button>]) -> Value {
    let button = |b: &Button| match (&b.data, &b.url) {
        (Some(data), _) => json!({"text": b.label, "callback_data": data}),
        (None, url) => json!({"text": b.label, "url": url}),
    };
    let rows: Vec<Vec<Value>> = rows.iter().map(|row| row.iter().map(button).collect()).collect();
    json!({"inline_keyboard": rows})
}
