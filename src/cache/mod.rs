//! The customers' caches, Redis and Varnish: what clearing one would hit, and the clearing itself, over the network.

mod fault;
mod pattern;
mod redis;
mod resp;
mod varnish;
mod wire;

use std::{fmt, time::Duration};

use crate::domain::CustomerId;

pub use fault::Fault;
pub use redis::{Redis, RedisOptions};
pub use varnish::{Varnish, VarnishOptions};

/// How long connecting or one answer may take unless the configuration says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// What kind of cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Redis database, or the keys in it that begin with a prefix.
    Redis,
    /// A Varnish, or the objects in it of one host.
    Varnish,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Varnish => "varnish",
        })
    }
}

/// One cache.
#[derive(Clone, Debug)]
pub enum Cache {
    /// A Redis database.
    Redis(Redis),
    /// A Varnish.
    Varnish(Varnish),
}

/// A cache and whose it is.
#[derive(Clone, Debug)]
pub struct CustomerCache {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub cache: Cache,
}

/// Clearing one cache, wholly or by a pattern: what exactly it hits is settled, nothing was contacted.
#[derive(Clone, Debug)]
pub struct Job(Work);

#[derive(Clone, Debug)]
enum Work {
    Redis(redis::Clear),
    Varnish(varnish::Ban),
}

/// Who follows a job and may stop it.
pub struct Watch<'a> {
    /// Takes a line of progress.
    pub progress: &'a (dyn Fn(String) + Send + Sync),
    /// Whether a person stopped it; asked between two batches.
    pub stopped: &'a (dyn Fn() -> bool + Send + Sync),
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// What a job did, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What stood there before (`1,234 keys`).
    pub before: String,
    /// What stands there now.
    pub after: String,
    /// What should stand does stand: the keys are gone, the ban is listed.
    pub cleared: bool,
}

/// Why a job did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broke {
    /// A person stopped it; what had been done by then.
    Stopped(String),
    /// The cache refused or went away; what had been done by then, if anything.
    Failed(Fault, Option<String>),
}

impl From<Fault> for Broke {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault, None)
    }
}

impl Cache {
    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Redis(_) => Kind::Redis,
            Self::Varnish(_) => Kind::Varnish,
        }
    }

    /// Settles what clearing this cache hits. In `pattern`, `*` stands for anything and all else for itself; none, or
    /// `*` alone, means all that belongs to the customer.
    ///
    /// # Errors
    /// One sentence: the pattern cannot be meant for this kind of cache.
    pub fn clear(&self, pattern: Option<&str>) -> Result<Job, String> {
        let pattern = pattern.map(str::trim).filter(|p| !p.is_empty() && *p != "*");
        Ok(Job(match self {
            Self::Redis(redis) => Work::Redis(redis.clear(pattern)?),
            Self::Varnish(varnish) => Work::Varnish(varnish.ban(pattern)?),
        }))
    }
}

impl fmt::Display for Cache {
    /// `redis 127.0.0.1:6379 db 0`, `varnish 127.0.0.1:6082`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(redis) => redis.fmt(f),
            Self::Varnish(varnish) => varnish.fmt(f),
        }
    }
}

impl Job {
    /// What stands there now (`1,234 keys`); changes nothing.
    ///
    /// # Errors
    /// The cache does not answer, or refuses.
    pub async fn look(&self) -> Result<String, Fault> {
        match &self.0 {
            Work::Redis(clear) => clear.look().await,
            Work::Varnish(ban) => ban.look().await,
        }
    }

    /// Clears, and looks whether it is cleared. Only `clear_cache` may call it, with its permit in hand.
    ///
    /// # Errors
    /// [`Broke`], with what had been done by then.
    pub async fn run(&self, watch: &Watch<'_>) -> Result<Report, Broke> {
        match &self.0 {
            Work::Redis(clear) => clear.run(watch).await,
            Work::Varnish(ban) => ban.run().await,
        }
    }
}

impl fmt::Display for Job {
    /// The step of a plan: `delete the keys matching session:* in redis 127.0.0.1:6379 db 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Work::Redis(clear) => clear.fmt(f),
            Work::Varnish(ban) => ban.fmt(f),
        }
    }
}

/// A count with its noun: `1 key`, `1,234 keys`.
fn counted(n: u64, noun: &str) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_agree_with_their_noun() {
        let table = [
            (0, "0 keys"),
            (1, "1 key"),
            (999, "999 keys"),
            (1_234, "1,234 keys"),
            (1_000_000, "1,000,000 keys"),
        ];
        for (n, want) in table {
            assert_eq!(counted(n, "key"), want);
        }
    }
}
