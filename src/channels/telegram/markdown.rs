//! The Markdown that models write, as entities; whatever is not plainly a marker stays as it was written.
//!
//! Underscores are left alone (`snake_case` and `__init__` are content here), and a link becomes its text with the plain
//! address behind it, so that what can be tapped always shows where it leads.

use teloxide::types::MessageEntityKind as Kind;

use super::{post::Rich, rich::Pen, table};

/// How far a marker's counterpart may be away, in bytes.
const REACH: usize = 1000;
/// How deep emphasis may stand in emphasis.
const DEPTH: usize = 3;
/// A quote with more lines than this is shown folded.
const QUOTE_LINES: usize = 5;
/// As is one of more UTF-16 units.
const QUOTE_UNITS: usize = 400;

/// `text` (already cleaned) with its markers made entities.
pub(super) fn parse(text: &str) -> Rich {
    let lines: Vec<&str> = text.lines().collect();
    let mut pen = Pen::default();
    let mut at = 0;
    while let Some(rest) = lines.get(at..).filter(|rest| !rest.is_empty()) {
        if at > 0 {
            pen.text("\n");
        }
        let taken = fence(&mut pen, rest)
            .or_else(|| grid(&mut pen, rest))
            .or_else(|| quote(&mut pen, rest))
            .unwrap_or_else(|| line(&mut pen, rest.first().copied().unwrap_or_default()));
        at += taken;
    }
    pen.finish()
}

/// Closes a fence that is still open, so that code which is still being written is already shown as code.
pub(super) fn close_fence(text: &str) -> String {
    let mut open: Option<usize> = None;
    for line in text.lines() {
        open = match (open, fence_of(line)) {
            (None, Some((size, _))) => Some(size),
            (Some(size), Some((found, ""))) if found >= size => None,
            (state, _) => state,
        };
    }
    match open {
        Some(size) => format!("{text}\n{}", "`".repeat(size)),
        None => text.to_owned(),
    }
}

/// A line's fence: how many backticks, and what follows them.
fn fence_of(line: &str) -> Option<(usize, &str)> {
    let line = line.trim();
    let rest = line.trim_start_matches('`');
    let size = line.len() - rest.len();
    (size >= 3 && !rest.contains('`')).then_some((size, rest.trim()))
}

/// A fenced block, if it is closed: how many lines it takes.
fn fence(pen: &mut Pen, rest: &[&str]) -> Option<usize> {
    let (size, info) = fence_of(rest.first()?)?;
    let closes = |line: &&str| fence_of(line).is_some_and(|(found, after)| found >= size && after.is_empty());
    let inner = rest.iter().skip(1).position(closes)?;
    let mut body: Vec<&str> = rest.iter().skip(1).take(inner).copied().collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+-_.#".contains(c);
    let language =
        (!info.is_empty() && info.len() <= 32 && info.chars().all(is_name)).then(|| info.to_owned());
    if language.is_none() && !info.is_empty() {
        body.insert(0, info);
    }
    if body.iter().all(|line| line.trim().is_empty()) {
        return None;
    }
    pen.styled(Kind::Pre { language }, &body.join("\n"));
    Some(inner + 2)
}

/// A table drawn with bars: how many lines it takes.
fn grid(pen: &mut Pen, rest: &[&str]) -> Option<usize> {
    let is_row = |line: &&&str| line.trim_start().starts_with('|');
    let rule = rest.get(1)?.trim();
    let rules = rule.contains('-') && rule.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
    if !is_row(&rest.first()?) || !is_row(&rest.get(1)?) || !rules {
        return None;
    }
    let taken = rest.iter().take_while(is_row).count();
    let lines: Vec<&str> = rest.iter().take(taken).copied().collect();
    let mut rows: Vec<Vec<String>> =
        lines.iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| cells(l)).collect();
    let names = rows.remove(0);
    match table::grid(&names, &rows) {
        Some(text) => pen.pre(&text),
        None => pen.pre(&lines.join("\n")),
    };
    Some(taken)
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').unwrap_or(row);
    let cell = |text: &str| {
        let mut pen = Pen::default();
        inline(&mut pen, text.trim(), 0);
        pen.finish().text
    };
    row.split('|').map(cell).collect()
}

/// Lines behind `>`: how many.
fn quote(pen: &mut Pen, rest: &[&str]) -> Option<usize> {
    let lines: Vec<&str> = rest.iter().map_while(|l| l.strip_prefix('>')).collect();
    if lines.iter().all(|l| l.trim().is_empty()) {
        return None;
    }
    let from = pen.at();
    for (n, text) in lines.iter().enumerate() {
        if n > 0 {
            pen.text("\n");
        }
        line(pen, text.strip_prefix(' ').unwrap_or(text));
    }
    let long = lines.len() > QUOTE_LINES || pen.at() - from > QUOTE_UNITS;
    pen.span(if long { Kind::ExpandableBlockquote } else { Kind::Blockquote }, from);
    Some(lines.len())
}

/// A heading, a list's item or plain text; always one line.
fn line(pen: &mut Pen, text: &str) -> usize {
    let title = text.trim_start_matches('#');
    let marks = text.len() - title.len();
    if let (1..=6, Some(title)) = (marks, title.strip_prefix(' '))
        && !title.trim().is_empty()
    {
        let from = pen.at();
        inline(pen, title.trim(), 0);
        pen.span(Kind::Bold, from);
        return 1;
    }
    let body = text.trim_start();
    let indent = text.get(..text.len() - body.len()).unwrap_or_default();
    match body.strip_prefix("- ").or_else(|| body.strip_prefix("* ")) {
        Some(item) => {
            pen.text(indent).text("• ");
            inline(pen, item, 0);
        }
        None => inline(pen, text, 0),
    }
    1
}

/// What a marker and its counterpart enclose, and the byte behind both.
enum Span<'a> {
    Code(&'a str, usize),
    Emphasis(usize, &'a str, usize),
    Link(&'a str, &'a str, usize),
}

/// Writes one line's text with its inline markers made entities.
pub(super) fn inline(pen: &mut Pen, text: &str, depth: usize) {
    let (mut plain, mut at) = (0, 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let Some(span) = span(text, at, c, depth) else {
            at += literal(text, at, c);
            continue;
        };
        pen.guarded(text.get(plain..at).unwrap_or_default());
        let from = pen.at();
        at = match span {
            Span::Code(inner, end) => {
                pen.code(inner);
                end
            }
            Span::Emphasis(stars, inner, end) => {
                inline(pen, inner, depth + 1);
                if stars != 1 {
                    pen.span(Kind::Bold, from);
                }
                if stars != 2 {
                    pen.span(Kind::Italic, from);
                }
                end
            }
            Span::Link(label, url, end) => {
                if label == url {
                    pen.text(url);
                } else {
                    inline(pen, label, depth + 1);
                    pen.text(" (").text(url).text(")");
                }
                end
            }
        };
        plain = at;
    }
    pen.guarded(text.get(plain..).unwrap_or_default());
}

/// Writes text in which only code is marked, as our own sentences do.
pub(super) fn coded(pen: &mut Pen, text: &str) {
    let (mut plain, mut at) = (0, 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if c == '`'
            && let Some(Span::Code(inner, end)) = code(text, at)
        {
            pen.guarded(text.get(plain..at).unwrap_or_default()).code(inner);
            (plain, at) = (end, end);
        } else {
            at += literal(text, at, c);
        }
    }
    pen.guarded(text.get(plain..).unwrap_or_default());
}

fn span<'a>(text: &'a str, at: usize, c: char, depth: usize) -> Option<Span<'a>> {
    match c {
        '`' => code(text, at),
        '*' if depth < DEPTH => emphasis(text, at),
        '[' if depth < DEPTH => link(text, at),
        _ => None,
    }
}

/// How many bytes at `at` are plain text: a run of markers as one, an escaped marker with its backslash.
fn literal(text: &str, at: usize, c: char) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    match c {
        '`' | '*' => run(rest, c),
        '\\' => 1 + rest.chars().nth(1).filter(char::is_ascii_punctuation).map_or(0, char::len_utf8),
        _ => c.len_utf8(),
    }
}

/// How many of `mark` (one byte) stand at the start of `text`.
fn run(text: &str, mark: char) -> usize {
    text.len() - text.trim_start_matches(mark).len()
}

/// What may hold the counterpart of a marker that ends at `from`.
fn reach(text: &str, from: usize) -> &str {
    let end = text.floor_char_boundary(from.saturating_add(REACH).min(text.len()));
    text.get(from..end).unwrap_or_default()
}

fn code(text: &str, at: usize) -> Option<Span<'_>> {
    let size = run(text.get(at..)?, '`');
    let body = reach(text, at + size);
    let mut from = 0;
    while let Some(found) = body.get(from..)?.find('`') {
        let close = from + found;
        let closing = run(body.get(close..)?, '`');
        from = close + closing;
        if closing == size {
            let inner = body.get(..close)?;
            let padded = inner.strip_prefix(' ').and_then(|i| i.strip_suffix(' '));
            let inner = padded.filter(|i| !i.trim().is_empty()).unwrap_or(inner);
            return (!inner.trim().is_empty()).then_some(Span::Code(inner, at + size + from));
        }
    }
    None
}

fn emphasis(text: &str, at: usize) -> Option<Span<'_>> {
    let stars = run(text.get(at..)?, '*');
    let before = text.get(..at)?.chars().next_back();
    if stars > 3 || before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '/') {
        return None;
    }
    let body = reach(text, at + stars);
    let first = body.chars().next()?;
    // `*.log` and `*/5` are no emphasis; `**/etc**` is.
    if first.is_whitespace() || (stars == 1 && !(first.is_alphanumeric() || "`\"'([„“«".contains(first)))
    {
        return None;
    }
    let mut from = 0;
    while let Some(found) = body.get(from..)?.find(['*', '`']) {
        let close = from + found;
        let rest = body.get(close..)?;
        if rest.starts_with('`') {
            // Stars within code count for nothing.
            from = match code(body, close) {
                Some(Span::Code(_, end)) => end,
                _ => close + run(rest, '`'),
            };
            continue;
        }
        let size = run(rest, '*');
        from = close + size;
        let inner_end = from.saturating_sub(stars);
        let last = body.get(..close)?.chars().next_back();
        let fits = size == stars || (stars == 2 && size == 3);
        if fits && last.is_some_and(|c| !c.is_whitespace() && c != '\\') && closes(body.get(from..)?, stars) {
            return Some(Span::Emphasis(stars, body.get(..inner_end)?, at + stars + from));
        }
    }
    None
}

/// Whether stars before `after` may close an emphasis: not in the middle of a pattern or a figure.
fn closes(after: &str, stars: usize) -> bool {
    let mut chars = after.chars();
    match chars.next() {
        None => true,
        Some('/') => false,
        Some('.' | '-' | '_') => stars > 1 || chars.next().is_none_or(|c| !c.is_alphanumeric()),
        Some(c) => stars > 1 || !c.is_alphanumeric(),
    }
}

fn link(text: &str, at: usize) -> Option<Span<'_>> {
    let body = reach(text, at + 1);
    let label = body.get(..body.find(']')?)?;
    let rest = body.get(label.len() + 1..)?.strip_prefix('(')?;
    let mut depth = 0usize;
    let ends = |c: char| {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return true,
            ')' => depth -= 1,
            _ => {}
        }
        c.is_whitespace()
    };
    let url = rest.get(..rest.find(ends)?)?;
    let closed = rest.get(url.len()..)?.starts_with(')');
    let known =
        ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len());
    let end = at + 1 + label.len() + 2 + url.len() + 1;
    (closed && known && !label.trim().is_empty()).then_some(Span::Link(label, url, end))
}
