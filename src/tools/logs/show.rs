//! Log lines as people and models read them.

use jiff::Timestamp;

use crate::{docker, domain::Untrusted, logs, tools::units};

/// A line with its time (the date only when it is not today's) and what was cut off.
pub(in crate::tools) fn docker_line(line: &docker::LogLine, now: Timestamp) -> String {
    written(line.at, &line.text, line.cut_from, now)
}

/// The same for a line of any log.
pub(in crate::tools) fn line(line: &logs::Line, now: Timestamp) -> String {
    written(line.at, &line.text, line.cut_from, now)
}

fn written(at: Option<Timestamp>, text: &Untrusted, cut_from: Option<u64>, now: Timestamp) -> String {
    let at = at.map(|t| format!("{} ", time(t, now))).unwrap_or_default();
    let cut = cut_from.map(|n| format!("… [cut, {} in all]", units::bytes(n as f64))).unwrap_or_default();
    format!("{at}{text}{cut}")
}

/// A time without its zone's name; all times here are UTC.
pub(in crate::tools) fn time(at: Timestamp, now: Timestamp) -> String {
    units::clock(at, now).trim_end_matches(" UTC").to_owned()
}

/// `1 line`, `3 lines`.
pub(in crate::tools) fn lines(n: u64) -> String {
    if n == 1 { "1 line".into() } else { format!("{n} lines") }
}

/// Shares `budget` between those who have so many lines: nobody gets more than it has, what one leaves others take.
pub(in crate::tools) fn share(budget: usize, have: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..have.len()).collect();
    order.sort_by_key(|i| have.get(*i).copied());
    let mut left = budget;
    let mut parts = vec![0; have.len()];
    for (n, i) in order.iter().enumerate() {
        let fair = left / (have.len() - n);
        // The remainder goes to those who come last, who have the most.
        if let (Some(part), Some(has)) = (parts.get_mut(*i), have.get(*i)) {
            *part = fair.min(*has);
            left -= *part;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shared_fairly() {
        let table: &[(usize, &[usize], &[usize])] = &[
            (50, &[100, 100], &[25, 25]),
            (50, &[3, 100, 100], &[3, 23, 24]),
            (50, &[0, 7], &[0, 7]),
            (2, &[9, 9, 9], &[0, 1, 1]),
            (10, &[], &[]),
        ];
        for (budget, have, want) in table {
            assert_eq!(share(*budget, have), *want, "{budget} {have:?}");
        }
    }
}
