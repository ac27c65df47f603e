//! The files: private, owned by one process, untouched when they are not usable, whole when the disk is full.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::store::StoreError;

/// Every file's bytes, without the lock file (which holds the pid).
fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .filter(|(name, _)| name != "opsbot.lock")
        .collect()
}

async fn sound(dir: &Path) {
    let store = open(dir).await;
    store
        .commit_turn(&conv(), &[user(&"x".repeat(50_000))], vec![entry(AuditKind::Read, "x")], None)
        .await
        .unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let clone = store.clone();
    let second = Store::open(dir.path(), key()).await.unwrap_err();
    assert_eq!(second, StoreError::Locked { pid: Some(std::process::id()), dir: dir.path().to_owned() });
    assert!(second.to_string().contains(&format!("pid {}", std::process::id())), "{second}");
    store.close().await.unwrap();
    assert_eq!(clone.audit_head().await, Err(StoreError::Closed));
    assert_eq!(clone.close().await, Err(StoreError::Closed));
    let third = open(dir.path()).await;
    assert_eq!(third.health().await.unwrap().audit_rows, 0);
}

#[tokio::test]
async fn everything_is_private() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/state");
    let store = open(&dir).await;
    store.audit(entry(AuditKind::Read, "x")).await.unwrap();
    store.witness_due(at(0)).await.unwrap();
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(dir.parent().unwrap())), (0o700, 0o700));
    let names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    for name in &names {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    assert!(names.contains(&"opsbot.db-wal".to_owned()) && names.len() == 5, "{names:?}");
    store.close().await.unwrap();
    fs::set_permissions(dir.join(DB_FILE), fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&dir).await;
    assert_eq!(mode(&dir.join(DB_FILE)), 0o600);
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_left_as_it_is() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 6] = [
        ("it is empty", |db| fs::write(db, "").unwrap()),
        ("does not begin like", |db| fs::write(db, "hello, world: no database at all").unwrap()),
        ("does not begin like", |db| fs::write(db, "SQLite").unwrap()),
        ("", |db| {
            let bytes = fs::read(db).unwrap();
            fs::write(db, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("", |db| {
            let mut bytes = fs::read(db).unwrap();
            bytes[4096..8192].fill(0x5a);
            fs::write(db, bytes).unwrap();
        }),
        ("not a file", |db| {
            fs::remove_file(db).unwrap();
            fs::create_dir(db).unwrap();
        }),
    ];
    for (why, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        sound(dir.path()).await;
        let db = dir.path().join(DB_FILE);
        damage(&db);
        let look = || if db.is_file() { snapshot(dir.path()) } else { BTreeMap::new() };
        let before = look();
        let found = Store::open(dir.path(), key()).await.unwrap_err();
        assert!(matches!(&found, StoreError::Corrupt { path, .. } if *path == db), "{why}: {found:?}");
        assert!(found.to_string().contains(why) && found.to_string().contains("left as it is"), "{found}");
        assert_eq!(look(), before, "{why}");
    }
}

#[tokio::test]
async fn another_schema_is_left_as_it_is() {
    for (sql, newer) in [
        (
            "INSERT INTO _sqlx_migrations SELECT 999, 'later', installed_on, success, checksum, 0 FROM _sqlx_migrations LIMIT 1",
            true,
        ),
        ("UPDATE _sqlx_migrations SET checksum = x'00'", false),
        ("DROP TABLE _sqlx_migrations", false),
    ] {
        // With a log that a killed process left, and without one.
        for log in [false, true] {
            let (dir, made) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            sound(made.path()).await;
            let mut conn = raw(made.path()).await;
            sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
            if log {
                for name in ["opsbot.db", "opsbot.db-wal"] {
                    fs::copy(made.path().join(name), dir.path().join(name)).unwrap();
                }
                conn.close().await.unwrap();
            } else {
                conn.close().await.unwrap();
                fs::copy(made.path().join(DB_FILE), dir.path().join(DB_FILE)).unwrap();
            }
            let before = snapshot(dir.path());
            assert_eq!(before.len(), if log { 2 } else { 1 });
            let found = Store::open(dir.path(), key()).await.unwrap_err();
            match &found {
                StoreError::Newer { found: 999, known, .. } => assert!(newer && *known < 999),
                StoreError::Corrupt { .. } => assert!(!newer, "{sql}: {found}"),
                _ => panic!("{sql}: {found:?}"),
            }
            assert_eq!(snapshot(dir.path()), before, "{sql}, log {log}");
        }
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_not_replayed_onto_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("opsbot.db-wal"), "left behind").unwrap();
    let found = Store::open(dir.path(), key()).await.unwrap_err();
    assert!(matches!(found, StoreError::Corrupt { .. }), "{found:?}");
    assert_eq!(snapshot(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_start_that_was_killed_while_making_the_file_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("opsbot.db.new"), "half of it").unwrap();
    fs::write(dir.path().join("opsbot.db.new-journal"), "half of it").unwrap();
    sound(dir.path()).await;
    let names: Vec<_> = snapshot(dir.path()).into_keys().collect();
    assert_eq!(names, ["audit.head", "opsbot.db"]);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.approval_insert(&approval(1), &|_| false, entry(AuditKind::Asked, "asked")).await.unwrap();
    let id = store.inbox_put(&inbound("hello"), at(1)).await.unwrap();
    let before = store.audit_head().await.unwrap();
    // As many pages as there are now.
    store.pragma("PRAGMA max_page_count = 1").await;
    let big = user(&"x".repeat(1 << 20));
    let audit = || vec![entry(AuditKind::Read, "x")];
    for _ in 0..3 {
        let turn = store.commit_turn(&conv(), std::slice::from_ref(&big), audit(), Some((id, at(2)))).await;
        assert_eq!(turn, Err(StoreError::Full));
        assert_eq!(store.inbox_put(&inbound(&"y".repeat(1 << 20)), at(2)).await, Err(StoreError::Full));
    }
    assert_eq!(store.inbox_open().await.unwrap().len(), 1);
    assert_eq!(store.audit_head().await.unwrap(), before);
    store.pragma("PRAGMA max_page_count = 1000000").await;
    store.commit_turn(&conv(), &[big], audit(), Some((id, at(2)))).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert!(store.inbox_open().await.unwrap().is_empty());
    assert_eq!(store.history(&conv()).await.unwrap().len(), 1);
    assert_eq!(store.approvals_pending().await.unwrap(), [approval(1)]);
    let report = store.audit_verify(&[]).await.unwrap();
    assert!(report.integrity && report.rows == 2, "{report:?}");
}

#[tokio::test]
async fn figures_are_those_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.inbox_put(&inbound("x"), at(1)).await.unwrap();
    for _ in 0..3 {
        store.ping_commit().await.unwrap();
    }
    let health = store.health().await.unwrap();
    assert!(health.bytes >= 4096 && health.wal_bytes > 0, "{health:?}");
    assert!(health.free_disk_bytes.is_some_and(|b| b > 0), "{health:?}");
    assert_eq!((health.inbox_open, health.history_rows, health.approvals_pending), (1, 0, 0));
    let mode: (String, i64) = {
        let mut db = store.0.db.read().await.unwrap();
        let conn = db.conn().unwrap();
        let journal = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *conn).await.unwrap();
        (journal, sqlx::query_scalar("PRAGMA synchronous").fetch_one(conn).await.unwrap())
    };
    assert_eq!(mode, ("wal".to_owned(), 2), "every commit is on the disk when it returns");
}
