//! The times at which an axis is marked: round ones of the zone's own clock.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::TimeZone,
};

/// Times closer together than this are shown as a longer stretch around them.
const SHORTEST: i64 = 10_000;
/// How long that stretch is.
const WIDENED: i64 = 60_000;
const DAY: i64 = 86_400;

/// The first and the last time of a chart, in milliseconds since 1970; never the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Times {
    pub(super) fn new((first, last): (i64, i64)) -> Self {
        if last - first >= SHORTEST {
            return Self { first, last };
        }
        let middle = first + (last - first) / 2;
        Self { first: middle - WIDENED / 2, last: middle + WIDENED / 2 }
    }

    /// How far right a time is: 0 at the left edge, 1 at the right one.
    pub(super) fn part(&self, at: i64) -> f32 {
        ((at - self.first) as f64 / (self.last - self.first) as f64) as f32
    }

    /// Round times, each with its label; `room` says how many labels as wide as the given one there is room for.
    pub(super) fn ticks(&self, zone: &TimeZone, room: impl Fn(&str) -> f64) -> Vec<(i64, String)> {
        let span = (self.last - self.first) as f64 / 1000.0;
        let fits = |step: &&Step| span / step.seconds() <= room(step.widest());
        STEPS.iter().find(fits).or(STEPS.last()).map(|s| self.marks(zone, *s)).unwrap_or_default()
    }

    fn marks(&self, zone: &TimeZone, step: Step) -> Vec<(i64, String)> {
        let Ok(first) = Timestamp::from_millisecond(self.first) else { return Vec::new() };
        let mut out: Vec<(i64, String)> = Vec::new();
        let mut next = step.floor(zone.to_datetime(first));
        for _ in 0..64 {
            let Some(civil) = next else { break };
            let Ok(at) = zone.to_timestamp(civil) else { break };
            let ms = at.as_millisecond();
            if ms > self.last {
                break;
            }
            // An hour that the clock skips falls onto the next one.
            if ms >= self.first && out.last().is_none_or(|(before, _)| *before < ms) {
                out.push((ms, step.label(zone.to_datetime(at))));
            }
            next = step.after(civil);
        }
        out
    }
}

/// From one mark to the next.
#[derive(Clone, Copy)]
enum Step {
    Seconds(i64),
    Days(i64),
    Months(i64),
}

const STEPS: [Step; 32] = {
    use Step::{Days, Months, Seconds};
    [
        Seconds(5),
        Seconds(10),
        Seconds(15),
        Seconds(30),
        Seconds(60),
        Seconds(120),
        Seconds(300),
        Seconds(600),
        Seconds(900),
        Seconds(1_800),
        Seconds(3_600),
        Seconds(7_200),
        Seconds(10_800),
        Seconds(21_600),
        Seconds(43_200),
        Days(1),
        Days(2),
        Days(7),
        Days(14),
        Months(1),
        Months(2),
        Months(3),
        Months(6),
        Months(12),
        Months(24),
        Months(60),
        Months(120),
        Months(240),
        Months(600),
        Months(1_200),
        Months(12_000),
        Months(60_000),
    ]
};

impl Step {
    fn seconds(self) -> f64 {
        match self {
            Self::Seconds(n) => n as f64,
            Self::Days(n) => (n * DAY) as f64,
            Self::Months(n) => n as f64 * 30.4 * DAY as f64,
        }
    }

    /// The widest label.
    fn widest(self) -> &'static str {
        match self {
            Self::Seconds(n) if n < 60 => "00:00:00",
            Self::Seconds(_) | Self::Days(_) => "30 Nov",
            Self::Months(n) if n < 12 => "Nov 2026",
            Self::Months(_) => "-2026",
        }
    }

    fn label(self, at: DateTime) -> String {
        let midnight = at.time() == jiff::civil::Time::midnight();
        let format = match self {
            Self::Seconds(n) if n < 60 => "%H:%M:%S",
            Self::Seconds(_) if !midnight => "%H:%M",
            Self::Seconds(_) | Self::Days(_) => "%-d %b",
            Self::Months(n) if n < 12 => "%b %-Y",
            Self::Months(_) => "%-Y",
        };
        at.strftime(format).to_string()
    }

    /// The last mark that is not after `at`; none before the calendar begins.
    fn floor(self, at: DateTime) -> Option<DateTime> {
        match self {
            Self::Seconds(n) => {
                let time = at.time();
                let second =
                    i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
                at.date()
                    .to_datetime(jiff::civil::Time::midnight())
                    .checked_add((second - second % n).seconds())
                    .ok()
            }
            Self::Days(n) => {
                // Weeks begin on Monday; the first one after 1970 is the fifth of January.
                let monday = Date::constant(1970, 1, 5);
                let days = i64::from(monday.until(at.date()).ok()?.get_days());
                Some(at.date().checked_sub(days.rem_euclid(n).days()).ok()?.into())
            }
            Self::Months(n) => {
                let month = i64::from(at.year()) * 12 + i64::from(at.month()) - 1;
                let back = month.rem_euclid(n);
                Some(at.date().first_of_month().checked_sub(back.months()).ok()?.into())
            }
        }
    }

    fn after(self, at: DateTime) -> Option<DateTime> {
        match self {
            Self::Seconds(n) => at.checked_add(n.seconds()),
            Self::Days(n) => at.checked_add(n.days()),
            Self::Months(n) => at.checked_add(n.months()),
        }
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn labels(first: &str, last: &str, zone: &str, room: f64) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let ticks = Times::new((ms(first), ms(last))).ticks(&zone, |_| room);
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_times_of_the_zone() {
        let table: [(&str, &str, &str, &[&str]); 9] = [
            (
                "2026-11-21T08:00:05Z",
                "2026-11-21T08:01:00Z",
                "UTC",
                &["08:00:15", "08:00:30", "08:00:45", "08:01:00"],
            ),
            ("2026-11-21T08:07:00Z", "2026-11-21T09:07:00Z", "UTC", &["08:15", "08:30", "08:45", "09:00"]),
            ("2026-11-21T20:00:00Z", "2026-11-22T02:00:00Z", "UTC", &["20:00", "22:00", "22 Nov", "02:00"]),
            ("2026-11-21T20:00:00Z", "2026-11-22T02:00:00Z", "Europe/Berlin", &["22:00", "22 Nov", "02:00"]),
            // Half an hour off.
            (
                "2026-11-21T08:00:00Z",
                "2026-11-21T12:00:00Z",
                "Asia/Kolkata",
                &["14:00", "15:00", "16:00", "17:00"],
            ),
            ("2026-11-21T08:00:00Z", "2026-11-28T08:00:00Z", "UTC", &["23 Nov", "25 Nov", "27 Nov"]),
            (
                "2026-11-01T08:00:00Z",
                "2026-11-30T08:00:00Z",
                "UTC",
                &["2 Nov", "9 Nov", "16 Nov", "23 Nov", "30 Nov"],
            ),
            ("2026-06-11T08:00:00Z", "2026-11-21T08:00:00Z", "UTC", &["Jul 2026", "Sep 2026", "Nov 2026"]),
            ("1970-01-01T00:00:00Z", "2026-11-21T08:00:00Z", "UTC", &["1980", "2000", "2020"]),
        ];
        for (first, last, zone, want) in table {
            assert_eq!(labels(first, last, zone, 5.0), want, "{first} to {last} in {zone}");
        }
    }

    #[test]
    fn a_change_of_the_clock_neither_doubles_nor_loses_ticks() {
        let hours = |first, last| labels(first, last, "Europe/Berlin", 9.0);
        // 01:59 is followed by 03:00.
        assert_eq!(
            hours("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
            ["01:00", "01:30", "03:00", "03:30", "04:00", "04:30", "05:00"]
        );
        // 02:00 to 02:59 comes twice: the first one is marked.
        assert_eq!(
            hours("2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z"),
            ["02:00", "02:30", "03:00", "03:30", "04:00"]
        );
    }

    #[test]
    fn short_and_endless_stretches_have_few_ticks() {
        let at = ms("2026-11-21T08:00:00Z");
        let moment = Times::new((at, at));
        assert_eq!((moment.part(at), moment.last - moment.first), (0.5, WIDENED));
        let (min, max) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
        for (first, last) in [(min, max), (min, min), (max, max), (min, at), (at, max)] {
            let times = Times::new((first, last));
            for zone in [TimeZone::UTC, TimeZone::get("Pacific/Apia").unwrap()] {
                for room in [0.0, 1.0, 6.0, 20.0] {
                    let ticks = times.ticks(&zone, |_| room);
                    assert!(ticks.len() <= 21, "{ticks:?}");
                    assert!(ticks.iter().all(|(at, _)| (0.0..=1.0).contains(&times.part(*at))));
                }
            }
        }
    }
}
