//! What is asked of a container's log, and what came of it.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use super::decode::PassingLine;
use crate::domain::Untrusted;

/// A kept line is cut to so many bytes.
const LINE: usize = 2_000;
/// A read of a tail ends after so many bytes.
const TAIL_BYTES: u64 = 32 << 20;

/// What of a log is wanted, and how much may be read for it.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// How many of the last lines the engine is asked for; none means all. Over 1,000,000 the helper refuses.
    pub tail: Option<u32>,
    /// Only lines from then on.
    pub since: Option<Timestamp>,
    /// Reading ends after so many bytes.
    pub max_bytes: u64,
    /// How long it may take; none means the host's own limit.
    pub within: Option<Duration>,
}

impl LogQuery {
    /// The last `lines` lines, with this program's usual bounds.
    pub fn tail(lines: u32) -> Self {
        Self { tail: Some(lines), since: None, max_bytes: TAIL_BYTES, within: None }
    }
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When the engine took it.
    pub at: Option<Timestamp>,
    /// It came from standard error.
    pub stderr: bool,
    /// The line, cleaned and perhaps cut.
    pub text: Untrusted,
    /// The line's true length in bytes, when it was cut.
    pub cut_from: Option<u64>,
}

/// What was read of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRead {
    /// The last lines, oldest first.
    pub lines: Vec<LogLine>,
    /// How many lines were looked at.
    pub seen: u64,
    /// Why reading ended before the log's end, if it did.
    pub broke: Option<String>,
}

impl LogRead {
    /// How many lines were read and not kept.
    pub fn omitted(&self) -> u64 {
        self.seen.saturating_sub(self.lines.len() as u64)
    }
}

/// What passed by of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogScan {
    /// How many lines passed.
    pub seen: u64,
    /// Why reading ended before the log's end, if it did.
    pub broke: Option<String>,
}

/// Keeps the last lines that pass.
#[derive(Debug)]
pub(super) struct Collected {
    keep: usize,
    lines: VecDeque<LogLine>,
}

impl Collected {
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, lines: VecDeque::new() }
    }

    pub(super) fn take(&mut self, line: &PassingLine<'_>) {
        if self.lines.len() >= self.keep {
            self.lines.pop_front();
        }
        if self.keep > 0 {
            let shown = line.text.get(..LINE.min(line.text.len())).unwrap_or_default();
            let cut_from = (line.length > shown.len() as u64).then_some(line.length);
            let text = Untrusted::from_bytes(shown);
            self.lines.push_back(LogLine { at: line.at(), stderr: line.stderr, text, cut_from });
        }
    }

    pub(super) fn done(self, seen: u64, broke: Option<String>) -> LogRead {
        LogRead { lines: self.lines.into(), seen, broke }
    }
}
