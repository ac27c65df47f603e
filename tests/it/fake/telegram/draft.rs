//! A message on its way into a chat, whoever writes it.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::{
    media,
    state::{Button, ChatKind, Media, MediaKind, Shown, World},
    text,
};

/// A message to be sent: `Draft::by(chat, user).text("…").reply_to(5)`.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) chat: i64,
    pub(super) from: i64,
    pub(super) text: String,
    pub(super) entities: Vec<Value>,
    pub(super) media: Option<Media>,
    pub(super) keyboard: Vec<Vec<Button>>,
    pub(super) thread: Option<i32>,
    pub(super) reply_to: Option<i32>,
    pub(super) quote: Option<String>,
    pub(super) forward_origin: Option<Value>,
    pub(super) service: Option<Value>,
    pub(super) date: Option<i64>,
    pub(super) silent: bool,
}

impl Draft {
    /// An empty message of `user` to `chat`.
    pub fn by(chat: i64, user: i64) -> Self {
        Self {
            chat,
            from: user,
            text: String::new(),
            entities: vec![],
            media: None,
            keyboard: vec![],
            thread: None,
            reply_to: None,
            quote: None,
            forward_origin: None,
            service: None,
            date: None,
            silent: false,
        }
    }

    /// With this text (a caption, when there is a file); Telegram finds commands, mentions and links in it.
    pub fn text(mut self, text: &str) -> Self {
        self.entities = text::found(text);
        self.text = text.to_owned();
        self
    }

    /// With these entities, in Telegram's JSON, in the place of those found.
    pub fn entities(mut self, entities: Vec<Value>) -> Self {
        self.entities = entities;
        self
    }

    /// In this topic.
    pub fn thread(mut self, thread: i32) -> Self {
        self.thread = Some(thread);
        self
    }

    /// As a reply.
    pub fn reply_to(mut self, message: i32) -> Self {
        self.reply_to = Some(message);
        self
    }

    /// As a reply that quotes this piece of the other message.
    pub fn quote(mut self, piece: &str) -> Self {
        self.quote = Some(piece.to_owned());
        self
    }

    /// Sent at this time, in Unix seconds, instead of now.
    pub fn date(mut self, unix: i64) -> Self {
        self.date = Some(unix);
        self
    }

    /// With a file.
    pub fn document(self, name: &str, bytes: impl Into<Bytes>) -> Self {
        self.file(MediaKind::Document, name, bytes.into())
    }

    /// With a voice note of so many seconds.
    pub fn voice(self, bytes: impl Into<Bytes>, seconds: u32) -> Self {
        let mut draft = self.file(MediaKind::Voice, "voice.oga", bytes.into());
        if let Some(media) = &mut draft.media {
            media.duration = seconds;
        }
        draft
    }

    /// With a picture (PNG or JPEG).
    pub fn photo(self, bytes: impl Into<Bytes>) -> Self {
        self.file(MediaKind::Photo, "photo.png", bytes.into())
    }

    fn file(mut self, kind: MediaKind, name: &str, bytes: Bytes) -> Self {
        // A phone sends no file that Telegram refuses.
        self.media = media::media(kind, name, "", bytes).ok();
        self
    }
}

impl World {
    /// Puts a message into its chat, numbered and dated.
    pub(super) fn post(&mut self, draft: Draft) -> Shown {
        let id = self.next_message_id(draft.chat);
        let (thread, in_topic) = self.thread_of(&draft);
        let new_file = draft.media.as_ref().is_some_and(|m| m.file_id.is_empty());
        let media = match draft.media {
            Some(media) if new_file => Some(self.keep(media)),
            kept => kept,
        };
        let original = draft.reply_to.and_then(|to| self.message(draft.chat, to));
        let quote = draft.quote.map(|piece| {
            let before =
                original.and_then(|m| m.text.split_once(&piece)).map(|(before, _)| text::utf16(before));
            (piece, before.unwrap_or(0))
        });
        let from_bot = draft.from == self.bot.id;
        let shown = Shown {
            id,
            chat: draft.chat,
            from: draft.from,
            from_bot,
            text: draft.text,
            entities: draft.entities,
            keyboard: draft.keyboard,
            media,
            edits: 0,
            past: vec![],
            deleted: false,
            date: draft.date.unwrap_or_else(super::unix_now),
            edit_date: None,
            thread,
            in_topic,
            reply_to: draft.reply_to,
            quote,
            forward_origin: draft.forward_origin,
            service: draft.service,
            silent: draft.silent,
            at: Instant::now(),
        };
        self.store(shown.clone());
        if !from_bot && let Some(chat) = self.chats.get_mut(&shown.chat) {
            chat.members.insert(shown.from);
        }
        shown
    }

    /// The message's thread and whether that is a topic. A reply stays in its topic; in a supergroup without topics it
    /// belongs to the thread of the first message.
    fn thread_of(&self, draft: &Draft) -> (Option<i32>, bool) {
        let Some(chat) = self.chats.get(&draft.chat) else { return (None, false) };
        let original = draft.reply_to.and_then(|to| chat.messages.get(&to));
        match chat.kind {
            ChatKind::Supergroup { forum: true } => {
                let thread = draft.thread.or(original.and_then(|m| m.thread));
                (thread, thread.is_some())
            }
            ChatKind::Supergroup { forum: false } => (original.map(|m| m.thread.unwrap_or(m.id)), false),
            ChatKind::Private | ChatKind::Group => (None, false),
        }
    }
}
