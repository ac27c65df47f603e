//! A container's log as it streams in: frames to lines. A line within one piece costs no copy; others are put together
//! and cut on the way.

use jiff::Timestamp;

/// Longer lines are cut to so many bytes before anybody sees them.
const MAX_LINE: usize = 64 << 10;
const STDERR: usize = 2;
const HEADER: usize = 8;
/// No timestamp of the engine is longer.
const PREFIX: usize = 40;

/// One line of a log as it passes; valid only while it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct PassingLine<'l> {
    /// The line without its end, perhaps only its beginning.
    pub text: &'l [u8],
    /// The whole line's length in bytes.
    pub length: u64,
    /// It came from standard error.
    pub stderr: bool,
    at: Stamp<'l>,
}

#[derive(Clone, Copy, Debug)]
enum Stamp<'l> {
    Written(&'l [u8]),
    Read(Option<Timestamp>),
}

impl PassingLine<'_> {
    /// When the engine took it; read only when asked for.
    pub fn at(&self) -> Option<Timestamp> {
        match self.at {
            Stamp::Written(text) => read_time(text),
            Stamp::Read(at) => at,
        }
    }
}

fn read_time(text: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Unknown,
    /// A terminal's output, as it is.
    Raw,
    /// Frames of an 8-byte header (stream, 0, 0, 0, length) and a payload.
    Frames,
}

/// Takes the stream's bytes in any pieces and gives each line to `take`.
#[derive(Debug)]
pub(super) struct Decoder<F> {
    take: F,
    framing: Framing,
    header: [u8; HEADER],
    header_len: usize,
    left: usize,
    stream: usize,
    open: [Line; 3],
    seen: u64,
}

/// The log is no log: the text says what was seen.
#[derive(Debug, PartialEq)]
pub(super) struct Garbage(pub &'static str);

#[derive(Debug, Default)]
struct Line {
    prefix: Vec<u8>,
    past_prefix: bool,
    at: Option<Timestamp>,
    text: Vec<u8>,
    length: u64,
    begun: bool,
}

impl<F: FnMut(&PassingLine<'_>)> Decoder<F> {
    pub(super) fn new(take: F) -> Self {
        Self {
            take,
            framing: Framing::Unknown,
            header: [0; HEADER],
            header_len: 0,
            left: 0,
            stream: 1,
            open: Default::default(),
            seen: 0,
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
                Framing::Frames if self.left == 0 => {
                    bytes = match self.whole_frame(bytes) {
                        Some(rest) => rest,
                        None => self.head(bytes)?,
                    };
                }
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

    /// The usual case: a frame that lies here as a whole and is one line with its time. Gives what follows it.
    fn whole_frame<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let [stream, 0, 0, 0, l0, l1, l2, l3] = *header else { return None };
        let stream = usize::from(stream);
        if self.header_len > 0 || self.open.get(stream).is_none_or(|line| line.begun) {
            return None;
        }
        let (frame, rest) = rest.split_at_checked(u32::from_be_bytes([l0, l1, l2, l3]) as usize)?;
        let (end, line) = frame.split_last()?;
        let space = line.iter().take(PREFIX).position(|b| *b == b' ')?;
        let (prefix, text) = (line.get(..space)?, line.get(space + 1..)?);
        let timed = prefix.len() >= 20 && prefix.get(4) == Some(&b'-') && prefix.get(10) == Some(&b'T');
        if *end != b'\n' || !timed || text.contains(&b'\n') {
            return None;
        }
        self.seen += 1;
        let length = text.len() as u64;
        let text = text.get(..MAX_LINE.min(text.len())).unwrap_or_default();
        (self.take)(&PassingLine { text, length, stderr: stream == STDERR, at: Stamp::Written(prefix) });
        Some(rest)
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
                bytes = line.take_prefix(bytes);
                continue;
            }
            match bytes.iter().position(|b| *b == b'\n') {
                Some(end) => {
                    let (text, rest) = bytes.split_at(end);
                    line.append(text);
                    self.end_line()?;
                    bytes = rest.get(1..).unwrap_or_default();
                }
                None => {
                    line.append(bytes);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Garbage> {
        let Some(line) = self.open.get_mut(self.stream) else { return Ok(()) };
        if self.framing == Framing::Raw && self.seen == 0 && line.at.is_none() {
            // Timestamps were asked for, so that a page of some web server is not mistaken for a terminal's log.
            return Err(Garbage("no log"));
        }
        self.seen += 1;
        let text = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
        let (length, at) = (line.length, Stamp::Read(line.at));
        (self.take)(&PassingLine { text, length, stderr: self.stream == STDERR, at });
        line.clear();
        Ok(())
    }

    /// Gives the lines that no newline ended; tells how many lines there were, and why the log broke off, if it did.
    pub(super) fn finish(mut self) -> Result<(u64, Option<String>), Garbage> {
        let whole = self.left == 0 && self.header_len == 0;
        for stream in 0..self.open.len() {
            self.stream = stream;
            if let Some(line) = self.open.get_mut(stream) {
                if !line.past_prefix && !line.prefix.is_empty() {
                    line.end_prefix();
                }
                if line.begun {
                    self.end_line()?;
                }
            }
        }
        Ok((self.seen, (!whole).then(|| "the log ended in the middle of a line".to_owned())))
    }
}

impl Line {
    /// Keeps its buffers for the next line.
    fn clear(&mut self) {
        self.prefix.clear();
        self.text.clear();
        (self.past_prefix, self.at, self.length, self.begun) = (false, None, 0, false);
    }

    /// Takes up to the space after the timestamp; what is no timestamp is text.
    fn take_prefix<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let room = PREFIX.saturating_sub(self.prefix.len());
        let end = bytes.iter().take(room).position(|b| *b == b' ' || *b == b'\n');
        let (now, rest) = bytes.split_at(end.unwrap_or_else(|| room.min(bytes.len())));
        self.prefix.extend_from_slice(now);
        if end.is_none() && self.prefix.len() < PREFIX {
            return rest;
        }
        if self.end_prefix() && rest.first() == Some(&b' ') {
            rest.get(1..).unwrap_or_default()
        } else {
            rest
        }
    }

    fn end_prefix(&mut self) -> bool {
        self.past_prefix = true;
        let prefix = std::mem::take(&mut self.prefix);
        let at = read_time(&prefix);
        if at.is_none() {
            self.append(&prefix);
        } else {
            // Only the first piece's time is the line's.
            self.at = self.at.or(at);
            self.begun = true;
        }
        at.is_some()
    }

    fn append(&mut self, bytes: &[u8]) {
        self.begun = true;
        self.length += bytes.len() as u64;
        let room = MAX_LINE.saturating_sub(self.text.len());
        self.text.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::log::{Collected, LogRead};

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![stream, 0, 0, 0];
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn read(keep: usize, bytes: &[u8], piece: usize) -> Result<LogRead, Garbage> {
        let mut kept = Collected::new(keep);
        let mut decoder = Decoder::new(|line: &PassingLine<'_>| kept.take(line));
        for part in bytes.chunks(piece) {
            decoder.push(part)?;
        }
        let (seen, broke) = decoder.finish()?;
        Ok(kept.done(seen, broke))
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
            let read = read(10, &log, piece).unwrap();
            assert_eq!(texts(&read), ["one", "two\u{fffd}", "", "untimed here"], "pieces of {piece}");
            assert_eq!(read.lines[0].at, T.parse().ok());
            assert!(!read.lines[0].stderr && read.lines[1].stderr && read.broke.is_none());
        }
    }

    #[test]
    fn a_terminals_log_is_read_as_it_is_and_a_web_page_is_refused() {
        let log = format!("{T} one\r\n{T} two and no end");
        for piece in 1..log.len() {
            assert_eq!(texts(&read(10, log.as_bytes(), piece).unwrap()), ["one", "two and no end"]);
        }
        let page = b"<html>\n<body>hello</body>\n";
        assert_eq!(read(10, page, 7), Err(Garbage("no log")));
        assert_eq!(read(10, &[1, 9, 9, 9, 0, 0, 0, 1, 65], 3), Err(Garbage("broken log frames")));
        assert_eq!(read(10, b"", 1).unwrap().seen, 0);
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
        let read = read(10, &log, 8192).unwrap();
        assert_eq!(read.lines.len(), 2);
        assert_eq!(read.lines[0].cut_from, Some(640 * (16 << 10) + 3));
        assert_eq!(read.lines[0].text.as_str().len(), 2_000);
        assert_eq!(read.lines[1].text.as_str(), "next");
    }

    #[test]
    fn only_the_last_lines_are_kept_and_the_rest_is_counted() {
        let mut log = Vec::new();
        for n in 0..100 {
            log.extend(frame(1, format!("{T} line {n}\n").as_bytes()));
        }
        for piece in [1, 7, 64, log.len()] {
            let read = read(3, &log, piece).unwrap();
            assert_eq!(texts(&read), ["line 97", "line 98", "line 99"]);
            assert_eq!((read.seen, read.omitted()), (100, 97));
        }
    }

    /// A frame that lies in one piece goes another way than one that is put together: both see the same.
    #[test]
    fn whole_frames_and_pieces_give_the_same_lines() {
        let lines: [(u8, &[u8]); 7] = [
            (1, b"2026-11-21T10:30:24.9Z plain\n"),
            (2, b"2026-11-21T10:30:24.9Z two\nlines in one\n"),
            (1, b"2026-11-21T10:30:24.9Z begins "),
            (2, b"2026-11-21T10:30:24.9Z in between\n"),
            (1, b"2026-11-21T10:30:24.9Z and ends\n"),
            (1, b"no time\n"),
            (1, b"2026-11-21T10:30:24.9Z\n"),
        ];
        let log: Vec<u8> = lines.iter().flat_map(|(stream, text)| frame(*stream, text)).collect();
        let whole = read(20, &log, log.len()).unwrap();
        assert!(whole.lines.iter().any(|l| l.text.as_str() == "begins and ends"), "{whole:?}");
        for piece in 1..log.len() {
            assert_eq!(read(20, &log, piece).unwrap(), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn an_end_within_a_frame_is_told() {
        let mut log = frame(1, format!("{T} one\n").as_bytes());
        log.extend(frame(1, format!("{T} two\n").as_bytes()));
        let read = read(10, &log[..log.len() - 2], 5).unwrap();
        assert_eq!(texts(&read), ["one", "tw"]);
        assert!(read.broke.is_some());
    }
}
