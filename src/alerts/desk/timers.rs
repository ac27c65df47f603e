//! The desk's deadlines in order: what happens when nothing else does.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Fingerprint, IncidentId, SilenceId};

/// What is looked at when its time comes; whether the time has truly come is decided then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A silence begins or ends.
    Silence(SilenceId),
    /// An alert counts as over.
    Alert(Fingerprint),
    /// A hold-down, an acknowledgement, a step of the ladder, the end of flapping.
    Incident(IncidentId),
    /// A resolved incident leaves the desk.
    Leaves(IncidentId),
}

/// All deadlines.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// Moves a deadline from `old` to `new`.
    pub(super) fn change(&mut self, timer: Timer, old: Option<Timestamp>, new: Option<Timestamp>) {
        if old != new {
            if let Some(old) = old {
                self.0.remove(&(old, timer));
            }
            self.0.extend(new.map(|new| (new, timer)));
        }
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the earliest deadline that has come.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next_at()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}

/// A time that much later; the end of time where there is none.
pub(super) fn after(at: Timestamp, span: std::time::Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
