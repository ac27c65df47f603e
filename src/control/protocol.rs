//! What goes over the control socket: one JSON object a line, requests in, events out, told apart by an id.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{ChannelKind, Outbound, Role, Untrusted},
    policy::approval::Verb,
};

/// The longest line either side accepts, in bytes.
pub const LINE_LIMIT: usize = 1 << 20;
/// The longest message, in bytes.
pub const TEXT_LIMIT: usize = 64 << 10;

/// A request; its id is the client's and comes back on every event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Unique among the connection's open requests.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub op: Op,
}

/// What a client can ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// A message in one of the person's conversations.
    Say {
        /// The conversation's short name.
        conversation: String,
        /// The words.
        text: String,
        /// Text that the person passes on and does not say.
        #[serde(default)]
        quoted: Vec<Untrusted>,
    },
    /// What was left for the person in this conversation: results of writes that ended while nobody listened.
    Hello {
        /// The conversation's short name.
        conversation: String,
    },
    /// A decision on a card.
    Decide {
        /// The card's id or its first digits.
        approval: String,
        /// Yes or no.
        verb: Verb,
    },
    /// Stop what runs.
    Stop {
        /// Only this conversation; everything of the person's without.
        #[serde(default)]
        conversation: Option<String>,
        /// Everybody's; admins only.
        #[serde(default)]
        all: bool,
    },
    /// Latch all writes.
    Freeze,
    /// Lift the latch.
    Unfreeze,
    /// The cards that wait.
    Pending,
    /// How the bot itself is.
    Status,
    /// Read the configuration again.
    Reload,
    /// The newest rows of the audit.
    AuditTail {
        /// How many.
        rows: u32,
    },
    /// Whether the audit is whole.
    AuditVerify,
    /// Who is known on chat platforms, and who waits with a code.
    PairList,
    /// Accept a stranger's code.
    PairAccept {
        /// As it was typed.
        code: String,
        /// The person's name.
        person: String,
        /// The role; without, what the person has already, else viewer.
        #[serde(default)]
        role: Option<Role>,
    },
    /// Take a person's pairings back.
    PairRevoke {
        /// The person's name.
        person: String,
        /// On this platform only.
        #[serde(default)]
        channel: Option<ChannelKind>,
    },
}

/// One event of a request's answer; `Done` is the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The request's id.
    pub id: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Outbound,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Block, TurnStatus};

    #[test]
    fn requests_and_frames_are_flat_json() {
        let request: Request =
            serde_json::from_str(r#"{"id":1,"op":"say","conversation":"main","text":"hi"}"#).unwrap();
        assert_eq!(request.op, Op::Say { conversation: "main".into(), text: "hi".into(), quoted: vec![] });
        for event in
            [Outbound::Done { status: TurnStatus::Answered }, Block::text("x").into(), Outbound::Retract]
        {
            let frame = Frame { id: 7, event };
            let line = serde_json::to_string(&frame).unwrap();
            assert_eq!(serde_json::from_str::<Frame>(&line).unwrap(), frame, "{line}");
        }
    }
}
