//! The audit: whatever was done to it past the store is found, and told apart.

use super::*;
use crate::store::{AuditReport, Completeness, StoreError};

async fn filled(dir: &Path, rows: i64) -> Store {
    let store = open(dir).await;
    let entries = (1..=rows).map(|i| entry(AuditKind::Read, &format!("row {i}"))).collect();
    store.commit_turn(&conv(), &[], entries, None).await.unwrap();
    store
}

fn report(rows: u64, first_bad: Option<i64>, completeness: Completeness) -> AuditReport {
    AuditReport { rows, first_bad, integrity: first_bad.is_none(), completeness }
}

#[tokio::test]
async fn an_untouched_audit_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 1500).await;
    let head = store.audit_head().await.unwrap();
    assert_eq!(head.0, 1500);
    assert_eq!(store.audit_verify(&[]).await.unwrap(), report(1500, None, Completeness::NoWitness));
    let told = [head.clone()];
    assert_eq!(store.audit_verify(&told).await.unwrap(), report(1500, None, Completeness::Complete));
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.audit_verify(&[]).await.unwrap(), report(1500, None, Completeness::Complete));
    assert_eq!(store.audit_head().await.unwrap(), head);
    let tail = store.audit_tail(2).await.unwrap();
    assert_eq!(
        tail,
        [(1499, entry(AuditKind::Read, "row 1499")), (1500, entry(AuditKind::Read, "row 1500"))]
    );
    assert_eq!(memory().await.audit_verify(&[]).await.unwrap(), report(0, None, Completeness::NoWitness));
}

#[tokio::test]
async fn rows_can_be_neither_changed_nor_removed_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await.close().await.unwrap();
    let mut conn = raw(dir.path()).await;
    for sql in
        ["UPDATE audit SET at = 0 WHERE seq = 2", "DELETE FROM audit", "DELETE FROM audit WHERE seq = 3"]
    {
        let found = sqlx::raw_sql(sql).execute(&mut conn).await.unwrap_err().to_string();
        assert!(found.contains("append-only"), "{sql}: {found}");
    }
}

#[tokio::test]
async fn tampering_is_found_and_told_apart() {
    let missing = |found| Completeness::MissingTail { expected: 10, found };
    for (sql, expected) in [
        (
            "UPDATE audit SET body = replace(body, 'row 4', 'row 5') WHERE seq = 4",
            report(10, Some(4), Completeness::Complete),
        ),
        (
            "UPDATE audit SET mac = replace(mac, 'a', 'b') WHERE seq = 4",
            report(10, Some(4), Completeness::Complete),
        ),
        ("UPDATE audit SET mac = 'x' WHERE seq = 10", report(10, Some(10), Completeness::Complete)),
        ("UPDATE audit SET at = at + 1 WHERE seq = 6", report(10, Some(6), Completeness::Complete)),
        ("UPDATE audit SET kind = 'daemon' WHERE seq = 7", report(10, Some(7), Completeness::Complete)),
        ("UPDATE audit SET body = x'00ff' WHERE seq = 8", report(10, Some(8), Completeness::Complete)),
        ("DELETE FROM audit WHERE seq = 5", report(9, Some(5), Completeness::Complete)),
        ("DELETE FROM audit WHERE seq < 3", report(8, Some(1), Completeness::Complete)),
        ("DELETE FROM audit WHERE seq > 7", report(7, None, missing(7))),
        ("DELETE FROM audit WHERE seq IN (2, 10)", report(8, Some(2), missing(9))),
        ("DELETE FROM audit", report(0, None, missing(0))),
        (
            "INSERT INTO audit SELECT 11, at, kind, body, mac FROM audit WHERE seq = 10",
            report(11, Some(11), Completeness::Complete),
        ),
        (
            "INSERT INTO audit SELECT -1, at, kind, body, mac FROM audit WHERE seq = 1",
            report(11, Some(-1), Completeness::Complete),
        ),
        ("UPDATE audit SET seq = seq + 100 WHERE seq > 8", report(10, Some(9), Completeness::Complete)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 10).await.close().await.unwrap();
        tamper(dir.path(), "DROP TRIGGER audit_keeps_rows; DROP TRIGGER audit_keeps_text").await;
        tamper(dir.path(), sql).await;
        let store = open(dir.path()).await;
        assert_eq!(store.audit_verify(&[]).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn a_cut_tail_stays_known_when_the_audit_grows_again() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10).await.close().await.unwrap();
    tamper(dir.path(), "DROP TRIGGER audit_keeps_rows; DELETE FROM audit WHERE seq > 5").await;
    let store = open(dir.path()).await;
    assert_eq!(store.witness_due(at(0)).await.unwrap().unwrap().0, 5, "told at once");
    let expected = Completeness::MissingTail { expected: 10, found: 5 };
    assert_eq!(store.audit_verify(&[]).await.unwrap(), report(5, None, expected));
    let entries = (0..9).map(|_| entry(AuditKind::Read, "new")).collect();
    store.commit_turn(&conv(), &[], entries, None).await.unwrap();
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    let found = store.audit_verify(&[]).await.unwrap();
    assert_eq!(found, report(14, Some(10), Completeness::Complete), "row 10 is not the one that was told");
}

#[tokio::test]
async fn another_key_is_refused_and_forged_rows_do_not_pass() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await.close().await.unwrap();
    let other = AuditKey::from_bytes(&[8; 32]).unwrap();
    let found = Store::open(dir.path(), other.clone()).await;
    assert!(matches!(&found, Err(StoreError::Key(text)) if text.contains("another")), "{found:?}");
    tamper(dir.path(), "DELETE FROM meta WHERE name = 'audit_key'").await;
    let forger = Store::open(dir.path(), other).await.unwrap();
    assert_eq!(forger.audit_verify(&[]).await.unwrap().first_bad, Some(1));
    forger.audit(entry(AuditKind::Read, "forged")).await.unwrap();
    forger.close().await.unwrap();
    tamper(dir.path(), "DELETE FROM meta WHERE name = 'audit_key'").await;
    assert_eq!(open(dir.path()).await.audit_verify(&[]).await.unwrap().first_bad, Some(4));
}

#[tokio::test]
async fn the_head_is_told_after_64_rows_or_5_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let rows = async |n: usize| {
        let entries = (0..n).map(|_| entry(AuditKind::Read, "x")).collect();
        store.commit_turn(&conv(), &[], entries, None).await.unwrap();
    };
    let due = async |s| store.witness_due(at(s)).await.unwrap().map(|(seq, _)| seq);
    assert_eq!(due(0).await, None, "nothing to tell");
    rows(1).await;
    assert_eq!(due(0).await, Some(1), "the first of a process");
    assert_eq!(due(999).await, None, "nothing new");
    rows(63).await;
    assert_eq!(due(299).await, None);
    assert_eq!(due(300).await, Some(64));
    rows(64).await;
    assert_eq!(due(301).await, Some(128));
    rows(1).await;
    assert_eq!(due(302).await, None);
    let text = std::fs::read_to_string(dir.path().join("audit.head")).unwrap();
    let told: Vec<_> = text.lines().map(|l| l.split_once(' ').unwrap().0).collect();
    assert_eq!(told, ["1", "64", "128"]);
}

#[tokio::test]
async fn a_torn_line_of_the_witness_file_is_none() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await.close().await.unwrap();
    let path = dir.path().join("audit.head");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("9999 0123");
    std::fs::write(&path, text).unwrap();
    let store = filled(dir.path(), 4).await;
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.audit_verify(&[]).await.unwrap(), report(7, None, Completeness::Complete));
    let told = std::fs::read_to_string(&path).unwrap();
    assert_eq!(told.lines().count(), 3, "{told}");
}
