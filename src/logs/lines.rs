//! A file's bytes as blocks of whole lines: a plain file from its end to its beginning, a packed one from its beginning.

use std::{
    fs::File,
    io::{self, BufRead, Read},
    os::unix::fs::FileExt,
};

use flate2::read::MultiGzDecoder;

/// How much is read at once, in bytes.
pub(super) const BLOCK: usize = 1 << 20;
/// A longer line, in bytes, is taken in pieces.
const LONGEST: usize = 16 << 20;

/// Where the first line ends, without its newline.
pub(super) fn line_end(bytes: &[u8]) -> Option<usize> {
    // `skip_until` is std's fast search for a byte.
    let mut rest = bytes;
    let length = rest.skip_until(b'\n').ok()?;
    let ends = length > 0 && bytes.get(length - 1) == Some(&b'\n');
    ends.then(|| length - 1)
}

/// The lines of a block, without their ends.
pub(super) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match line_end(rest) {
            Some(end) => (rest.get(..end)?, rest.get(end + 1..)?),
            None => (rest, [].as_slice()),
        };
        rest = after;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

/// A plain file's blocks, the newest first.
#[derive(Debug)]
pub(super) struct Backwards<'f> {
    file: &'f File,
    /// What lies before is still to be read.
    begin: u64,
    /// The beginning of the block before, whose first line begins further in front.
    carry: Vec<u8>,
}

impl<'f> Backwards<'f> {
    /// The file's first `length` bytes.
    pub(super) fn new(file: &'f File, length: u64) -> Self {
        Self { file, begin: length, carry: Vec::new() }
    }

    /// The next older block; `opening` finds, in bytes that begin somewhere, where a record begins. None at the file's
    /// beginning. Fewer bytes than expected are [`io::ErrorKind::UnexpectedEof`]: the file was emptied meanwhile.
    pub(super) fn next(&mut self, opening: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Option<Vec<u8>>> {
        if self.begin == 0 && self.carry.is_empty() {
            return Ok(None);
        }
        loop {
            // A long line's pieces grow, so that joining them stays linear.
            let wanted = BLOCK.max(self.carry.len());
            let size = usize::try_from(self.begin).map_or(wanted, |begin| begin.min(wanted));
            let mut bytes = vec![0; size];
            self.begin -= size as u64;
            self.file.read_exact_at(&mut bytes, self.begin)?;
            bytes.append(&mut self.carry);
            if self.begin == 0 {
                return Ok(Some(bytes));
            }
            match opening(&bytes) {
                Some(at) => {
                    let block = bytes.split_off(at);
                    self.carry = bytes;
                    return Ok(Some(block));
                }
                None if bytes.len() >= LONGEST => return Ok(Some(bytes)),
                None => self.carry = bytes,
            }
        }
    }
}

/// A gzip file's blocks, the oldest first.
pub(super) struct Unpacked<R> {
    source: MultiGzDecoder<R>,
    carry: Vec<u8>,
    ended: bool,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(file: R) -> Self {
        Self { source: MultiGzDecoder::new(file), carry: Vec::new(), ended: false }
    }

    /// The next block of whole lines; a damaged file gives what could be unpacked, then the error.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut block = std::mem::take(&mut self.carry);
        while !self.ended {
            let old = block.len();
            match self.source.by_ref().take(BLOCK as u64).read_to_end(&mut block) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(_) if !block.is_empty() => return Ok(Some(block)),
                Err(e) => return Err(e),
            }
            let last = block.get(old..).and_then(|new| new.iter().rposition(|b| *b == b'\n'));
            if let Some(last) = last
                && !self.ended
            {
                self.carry = block.split_off(old + last + 1);
                return Ok(Some(block));
            }
            if block.len() >= LONGEST {
                return Ok(Some(block));
            }
        }
        Ok((!block.is_empty()).then_some(block))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn after_newline(bytes: &[u8]) -> Option<usize> {
        line_end(bytes).map(|end| end + 1)
    }

    #[test]
    fn lines_end_at_newlines() {
        let got: Vec<_> = lines(b"a\r\n\nb\xff\nlast").collect();
        assert_eq!(got, [b"a".as_slice(), b"", b"b\xff", b"last"]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(line_end(b"no end"), None);
    }

    #[test]
    fn blocks_hold_whole_lines_and_all_of_them() {
        let long = "x".repeat(3 * BLOCK + 7);
        let text: String = (0..60_000)
            .map(|n| if n == 30_000 { format!("{long}\n") } else { format!("line {n} of the log\n") })
            .collect();
        let text = format!("{text}no end");
        let f = file(text.as_bytes());
        let mut blocks = Backwards::new(&f, text.len() as u64);
        let mut found = Vec::new();
        while let Some(block) = blocks.next(after_newline).unwrap() {
            assert!(
                lines(&block).all(|l| l.starts_with(b"line ") || l.len() == long.len() || l == b"no end")
            );
            found.push(block);
        }
        found.reverse();
        assert!(found.len() > 2 && found.concat() == text.as_bytes());
        let mut shorter = Backwards::new(&f, text.len() as u64 + 1);
        assert_eq!(shorter.next(after_newline).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_is_one_endless_line_is_taken_in_pieces() {
        let f = file(&vec![b'x'; 2 * LONGEST]);
        let mut blocks = Backwards::new(&f, 2 * LONGEST as u64);
        let mut sum = 0;
        while let Some(block) = blocks.next(after_newline).unwrap() {
            assert!(block.len() <= LONGEST * 2);
            sum += block.len();
        }
        assert_eq!(sum, 2 * LONGEST);
    }

    #[test]
    fn packed_files_are_unpacked_in_blocks_and_damage_is_told() {
        let text: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        let packed = packer.finish().unwrap();
        let mut unpacked = Unpacked::new(packed.as_slice());
        let mut all = Vec::new();
        while let Some(block) = unpacked.next().unwrap() {
            assert!(block.ends_with(b"\n"));
            all.extend(block);
        }
        assert!(all == text.as_bytes());
        let mut damaged = Unpacked::new(packed.get(..packed.len() / 2).unwrap());
        let mut some = 0;
        let error = loop {
            match damaged.next() {
                Ok(Some(block)) => some += block.len(),
                Ok(None) => panic!("the damage was not noticed"),
                Err(e) => break e,
            }
        };
        assert!(some > 0, "{error}");
    }
}
