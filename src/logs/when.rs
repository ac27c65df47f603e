//! When a line was written, as far as it says so itself.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};
use regex::bytes::{Captures, Regex};

/// A line's time stands within its first bytes.
const HEAD: usize = 400;
/// No log is older than computers' own epoch makes likely, or much newer than now.
const YEARS: std::ops::RangeInclusive<i16> = 1990..=2100;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A pattern of this file; the tests prove that each one compiles.
type Shape = LazyLock<Option<Regex>>;

const MONTH: &str = "(?P<mon>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))";
const CLOCK: &str = r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?";
const ZONE: &str = r"(?: ?(?P<z>Z|UTC|GMT|[+-]\d\d:?\d\d))?";

fn shape(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// `2026-11-21T16:20:01.5Z`, `2026/11/21 16:20:01`, `2026-11-21 16:20:01,123 +0100`.
static ISO: Shape =
    LazyLock::new(|| shape(&format!(r"\b(?P<y>\d{{4}})[-/](?P<mo>\d\d)[-/](?P<d>\d\d)[T ]{CLOCK}{ZONE}")));
/// `21/Nov/2026:16:20:01 +0000`, `21 Nov 2026 16:20:01.123`, `21-Nov-2026 16:20:01 UTC`.
static DAY_FIRST: Shape =
    LazyLock::new(|| shape(&format!(r"\b(?P<d>\d{{1,2}})[/ -]{MONTH}[/ -](?P<y>\d{{4}})[: ]{CLOCK}{ZONE}")));
/// `Nov 21 16:20:01`, `Nov 21 16:20:01.123 2026`.
static MONTH_FIRST: Shape = LazyLock::new(|| {
    shape(&format!(r"\b{MONTH} {{1,2}}(?P<d>\d{{1,2}}) {CLOCK}(?: (?P<y>(?:19|20)\d\d)\b)?"))
});
/// `1795278001`, `[1795278001.123]`, `1795278001123`, `"ts":1795278001.5`.
static EPOCH: Shape = LazyLock::new(|| {
    shape(
        r#"(?:^\[?|"(?:ts|time|timestamp|@timestamp)" ?: ?"?)(?P<e>[12]\d{9})(?:(?P<ms>\d{3})|\.(?P<f>\d{1,9}))?(?:[^\d]|$)"#,
    )
});

static SHAPES: [&Shape; 4] = [&ISO, &DAY_FIRST, &MONTH_FIRST, &EPOCH];
/// So near to a line's beginning no other time stands before it.
const NEAR: usize = 24;

/// Reads the times of lines that name no zone or no year.
#[derive(Debug)]
pub struct Reader {
    zone: TimeZone,
    now: Timestamp,
    /// The shape that fitted last: lines of one log mostly have the same.
    last: AtomicUsize,
}

impl Reader {
    /// Lines without a zone are in `zone`, lines without a year in the last year that is not after `now`.
    pub fn new(zone: TimeZone, now: Timestamp) -> Self {
        Self { zone, now, last: AtomicUsize::new(0) }
    }

    /// The time in the line that stands first, if one does.
    pub fn time(&self, line: &[u8]) -> Option<Timestamp> {
        let head = line.get(..HEAD.min(line.len())).unwrap_or_default();
        let last = self.last.load(Ordering::Relaxed);
        if let Some((start, at)) = self.shaped(last, head)
            && start <= NEAR
        {
            return Some(at);
        }
        let found = (0..SHAPES.len()).filter_map(|n| self.shaped(n, head).map(|(start, at)| (start, n, at)));
        let (_, shape, at) = found.min_by_key(|(start, _, _)| *start)?;
        self.last.store(shape, Ordering::Relaxed);
        Some(at)
    }

    /// Where a time of this shape begins, and what it is.
    fn shaped(&self, shape: usize, head: &[u8]) -> Option<(usize, Timestamp)> {
        let captures = SHAPES.get(shape)?.as_ref()?.captures(head)?;
        Some((captures.get(0)?.start(), self.read(&captures)?))
    }

    fn read(&self, c: &Captures<'_>) -> Option<Timestamp> {
        let text = |name| c.name(name).and_then(|m| std::str::from_utf8(m.as_bytes()).ok());
        let number = |name| text(name).and_then(|t| t.parse::<i64>().ok());
        let nanos = text("f").map_or(Some(0), fraction)?;
        if let Some(seconds) = number("e") {
            let nanos = number("ms").map_or(nanos, |ms| i32::try_from(ms * 1_000_000).unwrap_or_default());
            return Timestamp::new(seconds, nanos).ok();
        }
        let month = match text("mon") {
            Some(name) => MONTHS.iter().position(|m| m.eq_ignore_ascii_case(name))? as i64 + 1,
            None => number("mo")?,
        };
        let small = |n: i64| i8::try_from(n).ok();
        let time = Time::new(
            small(number("h")?)?,
            small(number("mi")?)?,
            // A leap second is the one before it.
            small(number("s")?.min(59))?,
            nanos,
        )
        .ok()?;
        let (month, day) = (small(month)?, small(number("d")?)?);
        let Some(year) = number("y") else { return self.this_year(month, day, time) };
        let year = i16::try_from(year).ok().filter(|y| YEARS.contains(y))?;
        self.at(Date::new(year, month, day).ok()?.to_datetime(time), text("z"))
    }

    fn at(&self, local: DateTime, zone: Option<&str>) -> Option<Timestamp> {
        let zone = match zone {
            None => self.zone.clone(),
            Some("Z" | "UTC" | "GMT") => TimeZone::UTC,
            Some(offset) => TimeZone::fixed(read_offset(offset)?),
        };
        zone.to_ambiguous_timestamp(local).compatible().ok()
    }

    /// syslog names no year: it is the last one in which that day is not to come (but for clocks that differ a little).
    fn this_year(&self, month: i8, day: i8, time: Time) -> Option<Timestamp> {
        let limit = self.now.checked_add(SignedDuration::from_hours(26)).ok()?;
        let year = limit.to_zoned(self.zone.clone()).year();
        // 29 February may lie four years back.
        (0..=4).find_map(|back| {
            let date = Date::new(year - back, month, day).ok()?;
            self.at(date.to_datetime(time), None).filter(|at| *at <= limit)
        })
    }
}

/// The digits behind the point, in nanoseconds.
fn fraction(digits: &str) -> Option<i32> {
    format!("{digits:0<9}").parse().ok()
}

fn read_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    let seconds = hours.parse::<i32>().ok()? * 3_600 + minutes.parse::<i32>().ok()? * 60;
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_well_known_programs_are_read() {
        let reader =
            Reader::new(TimeZone::fixed(Offset::constant(1)), "2026-11-21T18:00:00Z".parse().unwrap());
        let table = [
            // nginx and Apache
            (
                r#"1.2.3.4 - - [21/Nov/2026:16:20:01 +0000] "GET /?since=2020-01-01T00:00:00Z HTTP/1.1" 200"#,
                "2026-11-21T16:20:01Z",
            ),
            ("2026/11/21 16:20:01 [error] 12#12: *4 connect() failed", "2026-11-21T15:20:01Z"),
            ("[Sat Nov 21 16:20:01.123456 2026] [core:error] [pid 7]", "2026-11-21T15:20:01.123456Z"),
            // syslog, with and without a year's turn; a time a little ahead
            ("Nov 21 16:20:01 host sshd[7]: x", "2026-11-21T15:20:01Z"),
            ("<34>Dec  3 16:20:01 host app: x", "2025-12-03T15:20:01Z"),
            ("Nov 22 06:00:00 host app: x", "2026-11-22T05:00:00Z"),
            ("Feb 29 06:00:00 host app: x", "2024-02-29T05:00:00Z"),
            // PostgreSQL, MySQL, Redis, PHP, Python, systemd, Docker, JSON, epochs
            ("2026-11-21 16:20:01.250 UTC [7] ERROR:  deadlock", "2026-11-21T16:20:01.25Z"),
            ("2026-11-21T16:20:01.123456Z 8 [Note] x", "2026-11-21T16:20:01.123456Z"),
            ("1:M 21 Nov 2026 16:20:01.123 * Ready", "2026-11-21T15:20:01.123Z"),
            ("[21-Nov-2026 16:20:01 UTC] PHP Fatal error: x", "2026-11-21T16:20:01Z"),
            ("2026-11-21 16:20:01,123 ERROR root x", "2026-11-21T15:20:01.123Z"),
            ("2026-11-21T16:20:01+0530 host x", "2026-11-21T10:50:01Z"),
            (r#"{"level":"error","time":"2026-11-21T16:20:01-01:00"}"#, "2026-11-21T17:20:01Z"),
            (r#"{"ts":1795278001.5,"msg":"x"}"#, "2026-11-21T16:20:01.5Z"),
            ("[1795278001.25] x", "2026-11-21T16:20:01.25Z"),
            ("1795278001123 x", "2026-11-21T16:20:01.123Z"),
            ("2026-12-31T23:59:60Z leap", "2026-12-31T23:59:59Z"),
            // none
            ("    at java.lang.Thread.run(Thread.java:748)", ""),
            ("order 1795278001 was paid", ""),
            ("2026-13-21T16:20:01Z x", ""),
            ("17952780011234 x", ""),
            ("2526-11-21T16:20:01Z x", ""),
            ("", ""),
        ];
        for (line, want) in table {
            let got = reader.time(line.as_bytes());
            assert_eq!(got, want.parse().ok(), "{line}: {got:?}");
        }
    }

    #[test]
    fn every_shape_compiles() {
        for shape in SHAPES {
            assert!(shape.is_some());
        }
    }
}
