//! Which customers' recent logs hold the same message, numbers and quotes aside; within a few seconds, gaps said.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time;

use super::Telling;
use crate::{
    domain::{Customer, CustomerId},
    logs::{Pattern, Want},
    tools::logs::{Ask, LogSources, Meant},
};

/// How far back.
const BACK: SignedDuration = SignedDuration::from_hours(24);
/// So many of each log's last lines.
const LINES: u32 = 5_000;
/// How long it may take for all customers.
const WITHIN: Duration = Duration::from_secs(12);
const AT_ONCE: usize = 4;
/// So many customers are named.
const NAMED: usize = 12;
/// A message is told by so much of it, in bytes.
const KEY: usize = 90;
/// With fewer letters in it, it would be everywhere.
const LETTERS: usize = 10;

/// Where the message was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Customer, how many lines, the services.
    with: Vec<(CustomerId, u64, Vec<String>)>,
    looked: usize,
    not_looked: usize,
    /// The message is too short to be looked for.
    too_short: bool,
    gaps: Vec<String>,
}

impl Seen {
    pub(super) fn sentence(&self) -> String {
        if self.too_short {
            return "Other logs were not searched: the message is too short to tell it from others.".into();
        }
        let late = match self.not_looked {
            0 => String::new(),
            n => format!(" ({n} customers were not looked at: the time was up)"),
        };
        let scope = format!("in the last {LINES} lines and 24 hours of every log");
        if self.with.is_empty() {
            return format!(
                "Nobody's logs hold this message {scope}; {} customers looked at{late}.",
                self.looked
            );
        }
        let name = |(id, count, services): &(CustomerId, u64, Vec<String>)| {
            let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
            format!("customer {id} ({}, {times})", services.join(", "))
        };
        let named: Vec<_> = self.with.iter().take(NAMED).map(name).collect();
        let more = match self.with.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("The same message stands {scope}: {}{more}{late}.", named.join("; "))
    }

    pub(super) fn gaps(&self) -> impl Iterator<Item = String> {
        self.gaps.clone().into_iter()
    }
}

/// Looks for these lines' messages in every customer's logs.
pub(super) async fn look(sources: &LogSources, parts: &[Telling<'_>], now: Timestamp) -> Seen {
    let keys: Vec<_> = parts.iter().filter_map(key).collect();
    let pattern = (!keys.is_empty()).then(|| Pattern::new(&keys.join("|")).ok()).flatten();
    let Some(pattern) = pattern else { return Seen { too_short: true, ..Seen::default() } };
    let ask = Ask {
        want: Want { pattern: Some(pattern), ..Want::default() },
        since: now.checked_sub(BACK).ok(),
        lines: Some(LINES),
        now,
        within: WITHIN,
    };
    let mut seen = Seen::default();
    let Ok(inventory) = time::timeout(WITHIN, sources.inventory.snapshot()).await else {
        return Seen { gaps: vec!["the Docker hosts do not answer".into()], ..seen };
    };
    seen.gaps = inventory.gaps();
    let customers: Vec<Customer> = inventory.customers().into_iter().cloned().collect();
    let one = |customer: Customer| {
        let containers = inventory.members(&customer.id).iter().map(|m| m.r.clone()).collect();
        let meant = Meant { customer: customer.id, service: None, containers };
        let ask = &ask;
        async move { (sources.parts(&meant, ask).await, meant.customer) }
    };
    let all = customers.len();
    let looking = async {
        let mut answers = stream::iter(customers).map(one).buffer_unordered(AT_ONCE);
        while let Some((parts, customer)) = answers.next().await {
            seen.looked += 1;
            let with: Vec<_> = parts.iter().filter(|p| p.tally.matched() > 0).collect();
            let count = with.iter().map(|p| p.tally.matched()).sum();
            let mut services: Vec<_> = with.iter().map(|p| p.service.to_string()).collect();
            services.sort();
            services.dedup();
            if count > 0 {
                seen.with.push((customer, count, services));
            }
        }
    };
    // What was seen until then counts.
    let _in_time = time::timeout(WITHIN, looking).await;
    seen.not_looked = all - seen.looked;
    seen.with.sort_by(|(a, m, _), (b, n, _)| n.cmp(m).then_with(|| a.cmp(b)));
    seen
}

/// A regular expression for the line's message, without what differs from one time to the next.
fn key(part: &Telling<'_>) -> Option<String> {
    // From where the catalogue knows it; else behind the time, the level and the like.
    let start = part.known.unwrap_or_else(|| head(part.line));
    let message = part.line.get(start..)?;
    let message = message.get(..message.floor_char_boundary(KEY))?;
    let mut out = String::new();
    let mut letters = 0;
    let mut rest = message.trim_end();
    while let Some(c) = rest.chars().next() {
        let (word, after) = match c {
            '"' => match rest.get(1..).and_then(|r| r.find('"')) {
                Some(end) => rest.split_at(end + 2),
                None => break,
            },
            c if c.is_alphanumeric() => {
                rest.split_at(rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len()))
            }
            c => rest.split_at(c.len_utf8()),
        };
        rest = after;
        // The last word may be cut off.
        let cut = after.is_empty() && message.len() >= KEY;
        match c {
            '"' => out.push_str(r#""[^"]*""#),
            _ if cut && c.is_alphanumeric() => break,
            c if c.is_whitespace() => out.push_str(r"\s+"),
            _ if word.bytes().any(|b| b.is_ascii_digit()) => out.push_str(r"\w+"),
            _ => {
                letters += word.chars().filter(|c| c.is_alphabetic()).count();
                out.push_str(&regex::escape(word));
            }
        }
    }
    (letters >= LETTERS).then_some(out)
}

/// Where the message begins: behind leading words with digits, brackets, and levels.
fn head(line: &str) -> usize {
    let levels = [
        "trace", "debug", "info", "notice", "warn", "warning", "error", "err", "crit", "critical", "fatal",
        "log",
    ];
    let mut at = 0;
    for word in line.split_inclusive(char::is_whitespace) {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let skipped = bare.is_empty()
            || bare.bytes().any(|b| b.is_ascii_digit())
            || word.starts_with('[')
            || levels.iter().any(|l| l.eq_ignore_ascii_case(bare))
            || MONTHS.iter().any(|m| m.eq_ignore_ascii_case(bare))
            || matches!(bare, "UTC" | "GMT");
        if !skipped {
            return at;
        }
        at += word.len();
    }
    0
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::explain::{catalog::CATALOG, telling};

    #[test]
    fn a_message_is_found_again_with_other_numbers_and_without_what_stood_before() {
        let table = [
            (
                "2026/11/21 16:20:01 [error] 12#12: *4 connect() failed (111: Connection refused) while connecting to upstream, client: 1.2.3.4",
                "[error] 7#7: *99 connect() failed (111: Connection refused) while connecting to upstream, client: 9.9.9.9",
                "upstream timed out (110: Connection timed out)",
            ),
            (
                "2026-11-21 16:20:01 UTC [7] ERROR:  order 4711 of \"Anna\" was lost on its way",
                "ERROR:  order 9 of \"Bert and Carl\" was lost on its way",
                "ERROR:  order 9 was found",
            ),
            (
                "Nov 21 16:20:01 host app[7]: worker pool exhausted",
                "host app[12]: worker pool exhausted",
                "pool",
            ),
        ];
        for (pasted, same, other) in table {
            let found = CATALOG.as_ref().unwrap().find(&[pasted]);
            let pattern = Pattern::new(&key(&telling(&[pasted], &found)[0]).unwrap()).unwrap();
            assert!(
                !pattern.is_literal() && pattern.find(same.as_bytes()).is_some(),
                "{pasted}: {pattern:?}"
            );
            assert!(pattern.find(other.as_bytes()).is_none(), "{pasted}: {pattern:?}");
        }
        for short in
            ["502", "error 17", "1.2.3.4 - - [21/Nov/2026:16:20:01 +0000] \"GET / HTTP/1.1\" 502 157"]
        {
            assert_eq!(key(&Telling { line: short, known: None }), None, "{short}");
        }
    }

    #[test]
    fn the_sentence_names_who_has_it_and_what_was_not_looked_at() {
        let mut seen = Seen { looked: 3, not_looked: 2, ..Seen::default() };
        assert!(
            seen.sentence().contains("Nobody's logs") && seen.sentence().contains("2 customers were not")
        );
        seen.with.push(("19".into(), 7, vec!["app".into(), "web".into()]));
        assert!(seen.sentence().contains("customer 19 (app, web, 7 times)"), "{}", seen.sentence());
    }
}
