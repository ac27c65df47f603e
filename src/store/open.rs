//! Opening the file: looked at without touching it, made whole or not at all, then migrated.

use std::path::{Path, PathBuf};

use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection, migrate::MigrateError, migrate::Migrator,
    sqlite::SqliteConnectOptions,
};

use super::{DB_FILE, StoreError, db, files};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// What every SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Above this size (bytes) only the tables other than the audit are checked page by page at the start.
const FULL_CHECK: u64 = 256 << 20;
/// The tables without which nothing safe can be done.
const VITAL: [&str; 5] = [
    "PRAGMA quick_check('meta')",
    "PRAGMA quick_check('inbox')",
    "PRAGMA quick_check('outbox')",
    "PRAGMA quick_check('history')",
    "PRAGMA quick_check('approvals')",
];

/// Opens the database in `dir`, or makes it; the directory must be locked.
pub(super) async fn file(dir: &Path) -> Result<SqliteConnection, StoreError> {
    let path = dir.join(DB_FILE);
    if files::exists(&path)? {
        inspect(&path).await?;
        files::make_private(&path)?;
        let mut conn = connect(db::writer(&path), &path).await?;
        version(&mut conn, &path).await?;
        migrate(&mut conn, &path).await?;
        Ok(conn)
    } else {
        for suffix in ["-wal", "-journal"] {
            let left = files::beside(&path, suffix);
            if files::size(&left) > 0 {
                let why = format!("it is missing, but its {} is there", left.display());
                return Err(StoreError::corrupt(&path, why));
            }
        }
        create(dir, &path).await?;
        connect(db::writer(&path), &path).await
    }
}

/// An empty database that lives as long as its connection.
pub(super) async fn memory() -> Result<SqliteConnection, StoreError> {
    let path = Path::new(":memory:");
    let mut conn = connect(SqliteConnectOptions::new().in_memory(true), path).await?;
    migrate(&mut conn, path).await?;
    Ok(conn)
}

/// Makes the database under another name and renames it, so that a kill leaves all of it or nothing.
async fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let new = files::beside(path, ".new");
    for suffix in ["-wal", "-shm", "-journal"] {
        files::remove(&files::beside(&new, suffix))?;
    }
    files::fresh(&new)?;
    let mut conn = connect(db::writer(&new), &new).await?;
    migrate(&mut conn, &new).await?;
    conn.close().await?;
    std::fs::rename(&new, path).map_err(|e| StoreError::io(format!("make {}", path.display()), &e))?;
    files::sync_dir(dir)
}

async fn connect(options: SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, StoreError> {
    options.disable_statement_logging().connect().await.map_err(|e| StoreError::of_file(&e, path))
}

async fn migrate(conn: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    MIGRATIONS.run_direct(None, conn, false).await.map_err(|error| match error {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => StoreError::of_file(&e, path),
        other => StoreError::corrupt(path, other.to_string()),
    })
}

/// Finds out whether the file at `path` is a sound store of this or an earlier version; changes nothing.
async fn inspect(path: &Path) -> Result<(), StoreError> {
    header(path)?;
    if files::size(&files::beside(path, "-journal")) > 0 {
        // Nothing can be read before SQLite has rolled this back, and we never leave one: somebody switched the
        // journal mode by hand. SQLite's recovery is the right cure; the version is looked at after it.
        return Ok(());
    }
    let wal = files::size(&files::beside(path, "-wal")) > 0;
    let shm = files::beside(path, "-shm");
    let had_shm = files::exists(&shm)?;
    // Without a log the file is complete and can be read with no lock and no side file at all. With one, reading
    // needs the shared index; it is derived from the log and removed again if it was not there.
    let options = db::options(path).read_only(true).immutable(!wal);
    let found = read_only(options, path).await;
    if wal && !had_shm {
        files::remove(&shm)?;
    }
    found
}

fn header(path: &Path) -> Result<(), StoreError> {
    let io = |e: std::io::Error| StoreError::io(format!("read {}", path.display()), &e);
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(StoreError::corrupt(path, "it is not a file"));
    }
    let mut begin = Vec::with_capacity(MAGIC.len());
    let file = std::fs::File::open(path).map_err(io)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAGIC.len() as u64), &mut begin).map_err(io)?;
    match begin.as_slice() {
        MAGIC => Ok(()),
        [] => Err(StoreError::corrupt(path, "it is empty")),
        _ => Err(StoreError::corrupt(path, "it does not begin like an SQLite file")),
    }
}

async fn read_only(options: SqliteConnectOptions, path: &Path) -> Result<(), StoreError> {
    let mut conn = connect(options, path).await?;
    let found = match quick_check(&mut conn, path).await {
        Ok(()) => version(&mut conn, path).await,
        bad => bad,
    };
    conn.close().await.map_err(|e| StoreError::of_file(&e, path))?;
    found
}

async fn quick_check(conn: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let checks: &[&'static str] =
        if files::size(path) <= FULL_CHECK { &["PRAGMA quick_check(1)"] } else { &VITAL };
    for check in checks {
        let said: String = sqlx::query_scalar(*check)
            .fetch_one(&mut *conn)
            .await
            .map_err(|e| StoreError::of_file(&e, path))?;
        if said != "ok" {
            return Err(StoreError::corrupt(path, said.replace('\n', " ")));
        }
    }
    Ok(())
}

async fn version(conn: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let of_file = |e: sqlx::Error| StoreError::of_file(&e, path);
    let ours: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *conn)
        .await
        .map_err(of_file)?;
    if ours == 0 {
        return Err(StoreError::corrupt(path, "it is another program's database"));
    }
    let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations ORDER BY version DESC")
        .fetch_all(&mut *conn)
        .await
        .map_err(of_file)?;
    for row in rows {
        let found: i64 = row.try_get(0).map_err(of_file)?;
        let sum: Vec<u8> = row.try_get(1).map_err(of_file)?;
        if found > known {
            return Err(StoreError::Newer { path: path.to_owned(), found, known });
        }
        if !MIGRATIONS.iter().any(|m| m.version == found && *m.checksum == *sum) {
            let why = format!("its schema {found} was made by an unreleased build");
            return Err(StoreError::corrupt(path, why));
        }
    }
    Ok(())
}

/// The size in bytes of the database in `dir` and of its write-ahead log.
pub(super) fn sizes(dir: &Path) -> (u64, u64) {
    let path: PathBuf = dir.join(DB_FILE);
    (files::size(&path), files::size(&files::beside(&path, "-wal")))
}
