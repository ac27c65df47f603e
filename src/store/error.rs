//! What can go wrong with the store; every text says what to do next.

use std::{io, path::Path, path::PathBuf};

use crate::domain::{ApprovalId, CardState};

/// Why the store could not do what was asked. Addressed to the operator; it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process owns the state directory.
    #[error(
        "another opsbot{} owns {}; talk to it (`opsbot chat`) or end it first",
        .pid.map(|p| format!(" (pid {p})")).unwrap_or_default(), .dir.display()
    )]
    Locked {
        /// Its process id, where the lock file says so.
        pid: Option<u32>,
        /// The state directory.
        dir: PathBuf,
    },
    /// The file is damaged or is not ours. It was not touched.
    #[error(
        "{} is not a usable store ({why}); it was left as it is: restore it from a backup, or move it \
         and its -wal and -shm files aside to begin with an empty one", .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A later version of OpsBot wrote the file. It was not touched.
    #[error(
        "{} was written by a newer opsbot (schema {found}, this one knows {known}); it was left as it is: \
         run that version, or restore a backup from before the upgrade", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest one that this build knows.
        known: i64,
    },
    /// No room to write. Nothing of the transaction was kept.
    #[error("the disk of the state directory is full; nothing was lost: free some space, then repeat")]
    Full,
    /// The operating system refused.
    #[error("the store cannot {doing} ({why}); check the state directory's owner, rights and disk")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's words.
        why: String,
    },
    /// Another program keeps the database locked.
    #[error("another program holds the store's database; close it (perhaps an open `sqlite3`) and repeat")]
    Busy,
    /// The audit key cannot be used.
    #[error("the audit key cannot be used: {0}")]
    Key(String),
    /// There is no such approval.
    #[error("there is no approval {0}; look at the card for its id")]
    Missing(ApprovalId),
    /// The approval is in another state than the step needs; nothing was changed.
    #[error("approval {id} is {state}, so it cannot become {wanted}; nothing was changed")]
    WrongState {
        /// Which.
        id: ApprovalId,
        /// Where it stands.
        state: CardState,
        /// Where it was to go.
        wanted: CardState,
    },
    /// A decision came without the audit row that it needs; nothing was changed.
    #[error("a decision without its audit row was refused (a bug in opsbot, please report it)")]
    Unaudited,
    /// A stored row does not read back.
    #[error("{0} cannot be read; run `opsbot audit verify`, and restore a backup if it was altered")]
    Unreadable(String),
    /// [`Store::close`](super::Store::close) was called.
    #[error("the store is closed; opsbot is ending")]
    Closed,
    /// The database refused for another reason.
    #[error("the database refused ({0}); please report it with the log")]
    Database(String),
}

impl StoreError {
    /// An error of the operating system while `doing` something.
    pub(super) fn io(doing: impl Into<String>, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { doing: doing.into(), why: error.to_string() },
        }
    }

    pub(super) fn corrupt(path: &Path, why: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), why: why.into() }
    }

    /// Names the file where the database itself found it damaged.
    pub(super) fn of_file(error: &sqlx::Error, path: &Path) -> Self {
        match code(error) {
            Some(CORRUPT | NOT_A_DATABASE) => Self::corrupt(path, message(error)),
            _ => classify(error),
        }
    }
}

// https://www.sqlite.org/rescode.html
const PERM: i64 = 3;
const BUSY: i64 = 5;
const LOCKED: i64 = 6;
const READ_ONLY: i64 = 8;
const IO: i64 = 10;
const CORRUPT: i64 = 11;
const FULL: i64 = 13;
const CANNOT_OPEN: i64 = 14;
const NOT_A_DATABASE: i64 = 26;
/// The shared-memory file could not grow, which a full disk causes.
const IO_SHM_SIZE: i64 = IO | (19 << 8);

fn extended(error: &sqlx::Error) -> Option<i64> {
    error.as_database_error()?.code()?.parse().ok()
}

fn code(error: &sqlx::Error) -> Option<i64> {
    extended(error).map(|code| code & 0xff)
}

fn message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |e| e.message().to_owned())
}

fn classify(error: &sqlx::Error) -> StoreError {
    if extended(error) == Some(IO_SHM_SIZE) {
        return StoreError::Full;
    }
    match code(error) {
        Some(FULL) => StoreError::Full,
        Some(BUSY | LOCKED) => StoreError::Busy,
        Some(CORRUPT | NOT_A_DATABASE) => StoreError::corrupt(Path::new(super::DB_FILE), message(error)),
        Some(PERM | READ_ONLY | IO | CANNOT_OPEN) => {
            StoreError::Io { doing: "use its database".to_owned(), why: message(error) }
        }
        _ => match error {
            sqlx::Error::Io(e) => StoreError::io("use its database", e),
            _ => StoreError::Database(message(error)),
        },
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        classify(&error)
    }
}
