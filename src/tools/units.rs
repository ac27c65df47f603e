//! Figures and times as people read them; spans as people write them.

use std::time::Duration;

use jiff::Timestamp;

/// `512 B`, `12.3 MiB`.
pub fn bytes(n: f64) -> String {
    let mut value = n;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value.abs() < 1024.0 {
            return if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A value with its unit: bytes are scaled, a percentage has at most one decimal.
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "B" | "bytes" => bytes(value),
        "B/s" => format!("{}/s", bytes(value)),
        "%" => format!("{} %", (value * 10.0).round() / 10.0),
        "" => format!("{}", (value * 100.0).round() / 100.0),
        other => format!("{} {other}", (value * 100.0).round() / 100.0),
    }
}

/// `45 s`, `4 min`, `3 h`, `2 days`.
pub fn span(d: Duration) -> String {
    match d.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

/// How long before `now` it was; a clock that runs ahead makes no negative span.
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// `10:31:05 UTC`, with the date when it is not today's.
pub fn clock(t: Timestamp, now: Timestamp) -> String {
    let days = |t: Timestamp| t.as_second().div_euclid(86_400);
    let format = if days(t) == days(now) { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    t.strftime(format).to_string()
}

/// The longest span that an argument may name.
const LONGEST: u64 = 30 * 86_400;

/// Reads `90s`, `15m`, `1h30m`, `2d`; a bare number means minutes.
///
/// # Errors
/// A sentence that shows the form.
pub fn read_span(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a span of time; write 90s, 15m, 2h or 1d (30 days at most)");
    let mut seconds = 0_u64;
    let mut digits = String::new();
    let lower = text.to_lowercase();
    let mut rest = lower.chars().filter(|c| !c.is_whitespace()).peekable();
    let mut read = false;
    while let Some(c) = rest.next() {
        if c.is_ascii_digit() {
            digits.push(c);
            if rest.peek().is_some() {
                continue;
            }
        }
        let mut word = String::new();
        if !c.is_ascii_digit() {
            word.push(c);
            while let Some(next) = rest.next_if(|c| !c.is_ascii_digit()) {
                word.push(next);
            }
        }
        let unit = match word.as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "" | "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            _ => return Err(bad()),
        };
        let n: u64 = std::mem::take(&mut digits).parse().map_err(|_| bad())?;
        seconds = n.checked_mul(unit).and_then(|s| s.checked_add(seconds)).ok_or_else(bad)?;
        read = true;
    }
    if !read || seconds == 0 || seconds > LONGEST {
        return Err(bad());
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let table = [
            ("15m", Some(900)),
            ("90s", Some(90)),
            ("1h30m", Some(5_400)),
            ("2 hours", Some(7_200)),
            ("1d", Some(86_400)),
            ("10", Some(600)),
            ("1h 5", Some(3_900)),
            ("", None),
            ("0m", None),
            ("-5m", None),
            ("m", None),
            ("5y", None),
            ("31d", None),
            ("99999999999999999999h", None),
            ("yesterday", None),
        ];
        for (text, want) in table {
            assert_eq!(read_span(text).ok().map(|d| d.as_secs()), want, "{text}");
        }
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(12.3 * 1024.0 * 1024.0), "12.3 MiB");
        assert_eq!(with_unit(99.96, "%"), "100 %");
        assert_eq!(with_unit(2048.0, "B/s"), "2.0 KiB/s");
        assert_eq!(span(Duration::from_secs(300)), "5 min");
        let t: Timestamp = "2026-11-21T10:31:05Z".parse().unwrap();
        assert_eq!(clock(t, t), "10:31:05 UTC");
        assert_eq!(clock(t, "2026-11-22T00:00:01Z".parse().unwrap()), "2026-11-21 10:31:05 UTC");
        assert_eq!(since(t, "2026-11-21T10:31:00Z".parse().unwrap()), Duration::ZERO);
    }
}
