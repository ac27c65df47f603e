//! The desk: all that fires, grouped into incidents, and the rules for what becomes of them.

use jiff::Timestamp;

use super::{Changes, Incoming, Settings};
use crate::domain::{Action, Alert, Chart, Incident, IncidentId, Matcher, Silence};

/// What was kept, as a restart reads it: open incidents, their alerts, silences that did not end long ago.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Incidents that are not resolved.
    pub incidents: Vec<Incident>,
    /// Their alerts.
    pub alerts: Vec<Alert>,
    /// Silences that have not ended.
    pub silences: Vec<Silence>,
    /// The highest number that an incident ever had.
    pub last_incident: i64,
    /// The highest number that a silence ever had.
    pub last_silence: i64,
}

/// Why an action was not done, in a sentence for whoever wanted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// All that fires.
#[derive(Debug)]
pub struct Desk {
    settings: Settings,
    kept: Kept,
}

/// The incidents, and which changed when.
#[derive(Debug, Default)]
struct Kept {
    incidents: std::collections::BTreeMap<IncidentId, (u64, Incident, Vec<Alert>)>,
    changed: std::collections::BTreeMap<u64, IncidentId>,
    seq: u64,
}

impl Desk {
    /// A desk with what was kept.
    pub fn new(settings: Settings, restored: Restored) -> Self {
        let _ = restored;
        Self { settings, kept: Kept::default() }
    }

    /// Takes changed settings; what is on the desk stays.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes signals in; the same again changes nothing.
    pub fn on(&mut self, signals: Vec<Incoming>, now: Timestamp) -> Changes {
        let _ = (signals, now);
        Changes::default()
    }

    /// Lets time pass: hold-downs, expiries, lapsed acknowledgements, escalations, ended silences, quiet hours.
    pub fn tick(&mut self, now: Timestamp) -> Changes {
        let _ = now;
        Changes::default()
    }

    /// When [`Desk::tick`] has to be called next.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        None
    }

    /// Does what a person wants.
    ///
    /// # Errors
    /// [`Refusal`]: there is no such incident or silence, it is over already, a silence without conditions or in the past.
    pub fn act(&mut self, action: Action, now: Timestamp) -> Result<Changes, Refusal> {
        let _ = (action, now);
        Err(Refusal("nothing is on the desk".into()))
    }

    /// The open incidents, worst first, then oldest.
    pub fn open(&self) -> Vec<&Incident> {
        Vec::new()
    }

    /// An open incident, or one that was resolved a short while ago.
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.kept.incidents.get(&id).map(|(_, incident, _)| incident)
    }

    /// How the desk works.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counts every change of an incident.
    pub fn seq(&self) -> u64 {
        self.kept.seq
    }

    /// The incidents that changed after the desk's change `seq`, each once, by their last change; all for 0.
    pub fn changed_since(&self, seq: u64) -> impl Iterator<Item = IncidentId> {
        self.kept.changed.range(seq + 1..).map(|(_, id)| *id)
    }

    /// Puts an incident on the desk as it is.
    #[cfg(test)]
    pub(super) fn put(&mut self, incident: Incident, alerts: Vec<Alert>) {
        let (id, kept) = (incident.id, &mut self.kept);
        kept.seq += 1;
        if let Some((old, ..)) = kept.incidents.insert(id, (kept.seq, incident, alerts)) {
            kept.changed.remove(&old);
        }
        kept.changed.insert(kept.seq, id);
    }

    /// Takes an incident off the desk, as it forgets those that are over.
    #[cfg(test)]
    pub(super) fn take_off(&mut self, id: IncidentId) {
        if let Some((old, ..)) = self.kept.incidents.remove(&id) {
            self.kept.changed.remove(&old);
        }
    }

    /// The alerts of an incident that the desk has, firing ones first, worst first.
    pub fn alerts_of(&self, id: IncidentId) -> Vec<&Alert> {
        self.kept.incidents.get(&id).map(|(_, _, alerts)| alerts.iter().collect()).unwrap_or_default()
    }

    /// Every alert on the desk, with whether it is suppressed by a silence or by an incident.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        std::iter::empty()
    }

    /// The chart that was drawn for an incident since the start.
    pub fn chart_of(&self, id: IncidentId) -> Option<&Chart> {
        let _ = id;
        None
    }

    /// The silences that have not ended.
    pub fn silences(&self) -> Vec<&Silence> {
        Vec::new()
    }

    /// The open incidents that these conditions would keep quiet.
    pub fn would_mute(&self, matchers: &[Matcher]) -> Vec<IncidentId> {
        let _ = matchers;
        Vec::new()
    }
}
