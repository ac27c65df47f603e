//! One log held against the rules that concern it: what matches, what stands around it, when it is over. No IO.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::Redact;
use crate::{
    domain::{Excerpt, Labels, Severity, Signal, SignalSource, Untrusted},
    logs::Pattern,
    signals::text::{About, firing, over},
};

/// So many lines before a match are shown.
const BEFORE: usize = 3;
/// So many after it, as far as they come soon.
const AFTER: usize = 5;
const SOON: SignedDuration = SignedDuration::from_secs(1);
/// Lines that belong together are joined up to so many and so many bytes.
const JOINED: usize = 50;
const JOINED_BYTES: usize = 16 << 10;
/// A shown line is cut to so many bytes.
const LINE: usize = 500;

/// A rule ready to be used.
#[derive(Debug)]
pub(super) struct Rule {
    pub name: String,
    pub pattern: Pattern,
    /// A line that matches belongs to the one before it.
    pub multiline: Option<Pattern>,
    pub severity: Severity,
    pub quiet_for: Duration,
}

/// A log and what its rules have seen of it.
pub(super) struct Matching {
    about: About,
    /// The log's name on screen.
    source: String,
    rules: Vec<State>,
    /// The last lines, cut; long enough to hold an entry and what stands before it.
    last: VecDeque<Vec<u8>>,
    unread: Unread,
    redact: Redact,
}

/// What of the log was not read since the last excerpt.
#[derive(Clone, Copy, Debug, Default)]
struct Unread {
    seconds: u64,
    bytes: u64,
}

struct State {
    rule: Arc<Rule>,
    /// Lines that may still go on.
    entry: Option<Entry>,
    /// A match whose following lines are awaited.
    open: Option<Open>,
    alarm: Option<Alarm>,
}

struct Entry {
    /// All of them; `text` holds the first ones.
    lines: usize,
    text: Vec<u8>,
    at: Timestamp,
}

struct Open {
    lines: Vec<String>,
    after: usize,
    at: Timestamp,
    matched: u64,
}

/// The rule fires for this log.
struct Alarm {
    signal: Signal,
    matched_at: Timestamp,
    sent_at: Timestamp,
    /// Matches since it was last sent.
    since: u64,
}

impl Matching {
    pub(super) fn new(about: About, source: String, rules: &[Arc<Rule>], redact: Redact) -> Self {
        let state = |rule: &Arc<Rule>| State { rule: Arc::clone(rule), entry: None, open: None, alarm: None };
        let rules = rules.iter().map(state).collect();
        Self { about, source, rules, last: VecDeque::new(), unread: Unread::default(), redact }
    }

    /// Takes the next line.
    pub(super) fn line(&mut self, line: &[u8], now: Timestamp) -> Vec<Signal> {
        let mut report = Vec::new();
        for n in 0..self.rules.len() {
            report.extend(self.hold(n, line, now));
        }
        self.remember(line);
        report
    }

    /// Holds the line against one rule.
    fn hold(&mut self, n: usize, line: &[u8], now: Timestamp) -> Option<Signal> {
        let state = self.rules.get_mut(n)?;
        let rule = Arc::clone(&state.rule);
        let Some(multiline) = &rule.multiline else {
            let signal = self.follow(n, line, now);
            if rule.pattern.find(line).is_some() {
                let shown = vec![self.show(line)];
                self.matched(n, shown, 0, now);
            }
            return signal;
        };
        if let Some(entry) = state.entry.as_mut().filter(|_| multiline.find(line).is_some()) {
            entry.lines += 1;
            if entry.lines <= JOINED && entry.text.len() + line.len() < JOINED_BYTES {
                entry.text.push(b'\n');
                entry.text.extend_from_slice(line);
            }
            return self.follow(n, line, now);
        }
        let ended = state.entry.replace(Entry {
            lines: 1,
            text: line.get(..line.len().min(JOINED_BYTES)).unwrap_or_default().to_vec(),
            at: now,
        });
        if let Some(entry) = ended {
            self.judge(n, &entry, now);
        }
        self.follow(n, line, now)
    }

    /// An entry is whole.
    fn judge(&mut self, n: usize, entry: &Entry, now: Timestamp) {
        if self.rules.get(n).is_some_and(|state| state.rule.pattern.find(&entry.text).is_some()) {
            let shown = entry.text.split(|b| *b == b'\n').map(|line| self.show(line)).collect();
            // The entry's lines are among the last ones already.
            self.matched(n, shown, entry.lines, now);
        }
    }

    /// Adds a line that follows a match; what is then complete is reported.
    fn follow(&mut self, n: usize, line: &[u8], now: Timestamp) -> Option<Signal> {
        let shown = self.rules.get(n)?.open.is_some().then(|| self.show(line))?;
        let open = self.rules.get_mut(n)?.open.as_mut()?;
        open.lines.push(shown);
        open.after += 1;
        if open.after >= AFTER { self.close(n, now) } else { None }
    }

    /// Something matched; its last `within` lines are among the remembered ones.
    fn matched(&mut self, n: usize, shown: Vec<String>, within: usize, now: Timestamp) {
        let upto = self.last.len().saturating_sub(within);
        let from = upto.saturating_sub(BEFORE);
        let before: Vec<_> = self.last.range(from..upto).map(|line| self.show(line)).collect();
        let Some(state) = self.rules.get_mut(n) else { return };
        if let Some(alarm) = &mut state.alarm {
            alarm.since += 1;
            alarm.matched_at = now;
        } else if let Some(open) = &mut state.open {
            open.matched += 1;
        } else {
            let lines = before.into_iter().chain(shown).collect();
            state.open = Some(Open { lines, after: 0, at: now, matched: 1 });
        }
    }

    /// A match with what stands around it becomes a signal.
    fn close(&mut self, n: usize, now: Timestamp) -> Option<Signal> {
        let unread = std::mem::take(&mut self.unread);
        let state = self.rules.get_mut(n)?;
        let open = state.open.take()?;
        let rule = &state.rule;
        let labels = self.about.labels(&rule.name, rule.severity);
        let labels = with_source(labels, &self.about, &self.source);
        let summary = format!("{} in the log of {}", rule.name, self.source);
        let mut signal = firing(SignalSource::Log, labels, &summary, open.at);
        let lines = open.lines.into_iter().chain(unread.said()).collect();
        signal.annotations.insert("matches".into(), open.matched.to_string());
        signal.value = Some(open.matched as f64);
        signal.excerpt = Some(Excerpt { source: self.source.clone(), lines });
        state.alarm = Some(Alarm { signal: signal.clone(), matched_at: now, sent_at: now, since: 0 });
        Some(signal)
    }

    /// Lets time pass: entries and excerpts end, alarms are repeated with their number or are over.
    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Signal> {
        let mut report = Vec::new();
        for n in 0..self.rules.len() {
            let Some(state) = self.rules.get_mut(n) else { continue };
            if state.entry.as_ref().is_some_and(|entry| now.duration_since(entry.at) >= SOON)
                && let Some(entry) = state.entry.take()
            {
                self.judge(n, &entry, now);
            }
            let Some(state) = self.rules.get(n) else { continue };
            if state.open.as_ref().is_some_and(|open| now.duration_since(open.at) >= SOON) {
                report.extend(self.close(n, now));
            }
            report.extend(self.rules.get_mut(n).and_then(|state| state.quiet(now)));
        }
        report
    }

    /// So much of the log was not read because it grew too fast.
    pub(super) fn unread(&mut self, seconds: u64, bytes: u64) {
        self.unread.seconds += seconds;
        self.unread.bytes += bytes;
        // What comes next does not follow what was.
        self.last.clear();
    }

    /// Nothing of it is awaited or fires.
    pub(super) fn is_idle(&self) -> bool {
        self.rules.iter().all(|s| s.entry.is_none() && s.open.is_none() && s.alarm.is_none())
    }

    fn show(&self, line: &[u8]) -> String {
        let line = line.get(..line.len().min(LINE * 4)).unwrap_or_default();
        let text = (self.redact)(Untrusted::from_bytes(line).as_str());
        Untrusted::new(&text).cut(LINE).to_string()
    }

    fn remember(&mut self, line: &[u8]) {
        let joins = self.rules.iter().any(|state| state.rule.multiline.is_some());
        let most = if joins { BEFORE + JOINED } else { BEFORE };
        // The oldest one's buffer is used again.
        let mut kept =
            if self.last.len() >= most { self.last.pop_front().unwrap_or_default() } else { Vec::new() };
        kept.clear();
        kept.extend_from_slice(line.get(..line.len().min(LINE * 4)).unwrap_or_default());
        self.last.push_back(kept);
    }
}

impl State {
    fn quiet(&mut self, now: Timestamp) -> Option<Signal> {
        let alarm = self.alarm.as_mut()?;
        let passed = |since: Timestamp| now.duration_since(since).unsigned_abs() >= self.rule.quiet_for;
        if passed(alarm.matched_at) {
            return self.alarm.take().map(|alarm| over(alarm.signal, now));
        }
        if alarm.since == 0 || !passed(alarm.sent_at) {
            return None;
        }
        let mut again = Signal { excerpt: None, ..alarm.signal.clone() };
        again.annotations.insert("matches".into(), alarm.since.to_string());
        again.value = Some(alarm.since as f64);
        (alarm.sent_at, alarm.since) = (now, 0);
        Some(again)
    }
}

impl Unread {
    fn said(self) -> Option<String> {
        let what = match (self.seconds, self.bytes) {
            (0, 0) => return None,
            (seconds, 0) => format!("about {seconds} s of this log"),
            (_, bytes) => format!("{} KiB of this log", bytes.div_ceil(1024)),
        };
        Some(format!("[{what} were not read before this: it grows too fast]"))
    }
}

/// A log that is no container's is told by its name.
fn with_source(mut labels: Labels, about: &About, source: &str) -> Labels {
    if about.container.is_none() {
        labels.insert("source".into(), source.to_owned());
    }
    labels
}

#[cfg(test)]
mod tests;
