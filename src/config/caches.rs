//! `[[cache]]`: the customers' caches, and that clearing one customer's can never hit another's.

use std::time::Duration;

use serde::Serialize;

use super::{
    Secret,
    check::{HOUR, LEAST, choice},
    reader::{Reader, filled},
    span,
};
use crate::domain::CustomerId;

/// One `[[cache]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheConfig {
    /// Whose it is.
    pub customer: CustomerId,
    /// Where it answers, as `HOST:PORT`; Varnish's management port.
    pub address: String,
    /// The longest that connecting or one answer may take.
    #[serde(serialize_with = "span")]
    pub timeout: Duration,
    /// What it is.
    #[serde(flatten)]
    pub backend: CacheBackend,
}

/// What a cache is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CacheBackend {
    /// A Redis database.
    Redis(RedisConfig),
    /// A Varnish.
    Varnish(VarnishConfig),
}

/// The keys of a Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RedisConfig {
    /// The database's number.
    pub db: u32,
    /// The user, where the server has several.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// Only keys that begin with this are the customer's; none means the whole database is.
    pub prefix: Option<String>,
}

/// The keys of a Varnish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VarnishConfig {
    /// What the file of `varnishd -S` holds.
    pub secret: Option<Secret>,
    /// Only objects of this host are the customer's; none means all are.
    pub host: Option<String>,
}

impl CacheConfig {
    pub(super) fn secret(&self) -> Option<&Secret> {
        match &self.backend {
            CacheBackend::Redis(redis) => redis.password.as_ref(),
            CacheBackend::Varnish(varnish) => varnish.secret.as_ref(),
        }
    }

    /// Whether clearing one would clear something of the other.
    fn overlaps(&self, other: &Self) -> bool {
        let same_place = self.address.eq_ignore_ascii_case(&other.address);
        let nested = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        same_place
            && match (&self.backend, &other.backend) {
                (CacheBackend::Redis(a), CacheBackend::Redis(b)) => {
                    let whole = String::new();
                    let prefix = |r: &RedisConfig| r.prefix.clone().unwrap_or(whole.clone());
                    a.db == b.db && nested(&prefix(a), &prefix(b))
                }
                (CacheBackend::Varnish(a), CacheBackend::Varnish(b)) => match (&a.host, &b.host) {
                    (Some(a), Some(b)) => a == b,
                    (None, _) | (_, None) => true,
                },
                (CacheBackend::Redis(_), CacheBackend::Varnish(_))
                | (CacheBackend::Varnish(_), CacheBackend::Redis(_)) => false,
            }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Redis,
    Varnish,
}

/// `[[cache]]`, in the file's order.
pub(super) fn caches(r: &mut Reader<'_>) -> Vec<CacheConfig> {
    let mut known: Vec<(CacheConfig, usize)> = Vec::new();
    r.tables("cache", |r| {
        let Some(cache) = cache(r) else { return };
        if let Some((other, line)) = known.iter().find(|(other, _)| other.overlaps(&cache)) {
            let text = if other.customer == cache.customer {
                format!("is the cache of line {line} once more; leave one out")
            } else {
                format!(
                    "clearing it would also clear what customer {} has there (line {line}); tell them apart with {}",
                    other.customer,
                    match &cache.backend {
                        CacheBackend::Redis(_) => "`db` or `prefix`",
                        CacheBackend::Varnish(_) => "`host`",
                    }
                )
            };
            r.bad("address", text);
        }
        known.push((cache, r.line()));
    });
    known.into_iter().map(|(cache, _)| cache).collect()
}

fn cache(r: &mut Reader<'_>) -> Option<CacheConfig> {
    let customer = r.word_or_number("customer");
    let customer = r.need("customer", customer, "write the customer's id, such as \"19\"");
    let kinds = [("redis", Kind::Redis), ("varnish", Kind::Varnish)];
    let kind = r.parsed("kind", |text| choice(text, &kinds));
    let kind = r.need("kind", kind, "write \"redis\" or \"varnish\"");
    let address = r.parsed("address", host_and_port);
    let address = r.need("address", address, "write HOST:PORT, such as \"127.0.0.1:6379\"");
    let timeout = r.duration("timeout", LEAST, HOUR).unwrap_or(Duration::from_secs(5));
    let backend = match kind {
        Some(Kind::Redis) => {
            r.forbid("secret", "is Varnish's; a Redis has `password`");
            r.forbid("host", "is Varnish's; a Redis has `db` and `prefix`");
            CacheBackend::Redis(redis(r))
        }
        Some(Kind::Varnish) => {
            for key in ["db", "username", "password", "prefix"] {
                r.forbid(key, "is Redis'; a Varnish has `secret` and `host`");
            }
            CacheBackend::Varnish(varnish(r))
        }
        None => {
            r.allow(&["db", "username", "password", "prefix", "secret", "host"]);
            return None;
        }
    };
    Some(CacheConfig { customer: CustomerId::new(customer?), address: address?, timeout, backend })
}

fn redis(r: &mut Reader<'_>) -> RedisConfig {
    RedisConfig {
        db: r.integer("db", 0, 1 << 20).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        username: r.string("username"),
        password: r.secret("password"),
        prefix: r.string("prefix"),
    }
}

fn varnish(r: &mut Reader<'_>) -> VarnishConfig {
    let host = r.parsed("host", |text| {
        let host = filled(text)?.to_lowercase();
        if host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
            Ok(host)
        } else {
            Err(format!(
                "`{host}` is no host as browsers send it; write it without port, such as \"shop.example\""
            ))
        }
    });
    VarnishConfig { secret: r.secret("secret"), host }
}

fn host_and_port(text: &str) -> Result<String, String> {
    let text = filled(text)?;
    let shape = "write HOST:PORT, such as \"127.0.0.1:6379\"";
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("`{text}` has no port; {shape}"));
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let named = !bare.is_empty() && bare.chars().all(|c| c.is_alphanumeric() || ".-_:".contains(c));
    if !named || host.contains(':') != bracketed || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(format!("`{text}` is no address; {shape}"));
    }
    Ok(text)
}
