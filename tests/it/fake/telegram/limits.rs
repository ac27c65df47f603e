//! Telegram's rate limits as a checker: what breaks them is noted and answered with 429.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// The limits; every time is multiplied by `scale`, so that a test need not take minutes.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// 1.0 is real time; 0.01 makes a second of ten milliseconds.
    pub scale: f64,
    /// Messages that one chat takes at once before it counts seconds.
    pub burst: u32,
    /// Seconds between the messages of one chat after that.
    pub chat_seconds: f64,
    /// Messages a minute in one group.
    pub per_group_minute: usize,
    /// Messages a second over all chats.
    pub per_second: usize,
    /// How much earlier a message may come than the limit says, not scaled: a network delays one more than the next.
    pub slack: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            scale: 1.0,
            burst: 3,
            chat_seconds: 1.0,
            per_group_minute: 20,
            per_second: 30,
            slack: Duration::from_millis(25),
        }
    }
}

/// What was sent lately.
#[derive(Debug)]
pub(super) struct Meter {
    rates: Rates,
    chats: BTreeMap<i64, Bucket>,
    groups: BTreeMap<i64, VecDeque<Instant>>,
    all: VecDeque<Instant>,
}

#[derive(Debug)]
struct Bucket {
    /// When it is full again.
    full_at: Instant,
}

/// Which limit a message would break, and for how long.
pub(super) struct Broken {
    pub limit: &'static str,
    pub retry_after: u64,
}

impl Meter {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, chats: BTreeMap::new(), groups: BTreeMap::new(), all: VecDeque::new() }
    }

    fn scaled(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds * self.rates.scale)
    }

    /// Counts a message to `chat`, unless it breaks a limit.
    pub(super) fn count(&mut self, chat: i64, now: Instant) -> Result<(), Broken> {
        let (second, minute, each) =
            (self.scaled(1.0), self.scaled(60.0), self.scaled(self.rates.chat_seconds));
        let slack = self.rates.slack;
        let burst = each.saturating_mul(self.rates.burst.max(1));
        let bucket = self.chats.entry(chat).or_insert(Bucket { full_at: now });
        let filled = bucket.full_at.max(now) + each;
        if let Some(wait) = (filled - now).checked_sub(burst + slack).filter(|w| !w.is_zero()) {
            return Err(broken("one message a second in a chat", wait));
        }
        window(&mut self.all, second, now);
        if let Some(wait) = too_soon(&self.all, self.rates.per_second, second, now, slack) {
            return Err(broken("30 messages a second over all", wait));
        }
        if chat < 0 {
            let group = self.groups.entry(chat).or_default();
            window(group, minute, now);
            if let Some(wait) = too_soon(group, self.rates.per_group_minute, minute, now, slack) {
                return Err(broken("20 messages a minute in a group", wait));
            }
            group.push_back(now);
        }
        bucket.full_at = filled;
        self.all.push_back(now);
        Ok(())
    }
}

/// Forgets what is older than `span`.
fn window(sent: &mut VecDeque<Instant>, span: Duration, now: Instant) {
    while sent.front().is_some_and(|at| now.duration_since(*at) >= span) {
        sent.pop_front();
    }
}

/// How long it is until the `limit`-th message before this one is `span` old; `slack` is forgiven.
fn too_soon(
    sent: &VecDeque<Instant>,
    limit: usize,
    span: Duration,
    now: Instant,
    slack: Duration,
) -> Option<Duration> {
    let before = sent.get(sent.len().checked_sub(limit)?)?;
    let wait = span.saturating_sub(now.duration_since(*before));
    (wait > slack).then_some(wait)
}

fn broken(limit: &'static str, wait: Duration) -> Broken {
    Broken { limit, retry_after: wait.as_secs_f64().ceil().max(1.0) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at these milliseconds; says which were refused.
    fn refused(rates: Rates, chat: i64, at: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut meter = Meter::new(rates);
        let broken = |ms: &&u64| meter.count(chat, start + Duration::from_millis(**ms)).is_err();
        at.iter().filter(broken).copied().collect()
    }

    #[test]
    fn a_sender_at_the_limits_pace_is_never_refused() {
        let rates = Rates { slack: Duration::ZERO, ..Rates::default() };
        let none: [u64; 0] = [];
        assert_eq!(refused(rates, 1, &[0, 0, 0, 1000, 2000, 3000, 9000, 9000, 9000]), none);
        assert_eq!(refused(rates, 1, &[0, 0, 0, 999, 1000, 1001, 2000]), [999, 1001]);
        let slack = Rates { slack: Duration::from_millis(25), ..rates };
        assert_eq!(refused(slack, 1, &[0, 0, 0, 980, 1950, 2980]), [1950]);
        let scaled = Rates { scale: 0.01, ..rates };
        assert_eq!(refused(scaled, 1, &[0, 0, 0, 9, 10, 20]), [9]);
        let paced: Vec<u64> = (0..60).map(|n| n * 3000).collect();
        assert_eq!(refused(rates, -1, &paced), none);
        let hasty: Vec<u64> = (0..21).map(|n| n * 2900).collect();
        assert_eq!(refused(rates, -1, &hasty), [58_000]);
    }
}
