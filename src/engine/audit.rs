//! The audit as a person reads it.

use super::{Engine, Sink};
use crate::{
    domain::{Block, Level, TurnStatus},
    store::{Completeness, StoreError},
};

impl Engine {
    /// The newest `rows` rows as a table, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn audit_tail(&self, rows: u32, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let tail = self.store().audit_tail(rows.min(1000)).await?;
        let rows = tail
            .into_iter()
            .map(|(seq, e)| {
                let who = e.actor.map_or("-".to_owned(), |a| a.person.to_string());
                vec![
                    seq.to_string(),
                    e.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                    e.kind.to_string(),
                    who,
                    e.summary,
                ]
            })
            .collect();
        let columns = ["row", "UTC", "event", "who", "what"].map(String::from).to_vec();
        sink.block(Block::Table { title: None, columns, rows }).await;
        Ok(TurnStatus::Answered)
    }

    /// Integrity and completeness, separately.
    ///
    /// # Errors
    /// The store's.
    pub async fn audit_verify(&self, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let report = self.store().audit_verify(&[]).await?;
        let integrity = match (report.integrity, report.first_bad) {
            (true, None) => {
                (Level::Info, format!("Integrity: {} rows, each chained as it was written.", report.rows))
            }
            (_, Some(row)) => (Level::Error, format!("Integrity: broken at row {row} of {}.", report.rows)),
            (false, None) => (Level::Error, format!("Integrity: broken, {} rows.", report.rows)),
        };
        let completeness = match report.completeness {
            Completeness::Complete => {
                (Level::Info, "Completeness: everything up to the last witnessed row is there.".to_owned())
            }
            Completeness::MissingTail { expected, found } => (
                Level::Error,
                format!("Completeness: rows after {found} are gone; a witness saw row {expected}."),
            ),
            Completeness::NoWitness => {
                (Level::Warning, "Completeness: unknown; no witness has seen this audit yet.".to_owned())
            }
        };
        let good = integrity.0 != Level::Error && completeness.0 != Level::Error;
        for (level, text) in [integrity, completeness] {
            sink.notice(level, text).await;
        }
        Ok(if good { TurnStatus::Answered } else { TurnStatus::Failed })
    }
}
