//! One line of the audit: who, where, what, and how it was decided.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, ApprovalId, ConversationKey, actor::words};

/// What kind of event an audit row records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// A tool call was judged (decision and rule in `detail`).
    Judged,
    /// A Safe tool ran; `detail` has arguments and result digest.
    Read,
    /// A card was offered.
    Asked,
    /// A card was decided, or a decision was refused.
    Decided,
    /// A write is about to run.
    WriteBegins,
    /// A write ended; `detail` has state and result digest.
    WriteEnds,
    /// A turn was stopped.
    Stopped,
    /// The freeze latch was set or lifted.
    Freeze,
    /// A stranger was given a pairing code, a code was accepted or refused, a pairing was revoked or became void.
    Pairing,
    /// A person had something forgotten.
    Forgot,
    /// An incident was taken; a silence was made, changed or ended.
    Alert,
    /// The daemon started, stopped, recovered something after a crash, or took a new configuration.
    Daemon,
}

words!(AuditKind {
    Judged = "judged",
    Read = "read",
    Asked = "asked",
    Decided = "decided",
    WriteBegins = "write_begins",
    WriteEnds = "write_ends",
    Stopped = "stopped",
    Freeze = "freeze",
    Pairing = "pairing",
    Forgot = "forgot",
    Alert = "alert",
    Daemon = "daemon",
});

/// An event for the append-only audit; the store adds number and chain. All text is redacted before it gets here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What kind of event.
    pub kind: AuditKind,
    /// Who; absent for the daemon itself.
    pub actor: Option<Actor>,
    /// In which conversation.
    pub conversation: Option<ConversationKey>,
    /// The approval it belongs to.
    pub approval: Option<ApprovalId>,
    /// One readable sentence.
    pub summary: String,
    /// The machine-readable rest: tool, arguments, target, rule, digest.
    pub detail: serde_json::Value,
}
