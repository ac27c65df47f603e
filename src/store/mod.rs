//! What must survive a kill: one SQLite file with one writer, every row written before the act.
//!
//! [`Store`] is a cheap handle; every method is one transaction, durable (fsync) when it returns, and rolled back as
//! a whole when it fails or its future is dropped. Times are kept to the microsecond. Text is redacted before it
//! arrives here.

mod approvals;
mod audit;
mod channel;
mod conversation;
mod db;
mod desk;
mod digest;
mod error;
mod files;
mod freeze;
mod health;
mod history;
mod incidents;
mod key;
mod misses;
mod notes;
mod open;
mod people;
mod queue;
mod witness;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

pub use approvals::{Decided, Finish, Tell};
pub use audit::{AuditReport, Completeness};
pub use channel::{OpenMessage, OpenReply, Posted, Progress, TurnEnd};
pub use conversation::ConversationSettings;
pub use desk::{IncidentQuery, KeptBoard};
pub use error::StoreError;
pub use health::StoreHealth;
pub use history::{Forgotten, HistoryRow, NewHistory};
pub use incidents::AlertRows;
pub use key::AuditKey;
pub use misses::Miss;
pub use people::{Accepted, Settle, Settled};

use witness::Witness;

/// The database's name in the state directory.
const DB_FILE: &str = "opsbot.db";

/// The store: inbox, histories, approvals, outbox, freeze latch and audit. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Declared before the lock, so that the connection goes first.
    db: db::Db,
    key: AuditKey,
    /// The state directory; none for a store in memory.
    dir: Option<PathBuf>,
    witness: Mutex<Witness>,
    lock: Mutex<Option<File>>,
}

impl Store {
    /// Opens the store in `dir` for this process alone, making directory (0700) and files (0600) where missing.
    ///
    /// Fails with [`StoreError::Locked`] while another process has it, and with [`StoreError::Corrupt`] or
    /// [`StoreError::Newer`] without having changed a byte of the database.
    pub async fn open(dir: &Path, key: AuditKey) -> Result<Self, StoreError> {
        let dir = std::path::absolute(dir).map_err(|e| StoreError::io("find its directory", &e))?;
        files::make_dir(&dir)?;
        let lock = files::lock(&dir)?;
        let conn = open::file(&dir).await?;
        let witness = Witness::of(&dir)?;
        let store = Self::of(conn, key, Some(dir), witness, Some(lock));
        store.check_key().await?;
        Ok(store)
    }

    /// An empty store that is gone with its last handle.
    pub async fn in_memory(key: AuditKey) -> Result<Self, StoreError> {
        let store = Self::of(open::memory().await?, key, None, Witness::default(), None);
        store.check_key().await?;
        Ok(store)
    }

    /// Writes the audit's head to its witness file, folds the log into the database and releases the lock.
    /// Whatever is called afterwards, on any clone, fails with [`StoreError::Closed`].
    pub async fn close(&self) -> Result<(), StoreError> {
        let head = self.audit_head().await?;
        let witnessed = self.witness(head, None);
        self.0.db.close().await?;
        drop(self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        witnessed
    }

    fn of(
        conn: sqlx::SqliteConnection,
        key: AuditKey,
        dir: Option<PathBuf>,
        witness: Witness,
        lock: Option<File>,
    ) -> Self {
        let (db, witness, lock) = (db::Db::new(conn), Mutex::new(witness), Mutex::new(lock));
        Self(Arc::new(Inner { db, key, dir, witness, lock }))
    }
}

fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|_| StoreError::Unreadable(format!("the time {micros}")))
}

fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Database(e.to_string()))
}

fn from_json<T: DeserializeOwned>(text: &str, what: impl FnOnce() -> String) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Unreadable(what()))
}
