//! How long and how much one reading may take, and whether somebody still waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::runtime::clock::Stopwatch;

/// One reading's bounds, shared by all who read for it.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    watch: Stopwatch,
    within: Duration,
    bytes: u64,
    used: Arc<AtomicU64>,
    given_up: Arc<AtomicBool>,
}

/// Ends the reading when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Budget {
    pub(super) fn start(within: Duration, bytes: u64) -> (Self, Waiting) {
        let given_up = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(Arc::clone(&given_up));
        let budget = Self { watch: Stopwatch::start(), within, bytes, used: Arc::default(), given_up };
        (budget, waiting)
    }

    /// Notes that so many bytes were read.
    pub(super) fn took(&self, bytes: usize) {
        self.used.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Why no more may be read, if so.
    pub(super) fn spent(&self) -> Option<String> {
        if self.given_up.load(Ordering::Relaxed) {
            return Some("reading was given up".into());
        }
        if self.used.load(Ordering::Relaxed) >= self.bytes {
            return Some(format!("reading ended after {} MiB", self.bytes >> 20));
        }
        (self.watch.elapsed() >= self.within)
            .then(|| format!("reading ended after {:.0} s", self.within.as_secs_f64()))
    }

    /// The time that is left.
    pub(super) fn left(&self) -> Duration {
        self.within.saturating_sub(self.watch.elapsed())
    }
}
