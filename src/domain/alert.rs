//! What alerting speaks of: signals that come in, alerts and incidents that are kept, silences, and what people do to them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Chart, CustomerId, Finding, HostName, PersonName, ServiceName, Severity, actor::words};

/// Labels or annotations of an alert, by name. Foreign text: cleaned and cut before it is kept.
pub type Labels = BTreeMap<String, String>;

/// Which alert it is: FNV-1a (64 bit) over its sorted labels, as Prometheus and Alertmanager compute it, so that the same
/// alert from two sources is one. Source: `model.LabelSet.Fingerprint` of prometheus/common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of these labels.
    pub fn of(labels: &Labels) -> Self {
        let parts =
            labels.iter().flat_map(|(name, value)| [name.as_bytes(), &[255], value.as_bytes(), &[255]]);
        let hash = parts.flatten().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| format!("`{text}` is no fingerprint (16 hex digits)"))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who reported a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalSource {
    /// Alertmanager's webhook.
    Webhook,
    /// A client of the Alertmanager-compatible API, such as Prometheus itself.
    Api,
    /// Our own polling of Prometheus.
    Prometheus,
    /// Docker's events.
    Docker,
    /// A pattern in a log.
    Log,
    /// Our own check of disks or certificates.
    Check,
    /// Prometheus' `Watchdog` stays away.
    Watchdog,
}

words!(SignalSource {
    Webhook = "webhook",
    Api = "api",
    Prometheus = "prometheus",
    Docker = "docker",
    Log = "log",
    Check = "check",
    Watchdog = "watchdog",
});

/// Lines of a log that came with a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// Whose log (`opsbot-c19-web`).
    pub source: String,
    /// The lines, cleaned and cut, oldest first.
    pub lines: Vec<String>,
}

/// One report that an alert fires or no longer does, whatever its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Who reported it.
    pub source: SignalSource,
    /// Its labels; `alertname` is among them.
    pub labels: Labels,
    /// `summary`, `description`, `runbook_url` and others.
    pub annotations: Labels,
    /// It fires; else it is over.
    pub firing: bool,
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// When it was over; of a firing one: when it counts as over unless it is reported again. None: until told so.
    pub ends_at: Option<Timestamp>,
    /// Where its expression can be looked at.
    pub generator_url: Option<String>,
    /// The expression's value, where the source tells it.
    pub value: Option<f64>,
    /// The lines that it is about.
    pub excerpt: Option<Excerpt>,
}

/// Whom an alert is about, as far as labels and inventory tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The customer.
    pub customer: Option<CustomerId>,
    /// The service.
    pub service: Option<ServiceName>,
    /// The machine that it runs on.
    pub host: Option<HostName>,
}

/// An incident's number; grows, is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub i64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One alert of an incident, as it was reported last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Which one.
    pub fingerprint: Fingerprint,
    /// The incident that it belongs to.
    pub incident: IncidentId,
    /// Its last report.
    pub signal: Signal,
    /// How bad, by its `severity` label; a warning without one.
    pub severity: Severity,
    /// When it was last reported.
    pub seen_at: Timestamp,
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Something of it fires, and nobody has taken it.
    Firing,
    /// Somebody has taken it.
    Acked,
    /// Nothing of it fires any more, since too short a time to call it over.
    Recovering,
    /// Over.
    Resolved,
}

words!(IncidentState { Firing = "firing", Acked = "acked", Recovering = "recovering", Resolved = "resolved" });

/// Why an incident makes no sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Mute {
    /// All that fires of it is silenced.
    Silenced {
        /// By this silence.
        silence: SilenceId,
    },
    /// Something larger explains it.
    Inhibited {
        /// The incident that explains it.
        by: IncidentId,
    },
    /// A warning in quiet hours: it waits for the digest.
    Quiet,
}

/// Who took an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who.
    pub by: PersonName,
    /// When.
    pub at: Timestamp,
    /// When it pages again if it still fires.
    pub until: Option<Timestamp>,
}

/// Alerts of one subject that a person sees as one thing, on one card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// What groups its alerts (`customer=19,service=web`).
    pub key: String,
    /// Whom it is about.
    pub subject: Subject,
    /// The worst of what fires; once nothing does, the worst that did.
    pub severity: Severity,
    /// Where it stands.
    pub state: IncidentState,
    /// Why it makes no sound, if it does not.
    pub mute: Option<Mute>,
    /// Comes and goes: told once, then only by edits.
    pub flapping: bool,
    /// Who took it.
    pub ack: Option<Ack>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When its state changed last.
    pub changed_at: Timestamp,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// From when on it may be shown; none while nobody is to see it (muted before it was shown).
    pub due_at: Option<Timestamp>,
    /// How often it had to be loud so far: the first page, a worse severity, a lapsed acknowledgement, an escalation.
    pub rings: u32,
    /// How far up the ladder it was paged; 0 is the first step.
    pub step: u32,
    /// Counts every change of what its card shows.
    pub revision: u64,
    /// What was found out about it, worst first.
    pub findings: Vec<Finding>,
}

/// A silence's number; grows, is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SilenceId(pub i64);

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One condition on a label, as Alertmanager has it: a label that is missing is the empty text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    /// The label; `customer`, `service` and `host` are the subject's where the label is missing.
    pub name: String,
    /// The text or regular expression.
    pub value: String,
    /// `value` is a regular expression over the whole label.
    pub is_regex: bool,
    /// It has to match; else it must not.
    #[serde(default = "yes")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

/// Keeps alerts quiet for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: SilenceId,
    /// All have to hold.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who made it.
    pub by: String,
    /// Why.
    pub comment: String,
}

/// One line of an incident's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentEvent {
    /// Which incident.
    pub incident: IncidentId,
    /// When.
    pub at: Timestamp,
    /// What kind of event.
    pub kind: EventKind,
    /// In words, by code.
    pub text: String,
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It began.
    Opened,
    /// A further alert fires.
    Joined,
    /// An alert of it is over.
    Left,
    /// It got worse.
    Worse,
    /// Somebody took it.
    Acked,
    /// An acknowledgement lapsed.
    Lapsed,
    /// It was silenced, or no longer is.
    Silenced,
    /// Something explains it, or no longer does.
    Inhibited,
    /// It was paged a step higher.
    Escalated,
    /// It comes and goes.
    Flapping,
    /// Nothing fires any more.
    Recovering,
    /// It fires again within the hold-down.
    Again,
    /// It is over.
    Resolved,
    /// Something was found out about it.
    Found,
}

/// What is done to incidents and silences.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Takes an incident.
    Ack {
        /// Which.
        incident: IncidentId,
        /// Who.
        by: PersonName,
    },
    /// Keeps what matches quiet.
    Silence {
        /// What: all have to hold.
        matchers: Vec<Matcher>,
        /// From when on.
        starts_at: Timestamp,
        /// Until when.
        ends_at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        comment: String,
        /// Changes this one instead of making another.
        id: Option<SilenceId>,
    },
    /// Ends a silence now.
    Unsilence {
        /// Which.
        silence: SilenceId,
        /// Who.
        by: String,
    },
    /// Adds what was found out.
    Found {
        /// About which incident.
        incident: IncidentId,
        /// Worst first; none leaves what is there.
        findings: Vec<Finding>,
        /// Its expression over the last hour.
        chart: Option<Chart>,
    },
}
