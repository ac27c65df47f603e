//! Foreign text made safe for a chat and measured as Telegram measures; figures and times as a phone shows them.

use jiff::{Timestamp, tz::TimeZone};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::domain::Untrusted;

/// The longest single line that is looked at, in bytes; the rest is cut with a mark.
const LONGEST_LINE: usize = 16 * 1024;

/// The length in UTF-16 units, as Telegram counts.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The columns that `text` takes in a monospaced line.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// One safe line: no escapes, line breaks and tabs made blanks.
pub(super) fn one_line(raw: &str) -> String {
    let safe = Untrusted::new(raw).cut(LONGEST_LINE);
    safe.as_str().split(['\n', '\t']).map(str::trim_end).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// [`one_line`] without a bound, for what a person decides about.
pub(super) fn whole_line(raw: &str) -> String {
    let safe = Untrusted::new(raw);
    safe.as_str().split(['\n', '\t']).map(str::trim_end).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Safe text: no escapes, tabs made blanks, nothing but lines at its edges. Joiners stay where writing needs them.
pub(super) fn prose(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    let mut from = 0;
    for (at, joiner) in raw.match_indices(['\u{200c}', '\u{200d}']) {
        let before = raw.get(from..at).unwrap_or_default();
        let after = raw.get(at + joiner.len()..).unwrap_or_default();
        if joins(before.chars().next_back(), joiner, after.chars().next()) {
            safe.push_str(Untrusted::new(before).as_str());
            safe.push_str(joiner);
            from = at + joiner.len();
        }
    }
    safe.push_str(Untrusted::new(raw.get(from..).unwrap_or_default()).as_str());
    safe.replace('\t', "    ").trim_end().trim_start_matches('\n').to_owned()
}

/// Whether the joiner makes one picture of two emoji, or shapes letters of a script that is written with joiners;
/// within other words it would only hide something.
fn joins(before: Option<char>, joiner: &str, after: Option<char>) -> bool {
    let picture = |c: char| matches!(c, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}');
    let shaped =
        |c: char| matches!(c, '\u{600}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18af}');
    let (Some(before), Some(after)) = (before, after) else { return false };
    joiner == "\u{200d}" && picture(before) && picture(after) || shaped(before) && shaped(after)
}

/// Safe lines, each bounded, tabs made blanks.
pub(super) fn lines(raw: &str) -> Vec<String> {
    let safe = Untrusted::new(raw);
    let line = |line: &str| Untrusted::new(line).cut(LONGEST_LINE).as_str().replace('\t', "    ");
    safe.as_str().trim_end().lines().map(line).collect()
}

/// `text`, at most `room` UTF-16 units long, cut between grapheme clusters; a cut is marked.
pub(super) fn cut(text: &str, room: usize) -> String {
    if units(text) <= room {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |cluster: &&str| {
        used += units(cluster);
        used <= room
    };
    let mut out: String = text.graphemes(true).take_while(fits).collect();
    out.push('…');
    out
}

/// Whether nothing of `text` would be seen: Telegram refuses such a message as empty.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{fffc}')
            || Untrusted::new(c.encode_utf8(&mut [0; 4])).as_str().is_empty()
    })
}

/// `14:05 UTC`, with its day unless that is today.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_zoned(TimeZone::UTC), now.to_zoned(TimeZone::UTC));
    if at.date() == now.date() {
        at.strftime("%H:%M UTC").to_string()
    } else if at.year() == now.year() {
        at.strftime("%-d %b %H:%M UTC").to_string()
    } else {
        at.strftime("%-d %b %Y %H:%M UTC").to_string()
    }
}

/// A value with its unit, as a person reads it.
pub(super) fn figure(value: f64, unit: &str) -> String {
    match unit {
        "B" | "B/s" => {
            let mut size = value;
            let mut steps = ["", "Ki", "Mi", "Gi", "Ti", "Pi"].into_iter();
            let mut step = steps.next();
            while size.abs() >= 1024.0
                && let Some(next) = steps.next()
            {
                size /= 1024.0;
                step = Some(next);
            }
            format!("{} {}{unit}", short(size), step.unwrap_or_default())
        }
        "" => short(value),
        _ => format!("{} {unit}", short(value)),
    }
}

fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v.fract() == 0.0 => 0,
        v if v >= 1.0 => 1,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// `1 row`, `2 rows`.
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `name` as a file name: letters, digits, dots, dashes; never empty, never longer than 48.
pub(super) fn file_name(name: &str, otherwise: &str, ending: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let slug: String = one_line(name).chars().map(safe).collect();
    let parts: Vec<&str> = slug.split('-').map(|p| p.trim_matches('.')).filter(|p| !p.is_empty()).collect();
    let slug: String = parts.join("-").chars().take(48).collect();
    format!("{}.{ending}", if slug.is_empty() { otherwise } else { &slug })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_name_their_day_only_when_it_is_another() {
        let now: Timestamp = "2026-11-21T14:30:00Z".parse().unwrap();
        let table = [
            ("2026-11-21T14:05:59Z", "14:05 UTC"),
            ("2026-11-20T23:59:00Z", "20 Nov 23:59 UTC"),
            ("2025-01-02T03:04:05Z", "2 Jan 2025 03:04 UTC"),
        ];
        for (at, want) in table {
            assert_eq!(moment(at.parse().unwrap(), now), want);
        }
    }

    #[test]
    fn figures_names_and_cuts() {
        assert_eq!(figure(1536.0, "B"), "1.5 KiB");
        assert_eq!(figure(f64::MAX, "B/s").split(' ').nth(1), Some("PiB/s"));
        assert_eq!((figure(93.15, "%"), figure(0.0421, "s")), ("93.2 %".into(), "0.042 s".into()));
        assert_eq!(file_name("opsbot/c19 web", "log", "log.txt"), "opsbot-c19-web.log.txt");
        assert_eq!(file_name("../../etc", "log", "txt"), "etc.txt");
        assert_eq!(file_name("⚠ \u{202e}", "table", "csv"), "table.csv");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("a👍🏽b", 4), "a…");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(one_line("a\u{1b}[2J\nb\tc\r"), "a b c");
        assert!(is_blank(" \n\u{200b}\u{2800}\t") && !is_blank("\u{301}") && is_blank(""));
    }

    #[test]
    fn joiners_stay_where_writing_needs_them() {
        let table = [
            ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
            ("❤\u{fe0f}\u{200d}🔥 👩🏽\u{200d}💻", "❤\u{fe0f}\u{200d}🔥 👩🏽\u{200d}💻"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("क्\u{200d}ष", "क्\u{200d}ष"),
            ("re\u{200d}start /st\u{200c}op", "restart /stop"),
            ("\u{200d}👨\u{200d}", "👨"),
            ("👨\u{200d}\u{1b}[31m👩", "👨👩"),
            ("19\u{200b}0 \u{202e}x", "190 x"),
        ];
        for (raw, want) in table {
            assert_eq!(prose(raw), want, "{raw:?}");
        }
    }
}
