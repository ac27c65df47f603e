//! Redis: a customer's database, or the keys in it that begin with the customer's prefix.

use std::{fmt, time::Duration};

use super::{
    Broke, Report, Watch, counted,
    fault::{ADDRESS, Fault, Trouble, WAIT, quote},
    pattern::redis_glob,
    resp::{self, Reply},
    wire::{Wire, strange},
};

/// So many keys are looked at with one SCAN.
const BATCH: &[u8] = b"1000";
/// Counting is given up after so many SCANs: a million keys and more.
const MAX_SCANS: usize = 2_000;

/// Where a Redis database is and what of it is the customer's.
#[derive(Clone)]
pub struct RedisOptions {
    /// `HOST:PORT`.
    pub address: String,
    /// The database's number.
    pub db: u32,
    /// The user, where the server has several.
    pub username: Option<String>,
    /// The password; never shown.
    pub password: Option<String>,
    /// Only keys that begin with this are the customer's; none means the whole database is.
    pub prefix: Option<String>,
    /// How long connecting or one answer may take.
    pub timeout: Duration,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, db, prefix, .. } = self;
        f.debug_struct("RedisOptions")
            .field("address", address)
            .field("db", db)
            .field("prefix", prefix)
            .finish_non_exhaustive()
    }
}

/// A Redis database.
#[derive(Clone, Debug)]
pub struct Redis(RedisOptions);

impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis {} db {}", self.0.address, self.0.db)
    }
}

/// Clearing it: all of it, or the keys that fit a glob.
#[derive(Clone, Debug)]
pub(super) struct Clear {
    redis: Redis,
    /// None: the whole database.
    keys: Option<Keys>,
}

#[derive(Clone, Debug)]
struct Keys {
    /// As Redis reads it.
    glob: String,
    /// As a person reads it.
    shown: String,
}

impl fmt::Display for Clear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keys {
            None => write!(f, "delete every key in {}", self.redis),
            Some(keys) => write!(f, "delete the keys matching {} in {}", keys.shown, self.redis),
        }
    }
}

/// How many keys; `more` when counting was given up.
#[derive(Clone, Copy, Debug)]
struct Count {
    keys: u64,
    more: bool,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = counted(self.keys, "key");
        if self.more { write!(f, "more than {keys}") } else { f.write_str(&keys) }
    }
}

impl Redis {
    /// A database; contacts nobody.
    pub fn new(options: RedisOptions) -> Self {
        Self(options)
    }

    pub(super) fn clear(&self, pattern: Option<&str>) -> Result<Clear, String> {
        let prefix = self.0.prefix.as_deref().unwrap_or_default();
        let keys = match pattern {
            None if prefix.is_empty() => None,
            pattern => {
                let pattern = pattern.unwrap_or("*");
                let rest = pattern.strip_prefix(prefix).unwrap_or(pattern);
                Some(Keys { glob: redis_glob(prefix, pattern)?, shown: format!("{prefix}{rest}") })
            }
        };
        Ok(Clear { redis: self.clone(), keys })
    }

    async fn open(&self) -> Result<Session, Trouble> {
        let options = &self.0;
        let mut session = Session(Wire::connect(&options.address, options.timeout).await?);
        match (&options.username, &options.password) {
            (Some(user), password) => {
                let password = password.as_deref().unwrap_or_default();
                session.done(&[b"AUTH", user.as_bytes(), password.as_bytes()]).await?;
            }
            (None, Some(password)) => session.done(&[b"AUTH", password.as_bytes()]).await?,
            (None, None) => {}
        }
        session.done(&[b"SELECT", options.db.to_string().as_bytes()]).await?;
        Ok(session)
    }
}

impl Clear {
    pub(super) async fn look(&self) -> Result<String, Fault> {
        let look = async { Ok(self.count(&mut self.redis.open().await?).await?.to_string()) };
        look.await.map_err(|t: Trouble| t.of(&self.redis))
    }

    pub(super) async fn run(&self, watch: &Watch<'_>) -> Result<Report, Broke> {
        let of = |trouble: Trouble| Broke::from(trouble.of(&self.redis));
        let mut session = self.redis.open().await.map_err(of)?;
        let before = self.count(&mut session).await.map_err(of)?;
        if (watch.stopped)() {
            return Err(Broke::Stopped("nothing was deleted".into()));
        }
        let deleted = match &self.keys {
            None => {
                session.done(&[b"FLUSHDB", b"ASYNC"]).await.map_err(|t| begun(t, &self.redis))?;
                before.keys
            }
            Some(keys) => self.unlink(&mut session, keys, before, watch).await?,
        };
        let so_far =
            || Some(format!("{} deleted; how many there are now is not known", counted(deleted, "key")));
        let after = self.count(&mut session).await.map_err(|t| Broke::Failed(t.of(&self.redis), so_far()))?;
        Ok(Report {
            before: before.to_string(),
            after: after.to_string(),
            // A site that lives writes again at once, so a few keys are no failure.
            cleared: after.keys == 0 || before.keys == 0 || after.keys < before.keys,
        })
    }

    async fn count(&self, session: &mut Session) -> Result<Count, Trouble> {
        let Some(keys) = &self.keys else {
            let all = session.number(&[b"DBSIZE"]).await?;
            return Ok(Count { keys: all, more: false });
        };
        let (mut found, mut cursor) = (0, None);
        for _ in 0..MAX_SCANS {
            let (next, batch) = session.scan(cursor, &keys.glob).await?;
            found += batch.len() as u64;
            cursor = next;
            if cursor.is_none() {
                return Ok(Count { keys: found, more: false });
            }
        }
        Ok(Count { keys: found, more: true })
    }

    /// Deletes batch by batch; says how many were there to delete.
    async fn unlink(
        &self,
        session: &mut Session,
        keys: &Keys,
        before: Count,
        watch: &Watch<'_>,
    ) -> Result<u64, Broke> {
        let (mut deleted, mut cursor) = (0, None);
        loop {
            let so_far = || format!("{} of {before} deleted in {}", counted(deleted, "key"), self.redis);
            if (watch.stopped)() {
                return Err(Broke::Stopped(so_far()));
            }
            let broke = |trouble: Trouble| match deleted {
                0 => begun(trouble, &self.redis),
                _ => Broke::Failed(trouble.of(&self.redis), Some(so_far())),
            };
            let (next, mut batch) = session.scan(cursor, &keys.glob).await.map_err(broke)?;
            // The glob says so already; nobody else's key is deleted for a server that reads globs differently.
            let prefix = self.redis.0.prefix.as_deref().unwrap_or_default().as_bytes();
            batch.retain(|key| key.starts_with(prefix));
            if !batch.is_empty() {
                let command: Vec<&[u8]> =
                    [b"UNLINK".as_slice()].into_iter().chain(batch.iter().map(Vec::as_slice)).collect();
                let gone = session.number(&command).await.map_err(broke)?;
                deleted += gone;
                (watch.progress)(format!("{} of {before} deleted", counted(deleted, "key")));
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(deleted);
            }
        }
    }
}

/// The first write failed: where it was refused nothing happened, where the connection went it may have.
fn begun(trouble: Trouble, redis: &Redis) -> Broke {
    let unsure = !trouble.refuses;
    let so_far = unsure.then(|| "whether anything was deleted is not known".to_owned());
    Broke::Failed(trouble.of(redis), so_far)
}

#[derive(Debug)]
struct Session(Wire);

type Batch = (Option<Vec<u8>>, Vec<Vec<u8>>);

impl Session {
    async fn call(&mut self, command: &[&[u8]]) -> Result<Reply, Trouble> {
        self.0.send(&resp::encode(command)).await?;
        match resp::read(&mut self.0).await? {
            Reply::Error(words) => Err(refused(&words)),
            reply => Ok(reply),
        }
    }

    async fn done(&mut self, command: &[&[u8]]) -> Result<(), Trouble> {
        match self.call(command).await? {
            Reply::Text(_) => Ok(()),
            Reply::Number(_) | Reply::List(_) | Reply::Error(_) => Err(strange()),
        }
    }

    async fn number(&mut self, command: &[&[u8]]) -> Result<u64, Trouble> {
        match self.call(command).await? {
            Reply::Number(n) => Ok(n.unsigned_abs()),
            Reply::Text(_) | Reply::List(_) | Reply::Error(_) => Err(strange()),
        }
    }

    /// The next batch of keys that fit, and where to go on; none after the last.
    async fn scan(&mut self, cursor: Option<Vec<u8>>, glob: &str) -> Result<Batch, Trouble> {
        let cursor = cursor.unwrap_or_else(|| b"0".to_vec());
        let reply = self.call(&[b"SCAN", &cursor, b"MATCH", glob.as_bytes(), b"COUNT", BATCH]).await?;
        let Reply::List(parts) = reply else { return Err(strange()) };
        let [Reply::Text(Some(next)), Reply::List(keys)] = parts.as_slice() else { return Err(strange()) };
        let keys = keys.iter().filter_map(|key| match key {
            Reply::Text(key) => key.clone(),
            Reply::Number(_) | Reply::List(_) | Reply::Error(_) => None,
        });
        Ok(((next != b"0").then(|| next.clone()), keys.collect()))
    }
}

/// Redis' refusals by their first word.
fn refused(words: &[u8]) -> Trouble {
    let text = quote(words);
    let code = text.split(' ').next().unwrap_or_default();
    let (detail, cure) = match code {
        "NOAUTH" => ("it wants a password", "Set `password` in [[cache]]"),
        "WRONGPASS" => {
            ("it refuses the user or the password", "Check `username` and `password` in [[cache]]")
        }
        "ERR" if text.contains("without any password configured") => (
            "it has no password, and one was sent",
            "Take `password` out of [[cache]], or give the server one",
        ),
        "ERR" if text.contains("invalid password") => {
            ("it refuses the password", "Check `password` in [[cache]]")
        }
        "ERR" if text.contains("DB index") => {
            ("it has no database of that number", "Check `db` in [[cache]]")
        }
        "NOPERM" => (
            "its user may not do this",
            "Give the user in [[cache]] the commands SELECT, DBSIZE, SCAN, UNLINK and FLUSHDB",
        ),
        "READONLY" => {
            ("it is a read-only replica, nothing was deleted", "Set `address` in [[cache]] to the primary")
        }
        "LOADING" => {
            ("it is still loading its data", "Try again when it is done; its log says how far it is")
        }
        "MASTERDOWN" => ("it is a replica whose primary is gone", "Look at the primary first"),
        "MOVED" | "CLUSTERDOWN" | "ASK" => {
            ("it is part of a cluster, which OpsBot does not clear", "Clear it with redis-cli --cluster call")
        }
        "MISCONF" => (
            "it takes no writes because it cannot save to disk",
            "Look at its log and its disk; writes come back when saving works",
        ),
        "BUSY" => ("it is busy with a script", WAIT),
        "DENIED" => (
            "it runs in protected mode and lets nobody in from here",
            "Give it a password, or bind it to this host's address",
        ),
        "ERR" if text.contains("max number of clients") => ("it has no connection to spare", WAIT),
        _ => return Trouble::refusal(format!("it says: {text}"), ADDRESS),
    };
    let named = if code == "ERR" { String::new() } else { format!(" ({code})") };
    Trouble::refusal(format!("{detail}{named}"), cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do_and_foreign_words_are_clean() {
        let table = [
            ("NOAUTH Authentication required.", "wants a password (NOAUTH)", "`password`"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "(WRONGPASS)", "`username`"),
            ("ERR invalid password", "refuses the password", "`password`"),
            (
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                "no password",
                "Take",
            ),
            ("ERR DB index is out of range", "no database", "`db`"),
            ("READONLY You can't write against a read only replica.", "replica", "primary"),
            ("LOADING Redis is loading the dataset in memory", "loading", "again"),
            ("NOPERM this user has no permissions to run the 'flushdb' command", "may not", "FLUSHDB"),
            ("MOVED 3999 127.0.0.1:6381", "cluster", "redis-cli"),
            ("ERR odd \u{1b}[31mthing", "it says: ERR odd thing", "`address`"),
        ];
        for (words, detail, cure) in table {
            let trouble = refused(words.as_bytes());
            assert!(trouble.refuses && trouble.detail.contains(detail), "{}", trouble.detail);
            assert!(trouble.cure.contains(cure), "{words}: {}", trouble.cure);
        }
    }

    #[test]
    fn a_plan_says_which_keys_and_no_secret_is_shown() {
        let redis = |prefix: Option<&str>| {
            Redis::new(RedisOptions {
                address: "127.0.0.1:6379".into(),
                db: 2,
                username: None,
                password: Some("hunter2".into()),
                prefix: prefix.map(Into::into),
                timeout: super::super::TIMEOUT,
            })
        };
        let table = [
            (None, None, "delete every key in redis 127.0.0.1:6379 db 2"),
            (None, Some("s:*"), "delete the keys matching s:* in redis 127.0.0.1:6379 db 2"),
            (Some("c7:"), None, "delete the keys matching c7:* in redis 127.0.0.1:6379 db 2"),
            (Some("c7:"), Some("s:*"), "delete the keys matching c7:s:* in redis 127.0.0.1:6379 db 2"),
        ];
        for (prefix, pattern, want) in table {
            assert_eq!(redis(prefix).clear(pattern).unwrap().to_string(), want);
        }
        assert!(!format!("{:?}", redis(None)).contains("hunter2"));
    }
}
