//! When the last digest of alerts was sent, and its replies.

use jiff::Timestamp;

use super::{Store, StoreError, channel::reply_add, micros, time};
use crate::domain::{Block, ConversationKey};

impl Store {
    /// When the last digest was sent.
    pub async fn digest_last(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut db = self.0.db.read().await?;
        let row: Option<i64> = sqlx::query_scalar("SELECT number FROM meta WHERE name = 'digest'")
            .fetch_optional(db.conn()?)
            .await?;
        row.map(time).transpose()
    }

    /// Keeps that a digest was sent at `at`, and its replies to these conversations, in one transaction.
    pub async fn digest_keep(
        &self,
        at: Timestamp,
        to: &[ConversationKey],
        blocks: &[Block],
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query(
            "INSERT INTO meta (name, text, number) VALUES ('digest', '', $1) \
             ON CONFLICT (name) DO UPDATE SET number = excluded.number",
        )
        .bind(micros(at))
        .execute(tx.conn()?)
        .await?;
        for conversation in to {
            reply_add(&mut tx, conversation, (blocks, None), at).await?;
        }
        tx.commit().await
    }
}
