//! Whether updates really arrive: what the health page, the metrics and the doctor read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// How the channel is; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    heard: Option<Timestamp>,
    update: Option<Timestamp>,
    trouble: Option<String>,
    waiting: Option<(u64, Timestamp)>,
}

/// Updates that wait at Telegram this long without one arriving are a fault.
const STUCK: SignedDuration = SignedDuration::from_secs(60);

impl Vitals {
    /// Telegram answered a poll, or a webhook request came; `updates` were in it.
    pub fn heard(&self, updates: usize, now: Timestamp) {
        let mut state = self.lock();
        state.heard = Some(now);
        state.trouble = None;
        if updates > 0 {
            state.update = Some(now);
            state.waiting = None;
        }
    }

    /// Nothing can be heard, for this reason; said once per reason. Whether it is new.
    pub fn trouble(&self, why: &str) -> bool {
        let mut state = self.lock();
        let new = state.trouble.as_deref() != Some(why);
        state.trouble = Some(why.to_owned());
        new
    }

    /// So many updates wait at Telegram.
    pub fn waiting(&self, count: u64, now: Timestamp) {
        let mut state = self.lock();
        state.waiting = match (count, state.waiting) {
            (0, _) => None,
            (n, Some((_, since))) => Some((n, since)),
            (n, None) => Some((n, now)),
        };
    }

    /// Seconds since Telegram was last heard.
    pub fn silence(&self, now: Timestamp) -> Option<f64> {
        self.lock().heard.map(|at| now.duration_since(at).as_secs_f64().max(0.0))
    }

    /// Whether updates arrive, and what was seen; a poll may be silent for `patience`.
    pub fn check(&self, patience: SignedDuration, now: Timestamp) -> (bool, String) {
        let state = self.lock().clone();
        if let Some(why) = state.trouble {
            return (false, why);
        }
        if let Some((count, since)) = state.waiting
            && now.duration_since(since) > STUCK
        {
            let text = format!("{count} updates wait at Telegram and do not arrive; restart OpsBot");
            return (false, text);
        }
        match state.heard {
            None => (false, "Telegram has not answered yet".to_owned()),
            Some(at) if now.duration_since(at) > patience => {
                (false, format!("no answer from Telegram since {}", at.strftime("%H:%M:%S UTC")))
            }
            Some(_) => {
                let last = state.update.map_or("none yet".to_owned(), |at| {
                    at.strftime("last at %Y-%m-%d %H:%M:%S UTC").to_string()
                });
                (true, format!("updates arrive ({last})"))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_trouble_and_updates_that_stay_away_are_seen() {
        let at = |s: i64| Timestamp::from_second(1_795_000_000 + s).unwrap();
        let patience = SignedDuration::from_secs(20);
        let vitals = Vitals::default();
        assert!(!vitals.check(patience, at(0)).0, "nothing was heard yet");
        vitals.heard(0, at(0));
        assert!(vitals.check(patience, at(20)).0);
        assert!(!vitals.check(patience, at(21)).0, "a poll that never comes back");
        vitals.heard(1, at(30));
        assert!(vitals.check(patience, at(31)).1.contains("last at"));
        assert!(vitals.trouble("409") && !vitals.trouble("409"), "said once");
        assert_eq!(vitals.check(patience, at(31)), (false, "409".into()));
        vitals.heard(0, at(40));
        vitals.waiting(3, at(40));
        vitals.heard(0, at(100));
        vitals.waiting(2, at(101));
        assert!(vitals.check(patience, at(101)).1.starts_with("2 updates wait"));
        vitals.heard(1, at(102));
        assert!(vitals.check(patience, at(102)).0);
        assert_eq!(vitals.silence(at(105)), Some(3.0));
    }
}
