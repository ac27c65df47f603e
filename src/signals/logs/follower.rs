//! One container's log followed: resumed where it broke, let go for a moment when it grows too fast.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::matching::Matching;
use crate::{
    docker::{DockerError, DockerHosts, FollowEnd, FollowFrom, PassingLine},
    domain::{ContainerRef, Signal},
    runtime::{Counters, clock},
};

/// So many lines are read at most when a log is taken up again at a time.
const CATCH_UP: u32 = 10_000;
/// A log that grew too fast is let go for so long.
const LET_GO: Duration = Duration::from_secs(1);
/// The pause after the stream broke; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
/// So many signals wait between two looks at them: a rule makes one in its quiet time.
const WAITING: usize = 100;

/// Where the reading begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// At the log's end.
    End,
    /// With what was written since.
    Since(Timestamp),
}

/// A log that is followed; dropping it ends that.
pub(super) struct Follower {
    shared: Arc<Shared>,
    task: Option<AbortOnDropHandle<()>>,
}

struct Shared {
    hosts: DockerHosts,
    r: ContainerRef,
    bytes_per_second: u64,
    counters: Counters,
    state: Mutex<State>,
}

struct State {
    matching: Matching,
    place: Place,
    report: Vec<Signal>,
}

/// How far a log was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The time of the last line.
    at: Option<Timestamp>,
    /// So many lines with that very time were read.
    same: u32,
    /// So many lines with that time are still to be passed over: they were read before the break.
    skip: u32,
}

impl Place {
    /// Whether a line is new.
    fn take(&mut self, at: Option<Timestamp>) -> bool {
        let (Some(at), Some(last)) = (at, self.at) else {
            self.at = at.or(self.at);
            self.same = 1;
            return true;
        };
        if at == last {
            if self.skip > 0 {
                self.skip -= 1;
                return false;
            }
            self.same += 1;
        } else if at > last {
            *self = Self { at: Some(at), same: 1, skip: 0 };
        } else if self.skip > 0 {
            // Older than where it broke: Docker gives lines of two streams in the order of their coming.
            return false;
        }
        true
    }

    /// The stream begins again.
    fn again(&mut self) {
        self.skip = self.same;
    }
}

impl Follower {
    pub(super) fn start(
        (hosts, r): (DockerHosts, ContainerRef),
        matching: Matching,
        start: Start,
        bytes_per_second: u64,
        counters: Counters,
    ) -> Self {
        let at = match start {
            Start::End => None,
            Start::Since(at) => Some(at),
        };
        let state =
            Mutex::new(State { matching, place: Place { at, ..Place::default() }, report: Vec::new() });
        let shared = Arc::new(Shared { hosts, r, bytes_per_second, counters, state });
        let mut made = Self { shared, task: None };
        made.go_on(true);
        made
    }

    /// Takes the log up again if its stream has ended; one of a container that does not run has nothing new.
    pub(super) fn go_on(&mut self, runs: bool) {
        if runs && self.task.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let shared = Arc::clone(&self.shared);
            self.task = Some(AbortOnDropHandle::new(tokio::spawn(async move { shared.follow().await })));
        }
    }

    /// Lets the stream go until it is taken up again.
    pub(super) fn pause(&mut self) {
        self.task = None;
    }

    pub(super) fn is_idle(&self) -> bool {
        let state = self.shared.lock();
        state.matching.is_idle() && state.report.is_empty()
    }

    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Signal> {
        let mut state = self.shared.lock();
        let mut report = std::mem::take(&mut state.report);
        report.extend(state.matching.tick(now));
        report
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows until the container ends.
    async fn follow(&self) {
        let mut pause = PAUSE;
        loop {
            match self.once().await {
                Ok(FollowEnd::Ended) | Err(DockerError::Gone { .. }) => return,
                Ok(FollowEnd::TooFast) => {
                    pause = PAUSE;
                    self.counters.add("opsbot_logs_unread_total", &[("kind", "container")], 1);
                    self.let_go();
                    sleep(LET_GO).await;
                }
                Err(error) => {
                    if pause == PAUSE {
                        tracing::info!(container = self.r.name, %error, "a followed log broke; it is taken up again");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }

    /// The log goes on at its end later.
    fn let_go(&self) {
        let mut state = self.lock();
        state.matching.unread(LET_GO.as_secs(), 0);
        state.place = Place::default();
    }

    async fn once(&self) -> Result<FollowEnd, DockerError> {
        let since = {
            let mut state = self.lock();
            state.place.again();
            state.place.at
        };
        let tail = if since.is_some() { CATCH_UP } else { 0 };
        let from = FollowFrom { since, tail, bytes_per_second: self.bytes_per_second };
        let take = |line: &PassingLine<'_>| {
            let mut state = self.lock();
            if state.place.take(line.at()) {
                let signals = state.matching.line(line.text, clock::now());
                let room = WAITING.saturating_sub(state.report.len());
                state.report.extend(signals.into_iter().take(room));
            }
        };
        let began = clock::now();
        let ended = self.hosts.follow_log(&self.r, from, take).await;
        let place = &mut self.lock().place;
        place.at = place.at.or(Some(began));
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_read_before_a_break_are_passed_over() {
        let at = |n: i64| Timestamp::from_second(1_795_257_000 + n).ok();
        let mut place = Place::default();
        for (n, want) in [(1, true), (2, true), (2, true)] {
            assert_eq!(place.take(at(n)), want);
        }
        // Docker gives again what has the time of the last line.
        place.again();
        for (n, want) in [(2, false), (2, false), (2, true), (3, true), (2, true), (4, true)] {
            assert_eq!(place.take(at(n)), want, "{n} at {place:?}");
        }
        place.again();
        assert_eq!((place.take(at(4)), place.take(at(5))), (false, true));
        assert!(place.take(None), "a line without time is not lost");
    }

    #[test]
    fn a_log_taken_up_at_a_time_loses_nothing() {
        let at = Timestamp::from_second(1_795_257_000).unwrap();
        let mut place = Place { at: Some(at), ..Place::default() };
        place.again();
        assert!(place.take(Some(at)) && place.take(at.checked_add(Duration::from_secs(1)).ok()));
    }
}
