//! What the place that text goes to can show.

use jiff::{Timestamp, tz::TimeZone};

/// What the output can show, and how people there read a clock.
#[derive(Clone, Debug)]
pub struct Style {
    /// ANSI colours are understood.
    pub color: bool,
    /// A terminal: the cursor can go back, so that lines are rewritten in place.
    pub live: bool,
    /// Columns; `usize::MAX` where lines may be as long as they like.
    pub width: usize,
    /// Rows of the screen; counts only when `live`.
    pub height: usize,
    /// Characters beyond ASCII are shown.
    pub unicode: bool,
    /// One JSON object an event instead of text.
    pub json: bool,
    /// The time zone that clock times are shown in.
    pub zone: TimeZone,
}

/// The facts that a [`Style`] is made from.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Its columns and rows, if known.
    pub size: Option<(usize, usize)>,
    /// `--json` was asked for.
    pub json: bool,
    /// The local time zone.
    pub zone: TimeZone,
}

/// Where a colour is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Bold,
    Dim,
    Red,
    Yellow,
    Green,
    Cyan,
}

impl Style {
    /// Text for a pipe or a file: no colours, no boxes, lines as long as they are.
    pub fn plain(zone: TimeZone) -> Self {
        Self { color: false, live: false, width: usize::MAX, height: 24, unicode: true, json: false, zone }
    }

    /// What fits these surroundings; `var` looks up environment variables (`TERM`, `NO_COLOR`, `LC_ALL` …).
    pub fn detect(around: &Surroundings, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|v| !v.is_empty());
        let live = around.terminal && !around.json && set("TERM").is_some_and(|term| term != "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(name)).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let (columns, rows) = around.size.unwrap_or((80, 24));
        Self {
            color: live && set("NO_COLOR").is_none(),
            live,
            width: if around.terminal { columns.max(20) } else { usize::MAX },
            height: rows.max(4),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            json: around.json,
            zone: around.zone.clone(),
        }
    }

    pub(super) fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Red => "31",
            Ink::Yellow => "33",
            Ink::Green => "32",
            Ink::Cyan => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// `rich` where it can be shown, else `plain`.
    pub(super) fn either<'a>(&self, rich: &'a str, plain: &'a str) -> &'a str {
        if self.unicode { rich } else { plain }
    }

    /// Date and time of day with the zone's name: sentences beside it may speak in UTC.
    pub(super) fn moment(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// Time of day with the zone's name.
    pub(super) fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S %Z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_follows_terminal_and_locale() {
        type Vars = &'static [(&'static str, &'static str)];
        let table: [(bool, bool, Vars, [bool; 3]); 7] = [
            (true, false, &[("TERM", "xterm"), ("LANG", "de_DE.UTF-8")], [true, true, true]),
            (true, false, &[("TERM", "xterm"), ("LANG", "C"), ("NO_COLOR", "1")], [false, true, false]),
            (true, false, &[("TERM", "dumb"), ("LC_ALL", "C.utf8")], [false, false, true]),
            (true, false, &[], [false, false, false]),
            (true, true, &[("TERM", "xterm")], [false, false, false]),
            (false, false, &[("TERM", "xterm"), ("LANG", "C.UTF-8")], [false, false, true]),
            (
                true,
                false,
                &[("TERM", "xterm"), ("LC_ALL", "POSIX"), ("LANG", "C.UTF-8")],
                [true, true, false],
            ),
        ];
        for (terminal, json, vars, want) in table {
            let around = Surroundings { terminal, size: None, json, zone: TimeZone::UTC };
            let var = |name: &str| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
            let style = Style::detect(&around, var);
            assert_eq!([style.color, style.live, style.unicode], want, "{terminal} {json} {vars:?}");
            assert_eq!(style.width, if terminal { 80 } else { usize::MAX });
        }
    }
}
