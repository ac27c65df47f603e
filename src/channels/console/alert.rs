//! Incidents on a terminal: one card, or the card of a storm, coloured by how bad it is.

use super::{
    style::{Ink, Style},
    text::{one_line, width, wrap},
};
use crate::domain::{AlertCard, IncidentState, Severity, StormCard};

/// The most customers that a storm's card names.
const CUSTOMERS: usize = 12;

/// The mark and the colour of a severity.
pub(super) fn mark(style: &Style, severity: Severity) -> (&str, Ink) {
    match severity {
        Severity::Critical => (style.either("✖", "x"), Ink::Red),
        Severity::Warning => (style.either("▲", "!"), Ink::Yellow),
        Severity::Info => (style.either("•", "*"), Ink::Cyan),
        Severity::Ok => (style.either("✔", "+"), Ink::Green),
    }
}

/// What a card says before its findings: how bad, whose, what, since when, what else has to be known.
pub(super) fn head(style: &Style, card: &AlertCard) -> Vec<String> {
    let (mark, word, ink) = heading(style, card);
    let whose = [card.customer.as_deref(), card.service.as_deref()];
    let whose = whose.into_iter().flatten().map(one_line).filter(|part| !part.is_empty());
    let first = [word].into_iter().chain(whose).collect::<Vec<_>>().join(style.either(" · ", ", "));
    let mut out = painted(style, ink, &format!("{mark} {first}"));
    out.extend(painted(style, Ink::Bold, &one_line(&card.title)));
    let since = style.moment(card.since);
    let when = match (card.over_at, card.lasted()) {
        (Some(over), Some(lasted)) => format!("lasted {lasted}, {since} to {}", style.moment(over)),
        _ => format!("since {since}"),
    };
    out.extend(painted(style, Ink::Dim, &format!("incident {}, {when}", card.incident)));
    out.extend(card.value.iter().flat_map(|value| hung(style, "value: ", value)));
    let (note, item) = (style.either("▸ ", "> "), style.either("• ", "* "));
    out.extend(card.notes.iter().flat_map(|text| hung(style, note, text)));
    if card.alerts.len() > 1 {
        out.extend(card.alerts.iter().flat_map(|text| hung(style, item, text)));
    }
    let labels: Vec<String> =
        card.labels.iter().map(|(name, value)| format!("{}={}", one_line(name), one_line(value))).collect();
    if !labels.is_empty() {
        out.extend(painted(style, Ink::Dim, &labels.join("  ")));
    }
    out
}

/// The card of a storm, with all that fires.
pub(super) fn storm(style: &Style, card: &StormCard) -> Vec<String> {
    let (all, firing) = card.incidents;
    let (title, ink) = if card.over {
        (format!("storm over: all of {all} incidents are resolved"), Ink::Green)
    } else {
        (format!("storm: {firing} of {all} incidents fire"), Ink::Red)
    };
    let mut out = painted(style, ink, &title);
    out.extend(painted(style, Ink::Dim, &format!("since {}", style.moment(card.since))));
    for (severity, count) in card.severities.iter().filter(|(_, count)| *count > 0) {
        let (mark, ink) = mark(style, *severity);
        out.extend(painted(style, ink, &format!("{mark} {count} {}", severity.word())));
    }
    for (name, count) in card.customers.iter().take(CUSTOMERS) {
        out.extend(wrap(&format!("  {}: {count}", one_line(name)), style.width));
    }
    if card.customers.len() > CUSTOMERS {
        out.push(format!("  and {} more", card.customers.len() - CUSTOMERS));
    }
    out.extend(card.list.iter().flat_map(|line| hung(style, style.either("• ", "* "), line)));
    out
}

fn heading<'a>(style: &'a Style, card: &AlertCard) -> (&'a str, String, Ink) {
    let (mark, ink) = mark(style, card.severity);
    let severity = card.severity.word().to_uppercase();
    match card.state {
        IncidentState::Firing => (mark, severity, ink),
        IncidentState::Acked => (mark, format!("{severity}, acked"), ink),
        IncidentState::Recovering => (mark, format!("{severity}, recovering"), ink),
        IncidentState::Resolved => (style.either("✔", "+"), "RESOLVED".to_owned(), Ink::Green),
    }
}

fn painted(style: &Style, ink: Ink, text: &str) -> Vec<String> {
    wrap(text, style.width).iter().map(|line| style.paint(ink, line)).collect()
}

/// `text` after `lead`, its further lines below its first.
fn hung(style: &Style, lead: &str, text: &str) -> Vec<String> {
    let indent = width(lead);
    let lines = wrap(&one_line(text), style.width.saturating_sub(indent).max(1));
    let put = |(n, line): (usize, &String)| {
        format!("{}{line}", if n == 0 { lead.to_owned() } else { " ".repeat(indent) })
    };
    lines.iter().enumerate().map(put).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;
    use crate::{
        channels::console::Renderer,
        domain::{Block, Excerpt, IncidentId},
    };

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_795_269_600 + minute * 60).unwrap()
    }

    /// A card in whose every text `text` stands.
    pub(in super::super) fn card(text: &str) -> AlertCard {
        let own = || text.to_owned();
        AlertCard {
            incident: IncidentId(47),
            severity: Severity::Critical,
            state: IncidentState::Firing,
            title: own(),
            customer: Some(own()),
            service: Some("web".into()),
            since: at(0),
            over_at: None,
            value: Some(own()),
            labels: vec![("job".into(), own())],
            alerts: vec![own(), own()],
            notes: vec![own()],
            excerpt: Some(Excerpt { source: own(), lines: vec![own()] }),
            findings: vec![],
            chart: None,
            buttons: vec![(own(), "/ack 47".into())],
            runbook: Some("https://wiki.example/web".into()),
        }
    }

    pub(in super::super) fn storm_card(text: &str) -> StormCard {
        StormCard {
            since: at(0),
            over: false,
            incidents: (214, 180),
            severities: vec![(Severity::Critical, 40), (Severity::Warning, 140)],
            customers: vec![(text.to_owned(), 180)],
            list: vec![text.to_owned(); 3],
            buttons: vec![("All".into(), "/alerts".into())],
        }
    }

    #[test]
    fn a_card_reads_from_how_bad_it_is_to_what_can_be_done() {
        let style = Style { width: 50, ..Style::plain(TimeZone::UTC) };
        let card = AlertCard {
            title: "one request in three fails".into(),
            customer: Some("19 Bloom Flowers".into()),
            value: Some("0.34, threshold 0.05".into()),
            alerts: vec!["HighErrorRate web-1".into(), "SlowRequests web-1".into()],
            notes: vec!["explained by nothing else that is known to fire here".into()],
            excerpt: Some(Excerpt { source: "shop-web".into(), lines: vec!["upstream timed out".into()] }),
            labels: vec![("job".into(), "nginx".into())],
            buttons: vec![("Ack".into(), "/ack 47".into())],
            ..card("x")
        };
        let shown =
            |card: &AlertCard| Renderer::new(style.clone()).block(&Block::Alert(Box::new(card.clone())));
        assert_eq!(
            shown(&card),
            "✖ CRITICAL · 19 Bloom Flowers · web\n\
             one request in three fails\n\
             incident 47, since 2026-11-21 14:00:00 UTC\n\
             value: 0.34, threshold 0.05\n\
             ▸ explained by nothing else that is known to fire\n\
             \x20 here\n\
             • HighErrorRate web-1\n\
             • SlowRequests web-1\n\
             job=nginx\n\
             shop-web\n\
             │ upstream timed out\n\
             runbook: https://wiki.example/web\n\
             To act:\n\
             \x20 /ack 47  Ack\n"
        );
        let over = AlertCard { state: IncidentState::Resolved, over_at: Some(at(65)), ..card };
        let shown = shown(&over);
        assert!(shown.starts_with("✔ RESOLVED · 19 Bloom Flowers"), "{shown}");
        assert!(shown.contains("lasted 1 h 5 min") && !shown.contains("/ack"), "{shown}");
    }

    #[test]
    fn a_storm_shows_counts_and_all_that_fires() {
        let style = Style { unicode: false, ..Style::plain(TimeZone::UTC) };
        let renderer = Renderer::new(style);
        let shown = renderer.block(&Block::Storm(Box::new(storm_card("19 Bloom Flowers"))));
        assert_eq!(
            shown,
            "storm: 180 of 214 incidents fire\n\
             since 2026-11-21 14:00:00 UTC\n\
             x 40 critical\n\
             ! 140 warning\n\
             \x20 19 Bloom Flowers: 180\n\
             * 19 Bloom Flowers\n* 19 Bloom Flowers\n* 19 Bloom Flowers\n"
        );
        let over = StormCard { over: true, list: vec![], ..storm_card("x") };
        assert!(renderer.block(&Block::Storm(Box::new(over))).starts_with("storm over: all of 214"));
    }
}
