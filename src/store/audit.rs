//! The audit: rows chained by HMAC, so that an altered, removed or inserted one shows.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError, db::Tx, from_json, micros};
use crate::domain::{
    AuditEntry,
    tool::{canonical, hex},
};

/// What the first row is chained to.
const GENESIS: [u8; 32] = [0; 32];
/// How many rows are read at a time, so that verification keeps nobody waiting.
const CHUNK: i64 = 512;

/// What [`Store::audit_verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Rows that are there.
    pub rows: u64,
    /// The first number whose row is altered, missing, or other than its witness says.
    pub first_bad: Option<i64>,
    /// Every row that is there is chained as it was written.
    pub integrity: bool,
    /// Whether rows were cut off the end.
    pub completeness: Completeness,
}

/// Whether the end of the audit is there; a chain alone cannot tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Everything up to the last witness is there.
    Complete,
    /// Rows that a witness saw are gone.
    MissingTail {
        /// The last number that a witness saw.
        expected: i64,
        /// The last number that is there.
        found: i64,
    },
    /// Nothing outside the database says how far it went.
    NoWitness,
}

impl Store {
    /// Appends one row.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        self.append_audit(&mut tx, &entry).await?;
        tx.commit().await
    }

    /// The last `n` rows, oldest first.
    pub async fn audit_tail(&self, n: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        let mut db = self.0.db.read().await?;
        let mut rows = sqlx::query("SELECT seq, body FROM audit ORDER BY seq DESC LIMIT $1")
            .bind(i64::from(n))
            .fetch_all(db.conn()?)
            .await?;
        rows.reverse();
        let read = |row: &SqliteRow| {
            let seq = row.try_get(0)?;
            Ok((seq, from_json(row.try_get(1)?, || format!("audit row {seq}"))?))
        };
        rows.iter().map(read).collect()
    }

    /// Number and MAC (hexadecimal) of the last row; `(0, zeros)` when there is none.
    pub async fn audit_head(&self) -> Result<(i64, String), StoreError> {
        let mut db = self.0.db.read().await?;
        let row = sqlx::query("SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(db.conn()?)
            .await?;
        match row {
            Some(row) => Ok((row.try_get(0)?, row.try_get(1)?)),
            None => Ok((0, hex(&GENESIS))),
        }
    }

    /// Walks the whole chain as it stands now, and compares it with `witnesses` (number and MAC, as the journal has
    /// them) and with those in `audit.head`.
    pub async fn audit_verify(&self, witnesses: &[(i64, String)]) -> Result<AuditReport, StoreError> {
        let mut seen: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for (seq, mac) in self.witnessed()?.into_iter().chain(witnesses.iter().cloned()) {
            seen.entry(seq).or_default().insert(mac.to_ascii_lowercase());
        }
        let end = self.audit_head().await?.0;
        let mut walk = Walk { prev: GENESIS, last: i64::MIN, next: 1, rows: 0, first_bad: None };
        loop {
            let rows = {
                let mut db = self.0.db.read().await?;
                sqlx::query(
                    "SELECT seq, at, kind, body, mac FROM audit WHERE seq > $1 AND seq <= $2 \
                     ORDER BY seq LIMIT $3",
                )
                .bind(walk.last)
                .bind(end)
                .bind(CHUNK)
                .fetch_all(db.conn()?)
                .await?
            };
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                walk.step(self, row, &seen)?;
            }
        }
        let completeness = match seen.last_key_value() {
            None => Completeness::NoWitness,
            Some((&expected, _)) if expected > end => Completeness::MissingTail { expected, found: end },
            Some(_) => Completeness::Complete,
        };
        let Walk { rows, first_bad, .. } = walk;
        Ok(AuditReport { rows, first_bad, integrity: first_bad.is_none(), completeness })
    }

    /// Appends `entry` inside `tx`.
    pub(super) async fn append_audit(&self, tx: &mut Tx<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
        let last = sqlx::query("SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(tx.conn()?)
            .await?;
        let (seq, prev) = match last {
            None => (1, GENESIS),
            Some(row) => {
                let last: i64 = row.try_get(0)?;
                // After a damaged row the chain goes on from its number; verification points at the damage.
                (last + 1, unhex(row.try_get(1)?).unwrap_or(GENESIS))
            }
        };
        let value = serde_json::to_value(entry).map_err(|e| StoreError::Database(e.to_string()))?;
        let body = canonical(&value);
        let mac = self.chain(&prev, seq, &body);
        sqlx::query("INSERT INTO audit (seq, at, kind, body, mac) VALUES ($1, $2, $3, $4, $5)")
            .bind(seq)
            .bind(micros(entry.at))
            .bind(entry.kind.word())
            .bind(body)
            .bind(hex(&mac))
            .execute(tx.conn()?)
            .await?;
        Ok(())
    }

    fn chain(&self, prev: &[u8; 32], seq: i64, body: &str) -> [u8; 32] {
        self.0.key.mac(&[prev, &seq.to_be_bytes(), body.as_bytes()])
    }

    /// Refuses a key other than the one that the audit was begun with.
    pub(super) async fn check_key(&self) -> Result<(), StoreError> {
        let mark = hex(&self.0.key.mac(&[b"opsbot audit key"]));
        let known: Option<String> = {
            let mut db = self.0.db.read().await?;
            sqlx::query_scalar("SELECT text FROM meta WHERE name = 'audit_key'")
                .fetch_optional(db.conn()?)
                .await?
        };
        match known {
            Some(known) if known == mark => Ok(()),
            Some(_) => Err(StoreError::Key(format!(
                "the audit was begun with another one; restore that (audit.key, or the credential `audit-key`), or \
                 move {} and audit.head aside to begin a new audit",
                super::DB_FILE
            ))),
            None => {
                let mut tx = self.0.db.begin().await?;
                sqlx::query("INSERT INTO meta (name, text) VALUES ('audit_key', $1)")
                    .bind(mark)
                    .execute(tx.conn()?)
                    .await?;
                tx.commit().await
            }
        }
    }
}

struct Walk {
    prev: [u8; 32],
    last: i64,
    next: i64,
    rows: u64,
    first_bad: Option<i64>,
}

impl Walk {
    fn step(
        &mut self,
        store: &Store,
        row: &SqliteRow,
        seen: &BTreeMap<i64, BTreeSet<String>>,
    ) -> Result<(), StoreError> {
        let seq: i64 = row.try_get(0)?;
        // A column that was altered may even hold another type.
        let body: &str = row.try_get(3).unwrap_or_default();
        let mac: &str = row.try_get(4).unwrap_or_default();
        let chained = hex(&store.chain(&self.prev, seq, body)) == mac;
        let columns = from_json::<AuditEntry>(body, String::new).is_ok_and(|entry| {
            row.try_get::<i64, _>(1).is_ok_and(|at| at == micros(entry.at))
                && row.try_get::<&str, _>(2).is_ok_and(|kind| kind == entry.kind.word())
        });
        let witnessed = seen.get(&seq).is_none_or(|macs| macs.iter().all(|m| m == mac));
        if seq != self.next || !chained || !columns || !witnessed {
            self.first_bad.get_or_insert(seq.min(self.next));
        }
        self.prev = unhex(mac).unwrap_or(GENESIS);
        (self.last, self.next) = (seq, seq.saturating_add(1));
        self.rows += 1;
        Ok(())
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
