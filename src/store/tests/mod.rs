//! Tests of the store against real files.

mod alerts;
mod approvals;
mod audit;
mod channel;
mod conversation;
mod files;
mod kill;
mod memory;
mod people;
mod rows;

use std::path::Path;

use jiff::Timestamp;
use serde_json::json;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{AuditKey, DB_FILE, NewHistory, Store, db};
use crate::{
    domain::{
        Actor, ApprovalId, AuditEntry, AuditKind, Block, CardState, ChannelKind, ConversationKey, Inbound,
        Origin, PersonName, Risk, Role,
    },
    policy::Approval,
};

fn key() -> AuditKey {
    AuditKey::from_bytes(&[7; 32]).unwrap()
}

async fn memory() -> Store {
    Store::in_memory(key()).await.unwrap()
}

async fn open(dir: &Path) -> Store {
    Store::open(dir, key()).await.unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

fn conv() -> ConversationKey {
    ConversationKey::new("console:anna:1")
}

fn actor(person: &str) -> Actor {
    Actor {
        person: PersonName::new(person),
        role: Role::Operator,
        channel: ChannelKind::Console,
        origin: Origin::Typed,
    }
}

fn inbound(text: &str) -> Inbound {
    Inbound::new(conv(), actor("anna"), text)
}

fn entry(kind: AuditKind, summary: &str) -> AuditEntry {
    AuditEntry {
        at: at(1),
        kind,
        actor: Some(actor("anna")),
        conversation: Some(conv()),
        approval: None,
        summary: summary.to_owned(),
        detail: json!({"tool": "restart_container", "args": {"service": "web", "customer_id": "19"}}),
    }
}

/// What is told of a write that nobody saw the end of.
fn unknown(approval: &Approval) -> (NewHistory, Block) {
    (user("verify"), Block::text(approval.id.to_string()))
}

fn user(text: &str) -> NewHistory {
    NewHistory {
        at: at(2),
        kind: "user".to_owned(),
        content: json!({"text": text}),
        tainted: false,
        words: Some(text.to_owned()),
        confirmed_write: false,
    }
}

/// A pending approval, asked at 0, lapsing at 300.
fn approval(bits: u128) -> Approval {
    Approval {
        id: ApprovalId::from_bits(bits),
        calls: vec![],
        digest: "d1".to_owned(),
        policy_version: "p1".to_owned(),
        risk: Risk::Confirm,
        reason: "writes ask".to_owned(),
        requester: actor("anna"),
        conversation: conv(),
        tainted: false,
        sent_at: None,
        created_at: at(0),
        expires_at: at(300),
        state: CardState::Pending,
        first_approver: None,
        decided_by: None,
        outcome: None,
    }
}

/// A connection of somebody who does not care for our rules.
async fn raw(dir: &Path) -> SqliteConnection {
    db::options(&dir.join(DB_FILE)).connect().await.unwrap()
}

/// Runs `sql` past the store and leaves no log behind.
async fn tamper(dir: &Path, sql: &'static str) {
    let mut conn = raw(dir).await;
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

impl Store {
    /// Runs a statement on the store's own connection.
    pub(crate) async fn pragma(&self, sql: &'static str) {
        let mut db = self.0.db.read().await.unwrap();
        sqlx::raw_sql(sql).execute(db.conn().unwrap()).await.unwrap();
    }
}
