//! Tables that fit: columns shrink and wrap, and where even that is too wide, rows become lists.

use super::{
    style::{Ink, Style},
    text::{cut, one_line, pad, pad_left, width, wrap},
};

/// A column is never made narrower than this.
const NARROWEST: usize = 12;
/// A cell takes at most this many lines.
const CELL_LINES: usize = 4;
/// The blanks between two columns.
const GAP: usize = 2;

/// The table's lines, without its title.
pub(super) fn table(style: &Style, columns: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let names: Vec<String> = columns.iter().map(|c| one_line(c)).collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| (0..names.len()).map(|n| row.get(n).map_or_else(String::new, |c| one_line(c))).collect())
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    if cells.is_empty() {
        return vec![style.paint(Ink::Dim, "(no rows)")];
    }
    let natural: Vec<usize> = (0..names.len())
        .map(|n| {
            cells.iter().filter_map(|row| row.get(n)).chain(names.get(n)).map(|c| width(c)).max().unwrap_or(0)
        })
        .collect();
    match fit(&natural, style.width) {
        Some(widths) => grid(style, &names, &cells, &widths),
        None => list(style, &names, &cells),
    }
}

/// Takes columns from the widest until all fit; none when they cannot.
fn fit(natural: &[usize], space: usize) -> Option<Vec<usize>> {
    let mut widths = natural.to_vec();
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>().saturating_add(gaps) > space {
        let over = widths.iter().sum::<usize>() + gaps - space;
        // Equally wide columns share what is to go.
        let ties = widths.iter().filter(|w| Some(*w) == widths.iter().max()).count().max(1);
        let second =
            widths.iter().copied().filter(|w| Some(w) != widths.iter().max()).max().unwrap_or(NARROWEST);
        let widest = widths.iter_mut().max()?;
        if *widest <= NARROWEST {
            return None;
        }
        let floor = second.max(NARROWEST).min(*widest - 1);
        *widest = widest.saturating_sub(over.div_ceil(ties)).max(floor);
    }
    Some(widths)
}

fn grid(style: &Style, names: &[String], cells: &[Vec<String>], widths: &[usize]) -> Vec<String> {
    let right: Vec<bool> =
        (0..names.len()).map(|n| numeric(cells.iter().filter_map(|row| row.get(n)))).collect();
    let line = |parts: &[String], ink: Option<Ink>| {
        let filled: Vec<String> = parts
            .iter()
            .zip(widths)
            .zip(&right)
            .map(|((part, w), right)| if *right { pad_left(part, *w) } else { pad(part, *w) })
            .collect();
        let text = filled.join(&" ".repeat(GAP)).trim_end().to_owned();
        ink.map_or(text.clone(), |ink| style.paint(ink, &text))
    };
    let mark = style.either("…", "~");
    let header: Vec<String> = names.iter().zip(widths).map(|(n, w)| cut(n, *w, mark)).collect();
    let rule: Vec<String> = widths.iter().map(|w| style.either("─", "-").repeat(*w)).collect();
    let mut out = vec![line(&header, Some(Ink::Bold)), line(&rule, Some(Ink::Dim))];
    for row in cells {
        let wrapped: Vec<Vec<String>> = row.iter().zip(widths).map(|(c, w)| cell(c, *w, mark)).collect();
        let height = wrapped.iter().map(Vec::len).max().unwrap_or(1);
        for n in 0..height {
            let parts: Vec<String> = wrapped.iter().map(|c| c.get(n).cloned().unwrap_or_default()).collect();
            out.push(line(&parts, None));
        }
    }
    out
}

fn cell(text: &str, columns: usize, mark: &str) -> Vec<String> {
    let mut lines = wrap(text, columns);
    if lines.len() > CELL_LINES {
        lines.truncate(CELL_LINES);
        if let Some(last) = lines.last_mut() {
            *last = format!("{}{mark}", cut(last, columns.saturating_sub(width(mark)), ""));
        }
    }
    lines
}

/// One `name: value` a line, rows apart by blank lines.
fn list(style: &Style, names: &[String], cells: &[Vec<String>]) -> Vec<String> {
    let mut out = Vec::new();
    for (n, row) in cells.iter().enumerate() {
        if n > 0 {
            out.push(String::new());
        }
        for (name, value) in names.iter().zip(row) {
            let mut lines = wrap(&format!("{name}: {value}"), style.width).into_iter();
            out.extend(lines.next());
            out.extend(lines.map(|l| format!("  {l}")).map(|l| cut(&l, style.width, "")));
        }
    }
    out
}

/// All cells that hold something are figures, with or without a unit.
fn numeric<'a>(cells: impl Iterator<Item = &'a String>) -> bool {
    let mut any = false;
    for cell in cells.filter(|c| !matches!(c.as_str(), "" | "-" | "–" | "n/a")) {
        let digits = cell.trim_start_matches(['-', '+']);
        let unit = digits.trim_start_matches(|c: char| c.is_ascii_digit() || ".,_".contains(c)).trim_start();
        let starts = digits.starts_with(|c: char| c.is_ascii_digit());
        if !starts || unit.chars().count() > 5 || !unit.chars().all(|c| c.is_alphabetic() || "%/".contains(c))
        {
            return false;
        }
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn rendered(width: usize, columns: &[&str], rows: &[&[&str]]) -> String {
        let style = Style { width, ..Style::plain(TimeZone::UTC) };
        let own = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let rows: Vec<_> = rows.iter().map(|r| own(r)).collect();
        table(&style, &own(columns), &rows).join("\n")
    }

    #[test]
    fn figures_stand_right_and_text_left() {
        let got = rendered(80, &["service", "cpu"], &[&["web", "93.1 %"], &["db", "4 %"], &["redis", "-"]]);
        assert_eq!(
            got,
            "service     cpu\n\
             ───────  ──────\n\
             web      93.1 %\n\
             db          4 %\n\
             redis         -"
        );
    }

    #[test]
    fn a_table_always_fits_its_width() {
        let long = "connection refused while connecting to upstream server number seven ".repeat(6);
        for width in [20, 30, 40, 80, 200] {
            let got = rendered(
                width,
                &["customer", "service", "what was seen"],
                &[&["19", "web", &long], &["日本語のお客様", "db", "ok"]],
            );
            for line in got.lines() {
                assert!(super::width(line) <= width, "{width}: {line}");
            }
            assert!(got.contains("web"), "{got}");
        }
        let even = rendered(40, &["a", "b"], &[&[&"ab ".repeat(12), &"cd ".repeat(12)]]);
        assert_eq!(even.lines().next_back(), Some("ab ab ab ab ab ab    cd cd cd cd cd cd"), "{even}");
        let narrow =
            rendered(20, &["a", "b", "c", "d"], &[&["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"]]);
        assert_eq!(narrow, "a: aaaaaaaa\nb: bbbbbbbb\nc: cccccccc\nd: dddddddd");
    }

    #[test]
    fn missing_and_surplus_cells_and_escapes_do_no_harm() {
        let got = rendered(80, &["a", "b"], &[&["1"], &["2", "x\u{1b}[2Jy\nz", "surplus"]]);
        assert_eq!(got, "a  b\n─  ────\n1\n2  xy z");
        assert_eq!(rendered(80, &["a"], &[]), "(no rows)");
        assert_eq!(rendered(80, &[], &[&["x"]]), "");
    }
}
