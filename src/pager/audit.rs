//! The audit row of what a person did to incidents and silences.

use jiff::Timestamp;
use serde_json::json;

use crate::domain::{Action, Actor, AuditEntry, AuditKind};

/// The row; none for what has none: findings come from reads, which have rows of their own.
pub(super) fn entry(action: &Action, by: Option<&Actor>, at: Timestamp) -> Option<AuditEntry> {
    let actor = by?;
    let (summary, detail) = match action {
        Action::Ack { incident, .. } => {
            (format!("took incident {incident}"), json!({"action": "ack", "incident": incident}))
        }
        Action::Silence { matchers, starts_at, ends_at, id, .. } => (
            match id {
                Some(id) => format!("changed silence {id}, which ends at {ends_at}"),
                None => format!("silenced alerts until {ends_at}"),
            },
            json!({
                "action": "silence", "id": id, "matchers": matchers, "starts_at": starts_at, "ends_at": ends_at,
            }),
        ),
        Action::Unsilence { silence, .. } => {
            (format!("ended silence {silence}"), json!({"action": "unsilence", "id": silence}))
        }
        Action::Found { .. } => return None,
    };
    let actor = Some(actor.clone());
    Some(AuditEntry {
        at,
        kind: AuditKind::Alert,
        actor,
        conversation: None,
        approval: None,
        summary,
        detail,
    })
}
