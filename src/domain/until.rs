//! Dates in words: until when something holds, in English and German (`until May`, `bis Freitag 8:00`, `for 2 weeks`).

use jiff::{
    Timestamp, ToSpan, Zoned,
    civil::{Date, Time, Weekday},
};

/// The words before a date and before a span of time.
const UNTIL: [&str; 6] = ["until", "till", "til", "through", "bis", "before"];
const FOR: [&str; 3] = ["for", "für", "fuer"];
/// The most words that a date takes.
const LONGEST: usize = 6;
const MONTHS: [[&str; 4]; 12] = [
    ["january", "jan", "januar", "jänner"],
    ["february", "feb", "februar", "febr"],
    ["march", "mar", "märz", "maerz"],
    ["april", "apr", "april", "apr"],
    ["may", "may", "mai", "mai"],
    ["june", "jun", "juni", "jun"],
    ["july", "jul", "juli", "jul"],
    ["august", "aug", "august", "aug"],
    ["september", "sep", "september", "sept"],
    ["october", "oct", "oktober", "okt"],
    ["november", "nov", "november", "nov"],
    ["december", "dec", "dezember", "dez"],
];
const DAYS: [(Weekday, [&str; 3]); 7] = [
    (Weekday::Monday, ["monday", "mon", "montag"]),
    (Weekday::Tuesday, ["tuesday", "tue", "dienstag"]),
    (Weekday::Wednesday, ["wednesday", "wed", "mittwoch"]),
    (Weekday::Thursday, ["thursday", "thu", "donnerstag"]),
    (Weekday::Friday, ["friday", "fri", "freitag"]),
    (Weekday::Saturday, ["saturday", "sat", "samstag"]),
    (Weekday::Sunday, ["sunday", "sun", "sonntag"]),
];
/// Small words that say nothing of their own.
const FILLERS: [&str; 12] =
    ["the", "of", "at", "on", "um", "uhr", "den", "dem", "der", "am", "next", "nächsten"];

/// Until when `words` say, seen from `now`: the beginning of the day or month that they name, or the end of the span.
///
/// # Errors
/// A sentence: the words are no date, or it is over.
pub fn until(words: &str, now: &Zoned) -> Result<Timestamp, String> {
    let tokens = tokens(words);
    let mut rest = tokens.as_slice();
    if let [first, more @ ..] = rest
        && (UNTIL.contains(&first.as_str()) || FOR.contains(&first.as_str()))
    {
        rest = more;
    }
    let shape = "write it as until May, until Friday 8:00, until 2027-05-01, or for 2 weeks";
    let at = read(rest, now).ok_or_else(|| format!("`{words}` is no date that I understand; {shape}"))?;
    if at <= now.timestamp() {
        return Err(format!("`{words}` is over already; {shape}"));
    }
    Ok(at)
}

/// The date that `text` says something holds until, if it says one.
pub fn find(text: &str, now: &Zoned) -> Option<Timestamp> {
    let all = tokens(text);
    (0..all.len()).rev().find_map(|n| {
        let (word, rest) = all.get(n..)?.split_first()?;
        let reads: fn(&[String], &Zoned) -> Option<Timestamp> = if UNTIL.contains(&word.as_str()) {
            read
        } else if FOR.contains(&word.as_str()) {
            span
        } else {
            return None;
        };
        let longest = rest.len().min(LONGEST);
        let found = (1..=longest).rev().find_map(|end| reads(rest.get(..end)?, now));
        found.filter(|at| *at > now.timestamp())
    })
}

fn tokens(text: &str) -> Vec<String> {
    let clean = |word: &str| {
        word.trim_matches(|c: char| !c.is_alphanumeric() && c != '.').trim_end_matches("..").to_lowercase()
    };
    text.split_whitespace().map(clean).filter(|word| !word.is_empty()).collect()
}

fn read(words: &[String], now: &Zoned) -> Option<Timestamp> {
    let bare: Vec<&str> = words
        .iter()
        .map(|w| if w.matches('.').count() == 1 && !digit(w) { w.trim_end_matches('.') } else { w.as_str() })
        .filter(|w| !FILLERS.contains(w) || (*w == "next" && words.len() == 2))
        .collect();
    match bare.as_slice() {
        [] => None,
        [one] if let Some(at) = clock(one) => later(now, now.date(), at, 1),
        [one] if let Ok(at) = one.to_uppercase().parse::<Timestamp>() => Some(at),
        [date @ .., last] if let (false, Some(at)) = (date.is_empty(), clock(last)) => on(date, at, now),
        date => span(words, now).or_else(|| later(now, day(date, now)?, Time::midnight(), 0)).or_else(|| {
            // "Tomorrow 8": an hour alone only behind a day.
            let (last, date) = date.split_last()?;
            let hour = last.parse().ok().filter(|_| !date.is_empty())?;
            on(date, Time::new(hour, 0, 0, 0).ok()?, now)
        }),
    }
}

/// The day that `date` names at `at`; a weekday's time that is over means the next week's.
fn on(date: &[&str], at: Time, now: &Zoned) -> Option<Timestamp> {
    let step = if date.len() == 1 && weekday(date).is_some() { 7 } else { 0 };
    later(now, day(date, now)?, at, step)
}

/// `date` at `at`, moved on by `step` days when that is over.
fn later(now: &Zoned, date: Date, at: Time, step: i64) -> Option<Timestamp> {
    let zoned = |date: Date| Some(date.to_datetime(at).to_zoned(now.time_zone().clone()).ok()?.timestamp());
    let first = zoned(date)?;
    if first > now.timestamp() || step == 0 {
        Some(first)
    } else {
        zoned(date.checked_add(step.days()).ok()?)
    }
}

/// `8:00`, `18.30`, `8am`.
fn clock(word: &str) -> Option<Time> {
    let (word, shift) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
        (Some(rest), _) => (rest, Some(0)),
        (_, Some(rest)) => (rest, Some(12)),
        _ => (word, None),
    };
    let (hour, minute) = match word.split_once(':') {
        Some((hour, minute)) => (hour, minute),
        None if shift.is_some() => (word, "0"),
        None => return None,
    };
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    let hour = match shift {
        Some(shift) if (1..=12).contains(&hour) => hour % 12 + shift,
        Some(_) => return None,
        None => hour,
    };
    Time::new(hour, minute, 0, 0).ok()
}

fn day(words: &[&str], now: &Zoned) -> Option<Date> {
    let today = now.date();
    match words {
        [one] => match *one {
            "today" | "heute" => Some(today),
            "tomorrow" | "morgen" => today.tomorrow().ok(),
            "übermorgen" | "uebermorgen" => today.checked_add(2.days()).ok(),
            word if let Some(month) = month(word) => coming(now, month, 1),
            word => weekday(words).map_or_else(|| numeric(word, now), |day| today.nth_weekday(1, day).ok()),
        },
        ["next", "week"] | ["nächste", "woche"] => today.nth_weekday(1, Weekday::Monday).ok(),
        ["next", "month"] | ["nächsten", "monat"] => today.last_of_month().tomorrow().ok(),
        ["next", word] if let Some(day) = weekday(&[word]) => today.nth_weekday(1, day).ok(),
        ["end", word] | ["ende", word] => {
            let last = Date::new(today.year(), month(word)?, 1).ok()?.last_of_month();
            let last = if last >= today { last } else { last.checked_add(1.year()).ok()?.last_of_month() };
            last.tomorrow().ok()
        }
        [a, b] => {
            let (month, day) = month(a).map(|m| (m, b)).or_else(|| month(b).map(|m| (m, a)))?;
            match day.parse::<i16>() {
                Ok(year) if year > 31 => Date::new(year, month, 1).ok(),
                _ => coming(now, month, ordinal(day)?),
            }
        }
        [a, b, year] => {
            let (month, day) = month(a).map(|m| (m, b)).or_else(|| month(b).map(|m| (m, a)))?;
            Date::new(year.parse().ok()?, month, ordinal(day)?).ok()
        }
        _ => None,
    }
}

/// The next such day; today is none.
fn coming(now: &Zoned, month: i8, day: i8) -> Option<Date> {
    let this = Date::new(now.date().year(), month, day).ok()?;
    if this > now.date() { Some(this) } else { Date::new(this.year() + 1, month, day).ok() }
}

/// `2027-05-01`, `1.5.`, `1.5.2027`.
fn numeric(word: &str, now: &Zoned) -> Option<Date> {
    if let Ok(date) = word.parse::<Date>() {
        return Some(date);
    }
    let parts: Vec<&str> = word.split('.').collect();
    match parts.as_slice() {
        [day, month, ""] => coming(now, month.parse().ok()?, day.parse().ok()?),
        [day, month, year] => Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok(),
        _ => None,
    }
}

/// `2 weeks`, `a day`, `12h`.
fn span(words: &[String], now: &Zoned) -> Option<Timestamp> {
    let words: Vec<&str> = words.iter().map(|w| w.trim_end_matches('.')).collect();
    let (number, unit) = match words.as_slice() {
        [number, unit] => (*number, *unit),
        [both] => both.split_at_checked(both.find(|c: char| !c.is_ascii_digit())?)?,
        _ => return None,
    };
    let number: i64 = match number {
        "a" | "an" | "one" | "ein" | "eine" | "einen" => 1,
        "two" | "zwei" => 2,
        "three" | "drei" => 3,
        digits => digits.parse().ok().filter(|n| (1..=10_000).contains(n))?,
    };
    let span = match unit {
        "m" | "min" | "minute" | "minutes" | "minuten" => number.minutes(),
        "h" | "hour" | "hours" | "stunde" | "stunden" => number.hours(),
        "d" | "day" | "days" | "tag" | "tage" | "tagen" => number.days(),
        "w" | "week" | "weeks" | "woche" | "wochen" => number.weeks(),
        "month" | "months" | "monat" | "monate" | "monaten" => number.months(),
        "year" | "years" | "jahr" | "jahre" | "jahren" if number <= 100 => number.years(),
        _ => return None,
    };
    now.checked_add(span).ok().map(|z| z.timestamp())
}

fn month(word: &str) -> Option<i8> {
    let n = MONTHS.iter().position(|names| names.contains(&word))?;
    i8::try_from(n + 1).ok()
}

fn weekday(words: &[&str]) -> Option<Weekday> {
    let [word] = words else { return None };
    DAYS.iter().find(|(_, names)| names.contains(word)).map(|(day, _)| *day)
}

fn ordinal(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
    let rest = word.get(digits.len()..)?;
    (["", ".", "st", "nd", "rd", "th"].contains(&rest)).then(|| digits.parse().ok())?
}

fn digit(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Saturday afternoon.
    fn now() -> Zoned {
        "2026-11-21T16:30:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn shown(at: Timestamp) -> String {
        at.to_zoned(now().time_zone().clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    #[test]
    fn people_say_dates_in_many_ways() {
        let table = [
            ("until May", "2027-05-01 00:00"),
            ("May", "2027-05-01 00:00"),
            ("bis Mai", "2027-05-01 00:00"),
            ("until the end of November", "2026-12-01 00:00"),
            ("until November", "2027-11-01 00:00"),
            ("until 5 May", "2027-05-05 00:00"),
            ("until May 5th, 2028", "2028-05-05 00:00"),
            ("until the 5th of May", "2027-05-05 00:00"),
            ("bis 1.12.", "2026-12-01 00:00"),
            ("bis zum 1.12.2027".trim_start_matches("bis zum "), "2027-12-01 00:00"),
            ("until 2026-12-24", "2026-12-24 00:00"),
            ("until 2026-12-24 18:00", "2026-12-24 18:00"),
            ("until Friday 8:00", "2026-11-27 08:00"),
            ("bis Freitag 8:00 Uhr", "2026-11-27 08:00"),
            ("until next Friday", "2026-11-27 00:00"),
            ("until Saturday", "2026-11-28 00:00"),
            ("until tomorrow 9am", "2026-11-22 09:00"),
            ("until tomorrow 8", "2026-11-22 08:00"),
            ("until tomorrow at 8", "2026-11-22 08:00"),
            ("bis morgen 8 Uhr", "2026-11-22 08:00"),
            ("until Monday 7", "2026-11-23 07:00"),
            ("until today 6pm", "2026-11-21 18:00"),
            ("until 18:00", "2026-11-21 18:00"),
            ("until 8:00", "2026-11-22 08:00"),
            ("until next week", "2026-11-23 00:00"),
            ("until next month", "2026-12-01 00:00"),
            ("for 2 weeks", "2026-12-05 16:30"),
            ("für 2 Wochen", "2026-12-05 16:30"),
            ("for a month", "2026-12-21 16:30"),
            ("12h", "2026-11-22 04:30"),
            ("for 3 days", "2026-11-24 16:30"),
        ];
        for (words, want) in table {
            match until(words, &now()) {
                Ok(at) => assert_eq!(shown(at), want, "{words}"),
                Err(error) => panic!("{words}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_no_date_or_over_is_refused() {
        for words in [
            "",
            "until",
            "soon",
            "until 7",
            "for 19",
            "until 2020-01-01",
            "until 25:00",
            "until tomorrow 25",
            "May 77",
            "99999999999 weeks",
            "until today",
        ] {
            assert!(until(words, &now()).is_err(), "{words}");
        }
    }

    #[test]
    fn a_date_is_found_at_the_end_of_a_sentence() {
        let table = [
            ("customer 7 is on vacation until May", Some("2027-05-01 00:00")),
            ("customer 7 is on vacation until May, then call them", Some("2027-05-01 00:00")),
            ("Kunde 7 ist bis Freitag 8:00 im Urlaub", Some("2026-11-27 08:00")),
            ("no deploys for 2 weeks please", Some("2026-12-05 16:30")),
            ("the limit for customer 19 is 80 %", None),
            ("they waited until now", None),
            ("it was so until 2020-01-01", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(find(text, &now()).map(shown).as_deref(), want, "{text}");
        }
    }
}
