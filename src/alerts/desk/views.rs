//! What can be seen of the desk.

use std::cmp::Reverse;

use super::Desk;
use crate::domain::{Alert, Chart, Fingerprint, Incident, IncidentId, IncidentState, Silence, SilenceId};

impl Desk {
    /// The settings that hold.
    pub fn settings(&self) -> &super::Settings {
        &self.settings
    }

    /// Whether what is on the desk is written down.
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Grows with every change of an incident.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The incidents that changed or left after that change, each once, in the order of their last change.
    pub fn changed_since(&self, seq: u64) -> impl Iterator<Item = IncidentId> {
        self.touched.range(seq.saturating_add(1)..).map(|(_, id)| *id)
    }

    /// The open incidents, worst first, then oldest.
    pub fn open(&self) -> Vec<&Incident> {
        let open = self.incidents.values().map(|open| &open.incident);
        let mut open: Vec<_> = open.filter(|i| i.state != IncidentState::Resolved).collect();
        open.sort_by_key(|i| (Reverse(i.severity), i.opened_at, i.id));
        open
    }

    /// How many incidents are open.
    pub fn open_count(&self) -> usize {
        self.incidents.values().filter(|open| open.incident.state != IncidentState::Resolved).count()
    }

    /// An open incident, or one that was resolved a short while ago.
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.incidents.get(&id).map(|open| &open.incident)
    }

    /// The alerts of an incident that the desk has, firing ones first, worst first, then oldest.
    pub fn alerts_of(&self, id: IncidentId) -> Vec<&Alert> {
        let Some(open) = self.incidents.get(&id) else { return Vec::new() };
        let mut alerts: Vec<_> =
            open.alerts.iter().filter_map(|f| Some(&self.alerts.get(f)?.alert)).collect();
        alerts.sort_by_key(|a| {
            (Reverse(a.signal.firing), Reverse(a.severity), a.signal.starts_at, a.fingerprint)
        });
        alerts
    }

    /// Every alert on the desk.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values().map(|known| &known.alert)
    }

    /// The alert with these labels.
    pub fn alert(&self, fingerprint: Fingerprint) -> Option<&Alert> {
        self.alerts.get(&fingerprint).map(|known| &known.alert)
    }

    /// What keeps an alert quiet: a silence, an incident that explains it.
    pub fn muted_by(&self, fingerprint: Fingerprint) -> (Option<SilenceId>, Option<IncidentId>) {
        self.alerts.get(&fingerprint).map_or((None, None), |known| (known.silenced, known.inhibited))
    }

    /// The chart that was drawn for an incident since the start.
    pub fn chart_of(&self, id: IncidentId) -> Option<&Chart> {
        self.incidents.get(&id)?.chart.as_deref()
    }

    /// The silences that have not ended, by number.
    pub fn silences(&self) -> Vec<&Silence> {
        self.silences.values().map(|kept| &kept.silence).collect()
    }

    /// Puts an incident on the desk as it is.
    #[cfg(test)]
    pub(in crate::alerts) fn put(&mut self, incident: Incident, alerts: Vec<Alert>) {
        let id = incident.id;
        self.take_off(id);
        let mut open = super::Open::new(incident);
        for alert in alerts {
            open.alerts.push(alert.fingerprint);
            if alert.signal.firing {
                open.count(alert.severity, 1);
            }
            let known = super::Known { alert, expires: None, silenced: None, inhibited: None };
            self.alerts.insert(known.alert.fingerprint, known);
        }
        self.seq += 1;
        open.touched = self.seq;
        self.touched.insert(self.seq, id);
        self.incidents.insert(id, open);
    }

    /// Takes an incident off the desk, as it forgets those that are over.
    #[cfg(test)]
    pub(in crate::alerts) fn take_off(&mut self, id: IncidentId) {
        if let Some(open) = self.incidents.remove(&id) {
            self.touched.remove(&open.touched);
        }
    }
}
