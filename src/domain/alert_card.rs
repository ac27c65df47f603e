//! What a person sees of incidents: one card for one incident, or one for a storm of them. Rendered by each channel in its own way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Chart, Excerpt, Finding, IncidentId, IncidentState, Severity};

/// The card of one incident, made by code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertCard {
    /// Its number.
    pub incident: IncidentId,
    /// How bad.
    pub severity: Severity,
    /// Where it stands.
    pub state: IncidentState,
    /// What is wrong, in one line: the worst alert's summary, else its name.
    pub title: String,
    /// Whose (`19 Bloom Flowers`).
    pub customer: Option<String>,
    /// Which service.
    pub service: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// When it was over.
    pub over_at: Option<Timestamp>,
    /// The value beside its threshold, in words (`0.93, threshold 0.85`).
    pub value: Option<String>,
    /// The labels that matter, by name.
    pub labels: Vec<(String, String)>,
    /// The alerts of it, one line each, firing ones first.
    pub alerts: Vec<String>,
    /// What else has to be said: who took it, until when it is silenced, what explains it, that it flaps, that it is not stored.
    pub notes: Vec<String>,
    /// The lines that it is about.
    pub excerpt: Option<Excerpt>,
    /// What was found out, worst first.
    pub findings: Vec<Finding>,
    /// The expression over the last hour.
    pub chart: Option<Chart>,
    /// The label of a button and the command that it stands for.
    pub buttons: Vec<(String, String)>,
    /// Where the runbook is, on a host that the configuration lists.
    pub runbook: Option<String>,
}

impl AlertCard {
    /// How long it lasted, in words (`3 h 5 min`); none while it is not over.
    pub fn lasted(&self) -> Option<String> {
        let seconds = self.over_at?.duration_since(self.since).as_secs().max(0);
        let (d, h, m) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        Some(match (d, h, m) {
            (0, 0, 0) => format!("{seconds} s"),
            (0, 0, m) => format!("{m} min"),
            (0, h, 0) => format!("{h} h"),
            (0, h, m) => format!("{h} h {m} min"),
            (d, 0, _) => format!("{d} d"),
            (d, h, _) => format!("{d} d {h} h"),
        })
    }
}

/// One card for many incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StormCard {
    /// When it began.
    pub since: Timestamp,
    /// All that it covers are over.
    pub over: bool,
    /// How many incidents, how many of them fire still.
    pub incidents: (u64, u64),
    /// Of those that fire, how many are of which severity, worst first.
    pub severities: Vec<(Severity, u64)>,
    /// Of those that fire, how many are whose, most first; the last may be `others`.
    pub customers: Vec<(String, u64)>,
    /// All that fires, one line each, worst first; a channel shows the first and gives the whole as a file.
    pub list: Vec<String>,
    /// The label of a button and the command that it stands for.
    pub buttons: Vec<(String, String)>,
}
