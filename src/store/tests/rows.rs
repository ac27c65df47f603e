//! Inbox, outbox, histories, the latch: what is put is there, also after a new start.

use std::pin::pin;

use futures::poll;

use super::*;
use crate::domain::{Block, Level};

#[tokio::test]
async fn inbox_rows_stay_until_done_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let first = store.inbox_put(&inbound("one"), at(1)).await.unwrap();
    let second = store.inbox_put(&inbound("two \u{0} ä"), at(2)).await.unwrap();
    let third = store.inbox_put(&inbound("three"), at(3)).await.unwrap();
    store.inbox_done(first, at(4)).await.unwrap();
    store.commit_turn(&conv(), &[user("three")], vec![], Some((third, at(5)))).await.unwrap();
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.inbox_open().await.unwrap(), [(second, inbound("two \u{0} ä"), at(2))]);
    let next = store.inbox_put(&inbound("four"), at(6)).await.unwrap();
    assert!(next > third);
    store.recover(at(5) + jiff::SignedDuration::from_hours(7 * 24), &unknown).await.unwrap();
    assert_eq!(store.inbox_open().await.unwrap().len(), 2);
    let mut conn = raw(dir.path()).await;
    let kept: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox").fetch_one(&mut conn).await.unwrap();
    assert_eq!(kept, 3, "the one done more than 7 days ago is forgotten");
}

#[tokio::test]
async fn outbox_is_in_order_and_apart_by_conversation() {
    let store = memory().await;
    let other = ConversationKey::new("console:ben:1");
    let blocks = [Block::text("a"), Block::notice(Level::Info, "b")];
    let a = store.outbox_put(&conv(), &blocks[0], at(1)).await.unwrap();
    let b = store.outbox_put(&conv(), &blocks[1], at(2)).await.unwrap();
    store.outbox_put(&other, &blocks[0], at(3)).await.unwrap();
    let [one, two] = blocks;
    assert_eq!(store.outbox_take(&conv()).await.unwrap(), [(a, one, at(1)), (b, two.clone(), at(2))]);
    store.outbox_done(a, at(4)).await.unwrap();
    store.outbox_done(a, at(5)).await.unwrap();
    assert_eq!(store.outbox_take(&conv()).await.unwrap(), [(b, two, at(2))]);
    assert_eq!(store.outbox_take(&other).await.unwrap().len(), 1);
    assert_eq!(store.health().await.unwrap().outbox_open, 2);
}

#[tokio::test]
async fn a_turn_reads_back_as_it_was_written() {
    let store = memory().await;
    let tool = NewHistory {
        at: at(3),
        kind: "outcome".to_owned(),
        content: json!({"z": [1, 2.5, null], "a": "ä\u{1b}[31m"}),
        tainted: true,
        words: None,
        confirmed_write: true,
    };
    store.commit_turn(&conv(), &[user("hi"), tool.clone()], vec![], None).await.unwrap();
    let rows = store.history(&conv()).await.unwrap();
    assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2]);
    let row = &rows[1];
    assert_eq!((row.at, &row.kind, &row.content), (tool.at, &tool.kind, &tool.content));
    assert_eq!((row.tainted, row.words.as_ref(), row.confirmed_write), (true, None, true));
    assert_eq!(rows[0].words.as_deref(), Some("hi"));
    assert!(store.history(&ConversationKey::new("console:ben:1")).await.unwrap().is_empty());
}

#[tokio::test]
async fn compaction_puts_the_summary_in_place_of_what_it_sums_up() {
    let summary = |text: &str| NewHistory { kind: "summary".to_owned(), tainted: true, ..user(text) };
    let texts = async |store: &Store| -> Vec<(i64, String)> {
        let rows = store.history(&conv()).await.unwrap();
        rows.into_iter().map(|r| (r.seq, r.words.unwrap())).collect()
    };
    let rows: Vec<_> = ["a", "b", "c", "d"].map(user).into();
    // up to → what is there afterwards, and after one more row
    for (up_to, expected) in [
        (0, vec![(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]),
        (2, vec![(2, "s"), (3, "c"), (4, "d"), (5, "e")]),
        (4, vec![(4, "s"), (5, "e")]),
        (99, vec![(4, "s"), (5, "e")]),
    ] {
        let store = memory().await;
        store.commit_turn(&conv(), &rows, vec![], None).await.unwrap();
        store.compact(&conv(), up_to, summary("s")).await.unwrap();
        store.commit_turn(&conv(), &[user("e")], vec![], None).await.unwrap();
        let expected: Vec<_> = expected.into_iter().map(|(n, t)| (n, t.to_owned())).collect();
        assert_eq!(texts(&store).await, expected, "up to {up_to}");
    }
}

#[tokio::test]
async fn the_latch_holds_over_a_restart_and_keeps_its_first_person() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.frozen().await.unwrap(), None);
    assert!(store.freeze(&actor("anna"), at(1), entry(AuditKind::Freeze, "on")).await.unwrap());
    assert!(!store.freeze(&actor("ben"), at(2), entry(AuditKind::Freeze, "again")).await.unwrap());
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.frozen().await.unwrap(), Some((PersonName::new("anna"), at(1))));
    assert!(store.unfreeze(entry(AuditKind::Freeze, "off")).await.unwrap());
    assert!(!store.unfreeze(entry(AuditKind::Freeze, "off")).await.unwrap());
    assert_eq!(store.frozen().await.unwrap(), None);
    assert_eq!(store.audit_tail(9).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_dropped_future_leaves_all_or_nothing() {
    let store = memory().await;
    let mut whole = 0;
    for polls in 0..120 {
        {
            let (conv, rows) = (conv(), [user("a"), user("b")]);
            let audit = vec![entry(AuditKind::Read, "a"), entry(AuditKind::Read, "b")];
            let mut turn = pin!(store.commit_turn(&conv, &rows, audit, None));
            for _ in 0..polls {
                if poll!(&mut turn).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let (rows, head) = (store.history(&conv()).await.unwrap().len(), store.audit_head().await.unwrap().0);
        assert!(rows as i64 == head && rows % 2 == 0, "{rows} rows and {head} of audit after {polls} polls");
        whole = rows;
    }
    store.commit_turn(&conv(), &[user("a")], vec![], None).await.unwrap();
    assert_eq!(store.history(&conv()).await.unwrap().len(), whole + 1);
    assert!(store.audit_verify(&[]).await.unwrap().integrity);
}
