//! One incident on the desk with its alerts, and what is counted of them.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::domain::{Alert, Chart, Fingerprint, Incident, IncidentId, IncidentState, Severity, SilenceId};

/// An incident with its alerts.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub incident: Incident,
    pub alerts: BTreeMap<Fingerprint, Box<Held>>,
    /// How many alerts fire, by severity.
    firing: [u32; 4],
    /// How many of those that fire are silenced, by the silence.
    silenced: BTreeMap<SilenceId, u32>,
    /// How many of those that fire and are not silenced are explained, by the incident that does.
    explained: BTreeMap<IncidentId, u32>,
    /// The worst that any alert of it was.
    pub worst: Severity,
    /// When it came and went lately, oldest first.
    pub turns: VecDeque<Timestamp>,
    pub chart: Option<Box<Chart>>,
    /// The desk's count at its last change.
    pub seq: u64,
    /// The deadline that is set for it.
    pub wakes: Option<Timestamp>,
}

/// An alert and what the desk knows of it besides.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub alert: Alert,
    pub silenced: Option<SilenceId>,
    pub inhibited: Option<IncidentId>,
    /// The newest time at which any report said that it began.
    pub began: Timestamp,
    /// When its words were written last.
    pub worded_at: Timestamp,
    /// It has words that are not written yet.
    pub unwritten: bool,
    /// Its expiry was found late once and put off.
    pub graced: bool,
    /// It was over because nobody reported it any more.
    pub expired: bool,
    /// The deadline that is set for its expiry.
    pub expires: Option<Timestamp>,
}

impl Held {
    pub(super) fn new(alert: Alert) -> Self {
        let (began, worded_at) = (alert.signal.starts_at, alert.seen_at);
        Self {
            alert,
            silenced: None,
            inhibited: None,
            began,
            worded_at,
            unwritten: false,
            graced: false,
            expired: false,
            expires: None,
        }
    }

    pub(super) fn fires(&self) -> bool {
        self.alert.signal.firing
    }
}

impl Case {
    pub(super) fn new(incident: Incident) -> Self {
        Self {
            worst: incident.severity,
            incident,
            alerts: BTreeMap::new(),
            firing: [0; 4],
            silenced: BTreeMap::new(),
            explained: BTreeMap::new(),
            turns: VecDeque::new(),
            chart: None,
            seq: 0,
            wakes: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.incident.state != IncidentState::Resolved
    }

    /// How many alerts fire.
    pub(super) fn firing(&self) -> u32 {
        self.firing.iter().sum()
    }

    /// The worst of what fires.
    pub(super) fn severity(&self) -> Option<Severity> {
        let all = [Severity::Critical, Severity::Warning, Severity::Info, Severity::Ok];
        all.into_iter().find(|severity| self.firing.get(*severity as usize).is_some_and(|n| *n > 0))
    }

    /// The silence that keeps all that fires quiet, the oldest of several.
    pub(super) fn all_silenced(&self) -> Option<SilenceId> {
        let count = self.silenced.values().sum::<u32>();
        self.silenced.keys().next().filter(|_| count == self.firing()).copied()
    }

    /// The incident that explains all that fires and is not silenced, the oldest of several.
    pub(super) fn all_explained(&self) -> Option<IncidentId> {
        let count = self.explained.values().chain(self.silenced.values()).sum::<u32>();
        self.explained.keys().next().filter(|_| count == self.firing()).copied()
    }

    /// Puts an alert in, in place of an older report of the same.
    pub(super) fn put(&mut self, held: Box<Held>) {
        self.worst = self.worst.max(held.alert.severity);
        let fingerprint = held.alert.fingerprint;
        self.count(&held, true);
        if let Some(old) = self.alerts.insert(fingerprint, held) {
            self.count(&old, false);
        }
    }

    /// Takes an alert out.
    pub(super) fn remove(&mut self, fingerprint: Fingerprint) {
        if let Some(old) = self.alerts.remove(&fingerprint) {
            self.count(&old, false);
        }
    }

    /// Changes an alert and counts anew.
    pub(super) fn edit(&mut self, fingerprint: Fingerprint, edit: impl FnOnce(&mut Held)) {
        if let Some(mut held) = self.alerts.remove(&fingerprint) {
            self.count(&held, false);
            edit(&mut held);
            self.count(&held, true);
            self.alerts.insert(fingerprint, held);
        }
    }

    fn count(&mut self, held: &Held, add: bool) {
        if !held.fires() {
            return;
        }
        if let Some(count) = self.firing.get_mut(held.alert.severity as usize) {
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
        }
        match (held.silenced, held.inhibited) {
            (Some(silence), _) => tally(&mut self.silenced, silence, add),
            (None, Some(by)) => tally(&mut self.explained, by, add),
            (None, None) => {}
        }
    }
}

fn tally<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K, add: bool) {
    if add {
        *counts.entry(key).or_default() += 1;
    } else if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
