//! What one call to the desk has touched, and what of it has to be written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::Desk;
use crate::{
    alerts::Changes,
    domain::{Fingerprint, IncidentEvent, IncidentId, Severity, Silence},
};

/// Collects what a call does.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Incidents to be settled.
    pub touched: BTreeMap<IncidentId, Touch>,
    /// Alerts whose explanation may be another now.
    pub recheck: VecDeque<Fingerprint>,
    pub incidents: BTreeSet<IncidentId>,
    pub alerts: BTreeSet<(IncidentId, Fingerprint)>,
    pub silences: Vec<Silence>,
    pub events: Vec<IncidentEvent>,
}

/// What happened to an incident's alerts.
#[derive(Debug, Default)]
pub(super) struct Touch {
    pub opened: bool,
    /// Alerts that began to fire.
    pub joined: Vec<Fingerprint>,
    /// Alerts that are over.
    pub left: Vec<Fingerprint>,
    /// The worst that it had been before any of these joined.
    pub worst: Option<Severity>,
    /// The words of an alert changed, or it was looked into.
    pub changed: bool,
}

impl Work {
    pub(super) fn touch(&mut self, id: IncidentId) -> &mut Touch {
        self.touched.entry(id).or_default()
    }
}

impl Desk {
    /// Settles all that was touched, and gives what has to be written.
    pub(super) fn finish(&mut self, mut work: Work, now: Timestamp) -> Changes {
        let mut left = Vec::new();
        loop {
            if let Some(fingerprint) = work.recheck.pop_front() {
                self.explain(fingerprint, &mut work);
            } else if let Some((id, touch)) = work.touched.pop_first() {
                self.settle(id, &touch, now, &mut work);
                left.extend((!touch.left.is_empty()).then_some(id));
            } else {
                break;
            }
        }
        for id in &work.incidents {
            self.note_change(*id);
        }
        let rows = work.alerts.iter();
        let alert =
            |(id, f): &(IncidentId, Fingerprint)| Some(self.cases.get(id)?.alerts.get(f)?.alert.clone());
        let changes = Changes {
            alerts: rows.filter_map(alert).collect(),
            incidents: work.incidents.iter().filter_map(|id| self.incident(*id).cloned()).collect(),
            silences: work.silences,
            events: work.events,
        };
        left.into_iter().for_each(|id| self.trim(id));
        changes
    }

    /// Moves an incident to the end of what changed.
    pub(super) fn note_change(&mut self, id: IncidentId) {
        if let Some(case) = self.cases.get_mut(&id) {
            self.changed.remove(&case.seq);
            self.seq += 1;
            case.seq = self.seq;
            self.changed.insert(self.seq, id);
        }
    }
}
