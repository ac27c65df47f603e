//! The digest: what fires, what waited for the morning, what happened since the last one.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::tell::{self, Times};
use crate::domain::{Alert, Block, Incident, IncidentState, Level, Mute, Severity, Silence};

/// So many of the worst offenders are named.
const OFFENDERS: usize = 5;
/// A silence that ends within this time is told.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(24);

/// What a digest is made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Since when it tells.
    pub since: Timestamp,
    /// It should have been told before.
    pub late: Option<Timestamp>,
    /// What is open, worst first, with its alerts.
    pub open: Vec<(&'a Incident, Vec<&'a Alert>)>,
    /// What was open at some time since, the newest first.
    pub past: &'a [Incident],
    /// The silences that have not ended.
    pub silences: Vec<&'a Silence>,
}

/// The digest as it is shown.
pub fn digest(facts: &Facts<'_>, times: &Times) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(due) = facts.late {
        let text =
            format!("This digest is late: it was due at {}, when OpsBot was not running.", times.clock(due));
        blocks.push(Block::notice(Level::Warning, text));
    }
    blocks.push(Block::text(headline(facts, times)));
    let quiet = |incident: &Incident| incident.mute == Some(Mute::Quiet);
    let (waited, firing): (Vec<_>, Vec<_>) = facts.open.iter().cloned().partition(|(i, _)| quiet(i));
    for (title, rows) in [("Fires now", firing), ("Waited in quiet hours", waited)] {
        if !rows.is_empty() {
            let more = rows.len().saturating_sub(tell::MOST);
            let title =
                if more > 0 { format!("{title} (and {more} more: /alerts)") } else { title.to_owned() };
            blocks.push(tell::table(&title, &rows, times));
        }
    }
    blocks.extend(offenders(facts));
    blocks.extend(acks(facts, times));
    let soon = |s: &&&Silence| s.ends_at.duration_since(times.now) <= ENDS_SOON;
    let ending: Vec<_> = facts.silences.iter().filter(soon).copied().collect();
    if !ending.is_empty() {
        blocks.push(tell::silences(&ending, times));
    }
    blocks
}

fn headline(facts: &Facts<'_>, times: &Times) -> String {
    let open = facts.open.len();
    let critical = facts.open.iter().filter(|(i, _)| i.severity == Severity::Critical).count();
    let waited = facts.open.iter().filter(|(i, _)| i.mute == Some(Mute::Quiet)).count();
    let began = facts.past.iter().filter(|i| i.opened_at >= facts.since).count();
    let over = facts.past.iter().filter(|i| i.resolved_at.is_some_and(|at| at >= facts.since)).count();
    let mut parts = vec![match (open, critical) {
        (0, _) => "nothing fires".to_owned(),
        (open, 0) => format!("{open} open"),
        (open, critical) => format!("{open} open, {critical} of them critical"),
    }];
    if waited > 0 {
        parts.push(format!("{waited} waited in quiet hours"));
    }
    parts.push(format!("{began} began and {over} ended"));
    format!("Digest since {}: {}.", times.clock(facts.since), parts.join("; "))
}

fn offenders(facts: &Facts<'_>) -> Option<Block> {
    let mut counts: BTreeMap<String, (usize, Severity)> = BTreeMap::new();
    for incident in facts.past {
        let entry = counts.entry(tell::whose(incident)).or_insert((0, Severity::Ok));
        *entry = (entry.0 + 1, entry.1.max(incident.severity));
    }
    let mut sorted: Vec<_> = counts.into_iter().filter(|(_, (n, _))| *n > 1).collect();
    sorted.sort_by(|(a, (n, s)), (b, (m, t))| (m, t, a).cmp(&(n, s, b)));
    let rows: Vec<_> = sorted
        .into_iter()
        .take(OFFENDERS)
        .map(|(whose, (count, worst))| vec![whose, count.to_string(), worst.to_string()])
        .collect();
    let columns = ["whose", "incidents", "worst"].map(String::from).to_vec();
    (!rows.is_empty()).then(|| Block::Table { title: Some("Most incidents".into()), columns, rows })
}

fn acks(facts: &Facts<'_>, times: &Times) -> Option<Block> {
    let open = facts.open.iter().filter(|(i, _)| i.state == IncidentState::Acked);
    let rows: Vec<_> = open
        .filter_map(|(incident, _)| {
            let ack = incident.ack.as_ref()?;
            let until = ack.until.map_or_else(|| "its end".to_owned(), |at| times.clock(at));
            Some(vec![incident.id.to_string(), ack.by.to_string(), times.clock(ack.at), until])
        })
        .take(tell::MOST)
        .collect();
    let columns = ["incident", "acked by", "at", "holds until"].map(String::from).to_vec();
    (!rows.is_empty()).then(|| Block::Table { title: Some("Acked".into()), columns, rows })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::{
        super::{
            silencing::equal,
            testing::{begin, incident},
        },
        *,
    };
    use crate::domain::{Ack, SilenceId};

    fn hours(n: i64) -> Timestamp {
        begin().checked_add(SignedDuration::from_hours(n)).unwrap()
    }

    fn shown(blocks: &[Block]) -> String {
        let mut out = String::new();
        for block in blocks {
            match block {
                Block::Text { text } | Block::Notice { text, .. } => out.push_str(&format!("{text}\n")),
                Block::Table { title, rows, .. } => {
                    out.push_str(&format!("{}:\n", title.as_deref().unwrap_or_default()));
                    rows.iter().for_each(|r| out.push_str(&format!("  {}\n", r.join(" | "))));
                }
                other => panic!("{other:?}"),
            }
        }
        out
    }

    #[test]
    fn a_digest_tells_what_fires_what_waited_and_what_happened() {
        let (mut a, a_alerts) = incident(12, (Some("19"), Some("web")), &[&[("alertname", "Down")]]);
        let (mut b, b_alerts) = incident(13, (Some("7"), None), &[&[("alertname", "Disk")]]);
        a.state = IncidentState::Acked;
        a.ack = Some(Ack { by: "anna".into(), at: hours(1), until: Some(hours(2)) });
        (b.severity, b.mute) = (Severity::Warning, Some(Mute::Quiet));
        let (mut c, _) = incident(11, (Some("19"), Some("web")), &[]);
        (c.state, c.resolved_at) = (IncidentState::Resolved, Some(hours(1)));
        let silence = Silence {
            id: SilenceId(3),
            matchers: vec![equal("customer", "8")],
            starts_at: begin(),
            ends_at: hours(10),
            by: "ben".into(),
            comment: "move".into(),
        };
        let later = Silence { ends_at: hours(100), ..silence.clone() };
        let past = [b.clone(), a.clone(), c];
        let facts = Facts {
            since: begin(),
            late: Some(hours(4)),
            open: vec![(&a, a_alerts.iter().collect()), (&b, b_alerts.iter().collect())],
            past: &past,
            silences: vec![&silence, &later],
        };
        let times = Times { now: hours(6), zone: TimeZone::UTC };
        assert_eq!(
            shown(&digest(&facts, &times)),
            "This digest is late: it was due at 06:10, when OpsBot was not running.\n\
             Digest since 02:10: 2 open, 1 of them critical; 1 waited in quiet hours; 3 began and 1 ended.\n\
             Fires now:\n  12 | critical | customer 19 web | Web is down | acked by anna | 02:10\n\
             Waited in quiet hours:\n  13 | warning | customer 7 | Web is down | firing, waits for the digest | 02:10\n\
             Most incidents:\n  customer 19 web | 2 | critical\n\
             Acked:\n  12 | anna | 03:10 | 04:10\n\
             Silences; /unsilence ID ends one:\n  3 | customer 8 | 12:10 (in 4 h) | ben | move\n"
        );
    }

    #[test]
    fn a_night_without_alerts_is_one_line() {
        let facts = Facts { since: begin(), late: None, open: vec![], past: &[], silences: vec![] };
        let times = Times { now: hours(6), zone: TimeZone::UTC };
        assert_eq!(
            shown(&digest(&facts, &times)),
            "Digest since 02:10: nothing fires; 0 began and 0 ended.\n"
        );
    }
}
