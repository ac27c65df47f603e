//! A recurring window of time in a time zone's wall clock: `Fri 18:00-Mon 06:00 Europe/Berlin`.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{DateTime, Weekday},
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Serialize, Serializer};

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const CURE: &str =
    "write `Fri 18:00-Mon 06:00 Europe/Berlin`, `Mon-Fri 09:00-17:00 UTC` or `daily 22:00-06:00 UTC`";

/// A weekly window over wall-clock time, its start included and its end not.
///
/// The wall clock decides: an hour that daylight saving repeats is inside both times, one that it skips never comes.
#[derive(Clone, Debug)]
pub struct Window {
    text: String,
    zone: TimeZone,
    /// Start in minutes since Monday 00:00, and length in minutes.
    spans: Vec<(u32, u32)>,
}

impl Window {
    /// Whether `now` is inside.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.contains_civil(now.to_zoned(self.zone.clone()).datetime())
    }

    /// Whether the wall clock's `at`, in the window's own zone, is inside.
    pub fn contains_civil(&self, at: DateTime) -> bool {
        let day = u32::from(at.weekday().to_monday_zero_offset().unsigned_abs());
        let minute = u32::from(at.hour().unsigned_abs()) * 60 + u32::from(at.minute().unsigned_abs());
        let at = day * DAY + minute;
        self.spans.iter().any(|(start, length)| (at + WEEK - start) % WEEK < *length)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let even = text.replace(['–', '—'], "-");
        let even = even.split('-').map(str::trim).collect::<Vec<_>>().join("-");
        let words: Vec<_> = even.split_whitespace().collect();
        if words.last().is_some_and(|zone| zone.contains(':')) {
            return Err(format!("`{text}`: the time zone is missing at the end; {CURE}"));
        }
        let (spans, zone) = match words.as_slice() {
            [from_day, middle, end, zone] => {
                let (start, to_day) = middle.split_once('-').ok_or_else(|| wrong(text))?;
                let start = day(from_day)? * DAY + time(start)?;
                let end = day(to_day)? * DAY + time(end)?;
                (vec![(start % WEEK, length(start, end, WEEK, text)?)], zone)
            }
            [days, hours, zone] => {
                let (start, end) = hours.split_once('-').ok_or_else(|| wrong(text))?;
                let (start, end) = (time(start)?, time(end)?);
                let length = length(start, end, DAY, text)?;
                let spans = days_of(days)?.into_iter().map(|d| ((d * DAY + start) % WEEK, length)).collect();
                (spans, zone)
            }
            _ => return Err(wrong(text)),
        };
        let zone = TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|_| format!("`{zone}` is not a time zone; write one like Europe/Berlin or UTC"))?;
        Ok(Self { text: text.to_owned(), zone, spans })
    }
}

fn wrong(text: &str) -> String {
    format!("`{text}` is not a window of time; {CURE}")
}

fn length(start: u32, end: u32, cycle: u32, text: &str) -> Result<u32, String> {
    if start == end {
        return Err(format!("`{text}` ends when it starts; for always leave `during` away"));
    }
    Ok(if end > start { end - start } else { end + cycle - start })
}

fn day(word: &str) -> Result<u32, String> {
    let lower = word.to_ascii_lowercase();
    let found = (0u32..).zip(DAYS).find(|(n, short)| {
        let weekday = Weekday::from_monday_zero_offset(i8::try_from(*n).unwrap_or_default());
        lower == *short || weekday.is_ok_and(|d| format!("{d:?}").eq_ignore_ascii_case(&lower))
    });
    found
        .map(|(n, _)| n)
        .ok_or_else(|| format!("`{word}` is not a day (Mon, Tue, Wed, Thu, Fri, Sat, Sun); {CURE}"))
}

fn days_of(word: &str) -> Result<Vec<u32>, String> {
    if word.eq_ignore_ascii_case("daily") {
        return Ok((0..7).collect());
    }
    let mut days = Vec::new();
    for part in word.split(',') {
        match part.split_once('-') {
            None => days.push(day(part)?),
            Some((from, to)) => {
                let (from, to) = (day(from)?, day(to)?);
                days.extend((0..=(to + 7 - from) % 7).map(|n| (from + n) % 7));
            }
        }
    }
    Ok(days)
}

fn time(word: &str) -> Result<u32, String> {
    let minutes = word.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute) = (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?);
        let valid = minute < 60 && (hour < 24 || (hour == 24 && minute == 0));
        valid.then_some(hour * 60 + minute)
    });
    minutes.ok_or_else(|| format!("`{word}` is not a time of day (00:00 to 24:00); {CURE}"))
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_their_start_and_not_their_end() {
        // 2026-11-20 is a Friday.
        let weekend = "Fri 18:00-Mon 06:00 Europe/Berlin";
        let table = [
            (weekend, "2026-11-20T17:59", false),
            (weekend, "2026-11-20T18:00", true),
            (weekend, "2026-11-22T12:00", true),
            (weekend, "2026-11-23T05:59", true),
            (weekend, "2026-11-23T06:00", false),
            ("friday 18:00 - monday 06:00 UTC", "2026-11-21T00:00", true),
            ("Mon 06:00-Fri 18:00 UTC", "2026-11-21T00:00", false),
            ("Mon-Fri 09:00-17:00 UTC", "2026-11-20T16:59", true),
            ("Mon-Fri 09:00-17:00 UTC", "2026-11-21T12:00", false),
            ("Mon–Fri 09:00–17:00 UTC", "2026-11-20T12:00", true),
            ("daily 22:00-06:00 UTC", "2026-11-20T23:00", true),
            ("daily 22:00-06:00 UTC", "2026-11-23T05:00", true),
            ("daily 22:00-06:00 UTC", "2026-11-23T06:00", false),
            ("Sun 22:00-06:00 UTC", "2026-11-23T05:59", true),
            ("Sun 22:00-06:00 UTC", "2026-11-24T05:59", false),
            ("Sat,Sun 00:00-24:00 UTC", "2026-11-22T23:59", true),
            ("Sat,Sun 00:00-24:00 UTC", "2026-11-23T00:00", false),
            ("Sat-Mon 10:00-11:00 UTC", "2026-11-23T10:30", true),
        ];
        for (window, at, want) in table {
            let window: Window = window.parse().unwrap();
            assert_eq!(window.contains_civil(at.parse().unwrap()), want, "{window} at {at}");
        }
    }

    #[test]
    fn the_wall_clock_decides_over_daylight_saving() {
        let table = [
            // Winter: Berlin is UTC+1; summer: UTC+2.
            ("Fri 18:00-Mon 06:00 Europe/Berlin", "2026-11-20T16:59:59Z", false),
            ("Fri 18:00-Mon 06:00 Europe/Berlin", "2026-11-20T17:00:00Z", true),
            ("Fri 18:00-Mon 06:00 Europe/Berlin", "2026-07-03T16:00:00Z", true),
            ("Fri 18:00-Mon 06:00 Europe/Berlin", "2026-07-03T15:59:59Z", false),
            // 2026-10-25 02:00-03:00 comes twice in Berlin.
            ("daily 02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", true),
            ("daily 02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", true),
            ("daily 02:00-03:00 Europe/Berlin", "2026-10-25T02:00:00Z", false),
            // The freeze ends at 06:00 wall clock, one hour later in UTC than the week before.
            ("Fri 18:00-Mon 06:00 Europe/Berlin", "2026-10-26T04:59:59Z", true),
            ("Fri 18:00-Mon 06:00 Europe/Berlin", "2026-10-26T05:00:00Z", false),
            // 2026-03-29 02:00-03:00 is skipped: a window that starts in it starts at 03:00.
            ("daily 02:30-06:00 Europe/Berlin", "2026-03-29T00:59:59Z", false),
            ("daily 02:30-06:00 Europe/Berlin", "2026-03-29T01:00:00Z", true),
            ("daily 02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", false),
        ];
        for (window, now, want) in table {
            let window: Window = window.parse().unwrap();
            assert_eq!(window.contains(now.parse().unwrap()), want, "{window} at {now}");
        }
    }

    #[test]
    fn a_wrong_window_says_how_to_write_one() {
        let table = [
            ("", "is not a window"),
            ("always", "is not a window"),
            ("Fri 18:00-Mon 06:00", "time zone is missing"),
            ("daily 18:00-06:00", "time zone is missing"),
            ("Fri 18:00-Mon 06:00 Mars/Base", "`Mars/Base` is not a time zone"),
            ("Frx 18:00-Mon 06:00 UTC", "`Frx` is not a day"),
            ("Fri 25:00-Mon 06:00 UTC", "`25:00` is not a time"),
            ("daily 10:00-10:00 UTC", "ends when it starts"),
            ("daily 9-17 UTC", "`9` is not a time"),
        ];
        for (window, part) in table {
            let error = window.parse::<Window>().unwrap_err();
            assert!(error.contains(part), "{window}: {error}");
        }
    }
}
