//! What the killed bot's store holds, read beside it.

use std::collections::BTreeMap;

use sqlx::{Connection, SqliteConnection};

use crate::daemon::house::House;

pub struct State(SqliteConnection);

/// What is not dealt with yet.
const UNSETTLED: [(&str, &str); 6] = [
    ("messages are open", "SELECT COUNT(*) FROM inbox WHERE done_at IS NULL"),
    ("replies wait", "SELECT COUNT(*) FROM outbox WHERE done_at IS NULL"),
    ("writes execute", "SELECT COUNT(*) FROM approvals WHERE state = 'executing'"),
    ("cards move", "SELECT COUNT(*) FROM posted WHERE shown = 'pending, shown again'"),
    ("cards run", "SELECT COUNT(*) FROM posted WHERE shown LIKE 'executing%'"),
    (
        "cards are stale",
        "SELECT COUNT(*) FROM posted p JOIN approvals a ON a.id = p.approval \
         WHERE p.shown LIKE 'pending%' AND a.state != 'pending'",
    ),
];

impl State {
    pub async fn of(house: &House) -> Self {
        let url = format!("sqlite://{}", house.state().join("opsbot.db").display());
        Self(SqliteConnection::connect(&url).await.unwrap())
    }

    async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.0).await.unwrap()
    }

    /// What is still to be done.
    pub async fn unsettled(mut self) -> Option<String> {
        for (what, query) in UNSETTLED {
            let n = self.count(query).await;
            if n > 0 {
                return Some(format!("{n} {what}"));
            }
        }
        None
    }

    /// All approvals and their states.
    pub async fn approvals(mut self) -> BTreeMap<String, String> {
        let rows = sqlx::query_as("SELECT id, state FROM approvals").fetch_all(&mut self.0).await.unwrap();
        rows.into_iter().collect()
    }

    /// The messages that are known to show the card of an approval.
    pub async fn posted(mut self, approval: &str) -> Vec<i64> {
        let query = sqlx::query_scalar("SELECT message FROM posted WHERE approval = $1 AND shown != 'moved'");
        query.bind(approval).fetch_all(&mut self.0).await.unwrap()
    }

    /// The replies that hold the card of an approval.
    pub async fn replies_with(mut self, approval: &str) -> Vec<i64> {
        let query = sqlx::query_scalar("SELECT id FROM outbox WHERE instr(body, $1) > 0");
        query.bind(approval).fetch_all(&mut self.0).await.unwrap()
    }

    /// There is a row for each of so many messages and presses, and perhaps of edits, and every message has its reply.
    pub async fn complete(mut self, said: usize, edits: usize) {
        let rows = usize::try_from(self.count("SELECT COUNT(*) FROM inbox").await).unwrap();
        assert!((said..=said + edits).contains(&rows), "{rows} rows of {said} messages and {edits} edits");
        let unanswered = self
            .count(
                "SELECT COUNT(*) FROM inbox i WHERE json_extract(i.body, '$.actor.origin') != 'button' AND \
                 NOT EXISTS (SELECT 1 FROM outbox o WHERE o.inbox = i.id AND o.failed IS NULL)",
            )
            .await;
        assert_eq!(unanswered, 0, "messages without a reply");
    }
}
