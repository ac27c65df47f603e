//! How large and how well the store is.

use super::{Store, StoreError, files, open};

/// Figures for `/metrics` and `doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// The database's size in bytes; 0 in memory.
    pub bytes: u64,
    /// The write-ahead log's size in bytes.
    pub wal_bytes: u64,
    /// What is left on the disk of the state directory, in bytes; absent in memory or if the system does not say.
    pub free_disk_bytes: Option<u64>,
    /// Rows of the audit.
    pub audit_rows: u64,
    /// Live rows of all histories.
    pub history_rows: u64,
    /// Approvals that wait for a decision.
    pub approvals_pending: u64,
    /// Messages that are not answered.
    pub inbox_open: u64,
    /// Blocks that wait for somebody.
    pub outbox_open: u64,
}

impl Store {
    /// Takes the figures; a few milliseconds.
    pub async fn health(&self) -> Result<StoreHealth, StoreError> {
        let mut health = StoreHealth::default();
        if let Some(dir) = &self.0.dir {
            (health.bytes, health.wal_bytes) = open::sizes(dir);
            health.free_disk_bytes = files::free_bytes(dir);
        }
        let mut db = self.0.db.read().await?;
        for (count, query) in [
            // Numbered without gaps, and far too many to count.
            (&mut health.audit_rows, "SELECT COALESCE(MAX(seq), 0) FROM audit"),
            (&mut health.history_rows, "SELECT COUNT(*) FROM history"),
            (&mut health.approvals_pending, "SELECT COUNT(*) FROM approvals WHERE state = 'pending'"),
            (&mut health.inbox_open, "SELECT COUNT(*) FROM inbox WHERE done_at IS NULL"),
            (&mut health.outbox_open, "SELECT COUNT(*) FROM outbox WHERE done_at IS NULL"),
        ] {
            let rows: i64 = sqlx::query_scalar(query).fetch_one(db.conn()?).await?;
            *count = rows.unsigned_abs();
        }
        Ok(health)
    }

    /// One trivial durable commit, for whoever measures how long that takes here.
    pub async fn ping_commit(&self) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query(
            "INSERT INTO meta (name, number) VALUES ('ping', 1) \
             ON CONFLICT (name) DO UPDATE SET number = meta.number + 1",
        )
        .execute(tx.conn()?)
        .await?;
        tx.commit().await
    }
}
