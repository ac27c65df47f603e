//! Plain words that led to no tool: once each, counted, the oldest dropped.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::{Store, StoreError, micros, time};

/// The most words that are kept.
const MOST: i64 = 1000;

/// Words that were not understood, and what came nearest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// The words, normalised: lower case, names and numbers left out.
    pub words: String,
    /// The tools that came nearest, or the one that somebody then chose; empty when none did.
    pub nearest: String,
    /// How often they were said.
    pub times: i64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

impl Store {
    /// Counts `words` as not understood; past the bound those said longest ago go. A choice that was noted stays.
    pub async fn miss(&self, words: &str, nearest: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query(
            "INSERT INTO intent_misses (words, nearest, times, first, last) VALUES ($1, $2, 1, $3, $3) \
             ON CONFLICT (words) DO UPDATE SET times = times + 1, last = $3",
        )
        .bind(words)
        .bind(nearest)
        .bind(micros(at))
        .execute(tx.conn()?)
        .await?;
        sqlx::query(
            "DELETE FROM intent_misses WHERE words IN \
             (SELECT words FROM intent_misses ORDER BY last DESC, words LIMIT -1 OFFSET $1)",
        )
        .bind(MOST)
        .execute(tx.conn()?)
        .await?;
        tx.commit().await
    }

    /// Notes which tool a person chose for `words` that were not understood; unknown words change nothing.
    pub async fn miss_chosen(&self, words: &str, tool: &str) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query("UPDATE intent_misses SET nearest = $2 WHERE words = $1")
            .bind(words)
            .bind(tool)
            .execute(tx.conn()?)
            .await?;
        tx.commit().await
    }

    /// The words that were not understood, most often said first.
    pub async fn misses(&self, limit: u32) -> Result<Vec<Miss>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT words, nearest, times, first, last FROM intent_misses ORDER BY times DESC, last DESC, words LIMIT $1",
        )
        .bind(limit)
        .fetch_all(db.conn()?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Miss {
                    words: row.try_get(0)?,
                    nearest: row.try_get(1)?,
                    times: row.try_get(2)?,
                    first: time(row.try_get(3)?)?,
                    last: time(row.try_get(4)?)?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::AuditKey;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn words_are_counted_chosen_for_and_bounded() {
        let store = Store::in_memory(AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap();
        for n in 0..3 {
            store.miss("make <customer> happy", "check_up", at(n)).await.unwrap();
        }
        store.miss("frobnicate", "", at(5)).await.unwrap();
        store.miss_chosen("make <customer> happy", "get_health_score").await.unwrap();
        store.miss_chosen("nobody said this", "check_up").await.unwrap();
        store.miss("make <customer> happy", "check_up", at(6)).await.unwrap();
        let all = store.misses(10).await.unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].times, all[0].nearest.as_str()), (4, "get_health_score"));
        assert_eq!((all[0].first, all[0].last), (at(0), at(6)));
        assert_eq!(store.misses(1).await.unwrap().len(), 1);
        for n in 0..MOST {
            store.miss(&format!("new words {n}"), "", at(10 + n)).await.unwrap();
        }
        let all = store.misses(2000).await.unwrap();
        assert_eq!(all.len(), 1000);
        assert!(!all.iter().any(|m| m.words == "frobnicate"), "the oldest went");
    }
}
