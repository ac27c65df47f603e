//! Whether the server is well: asked with a cheap idempotent call when a send's outcome is unknown; pure.

use std::time::Duration;

use super::Waits;
use crate::channels::telegram::fault::Fault;

/// What is known of the server's health.
#[derive(Debug)]
pub(super) struct Probe {
    /// When it was last asked for and not yet answered for.
    wanted: Option<Duration>,
    /// When the probe under way began.
    flying: Option<Duration>,
    not_before: Duration,
    failures: u32,
    /// When the last probe that succeeded began.
    well: Option<Duration>,
    token_ok: bool,
}

impl Probe {
    pub(super) fn new() -> Self {
        Self {
            wanted: None,
            flying: None,
            not_before: Duration::ZERO,
            failures: 0,
            well: None,
            token_ok: true,
        }
    }

    /// Something ambiguous happened at `now`.
    pub(super) fn want(&mut self, now: Duration, waits: &Waits) {
        if self.wanted.is_none() {
            self.not_before = now + waits.backoff(1, 2);
        }
        self.wanted = Some(now);
    }

    /// The token was refused at `now`.
    pub(super) fn refuse_token(&mut self, now: Duration, waits: &Waits) {
        self.token_ok = false;
        self.wanted = Some(now);
        self.not_before = now + waits.token;
    }

    pub(super) fn token_ok(&self) -> bool {
        self.token_ok
    }

    /// Whether nothing new should be sent: the last probe failed, or the token is refused.
    pub(super) fn holds_all(&self) -> bool {
        !self.token_ok || self.failures > 0
    }

    /// Whether a probe that began at `at` or later succeeded.
    pub(super) fn well_after(&self, at: Duration) -> bool {
        self.well.is_some_and(|well| well >= at)
    }

    /// How long until a probe is due; none when none is wanted, or one is under way.
    pub(super) fn due_in(&self, now: Duration) -> Option<Duration> {
        let due = self.wanted.is_some() && self.flying.is_none();
        due.then(|| self.not_before.saturating_sub(now))
    }

    pub(super) fn begin(&mut self, now: Duration) {
        self.flying = Some(now);
    }

    /// Whatever was under way is lost.
    pub(super) fn reset(&mut self) {
        self.flying = None;
    }

    pub(super) fn end(&mut self, result: &Result<(), Fault>, now: Duration, waits: &Waits) {
        let began = self.flying.take();
        match result {
            Ok(()) => {
                self.failures = 0;
                self.token_ok = true;
                self.well = self.well.max(began);
                if self.wanted.is_some_and(|at| Some(at) <= began) {
                    self.wanted = None;
                } else {
                    self.not_before = now + waits.backoff(1, 2);
                }
            }
            Err(Fault::Token) => self.refuse_token(now, waits),
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                let wait = if self.token_ok { waits.backoff(self.failures + 1, 2) } else { waits.token };
                self.not_before = now + wait;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn only_a_probe_that_began_after_the_doubt_settles_it() {
        let waits = Waits::default();
        let mut probe = Probe::new();
        assert_eq!(probe.due_in(S), None);
        probe.want(S, &waits);
        assert_eq!(probe.due_in(S), Some(waits.backoff_min));
        probe.begin(S * 2);
        assert_eq!(probe.due_in(S * 2), None, "one at a time");
        probe.want(S * 3, &waits);
        probe.end(&Ok(()), S * 4, &waits);
        assert!(probe.well_after(S) && !probe.well_after(S * 3) && !probe.holds_all());
        assert!(probe.due_in(S * 4).is_some(), "the second doubt came while the probe was under way");
        probe.begin(S * 5);
        probe.end(&Ok(()), S * 5, &waits);
        assert!(probe.well_after(S * 3) && probe.due_in(S * 9).is_none());
    }

    #[test]
    fn failures_hold_everything_and_are_asked_about_ever_more_rarely() {
        let waits = Waits::default();
        let mut probe = Probe::new();
        probe.want(S, &waits);
        let mut pauses = vec![];
        for n in 0..12 {
            probe.begin(S * n);
            probe.end(&Err(Fault::Server(502)), S * n, &waits);
            pauses.push(probe.due_in(S * n).unwrap().as_millis());
        }
        assert_eq!(pauses[..4], [400, 800, 1600, 3200]);
        assert_eq!(pauses[11], 30_000);
        assert!(probe.holds_all() && probe.token_ok());
        probe.begin(S * 20);
        probe.end(&Err(Fault::Token), S * 20, &waits);
        assert!(!probe.token_ok());
        assert_eq!(probe.due_in(S * 20), Some(waits.token));
        probe.begin(S * 60);
        probe.end(&Err(Fault::NotSent("x".into())), S * 60, &waits);
        assert_eq!((probe.token_ok(), probe.due_in(S * 60)), (false, Some(waits.token)));
        probe.begin(S * 90);
        probe.end(&Ok(()), S * 90, &waits);
        assert!(probe.token_ok() && !probe.holds_all() && probe.due_in(S * 90).is_none());
    }
}
