//! What comes in from any channel, in one vocabulary.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, ConversationKey, Untrusted};

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
}
