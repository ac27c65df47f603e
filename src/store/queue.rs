//! Inbox and outbox: what came in and is not answered, what goes out to a person who is not there.

use jiff::Timestamp;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError, db::Tx, from_json, micros, time, to_json};
use crate::domain::{Block, ConversationKey, Inbound};

/// Rows that are done are kept this long, in microseconds (7 days).
const KEPT: i64 = 7 * 24 * 3600 * 1_000_000;

impl Store {
    /// Keeps a message until [`Store::inbox_done`] or [`Store::commit_turn`]; gives its number.
    pub async fn inbox_put(&self, msg: &Inbound, at: Timestamp) -> Result<i64, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let id =
            sqlx::query_scalar("INSERT INTO inbox (conversation, at, body) VALUES ($1, $2, $3) RETURNING id")
                .bind(msg.conversation.as_str())
                .bind(micros(at))
                .bind(to_json(msg)?)
                .fetch_one(tx.conn()?)
                .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Marks the message as answered; once more changes nothing.
    pub async fn inbox_done(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        inbox_mark(&mut tx, id, at).await?;
        tx.commit().await
    }

    /// The messages that are not answered and that no channel resumes, oldest first.
    pub async fn inbox_open(&self) -> Result<Vec<(i64, Inbound, Timestamp)>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT id, body, at FROM inbox WHERE done_at IS NULL AND source IS NULL ORDER BY id",
        )
        .fetch_all(db.conn()?)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Keeps a block for the people of `conv` until [`Store::outbox_done`]; gives its number.
    pub async fn outbox_put(
        &self,
        conv: &ConversationKey,
        block: &Block,
        at: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let id = outbox_add(&mut tx, conv, block, at).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// What waits for `conv`, oldest first. It stays until [`Store::outbox_done`], so that a kill between showing and
    /// marking shows it twice rather than never.
    pub async fn outbox_take(
        &self,
        conv: &ConversationKey,
    ) -> Result<Vec<(i64, Block, Timestamp)>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT id, body, at FROM outbox WHERE conversation = $1 AND done_at IS NULL ORDER BY id",
        )
        .bind(conv.as_str())
        .fetch_all(db.conn()?)
        .await?;
        let mut waiting = Vec::new();
        for row in &rows {
            let (id, at) = (row.try_get(0)?, time(row.try_get(2)?)?);
            waiting.extend(blocks(row.try_get(1)?, id)?.into_iter().map(|block| (id, block, at)));
        }
        Ok(waiting)
    }

    /// Marks the block as shown; once more changes nothing.
    pub async fn outbox_done(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query("UPDATE outbox SET done_at = $2 WHERE id = $1 AND done_at IS NULL")
            .bind(id)
            .bind(micros(at))
            .execute(tx.conn()?)
            .await?;
        tx.commit().await
    }
}

pub(super) async fn inbox_mark(tx: &mut Tx<'_>, id: i64, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE inbox SET done_at = $2 WHERE id = $1 AND done_at IS NULL")
        .bind(id)
        .bind(micros(at))
        .execute(tx.conn()?)
        .await?;
    Ok(())
}

pub(super) async fn outbox_add(
    tx: &mut Tx<'_>,
    conv: &ConversationKey,
    block: &Block,
    at: Timestamp,
) -> Result<i64, StoreError> {
    let id =
        sqlx::query_scalar("INSERT INTO outbox (conversation, at, body) VALUES ($1, $2, $3) RETURNING id")
            .bind(conv.as_str())
            .bind(micros(at))
            .bind(to_json(block)?)
            .fetch_one(tx.conn()?)
            .await?;
    Ok(id)
}

/// Forgets what was done long before `now`.
pub(super) async fn prune(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    for delete in [
        "DELETE FROM inbox WHERE done_at < $1",
        "DELETE FROM outbox WHERE done_at < $1",
        "DELETE FROM taps WHERE at < $1",
        "DELETE FROM posted WHERE at < $1 AND shown NOT LIKE 'pending%' AND shown NOT LIKE 'executing%'",
    ] {
        sqlx::query(delete).bind(micros(now).saturating_sub(KEPT)).execute(tx.conn()?).await?;
    }
    Ok(())
}

/// An outbox row's body: one block, or all blocks of a reply.
pub(super) fn blocks(body: &str, id: i64) -> Result<Vec<Block>, StoreError> {
    if body.starts_with('[') {
        return from_json(body, || format!("outbox row {id}"));
    }
    Ok(vec![from_json(body, || format!("outbox row {id}"))?])
}

fn read(row: &SqliteRow) -> Result<(i64, Inbound, Timestamp), StoreError> {
    let id = row.try_get(0)?;
    let body = from_json(row.try_get(1)?, || format!("inbox row {id}"))?;
    Ok((id, body, time(row.try_get(2)?)?))
}
