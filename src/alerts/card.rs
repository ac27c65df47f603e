//! An incident's card: what code says of it, with the alerts' own words cleaned, cut and in their place.

#[cfg(test)]
mod tests;
mod threshold;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use reqwest::Url;

use self::threshold::measured;
use super::{CardRules, Desk};
use crate::domain::{
    Alert, AlertCard, Excerpt, Incident, IncidentId, IncidentState, Labels, Mute, Severity, Subject,
    Untrusted,
};

/// The longest title, in bytes.
const TITLE: usize = 200;
/// The longest label, note or line, in bytes.
const TEXT: usize = 160;
const LABELS: usize = 6;
const ALERTS: usize = 8;
const FINDINGS: usize = 8;
const LINES: usize = 12;
const SUGGESTIONS: usize = 2;
/// The longest address of a runbook, in bytes.
const ADDRESS: usize = 1_000;
/// Labels that the card shows elsewhere.
const SHOWN: [&str; 4] = ["alertname", "severity", "customer", "service"];
/// Labels that tell most, which go first.
const TELLING: [&str; 6] = ["instance", "host", "container", "name", "device", "mountpoint"];

/// The card of an incident as it stands.
pub fn alert_card(desk: &Desk, incident: &Incident, now: Timestamp) -> AlertCard {
    let settings = desk.settings();
    let (rules, clock) = (&settings.cards, Clock { zone: &settings.zone, now });
    let alerts = desk.alerts_of(incident.id);
    let worst = alerts.first().copied();
    AlertCard {
        incident: incident.id,
        severity: incident.severity,
        state: incident.state,
        title: title(worst, incident),
        customer: incident.subject.customer.as_ref().map(|id| one_line(&(rules.customer)(id), TEXT)),
        service: incident.subject.service.as_ref().map(|name| one_line(name.as_str(), TEXT)),
        since: incident.opened_at,
        over_at: incident.resolved_at,
        value: worst.and_then(|alert| measured(&alert.signal)),
        labels: worst.map(|alert| labels(&alert.signal.labels)).unwrap_or_default(),
        alerts: lines(&alerts, &clock),
        notes: notes(desk, incident, &clock),
        excerpt: alerts.iter().find_map(|alert| alert.signal.excerpt.as_ref()).map(excerpt),
        findings: incident.findings.iter().take(FINDINGS).cloned().collect(),
        chart: desk.chart_of(incident.id).cloned(),
        buttons: buttons(incident, worst.map(|alert| &alert.signal.labels), rules),
        runbook: worst.and_then(|alert| runbook(&alert.signal.annotations, &rules.runbook_hosts)),
    }
}

/// What is wrong, in one line.
pub(super) fn title(worst: Option<&Alert>, incident: &Incident) -> String {
    let of = |texts: &Labels, name: &str| texts.get(name).map(|text| one_line(text, TITLE));
    let summary = worst.and_then(|alert| of(&alert.signal.annotations, "summary"));
    let name = || worst.and_then(|alert| of(&alert.signal.labels, "alertname"));
    let said = |text: &String| !text.is_empty();
    summary.filter(said).or_else(|| name().filter(said)).unwrap_or_else(|| one_line(&incident.key, TITLE))
}

/// Foreign text as one clean line of at most so many bytes.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let clean = Untrusted::new(text);
    let words: Vec<_> = clean.as_str().split_whitespace().collect();
    Untrusted::new(&words.join(" ")).cut(most).to_string()
}

/// A span of time in words, as exact as it is of use.
pub(super) fn in_words(span: SignedDuration) -> String {
    let minutes = span.as_mins();
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{} s", span.as_secs()),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// How a person in a zone reads times.
struct Clock<'a> {
    zone: &'a TimeZone,
    now: Timestamp,
}

impl Clock<'_> {
    /// The time of day, with its day unless it is today.
    fn at(&self, time: Timestamp) -> String {
        let (time, now) = (time.to_zoned(self.zone.clone()), self.now.to_zoned(self.zone.clone()));
        let today = time.date() == now.date();
        time.strftime(if today { "%H:%M" } else { "%a %-d %b %H:%M" }).to_string()
    }
}

fn labels(all: &Labels) -> Vec<(String, String)> {
    let rank = |name: &str| TELLING.iter().position(|telling| *telling == name).unwrap_or(TELLING.len());
    let matters = |name: &str| !SHOWN.contains(&name) && !name.starts_with("__");
    let mut those: Vec<_> = all.iter().filter(|(name, _)| matters(name)).collect();
    those.sort_by_key(|(name, _)| rank(name));
    those
        .into_iter()
        .take(LABELS)
        .map(|(name, value)| (one_line(name, TEXT), one_line(value, TEXT)))
        .collect()
}

fn lines(alerts: &[&Alert], clock: &Clock<'_>) -> Vec<String> {
    let mut lines: Vec<_> = alerts.iter().take(ALERTS).map(|alert| alert_line(alert, clock)).collect();
    let more = alerts.len().saturating_sub(ALERTS);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn alert_line(alert: &Alert, clock: &Clock<'_>) -> String {
    let signal = &alert.signal;
    let label = |name: &str| signal.labels.get(name).map(|text| one_line(text, TEXT)).unwrap_or_default();
    let place = TELLING.iter().map(|name| label(name)).find(|text| !text.is_empty());
    let place = place.map(|place| format!(" on {place}")).unwrap_or_default();
    let name = label("alertname");
    let name = if name.is_empty() { "alert" } else { &name };
    if !signal.firing {
        return format!("over: {name}{place}");
    }
    let value = measured(signal).map(|value| format!(", {value}")).unwrap_or_default();
    format!("{}: {name}{place}{value}, since {}", alert.severity.word(), clock.at(signal.starts_at))
}

fn notes(desk: &Desk, incident: &Incident, clock: &Clock<'_>) -> Vec<String> {
    let ack = incident.ack.as_ref().map(|ack| {
        let until = ack.until.map(|until| format!(" until {}", clock.at(until))).unwrap_or_default();
        format!("acked by {}{until}", one_line(ack.by.as_str(), TEXT))
    });
    let mute = incident.mute.as_ref().map(|mute| muted(desk, mute, clock));
    let flaps =
        incident.flapping.then(|| "flapping: it comes and goes, and makes no further sound".to_owned());
    let recovers = (incident.state == IncidentState::Recovering)
        .then(|| "nothing fires any more; it is over if it stays so".to_owned());
    let over = incident.state == IncidentState::Resolved;
    [ack, mute, flaps, recovers].into_iter().flatten().filter(|_| !over).collect()
}

fn muted(desk: &Desk, mute: &Mute, clock: &Clock<'_>) -> String {
    match mute {
        Mute::Silenced { silence } => {
            let found = desk.silences().into_iter().find(|s| s.id == *silence);
            let until = found.map(|s| {
                let by = one_line(&s.by, TEXT);
                format!(" until {} by {by}", clock.at(s.ends_at))
            });
            format!("silenced{} (silence {silence})", until.unwrap_or_default())
        }
        Mute::Inhibited { by } => format!("explained by incident {}", named(desk, *by)),
        Mute::Quiet => "began in quiet hours: it is in the digest".to_owned(),
    }
}

fn named(desk: &Desk, id: IncidentId) -> String {
    match desk.incident(id) {
        Some(incident) => format!("#{id}: {}", title(desk.alerts_of(id).first().copied(), incident)),
        None => format!("#{id}"),
    }
}

fn excerpt(excerpt: &Excerpt) -> Excerpt {
    let skip = excerpt.lines.len().saturating_sub(LINES);
    let clean = |line: &String| Untrusted::new(&line.replace('\n', " ")).cut(TEXT).to_string();
    Excerpt {
        source: one_line(&excerpt.source, TEXT),
        lines: excerpt.lines.iter().skip(skip).map(clean).collect(),
    }
}

fn buttons(incident: &Incident, labels: Option<&Labels>, rules: &CardRules) -> Vec<(String, String)> {
    let button = |label: &str, command: &str| (label.to_owned(), format!("/{command} {}", incident.id));
    let mut buttons = Vec::new();
    if incident.state == IncidentState::Resolved {
        return buttons;
    }
    if incident.state == IncidentState::Firing {
        buttons.push(button("Ack", "ack"));
    }
    buttons.extend([button("Silence…", "silence"), button("Investigate", "investigate")]);
    if incident.state == IncidentState::Firing {
        buttons.extend(suggested(labels, &incident.subject, rules));
    }
    buttons
}

fn suggested(labels: Option<&Labels>, subject: &Subject, rules: &CardRules) -> Vec<(String, String)> {
    let all = labels.map(|labels| (rules.suggest)(labels, subject)).unwrap_or_default();
    all.into_iter().take(SUGGESTIONS).collect()
}

/// The runbook's address, only over https and on a host that the configuration lists.
fn runbook(annotations: &Labels, hosts: &[String]) -> Option<String> {
    let text = annotations.get("runbook_url")?.trim();
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '<' | '>' | '"' | '`');
    if text.len() > ADDRESS || !text.chars().all(plain) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    let listed = hosts.iter().any(|listed| listed.eq_ignore_ascii_case(host));
    (url.scheme() == "https" && bare && listed).then(|| url.to_string())
}

/// One line of a list of incidents.
pub(super) fn list_line(desk: &Desk, incident: &Incident) -> String {
    let subject = &incident.subject;
    let rules = &desk.settings().cards;
    let customer = subject.customer.as_ref().map(|id| one_line(&(rules.customer)(id), TEXT));
    let service = subject.service.as_ref().map(|name| one_line(name.as_str(), TEXT));
    let whose: Vec<_> = [customer, service].into_iter().flatten().collect();
    let colon = if whose.is_empty() { "" } else { ": " };
    let title = title(desk.alerts_of(incident.id).first().copied(), incident);
    format!("{} #{} {}{colon}{title}", mark(incident.severity), incident.id, whose.join(" "))
}

fn mark(severity: Severity) -> String {
    severity.word().to_uppercase()
}
