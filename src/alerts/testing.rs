//! Incidents for tests.

use jiff::Timestamp;

use crate::domain::{
    Alert, Fingerprint, Incident, IncidentId, IncidentState, Labels, Severity, Signal, SignalSource, Subject,
};

/// When everything in tests begins.
pub(crate) fn begin() -> Timestamp {
    "2026-12-01T02:10:00Z".parse().unwrap()
}

/// A firing critical incident of this customer and service, with an alert for each of these label sets.
pub(crate) fn incident(
    id: i64,
    (customer, service): (Option<&str>, Option<&str>),
    labels: &[&[(&str, &str)]],
) -> (Incident, Vec<Alert>) {
    let subject =
        Subject { customer: customer.map(Into::into), service: service.map(Into::into), host: None };
    let alert = |set: &&[(&str, &str)]| {
        let labels: Labels = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let signal = Signal {
            source: SignalSource::Webhook,
            annotations: [("summary".to_owned(), "Web is down".to_owned())].into(),
            firing: true,
            starts_at: begin(),
            ends_at: None,
            generator_url: None,
            value: Some(0.93),
            excerpt: None,
            labels,
        };
        Alert {
            fingerprint: Fingerprint::of(&signal.labels),
            incident: IncidentId(id),
            signal,
            severity: Severity::Critical,
            seen_at: begin(),
        }
    };
    let incident = Incident {
        id: IncidentId(id),
        key: format!("customer={},service={}", customer.unwrap_or_default(), service.unwrap_or_default()),
        subject,
        severity: Severity::Critical,
        state: IncidentState::Firing,
        mute: None,
        flapping: false,
        ack: None,
        opened_at: begin(),
        changed_at: begin(),
        resolved_at: None,
        due_at: Some(begin()),
        rings: 1,
        step: 0,
        revision: 1,
        findings: vec![],
    };
    (incident, labels.iter().map(alert).collect())
}
