//! Tables on a phone: a grid where it fits, a list where rows are few, else a file that a spreadsheet opens.

use std::collections::BTreeSet;

use super::{
    CAPTION_ROOM, Look, SHARE,
    post::{Body, Post, Rich},
    rich::Pen,
    split,
    text::{count, file_name, is_blank, one_line, units, whole_line, width},
};

/// The columns that a monospaced line has on a phone.
const PHONE: usize = 34;
/// The most rows that are listed below each other.
const LIST_ROWS: usize = 6;
/// The most lines of names with their values.
const PAIR_ROWS: usize = 30;

/// How a table is shown.
pub(super) enum Shown {
    /// Within a message.
    Inline(Rich),
    /// As a message of its own.
    File(Post),
}

/// The table in the shape that suits it.
pub(super) fn table(title: Option<&str>, columns: &[String], rows: &[Vec<String>], look: &Look<'_>) -> Shown {
    let wide = rows.iter().map(Vec::len).chain([columns.len()]).max().unwrap_or(0);
    let fill = |cells: &[String]| -> Vec<String> {
        (0..wide).map(|n| cells.get(n).map_or_else(String::new, |c| one_line(c))).collect()
    };
    let title = title.map(one_line).filter(|t| !is_blank(t));
    let (names, cells) = (fill(columns), rows.iter().map(|r| fill(r)).collect::<Vec<_>>());
    let mut pen = Pen::default();
    if let Some(title) = &title {
        pen.bold(title).text("\n");
    }
    if cells.is_empty() {
        pen.text("(no rows)");
        return Shown::Inline(pen.finish());
    }
    let share = SHARE.min(look.room);
    if let Some(text) = grid(&names, &cells).filter(|text| units(text) + pen.at() <= share) {
        pen.pre(&text);
        return Shown::Inline(pen.finish());
    }
    let head = pen.clone();
    let listed = if wide == 2 && cells.len() <= PAIR_ROWS {
        pairs(&mut pen, &cells);
        true
    } else if cells.len() <= LIST_ROWS {
        pen.text(if title.is_some() { "\n" } else { "" });
        list(&mut pen, &names, &cells, heading(&cells));
        true
    } else {
        false
    };
    if listed && pen.at() <= share && pen.entities() <= 90 {
        return Shown::Inline(pen.finish());
    }
    Shown::File(file(title.as_deref(), head, (&names, &cells), (columns, rows)))
}

/// The cells below their names, figures at the right; none when that is wider than a phone.
pub(super) fn grid(names: &[String], rows: &[Vec<String>]) -> Option<String> {
    let count = rows.iter().map(Vec::len).chain([names.len()]).max().unwrap_or(0);
    let column = |n: usize| rows.iter().filter_map(move |row| row.get(n));
    let widths: Vec<usize> =
        (0..count).map(|n| column(n).chain(names.get(n)).map(|c| width(c)).max().unwrap_or(0)).collect();
    let right: Vec<bool> = (0..count).map(|n| numeric(column(n))).collect();
    let total: usize = widths.iter().sum();
    let gap = [2, 1].into_iter().find(|gap| total + gap * count.saturating_sub(1) <= PHONE)?;
    let line = |cells: &[String]| {
        let cell = |n: usize| {
            let text = cells.get(n).map(String::as_str).unwrap_or_default();
            let blanks = " ".repeat(widths.get(n).copied().unwrap_or(0).saturating_sub(width(text)));
            if right.get(n) == Some(&true) { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
        };
        (0..count).map(cell).collect::<Vec<_>>().join(&" ".repeat(gap)).trim_end().to_owned()
    };
    let rule = widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join(&" ".repeat(gap));
    let named = names.iter().any(|n| !n.is_empty());
    let mut out = if named { vec![line(names), rule] } else { vec![] };
    out.extend(rows.iter().map(|row| line(row)));
    let text = out.join("\n");
    (!is_blank(&text)).then_some(text)
}

/// All cells that hold something are figures, with or without a unit.
fn numeric<'a>(cells: impl Iterator<Item = &'a String>) -> bool {
    let mut any = false;
    for cell in cells.filter(|c| !matches!(c.as_str(), "" | "-" | "–" | "n/a")) {
        let digits = cell.trim_start_matches(['-', '+']);
        let unit = digits.trim_start_matches(|c: char| c.is_ascii_digit() || ".,_".contains(c)).trim_start();
        let short = unit.chars().count() <= 5 && unit.chars().all(|c| c.is_alphabetic() || "%/".contains(c));
        if !digits.starts_with(|c: char| c.is_ascii_digit()) || !short {
            return false;
        }
        any = true;
    }
    any
}

/// `name: value` lines; the table's own column names would say nothing more.
fn pairs(pen: &mut Pen, cells: &[Vec<String>]) {
    for (n, row) in cells.iter().enumerate() {
        if n > 0 {
            pen.text("\n");
        }
        let mut row = row.iter().filter(|cell| !cell.is_empty());
        pen.bold(row.next().map(String::as_str).unwrap_or_default());
        if let Some(value) = row.next() {
            pen.text(": ").guarded(value);
        }
    }
}

/// So many first cells tell the rows apart: one, or two where the first repeats itself.
fn heading(cells: &[Vec<String>]) -> usize {
    let firsts: BTreeSet<_> = cells.iter().filter_map(|row| row.first()).collect();
    if firsts.len() < cells.len() { 2 } else { 1 }
}

/// Each row as a small card: its `heading` first cells, below them the others with their names, as many in a line as
/// the phone shows.
fn list(pen: &mut Pen, names: &[String], cells: &[Vec<String>], heading: usize) {
    for (n, row) in cells.iter().enumerate() {
        if n > 0 {
            pen.text("\n\n");
        }
        let head: Vec<_> = row.iter().take(heading).filter(|c| !c.is_empty()).map(String::as_str).collect();
        let head = head.join(" · ");
        pen.bold(if head.is_empty() { names.first().map_or("", String::as_str) } else { &head });
        let mut room = 0;
        for (name, value) in names.iter().zip(row).skip(heading).filter(|(_, value)| !value.is_empty()) {
            let colon = if name.is_empty() { "" } else { ": " };
            let wide = width(name) + colon.len() + width(value) + 3;
            let gap = if wide <= room { " · " } else { "\n" };
            room = if wide <= room { room } else { PHONE + 3 }.saturating_sub(wide);
            pen.text(gap).guarded(name).text(colon).guarded(value);
        }
    }
}

type Cells<'a> = (&'a [String], &'a [Vec<String>]);

/// All of it as a file, its first rows below.
fn file(title: Option<&str>, mut pen: Pen, (names, cells): Cells<'_>, raw: Cells<'_>) -> Post {
    pen.text(&format!("{}, {}", count(cells.len(), "row"), count(names.len(), "column")));
    let mut caption = pen.clone();
    let heading = heading(cells);
    for shown in 1..=cells.len().min(LIST_ROWS) {
        let mut more = pen.clone();
        more.text("; the first:\n\n");
        list(&mut more, names, cells.get(..shown).unwrap_or_default(), heading);
        if more.at() > CAPTION_ROOM || more.entities() > 90 {
            break;
        }
        caption = more;
    }
    Post {
        body: Body::File {
            name: file_name(title.unwrap_or_default(), "table", "csv"),
            content: csv(raw.0, raw.1).into_bytes().into(),
            caption: split::head(caption.finish(), CAPTION_ROOM),
        },
        keyboard: vec![],
        card: None,
        quiet: false,
    }
}

/// RFC 4180, with the mark by which spreadsheets know UTF-8; no cell can become a formula.
fn csv(columns: &[String], rows: &[Vec<String>]) -> String {
    let mut out = String::from("\u{feff}");
    for row in std::iter::once(columns).chain(rows.iter().map(Vec::as_slice)) {
        let cells: Vec<String> = row.iter().map(|c| cell(&whole_line(c))).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

fn cell(text: &str) -> String {
    let own = text.to_owned();
    let formula = text.starts_with(['=', '+', '-', '@']) && text.len() > 1 && !numeric(std::iter::once(&own));
    let text = if formula { format!("'{text}") } else { own };
    if text.contains(['"', ',', ';', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
