//! What one alert belongs to and how bad it is, by its labels.

use super::{Settings, matching::label};
use crate::domain::{Labels, Severity, Signal, Subject};

/// The alert that always fires, to show that alerting works: never an incident.
pub const WATCHDOG: &str = "Watchdog";

/// How bad an alert is by its `severity` label.
pub fn severity(labels: &Labels) -> Severity {
    let word = labels.get("severity").map(|word| word.to_lowercase()).unwrap_or_default();
    match word.as_str() {
        "critical" | "page" | "emergency" | "fatal" | "disaster" => Severity::Critical,
        "info" | "none" | "ok" | "information" | "debug" => Severity::Info,
        // A missing or unknown word included: better a look too many.
        _ => Severity::Warning,
    }
}

/// What groups an alert with others: the labels of `group_by` where the customer is known, else its name and instance.
pub fn key(settings: &Settings, signal: &Signal, subject: &Subject) -> String {
    let of = |names: &mut dyn Iterator<Item = &str>| {
        let parts = names.filter_map(|name| {
            let value = label(&signal.labels, subject, name);
            (!value.is_empty()).then(|| format!("{name}={value}"))
        });
        parts.collect::<Vec<_>>().join(",")
    };
    if label(&signal.labels, subject, "customer").is_empty() {
        return of(&mut ["alertname", "instance"].into_iter());
    }
    let key = of(&mut settings.group_by.iter().map(String::as_str));
    if key.is_empty() { of(&mut ["alertname", "instance"].into_iter()) } else { key }
}
