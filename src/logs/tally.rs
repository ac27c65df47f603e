//! Lines counted as they pass: how many match, the first and last time, the newest of them, what repeats.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use super::{Pattern, mask::mask_into};
use crate::domain::Untrusted;

/// A shown line is cut to so many bytes, around its match.
const SHOWN: usize = 2_000;
/// A neighbour of a shown line is cut to so many bytes.
const NEIGHBOUR: usize = 300;
/// So many different messages are told apart; further ones are counted together.
const MESSAGES: usize = 4_000;

/// What of the lines is wanted.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Only lines that match; none means all.
    pub pattern: Option<Pattern>,
    /// How many of the newest are kept.
    pub keep: usize,
    /// The line before and the line after each kept one.
    pub context: bool,
    /// Count how often each message (numbers masked) occurs.
    pub messages: bool,
}

/// A kept line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// When it was written, where that is known.
    pub at: Option<Timestamp>,
    /// The line, cleaned, perhaps cut.
    pub text: Untrusted,
    /// The line's true length in bytes, when it was cut.
    pub cut_from: Option<u64>,
    /// The line before it, cut.
    pub before: Option<Untrusted>,
    /// The line after it, cut.
    pub after: Option<Untrusted>,
}

/// One line as it passes.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'l> {
    /// The line without its end, perhaps only its beginning.
    pub text: &'l [u8],
    /// The whole line's length in bytes.
    pub length: u64,
}

impl<'l> Passing<'l> {
    /// A whole line.
    pub fn whole(text: &'l [u8]) -> Self {
        Self { text, length: text.len() as u64 }
    }
}

/// What was counted. Lines pass from the oldest to the newest; an older part is put in front of a newer one.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    want: Want,
    seen: u64,
    matched: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    kept: VecDeque<Line>,
    messages: HashMap<Vec<u8>, u64>,
    /// Matches whose message was one too many to tell apart.
    other: u64,
    /// The last line that passed, cut; in place to spare an allocation a line.
    previous: Vec<u8>,
    any_previous: bool,
    /// The newest kept line waits for the line after it.
    waits: bool,
    masked: Vec<u8>,
}

impl Tally {
    /// Nothing so far.
    pub fn new(want: Want) -> Self {
        Self { want, ..Self::default() }
    }

    /// An empty one that wants the same.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::new(self.want.clone())
    }

    /// Counts a line; `at` is asked for its time only if it matches.
    pub fn line(&mut self, line: Passing<'_>, at: impl FnOnce() -> Option<Timestamp>) {
        self.seen += 1;
        if self.waits {
            self.waits = false;
            if let Some(kept) = self.kept.back_mut() {
                kept.after = Some(head(line.text));
            }
        }
        let start = match &self.want.pattern {
            Some(pattern) => pattern.find(line.text),
            None => Some(0),
        };
        if let Some(start) = start {
            self.take(line, start, at());
        }
        if self.want.context {
            self.previous.clear();
            self.previous
                .extend_from_slice(line.text.get(..NEIGHBOUR.min(line.text.len())).unwrap_or_default());
            self.any_previous = true;
        }
    }

    fn take(&mut self, line: Passing<'_>, start: usize, at: Option<Timestamp>) {
        self.matched += 1;
        self.first = self.first.or(at);
        self.last = at.or(self.last);
        if self.want.messages {
            mask_into(line.text, &mut self.masked);
            if let Some(count) = self.messages.get_mut(&self.masked) {
                *count += 1;
            } else if self.messages.len() < MESSAGES {
                self.messages.insert(self.masked.clone(), 1);
            } else {
                self.other += 1;
            }
        }
        if self.want.keep == 0 {
            return;
        }
        if self.kept.len() >= self.want.keep {
            self.kept.pop_front();
        }
        let before = (self.want.context && self.any_previous).then(|| head(&self.previous));
        let (text, cut) = around(line.text, start);
        let cut_from = (cut || line.length > line.text.len() as u64).then_some(line.length);
        self.kept.push_back(Line { at, text, cut_from, before, after: None });
        self.waits = self.want.context;
    }

    /// Puts what was counted of older lines in front.
    pub fn put_before(&mut self, older: Self) {
        self.seen += older.seen;
        self.matched += older.matched;
        self.first = older.first.or(self.first);
        self.last = self.last.or(older.last);
        for line in older.kept.into_iter().rev() {
            if self.kept.len() < self.want.keep {
                self.kept.push_front(line);
            }
        }
        self.other += older.other;
        for (message, count) in older.messages {
            let room = self.messages.len() < MESSAGES;
            match self.messages.get_mut(&message) {
                Some(known) => *known += count,
                None if room => {
                    self.messages.insert(message, count);
                }
                None => self.other += count,
            }
        }
    }

    /// How many lines passed.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// How many of them match.
    pub fn matched(&self) -> u64 {
        self.matched
    }

    /// The times of the first and of the last match, where lines say them.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.first.zip(self.last)
    }

    /// The newest matches, oldest first.
    pub fn kept(&self) -> &VecDeque<Line> {
        &self.kept
    }

    /// How many matches were not kept.
    pub fn omitted(&self) -> u64 {
        self.matched.saturating_sub(self.kept.len() as u64)
    }

    /// The messages, the most frequent first.
    pub fn messages(&self) -> Vec<(Untrusted, u64)> {
        let mut all: Vec<_> = self.messages.clone().into_iter().collect();
        all.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        all.into_iter().map(|(message, count)| (Untrusted::from_bytes(&message), count)).collect()
    }
}

fn head(line: &[u8]) -> Untrusted {
    Untrusted::from_bytes(line.get(..NEIGHBOUR.min(line.len())).unwrap_or_default())
}

/// The line, or so much of it around its match as is shown; and whether that is less than all.
fn around(line: &[u8], start: usize) -> (Untrusted, bool) {
    if line.len() <= SHOWN {
        return (Untrusted::from_bytes(line), false);
    }
    let from = if start < SHOWN / 2 { 0 } else { start - SHOWN / 4 };
    let part = line.get(from..line.len().min(from + SHOWN)).unwrap_or_default();
    let text = Untrusted::from_bytes(part);
    let text = if from > 0 { Untrusted::new(&format!("… {text}")) } else { text };
    (text, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(1_795_278_000 + second).ok()
    }

    fn tally(want: &Want, lines: &[(&str, i64)]) -> Tally {
        let mut tally = Tally::new(want.clone());
        for (text, second) in lines {
            tally.line(Passing::whole(text.as_bytes()), || at(*second));
        }
        tally
    }

    fn want() -> Want {
        Want { pattern: Some(Pattern::new("error").unwrap()), keep: 2, context: true, messages: true }
    }

    #[test]
    fn matches_are_counted_and_the_newest_kept_with_their_neighbours() {
        let lines = [("start", 0), ("error 1", 1), ("error 2", 2), ("calm", 3), ("ERROR 3", 4)];
        let t = tally(&want(), &lines);
        assert_eq!((t.seen(), t.matched(), t.omitted(), t.span()), (5, 3, 1, at(1).zip(at(4))));
        let kept: Vec<_> = t
            .kept()
            .iter()
            .map(|l| {
                let side = |s: &Option<Untrusted>| s.as_ref().map_or("-".into(), ToString::to_string);
                format!("{}|{}|{}", side(&l.before), l.text, side(&l.after))
            })
            .collect();
        assert_eq!(kept, ["error 1|error 2|calm", "calm|ERROR 3|-"]);
        let messages: Vec<_> = t.messages().iter().map(|(m, n)| format!("{n} {m}")).collect();
        assert_eq!(messages, ["2 error #", "1 ERROR #"]);
    }

    #[test]
    fn older_parts_go_in_front() {
        let mut t = tally(&want(), &[("x", 5), ("error 5", 6)]);
        t.put_before(tally(&want(), &[("error 3", 3), ("error 4", 4)]));
        t.put_before(tally(&want(), &[("error 1", 1)]));
        t.put_before(tally(&want(), &[("calm", 0)]));
        assert_eq!((t.seen(), t.matched(), t.span()), (6, 4, at(1).zip(at(6))));
        let kept: Vec<_> = t.kept().iter().map(|l| l.text.as_str()).collect();
        assert_eq!(kept, ["error 4", "error 5"]);
        assert_eq!(t.messages()[0].1, 4);
    }

    #[test]
    fn a_long_line_is_shown_around_its_match() {
        let line = format!("{}error{}", "a".repeat(50_000), "b".repeat(50_000));
        let t = tally(&want(), &[(&line, 1)]);
        let kept = &t.kept()[0];
        assert!(kept.text.as_str().starts_with("… aaa") && kept.text.as_str().contains("error"));
        assert!(kept.text.as_str().len() <= SHOWN + 8);
        assert_eq!(kept.cut_from, Some(100_005));
    }
}
