//! What comes in from any channel, in one vocabulary.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, ConversationKey, IncidentId, Untrusted};

/// A message from a person: own words apart from what was quoted or attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The conversation it belongs to.
    pub conversation: ConversationKey,
    /// Who says it.
    pub actor: Actor,
    /// The person's own words.
    pub text: String,
    /// Quoted, forwarded or uploaded text that came with it.
    #[serde(default)]
    pub quoted: Vec<Untrusted>,
    /// When it was sent, where a channel can deliver late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// The channel's own number of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<i64>,
    /// What is attached and still has to be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached: Option<Attachment>,
    /// The incident whose card it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<IncidentId>,
}

impl Inbound {
    /// Typed words and nothing else.
    pub fn new(conversation: ConversationKey, actor: Actor, text: impl Into<String>) -> Self {
        Self {
            conversation,
            actor,
            text: text.into(),
            quoted: vec![],
            sent_at: None,
            message: None,
            attached: None,
            about: None,
        }
    }
}

/// A file that came with a message, where the channel keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Spoken, to be transcribed; else to be read.
    pub voice: bool,
    /// The channel's name for it.
    pub file: String,
    /// The sender's name for it.
    pub name: Option<String>,
    /// Its size in bytes, where the channel says it.
    pub bytes: Option<u64>,
    /// Why it is not fetched at all, for its sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
