//! The desk: all that fires, grouped into incidents, and the rules for what becomes of them.

mod acts;
mod case;
mod inhibition;
mod intake;
mod pass;
#[cfg(test)]
mod properties;
mod settle;
mod silences;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod words;
mod work;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque},
};

use jiff::Timestamp;

use self::{case::Case, inhibition::Rules, silences::Hush, timers::Timers};
use super::{Changes, Incoming, Settings, matching::Conditions};
use crate::domain::{
    Action, Alert, Chart, Fingerprint, Incident, IncidentId, IncidentState, Matcher, Mute, Silence, SilenceId,
};

/// More alerts than this are not taken, only counted.
const MOST_ALERTS: usize = 200_000;

/// What was kept, as a restart reads it: open incidents, their alerts, silences that did not end long ago.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Incidents that are not resolved; also resolved ones whose card still has to be edited.
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
    rules: Rules,
    cases: BTreeMap<IncidentId, Box<Case>>,
    /// The incident that an alert belongs to: the newest that it was in.
    by_alert: HashMap<Fingerprint, IncidentId>,
    /// The newest incident of a key.
    by_key: HashMap<String, IncidentId>,
    hushes: BTreeMap<SilenceId, Hush>,
    timers: Timers,
    /// The last change of each incident, by the desk's count.
    changed: BTreeMap<u64, IncidentId>,
    seq: u64,
    /// Resolved incidents that are still here, the oldest first.
    over: VecDeque<IncidentId>,
    /// Incidents that left the desk, with their count in `changed`, the oldest first.
    gone: VecDeque<(u64, IncidentId)>,
    last_incident: i64,
    last_silence: i64,
    dropped: u64,
    /// Everything has to be looked at: after a restart, with other settings, with a clock that was set back.
    unsettled: bool,
    /// No time has passed since the restart.
    restarted: bool,
    /// When it was called last.
    seen: Timestamp,
}

impl Desk {
    /// A desk with what was kept.
    pub fn new(settings: Settings, restored: Restored) -> Self {
        let mut desk = Self {
            rules: Rules::default(),
            settings,
            cases: BTreeMap::new(),
            by_alert: HashMap::new(),
            by_key: HashMap::new(),
            hushes: BTreeMap::new(),
            timers: Timers::default(),
            changed: BTreeMap::new(),
            seq: 0,
            over: VecDeque::new(),
            gone: VecDeque::new(),
            last_incident: restored.last_incident,
            last_silence: restored.last_silence,
            dropped: 0,
            unsettled: true,
            restarted: true,
            seen: Timestamp::MIN,
        };
        desk.restore(restored);
        desk
    }

    /// Takes changed settings; what is on the desk stays, and is looked at again at the next [`Desk::tick`], which is due at once.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        self.unsettled = true;
    }

    /// How the desk works.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes signals in; the same again changes nothing.
    pub fn on(&mut self, signals: Vec<Incoming>, now: Timestamp) -> Changes {
        let mut work = self.pass(now);
        for incoming in signals {
            self.take(incoming, now, &mut work);
        }
        self.finish(work, now)
    }

    /// Lets time pass: hold-downs, expiries, lapsed acknowledgements, escalations, begun and ended silences.
    pub fn tick(&mut self, now: Timestamp) -> Changes {
        let work = self.pass(now);
        self.finish(work, now)
    }

    /// When [`Desk::tick`] has to be called next; in the past: at once.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        if self.unsettled { Some(Timestamp::UNIX_EPOCH) } else { self.timers.next_at() }
    }

    /// Does what a person wants.
    ///
    /// # Errors
    /// [`Refusal`]: there is no such incident or silence, it is over already, a silence without conditions or in the past.
    pub fn act(&mut self, action: Action, now: Timestamp) -> Result<Changes, Refusal> {
        self.may(&action, now)?;
        let mut work = self.pass(now);
        self.carry_out(action, now, &mut work);
        Ok(self.finish(work, now))
    }

    /// Has the cards of these incidents edited once more, as something else that stands on them has changed.
    pub fn show_again(&mut self, ids: impl IntoIterator<Item = IncidentId>, now: Timestamp) -> Changes {
        let mut work = self.pass(now);
        for id in ids {
            if self.cases.contains_key(&id) {
                work.touch(id).changed = true;
            }
        }
        self.finish(work, now)
    }

    /// The open incidents, worst first, then oldest.
    pub fn open(&self) -> Vec<&Incident> {
        let mut open: Vec<_> = self.open_cases().map(|case| &case.incident).collect();
        open.sort_by_key(|i| (Reverse(i.severity), i.opened_at, i.id));
        open
    }

    /// The open incidents that wait for the digest, oldest first. One stays so until it is over, gets worse, or something new of
    /// it fires outside the quiet hours; those that a digest told before began before that digest.
    pub fn quiet(&self) -> impl Iterator<Item = &Incident> {
        self.open_cases().map(|case| &case.incident).filter(|i| i.mute == Some(Mute::Quiet))
    }

    /// An open incident, or one that was resolved a short while ago.
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.cases.get(&id).map(|case| &case.incident)
    }

    /// The alerts of an incident that the desk has, firing ones first, worst first.
    pub fn alerts_of(&self, id: IncidentId) -> Vec<&Alert> {
        let Some(case) = self.cases.get(&id) else { return Vec::new() };
        let mut alerts: Vec<_> = case.alerts.values().map(|held| &held.alert).collect();
        alerts.sort_by_key(|a| (!a.signal.firing, Reverse(a.severity), a.signal.starts_at, a.fingerprint));
        alerts
    }

    /// Every alert of the open incidents, also those that are over.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.open_cases().flat_map(|case| case.alerts.values().map(|held| &held.alert))
    }

    /// The chart that was drawn for an incident since the start.
    pub fn chart_of(&self, id: IncidentId) -> Option<&Chart> {
        self.cases.get(&id)?.chart.as_deref()
    }

    /// The silences that have not ended.
    pub fn silences(&self) -> Vec<&Silence> {
        self.hushes.values().map(|hush| &hush.silence).collect()
    }

    /// The open incidents that these conditions would keep quiet: all that fires of them meets the conditions.
    pub fn would_mute(&self, matchers: &[Matcher]) -> Vec<IncidentId> {
        let conditions = Conditions::new(matchers);
        let muted = |case: &&Case| {
            let mut firing = case.alerts.values().filter(|held| held.fires());
            let holds = |alert: &Alert| conditions.hold(&alert.signal.labels, &case.incident.subject);
            case.firing() > 0 && firing.all(|held| holds(&held.alert))
        };
        if conditions.is_empty() {
            return Vec::new();
        }
        self.open_cases().filter(muted).map(|case| case.incident.id).collect()
    }

    /// Counts every change of an incident; 0 is before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The incidents that changed after the desk's change `seq`, each once, in the order of their last changes; all for 0. One
    /// that left the desk is among them too, for a while.
    pub fn changed_since(&self, seq: u64) -> impl Iterator<Item = IncidentId> {
        self.changed.range(seq.saturating_add(1)..).map(|(_, id)| *id)
    }

    /// How many firing alerts were not taken because the desk was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn open_cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values().map(Box::as_ref).filter(|case| case.incident.state != IncidentState::Resolved)
    }
}
