//! Approvals: every step from asked to done is one conditional transaction with its audit row.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{Row, sqlite::SqliteRow};

use super::{NewHistory, Store, StoreError, channel, db::Tx, from_json, history, micros, queue, to_json};
use crate::{
    domain::{Actor, ApprovalId, AuditEntry, AuditKind, Block, CardState, ConversationKey},
    policy::{Approval, approval::Ruling},
};

/// How a write ended, for [`Store::approval_finish`].
#[derive(Debug)]
pub struct Finish<'a> {
    /// `Done`, `Failed` or `Unknown`.
    pub state: CardState,
    /// The true outcome in one sentence.
    pub outcome: &'a str,
    /// Rows for the history of the approval's conversation.
    pub rows: &'a [NewHistory],
    /// The audit row (`WriteEnds`).
    pub audit: AuditEntry,
    /// Blocks for the conversation's people when they are not connected.
    pub outbox: &'a [Block],
    /// The answer to the message that decided, which is done then: for whom, that message, the blocks.
    pub reply: Option<(&'a ConversationKey, i64, &'a [Block])>,
}

/// What a decision leaves behind, for [`Store::approval_decide`].
#[derive(Debug, Default)]
pub struct Decided {
    /// A `Decided` row for every ruling, and `WriteBegins` too for `Execute`.
    pub audit: Vec<AuditEntry>,
    /// Rows for the history of the approval's conversation.
    pub rows: Vec<NewHistory>,
    /// Who else is told, and what.
    pub replies: Vec<(ConversationKey, Vec<Block>)>,
}

impl From<Vec<AuditEntry>> for Decided {
    fn from(audit: Vec<AuditEntry>) -> Self {
        Self { audit, ..Self::default() }
    }
}

/// What the people of an approval's conversation are told of it: a row for the history, a block for the outbox.
pub type Tell<'a> = dyn Fn(&Approval) -> (NewHistory, Block) + Send + Sync + 'a;

/// Fewer digits are no prefix for [`Store::approval_find`].
const LEAST_DIGITS: usize = 4;
const FOUND_AT_MOST: i64 = 10;

impl Store {
    /// Stores a new approval and its audit row; every pending one that `supersedes` picks becomes superseded in the
    /// same transaction. Gives those.
    pub async fn approval_insert(
        &self,
        new: &Approval,
        supersedes: &(dyn Fn(&Approval) -> bool + Send + Sync),
        audit: AuditEntry,
    ) -> Result<Vec<Approval>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let mut replaced = in_state(&mut tx, CardState::Pending).await?;
        replaced.retain(|old| supersedes(old));
        self.append_audit(&mut tx, &audit).await?;
        for old in &mut replaced {
            old.state = CardState::Superseded;
            old.outcome = Some(format!("replaced by {}", new.id));
            update(&mut tx, CardState::Pending, old, None).await?;
            let summary = format!("card {} was superseded by {}", old.id, new.id);
            let entry = entry(old, audit.at, AuditKind::Decided, Some(new.requester.clone()), summary);
            self.append_audit(&mut tx, &entry).await?;
        }
        sqlx::query(
            "INSERT INTO approvals (id, state, requester, conversation, created_at, expires_at, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.id.to_string())
        .bind(new.state.word())
        .bind(new.requester.person.as_str())
        .bind(new.conversation.as_str())
        .bind(micros(new.created_at))
        .bind(micros(new.expires_at))
        .bind(to_json(new)?)
        .execute(tx.conn()?)
        .await?;
        tx.commit().await?;
        Ok(replaced)
    }

    /// The approval with this id.
    pub async fn approval_get(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let mut db = self.0.db.read().await?;
        let row = sqlx::query("SELECT state, body, id FROM approvals WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(db.conn()?)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Approvals whose id begins with `prefix` (at least 4 hexadecimal digits), newest first, at most 10.
    pub async fn approval_find(&self, prefix: &str) -> Result<Vec<Approval>, StoreError> {
        if prefix.len() < LEAST_DIGITS || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT state, body, id FROM approvals WHERE id LIKE $1 ORDER BY created_at DESC, id LIMIT $2",
        )
        .bind(format!("{}%", prefix.to_ascii_lowercase()))
        .bind(FOUND_AT_MOST)
        .fetch_all(db.conn()?)
        .await?;
        rows.iter().map(read).collect()
    }

    /// All that wait for a decision, oldest first; some may have lapsed since [`Store::expire`].
    pub async fn approvals_pending(&self) -> Result<Vec<Approval>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query(
            "SELECT state, body, id FROM approvals WHERE state = 'pending' ORDER BY created_at, id",
        )
        .fetch_all(db.conn()?)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The last `n` approvals in any state, newest first.
    pub async fn approvals_recent(&self, n: u32) -> Result<Vec<Approval>, StoreError> {
        let mut db = self.0.db.read().await?;
        let rows = sqlx::query("SELECT state, body, id FROM approvals ORDER BY created_at DESC, id LIMIT $1")
            .bind(i64::from(n))
            .fetch_all(db.conn()?)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Decides in one transaction: loads the approval, asks `rule`, changes the row only while it is pending and not
    /// lapsed (else the ruling becomes `Refused`), and writes the rows that `leaves` makes of the approval after it and
    /// the final ruling. Gives both. Without the audit rows that [`Decided`] names, nothing happens and the answer is
    /// [`StoreError::Unaudited`].
    pub async fn approval_decide(
        &self,
        id: ApprovalId,
        rule: &(dyn Fn(&Approval) -> Ruling + Send + Sync),
        by: &Actor,
        now: Timestamp,
        leaves: &(dyn Fn(&Approval, &Ruling) -> Decided + Send + Sync),
    ) -> Result<(Approval, Ruling), StoreError> {
        let mut tx = self.0.db.begin().await?;
        let before = load(&mut tx, id).await?;
        let mut ruling = rule(&before);
        let mut after = before.clone();
        match &ruling {
            Ruling::Execute => {
                after.state = CardState::Executing;
                after.decided_by = Some(by.person.clone());
            }
            Ruling::FirstOfTwo => after.first_approver = Some(by.person.clone()),
            Ruling::Deny => {
                after.state = CardState::Denied;
                after.decided_by = Some(by.person.clone());
            }
            Ruling::Refused(_) => {}
        }
        if !matches!(ruling, Ruling::Refused(_))
            && !update(&mut tx, CardState::Pending, &after, Some(now)).await?
        {
            after = before;
            ruling = Ruling::Refused("somebody else was faster, or the card has lapsed".to_owned());
        }
        let decided = leaves(&after, &ruling);
        let has = |kind| decided.audit.iter().any(|e| e.kind == kind);
        if !has(AuditKind::Decided) || (ruling == Ruling::Execute && !has(AuditKind::WriteBegins)) {
            return Err(StoreError::Unaudited);
        }
        for entry in &decided.audit {
            self.append_audit(&mut tx, entry).await?;
        }
        history::append(&mut tx, &after.conversation, &decided.rows).await?;
        for (to, blocks) in &decided.replies {
            channel::reply_add(&mut tx, to, (blocks, None), now).await?;
        }
        tx.commit().await?;
        Ok((after, ruling))
    }

    /// Writes down how an executing approval ended, with history, audit and outbox, in one transaction. Gives it as
    /// it then is. From any other state: [`StoreError::WrongState`], and nothing is changed.
    pub async fn approval_finish(
        &self,
        id: ApprovalId,
        finish: Finish<'_>,
        at: Timestamp,
    ) -> Result<Approval, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let mut approval = load(&mut tx, id).await?;
        let wanted = finish.state;
        let end = matches!(wanted, CardState::Done | CardState::Failed | CardState::Unknown);
        if !end || approval.state != CardState::Executing {
            return Err(StoreError::WrongState { id, state: approval.state, wanted });
        }
        approval.state = wanted;
        approval.outcome = Some(finish.outcome.to_owned());
        update(&mut tx, CardState::Executing, &approval, None).await?;
        history::append(&mut tx, &approval.conversation, finish.rows).await?;
        self.append_audit(&mut tx, &finish.audit).await?;
        if !finish.outbox.is_empty() {
            channel::reply_add(&mut tx, &approval.conversation, (finish.outbox, None), at).await?;
        }
        if let Some((to, message, blocks)) = finish.reply {
            if !blocks.is_empty() {
                channel::reply_add(&mut tx, to, (blocks, Some(message)), at).await?;
            }
            queue::inbox_mark(&mut tx, message, at).await?;
        }
        tx.commit().await?;
        Ok(approval)
    }

    /// For the start, before anything else runs: what was executing when the last process died becomes unknown, what
    /// lapsed becomes expired, both with audit rows; queue rows that were done 7 days ago are forgotten. What `tell`
    /// makes of each that became unknown goes to history and outbox in the same transaction: a kill now loses neither.
    /// Gives the approvals that changed.
    pub async fn recover(&self, now: Timestamp, tell: &Tell<'_>) -> Result<Vec<Approval>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let mut changed = in_state(&mut tx, CardState::Executing).await?;
        for approval in &mut changed {
            approval.state = CardState::Unknown;
            approval.outcome =
                Some("opsbot ended while this ran: verify by hand; it is not run again by itself".to_owned());
            update(&mut tx, CardState::Executing, approval, None).await?;
            let summary = format!("card {} was executing when opsbot ended: unknown, verify", approval.id);
            let entry = entry(approval, now, AuditKind::Daemon, None, summary);
            self.append_audit(&mut tx, &entry).await?;
            let (row, block) = tell(approval);
            history::append(&mut tx, &approval.conversation, &[row]).await?;
            queue::outbox_add(&mut tx, &approval.conversation, &block, now).await?;
        }
        changed.extend(self.expire_in(&mut tx, now).await?);
        queue::prune(&mut tx, now).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Ends the pending approvals that lapsed by `now`, with audit rows. Gives those.
    pub async fn expire(&self, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
        {
            let mut db = self.0.db.read().await?;
            let lapsed: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM approvals WHERE state = 'pending' AND expires_at <= $1",
            )
            .bind(micros(now))
            .fetch_one(db.conn()?)
            .await?;
            if lapsed == 0 {
                return Ok(Vec::new());
            }
        }
        let mut tx = self.0.db.begin().await?;
        let changed = self.expire_in(&mut tx, now).await?;
        tx.commit().await?;
        Ok(changed)
    }

    async fn expire_in(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
        let mut lapsed = in_state(tx, CardState::Pending).await?;
        lapsed.retain(|a| micros(a.expires_at) <= micros(now));
        for approval in &mut lapsed {
            approval.state = CardState::Expired;
            update(tx, CardState::Pending, approval, None).await?;
            let summary = format!("card {} lapsed undecided", approval.id);
            self.append_audit(tx, &entry(approval, now, AuditKind::Daemon, None, summary)).await?;
        }
        Ok(lapsed)
    }
}

/// Writes `after` if the row is still in state `from` and, given `now`, not lapsed. Tells whether it was.
async fn update(
    tx: &mut Tx<'_>,
    from: CardState,
    after: &Approval,
    now: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE approvals SET state = $2, body = $3 WHERE id = $1 AND state = $4 AND expires_at > $5",
    )
    .bind(after.id.to_string())
    .bind(after.state.word())
    .bind(to_json(after)?)
    .bind(from.word())
    .bind(now.map_or(i64::MIN, micros))
    .execute(tx.conn()?)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn load(tx: &mut Tx<'_>, id: ApprovalId) -> Result<Approval, StoreError> {
    let row = sqlx::query("SELECT state, body, id FROM approvals WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(tx.conn()?)
        .await?;
    row.as_ref().map_or(Err(StoreError::Missing(id)), read)
}

async fn in_state(tx: &mut Tx<'_>, state: CardState) -> Result<Vec<Approval>, StoreError> {
    let rows = sqlx::query("SELECT state, body, id FROM approvals WHERE state = $1 ORDER BY created_at, id")
        .bind(state.word())
        .fetch_all(tx.conn()?)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Approval, StoreError> {
    let id: &str = row.try_get(2)?;
    let unreadable = || format!("approval {id}");
    let state = row.try_get::<&str, _>(0)?.parse().map_err(|_| StoreError::Unreadable(unreadable()))?;
    let body: Approval = from_json(row.try_get(1)?, unreadable)?;
    if body.state != state || body.id.to_string() != id {
        return Err(StoreError::Unreadable(unreadable()));
    }
    Ok(body)
}

fn entry(
    approval: &Approval,
    at: Timestamp,
    kind: AuditKind,
    actor: Option<Actor>,
    summary: String,
) -> AuditEntry {
    AuditEntry {
        at,
        kind,
        actor,
        conversation: Some(approval.conversation.clone()),
        approval: Some(approval.id),
        summary,
        detail: json!({"state": approval.state, "digest": approval.digest}),
    }
}
