//! Incidents as a person and a model read them in an answer: lists, one in full, and the silences.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::silencing;
use crate::domain::{Alert, Block, Incident, IncidentEvent, IncidentState, Mute, Silence, Untrusted};

/// The longest piece of foreign text in a line, in bytes.
const LONGEST: usize = 160;
/// So many lines of a list or history are shown.
pub const MOST: usize = 50;

/// Times as people here read them.
#[derive(Clone, Debug)]
pub struct Times {
    /// Now.
    pub now: Timestamp,
    /// The zone of the times that people read.
    pub zone: TimeZone,
}

impl Times {
    /// `08:00`, with the day where it is another one than today.
    pub fn clock(&self, at: Timestamp) -> String {
        let (at, now) = (at.to_zoned(self.zone.clone()), self.now.to_zoned(self.zone.clone()));
        let form = if at.date() == now.date() { "%H:%M" } else { "%a %Y-%m-%d %H:%M" };
        at.strftime(form).to_string()
    }

    /// How long ago, or how long until: `12 min`, `3 h`, `2 days`.
    pub fn span(&self, from: Timestamp, to: Timestamp) -> String {
        span(to.duration_since(from))
    }
}

/// A span in its largest unit.
pub fn span(of: SignedDuration) -> String {
    let seconds = of.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        // Rounded: what was set a moment ago for half an hour ends in 30 minutes.
        120..7200 => format!("{} min", (seconds + 30) / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Foreign text as one short line.
pub fn line(text: &str) -> String {
    let clean = Untrusted::new(text).cut(LONGEST * 4);
    let words = clean.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
    Untrusted::new(&words).cut(LONGEST).as_str().to_owned()
}

/// What is wrong, in one line: the worst alert's summary, else its name.
pub fn title(alerts: &[&Alert]) -> String {
    let Some(worst) = alerts.first() else { return "its alerts are over".into() };
    let told = ["summary", "description", "message"];
    let said = told.iter().find_map(|name| worst.signal.annotations.get(*name));
    let name = worst.signal.labels.get("alertname");
    said.or(name).map_or_else(|| "an alert without a name".into(), |text| line(text))
}

/// Whose it is: `customer 19 web`, else what groups it.
pub fn whose(incident: &Incident) -> String {
    let subject = &incident.subject;
    match (&subject.customer, &subject.service) {
        (Some(customer), Some(service)) => format!("customer {customer} {service}"),
        (Some(customer), None) => format!("customer {customer}"),
        (None, _) => line(&incident.key),
    }
}

/// The state and what else matters: `acked by anna`, `firing, silenced by 3`.
pub fn state(incident: &Incident) -> String {
    let mut text = match (&incident.ack, incident.state) {
        (Some(ack), IncidentState::Acked) => format!("acked by {}", ack.by),
        (_, state) => state.to_string(),
    };
    match &incident.mute {
        Some(Mute::Silenced { silence }) => text.push_str(&format!(", silenced by {silence}")),
        Some(Mute::Inhibited { by }) => text.push_str(&format!(", explained by {by}")),
        Some(Mute::Quiet) => text.push_str(", waits for the digest"),
        None => {}
    }
    if incident.flapping {
        text.push_str(", flapping");
    }
    text
}

/// One incident in one line: `12 [critical] customer 19 web: Web is down (firing since 02:10)`.
pub fn summary(incident: &Incident, alerts: &[&Alert], times: &Times) -> String {
    let over = incident.resolved_at.map(|at| format!(", over at {}", times.clock(at))).unwrap_or_default();
    format!(
        "{} [{}] {}: {} ({}, since {}{over})",
        incident.id,
        incident.severity,
        whose(incident),
        title(alerts),
        state(incident),
        times.clock(incident.opened_at),
    )
}

/// Incidents as a table.
pub fn table(heading: &str, rows: &[(&Incident, Vec<&Alert>)], times: &Times) -> Block {
    let columns = ["incident", "severity", "whose", "what", "state", "since"];
    let row = |(incident, alerts): &(&Incident, Vec<&Alert>)| {
        vec![
            incident.id.to_string(),
            incident.severity.to_string(),
            whose(incident),
            title(alerts),
            state(incident),
            times.clock(incident.opened_at),
        ]
    };
    Block::Table {
        title: Some(heading.to_owned()),
        columns: columns.map(String::from).to_vec(),
        rows: rows.iter().take(MOST).map(row).collect(),
    }
}

/// One incident in full: its alerts, what happened and what was found out.
pub fn whole(incident: &Incident, alerts: &[&Alert], events: &[IncidentEvent], times: &Times) -> Vec<Block> {
    let mut blocks = vec![Block::text(format!("Incident {}", summary(incident, alerts, times)))];
    if !alerts.is_empty() {
        let columns = ["alert", "severity", "fires", "labels"];
        let row = |alert: &&Alert| {
            let labels = &alert.signal.labels;
            let rest = labels.iter().filter(|(n, _)| n.as_str() != "alertname" && n.as_str() != "severity");
            vec![
                labels.get("alertname").map(|n| line(n)).unwrap_or_default(),
                alert.severity.to_string(),
                if alert.signal.firing { "yes" } else { "no" }.to_owned(),
                line(&rest.map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")),
            ]
        };
        blocks.push(Block::Table {
            title: None,
            columns: columns.map(String::from).to_vec(),
            rows: alerts.iter().take(MOST).map(row).collect(),
        });
    }
    if let Some(excerpt) = alerts.iter().find_map(|a| a.signal.excerpt.clone()) {
        blocks.push(Block::Log { source: excerpt.source, lines: excerpt.lines, omitted: 0 });
    }
    if !incident.findings.is_empty() {
        let title = "What was found out".to_owned();
        blocks.push(Block::Findings { title, items: incident.findings.clone() });
    }
    if !events.is_empty() {
        let skipped = events.len().saturating_sub(MOST);
        let rows = events.iter().skip(skipped).map(|e| vec![times.clock(e.at), line(&e.text)]).collect();
        let title = (skipped > 0).then(|| format!("The last {MOST} of {} events", events.len()));
        let columns = ["when", "what happened"].map(String::from).to_vec();
        blocks.push(Block::Table { title, columns, rows });
    }
    blocks
}

/// The same as plain text, for a model.
pub fn whole_text(incident: &Incident, alerts: &[&Alert], events: &[IncidentEvent], times: &Times) -> String {
    let mut lines = vec![format!("incident {}", summary(incident, alerts, times))];
    for alert in alerts.iter().take(MOST) {
        let labels =
            alert.signal.labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ");
        let fires = if alert.signal.firing { "fires" } else { "is over" };
        lines.push(format!("alert {fires}: {}", line(&labels)));
        if let Some(excerpt) = &alert.signal.excerpt {
            lines.extend(excerpt.lines.iter().map(|l| format!("  {}: {}", excerpt.source, line(l))));
        }
    }
    for finding in &incident.findings {
        let quote = finding.quote.as_ref().map(|q| format!(": \"{}\"", line(q))).unwrap_or_default();
        lines.push(format!("found [{}] {} ({}){quote}", finding.severity, finding.summary, finding.source));
    }
    let skipped = events.len().saturating_sub(MOST);
    lines.extend(events.iter().skip(skipped).map(|e| format!("{} {}", times.clock(e.at), line(&e.text))));
    lines.join("\n")
}

/// The silences as a table, those that end first on top.
pub fn silences(all: &[&Silence], times: &Times) -> Block {
    let mut sorted = all.to_vec();
    sorted.sort_by_key(|s| s.ends_at);
    let columns = ["silence", "covers", "until", "by", "why"];
    let row = |s: &&Silence| {
        let begins = if s.starts_at > times.now {
            format!("from {} ", times.clock(s.starts_at))
        } else {
            String::new()
        };
        vec![
            s.id.to_string(),
            line(&silencing::said(&s.matchers)),
            format!("{begins}{} (in {})", times.clock(s.ends_at), times.span(times.now, s.ends_at)),
            line(&s.by),
            line(&s.comment),
        ]
    };
    Block::Table {
        title: Some("Silences; /unsilence ID ends one".into()),
        columns: columns.map(String::from).to_vec(),
        rows: sorted.iter().take(MOST).map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{begin, incident},
        *,
    };
    use crate::domain::{Ack, IncidentId, SilenceId};

    fn times(minutes: i64) -> Times {
        let now = begin().checked_add(SignedDuration::from_mins(minutes)).unwrap();
        Times { now, zone: TimeZone::UTC }
    }

    #[test]
    fn an_incident_is_told_in_one_line() {
        let (mut one, alerts) = incident(12, (Some("19"), Some("web")), &[&[("alertname", "Down")]]);
        let refs: Vec<_> = alerts.iter().collect();
        let said = |i: &Incident, m| summary(i, &refs, &times(m));
        assert_eq!(said(&one, 5), "12 [critical] customer 19 web: Web is down (firing, since 02:10)");
        one.ack = Some(Ack { by: "anna".into(), at: begin(), until: None });
        one.state = IncidentState::Acked;
        one.mute = Some(Mute::Silenced { silence: SilenceId(3) });
        assert!(said(&one, 5).ends_with("(acked by anna, silenced by 3, since 02:10)"));
        one.mute = Some(Mute::Inhibited { by: IncidentId(4) });
        one.flapping = true;
        assert!(said(&one, 2000).contains("explained by 4, flapping, since Tue 2026-12-01 02:10"));
    }

    #[test]
    fn foreign_text_is_one_short_clean_line() {
        let (one, mut alerts) = incident(1, (None, None), &[&[("alertname", "A")]]);
        let hostile = format!("\u{202e}x\u{1b}[31m\n\n# run {}", "y".repeat(1000));
        alerts[0].signal.annotations.insert("summary".into(), hostile);
        let refs: Vec<_> = alerts.iter().collect();
        let said = title(&refs);
        assert!(said.len() <= LONGEST && !said.contains(['\n', '\u{1b}', '\u{202e}']), "{said:?}");
        assert_eq!(title(&[]), "its alerts are over");
        assert!(whole_text(&one, &refs, &[], &times(1)).lines().all(|l| l.len() < 400));
    }

    #[test]
    fn spans_are_short() {
        for (seconds, want) in [
            (-5, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7169, "119 min"),
            (7199, "120 min"),
            (7200, "2 h"),
            (200_000, "2 days"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), want);
        }
    }
}
