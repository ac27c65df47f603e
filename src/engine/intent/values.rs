//! Counts and spans of time in words: "the last 100 lines", "since yesterday", "past two hours".

use super::{
    lexicon,
    words::{Break, Role, Word},
};

/// What a message says of amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    /// How many lines, entries or the like.
    pub(super) count: Option<i64>,
    /// How far back, as a tool reads it (`15m`).
    pub(super) span: Option<String>,
}

/// Words before a span or a count that belong to it.
const LEADS: &[&str] = &[
    "last", "past", "the", "since", "for", "in", "over", "within", "during", "of", "previous", "recent",
    "latest", "from", "tail", "about", "around", "newest", "window",
];
/// What is counted.
const COUNTABLE: &[&str] = &["line", "lines", "entries", "messages", "rows", "logs", "log"];

/// Reads the words from `from` up to `to` and marks those that it took.
pub(super) fn find(words: &mut [Word], from: usize, to: usize) -> Values {
    let mut values = Values::default();
    let mut at = from;
    while at < to {
        let taken = match span(words, at, to) {
            Some((text, len)) if values.span.is_none() => {
                values.span = Some(text);
                len
            }
            _ => match count(words, at, to) {
                Some((n, len)) if values.count.is_none() => {
                    values.count = Some(n);
                    len
                }
                _ => {
                    at += 1;
                    continue;
                }
            },
        };
        mark(words, at, taken);
        at += taken;
    }
    values
}

/// Marks the words of a value, and those before it that lead to it.
fn mark(words: &mut [Word], at: usize, len: usize) {
    for word in words.iter_mut().skip(at).take(len) {
        // "The last 50 lines" still speaks of logs.
        if !COUNTABLE.contains(&word.en.as_str()) {
            word.role = Role::Value;
        }
    }
    for word in words.iter_mut().take(at).rev() {
        if !word.is_any(LEADS) || word.after != Break::None {
            break;
        }
        word.role = Role::Value;
    }
}

fn span(words: &[Word], at: usize, to: usize) -> Option<(String, usize)> {
    let word = words.get(at).filter(|w| w.role == Role::Plain)?;
    if let Some(span) = glued(&word.folded) {
        return Some((span, 1));
    }
    let lead = at.checked_sub(1).and_then(|n| words.get(n)).map(|w| w.en.as_str()).unwrap_or_default();
    let single = match word.en.as_str() {
        "yesterday" | "today" => Some("1d"),
        "overnight" | "tonight" => Some("12h"),
        _ => None,
    };
    if let Some(span) = single {
        return Some((span.to_owned(), 1));
    }
    let next = words.get(at + 1).filter(|_| at + 1 < to && word.after == Break::None);
    let after = words.get(at + 2).filter(|_| at + 2 < to && next.is_some_and(|w| w.after == Break::None));
    if word.en == "half" {
        let skip = usize::from(next.is_some_and(|w| w.en == "an" || w.en == "a"));
        let hour = if skip == 1 { after } else { next };
        return hour.filter(|w| w.en == "hour").map(|_| ("30m".to_owned(), 2 + skip));
    }
    if let (true, Some("morning" | "night" | "evening"), "this" | "last") =
        (word.en == "this" || word.en == "last", next.map(|w| w.en.as_str()), word.en.as_str())
    {
        return Some(("12h".to_owned(), 2));
    }
    // "The last hour", "since an hour".
    let led = matches!(lead, "last" | "past" | "previous" | "an" | "a" | "since" | "this");
    if led && let Some(unit) = unit(&word.en) {
        return Some((render(1, unit), 1));
    }
    let n = number(&word.folded)?;
    let unit = unit(&next?.en)?;
    Some((render(n, unit), 2))
}

/// `15m`, `2h`, `30min`, `1h30m`.
fn glued(text: &str) -> Option<String> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (n, rest) = text.split_at_checked(digits)?;
    let n = n.parse().ok()?;
    if rest.chars().all(char::is_alphabetic) {
        return unit(rest).map(|u| render(n, u));
    }
    let (hours, minutes) = rest.split_once('h').filter(|(before, _)| before.is_empty())?;
    let minutes = minutes.strip_suffix('m').unwrap_or(minutes);
    let minutes: u64 = minutes.parse().ok().filter(|_| hours.is_empty())?;
    Some(format!("{n}h{minutes}m"))
}

/// Seconds in a unit of time.
fn unit(word: &str) -> Option<u64> {
    Some(match word {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" | "std" => 3600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        "month" | "months" => 2_592_000,
        _ => return None,
    })
}

fn render(n: u64, unit: u64) -> String {
    match unit {
        1 => format!("{n}s"),
        60 => format!("{n}m"),
        3600 => format!("{n}h"),
        _ => format!("{}d", n.saturating_mul(unit / 86_400)),
    }
}

/// A whole number in digits or in words.
pub(super) fn number(word: &str) -> Option<u64> {
    if let Some((_, n)) = lexicon::NUMBERS.iter().find(|(said, _)| *said == word) {
        return Some(*n);
    }
    if let Some((tens, ones)) = word.split_once('-') {
        let tens = number(tens).filter(|n| n % 10 == 0 && *n >= 20)?;
        return number(ones).filter(|n| *n < 10).map(|ones| tens + ones);
    }
    word.parse().ok().filter(|n| *n < 1_000_000)
}

fn count(words: &[Word], at: usize, to: usize) -> Option<(i64, usize)> {
    let word = words.get(at).filter(|w| w.role == Role::Plain)?;
    let counted = |n: usize| words.get(n).is_some_and(|w| n < to && w.is_any(COUNTABLE));
    if let Some(n) = word.folded.strip_prefix("lines=").and_then(|n| n.parse().ok()) {
        return Some((n, 1));
    }
    let n = i64::try_from(number(&word.folded)?).ok()?;
    let open = word.after == Break::None;
    if open && counted(at + 1) {
        // "100 log lines"
        let both = words.get(at + 1).is_some_and(|w| w.en == "log") && counted(at + 2);
        return Some((n, if both { 3 } else { 2 }));
    }
    let between = words.get(at + 1).is_some_and(|w| !w.is_any(lexicon::STOP) && w.role == Role::Plain);
    if open && between && counted(at + 2) {
        return Some((n, 1));
    }
    let lead = at.checked_sub(1).and_then(|n| words.get(n))?;
    (lead.is_any(&["last", "latest", "tail", "newest", "lines", "recent"]) && lead.after == Break::None)
        .then_some((n, 1))
}
