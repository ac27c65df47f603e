//! Foreign text made safe for a terminal, measured in columns, wrapped and cut.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::domain::Untrusted;

/// The longest single line that is shown, in bytes; the rest is cut with a mark.
const LONGEST_LINE: usize = 16 * 1024;

/// One safe line: no escapes, line breaks and tabs made blanks.
pub(super) fn one_line(raw: &str) -> String {
    let safe = Untrusted::new(raw).cut(LONGEST_LINE);
    safe.as_str().split(['\n', '\t']).map(str::trim_end).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Safe lines: no escapes, tabs made blanks.
pub(super) fn lines(raw: &str) -> Vec<String> {
    let safe = Untrusted::new(raw);
    let line = |line: &str| Untrusted::new(line).cut(LONGEST_LINE).as_str().replace('\t', "    ");
    safe.as_str().trim_end().lines().map(line).collect()
}

/// The columns that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// `text`, at most `columns` wide; a cut is marked.
pub(super) fn cut(text: &str, columns: usize, mark: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = head(text, columns.saturating_sub(width(mark))).0.to_owned();
    if width(mark) <= columns {
        out.push_str(mark);
    }
    out
}

/// The longest beginning of `text` that fits, and the rest.
fn head(text: &str, columns: usize) -> (&str, &str) {
    let mut used = 0;
    let too_far = |c: char| {
        used += c.width().unwrap_or(0);
        used > columns
    };
    let end = text.find(too_far).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `text` followed by blanks up to `columns`.
pub(super) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` after blanks up to `columns`.
pub(super) fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// One line broken at blanks into lines of at most `columns`; words that are longer break anywhere, and lines that
/// follow keep the first one's indentation.
pub(super) fn wrap(line: &str, columns: usize) -> Vec<String> {
    if width(line) <= columns {
        return vec![line.trim_end().to_owned()];
    }
    let blanks = line.chars().take_while(|c| *c == ' ').count();
    let indent = " ".repeat(blanks.min(columns / 2));
    let columns = columns.saturating_sub(indent.len()).max(1);
    let mut out: Vec<String> = Vec::new();
    let mut current = String::new();
    let mut used = 0;
    for word in line.split(' ').filter(|w| !w.is_empty()) {
        let size = width(word);
        if used > 0 && used + 1 + size > columns {
            out.push(format!("{indent}{current}"));
            current.clear();
            used = 0;
        }
        if used > 0 {
            current.push(' ');
            used += 1;
        }
        let mut rest = word;
        while used + width(rest) > columns {
            let (fit, left) = head(rest, columns - used);
            // A character wider than the whole line still has to go somewhere.
            let (fit, left) = if fit.is_empty() && used == 0 { split_first(rest) } else { (fit, left) };
            out.push(format!("{indent}{current}{fit}"));
            current.clear();
            used = 0;
            rest = left;
        }
        current.push_str(rest);
        used += width(rest);
    }
    if used > 0 || out.is_empty() {
        out.push(format!("{indent}{current}"));
    }
    out
}

fn split_first(text: &str) -> (&str, &str) {
    let end = text.chars().next().map_or(0, char::len_utf8);
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// [`wrap`] for text of several lines.
pub(super) fn wrap_all(raw: &str, columns: usize) -> Vec<String> {
    lines(raw).iter().flat_map(|line| wrap(line, columns)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_and_wide_characters_count_twice() {
        let table: [(&str, usize, &[&str]); 8] = [
            ("short", 10, &["short"]),
            ("one two three", 8, &["one two", "three"]),
            ("  indented text here", 12, &["  indented", "  text here"]),
            ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
            ("日本語テスト", 6, &["日本語", "テスト"]),
            ("日本", 1, &["日", "本"]),
            ("", 5, &[""]),
            ("a  b", 80, &["a  b"]),
        ];
        for (line, columns, want) in table {
            assert_eq!(wrap(line, columns), want, "{line}");
        }
        assert_eq!(cut("abcdef", 4, "…"), "abc…");
        assert_eq!(cut("日本語", 4, "…"), "日…");
        assert_eq!(cut("abc", 3, "…"), "abc");
        assert_eq!((pad("日", 4), pad_left("7", 3)), ("日  ".to_owned(), "  7".to_owned()));
    }

    #[test]
    fn escapes_are_gone_and_lines_are_bounded() {
        assert_eq!(one_line("a\u{1b}[2J\nb\tc\r"), "a b c");
        assert_eq!(lines("x\u{1b}]0;t\u{7}\n\ty\n\n"), ["x", "    y"]);
        assert!(one_line(&"x".repeat(10_000_000)).len() <= LONGEST_LINE);
    }
}
