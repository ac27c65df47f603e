//! What is looked for in lines: a regular expression over bytes, case-insensitive, in linear time.

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};

use crate::domain::Untrusted;

/// What compiles to more bytes is refused.
const SIZE: usize = 1 << 20;
/// A longer pattern, in bytes, is refused.
const TEXT: usize = 1_000;
const ESCAPE: u8 = 0x1b;

/// A compiled pattern. Lines are bytes, so that those that do not match cost no copy.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    literal: bool,
}

impl Pattern {
    /// A regular expression; what is none is taken as plain words.
    ///
    /// # Errors
    /// A sentence for a pattern that is too large.
    pub fn new(text: &str) -> Result<Self, String> {
        let build = |text: &str| {
            RegexBuilder::new(text).case_insensitive(true).size_limit(SIZE).dfa_size_limit(2 * SIZE).build()
        };
        let large = || format!("is too large ({} bytes); give a few words", text.len());
        if text.len() > TEXT {
            return Err(large());
        }
        if let Ok(regex) = build(text) {
            return Ok(Self { regex, literal: false });
        }
        let regex = build(&regex::escape(text)).map_err(|_| large())?;
        Ok(Self { regex, literal: true })
    }

    /// The text was no regular expression and is searched for as it is.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Where the line matches first, in bytes; in a coloured line, where its text without the colours does.
    pub fn find(&self, line: &[u8]) -> Option<usize> {
        let found = self.regex.find(line).map(|m| m.start());
        if found.is_some() || !line.contains(&ESCAPE) {
            return found;
        }
        let plain: Cow<'_, str> = Untrusted::from_bytes(line).to_string().into();
        self.regex.find(plain.as_bytes()).map(|m| m.start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_bad_ones_are_words() {
        let table: &[(&str, &[u8], Option<usize>, bool)] = &[
            ("error", b"an ERROR here", Some(3), false),
            ("time.*out", b"timed out", Some(0), false),
            ("connect() failed (", b"x Connect() FAILED (111", Some(2), true),
            ("c\u{e4}sar", "C\u{c4}SAR".as_bytes(), Some(0), false),
            ("bad", b"\xff\xfe bad \xff", Some(3), false),
            ("two words", b"\x1b[31mtwo\x1b[0m words", Some(0), false),
            ("nothing", b"else", None, false),
        ];
        for (text, line, at, literal) in table {
            let pattern = Pattern::new(text).unwrap();
            assert_eq!((pattern.find(line), pattern.is_literal()), (*at, *literal), "{text}");
        }
        assert!(Pattern::new(&"x".repeat(2_000)).unwrap_err().contains("too large"));
        assert!(Pattern::new(r"(\w{500}){500}").is_ok_and(|p| p.is_literal()));
    }
}
