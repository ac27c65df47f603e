//! Notes: what people asked the bot to remember. A note informs; no rule and no permission ever lives in one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ConversationKey, CustomerId, PersonName};

/// The longest note, in characters.
pub const LONGEST_NOTE: usize = 500;

/// One note as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number; grows, is never used again.
    pub id: i64,
    /// Whose it is.
    pub person: PersonName,
    /// Where it was written.
    pub conversation: ConversationKey,
    /// Whom it is about; none means anything.
    pub customer: Option<CustomerId>,
    /// What it says.
    pub text: String,
    /// Untrusted text was in the context when it was written.
    pub tainted: bool,
    /// When it was written.
    pub at: Timestamp,
    /// From when on it is not shown any more.
    pub expires_at: Option<Timestamp>,
}

/// A note to keep, as a tool asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNote {
    /// Whom it is about.
    pub customer: Option<CustomerId>,
    /// What it says, at most [`LONGEST_NOTE`] characters.
    pub text: String,
    /// From when on it does not count any more.
    pub expires_at: Option<Timestamp>,
}
