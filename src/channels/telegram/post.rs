//! What is sent to a chat: rendered, within Telegram's limits, with nothing left to decide.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use teloxide::types::MessageEntity;

use crate::domain::ApprovalId;

/// The longest text of a message, in UTF-16 units.
pub const TEXT_LIMIT: usize = 4096;
/// The longest caption of a picture or file, in UTF-16 units.
pub const CAPTION_LIMIT: usize = 1024;
/// The most entities of one text.
pub const ENTITY_LIMIT: usize = 100;
/// The longest data of a button, in bytes.
pub const DATA_LIMIT: usize = 64;

/// A chat, or one topic of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The chat's id: a person's own id in a private chat, negative in groups.
    pub chat: i64,
    /// The forum topic's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<i32>,
}

impl Place {
    /// The whole chat.
    pub fn chat(chat: i64) -> Self {
        Self { chat, thread: None }
    }

    /// Whether it is a group or channel: Telegram's own numbering says so.
    pub fn is_group(self) -> bool {
        self.chat < 0
    }
}

/// Text with its formatting as entities (offsets and lengths in UTF-16 units, ascending).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rich {
    /// The text.
    pub text: String,
    /// The formatting.
    pub entities: Vec<MessageEntity>,
}

impl Rich {
    /// Text without formatting.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), entities: vec![] }
    }
}

/// A button: what stands on it, and what its press brings back (at most [`DATA_LIMIT`] bytes) or opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// What stands on it.
    pub label: String,
    /// What comes back; of a link, where it leads.
    pub data: String,
    /// It opens `data` in a browser, and nothing comes back.
    #[serde(default)]
    pub link: bool,
}

impl Tap {
    /// A button that brings `data` back.
    pub fn new(label: impl Into<String>, data: impl Into<String>) -> Self {
        Self { label: label.into(), data: data.into(), link: false }
    }

    /// A button that opens `url`.
    pub fn link(label: impl Into<String>, url: impl Into<String>) -> Self {
        Self { link: true, ..Self::new(label, url) }
    }
}

/// What a message consists of.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// At most [`TEXT_LIMIT`].
    Text(Rich),
    /// A PNG with a caption of at most [`CAPTION_LIMIT`].
    Photo {
        /// The picture.
        png: Arc<[u8]>,
        /// What stands below it.
        caption: Rich,
    },
    /// A file with a caption of at most [`CAPTION_LIMIT`].
    File {
        /// Its name (`web.log.txt`).
        name: String,
        /// Its content.
        content: Arc<[u8]>,
        /// What stands below it.
        caption: Rich,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(rich) => f.debug_tuple("Text").field(rich).finish(),
            Self::Photo { png, caption } => {
                f.debug_struct("Photo").field("bytes", &png.len()).field("caption", caption).finish()
            }
            Self::File { name, content, caption } => f
                .debug_struct("File")
                .field("name", name)
                .field("bytes", &content.len())
                .field("caption", caption)
                .finish(),
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// What it consists of.
    pub body: Body,
    /// Rows of buttons below it.
    pub keyboard: Vec<Vec<Tap>>,
    /// The approval whose card this is.
    pub card: Option<ApprovalId>,
    /// Comes without a sound.
    pub quiet: bool,
}

impl Post {
    /// A message of text.
    pub fn text(rich: Rich) -> Self {
        Self { body: Body::Text(rich), keyboard: vec![], card: None, quiet: false }
    }
}
