//! What one call changes, gathered by number and made into rows at its end.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Changes, Desk};
use crate::domain::{EventKind, Fingerprint, IncidentEvent, IncidentId, SilenceId};

/// The rows that a call has to write, by number.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) now: Timestamp,
    incidents: BTreeSet<IncidentId>,
    alerts: BTreeSet<Fingerprint>,
    silences: BTreeSet<SilenceId>,
    events: Vec<IncidentEvent>,
}

impl Work {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            incidents: BTreeSet::new(),
            alerts: BTreeSet::new(),
            silences: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn alert(&mut self, alert: Fingerprint) {
        self.alerts.insert(alert);
    }

    pub(super) fn silence(&mut self, silence: SilenceId) {
        self.silences.insert(silence);
    }

    pub(super) fn event(&mut self, incident: IncidentId, kind: EventKind, text: impl Into<String>) {
        self.events.push(IncidentEvent { incident, at: self.now, kind, text: text.into() });
    }
}

impl Desk {
    /// An incident's card shows something else from now on.
    pub(super) fn touch(&mut self, id: IncidentId, work: &mut Work) {
        let Some(open) = self.incidents.get_mut(&id) else { return };
        // Several changes in one call are one revision.
        if work.incidents.insert(id) {
            open.incident.revision += 1;
        }
        self.seq += 1;
        self.touched.remove(&open.touched);
        open.touched = self.seq;
        self.touched.insert(self.seq, id);
    }

    pub(super) fn finish(&self, work: Work) -> Changes {
        let incidents = work.incidents.iter().filter_map(|id| Some(self.incidents.get(id)?.incident.clone()));
        let alerts = work.alerts.iter().filter_map(|f| Some(self.alerts.get(f)?.alert.clone()));
        let silences = work.silences.iter().filter_map(|id| Some(self.silences.get(id)?.silence.clone()));
        Changes {
            incidents: incidents.collect(),
            alerts: alerts.collect(),
            silences: silences.collect(),
            events: work.events,
        }
    }
}
