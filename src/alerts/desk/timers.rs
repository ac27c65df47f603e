//! The desk's deadlines, in order: what happens when nothing else does.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::{Fingerprint, IncidentId, SilenceId};

/// What is to be looked at when its time comes. A deadline that no longer holds is seen as such when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An alert counts as over.
    Expires(Fingerprint),
    /// Nothing of an incident fired for the hold-down.
    Holds(IncidentId),
    /// An acknowledgement lapses.
    Lapses(IncidentId),
    /// Nobody has answered.
    Climbs(IncidentId),
    /// An incident was still for long enough.
    Calms(IncidentId),
    /// A resolved incident leaves the desk.
    Leaves(IncidentId),
    /// A silence begins or ends.
    Silence(SilenceId),
}

/// All deadlines.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The earliest deadline that has come.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next_at()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
