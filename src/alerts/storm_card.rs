//! The card of a storm: how many incidents, how bad, whose, and the list of all that fires.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::CardRules;
use crate::domain::{CustomerId, Severity, StormCard};

/// The most customers that are named.
const CUSTOMERS: usize = 8;
/// The most lines of the list; the rest is on `/alerts`.
pub(super) const LISTED: usize = 10_000;

/// What of an incident a storm's card tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct StormFacts<'a> {
    pub severity: Severity,
    pub customer: Option<&'a CustomerId>,
    /// It is not merely recovering.
    pub fires: bool,
    pub line: &'a str,
}

/// The card over what is covered, worst first, and over so many that are over; with nothing left it says so.
pub(super) fn storm_card<'a>(
    covered: impl Iterator<Item = StormFacts<'a>>,
    resolved: u64,
    since: Timestamp,
    rules: &CardRules,
) -> StormCard {
    let (mut open, mut firing) = (0_u64, 0_u64);
    let mut severities = BTreeMap::<_, u64>::new();
    let mut customers = BTreeMap::<_, u64>::new();
    let mut list = Vec::new();
    for facts in covered {
        open += 1;
        if !facts.fires {
            continue;
        }
        firing += 1;
        *severities.entry(facts.severity).or_default() += 1;
        *customers.entry(facts.customer).or_default() += 1;
        if list.len() < LISTED {
            list.push(facts.line.to_owned());
        }
    }
    let more = firing.saturating_sub(list.len() as u64);
    if more > 0 {
        list.push(format!("and {more} more: /alerts"));
    }
    let over = open == 0;
    let all = ("All alerts".to_owned(), "/alerts".to_owned());
    StormCard {
        since,
        over,
        incidents: (open + resolved, firing),
        severities: severities.into_iter().rev().collect(),
        customers: most_hit(customers, rules),
        list,
        buttons: if over { Vec::new() } else { vec![all] },
    }
}

fn most_hit(customers: BTreeMap<Option<&CustomerId>, u64>, rules: &CardRules) -> Vec<(String, u64)> {
    let mut counted: Vec<_> = customers.into_iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others: u64 = counted.iter().skip(CUSTOMERS).map(|(_, count)| count).sum();
    let name = |id: Option<&CustomerId>| {
        id.map_or_else(
            || "no known customer".to_owned(),
            |id| super::card::one_line(&(rules.customer)(id), 100),
        )
    };
    let mut named: Vec<_> =
        counted.into_iter().take(CUSTOMERS).map(|(id, count)| (name(id), count)).collect();
    if others > 0 {
        named.push(("others".to_owned(), others));
    }
    named
}
