//! How fast Telegram may be called: per chat, per group and in all; pure, with time as a duration since some start.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Telegram's limits, as far as it names them; a 429 teaches the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// How many calls a chat that was quiet takes at once; at least 1.
    pub chat_burst: u32,
    /// How many calls a second a chat takes in the long run; above 0.
    pub chat_refill_per_s: f64,
    /// How many calls a minute a group takes; at least 1.
    pub group_per_minute: u32,
    /// How many calls a second the bot may make in all; at least 1.
    pub overall_per_s: u32,
    /// How much faster than real time seconds and minutes pass, for tests; 1.0 elsewhere.
    pub speed: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { chat_burst: 3, chat_refill_per_s: 1.0, group_per_minute: 20, overall_per_s: 30, speed: 1.0 }
    }
}

impl Limits {
    fn scaled(&self, seconds: f64) -> Duration {
        let speed = if self.speed.is_finite() { self.speed.max(0.001) } else { 1.0 };
        Duration::try_from_secs_f64(seconds / speed).unwrap_or(Duration::ZERO)
    }

    /// How long one token of a chat's bucket takes.
    fn token(&self) -> Duration {
        let rate = if self.chat_refill_per_s.is_finite() { self.chat_refill_per_s } else { 1.0 };
        self.scaled(1.0 / rate.max(0.001))
    }

    fn minute(&self) -> Duration {
        self.scaled(60.0)
    }

    fn second(&self) -> Duration {
        self.scaled(1.0)
    }

    /// What is waited beyond Telegram's own `retry_after`, which is rounded.
    fn margin(&self) -> Duration {
        self.scaled(0.25)
    }
}

/// When so many chats are told to wait within [`TOGETHER`] seconds, all are meant.
const CHATS_FOR_ALL: usize = 3;
const TOGETHER: f64 = 5.0;

/// Keeps count of the calls. A call counts from its start and, because Telegram sees it some time between start and
/// end, as if it had happened at its end; so no delay on the way can break a limit.
#[derive(Debug)]
pub struct Governor {
    limits: Limits,
    chats: BTreeMap<i64, Chat>,
    overall: Window,
    refused: VecDeque<(Duration, i64)>,
    all_blocked_until: Duration,
}

#[derive(Debug)]
struct Chat {
    bucket: Bucket,
    window: Window,
    blocked_until: Duration,
}

impl Governor {
    /// Nothing was called yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chats: BTreeMap::new(),
            overall: Window::default(),
            refused: VecDeque::new(),
            all_blocked_until: Duration::ZERO,
        }
    }

    /// Whether the chat may be called now.
    ///
    /// # Errors
    /// How long to wait before asking again; at most an estimate while calls are under way.
    pub fn ready(&self, chat: i64, now: Duration) -> Result<(), Duration> {
        let mut wait = self.overall_wait(now);
        if let Some(known) = self.chats.get(&chat) {
            wait =
                wait.max(known.blocked_until.saturating_sub(now)).max(known.bucket.wait(&self.limits, now));
            if chat < 0 {
                let most = self.limits.group_per_minute;
                wait = wait.max(known.window.wait(most, self.limits.minute(), now));
            }
        }
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Whether the bot as a whole may call something that belongs to no chat's count.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn ready_overall(&self, now: Duration) -> Result<(), Duration> {
        let wait = self.overall_wait(now);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// A call to the chat begins; [`Governor::landed`] must follow.
    pub fn took(&mut self, chat: i64, now: Duration) {
        self.forget(now);
        let known = self.chats.entry(chat).or_insert_with(|| Chat {
            bucket: Bucket { tokens: f64::from(self.limits.chat_burst.max(1)), at: now },
            window: Window::default(),
            blocked_until: Duration::ZERO,
        });
        known.bucket.take(&self.limits, now);
        known.window.trim(self.limits.minute(), now);
        known.window.begin();
        self.overall.begin();
    }

    /// A call to the chat is over, however it went.
    pub fn landed(&mut self, chat: i64, now: Duration) {
        if let Some(known) = self.chats.get_mut(&chat) {
            known.bucket.at = known.bucket.at.max(now);
            known.window.end(now);
        }
        self.overall.end(now);
    }

    /// A call that belongs to no chat's count begins; [`Governor::landed_overall`] must follow.
    pub fn took_overall(&mut self, now: Duration) {
        self.forget(now);
        self.overall.begin();
    }

    /// A call that belongs to no chat's count is over.
    pub fn landed_overall(&mut self, now: Duration) {
        self.overall.end(now);
    }

    /// The calls under way will never be reported: they count as over now.
    pub fn give_up(&mut self, now: Duration) {
        let windows = self.chats.values_mut().map(|known| &mut known.window).chain([&mut self.overall]);
        for window in windows {
            while window.under_way > 0 {
                window.end(now);
            }
        }
    }

    /// Telegram said: not before `wait` has passed. When it says so to several chats at a time, all wait.
    pub fn blocked(&mut self, chat: i64, wait: Duration, now: Duration) {
        let until = now.saturating_add(wait).saturating_add(self.limits.margin());
        let known = self.chats.entry(chat).or_insert_with(|| Chat {
            bucket: Bucket { tokens: 0.0, at: now },
            window: Window::default(),
            blocked_until: until,
        });
        known.blocked_until = known.blocked_until.max(until);
        let since = now.saturating_sub(self.limits.scaled(TOGETHER));
        self.refused.retain(|(at, other)| *at >= since && *other != chat);
        self.refused.push_back((now, chat));
        if self.refused.len() >= CHATS_FOR_ALL {
            self.all_blocked_until = self.all_blocked_until.max(until);
        }
    }

    /// Telegram said to a call that belongs to no chat: not before `wait` has passed.
    pub fn blocked_overall(&mut self, wait: Duration, now: Duration) {
        let until = now.saturating_add(wait).saturating_add(self.limits.margin());
        self.all_blocked_until = self.all_blocked_until.max(until);
    }

    /// Whether Telegram told this chat to wait, and it still has to.
    pub fn is_blocked(&self, chat: i64, now: Duration) -> bool {
        self.all_blocked_until > now || self.chats.get(&chat).is_some_and(|known| known.blocked_until > now)
    }

    /// How many chats have to wait because Telegram told them to.
    pub fn blocked_chats(&self, now: Duration) -> usize {
        self.chats.values().filter(|known| known.blocked_until > now).count()
    }

    fn overall_wait(&self, now: Duration) -> Duration {
        let wait = self.overall.wait(self.limits.overall_per_s, self.limits.second(), now);
        wait.max(self.all_blocked_until.saturating_sub(now))
    }

    /// Drops what no longer limits anything, so that memory does not grow with the chats of a lifetime.
    fn forget(&mut self, now: Duration) {
        let limits = self.limits;
        self.overall.trim(limits.second(), now);
        // A walk over all chats each time would be slow for many; a lone call pays for its own second.
        if self.overall.is_empty() || self.chats.len() > 1000 {
            self.chats.retain(|_, known| {
                known.window.trim(limits.minute(), now);
                !known.window.is_empty() || known.blocked_until > now || !known.bucket.is_full(&limits, now)
            });
        }
    }
}

/// Tokens that come back one by one.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn tokens(&self, limits: &Limits, now: Duration) -> f64 {
        let back = now.saturating_sub(self.at).as_secs_f64() / limits.token().as_secs_f64().max(1e-9);
        (self.tokens + back).min(f64::from(limits.chat_burst.max(1)))
    }

    fn take(&mut self, limits: &Limits, now: Duration) {
        self.tokens = (self.tokens(limits, now) - 1.0).max(0.0);
        self.at = self.at.max(now);
    }

    fn wait(&self, limits: &Limits, now: Duration) -> Duration {
        let missing = 1.0 - self.tokens(limits, now);
        // What rounding leaves is nothing to wait for.
        if missing <= 1e-6 {
            return Duration::ZERO;
        }
        let ahead = self.at.saturating_sub(now);
        ahead + limits.token().mul_f64(missing).max(Duration::from_micros(1))
    }

    fn is_full(&self, limits: &Limits, now: Duration) -> bool {
        self.tokens(limits, now) >= f64::from(limits.chat_burst.max(1))
    }
}

/// The calls of the last while; those under way count until their end is known, and then on.
#[derive(Debug, Default)]
struct Window {
    ended: VecDeque<Duration>,
    under_way: usize,
}

impl Window {
    fn begin(&mut self) {
        self.under_way += 1;
    }

    fn end(&mut self, now: Duration) {
        self.under_way = self.under_way.saturating_sub(1);
        let last = self.ended.back().copied().unwrap_or_default();
        self.ended.push_back(now.max(last));
    }

    fn wait(&self, most: u32, length: Duration, now: Duration) -> Duration {
        let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
        let live = self.ended.partition_point(|at| *at + length <= now);
        let counted = self.ended.len() - live + self.under_way;
        if counted < most {
            return Duration::ZERO;
        }
        // The one whose end makes room; if only calls under way stand in the way, nobody knows yet.
        match self.ended.get(live + counted - most) {
            Some(at) => (*at + length).saturating_sub(now),
            None => length,
        }
    }

    fn trim(&mut self, length: Duration, now: Duration) {
        while self.ended.front().is_some_and(|at| *at + length <= now) {
            self.ended.pop_front();
        }
    }

    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.under_way == 0
    }
}

#[cfg(test)]
mod tests;
