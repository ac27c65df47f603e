//! Who is paged: the ladder, at this moment.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    domain::{Block, Severity},
    policy::Window,
};

/// One step of the ladder, in people's words.
#[derive(Clone, Debug)]
pub struct Rung {
    /// How long after the first page, while nobody acked.
    pub after: Duration,
    /// Whose private chats are paged.
    pub people: Vec<String>,
    /// Which further places are paged.
    pub places: Vec<String>,
    /// Only incidents at least as bad.
    pub at_least: Severity,
    /// Only at these times, as it is configured.
    pub during: Option<(String, Window)>,
}

impl Rung {
    /// Whether it pages at this moment.
    pub fn pages(&self, now: Timestamp) -> bool {
        self.during.as_ref().is_none_or(|(_, window)| window.contains(now))
    }

    fn who(&self) -> String {
        let all: Vec<_> = self.people.iter().chain(&self.places).map(String::as_str).collect();
        if all.is_empty() { "nobody".into() } else { all.join(", ") }
    }

    fn when(&self) -> String {
        if self.after.is_zero() {
            return "at once".into();
        }
        format!(
            "after {} without an ack, critical only",
            super::tell::span(
                jiff::SignedDuration::try_from(self.after).unwrap_or(jiff::SignedDuration::MAX)
            )
        )
    }
}

/// One sentence: who is paged at once at this moment.
pub fn sentence(ladder: &[Rung], now: Timestamp) -> String {
    if ladder.is_empty() {
        return "No ladder is set up: add [[alerts.step]] to the configuration.".into();
    }
    let first: Vec<_> = ladder.iter().filter(|r| r.after.is_zero() && r.pages(now)).map(Rung::who).collect();
    let next = ladder.iter().filter(|r| !r.after.is_zero() && r.pages(now)).min_by_key(|r| r.after);
    let mut text = match first.as_slice() {
        [] => "Nobody is paged at once at this time.".to_owned(),
        who => format!("Paged at once: {}.", who.join(", ")),
    };
    if let Some(next) = next {
        text.push_str(&format!(" Then {}: {}.", next.when(), next.who()));
    }
    text
}

/// The ladder as a table.
pub fn table(ladder: &[Rung], now: Timestamp) -> Block {
    let row = |(n, rung): (usize, &Rung)| {
        let during = rung.during.as_ref().map_or("always", |(text, _)| text).to_owned();
        let on = if rung.pages(now) { "yes" } else { "no" };
        vec![n.to_string(), rung.when(), rung.who(), rung.at_least.to_string(), during, on.to_owned()]
    };
    let columns = ["step", "when", "who", "at least", "during", "now"].map(String::from).to_vec();
    Block::Table {
        title: Some("Who is paged".into()),
        columns,
        rows: ladder.iter().enumerate().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(after: u64, who: &str, during: Option<&str>) -> Rung {
        Rung {
            after: Duration::from_secs(after),
            people: vec![who.into()],
            places: vec![],
            at_least: Severity::Warning,
            during: during.map(|text| (text.to_owned(), text.parse().unwrap())),
        }
    }

    #[test]
    fn who_is_paged_follows_the_time() {
        let ladder = [
            rung(0, "anna", Some("daily 08:00-18:00 UTC")),
            rung(0, "ben", Some("daily 18:00-08:00 UTC")),
            rung(900, "cleo", None),
            rung(1800, "dora", None),
        ];
        let at = |text: &str| text.parse().unwrap();
        let then = "Then after 15 min without an ack, critical only: cleo.";
        assert_eq!(sentence(&ladder, at("2026-12-01T09:00:00Z")), format!("Paged at once: anna. {then}"));
        assert_eq!(sentence(&ladder, at("2026-12-01T02:00:00Z")), format!("Paged at once: ben. {then}"));
        assert_eq!(
            sentence(&ladder[..1], at("2026-12-01T02:00:00Z")),
            "Nobody is paged at once at this time."
        );
        assert!(sentence(&[], at("2026-12-01T02:00:00Z")).contains("[[alerts.step]]"));
        let Block::Table { rows, columns, .. } = table(&ladder, at("2026-12-01T09:00:00Z")) else { panic!() };
        assert!(rows.iter().all(|r| r.len() == columns.len()));
        assert_eq!(rows.iter().map(|r| r[5].as_str()).collect::<Vec<_>>(), ["yes", "no", "yes", "yes"]);
    }
}
