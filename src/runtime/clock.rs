//! The only place where a clock is read; everything else takes the time as a value.

use std::time::{Duration, Instant};

use jiff::{Timestamp, tz::TimeZone};

/// The wall clock's time.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The time zone of this machine, in which people mean times of day and dates.
pub fn zone() -> TimeZone {
    TimeZone::system()
}

/// Measures how long something takes; a change of the wall clock does not move it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[allow(clippy::disallowed_methods, reason = "the one reading of the monotonic clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// The time since the start in seconds.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_a_stopwatch_never_runs_backwards() {
        let watch = Stopwatch::start();
        let before = now();
        let mut last = watch.elapsed();
        for _ in 0..1000 {
            let next = watch.elapsed();
            assert!(next >= last);
            last = next;
        }
        assert!(now() >= before && watch.seconds() >= last.as_secs_f64());
    }
}
