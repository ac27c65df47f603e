//! What fires, as Alertmanager's API shows it: one by one, and in groups, which here are the incidents.

use axum::{
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;

use super::{RECEIVER, Surface, answer, answer::No, query::Wanted, silences};
use crate::{
    alerts::{Conditions, Desk},
    domain::{Alert, Fingerprint, Incident, IncidentId, Labels, Mute, SilenceId, Subject},
    runtime::clock,
};

/// So many fingerprints are named of those that inhibit an alert.
const NAMED: usize = 10;

#[derive(Serialize)]
pub(super) struct Receiver {
    pub(super) name: &'static str,
}

pub(super) const RECEIVERS: [Receiver; 1] = [Receiver { name: RECEIVER }];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: &'static str,
    silenced_by: Vec<String>,
    inhibited_by: Vec<Fingerprint>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    annotations: &'a Labels,
    ends_at: Timestamp,
    fingerprint: Fingerprint,
    receivers: &'static [Receiver],
    starts_at: Timestamp,
    status: Status,
    updated_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
    labels: &'a Labels,
}

#[derive(Serialize)]
struct Group<'a> {
    alerts: Vec<Shown<'a>>,
    labels: Labels,
    receiver: &'static Receiver,
}

/// `GET /api/v2/alerts`.
pub(super) async fn alerts(State(surface): State<Surface>, uri: Uri) -> Response {
    view(&surface, &uri, |eye| {
        let mut all: Vec<_> = eye.desk.alerts().filter_map(|alert| eye.show(alert)).collect();
        all.sort_by_key(|shown| shown.fingerprint);
        serde_json::to_vec(&all)
    })
}

/// `GET /api/v2/alerts/groups`.
pub(super) async fn groups(State(surface): State<Surface>, uri: Uri) -> Response {
    view(&surface, &uri, |eye| {
        let group = |incident: &Incident| {
            let mut alerts: Vec<_> =
                eye.desk.alerts_of(incident.id).into_iter().filter_map(|alert| eye.show(alert)).collect();
            alerts.sort_by_key(|shown| shown.fingerprint);
            Group { alerts, labels: eye.group_labels(incident), receiver: &RECEIVERS[0] }
        };
        let mut all: Vec<_> =
            eye.desk.open().into_iter().map(group).filter(|group| !group.alerts.is_empty()).collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        serde_json::to_vec(&all)
    })
}

fn view(
    surface: &Surface,
    uri: &Uri,
    write: impl FnOnce(&Eye<'_>) -> serde_json::Result<Vec<u8>>,
) -> Response {
    let wanted = match Wanted::read(uri, RECEIVER) {
        Ok(wanted) => wanted,
        Err(no) => return no.into_response(),
    };
    let (now, lapses) = (clock::now(), surface.lapses());
    let written = surface.pager().look(|desk| {
        let in_force = desk.silences().into_iter().filter(|s| s.starts_at <= now && s.ends_at > now);
        let silences = in_force.map(|s| (s.id, Conditions::new(&s.matchers))).collect();
        write(&Eye { desk, wanted, silences, now, lapses })
    });
    match written {
        Ok(body) => answer::ready(body),
        Err(error) => {
            tracing::error!(%error, "the alerts could not be written as JSON");
            No::later("show", "the alerts could not be written as JSON").into_response()
        }
    }
}

/// Looks at the desk as one request wants it.
struct Eye<'a> {
    desk: &'a Desk,
    wanted: Wanted,
    /// The silences in force.
    silences: Vec<(SilenceId, Conditions)>,
    now: Timestamp,
    /// The end of an alert that has none.
    lapses: Timestamp,
}

impl<'a> Eye<'a> {
    /// The alert as it is shown; none when it is over or not wanted.
    fn show(&self, alert: &'a Alert) -> Option<Shown<'a>> {
        if !alert.signal.firing || alert.signal.ends_at.is_some_and(|end| end <= self.now) {
            return None;
        }
        let nobody = Subject::default();
        let incident = self.desk.incident(alert.incident);
        let subject = incident.map_or(&nobody, |incident| &incident.subject);
        let labels = &alert.signal.labels;
        if !self.wanted.takes(labels, subject) {
            return None;
        }
        let silenced = self.silences.iter().filter(|(_, conditions)| conditions.hold(labels, subject));
        let silenced_by: Vec<_> = silenced.map(|(id, _)| silences::uuid(*id)).collect();
        let inhibited_by = match incident.and_then(|incident| incident.mute.as_ref()) {
            Some(Mute::Inhibited { by }) => self.firing_of(*by),
            Some(Mute::Silenced { .. } | Mute::Quiet) | None => vec![],
        };
        let suppressed = !silenced_by.is_empty() || !inhibited_by.is_empty();
        if (!self.wanted.silenced && !silenced_by.is_empty())
            || (!self.wanted.inhibited && !inhibited_by.is_empty())
            || (!self.wanted.active && !suppressed)
        {
            return None;
        }
        Some(Shown {
            annotations: &alert.signal.annotations,
            ends_at: alert.signal.ends_at.unwrap_or(self.lapses),
            fingerprint: alert.fingerprint,
            receivers: &RECEIVERS,
            starts_at: alert.signal.starts_at,
            status: Status {
                state: if suppressed { "suppressed" } else { "active" },
                silenced_by,
                inhibited_by,
            },
            updated_at: alert.seen_at,
            generator_url: alert.signal.generator_url.as_deref(),
            labels,
        })
    }

    /// The labels that an incident's alerts have in common by its key, with their values.
    fn group_labels(&self, incident: &Incident) -> Labels {
        let Some(alert) = self.desk.alerts_of(incident.id).into_iter().next() else { return Labels::new() };
        let of_subject = |name: &str| match name {
            "customer" => incident.subject.customer.as_ref().map(ToString::to_string),
            "service" => incident.subject.service.as_ref().map(ToString::to_string),
            "host" => incident.subject.host.as_ref().map(ToString::to_string),
            _ => None,
        };
        let value = |name: &str| alert.signal.labels.get(name).cloned().or_else(|| of_subject(name));
        names(&incident.key).into_iter().filter_map(|name| Some((name.to_owned(), value(name)?))).collect()
    }

    fn firing_of(&self, incident: IncidentId) -> Vec<Fingerprint> {
        let firing = self.desk.alerts_of(incident).into_iter().filter(|alert| alert.signal.firing);
        firing.map(|alert| alert.fingerprint).take(NAMED).collect()
    }
}

/// The labels' names in an incident's key (`customer=19,service="a,b=c"`).
fn names(key: &str) -> Vec<&str> {
    let (mut names, mut begins, mut quoted, mut escaped) = (Vec::new(), Some(0), false, false);
    for (at, c) in key.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '=' if !quoted => names.extend(begins.take().and_then(|from| key.get(from..at))),
            ',' if !quoted => begins = Some(at + 1),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_labels() {
        let table: [(&str, &[&str]); 5] = [
            ("customer=19,service=web", &["customer", "service"]),
            (r#"customer="1,x=y",service=web"#, &["customer", "service"]),
            (r#"alertname="a\"b,c=d",instance=x=y"#, &["alertname", "instance"]),
            ("alertname=A", &["alertname"]),
            ("", &[]),
        ];
        for (key, want) in table {
            assert_eq!(names(key), want, "{key}");
        }
    }
}
