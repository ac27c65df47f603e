//! Names of metrics: which a query uses, and which of those that exist come nearest to one that does not. Pure.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::domain::Untrusted;

/// So many names are suggested.
const SUGGESTED: usize = 5;
/// A name less alike than this is no help, 0 to 1.
const ALIKE: f64 = 0.35;
/// The longest name that is shown.
const LONGEST: usize = 120;
/// Words that stand where a metric's name could.
const WORDS: [&str; 14] = [
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
    "inf",
    "nan",
    "atan2",
];

/// The names of metrics that `query` uses, in its order.
pub(super) fn of_query(query: &str) -> Vec<String> {
    let chars: Vec<char> = query.chars().collect();
    let (mut names, mut at): (Vec<String>, usize) = (Vec::new(), 0);
    // Names of labels stand in braces, and in parentheses behind words such as `by`.
    let (mut braces, mut listed, mut grouping) = (0_u32, false, false);
    while let Some(&c) = chars.get(at) {
        match c {
            '"' | '\'' | '`' => at = string_end(&chars, at),
            '#' => at += chars.iter().skip(at).take_while(|c| **c != '\n').count(),
            '[' => at += chars.iter().skip(at).take_while(|c| **c != ']').count(),
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '(' => listed = grouping,
            ')' => listed = false,
            c if c.is_ascii_alphabetic() || c == '_' || c == ':' => {
                let word: String = chars
                    .iter()
                    .skip(at)
                    .take_while(|c| c.is_ascii_alphanumeric() || "_:".contains(**c))
                    .collect();
                at += word.chars().count();
                let next = chars.iter().skip(at).find(|c| !c.is_whitespace());
                let known = WORDS.contains(&word.to_ascii_lowercase().as_str());
                let label = braces > 0 || listed;
                // An aggregation may have its labels before its parenthesis: `sum by (job) (up)`.
                let called = next == Some(&'(') || followed_by_grouping(&chars, at);
                if !known && !label && !called && !names.contains(&word) {
                    names.push(word.clone());
                }
                grouping = known && next == Some(&'(');
                continue;
            }
            // `5m` and `1e3` are no names.
            c if c.is_ascii_digit() => {
                at += chars.iter().skip(at).take_while(|c| c.is_ascii_alphanumeric() || **c == '.').count();
                continue;
            }
            _ => {}
        }
        if !chars.get(at).is_some_and(|c| c.is_whitespace()) {
            grouping = false;
        }
        at += 1;
    }
    names
}

fn followed_by_grouping(chars: &[char], at: usize) -> bool {
    let word: String = chars
        .iter()
        .skip(at)
        .skip_while(|c| c.is_whitespace())
        .take_while(|c| c.is_ascii_alphabetic())
        .collect();
    matches!(word.to_ascii_lowercase().as_str(), "by" | "without")
}

/// The index of the string's closing quote, or of the text's end.
fn string_end(chars: &[char], start: usize) -> usize {
    let quote = chars.get(start).copied();
    let mut at = start + 1;
    while let Some(&c) = chars.get(at) {
        if c == '\\' && quote != Some('`') {
            at += 1;
        } else if Some(c) == quote {
            break;
        }
        at += 1;
    }
    at
}

/// Those of `known` that are most like `wanted`.
pub(super) fn nearest(wanted: &str, known: &[Untrusted]) -> Vec<String> {
    let own = pairs(wanted);
    let mut ranked: Vec<_> = known
        .iter()
        .filter(|name| name.as_str().len() <= LONGEST)
        .map(|name| (alike(&own, &pairs(name.as_str())), name.as_str()))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    ranked.sort_by(|a, b| {
        Reverse(a.0).partial_cmp(&Reverse(b.0)).unwrap_or(std::cmp::Ordering::Equal).then(a.1.cmp(b.1))
    });
    ranked.into_iter().take(SUGGESTED).map(|(_, name)| name.to_owned()).collect()
}

/// Pairs of neighbouring characters.
fn pairs(name: &str) -> BTreeSet<(char, char)> {
    name.chars()
        .zip(name.chars().skip(1))
        .map(|(a, b)| (a.to_ascii_lowercase(), b.to_ascii_lowercase()))
        .collect()
}

/// Dice's coefficient.
fn alike(a: &BTreeSet<(char, char)>, b: &BTreeSet<(char, char)>) -> f64 {
    let all = a.len() + b.len();
    if all == 0 { 0.0 } else { 2.0 * a.intersection(b).count() as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_of_a_query_are_found_and_nothing_else() {
        let table: [(&str, &[&str]); 9] = [
            ("up", &["up"]),
            (
                "sum by (job, mode) (rate(node_cpu_seconds_total{mode!=\"idle\", cpu=~'0|1'}[5m]))",
                &["node_cpu_seconds_total"],
            ),
            ("sum(rate(a_total[5m])) without (x) / on (y) group_left (z) b:rate5m", &["a_total", "b:rate5m"]),
            ("up offset 5m > bool 1e3 and vector(1)", &["up"]),
            ("\"text \\\" up\" # down", &[]),
            ("label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")", &["up"]),
            ("{__name__=~\"x.*\"}", &[]),
            ("topk(5, sum_total) unless Inf", &["sum_total"]),
            ("a[1h:5m] + `b", &["a"]),
        ];
        for (query, want) in table {
            assert_eq!(of_query(query), want, "{query}");
        }
    }

    #[test]
    fn the_nearest_come_first_and_strangers_not_at_all() {
        let known: Vec<_> =
            ["node_memory_MemFree_bytes", "node_memory_MemTotal_bytes", "node_load1", "up", "go_gc"]
                .into_iter()
                .map(Untrusted::new)
                .collect();
        let near = nearest("node_memory_free_bytes", &known);
        assert_eq!(near[0], "node_memory_MemFree_bytes");
        assert!(!near.contains(&"up".to_owned()) && near.len() <= SUGGESTED, "{near:?}");
        assert!(nearest("zzz", &known).is_empty() && nearest("", &known).is_empty());
    }
}
