//! An approval: what was asked, by whom, what it binds, and who may decide it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Actor, ApprovalId, CardState, ConversationKey, PersonName, ResolvedCall, Risk};

/// A request to run one or more writes, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Random, 128 bits.
    pub id: ApprovalId,
    /// What would run, in this order.
    pub calls: Vec<ResolvedCall>,
    /// [`ResolvedCall::digest`] of `calls` and `policy_version` when it was asked.
    pub digest: String,
    /// The policy's version when it was asked.
    pub policy_version: String,
    /// `Confirm` or `TwoPerson`.
    pub risk: Risk,
    /// Which rule asks, and why.
    pub reason: String,
    /// Who asked.
    pub requester: Actor,
    /// Where it was asked.
    pub conversation: ConversationKey,
    /// Untrusted text was in the context.
    pub tainted: bool,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: CardState,
    /// The first of two approvers.
    pub first_approver: Option<PersonName>,
    /// Who took the last decision.
    pub decided_by: Option<PersonName>,
    /// The true outcome.
    pub outcome: Option<String>,
}

/// What a person says to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Run it.
    Approve,
    /// Do not.
    Deny,
}

/// What a decision leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Take it: `pending → executing`, decided by this person.
    Execute,
    /// The first of two said yes; it stays pending.
    FirstOfTwo,
    /// `pending → denied`.
    Deny,
    /// Nothing changes; the sentence explains why.
    Refused(String),
}
