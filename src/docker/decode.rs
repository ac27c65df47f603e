//! A container's log as it streams in: frames to lines, each line cut on the way, only the last ones kept.

use std::collections::VecDeque;

use jiff::Timestamp;
use regex::Regex;

use crate::domain::Untrusted;

/// What of a log is wanted, and how much may be read for it.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// How many of the last lines the engine is asked for.
    pub tail: u32,
    /// Only lines from then on.
    pub since: Option<Timestamp>,
    /// Only lines that match.
    pub filter: Option<Regex>,
    /// How many of the last (matching) lines are kept.
    pub keep: usize,
    /// Longer lines are cut to so many bytes.
    pub max_line: usize,
    /// Reading ends after so many bytes.
    pub max_bytes: u64,
}

impl LogQuery {
    /// The last `lines` lines, with this program's usual bounds.
    pub fn tail(lines: u32) -> Self {
        Self {
            tail: lines,
            since: None,
            filter: None,
            keep: lines as usize,
            max_line: 2_000,
            max_bytes: 32 << 20,
        }
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
    /// The last lines that matched, oldest first.
    pub lines: Vec<LogLine>,
    /// How many lines were looked at.
    pub seen: u64,
    /// How many of them matched.
    pub matched: u64,
    /// Why reading ended before the log's end, if it did.
    pub broke: Option<String>,
}

impl LogRead {
    /// How many matching lines were read and not kept.
    pub fn omitted(&self) -> u64 {
        self.matched.saturating_sub(self.lines.len() as u64)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Unknown,
    /// A terminal's output, as it is.
    Raw,
    /// Frames of an 8-byte header (stream, 0, 0, 0, length) and a payload.
    Frames,
}

/// Takes the stream's bytes in any pieces.
#[derive(Debug)]
pub(super) struct Decoder<'q> {
    query: &'q LogQuery,
    framing: Framing,
    header: [u8; 8],
    header_len: usize,
    left: usize,
    stream: usize,
    open: [Line; 3],
    kept: VecDeque<LogLine>,
    seen: u64,
    matched: u64,
}

/// The log is no log: the text says what was seen.
#[derive(Debug, PartialEq)]
pub(super) struct Garbage(pub &'static str);

const STDERR: usize = 2;
/// No timestamp of the engine is longer.
const PREFIX: usize = 40;

#[derive(Debug, Default)]
struct Line {
    prefix: Vec<u8>,
    past_prefix: bool,
    at: Option<Timestamp>,
    text: Vec<u8>,
    length: u64,
    begun: bool,
}

impl<'q> Decoder<'q> {
    pub(super) fn new(query: &'q LogQuery) -> Self {
        Self {
            query,
            framing: Framing::Unknown,
            header: [0; 8],
            header_len: 0,
            left: 0,
            stream: 1,
            open: Default::default(),
            kept: VecDeque::new(),
            seen: 0,
            matched: 0,
        }
    }

    /// How many whole lines there were so far.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Garbage> {
        while let Some(&first) = bytes.first() {
            match self.framing {
                Framing::Unknown => {
                    self.framing = if first <= 2 { Framing::Frames } else { Framing::Raw };
                }
                Framing::Raw => {
                    self.feed(bytes)?;
                    return Ok(());
                }
                Framing::Frames if self.left == 0 => bytes = self.head(bytes)?,
                Framing::Frames => {
                    let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
                    self.left -= now.len();
                    self.feed(now)?;
                    bytes = rest;
                }
            }
        }
        Ok(())
    }

    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Garbage> {
        let (now, rest) = bytes.split_at((self.header.len() - self.header_len).min(bytes.len()));
        for b in now {
            if let Some(slot) = self.header.get_mut(self.header_len) {
                *slot = *b;
            }
            self.header_len += 1;
        }
        if self.header_len == self.header.len() {
            let [stream, a, b, c, l0, l1, l2, l3] = self.header;
            if stream > 2 || [a, b, c] != [0, 0, 0] {
                return Err(Garbage("broken log frames"));
            }
            self.header_len = 0;
            self.left = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
            self.stream = usize::from(stream);
            // A long line comes in several frames, each with a timestamp of its own.
            if let Some(line) = self.open.get_mut(self.stream) {
                line.past_prefix = false;
                line.prefix.clear();
            }
        }
        Ok(rest)
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Garbage> {
        while !bytes.is_empty() {
            let Some(line) = self.open.get_mut(self.stream) else { return Ok(()) };
            if !line.past_prefix {
                bytes = line.take_prefix(bytes, self.query.max_line);
                continue;
            }
            match bytes.iter().position(|b| *b == b'\n') {
                Some(end) => {
                    let (text, rest) = bytes.split_at(end);
                    line.append(text, self.query.max_line);
                    self.end_line()?;
                    bytes = rest.get(1..).unwrap_or_default();
                }
                None => {
                    line.append(bytes, self.query.max_line);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Garbage> {
        let Some(slot) = self.open.get_mut(self.stream) else { return Ok(()) };
        let line = std::mem::take(slot);
        if self.framing == Framing::Raw && self.seen == 0 && line.at.is_none() {
            // Timestamps were asked for, so that a page of some web server is not mistaken for a terminal's log.
            return Err(Garbage("no log"));
        }
        self.seen += 1;
        let text = Untrusted::from_bytes(&line.text);
        if self.query.filter.as_ref().is_some_and(|f| !f.is_match(text.as_str())) {
            return Ok(());
        }
        self.matched += 1;
        if self.kept.len() >= self.query.keep {
            self.kept.pop_front();
        }
        if self.query.keep > 0 {
            let cut_from = (line.length > line.text.len() as u64).then_some(line.length);
            let stderr = self.stream == STDERR;
            self.kept.push_back(LogLine { at: line.at, stderr, text, cut_from });
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<LogRead, Garbage> {
        let whole = self.left == 0 && self.header_len == 0;
        for stream in 0..self.open.len() {
            self.stream = stream;
            if let Some(line) = self.open.get_mut(stream) {
                if !line.past_prefix && !line.prefix.is_empty() {
                    line.end_prefix(self.query.max_line);
                }
                if line.begun {
                    self.end_line()?;
                }
            }
        }
        let broke = (!whole).then(|| "the log ended in the middle of a line".to_owned());
        Ok(LogRead { lines: self.kept.into(), seen: self.seen, matched: self.matched, broke })
    }
}

impl Line {
    /// Takes up to the space after the timestamp; what is no timestamp is text.
    fn take_prefix<'b>(&mut self, bytes: &'b [u8], max: usize) -> &'b [u8] {
        let room = PREFIX.saturating_sub(self.prefix.len());
        let end = bytes.iter().take(room).position(|b| *b == b' ' || *b == b'\n');
        let (now, rest) = bytes.split_at(end.unwrap_or_else(|| room.min(bytes.len())));
        self.prefix.extend_from_slice(now);
        if end.is_none() && self.prefix.len() < PREFIX {
            return rest;
        }
        if self.end_prefix(max) && rest.first() == Some(&b' ') {
            rest.get(1..).unwrap_or_default()
        } else {
            rest
        }
    }

    fn end_prefix(&mut self, max: usize) -> bool {
        self.past_prefix = true;
        let prefix = std::mem::take(&mut self.prefix);
        let at = std::str::from_utf8(&prefix).ok().and_then(|t| t.parse::<Timestamp>().ok());
        if at.is_none() {
            self.append(&prefix, max);
        } else {
            // Only the first piece's time is the line's.
            self.at = self.at.or(at);
            self.begun = true;
        }
        at.is_some()
    }

    fn append(&mut self, bytes: &[u8], max: usize) {
        self.begun = true;
        self.length += bytes.len() as u64;
        let room = max.saturating_sub(self.text.len());
        self.text.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![stream, 0, 0, 0];
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn read(query: &LogQuery, bytes: &[u8], piece: usize) -> Result<LogRead, Garbage> {
        let mut decoder = Decoder::new(query);
        for part in bytes.chunks(piece) {
            decoder.push(part)?;
        }
        decoder.finish()
    }

    fn texts(read: &LogRead) -> Vec<&str> {
        read.lines.iter().map(|l| l.text.as_str()).collect()
    }

    const T: &str = "2026-11-21T10:30:24.928851151Z";

    #[test]
    fn frames_become_lines_at_every_split() {
        let mut log = frame(1, format!("{T} one\n").as_bytes());
        log.extend(frame(2, &[T.as_bytes(), b" \x1b[31mtwo\xff\x1b[0m\n"].concat()));
        log.extend(frame(2, b""));
        log.extend(frame(1, format!("{T} \n").as_bytes()));
        log.extend(frame(1, b"untimed here\n"));
        for piece in 1..log.len() {
            let read = read(&LogQuery::tail(10), &log, piece).unwrap();
            assert_eq!(texts(&read), ["one", "two\u{fffd}", "", "untimed here"], "pieces of {piece}");
            assert_eq!(read.lines[0].at, T.parse().ok());
            assert!(!read.lines[0].stderr && read.lines[1].stderr && read.broke.is_none());
        }
    }

    #[test]
    fn a_terminals_log_is_read_as_it_is_and_a_web_page_is_refused() {
        let log = format!("{T} one\r\n{T} two and no end");
        for piece in 1..log.len() {
            assert_eq!(
                texts(&read(&LogQuery::tail(10), log.as_bytes(), piece).unwrap()),
                ["one", "two and no end"]
            );
        }
        let page = b"<html>\n<body>hello</body>\n";
        assert_eq!(read(&LogQuery::tail(10), page, 7), Err(Garbage("no log")));
        assert_eq!(
            read(&LogQuery::tail(10), &[1, 9, 9, 9, 0, 0, 0, 1, 65], 3),
            Err(Garbage("broken log frames"))
        );
        assert_eq!(read(&LogQuery::tail(10), b"", 1).unwrap().seen, 0);
    }

    #[test]
    fn a_long_line_in_many_frames_is_one_line_cut_while_it_streams() {
        let piece = "x".repeat(16 << 10);
        let mut log = Vec::new();
        for _ in 0..640 {
            log.extend(frame(1, format!("{T} {piece}").as_bytes()));
        }
        log.extend(frame(1, format!("{T} end\n").as_bytes()));
        log.extend(frame(1, format!("{T} next\n").as_bytes()));
        let query = LogQuery::tail(10);
        let read = read(&query, &log, 8192).unwrap();
        assert_eq!(read.lines.len(), 2);
        assert_eq!(read.lines[0].cut_from, Some(640 * (16 << 10) + 3));
        assert_eq!(read.lines[0].text.as_str().len(), query.max_line);
        assert_eq!(read.lines[1].text.as_str(), "next");
    }

    #[test]
    fn only_the_last_matching_lines_are_kept_and_the_rest_is_counted() {
        let mut log = Vec::new();
        for n in 0..100 {
            let kind = if n % 2 == 0 { "ok" } else { "ERROR" };
            log.extend(frame(1, format!("{T} {kind} {n}\n").as_bytes()));
        }
        let filter = Some(Regex::new("(?i)error").unwrap());
        let query = LogQuery { keep: 3, filter, ..LogQuery::tail(100) };
        let read = read(&query, &log, 64).unwrap();
        assert_eq!(texts(&read), ["ERROR 95", "ERROR 97", "ERROR 99"]);
        assert_eq!((read.seen, read.matched, read.omitted()), (100, 50, 47));
    }

    #[test]
    fn an_end_within_a_frame_is_told() {
        let mut log = frame(1, format!("{T} one\n").as_bytes());
        log.extend(frame(1, format!("{T} two\n").as_bytes()));
        let read = read(&LogQuery::tail(10), &log[..log.len() - 2], 5).unwrap();
        assert_eq!(texts(&read), ["one", "tw"]);
        assert!(read.broke.is_some());
    }
}
