//! What words about alerts say beside the wish itself: which incident, until when, and which alerts. These words are taken out
//! before names and wishes are read: the 8 of "until tomorrow 8" is no customer, and "until" is no condition.

use std::sync::LazyLock;

use jiff::Zoned;

use super::{
    lexicon,
    words::{Break, Role, Word},
};
use crate::domain::until;

/// Words before an incident's number.
const INCIDENT: &[&str] =
    &["incident", "alert", "ack", "acknowledge", "quittiere", "silence", "mute", "snooze"];
/// Words that ask for quiet.
const QUIET: &[&str] = &["silence", "mute", "snooze", "stumm", "stummschalten", "quiet"];
/// Words that begin a time.
const UNTIL: &[&str] = &["until", "till", "til", "bis", "for", "fuer"];
/// The most words of a time, and of what tells which alerts.
const LONGEST: usize = 4;
const KIND: usize = 3;

/// Whether words are a time does not depend on when they are said; this moment leaves every time of day ahead.
static SOME_DAY: LazyLock<Option<Zoned>> = LazyLock::new(|| "2026-01-01T00:00:00+00:00[UTC]".parse().ok());

/// What was said beside the wish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Aside {
    /// The number of an incident.
    pub(super) incident: Option<i64>,
    /// Until when, as it was said.
    pub(super) until: Option<String>,
    /// Which alerts (`disk`).
    pub(super) what: Option<String>,
}

/// Takes number and time out of the words, before names are looked for in them.
pub(super) fn take(words: &mut [Word]) -> Aside {
    let until = if quiet(words) { time(words) } else { None };
    Aside { until, incident: incident(words), what: None }
}

/// Takes out which alerts are meant, once the names are known.
pub(super) fn take_kind(aside: &mut Aside, words: &mut [Word]) {
    if quiet(words) {
        aside.what = kind(words);
    }
}

fn quiet(words: &[Word]) -> bool {
    words.iter().any(|w| w.is_any(QUIET) || QUIET.contains(&w.folded.as_str()))
}

fn time(words: &mut [Word]) -> Option<String> {
    let now = SOME_DAY.as_ref()?;
    for from in 0..words.len() {
        let led = words.get(from).is_some_and(|w| UNTIL.contains(&w.folded.as_str()));
        let digits = words.get(from).is_some_and(|w| w.folded.starts_with(|c: char| c.is_ascii_digit()));
        if !led && !digits {
            continue;
        }
        let most = (from + 1 + LONGEST).min(words.len());
        for to in (from + 1..=most).rev() {
            let span = words.get(from..to).unwrap_or_default();
            let (_, inner) = span.split_last()?;
            let broken = inner.iter().any(|w| w.after != Break::None);
            let text = span.iter().map(|w| w.raw.as_str()).collect::<Vec<_>>().join(" ");
            if !broken && (!led || span.len() > 1) && until::until(&text, now).is_ok() {
                words.iter_mut().skip(from).take(to - from).for_each(|w| w.role = Role::Aside);
                return Some(text);
            }
        }
    }
    None
}

fn incident(words: &mut [Word]) -> Option<i64> {
    let at = (1..words.len()).find(|at| {
        let (before, word) = (words.get(at - 1), words.get(*at));
        let called = before.is_some_and(|w| {
            w.after <= Break::Comma
                && w.role == Role::Plain
                && (INCIDENT.contains(&w.en.as_str()) || INCIDENT.contains(&w.folded.as_str()))
        });
        called && word.is_some_and(|w| w.role == Role::Plain && w.folded.parse::<i64>().is_ok_and(|n| n > 0))
    })?;
    let word = words.get_mut(at)?;
    word.role = Role::Aside;
    word.folded.parse().ok()
}

/// The words right before "alerts" that belong to no other list.
fn kind(words: &mut [Word]) -> Option<String> {
    let at = words.iter().position(|w| w.is_any(&["alert", "alerts"]))?;
    let own = |w: &Word| {
        let common = [lexicon::STOP, lexicon::FILLER, lexicon::QUESTION, QUIET, UNTIL, &["alert", "alerts"]];
        w.role == Role::Plain && w.after == Break::None && !common.iter().any(|l| l.contains(&w.en.as_str()))
    };
    let count = words.iter().take(at).rev().take_while(|w| own(w)).take(KIND).count();
    let from = at - count;
    let text = words.iter().skip(from).take(count).map(|w| w.raw.as_str()).collect::<Vec<_>>().join(" ");
    words.iter_mut().skip(from).take(count).for_each(|w| w.role = Role::Aside);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::{super::words::words, *};

    #[test]
    fn the_time_the_number_and_the_kind_are_taken_out() {
        let table = [
            (
                "silence disk alerts of customer 7 until tomorrow 8",
                (None, Some("until tomorrow 8"), Some("disk")),
            ),
            ("silence 12 for 2h", (Some(12), Some("for 2h"), None)),
            ("mute incident 12 for 2 hours please", (Some(12), Some("for 2 hours"), None)),
            ("silence 12 30m", (Some(12), Some("30m"), None)),
            ("silence alerts for customer 7 until 08:00", (None, Some("until 08:00"), None)),
            (
                "silence the DiskFull alert of 7 until Monday 7",
                (None, Some("until Monday 7"), Some("DiskFull")),
            ),
            ("silence this for 2h", (None, Some("for 2h"), None)),
            ("ack 12", (Some(12), None, None)),
            ("acknowledge alert 12", (Some(12), None, None)),
            ("show me incident 12", (Some(12), None, None)),
            ("restart web of customer 12", (None, None, None)),
            ("keep it quiet until further notice", (None, None, None)),
            ("show disk alerts of 7 for 2h", (None, None, None)),
        ];
        for (text, (incident, until, what)) in table {
            let mut words = words(text);
            let mut aside = take(&mut words);
            take_kind(&mut aside, &mut words);
            let want = Aside { incident, until: until.map(str::to_owned), what: what.map(str::to_owned) };
            assert_eq!(aside, want, "{text}");
        }
    }
}
