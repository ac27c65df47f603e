//! The desk's and the boards' rows: written in groups, one commit for all that waited.

use serde::Serialize;
use sqlx::{QueryBuilder, Sqlite, query_builder::Separated};

use super::{Store, StoreError, db::Tx, micros, to_json};
use crate::{
    alerts::BoardRow,
    domain::{Alert, AuditEntry, Incident, IncidentEvent, Silence},
};

/// How many rows one statement writes; each size is prepared once and kept. Values that are bound cost a third of what
/// `json_each` over one text costs.
const CHUNKS: [usize; 3] = [256, 16, 1];

/// What one commit writes for alerting. Each row is whole and replaces what was there; a table has each row once.
#[derive(Debug, Default)]
pub struct AlertRows<'a> {
    /// Incidents, new or changed.
    pub incidents: Vec<&'a Incident>,
    /// Alerts, new or changed.
    pub alerts: Vec<&'a Alert>,
    /// Silences, new or changed.
    pub silences: Vec<&'a Silence>,
    /// What happened; always added.
    pub events: Vec<&'a IncidentEvent>,
    /// What stands in which chat.
    pub boards: Vec<(&'a str, &'a BoardRow)>,
    /// Audit rows; always added.
    pub audit: Vec<&'a AuditEntry>,
}

/// How a table takes a row.
struct Table {
    insert: &'static str,
    conflict: &'static str,
}

const INCIDENTS: Table = Table {
    insert: "INSERT INTO incidents (id, customer, revision, opened_at, resolved_at, body) ",
    conflict: " ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, resolved_at = excluded.resolved_at, \
               customer = excluded.customer, opened_at = excluded.opened_at, body = excluded.body",
};
const ALERTS: Table = Table {
    insert: "INSERT INTO alerts (incident, fingerprint, body) ",
    conflict: " ON CONFLICT (incident, fingerprint) DO UPDATE SET body = excluded.body",
};
const SILENCES: Table = Table {
    insert: "INSERT INTO silences (id, ends_at, body) ",
    conflict: " ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at, body = excluded.body",
};
const EVENTS: Table = Table { insert: "INSERT INTO incident_events (incident, body) ", conflict: "" };
const PAGES: Table = Table {
    insert: "INSERT INTO pages (place, incident, shown, body) ",
    conflict: " ON CONFLICT (place, incident) DO UPDATE SET shown = excluded.shown, body = excluded.body",
};
const STORMS: Table = Table {
    insert: "INSERT INTO storms (place, first, last, over, body) ",
    conflict: " ON CONFLICT (place, first) DO UPDATE SET last = excluded.last, over = excluded.over, \
               body = excluded.body",
};

impl Store {
    /// Writes a group in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Full`] and the database's; nothing of the group was kept.
    pub async fn alerts_commit(&self, rows: &AlertRows<'_>) -> Result<(), StoreError> {
        // The texts are made before the connection is taken, so that nobody waits for them.
        let texts = Texts::of(rows)?;
        let mut tx = self.0.db.begin().await?;
        write(&mut tx, rows, texts).await?;
        for entry in &rows.audit {
            self.append_audit(&mut tx, entry).await?;
        }
        tx.commit().await
    }
}

/// The rows' bodies.
struct Texts {
    incidents: Vec<String>,
    alerts: Vec<String>,
    silences: Vec<String>,
    events: Vec<String>,
}

impl Texts {
    fn of(rows: &AlertRows<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            incidents: bodies(&rows.incidents)?,
            alerts: bodies(&rows.alerts)?,
            silences: bodies(&rows.silences)?,
            events: bodies(&rows.events)?,
        })
    }
}

fn bodies(rows: &[impl Serialize]) -> Result<Vec<String>, StoreError> {
    let mut room = 0;
    let body = |row| {
        // Rows of a table are of much the same length: room for the last one saves growing.
        let mut text = Vec::with_capacity(room);
        serde_json::to_writer(&mut text, row).map_err(|e| StoreError::Database(e.to_string()))?;
        room = text.len() + text.len() / 8;
        String::from_utf8(text).map_err(|e| StoreError::Database(e.to_string()))
    };
    rows.iter().map(body).collect()
}

async fn write(tx: &mut Tx<'_>, rows: &AlertRows<'_>, texts: Texts) -> Result<(), StoreError> {
    put(tx, &INCIDENTS, &rows.incidents, texts.incidents, |row, incident, body| {
        row.push_bind(incident.id.0)
            .push_bind(incident.subject.customer.as_ref().map(|customer| customer.as_str()))
            .push_bind(incident.revision.cast_signed())
            .push_bind(micros(incident.opened_at))
            .push_bind(incident.resolved_at.map(micros))
            .push_bind(body);
    })
    .await?;
    put(tx, &ALERTS, &rows.alerts, texts.alerts, |row, alert, body| {
        row.push_bind(alert.incident.0).push_bind(alert.fingerprint.0.cast_signed()).push_bind(body);
    })
    .await?;
    put(tx, &SILENCES, &rows.silences, texts.silences, |row, silence, body| {
        row.push_bind(silence.id.0).push_bind(micros(silence.ends_at)).push_bind(body);
    })
    .await?;
    put(tx, &EVENTS, &rows.events, texts.events, |row, event, body| {
        row.push_bind(event.incident.0).push_bind(body);
    })
    .await?;
    write_boards(tx, &rows.boards).await
}

async fn write_boards(tx: &mut Tx<'_>, boards: &[(&str, &BoardRow)]) -> Result<(), StoreError> {
    let (mut pages, mut storms) = (Vec::new(), Vec::new());
    for (place, row) in boards {
        match row {
            BoardRow::Page(page) => pages.push((*place, page)),
            BoardRow::Storm(storm) => storms.push((*place, storm)),
        }
    }
    let texts = pages.iter().map(|(_, page)| to_json(page)).collect::<Result<_, _>>()?;
    put(tx, &PAGES, &pages, texts, |row, (place, page), body| {
        row.push_bind(*place).push_bind(page.incident.0).push_bind(page.shown.cast_signed()).push_bind(body);
    })
    .await?;
    let texts = storms.iter().map(|(_, storm)| to_json(storm)).collect::<Result<_, _>>()?;
    put(tx, &STORMS, &storms, texts, |row, (place, storm), body| {
        row.push_bind(*place)
            .push_bind(storm.first.0)
            .push_bind(storm.last.0)
            .push_bind(storm.over)
            .push_bind(body);
    })
    .await
}

/// Writes rows with their bodies, as many as possible with each statement.
async fn put<T>(
    tx: &mut Tx<'_>,
    table: &Table,
    rows: &[T],
    bodies: Vec<String>,
    mut bind: impl FnMut(&mut Separated<'_, Sqlite, &'static str>, &T, String),
) -> Result<(), StoreError> {
    let mut left = rows.iter().zip(bodies);
    for size in CHUNKS {
        while left.len() >= size {
            let mut query = QueryBuilder::<Sqlite>::new(table.insert);
            query.push_values(left.by_ref().take(size), |mut row, (value, body)| bind(&mut row, value, body));
            query.push(table.conflict);
            query.build().execute(tx.conn()?).await?;
        }
    }
    Ok(())
}
