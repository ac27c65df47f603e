//! What alerting reads back: the desk and the boards at a start, incidents that were, and the end of what is too old.

use std::collections::BTreeMap;

use futures::{TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::{QueryBuilder, Row, Sqlite, sqlite::SqliteRow};

use super::{Store, StoreError, from_json, micros};
use crate::{
    alerts::{Page, Restored, Storm},
    domain::{Incident, IncidentEvent, IncidentId},
};

/// The most events of one incident that are read, the last ones.
const EVENTS: i64 = 1000;
/// How many incidents one transaction of a sweep takes, so that nobody waits for long.
const SWEPT: i64 = 500;

/// The incidents that one transaction of a sweep forgets; the newest number stays.
const WHICH: &str =
    "(SELECT id FROM incidents WHERE resolved_at <= $1 AND id < (SELECT MAX(id) FROM incidents))";

/// What of the incidents that were is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Only this customer's.
    pub customer: Option<String>,
    /// Only those that were open at or after this time.
    pub since: Option<Timestamp>,
    /// Only those that began before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest first.
    pub most: u32,
}

/// What stands in one chat.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptBoard {
    /// The cards.
    pub pages: Vec<Page>,
    /// The storms' cards, oldest first.
    pub storms: Vec<Storm>,
}

impl Store {
    /// The desk as it was kept: open incidents, those resolved since `since` whose end some card does not show yet, their
    /// alerts, and the silences that end after `since`.
    ///
    /// # Errors
    /// The database's.
    pub async fn alerts_restore(&self, since: Timestamp) -> Result<Restored, StoreError> {
        let mut db = self.0.db.read().await?;
        let incidents = sqlx::query(
            "SELECT id, body FROM incidents WHERE resolved_at IS NULL UNION ALL \
             SELECT id, body FROM incidents WHERE resolved_at >= $1 AND EXISTS \
             (SELECT 1 FROM pages p WHERE p.incident = id AND p.shown < revision) ORDER BY id",
        );
        let incidents = read_each(incidents.bind(micros(since)).fetch(db.conn()?), "incident").await?;
        let alerts = sqlx::query(
            "SELECT a.incident, a.body FROM incidents i CROSS JOIN alerts a ON a.incident = i.id \
             WHERE i.resolved_at IS NULL UNION ALL \
             SELECT a.incident, a.body FROM incidents i CROSS JOIN alerts a ON a.incident = i.id \
             WHERE i.resolved_at >= $1 AND EXISTS \
             (SELECT 1 FROM pages p WHERE p.incident = i.id AND p.shown < i.revision)",
        );
        let alerts = alerts.bind(micros(since)).fetch(db.conn()?);
        let alerts = read_each(alerts, "an alert of incident").await?;
        let silences = sqlx::query("SELECT id, body FROM silences WHERE ends_at > $1 ORDER BY id");
        let silences = read_each(silences.bind(micros(since)).fetch(db.conn()?), "silence").await?;
        let last = sqlx::query("SELECT (SELECT MAX(id) FROM incidents), (SELECT MAX(id) FROM silences)")
            .fetch_one(db.conn()?)
            .await?;
        Ok(Restored {
            incidents,
            alerts,
            silences,
            last_incident: last.try_get::<Option<i64>, _>(0)?.unwrap_or(0),
            last_silence: last.try_get::<Option<i64>, _>(1)?.unwrap_or(0),
        })
    }

    /// The boards by place: cards of incidents that are open or were resolved since `since`, storms that last or are the
    /// newest of their place.
    ///
    /// # Errors
    /// The database's.
    pub async fn boards(&self, since: Timestamp) -> Result<BTreeMap<String, KeptBoard>, StoreError> {
        let mut db = self.0.db.read().await?;
        let pages = sqlx::query(
            "SELECT p.incident, p.body, p.place FROM incidents i CROSS JOIN pages p ON p.incident = i.id \
             WHERE i.resolved_at IS NULL UNION ALL \
             SELECT p.incident, p.body, p.place FROM incidents i CROSS JOIN pages p ON p.incident = i.id \
             WHERE i.resolved_at >= $1",
        )
        .bind(micros(since))
        .fetch_all(db.conn()?)
        .await?;
        let storms = sqlx::query(
            "SELECT first, body, place FROM storms s WHERE NOT over OR \
             first = (SELECT MAX(first) FROM storms o WHERE o.place = s.place) ORDER BY first",
        )
        .fetch_all(db.conn()?)
        .await?;
        let mut boards: BTreeMap<String, KeptBoard> = BTreeMap::new();
        for (page, row) in read::<Page>(&pages, "a card of incident")?.into_iter().zip(&pages) {
            boards.entry(row.try_get(2)?).or_default().pages.push(page);
        }
        for (storm, row) in read::<Storm>(&storms, "the storm from incident")?.into_iter().zip(&storms) {
            boards.entry(row.try_get(2)?).or_default().storms.push(storm);
        }
        Ok(boards)
    }

    /// Incidents, open or not, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn incidents(&self, query: &IncidentQuery) -> Result<Vec<Incident>, StoreError> {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT id, body FROM incidents WHERE TRUE");
        if let Some(customer) = &query.customer {
            sql.push(" AND customer = ").push_bind(customer.as_str());
        }
        if let Some(since) = query.since {
            sql.push(" AND (resolved_at IS NULL OR resolved_at >= ").push_bind(micros(since)).push(")");
        }
        if let Some(until) = query.until {
            sql.push(" AND opened_at < ").push_bind(micros(until));
        }
        sql.push(" ORDER BY id DESC LIMIT ").push_bind(query.most);
        let mut db = self.0.db.read().await?;
        let rows = sql.build().fetch_all(db.conn()?).await?;
        read(&rows, "incident")
    }

    /// An incident, open or not, and what happened to it, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn incident_story(
        &self,
        id: IncidentId,
    ) -> Result<Option<(Incident, Vec<IncidentEvent>)>, StoreError> {
        let mut db = self.0.db.read().await?;
        let incident = sqlx::query("SELECT id, body FROM incidents WHERE id = $1")
            .bind(id.0)
            .fetch_all(db.conn()?)
            .await?;
        let Some(incident) = read(&incident, "incident")?.pop() else { return Ok(None) };
        let mut events = sqlx::query(
            "SELECT incident, body FROM incident_events WHERE incident = $1 ORDER BY seq DESC LIMIT $2",
        )
        .bind(id.0)
        .bind(EVENTS)
        .fetch_all(db.conn()?)
        .await?;
        events.reverse();
        Ok(Some((incident, read(&events, "an event of incident")?)))
    }

    /// Forgets incidents that were resolved before `before`, with all that hangs on them, and silences that ended before
    /// it. The newest number stays, so that none is given twice. Gives how many incidents that were.
    ///
    /// # Errors
    /// The database's; what was forgotten until then stays forgotten.
    pub async fn alerts_sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut swept = 0;
        loop {
            let some = self.sweep_some(before).await?;
            swept += some;
            if some == 0 {
                return Ok(swept);
            }
        }
    }

    async fn sweep_some(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query("DELETE FROM silences WHERE ends_at < $1 AND id < (SELECT MAX(id) FROM silences)")
            .bind(micros(before))
            .execute(tx.conn()?)
            .await?;
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT MAX(resolved_at) FROM (SELECT resolved_at FROM incidents WHERE resolved_at < $1 \
             AND id < (SELECT MAX(id) FROM incidents) ORDER BY resolved_at LIMIT $2)",
        )
        .bind(micros(before))
        .bind(SWEPT)
        .fetch_one(tx.conn()?)
        .await?;
        let Some(last) = last else {
            tx.commit().await?;
            return Ok(0);
        };
        for table in ["alerts", "incident_events", "pages"] {
            sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE incident IN {WHICH}")))
                .bind(last)
                .execute(tx.conn()?)
                .await?;
        }
        sqlx::query("DELETE FROM storms WHERE over AND last < (SELECT MIN(incident) FROM pages)")
            .execute(tx.conn()?)
            .await?;
        let done = sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM incidents WHERE id IN {WHICH}")))
            .bind(last)
            .execute(tx.conn()?)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

/// The bodies of rows that begin with a number and a body.
fn read<T: DeserializeOwned>(rows: &[SqliteRow], what: &str) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| body(row, what)).collect()
}

/// As [`read`], without holding more than one row besides what becomes of it.
async fn read_each<T: DeserializeOwned>(
    mut rows: BoxStream<'_, Result<SqliteRow, sqlx::Error>>,
    what: &str,
) -> Result<Vec<T>, StoreError> {
    let mut all = Vec::new();
    while let Some(row) = rows.try_next().await? {
        all.push(body(&row, what)?);
    }
    Ok(all)
}

fn body<T: DeserializeOwned>(row: &SqliteRow, what: &str) -> Result<T, StoreError> {
    let id: i64 = row.try_get(0)?;
    from_json(row.try_get(1)?, || format!("{what} {id}"))
}
