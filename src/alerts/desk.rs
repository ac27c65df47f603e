//! The desk: all that fires, grouped into incidents, and the rules for what becomes of them.

mod act;
mod inhibit;
mod settle;
mod take;
mod time;
mod timers;
mod views;
mod work;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use self::{inhibit::Inhibitions, timers::Timers, work::Work};
use super::{Changes, Incoming, Settings, matching::Conditions};
use crate::domain::{Alert, Chart, Fingerprint, Incident, IncidentId, Severity, Silence, SilenceId};

/// A resolved incident stays on the desk for so long: its last edit is made, and what flaps goes on in it.
const STAYS: SignedDuration = SignedDuration::from_mins(15);
/// After a restart nothing expires before so long: its repeats may have come while nobody wrote them down.
const GRACE: SignedDuration = SignedDuration::from_mins(5);

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
    inhibitions: Inhibitions,
    alerts: HashMap<Fingerprint, Known>,
    incidents: BTreeMap<IncidentId, Open>,
    by_key: HashMap<String, IncidentId>,
    silences: BTreeMap<SilenceId, Kept>,
    timers: Timers,
    last_incident: i64,
    last_silence: i64,
    /// Counts changes of incidents; and which was changed when.
    seq: u64,
    touched: BTreeMap<u64, IncidentId>,
    /// The changes that were an incident's leave.
    gone: VecDeque<u64>,
    stored: bool,
    /// What was restored has been held against the clock.
    awake: bool,
}

/// An alert on the desk.
#[derive(Debug)]
struct Known {
    alert: Alert,
    /// When it counts as over unless it is repeated; moves with each repeat.
    expires: Option<Timestamp>,
    silenced: Option<SilenceId>,
    inhibited: Option<IncidentId>,
}

/// An incident on the desk.
#[derive(Debug)]
struct Open {
    incident: Incident,
    alerts: Vec<Fingerprint>,
    /// How many fire, by severity.
    firing: [usize; Severity::ALL.len()],
    /// How many of those that fire are silenced, and how many are silenced or explained.
    silenced: usize,
    muted: usize,
    /// When it began or ceased to fire of late.
    turns: VecDeque<Timestamp>,
    touched: u64,
    chart: Option<Box<Chart>>,
}

#[derive(Debug)]
struct Kept {
    silence: Silence,
    conditions: Conditions,
}

impl Open {
    fn new(incident: Incident) -> Self {
        Self {
            incident,
            alerts: Vec::new(),
            firing: Default::default(),
            silenced: 0,
            muted: 0,
            turns: VecDeque::new(),
            touched: 0,
            chart: None,
        }
    }

    fn fires(&self) -> usize {
        self.firing.iter().sum()
    }

    fn worst(&self) -> Option<Severity> {
        Severity::ALL.iter().rev().zip(self.firing.iter().rev()).find(|(_, n)| **n > 0).map(|(s, _)| *s)
    }

    fn count(&mut self, severity: Severity, by: isize) {
        let at = Severity::ALL.iter().position(|s| *s == severity).unwrap_or_default();
        if let Some(n) = self.firing.get_mut(at) {
            *n = n.saturating_add_signed(by);
        }
    }
}

impl Desk {
    /// A desk with what was kept.
    pub fn new(settings: Settings, restored: Restored) -> Self {
        let mut desk = Self {
            inhibitions: Inhibitions::new(&settings.inhibit),
            settings,
            alerts: HashMap::with_capacity(restored.alerts.len()),
            incidents: BTreeMap::new(),
            by_key: HashMap::new(),
            silences: BTreeMap::new(),
            timers: Timers::default(),
            last_incident: restored.last_incident,
            last_silence: restored.last_silence,
            seq: 0,
            touched: BTreeMap::new(),
            gone: VecDeque::new(),
            stored: true,
            awake: false,
        };
        desk.restore(restored);
        desk
    }

    /// Takes changed settings; what is on the desk stays.
    pub fn set(&mut self, settings: Settings) {
        let rules_differ = self.settings.inhibit != settings.inhibit;
        self.settings = settings;
        if rules_differ {
            self.inhibitions = Inhibitions::new(&self.settings.inhibit);
            let firing = self.alerts.values().filter(|k| k.alert.signal.firing);
            for known in firing {
                let Some(open) = self.incidents.get(&known.alert.incident) else { continue };
                let who = (known.alert.incident, known.alert.fingerprint);
                let labels = &known.alert.signal.labels;
                drop(self.inhibitions.note(who, (labels, &open.incident.subject), true));
            }
            // The next look at the clock finds what is explained otherwise now.
            self.awake = false;
        }
    }

    /// Whether what is on the desk is written down; while it is not, cards say so.
    pub fn set_stored(&mut self, stored: bool) {
        self.stored = stored;
    }

    /// Takes signals in; the same again changes nothing.
    pub fn on(&mut self, signals: Vec<Incoming>, now: Timestamp) -> Changes {
        let mut work = Work::new(now);
        self.wake(&mut work);
        for incoming in signals {
            self.take(incoming, &mut work);
        }
        self.pass_time(&mut work);
        self.finish(work)
    }

    /// Lets time pass: hold-downs, expiries, lapsed acknowledgements, escalations, ended silences.
    pub fn tick(&mut self, now: Timestamp) -> Changes {
        let mut work = Work::new(now);
        self.wake(&mut work);
        self.pass_time(&mut work);
        self.finish(work)
    }

    /// When [`Desk::tick`] has to be called next.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        if self.awake { self.timers.next_at() } else { Some(Timestamp::MIN) }
    }
}
