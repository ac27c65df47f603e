//! What channels over a network keep: each update once, each reply with its turn, each card where it stands.

use sqlx::{SqliteConnection, migrate::Migrate};

use super::*;
use crate::store::{OpenReply, Posted, Progress, TurnEnd};

const TELEGRAM: &str = "telegram:";

fn chat() -> ConversationKey {
    ConversationKey::new("telegram:1001:0:anna")
}

fn said(text: &str) -> Inbound {
    Inbound { message: Some(7), ..Inbound::new(chat(), actor("anna"), text) }
}

fn update(n: i64, text: &str) -> (String, Inbound) {
    (format!("telegram:{n}"), said(text))
}

fn posted(message: i64, approval: u128, shown: &str) -> Posted {
    let approval = ApprovalId::from_bits(approval);
    Posted { place: "telegram:1001:0".to_owned(), message, approval, shown: shown.to_owned() }
}

async fn take(store: &Store, messages: &[(String, Inbound)]) -> Vec<Option<i64>> {
    store.inbox_take(messages, at(1)).await.unwrap()
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    let mut db = store.0.db.read().await.unwrap();
    sqlx::query_scalar(sql).fetch_one(db.conn().unwrap()).await.unwrap()
}

async fn open_replies(store: &Store) -> Vec<OpenReply> {
    store.replies_open(TELEGRAM).await.unwrap()
}

#[tokio::test]
async fn an_update_is_taken_once_over_batches_restarts_and_its_own_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let ids = take(&store, &[update(1, "a"), update(2, "b"), update(1, "again")]).await;
    let (Some(a), Some(b), None) = (ids[0], ids[1], ids[2]) else { panic!("{ids:?}") };
    assert!(b > a);
    assert_eq!(take(&store, &[update(2, "b"), update(3, "c")]).await[0], None);
    store.inbox_done(a, at(2)).await.unwrap();
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(take(&store, &[update(1, "a"), update(2, "b"), update(3, "c")]).await, [None; 3]);
    assert_eq!(take(&store, &[]).await, []);
    let texts = |open: Vec<crate::store::OpenMessage>| -> Vec<(String, u32)> {
        open.into_iter().map(|m| (m.inbound.text, m.restarts)).collect()
    };
    let first = texts(store.inbox_resume(TELEGRAM).await.unwrap());
    assert_eq!(first, [("b".to_owned(), 1), ("c".to_owned(), 1)], "the text that came first counts");
    let second = texts(store.inbox_resume(TELEGRAM).await.unwrap());
    assert_eq!(second, [("b".to_owned(), 2), ("c".to_owned(), 2)]);
    assert!(store.inbox_resume("discord:").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_is_kept_whole_or_not_at_all() {
    let store = memory().await;
    store
        .pragma("CREATE TRIGGER full BEFORE INSERT ON inbox WHEN new.body LIKE '%third%' BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .await;
    let batch = [update(1, "first"), update(2, "second"), update(3, "third")];
    assert!(store.inbox_take(&batch, at(1)).await.is_err());
    assert_eq!(count(&store, "SELECT COUNT(*) FROM inbox").await, 0);
    store.pragma("DROP TRIGGER full").await;
    assert!(take(&store, &batch).await.iter().all(Option::is_some));
}

#[tokio::test]
async fn messages_of_the_console_are_not_resumed_and_those_of_channels_not_given_back() {
    let store = memory().await;
    let own = store.inbox_put(&inbound("console"), at(1)).await.unwrap();
    let ids = take(&store, &[update(1, "chat")]).await;
    assert_eq!(store.inbox_open().await.unwrap().iter().map(|m| m.0).collect::<Vec<_>>(), [own]);
    let open = store.inbox_resume(TELEGRAM).await.unwrap();
    assert_eq!(open.iter().map(|m| Some(m.id)).collect::<Vec<_>>(), ids);
    assert_eq!((open[0].at, &open[0].inbound, &open[0].live), (at(1), &said("chat"), &None));
}

#[tokio::test]
async fn an_open_message_can_be_amended_and_has_a_live_message() {
    let store = memory().await;
    let id = take(&store, &[update(1, "old")]).await[0].unwrap();
    store.inbox_live(id, Some("55")).await.unwrap();
    store.inbox_amend(id, &said("new")).await.unwrap();
    let open = store.inbox_resume(TELEGRAM).await.unwrap();
    assert_eq!((open[0].inbound.text.as_str(), open[0].live.as_deref()), ("new", Some("55")));
    store.inbox_done(id, at(2)).await.unwrap();
    store.inbox_amend(id, &said("too late")).await.unwrap();
    assert_eq!(count(&store, "SELECT COUNT(*) FROM inbox WHERE body LIKE '%too late%'").await, 0);
}

#[tokio::test]
async fn a_turn_ends_with_its_reply_or_not_at_all() {
    let store = memory().await;
    let id = take(&store, &[update(1, "hi")]).await[0].unwrap();
    store.inbox_live(id, Some("55")).await.unwrap();
    let (rows, reply) = ([user("hi")], [Block::text("a"), Block::text("b")]);
    let end = |inbox, unfinished| TurnEnd {
        rows: &rows,
        audit: vec![entry(AuditKind::Read, "looked")],
        inbox,
        unfinished,
        reply: &reply,
    };
    store
        .pragma("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .await;
    assert!(store.end_turn(&chat(), end(Some(id), false), at(2)).await.is_err());
    assert_eq!(store.history(&chat()).await.unwrap().len(), 0);
    assert_eq!(store.audit_tail(9).await.unwrap().len(), 0);
    assert_eq!(store.inbox_resume(TELEGRAM).await.unwrap().len(), 1);
    store.pragma("DROP TRIGGER full").await;
    // More is coming: the reply goes, the message stays.
    store.end_turn(&chat(), end(Some(id), true), at(3)).await.unwrap();
    assert_eq!(store.inbox_resume(TELEGRAM).await.unwrap().len(), 1);
    store.end_turn(&chat(), end(Some(id), false), at(4)).await.unwrap();
    assert!(store.inbox_resume(TELEGRAM).await.unwrap().is_empty());
    let open = open_replies(&store).await;
    let [first, second] = open.as_slice() else { panic!("{open:?}") };
    assert!(first.id < second.id && first.blocks == reply && first.conversation == chat());
    assert_eq!((first.at, first.inbox, first.live.as_deref()), (at(3), Some(id), Some("55")));
    assert_eq!((first.message, &first.progress), (Some(7), &None));
    // Nothing to say is no row.
    store.end_turn(&chat(), TurnEnd::default(), at(5)).await.unwrap();
    assert_eq!(open_replies(&store).await.len(), 2);
    // A block that was put there for a person who was away is a reply too; another channel's is not.
    store.outbox_put(&chat(), &Block::text("c"), at(6)).await.unwrap();
    store.outbox_put(&conv(), &Block::text("d"), at(6)).await.unwrap();
    let last = open_replies(&store).await.pop().unwrap();
    assert_eq!((last.blocks, last.inbox, last.message), (vec![Block::text("c")], None, None));
}

#[tokio::test]
async fn delivery_is_written_down_step_by_step() {
    let store = memory().await;
    let message = take(&store, &[update(1, "hi")]).await[0].unwrap();
    store.inbox_live(message, Some("55")).await.unwrap();
    let end = TurnEnd { inbox: Some(message), reply: &[Block::text("a")], ..TurnEnd::default() };
    store.end_turn(&chat(), end, at(2)).await.unwrap();
    let id = open_replies(&store).await[0].id;
    let notes = json!({"sent": [9], "begun": true});
    let step =
        Progress { notes: notes.clone(), posted: Some(posted(9, 1, "pending")), ..Progress::default() };
    store.reply_progress(id, step, at(3)).await.unwrap();
    let open = open_replies(&store).await;
    assert_eq!((open[0].progress.as_ref(), open[0].live.as_deref()), (Some(&notes), Some("55")));
    assert_eq!(store.posted_of(ApprovalId::from_bits(1)).await.unwrap(), [posted(9, 1, "pending")]);
    let over = Progress { over: Some(Ok(())), used_live: Some(message), ..Progress::default() };
    store.reply_progress(id, over, at(4)).await.unwrap();
    assert!(open_replies(&store).await.is_empty());
    assert_eq!(count(&store, "SELECT COUNT(*) FROM inbox WHERE live IS NOT NULL").await, 0);
    let again = store.reply(id).await.unwrap().unwrap();
    assert_eq!((again.blocks, again.conversation), (vec![Block::text("a")], chat()));
    assert_eq!(store.reply(id + 1).await.unwrap(), None);
    // A dead letter says why.
    store.outbox_put(&chat(), &Block::text("b"), at(5)).await.unwrap();
    let id = open_replies(&store).await[0].id;
    let dead = Progress { over: Some(Err("blocked")), ..Progress::default() };
    store.reply_progress(id, dead, at(6)).await.unwrap();
    assert!(open_replies(&store).await.is_empty());
    assert_eq!(count(&store, "SELECT COUNT(*) FROM outbox WHERE failed = 'blocked'").await, 1);
}

#[tokio::test]
async fn cards_are_known_by_their_message_until_they_show_an_end() {
    let store = memory().await;
    for (message, shown) in
        [(1, "pending"), (2, "pending, first of two"), (3, "executing"), (4, "done"), (5, "moved")]
    {
        store.posted_put(&posted(message, 1, shown), at(message)).await.unwrap();
    }
    let unsettled = async || -> Vec<i64> {
        store.posted_unsettled(TELEGRAM).await.unwrap().into_iter().map(|p| p.message).collect()
    };
    assert_eq!(unsettled().await, [1, 2, 3]);
    assert_eq!(store.posted_unsettled("discord:").await.unwrap(), []);
    store.posted_put(&posted(1, 1, "done"), at(9)).await.unwrap();
    assert_eq!(unsettled().await, [2, 3]);
    // What was found changes nothing that is known.
    store.posted_found(&posted(2, 2, "done"), at(9)).await.unwrap();
    store.posted_found(&posted(6, 1, "pending"), at(9)).await.unwrap();
    assert_eq!(unsettled().await, [2, 3, 6]);
    store.posted_gone("telegram:1001:0", 3).await.unwrap();
    store.posted_gone("telegram:9:0", 2).await.unwrap();
    assert_eq!(unsettled().await, [2, 6]);
    assert_eq!(store.posted_of(ApprovalId::from_bits(1)).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_card_moves_with_the_reply_that_shows_it_again_or_stays() {
    let store = memory().await;
    store.posted_put(&posted(1, 1, "pending"), at(1)).await.unwrap();
    let moved = posted(1, 1, "pending, shown again");
    let reply = [Block::text("card")];
    store
        .pragma("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .await;
    assert!(store.posted_again(&moved, &chat(), &reply, at(2)).await.is_err());
    assert_eq!(store.posted_of(moved.approval).await.unwrap(), [posted(1, 1, "pending")]);
    store.pragma("DROP TRIGGER full").await;
    store.posted_again(&moved, &chat(), &reply, at(2)).await.unwrap();
    assert_eq!(store.posted_of(moved.approval).await.unwrap(), [moved]);
    assert_eq!(open_replies(&store).await[0].blocks, reply);
}

#[tokio::test]
async fn long_buttons_keep_their_text_and_everything_done_is_forgotten_after_a_week() {
    let store = memory().await;
    let week = 7 * 24 * 3600;
    store.tap_put("k:1", "one", at(0)).await.unwrap();
    store.tap_put("k:2", "two", at(0)).await.unwrap();
    store.tap_put("k:2", "another text", at(10)).await.unwrap();
    assert_eq!(store.tap("k:2").await.unwrap().as_deref(), Some("two"), "a key stands for one text");
    assert_eq!(store.tap("k:3").await.unwrap(), None);
    store.posted_put(&posted(1, 1, "done"), at(0)).await.unwrap();
    store.posted_put(&posted(2, 1, "pending"), at(0)).await.unwrap();
    let ids = store.inbox_take(&[update(1, "done"), update(2, "open")], at(0)).await.unwrap();
    let end = TurnEnd { inbox: ids[0], reply: &[Block::text("a")], ..TurnEnd::default() };
    store.end_turn(&chat(), end, at(0)).await.unwrap();
    store.recover(at(week + 5), &unknown).await.unwrap();
    assert_eq!((store.tap("k:1").await.unwrap(), store.tap("k:2").await.unwrap().is_some()), (None, true));
    let left = store.posted_of(ApprovalId::from_bits(1)).await.unwrap();
    assert_eq!(left, [posted(2, 1, "pending")], "what may still change is kept");
    assert_eq!(count(&store, "SELECT COUNT(*) FROM inbox").await, 1);
    assert_eq!(open_replies(&store).await.len(), 1, "an undelivered reply is kept");
}

#[tokio::test]
async fn a_decision_takes_its_replies_and_history_along_or_leaves_nothing() {
    use crate::{policy::approval::Ruling, store::Decided};
    let store = memory().await;
    store.approval_insert(&approval(1), &|_| false, entry(AuditKind::Asked, "?")).await.unwrap();
    let leaves = |_: &Approval, _: &Ruling| Decided {
        audit: vec![entry(AuditKind::Decided, "first")],
        rows: vec![user("told")],
        replies: vec![(chat(), vec![Block::text("a second yes is needed")])],
    };
    let (id, by) = (ApprovalId::from_bits(1), actor("anna"));
    let decide = || store.approval_decide(id, &|_| Ruling::FirstOfTwo, &by, at(5), &leaves);
    store
        .pragma("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .await;
    assert!(decide().await.is_err());
    assert_eq!(store.approval_get(id).await.unwrap(), Some(approval(1)));
    store.pragma("DROP TRIGGER full").await;
    decide().await.unwrap();
    assert_eq!(store.history(&conv()).await.unwrap().len(), 1);
    let reply = open_replies(&store).await.pop().unwrap();
    assert_eq!((reply.conversation, reply.inbox), (chat(), None));
}

/// A database as version 0001 left it, with rows in every table that 0002 changes.
async fn first_version(conn: &mut SqliteConnection) {
    let all = sqlx::migrate!("src/store/migrations");
    conn.ensure_migrations_table("_sqlx_migrations").await.unwrap();
    let first = all.iter().find(|m| m.version == 1).unwrap();
    conn.apply("_sqlx_migrations", first).await.unwrap();
    let body = serde_json::to_string(&inbound("from before")).unwrap();
    let block = serde_json::to_string(&Block::text("left")).unwrap();
    for (table, body) in [("inbox", body), ("outbox", block)] {
        for done in [None, Some(5_i64)] {
            sqlx::query(match table {
                "inbox" => "INSERT INTO inbox (conversation, at, body, done_at) VALUES ($1, $2, $3, $4)",
                _ => "INSERT INTO outbox (conversation, at, body, done_at) VALUES ($1, $2, $3, $4)",
            })
            .bind(conv().as_str())
            .bind(at(1).as_microsecond())
            .bind(&body)
            .bind(done)
            .execute(&mut *conn)
            .await
            .unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_of_the_first_version_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    let path = dir.path().join(DB_FILE);
    // The directory and its lock stay; only the database is one of the first version.
    for suffix in ["", "-wal", "-shm"] {
        let _absent = std::fs::remove_file(dir.path().join(format!("{DB_FILE}{suffix}")));
    }
    let mut conn = db::options(&path).create_if_missing(true).connect().await.unwrap();
    first_version(&mut conn).await;
    conn.close().await.unwrap();
    let store = open(dir.path()).await;
    let open_now = store.inbox_open().await.unwrap();
    assert_eq!(open_now.iter().map(|(_, m, _)| m.text.as_str()).collect::<Vec<_>>(), ["from before"]);
    assert!(store.inbox_resume(TELEGRAM).await.unwrap().is_empty());
    let waiting = store.outbox_take(&conv()).await.unwrap();
    assert_eq!(waiting.into_iter().map(|w| w.1).collect::<Vec<_>>(), [Block::text("left")]);
    // Old rows have no source, and any number of them may.
    store.inbox_put(&inbound("one more"), at(2)).await.unwrap();
    assert!(take(&store, &[update(1, "new"), update(1, "new")]).await[1].is_none());
    assert_eq!(count(&store, "SELECT COUNT(*) FROM inbox WHERE restarts = 0 AND live IS NULL").await, 4);
    store.close().await.unwrap();
    assert_eq!(open(dir.path()).await.inbox_open().await.unwrap().len(), 2);
}
