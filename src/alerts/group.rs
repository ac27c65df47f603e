//! What one alert belongs to and how bad it is, by its labels.

use super::{Settings, matching::label};
use crate::domain::{Fingerprint, Labels, Severity, Subject};

/// The alert that always fires, to show that alerting works: never an incident.
pub(super) const WATCHDOG: &str = "Watchdog";

/// How bad an alert is by its `severity` label; a warning where the word is missing or unknown.
pub(super) fn severity(labels: &Labels) -> Severity {
    let word = labels.get("severity").map(|word| word.trim().to_ascii_lowercase()).unwrap_or_default();
    match word.as_str() {
        "critical" | "page" | "emergency" | "fatal" => Severity::Critical,
        "info" | "none" | "ok" => Severity::Info,
        _ => Severity::Warning,
    }
}

/// What groups an alert with others: the labels of `group_by` where the customer is known, else its name and instance.
pub(super) fn key(settings: &Settings, labels: &Labels, subject: &Subject) -> String {
    let grouped = if label(labels, subject, "customer").is_empty() {
        String::new()
    } else {
        joined(settings.group_by.iter().map(String::as_str), labels, subject)
    };
    if !grouped.is_empty() {
        return grouped;
    }
    let own = joined(["alertname", "instance"].into_iter(), labels, subject);
    if own.is_empty() { format!("fingerprint={}", Fingerprint::of(labels)) } else { own }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>, labels: &Labels, subject: &Subject) -> String {
    let parts = names.filter_map(|name| match label(labels, subject, name) {
        "" => None,
        // Quoted, so that no label's text can pose as another group.
        value if value.contains([',', '=', '"']) => Some(format!("{name}={value:?}")),
        value => Some(format!("{name}={value}")),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::desk::testing::{labels, settings};

    #[test]
    fn severities_are_read_from_labels() {
        let table = [
            ("severity=critical", Severity::Critical),
            ("severity=PAGE", Severity::Critical),
            ("severity=emergency", Severity::Critical),
            ("severity=fatal", Severity::Critical),
            ("severity=major", Severity::Warning),
            ("severity=minor", Severity::Warning),
            ("severity=whatever", Severity::Warning),
            ("job=x", Severity::Warning),
            ("severity=none", Severity::Info),
            ("severity=ok", Severity::Info),
            ("severity=info", Severity::Info),
        ];
        for (text, want) in table {
            assert_eq!(severity(&labels(text)), want, "{text}");
        }
    }

    #[test]
    fn alerts_are_grouped_by_whom_they_are_about() {
        let subject = |customer: Option<&str>, service: Option<&str>| Subject {
            customer: customer.map(Into::into),
            service: service.map(Into::into),
            host: None,
        };
        let table = [
            ("alertname=A instance=x", subject(Some("19"), Some("web")), "customer=19,service=web"),
            ("alertname=A customer=19 service=db", subject(None, None), "customer=19,service=db"),
            ("alertname=A instance=x", subject(Some("19"), None), "customer=19"),
            ("alertname=A instance=x", subject(None, Some("web")), "alertname=A,instance=x"),
            ("alertname=A", subject(None, None), "alertname=A"),
            ("customer=1,service=web alertname=A", subject(None, None), "customer=\"1,service=web\""),
        ];
        for (text, subject, want) in table {
            assert_eq!(key(&settings(), &labels(text), &subject), want, "{text}");
        }
        let nameless = key(&settings(), &labels("job=x"), &Subject::default());
        assert!(nameless.starts_with("fingerprint="), "{nameless}");
    }
}
