//! One connection, one transaction at a time, safe against futures that are dropped half way.

use std::{ops::DerefMut, path::Path, time::Duration};

use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use super::StoreError;

/// How long a statement waits for another program that holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// The store's connection.
#[derive(Debug)]
pub(super) struct Db(Mutex<Slot>);

#[derive(Debug)]
struct Slot {
    conn: Option<SqliteConnection>,
    /// A transaction may be open that nobody will end: its future was dropped, or a statement failed.
    dirty: bool,
}

/// The connection for reads; nothing else runs meanwhile.
pub(super) struct Reader<'a>(MutexGuard<'a, Slot>);

/// An open transaction. Dropping it rolls back, at the latest before the next use of the connection.
pub(super) struct Tx<'a>(MutexGuard<'a, Slot>);

/// Options that all connections to a store's file share.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "16777216")
}

/// Options for the file that takes writes. `FULL` holds for every row: commits are few, and each must outlive a
/// power loss; a read's audit costs no commit of its own because it rides the turn's.
pub(super) fn writer(path: &Path) -> SqliteConnectOptions {
    // Folded in when it is as large as it is kept (`journal_size_limit`): storms of alerts write a page more than once.
    options(path).journal_mode(SqliteJournalMode::Wal).pragma("wal_autocheckpoint", "4000")
}

impl Db {
    pub(super) fn new(conn: SqliteConnection) -> Self {
        Self(Mutex::new(Slot { conn: Some(conn), dirty: false }))
    }

    pub(super) async fn read(&self) -> Result<Reader<'_>, StoreError> {
        let mut slot = self.0.lock().await;
        slot.clean().await?;
        Ok(Reader(slot))
    }

    // sqlx's own transactions lose count when SQLite rolls back by itself (disk full): the next one would become a
    // savepoint. So the three statements are sent by hand.
    pub(super) async fn begin(&self) -> Result<Tx<'_>, StoreError> {
        let mut slot = self.0.lock().await;
        slot.clean().await?;
        slot.dirty = true;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(slot.conn()?).await?;
        Ok(Tx(slot))
    }

    /// Ends the connection; SQLite folds its log into the file.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let mut slot = self.0.lock().await;
        slot.clean().await?;
        match slot.conn.take() {
            Some(conn) => Ok(conn.close().await?),
            None => Err(StoreError::Closed),
        }
    }
}

impl Slot {
    fn conn(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.conn.as_mut().ok_or(StoreError::Closed)
    }

    async fn clean(&mut self) -> Result<(), StoreError> {
        if self.dirty {
            // Refused when nothing is open any more, which is what is wanted; a transaction that really stays open
            // makes the next BEGIN fail.
            sqlx::raw_sql("ROLLBACK").execute(self.conn()?).await.ok();
            self.dirty = false;
        }
        Ok(())
    }
}

impl Reader<'_> {
    pub(super) fn conn(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.0.deref_mut().conn()
    }
}

impl Tx<'_> {
    pub(super) fn conn(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.0.deref_mut().conn()
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::raw_sql("COMMIT").execute(self.conn()?).await?;
        self.0.dirty = false;
        Ok(())
    }
}
