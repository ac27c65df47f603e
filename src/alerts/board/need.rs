//! What a chat needs of one incident: from a few facts about it, the page that stands in the chat, and the time.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::{Page, Reach};
use crate::domain::{CustomerId, Incident, IncidentId, IncidentState, Severity};

/// Worst first, then oldest first.
pub(super) type Key = (Reverse<Severity>, Timestamp, IncidentId);

/// What decides, copied from an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub id: IncidentId,
    pub severity: Severity,
    pub opened_at: Timestamp,
    pub customer: Option<CustomerId>,
    pub state: IncidentState,
    pub muted: bool,
    pub due_at: Option<Timestamp>,
    pub rings: u32,
    pub step: u32,
    pub revision: u64,
}

impl Facts {
    pub(super) fn of(incident: &Incident) -> Self {
        Self {
            id: incident.id,
            severity: incident.severity,
            opened_at: incident.opened_at,
            customer: incident.subject.customer.clone(),
            state: incident.state,
            muted: incident.mute.is_some(),
            due_at: incident.due_at,
            rings: incident.rings,
            step: incident.step,
            revision: incident.revision.max(1),
        }
    }

    pub(super) fn key(&self) -> Key {
        (Reverse(self.severity), self.opened_at, self.id)
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == IncidentState::Resolved
    }

    /// What it says now is worth a sound.
    pub(super) fn sounds(&self) -> bool {
        self.rings > 0 && self.state == IncidentState::Firing && !self.muted
    }
}

/// What a chat needs of an incident now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// Nothing before this time.
    Later(Timestamp),
    /// Nothing at this hour.
    Outside,
    /// It was never shown here: a card of its own, or a place on the storm's. One that recovers waits for what becomes of it.
    First { fires: bool },
    /// A card of its own, storm or not: it may be missing, it rings and its card is gone, a person asked for it.
    Own,
    /// A sound.
    Ring,
    /// An edit.
    Edit,
}

/// Whom a chat's steps of the ladder concern at this hour.
pub(super) struct Hours<'a> {
    pub reach: &'a [Reach],
    /// Of each, whether it is its time.
    pub open: &'a [bool],
}

impl Hours<'_> {
    fn first(&self, facts: &Facts, now: Timestamp) -> Need {
        let Some(due) = facts.due_at.filter(|_| !facts.is_over() && !facts.muted) else {
            return Need::Nothing;
        };
        let mut steps = self.reach.iter().zip(self.open);
        let concerns = |r: &Reach| r.step <= facts.step && facts.severity >= r.at_least;
        if !self.reach.iter().any(concerns) {
            Need::Nothing
        } else if due > now {
            Need::Later(due)
        } else if steps.any(|(r, open)| *open && concerns(r)) {
            Need::First { fires: facts.state != IncidentState::Recovering }
        } else {
            Need::Outside
        }
    }
}

/// Whether nothing of it was ever sent, as far as is known.
pub(super) fn untouched(page: Option<&Page>) -> bool {
    page.is_none_or(|p| p.message.is_none() && p.begun == 0 && p.shown == 0 && p.failed.is_none())
}

/// What this chat needs of this incident.
pub(super) fn need_of(
    facts: &Facts,
    page: Option<&Page>,
    hours: &Hours<'_>,
    asked: bool,
    now: Timestamp,
) -> Need {
    let Some(page) = page.filter(|page| !untouched(Some(page))) else {
        return if asked { Need::Own } else { hours.first(facts, now) };
    };
    let rings = facts.rings > page.rings && facts.sounds() && !hours.reach.is_empty();
    match page {
        Page { message: None, .. } if asked => Need::Own,
        Page { failed: Some(_), .. } => Need::Nothing,
        Page { message: Some(_), .. } if rings => Need::Ring,
        Page { message: Some(_), shown, .. } if facts.revision > *shown => Need::Edit,
        Page { message: Some(_), .. } => Need::Nothing,
        // Its sending began and did not end: once more, marked, also when it is over, for it may stand there as firing.
        Page { message: None, begun: 1, .. } => Need::Own,
        // Gone, or sent twice without an end: only a ring sends it anew.
        Page { message: None, .. } if rings => Need::Own,
        Page { message: None, .. } => Need::Nothing,
    }
}
