//! What a conversation keeps besides its history: tools beyond the core, and the model that it chose.

use sqlx::Row;

use super::{Store, StoreError, from_json, to_json};
use crate::domain::ConversationKey;

/// The settings of one conversation; the empty ones where nothing was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationSettings {
    /// The names of tools beyond the core, in the order in which they were added.
    pub tools: Vec<String>,
    /// The model that was chosen here; none means the configured one.
    pub model: Option<String>,
}

impl Store {
    /// The settings of `conv`.
    pub async fn conversation(&self, conv: &ConversationKey) -> Result<ConversationSettings, StoreError> {
        let mut db = self.0.db.read().await?;
        let row = sqlx::query("SELECT tools, model FROM conversations WHERE conversation = $1")
            .bind(conv.as_str())
            .fetch_optional(db.conn()?)
            .await?;
        let Some(row) = row else { return Ok(ConversationSettings::default()) };
        let tools = from_json(row.try_get(0)?, || format!("the tools of {conv}"))?;
        Ok(ConversationSettings { tools, model: row.try_get(1)? })
    }

    /// Keeps which tools beyond the core `conv` has.
    pub async fn conversation_tools(
        &self,
        conv: &ConversationKey,
        tools: &[String],
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query(
            "INSERT INTO conversations (conversation, tools) VALUES ($1, $2) \
             ON CONFLICT (conversation) DO UPDATE SET tools = $2",
        )
        .bind(conv.as_str())
        .bind(to_json(&tools)?)
        .execute(tx.conn()?)
        .await?;
        tx.commit().await
    }

    /// Keeps which model `conv` chose; none means the configured one.
    pub async fn conversation_model(
        &self,
        conv: &ConversationKey,
        model: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query(
            "INSERT INTO conversations (conversation, model) VALUES ($1, $2) \
             ON CONFLICT (conversation) DO UPDATE SET model = $2",
        )
        .bind(conv.as_str())
        .bind(model)
        .execute(tx.conn()?)
        .await?;
        tx.commit().await
    }
}
