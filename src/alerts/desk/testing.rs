//! Settings and signals for the desk's tests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

use super::case::{Case, Held};
use crate::{
    alerts::{CardRules, Changes, Desk, Incoming, Refusal, Restored, Settings},
    domain::{
        Action, Alert, Fingerprint, Incident, IncidentEvent, IncidentId, IncidentState, Labels, Mute, Signal,
        SignalSource, Silence, SilenceId, Subject,
    },
};

/// Labels from `name=value name=value`.
pub(in crate::alerts) fn labels(text: &str) -> Labels {
    text.split_whitespace()
        .filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// The settings of `docs/plan.md`, with a ladder of three steps.
pub(in crate::alerts) fn settings() -> Settings {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    Settings {
        group_by: vec!["customer".into(), "service".into()],
        group_wait: Duration::from_secs(10),
        hold_down: minutes(1),
        flapping: (5, minutes(15)),
        ack_lifetime: minutes(60),
        ladder: vec![Duration::ZERO, minutes(5), minutes(15)],
        quiet: None,
        inhibit: vec![],
        zone: TimeZone::UTC,
        cards: CardRules {
            runbook_hosts: vec![],
            customer: Arc::new(|id| id.to_string()),
            suggest: Arc::new(|_, _| vec![]),
        },
    }
}

/// A Tuesday noon.
pub(in crate::alerts) fn begin() -> Timestamp {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

/// A report of an alert with these labels; the subject is read from them.
pub(in crate::alerts) fn report(text: &str, firing: bool, starts_at: Timestamp) -> Incoming {
    let labels = labels(text);
    let subject = Subject {
        customer: labels.get("customer").map(|c| c.as_str().into()),
        service: labels.get("service").map(|s| s.as_str().into()),
        host: labels.get("host").map(|h| h.as_str().into()),
    };
    let signal = Signal {
        source: SignalSource::Webhook,
        labels,
        annotations: Labels::new(),
        firing,
        starts_at,
        ends_at: None,
        generator_url: None,
        value: None,
        excerpt: None,
    };
    Incoming { signal, subject }
}

impl Desk {
    /// Puts an incident on the desk as it is, for tests of what reads the desk.
    pub(in crate::alerts) fn put(&mut self, incident: Incident, alerts: Vec<Alert>) {
        let id = incident.id;
        let mut case = Case::new(incident);
        alerts.into_iter().for_each(|alert| case.put(Box::new(Held::new(alert))));
        if let Some(old) = self.cases.insert(id, Box::new(case)) {
            self.changed.remove(&old.seq);
        }
        self.note_change(id);
    }

    /// Takes an incident off the desk, as it forgets those that are over.
    pub(in crate::alerts) fn take_off(&mut self, id: IncidentId) {
        self.drop_case(id);
    }
}

/// A desk whose changes are kept as the store keeps them, and which is woken when it wants to be.
pub(in crate::alerts) struct Stage {
    pub desk: Desk,
    pub now: Timestamp,
    pub kept: Kept,
    pub events: Vec<IncidentEvent>,
}

/// The rows that were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::alerts) struct Kept {
    pub incidents: BTreeMap<IncidentId, Incident>,
    pub alerts: BTreeMap<Fingerprint, Alert>,
    pub silences: BTreeMap<SilenceId, Silence>,
}

impl Kept {
    fn keep(&mut self, changes: &Changes) {
        self.incidents.extend(changes.incidents.iter().map(|i| (i.id, i.clone())));
        self.alerts.extend(changes.alerts.iter().map(|a| (a.fingerprint, a.clone())));
        self.silences.extend(changes.silences.iter().map(|s| (s.id, s.clone())));
    }

    /// What a restart reads, once through JSON as the store has it.
    pub(in crate::alerts) fn restored(&self) -> Restored {
        fn json<T: serde::Serialize + serde::de::DeserializeOwned>(row: &T) -> T {
            serde_json::from_str(&serde_json::to_string(row).unwrap()).unwrap()
        }
        let open = self.incidents.values().filter(|i| i.state != IncidentState::Resolved);
        Restored {
            incidents: open.map(json).collect(),
            alerts: self.alerts.values().map(json).collect(),
            silences: self.silences.values().map(json).collect(),
            last_incident: self.incidents.keys().next_back().map_or(0, |id| id.0),
            last_silence: self.silences.keys().next_back().map_or(0, |id| id.0),
        }
    }
}

impl Stage {
    pub(in crate::alerts) fn new(settings: Settings) -> Self {
        let desk = Desk::new(settings, Restored::default());
        Self { desk, now: begin(), kept: Kept::default(), events: vec![] }
    }

    fn take(&mut self, changes: &Changes) {
        self.kept.keep(changes);
        self.events.extend(changes.events.iter().cloned());
        self.check();
    }

    /// What has to hold at any time.
    fn check(&self) {
        for incident in self.desk.open() {
            let fires = self.desk.alerts_of(incident.id).iter().any(|alert| alert.signal.firing);
            let open = matches!(incident.state, IncidentState::Firing | IncidentState::Acked);
            assert_eq!(fires, open, "{incident:?}");
            assert!(incident.mute.is_some() || incident.due_at.is_some(), "never shown: {incident:?}");
            assert_eq!(Some(incident), self.kept.incidents.get(&incident.id), "not written");
        }
        for alert in self.kept.alerts.values().filter(|alert| alert.signal.firing) {
            let incident = self.desk.incident(alert.incident).expect("its incident is on the desk");
            assert_ne!(incident.state, IncidentState::Resolved, "lost: {alert:?}");
        }
    }

    /// Lets time pass up to `at`, with every tick that the desk wants.
    pub(in crate::alerts) fn until(&mut self, at: Timestamp) {
        for _ in 0..10_000 {
            match self.desk.wakes_at().filter(|wakes| *wakes <= at) {
                None => {
                    self.now = at;
                    return;
                }
                Some(wakes) => {
                    self.now = self.now.max(wakes);
                    let changes = self.desk.tick(self.now);
                    self.take(&changes);
                }
            }
        }
        panic!("the desk never rests: it wakes at {:?}", self.desk.wakes_at());
    }

    pub(in crate::alerts) fn on(&mut self, signals: Vec<Incoming>) -> Changes {
        let changes = self.desk.on(signals, self.now);
        self.take(&changes);
        changes
    }

    pub(in crate::alerts) fn act(&mut self, action: Action) -> Result<Changes, Refusal> {
        let changes = self.desk.act(action, self.now)?;
        self.take(&changes);
        Ok(changes)
    }

    /// Starts a new desk from what was written.
    pub(in crate::alerts) fn restart(&mut self) {
        self.desk = Desk::new(self.desk.settings().clone(), self.kept.restored());
        let changes = self.desk.tick(self.now);
        self.take(&changes);
    }

    /// An incident in short: `firing critical rings 1 step 0 due 0s`, then what else holds.
    pub(in crate::alerts) fn told(&self, id: i64) -> String {
        let Some(i) = self.desk.incident(IncidentId(id)) else { return "none".into() };
        let due = i.due_at.map_or("never".into(), |at| format!("{}s", at.duration_since(begin()).as_secs()));
        let mute = match &i.mute {
            None => String::new(),
            Some(Mute::Silenced { silence }) => format!(" silenced {silence}"),
            Some(Mute::Inhibited { by }) => format!(" inhibited {by}"),
            Some(Mute::Quiet) => " quiet".into(),
        };
        let flapping = if i.flapping { " flapping" } else { "" };
        let (state, severity) = (i.state, i.severity);
        format!("{state} {severity} rings {} step {} due {due}{mute}{flapping}", i.rings, i.step)
    }
}
