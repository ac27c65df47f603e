//! Paired people and the codes that strangers were given; every change is one transaction with its audit row.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError, db::Tx, micros, queue, time};
use crate::{
    domain::{
        Actor, AuditEntry, AuditKind, Block, ChannelKind, ConversationKey, PersonName, Role, Untrusted,
    },
    policy::pairing::{
        self, Attempt, CodeDigest, Desk, LOCK, Offer, OpenCode, Paired, PairingCode, Stranger,
    },
};

/// A pairing as it is to be kept, for [`Store::pairing_accept`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The row.
    pub row: Paired,
    /// What the person reads in the chat.
    pub notice: Block,
}

/// What accepting a code came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Accepted {
    /// The stranger is known now.
    Paired(Box<Paired>, Stranger),
    /// The code is right, but this cannot be; the code still holds.
    Refused(String),
    /// The code is wrong; so many more tries.
    Wrong {
        /// Wrong codes that may follow before the lock.
        left: usize,
    },
    /// Pairing is locked.
    Locked {
        /// Until when.
        until: Timestamp,
        /// By this very attempt.
        fresh: bool,
    },
}

/// Decides about the stranger whose code was accepted.
pub type Settle<'a> = dyn Fn(&Stranger) -> Result<Settled, String> + Send + Sync + 'a;

impl Store {
    /// Everybody who was paired, by name.
    pub async fn paired(&self) -> Result<Vec<Paired>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(PAIRED).fetch_all(db.conn()?).await?;
        rows.iter().map(paired).collect()
    }

    /// Codes, wrong attempts and the lock as they stand.
    pub async fn pairing_desk(&self) -> Result<Desk, StoreError> {
        // A transaction, so that its queries see one moment; dropping it changes nothing.
        let mut tx = self.0.db.begin().await?;
        desk(&mut tx).await
    }

    /// Gives `stranger` a code or silence, as [`pairing::offer`] says. `fresh` is the code to give if a new one is
    /// due, `held` the one that is remembered for this stranger. Silence leaves no row.
    pub async fn pairing_offer(
        &self,
        stranger: &Stranger,
        fresh: &PairingCode,
        held: Option<&PairingCode>,
        now: Timestamp,
    ) -> Result<Offer, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let desk = desk(&mut tx).await?;
        let held = held.map(PairingCode::digest);
        let offer = pairing::offer(&desk, stranger, held.as_ref(), now);
        let own = desk.open(now).find(|code| same(&code.stranger, stranger));
        let (digest, expires_at, summary) = match (offer, own) {
            (Offer::New, _) => (fresh.digest(), now + pairing::LIFETIME, "was given a pairing code"),
            (Offer::Same, Some(own)) => {
                (own.digest.clone(), own.expires_at, "asked again and was shown the same pairing code")
            }
            (Offer::Replaced, Some(own)) => {
                (fresh.digest(), own.expires_at, "asked again and was given another code for the same time")
            }
            _ => return Ok(offer),
        };
        for code in desk.codes.iter().filter(|code| !code.is_open(now) || same(&code.stranger, stranger)) {
            close(&mut tx, &code.stranger).await?;
        }
        sqlx::query(
            "INSERT INTO pairing_codes (channel, platform_id, shown_name, digest, expires_at, told_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(stranger.channel.word())
        .bind(&stranger.platform_id)
        .bind(stranger.shown_name.as_str())
        .bind(digest.as_str())
        .bind(micros(expires_at))
        .bind(micros(now))
        .execute(tx.conn()?)
        .await?;
        let entry = entry(now, None, format!("{stranger} {summary}"), of(stranger));
        self.append_audit(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(offer)
    }

    /// Accepts the code that `by` typed: `settle` says what the pairing is to be, and the person's notice goes to
    /// the outbox of their private chat. Wrong codes are counted and lock pairing, which closes all open codes.
    pub async fn pairing_accept(
        &self,
        by: &Actor,
        typed: &str,
        settle: &Settle<'_>,
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let desk = desk(&mut tx).await?;
        let audit = |summary: String, detail| entry(now, Some(by), summary, detail);
        let (accepted, row) = match pairing::attempt(&desk, typed, now) {
            Attempt::Match(code) => match settle(&code.stranger) {
                Ok(settled) => {
                    close(&mut tx, &code.stranger).await?;
                    keep(&mut tx, &settled, now).await?;
                    let row = settled.row;
                    let rights = row.role.map_or("as the configuration has them", Role::word);
                    let summary = format!(
                        "{} is {} now ({rights}), paired by {}",
                        code.stranger, row.person, by.person
                    );
                    let detail =
                        json!({"person": row.person, "role": row.role, "stranger": of(&code.stranger)});
                    (Accepted::Paired(Box::new(row), code.stranger), audit(summary, detail))
                }
                Err(why) => {
                    let summary = format!("a pairing with {} was refused: {why}", code.stranger);
                    (Accepted::Refused(why), audit(summary, of(&code.stranger)))
                }
            },
            Attempt::Wrong { left } => {
                wrong(&mut tx, now, None).await?;
                (
                    Accepted::Wrong { left },
                    audit(format!("a wrong pairing code, {left} more may follow"), Value::Null),
                )
            }
            Attempt::Locks => {
                let until = now + LOCK;
                for code in &desk.codes {
                    close(&mut tx, &code.stranger).await?;
                }
                wrong(&mut tx, now, Some(until)).await?;
                let summary =
                    format!("a wrong pairing code too many: all codes are closed, no pairing until {until}");
                (Accepted::Locked { until, fresh: true }, audit(summary, json!({"until": until})))
            }
            Attempt::Locked { until } => {
                let summary = format!("a pairing code was not looked at: no pairing until {until}");
                (Accepted::Locked { until, fresh: false }, audit(summary, json!({"until": until})))
            }
        };
        self.append_audit(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(accepted)
    }

    /// Takes back the pairings of `person`, on one platform or all, with what still waits there for them. Gives those;
    /// none changes nothing. `why` stands in the audit.
    pub async fn pairing_revoke(
        &self,
        by: Option<&Actor>,
        (person, channel): (&PersonName, Option<ChannelKind>),
        why: &str,
        now: Timestamp,
    ) -> Result<Vec<Paired>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let rows = sqlx::query(PAIRED).fetch_all(tx.conn()?).await?;
        let mut gone: Vec<Paired> = rows.iter().map(paired).collect::<Result<_, _>>()?;
        gone.retain(|p| p.person.same(person) && channel.is_none_or(|c| c == p.channel));
        for pairing in &gone {
            sqlx::query("DELETE FROM paired WHERE channel = $1 AND platform_id = $2")
                .bind(pairing.channel.word())
                .bind(&pairing.platform_id)
                .execute(tx.conn()?)
                .await?;
            unsend(&mut tx, pairing, now).await?;
            let summary =
                format!("{} {} is no longer {}: {why}", pairing.channel, pairing.platform_id, pairing.person);
            let detail =
                json!({"person": pairing.person, "channel": pairing.channel, "id": pairing.platform_id});
            self.append_audit(&mut tx, &entry(now, by, summary, detail)).await?;
        }
        if !gone.is_empty() {
            tx.commit().await?;
        }
        Ok(gone)
    }
}

const PAIRED: &str =
    "SELECT person, role, channel, platform_id, paired_by, at FROM paired ORDER BY person, channel";

async fn desk(tx: &mut Tx<'_>) -> Result<Desk, StoreError> {
    let rows = sqlx::query(
        "SELECT channel, platform_id, shown_name, digest, expires_at, told_at FROM pairing_codes \
         ORDER BY expires_at, channel, platform_id",
    )
    .fetch_all(tx.conn()?)
    .await?;
    let codes = rows.iter().map(code).collect::<Result<_, _>>()?;
    let rows =
        sqlx::query("SELECT at, locked_until FROM pairing_wrong ORDER BY id").fetch_all(tx.conn()?).await?;
    let mut desk = Desk { codes, ..Desk::default() };
    for row in rows {
        match row.try_get::<Option<i64>, _>(1)? {
            Some(until) => desk.locked_until = Some(time(until)?),
            None => desk.wrong.push(time(row.try_get(0)?)?),
        }
    }
    Ok(desk)
}

fn code(row: &SqliteRow) -> Result<OpenCode, StoreError> {
    let stranger = Stranger {
        channel: channel(row.try_get(0)?)?,
        platform_id: row.try_get(1)?,
        shown_name: Untrusted::new(row.try_get(2)?),
    };
    let digest = CodeDigest::stored(row.try_get::<String, _>(3)?);
    Ok(OpenCode { stranger, digest, expires_at: time(row.try_get(4)?)?, told_at: time(row.try_get(5)?)? })
}

fn paired(row: &SqliteRow) -> Result<Paired, StoreError> {
    let person = PersonName::new(row.try_get::<String, _>(0)?);
    let role = row.try_get::<Option<String>, _>(1)?;
    let role = role.map(|role| role.parse()).transpose();
    Ok(Paired {
        role: role.map_err(|_| StoreError::Unreadable(format!("the role of {person}")))?,
        person,
        channel: channel(row.try_get(2)?)?,
        platform_id: row.try_get(3)?,
        paired_by: PersonName::new(row.try_get::<String, _>(4)?),
        at: time(row.try_get(5)?)?,
    })
}

fn channel(word: &str) -> Result<ChannelKind, StoreError> {
    word.parse().map_err(|_| StoreError::Unreadable(format!("a pairing on `{word}`")))
}

fn same(a: &Stranger, b: &Stranger) -> bool {
    a.channel == b.channel && a.platform_id == b.platform_id
}

async fn close(tx: &mut Tx<'_>, stranger: &Stranger) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM pairing_codes WHERE channel = $1 AND platform_id = $2")
        .bind(stranger.channel.word())
        .bind(&stranger.platform_id)
        .execute(tx.conn()?)
        .await?;
    Ok(())
}

async fn keep(tx: &mut Tx<'_>, settled: &Settled, now: Timestamp) -> Result<(), StoreError> {
    let row = &settled.row;
    sqlx::query(
        "INSERT INTO paired (channel, platform_id, person, role, paired_by, at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (channel, platform_id) DO UPDATE \
         SET person = excluded.person, role = excluded.role, paired_by = excluded.paired_by, at = excluded.at",
    )
    .bind(row.channel.word())
    .bind(&row.platform_id)
    .bind(row.person.as_str())
    .bind(row.role.map(Role::word))
    .bind(row.paired_by.as_str())
    .bind(micros(row.at))
    .execute(tx.conn()?)
    .await?;
    let chat = ConversationKey::new(format!("{}:{}:0:{}", row.channel, row.platform_id, row.person));
    queue::outbox_add(tx, &chat, &settled.notice, now).await?;
    Ok(())
}

/// What waits for a person who is no longer one is not for their eyes any more.
async fn unsend(tx: &mut Tx<'_>, gone: &Paired, now: Timestamp) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT id, conversation FROM outbox WHERE done_at IS NULL")
        .fetch_all(tx.conn()?)
        .await?;
    let (begin, end) = (format!("{}:", gone.channel), format!(":{}", gone.person));
    for row in rows {
        let conversation: &str = row.try_get(1)?;
        if conversation.starts_with(&begin) && conversation.ends_with(&end) {
            sqlx::query("UPDATE outbox SET done_at = $2 WHERE id = $1")
                .bind(row.try_get::<i64, _>(0)?)
                .bind(micros(now))
                .execute(tx.conn()?)
                .await?;
        }
    }
    Ok(())
}

/// Counts a wrong code; what no longer counts is forgotten, and with a lock all before it.
async fn wrong(tx: &mut Tx<'_>, now: Timestamp, locked_until: Option<Timestamp>) -> Result<(), StoreError> {
    let counts_from = locked_until.map_or(micros(now - pairing::WINDOW), |_| i64::MAX);
    sqlx::query("DELETE FROM pairing_wrong WHERE at <= $1 OR locked_until IS NOT NULL")
        .bind(counts_from)
        .execute(tx.conn()?)
        .await?;
    sqlx::query("INSERT INTO pairing_wrong (at, locked_until) VALUES ($1, $2)")
        .bind(micros(now))
        .bind(locked_until.map(micros))
        .execute(tx.conn()?)
        .await?;
    Ok(())
}

fn of(stranger: &Stranger) -> Value {
    json!({"channel": stranger.channel, "id": stranger.platform_id, "called": stranger.shown_name})
}

fn entry(at: Timestamp, actor: Option<&Actor>, summary: String, detail: Value) -> AuditEntry {
    AuditEntry {
        at,
        kind: AuditKind::Pairing,
        actor: actor.cloned(),
        conversation: None,
        approval: None,
        summary,
        detail,
    }
}
