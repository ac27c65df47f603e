//! Text that nobody here vouches for (logs, alert labels, tool output): cleaned on the way in, fenced on the way to a model.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Foreign text without terminal escapes, bidirectional and zero-width characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// Cleans `raw`: ANSI and OSC sequences, control characters other than newline and tab, bidi controls and
    /// zero-width characters go.
    pub fn new(raw: &str) -> Self {
        Self(clean(raw))
    }

    /// As [`Untrusted::new`], with invalid UTF-8 shown as U+FFFD.
    pub fn from_bytes(raw: &[u8]) -> Self {
        Self::new(&String::from_utf8_lossy(raw))
    }

    /// The cleaned text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The cleaned text, cut to at most `max` bytes on a character boundary; a cut is marked with `…`.
    #[must_use]
    pub fn cut(&self, max: usize) -> Self {
        if self.0.len() <= max {
            return self.clone();
        }
        let end = self.0.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
        let mut text = self.0.get(..end).unwrap_or_default().to_owned();
        text.push('…');
        Self(text)
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn clean(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c if c.is_control() || is_invisible(c) => {}
            c => out.push(c),
        }
    }
    out
}

fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => skip_csi(chars),
        // OSC, DCS, SOS, PM, APC: until BEL or ST; a newline ends a broken one, so that no log line can swallow the next.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(&c) = chars.peek() {
                if c == '\n' {
                    return;
                }
                chars.next();
                if c == '\u{7}' || c == '\u{9c}' {
                    return;
                }
                if c == '\u{1b}' {
                    if chars.peek() == Some(&'\\') {
                        chars.next();
                    }
                    return;
                }
            }
        }
        Some('(' | ')' | '*' | '+' | '#' | ' ' | '%') => {
            chars.next_if(|&c| c != '\n');
        }
        _ => {}
    }
}

fn skip_csi(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next_if(|&c| ('\u{20}'..='\u{7e}').contains(&c)) {
        if ('\u{40}'..='\u{7e}').contains(&c) {
            return;
        }
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_invisible_characters_go_and_text_stays() {
        let table = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("a\u{202e}b\u{200b}c\u{feff}", "abc"),
            ("bell\u{7}\u{8} ok\r\n", "bell ok\n"),
            ("open \u{1b}]0;never closed\nnext", "open \nnext"),
            ("käse ☃ 日本", "käse ☃ 日本"),
            ("\u{9b}31mx", "x"),
            ("tag\u{e0041}s", "tags"),
        ];
        for (raw, want) in table {
            assert_eq!(Untrusted::new(raw).as_str(), want, "{raw:?}");
        }
    }

    #[test]
    fn a_cut_respects_characters_and_says_so() {
        assert_eq!(Untrusted::new("ääää").cut(6).as_str(), "ä…");
        assert_eq!(Untrusted::new("abc").cut(3).as_str(), "abc");
        assert_eq!(Untrusted::from_bytes(b"a\xffb").as_str(), "a\u{fffd}b");
    }
}
