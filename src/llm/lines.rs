//! Lines out of a stream of bytes, whatever the reads: split on bytes, so that no character is ever cut.

use std::collections::VecDeque;

/// The longest line that is taken, in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// A line, finished or not, was longer than [`MAX_LINE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

/// Collects bytes and gives back whole lines without their line ends; empty lines are kept.
#[derive(Debug, Default)]
pub struct LineReader {
    ready: VecDeque<Vec<u8>>,
    partial: Vec<u8>,
}

impl LineReader {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When a line exceeds [`MAX_LINE`]; the reader is of no more use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        let mut pieces = bytes.split(|&b| b == b'\n');
        let mut piece = pieces.next().unwrap_or_default();
        loop {
            if self.partial.len() + piece.len() > MAX_LINE {
                return Err(LineTooLong);
            }
            self.partial.extend_from_slice(piece);
            let Some(next) = pieces.next() else { return Ok(()) };
            let line = std::mem::take(&mut self.partial);
            self.ready.push_back(without_cr(line));
            piece = next;
        }
    }

    /// The next whole line.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// What stands after the last line end, at the end of the stream.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let rest = without_cr(std::mem::take(&mut self.partial));
        (!rest.is_empty()).then_some(rest)
    }
}

fn without_cr(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = LineReader::default();
        let mut lines = vec![];
        for chunk in chunks {
            reader.push(chunk).unwrap();
            while let Some(line) = reader.next_line() {
                lines.push(String::from_utf8(line).unwrap());
            }
        }
        lines.extend(reader.finish().map(|l| String::from_utf8(l).unwrap()));
        lines
    }

    #[test]
    fn lines_are_the_same_whatever_the_split() {
        let text = "ä☃\r\n\nsecond 日本\nlast without end".as_bytes();
        let want = ["ä☃", "", "second 日本", "last without end"];
        for at in 0..=text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(read(&[a, b]), want, "split at {at}");
        }
        let single: Vec<_> = text.chunks(1).collect();
        assert_eq!(read(&single), want);
        assert_eq!(read(&[b"\n"]), [""]);
        assert!(read(&[]).is_empty());
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut reader = LineReader::default();
        assert_eq!(reader.push(&vec![b'x'; MAX_LINE]), Ok(()));
        assert_eq!(reader.push(b"y"), Err(LineTooLong));
        assert_eq!(LineReader::default().push(&vec![b'x'; MAX_LINE + 1]), Err(LineTooLong));
    }
}
