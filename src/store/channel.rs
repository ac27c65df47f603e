//! What channels over a network keep: messages taken once, replies with their delivery's progress, where cards are shown.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Row, sqlite::SqliteRow};

use super::{NewHistory, Store, StoreError, db::Tx, from_json, history, micros, queue, time, to_json};
use crate::domain::{ApprovalId, AuditEntry, Block, ConversationKey, Inbound};

/// A message that waits for its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenMessage {
    /// Its number.
    pub id: i64,
    /// What was said.
    pub inbound: Inbound,
    /// When it was taken.
    pub at: Timestamp,
    /// How often the daemon started while it was open.
    pub restarts: u32,
    /// The channel's name for the message that shows the work on it.
    pub live: Option<String>,
}

/// A reply that is not delivered yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenReply {
    /// Its number.
    pub id: i64,
    /// For whom.
    pub conversation: ConversationKey,
    /// What it says.
    pub blocks: Vec<Block>,
    /// When it was written.
    pub at: Timestamp,
    /// The message that it answers.
    pub inbox: Option<i64>,
    /// The live message of the message that it answers.
    pub live: Option<String>,
    /// The channel's own number of the message that it answers.
    pub message: Option<i64>,
    /// The channel's own notes on how far delivery came.
    pub progress: Option<Value>,
}

/// How delivery of a reply went on, for [`Store::reply_progress`].
#[derive(Debug, Default)]
pub struct Progress<'a> {
    /// The channel's notes.
    pub notes: Value,
    /// It is over: delivered, or why never.
    pub over: Option<Result<(), &'a str>>,
    /// A card that is shown now.
    pub posted: Option<Posted>,
    /// The message whose live message became a part of the reply.
    pub used_live: Option<i64>,
}

/// Where a card is shown, and in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The channel's name for the chat.
    pub place: String,
    /// The message's number there.
    pub message: i64,
    /// Whose card.
    pub approval: ApprovalId,
    /// A channel's word for the state that it shows.
    pub shown: String,
}

/// What ends a turn, for [`Store::end_turn`].
#[derive(Debug, Default)]
pub struct TurnEnd<'a> {
    /// New rows of the history.
    pub rows: &'a [NewHistory],
    /// Audit rows.
    pub audit: Vec<AuditEntry>,
    /// The message that is answered.
    pub inbox: Option<i64>,
    /// Whether more is coming: the message stays open.
    pub unfinished: bool,
    /// The reply to deliver; empty for none.
    pub reply: &'a [Block],
}

impl Store {
    /// Keeps messages in one transaction, each `source` (`telegram:718`) once and for all; gives the new ones' numbers.
    pub async fn inbox_take(
        &self,
        messages: &[(String, Inbound)],
        at: Timestamp,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let mut ids = Vec::with_capacity(messages.len());
        for (source, inbound) in messages {
            let id = sqlx::query_scalar(
                "INSERT INTO inbox (conversation, at, body, source) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT DO NOTHING RETURNING id",
            )
            .bind(inbound.conversation.as_str())
            .bind(micros(at))
            .bind(to_json(inbound)?)
            .bind(source)
            .fetch_optional(tx.conn()?)
            .await?;
            ids.push(id);
        }
        tx.commit().await?;
        Ok(ids)
    }

    /// Keeps a message whose answer is known already, and that reply with the channel's notes on it, in one transaction;
    /// a `source` that was kept before changes nothing.
    pub async fn inbox_answer(
        &self,
        (source, inbound): (&str, &Inbound),
        (reply, notes): (&[Block], &Value),
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        let new: Option<i64> = sqlx::query_scalar(
            "INSERT INTO inbox (conversation, at, body, source, done_at) VALUES ($1, $2, $3, $4, $2) \
             ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(inbound.conversation.as_str())
        .bind(micros(at))
        .bind(to_json(inbound)?)
        .bind(source)
        .fetch_optional(tx.conn()?)
        .await?;
        if let Some(id) = new {
            sqlx::query(
                "INSERT INTO outbox (conversation, at, body, inbox, progress) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(inbound.conversation.as_str())
            .bind(micros(at))
            .bind(to_json(&reply)?)
            .bind(id)
            .bind(to_json(notes)?)
            .execute(tx.conn()?)
            .await?;
        }
        tx.commit().await
    }

    /// The last `most` messages of a conversation, answered or not, the newest first.
    pub async fn inbox_last(&self, conv: &ConversationKey, most: u32) -> Result<Vec<Inbound>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query("SELECT body FROM inbox WHERE conversation = $1 ORDER BY id DESC LIMIT $2")
            .bind(conv.as_str())
            .bind(most)
            .fetch_all(db.conn()?)
            .await?;
        rows.iter().map(|row| from_json(row.try_get(0)?, || format!("a message of {conv}"))).collect()
    }

    /// The open messages whose source begins with `channel` (`telegram:`), oldest first, counted as restarted once more.
    pub async fn inbox_resume(&self, channel: &str) -> Result<Vec<OpenMessage>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query("UPDATE inbox SET restarts = restarts + 1 WHERE done_at IS NULL AND source LIKE $1")
            .bind(format!("{channel}%"))
            .execute(tx.conn()?)
            .await?;
        let rows = sqlx::query(
            "SELECT id, body, at, restarts, live FROM inbox WHERE done_at IS NULL AND source LIKE $1 ORDER BY id",
        )
        .bind(format!("{channel}%"))
        .fetch_all(tx.conn()?)
        .await?;
        let open = rows.iter().map(open_message).collect();
        tx.commit().await?;
        open
    }

    /// Replaces the text of an open message.
    pub async fn inbox_amend(&self, id: i64, inbound: &Inbound) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query("UPDATE inbox SET body = $2 WHERE id = $1 AND done_at IS NULL")
            .bind(id)
            .bind(to_json(inbound)?)
            .execute(tx.conn()?)
            .await?;
        tx.commit().await
    }

    /// Remembers which message shows the work on message `id`.
    pub async fn inbox_live(&self, id: i64, live: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query("UPDATE inbox SET live = $2 WHERE id = $1")
            .bind(id)
            .bind(live)
            .execute(tx.conn()?)
            .await?;
        tx.commit().await
    }

    /// Ends a turn in one transaction: history, audit, the message's row and the reply to deliver.
    pub async fn end_turn(
        &self,
        conv: &ConversationKey,
        end: TurnEnd<'_>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        history::append(&mut tx, conv, end.rows).await?;
        for entry in &end.audit {
            self.append_audit(&mut tx, entry).await?;
        }
        if !end.reply.is_empty() {
            reply_add(&mut tx, conv, (end.reply, end.inbox), at).await?;
        }
        if let Some(id) = end.inbox
            && !end.unfinished
        {
            queue::inbox_mark(&mut tx, id, at).await?;
        }
        tx.commit().await
    }

    /// The undelivered replies of conversations that begin with `channel` (`telegram:`), oldest first.
    pub async fn replies_open(&self, channel: &str) -> Result<Vec<OpenReply>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT o.id, o.conversation, o.body, o.at, o.inbox, i.live, o.progress, i.body FROM outbox o \
             LEFT JOIN inbox i ON i.id = o.inbox \
             WHERE o.done_at IS NULL AND o.conversation LIKE $1 ORDER BY o.id",
        )
        .bind(format!("{channel}%"))
        .fetch_all(db.conn()?)
        .await?;
        rows.iter().map(open_reply).collect()
    }

    /// The reply `id`, delivered or not.
    pub async fn reply(&self, id: i64) -> Result<Option<OpenReply>, StoreError> {
        let mut db = self.0.db.read().await?;
        let row = sqlx::query(
            "SELECT id, conversation, body, at, NULL, NULL, NULL, NULL FROM outbox WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(db.conn()?)
        .await?;
        row.as_ref().map(open_reply).transpose()
    }

    /// Writes down how far delivery of the reply `id` came.
    pub async fn reply_progress(
        &self,
        id: i64,
        progress: Progress<'_>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        let (over, failed) = match progress.over {
            None => (None, None),
            Some(Ok(())) => (Some(micros(at)), None),
            Some(Err(why)) => (Some(micros(at)), Some(why)),
        };
        sqlx::query("UPDATE outbox SET progress = $2, done_at = $3, failed = $4 WHERE id = $1")
            .bind(id)
            .bind(to_json(&progress.notes)?)
            .bind(over)
            .bind(failed)
            .execute(tx.conn()?)
            .await?;
        if let Some(posted) = &progress.posted {
            put_posted(&mut tx, posted, at).await?;
        }
        if let Some(message) = progress.used_live {
            sqlx::query("UPDATE inbox SET live = NULL WHERE id = $1")
                .bind(message)
                .execute(tx.conn()?)
                .await?;
        }
        tx.commit().await
    }

    /// Notes that a card is shown, or in which state it is shown now.
    pub async fn posted_put(&self, posted: &Posted, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        put_posted(&mut tx, posted, at).await?;
        tx.commit().await
    }

    /// Notes that a card is shown in a message that nothing was known of.
    pub async fn posted_found(&self, posted: &Posted, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query(
            "INSERT INTO posted (place, message, approval, shown, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&posted.place)
        .bind(posted.message)
        .bind(posted.approval.to_string())
        .bind(&posted.shown)
        .bind(micros(at))
        .execute(tx.conn()?)
        .await?;
        tx.commit().await
    }

    /// A card is to be shown once more, by `reply` for `conv`; in the same transaction the message that shows it now
    /// is noted as `old`.
    pub async fn posted_again(
        &self,
        old: &Posted,
        conv: &ConversationKey,
        reply: &[Block],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        put_posted(&mut tx, old, at).await?;
        reply_add(&mut tx, conv, (reply, None), at).await?;
        tx.commit().await
    }

    /// Forgets a message that is gone.
    pub async fn posted_gone(&self, place: &str, message: i64) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query("DELETE FROM posted WHERE place = $1 AND message = $2")
            .bind(place)
            .bind(message)
            .execute(tx.conn()?)
            .await?;
        tx.commit().await
    }

    /// Where the card of `approval` is shown.
    pub async fn posted_of(&self, approval: ApprovalId) -> Result<Vec<Posted>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query("SELECT place, message, approval, shown FROM posted WHERE approval = $1")
            .bind(approval.to_string())
            .fetch_all(db.conn()?)
            .await?;
        rows.iter().map(posted).collect()
    }

    /// All shown cards of places that begin with `channel` which may show something that is no longer so: those whose
    /// last shown state was not final, oldest first.
    pub async fn posted_unsettled(&self, channel: &str) -> Result<Vec<Posted>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT place, message, approval, shown FROM posted WHERE place LIKE $1 AND \
             (shown LIKE 'pending%' OR shown LIKE 'executing%') ORDER BY at, message",
        )
        .bind(format!("{channel}%"))
        .fetch_all(db.conn()?)
        .await?;
        rows.iter().map(posted).collect()
    }

    /// Keeps the text of a button whose data cannot hold it, under `key`.
    pub async fn tap_put(&self, key: &str, text: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.db.begin().await?;
        sqlx::query(
            "INSERT INTO taps (key, text, at) VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET at = $3",
        )
        .bind(key)
        .bind(text)
        .bind(micros(at))
        .execute(tx.conn()?)
        .await?;
        tx.commit().await
    }

    /// The text under `key`.
    pub async fn tap(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut db = self.0.db.read().await?;
        Ok(sqlx::query_scalar("SELECT text FROM taps WHERE key = $1")
            .bind(key)
            .fetch_optional(db.conn()?)
            .await?)
    }
}

/// Writes a reply for `conv`; with the message that it answers.
pub(super) async fn reply_add(
    tx: &mut Tx<'_>,
    conv: &ConversationKey,
    (blocks, inbox): (&[Block], Option<i64>),
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outbox (conversation, at, body, inbox) VALUES ($1, $2, $3, $4)")
        .bind(conv.as_str())
        .bind(micros(at))
        .bind(to_json(&blocks)?)
        .bind(inbox)
        .execute(tx.conn()?)
        .await?;
    Ok(())
}

async fn put_posted(tx: &mut Tx<'_>, posted: &Posted, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO posted (place, message, approval, shown, at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (place, message) DO UPDATE SET approval = $3, shown = $4",
    )
    .bind(&posted.place)
    .bind(posted.message)
    .bind(posted.approval.to_string())
    .bind(&posted.shown)
    .bind(micros(at))
    .execute(tx.conn()?)
    .await?;
    Ok(())
}

fn open_message(row: &SqliteRow) -> Result<OpenMessage, StoreError> {
    let id = row.try_get(0)?;
    let restarts: i64 = row.try_get(3)?;
    Ok(OpenMessage {
        id,
        inbound: from_json(row.try_get(1)?, || format!("inbox row {id}"))?,
        at: time(row.try_get(2)?)?,
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
        live: row.try_get(4)?,
    })
}

fn open_reply(row: &SqliteRow) -> Result<OpenReply, StoreError> {
    let id: i64 = row.try_get(0)?;
    let conversation: String = row.try_get(1)?;
    let progress: Option<String> = row.try_get(6)?;
    Ok(OpenReply {
        id,
        conversation: ConversationKey::new(conversation),
        blocks: queue::blocks(row.try_get(2)?, id)?,
        at: time(row.try_get(3)?)?,
        inbox: row.try_get(4)?,
        live: row.try_get(5)?,
        message: row
            .try_get::<Option<&str>, _>(7)?
            .and_then(|body| serde_json::from_str::<Inbound>(body).ok())
            .and_then(|inbound| inbound.message),
        progress: progress.map(|p| from_json(&p, || format!("outbox row {id}"))).transpose()?,
    })
}

fn posted(row: &SqliteRow) -> Result<Posted, StoreError> {
    let approval: String = row.try_get(2)?;
    Ok(Posted {
        place: row.try_get(0)?,
        message: row.try_get(1)?,
        approval: approval.parse().map_err(|_| StoreError::Unreadable(format!("posted {approval}")))?,
        shown: row.try_get(3)?,
    })
}
