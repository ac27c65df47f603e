//! The conversations' histories: appended turn by turn, shortened by compaction.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row;

use super::{ConversationSettings, Store, StoreError, db::Tx, from_json, micros, time, to_json};
use crate::domain::{AuditEntry, ConversationKey};

/// One live row of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// Its number in the conversation; grows, has gaps after a compaction.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// `user`, `assistant`, `tool`, `note`, `outcome` or `summary`.
    pub kind: String,
    /// What the loop keeps of it.
    pub content: Value,
    /// It holds untrusted text.
    pub tainted: bool,
    /// The person's own words of a `user` row, without quotes and pastes.
    pub words: Option<String>,
    /// The outcome of a confirmed write: the naming of targets starts anew after it.
    pub confirmed_write: bool,
}

/// What a conversation no longer remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forgotten {
    /// The rows that are gone, oldest first.
    pub rows: Vec<HistoryRow>,
    /// The tools beyond the core and the chosen model that are gone.
    pub settings: ConversationSettings,
}

/// A row to append; the store gives it its number.
#[derive(Clone, Debug, PartialEq)]
pub struct NewHistory {
    /// When.
    pub at: Timestamp,
    /// `user`, `assistant`, `tool`, `note`, `outcome` or `summary`.
    pub kind: String,
    /// What the loop keeps of it.
    pub content: Value,
    /// It holds untrusted text.
    pub tainted: bool,
    /// The person's own words of a `user` row, without quotes and pastes.
    pub words: Option<String>,
    /// The outcome of a confirmed write.
    pub confirmed_write: bool,
}

impl Store {
    /// The live rows of `conv`, oldest first.
    pub async fn history(&self, conv: &ConversationKey) -> Result<Vec<HistoryRow>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT seq, at, kind, content, tainted, words, confirmed_write FROM history \
             WHERE conversation = $1 ORDER BY seq",
        )
        .bind(conv.as_str())
        .fetch_all(db.conn()?)
        .await?;
        rows.iter().map(|row| read(conv, row)).collect()
    }

    /// Ends a turn in one transaction: its rows, its audit, and the inbox row that it answered.
    pub async fn commit_turn(
        &self,
        conv: &ConversationKey,
        rows: &[NewHistory],
        audit: Vec<AuditEntry>,
        inbox_done: Option<(i64, Timestamp)>,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        append(&mut tx, conv, rows).await?;
        for entry in &audit {
            self.append_audit(&mut tx, entry).await?;
        }
        if let Some((id, at)) = inbox_done {
            super::queue::inbox_mark(&mut tx, id, at).await?;
        }
        tx.commit().await
    }

    /// Replaces the rows of `conv` up to and including `up_to_seq` by `summary`, which takes the place of the last
    /// of them, in one transaction. Without such rows nothing changes.
    pub async fn compact(
        &self,
        conv: &ConversationKey,
        up_to_seq: i64,
        summary: NewHistory,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        let place: Option<i64> =
            sqlx::query_scalar("SELECT MAX(seq) FROM history WHERE conversation = $1 AND seq <= $2")
                .bind(conv.as_str())
                .bind(up_to_seq)
                .fetch_one(tx.conn()?)
                .await?;
        let Some(place) = place else { return Ok(()) };
        sqlx::query("DELETE FROM history WHERE conversation = $1 AND seq <= $2")
            .bind(conv.as_str())
            .bind(place)
            .execute(tx.conn()?)
            .await?;
        insert(&mut tx, conv, place, &summary).await?;
        tx.commit().await
    }

    /// Forgets the history, the tools and the model of `conv` with one audit row, in one transaction.
    pub async fn forget(&self, conv: &ConversationKey, audit: AuditEntry) -> Result<Forgotten, StoreError> {
        let forgotten =
            Forgotten { rows: self.history(conv).await?, settings: self.conversation(conv).await? };
        let mut tx = self.0.db.begin().await?;
        for sql in [
            "DELETE FROM history WHERE conversation = $1",
            "DELETE FROM conversations WHERE conversation = $1",
        ] {
            sqlx::query(sql).bind(conv.as_str()).execute(tx.conn()?).await?;
        }
        self.append_audit(&mut tx, &audit).await?;
        tx.commit().await?;
        Ok(forgotten)
    }

    /// Deletes the turns that began before `before`; one that is the last and reaches past it stays. Gives how many rows
    /// that were.
    pub async fn history_sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let done = sqlx::query(
            "DELETE FROM history WHERE conversation IN (SELECT o.conversation FROM history o WHERE o.at < $1) \
             AND seq < COALESCE( \
               (SELECT MIN(y.seq) FROM history y WHERE y.conversation = history.conversation AND y.at >= $1 \
                AND y.kind IN ('user', 'outcome')), \
               (SELECT MAX(y.seq) + 1 FROM history y WHERE y.conversation = history.conversation \
                HAVING MAX(y.at) < $1), 0)",
        )
        .bind(micros(before))
        .execute(tx.conn()?)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

/// Appends `rows` to `conv` inside `tx`.
pub(super) async fn append(
    tx: &mut Tx<'_>,
    conv: &ConversationKey,
    rows: &[NewHistory],
) -> Result<(), StoreError> {
    let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM history WHERE conversation = $1")
        .bind(conv.as_str())
        .fetch_one(tx.conn()?)
        .await?;
    for (seq, row) in (last + 1..).zip(rows) {
        insert(tx, conv, seq, row).await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut Tx<'_>,
    conv: &ConversationKey,
    seq: i64,
    row: &NewHistory,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO history (conversation, seq, at, kind, content, tainted, words, confirmed_write) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(conv.as_str())
    .bind(seq)
    .bind(micros(row.at))
    .bind(row.kind.as_str())
    .bind(to_json(&row.content)?)
    .bind(row.tainted)
    .bind(row.words.as_deref())
    .bind(row.confirmed_write)
    .execute(tx.conn()?)
    .await?;
    Ok(())
}

fn read(conv: &ConversationKey, row: &sqlx::sqlite::SqliteRow) -> Result<HistoryRow, StoreError> {
    let seq = row.try_get(0)?;
    let content: &str = row.try_get(3)?;
    Ok(HistoryRow {
        seq,
        at: time(row.try_get(1)?)?,
        kind: row.try_get(2)?,
        content: from_json(content, || format!("history row {seq} of {conv}"))?,
        tainted: row.try_get(4)?,
        words: row.try_get(5)?,
        confirmed_write: row.try_get(6)?,
    })
}
