//! Notes that people asked the bot to remember: theirs to list and delete, gone when they expire.

use jiff::Timestamp;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError, micros, time};
use crate::domain::{AuditEntry, ConversationKey, CustomerId, NewNote, Note, PersonName};

/// The most notes that one look brings.
const LOOK: i64 = 200;

impl Store {
    /// Keeps a note of `person`; none when they have `most` already that have not expired.
    pub async fn note_put(
        &self,
        (person, conv, tainted): (&PersonName, &ConversationKey, bool),
        note: &NewNote,
        most: usize,
        at: Timestamp,
    ) -> Result<Option<Note>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let have: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM notes WHERE person = $1 AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(person.as_str())
        .bind(micros(at))
        .fetch_one(tx.conn()?)
        .await?;
        if usize::try_from(have).unwrap_or(usize::MAX) >= most {
            return Ok(None);
        }
        let id = sqlx::query_scalar(
            "INSERT INTO notes (person, conversation, customer, text, tainted, at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        )
        .bind(person.as_str())
        .bind(conv.as_str())
        .bind(note.customer.as_ref().map(CustomerId::as_str))
        .bind(note.text.as_str())
        .bind(tainted)
        .bind(micros(at))
        .bind(note.expires_at.map(micros))
        .fetch_one(tx.conn()?)
        .await?;
        tx.commit().await?;
        Ok(Some(Note {
            id,
            person: person.clone(),
            conversation: conv.clone(),
            customer: note.customer.clone(),
            text: note.text.clone(),
            tainted,
            at,
            expires_at: note.expires_at,
        }))
    }

    /// The notes of `person` that hold at `now`, newest first.
    pub async fn notes_of(&self, person: &PersonName, now: Timestamp) -> Result<Vec<Note>, StoreError> {
        let sql = "SELECT id, person, conversation, customer, text, tainted, at, expires_at FROM notes \
                   WHERE person = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY id DESC LIMIT $3";
        self.notes_by(sql, person.as_str(), now).await
    }

    /// Everybody's notes about `customer` that hold at `now`, newest first.
    pub async fn notes_about(&self, customer: &CustomerId, now: Timestamp) -> Result<Vec<Note>, StoreError> {
        let sql = "SELECT id, person, conversation, customer, text, tainted, at, expires_at FROM notes \
                   WHERE customer = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY id DESC LIMIT $3";
        self.notes_by(sql, customer.as_str(), now).await
    }

    async fn notes_by(
        &self,
        sql: &'static str,
        value: &str,
        now: Timestamp,
    ) -> Result<Vec<Note>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(sql).bind(value).bind(micros(now)).bind(LOOK).fetch_all(db.conn()?).await?;
        rows.iter().map(read).collect()
    }

    /// Deletes the note `id` if it is one of `person`'s; gives what it was.
    pub async fn note_delete(&self, person: &PersonName, id: i64) -> Result<Option<Note>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let row = sqlx::query(
            "DELETE FROM notes WHERE id = $1 AND person = $2 \
             RETURNING id, person, conversation, customer, text, tainted, at, expires_at",
        )
        .bind(id)
        .bind(person.as_str())
        .fetch_optional(tx.conn()?)
        .await?;
        let note = row.as_ref().map(read).transpose()?;
        tx.commit().await?;
        Ok(note)
    }

    /// Deletes all notes of `person` with one audit row; how many there were.
    pub async fn notes_delete(&self, person: &PersonName, audit: AuditEntry) -> Result<u64, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let done = sqlx::query("DELETE FROM notes WHERE person = $1")
            .bind(person.as_str())
            .execute(tx.conn()?)
            .await?;
        self.append_audit(&mut tx, &audit).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Deletes all notes that have expired at `now`; how many there were.
    pub async fn notes_sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let done = sqlx::query("DELETE FROM notes WHERE expires_at <= $1")
            .bind(micros(now))
            .execute(tx.conn()?)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &SqliteRow) -> Result<Note, StoreError> {
    let expires_at: Option<i64> = row.try_get(7)?;
    Ok(Note {
        id: row.try_get(0)?,
        person: PersonName::new(row.try_get::<String, _>(1)?),
        conversation: ConversationKey::new(row.try_get::<String, _>(2)?),
        customer: row.try_get::<Option<String>, _>(3)?.map(CustomerId::new),
        text: row.try_get(4)?,
        tainted: row.try_get(5)?,
        at: time(row.try_get(6)?)?,
        expires_at: expires_at.map(time).transpose()?,
    })
}
