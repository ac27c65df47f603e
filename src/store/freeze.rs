//! The freeze latch: set by a person, holds over restarts.

use jiff::Timestamp;
use sqlx::Row;

use super::{Store, StoreError, micros, time};
use crate::domain::{Actor, AuditEntry, PersonName};

impl Store {
    /// Sets the latch; a latch that is set keeps its first person and time. True if it was not set before.
    pub async fn freeze(&self, by: &Actor, at: Timestamp, audit: AuditEntry) -> Result<bool, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let set = sqlx::query(
            "INSERT INTO meta (name, text, number) VALUES ('freeze', $1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(by.person.as_str())
        .bind(micros(at))
        .execute(tx.conn()?)
        .await?;
        self.append_audit(&mut tx, &audit).await?;
        tx.commit().await?;
        Ok(set.rows_affected() == 1)
    }

    /// Lifts the latch; who did so is in `audit`. True if it was set.
    pub async fn unfreeze(&self, audit: AuditEntry) -> Result<bool, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let lifted = sqlx::query("DELETE FROM meta WHERE name = 'freeze'").execute(tx.conn()?).await?;
        self.append_audit(&mut tx, &audit).await?;
        tx.commit().await?;
        Ok(lifted.rows_affected() == 1)
    }

    /// Who set the latch and when, while it is set.
    pub async fn frozen(&self) -> Result<Option<(PersonName, Timestamp)>, StoreError> {
        let mut db = self.0.db.read().await?;
        let row = sqlx::query("SELECT text, number FROM meta WHERE name = 'freeze'")
            .fetch_optional(db.conn()?)
            .await?;
        row.map(|row| Ok((PersonName::new(row.try_get::<String, _>(0)?), time(row.try_get(1)?)?))).transpose()
    }
}
