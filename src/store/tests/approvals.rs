//! Approvals: each step happens once, under its condition, with its audit.

use super::*;
use crate::{
    domain::Block,
    policy::approval::Ruling,
    store::{Decided, Finish, StoreError},
};

fn asked() -> AuditEntry {
    entry(AuditKind::Asked, "asked")
}

fn audited(_: &Approval, ruling: &Ruling) -> Decided {
    let mut entries = vec![entry(AuditKind::Decided, &format!("{ruling:?}"))];
    if *ruling == Ruling::Execute {
        entries.push(entry(AuditKind::WriteBegins, "begins"));
    }
    entries.into()
}

fn always(ruling: Ruling) -> impl Fn(&Approval) -> Ruling + Send + Sync {
    move |_| ruling.clone()
}

async fn insert(store: &Store, new: &Approval) {
    assert!(store.approval_insert(new, &|_| false, asked()).await.unwrap().is_empty());
}

async fn decide(store: &Store, id: u128, ruling: Ruling, by: &str, now: i64) -> (Approval, Ruling) {
    let id = ApprovalId::from_bits(id);
    store.approval_decide(id, &always(ruling), &actor(by), at(now), &audited).await.unwrap()
}

fn done<'a>(state: CardState, rows: &'a [NewHistory], outbox: &'a [Block]) -> Finish<'a> {
    Finish {
        state,
        outcome: "web is up",
        rows,
        audit: entry(AuditKind::WriteEnds, "ended"),
        outbox,
        reply: None,
    }
}

#[tokio::test]
async fn walks_from_asked_to_done_with_all_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let new = approval(0xabcd << 112);
    insert(&store, &new).await;
    assert_eq!(store.approvals_pending().await.unwrap(), std::slice::from_ref(&new));
    let (after, ruling) = decide(&store, 0xabcd << 112, Ruling::Execute, "ben", 10).await;
    assert_eq!(ruling, Ruling::Execute);
    let expected =
        Approval { state: CardState::Executing, decided_by: Some(PersonName::new("ben")), ..new.clone() };
    assert_eq!(after, expected);
    let (rows, block) = ([user("it ran")], [Block::text("done")]);
    let after = store.approval_finish(new.id, done(CardState::Done, &rows, &block), at(20)).await.unwrap();
    assert_eq!((after.state, after.outcome.as_deref()), (CardState::Done, Some("web is up")));
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.approval_get(new.id).await.unwrap(), Some(after));
    assert_eq!(store.history(&conv()).await.unwrap().len(), 1);
    assert_eq!(store.outbox_take(&conv()).await.unwrap().len(), 1);
    let kinds: Vec<_> = store.audit_tail(9).await.unwrap().into_iter().map(|(_, e)| e.kind).collect();
    let [asked, decided, begins, ends] =
        [AuditKind::Asked, AuditKind::Decided, AuditKind::WriteBegins, AuditKind::WriteEnds];
    assert_eq!(kinds, [asked, decided, begins, ends]);
}

#[tokio::test]
async fn the_row_decides_whatever_the_ruling_says() {
    let refused = |r: &Ruling| matches!(r, Ruling::Refused(_));
    for ruling in [Ruling::Execute, Ruling::FirstOfTwo, Ruling::Deny] {
        let store = memory().await;
        insert(&store, &approval(1)).await;
        let (after, found) = decide(&store, 1, ruling.clone(), "ben", 300).await;
        assert!(refused(&found) && after == approval(1), "lapsed: {ruling:?} → {found:?}");
        decide(&store, 1, Ruling::Deny, "ben", 10).await;
        let (after, found) = decide(&store, 1, ruling.clone(), "eve", 11).await;
        assert!(refused(&found), "late: {ruling:?} → {found:?}");
        assert_eq!((after.state, after.decided_by), (CardState::Denied, Some(PersonName::new("ben"))));
        let tail = store.audit_tail(99).await.unwrap();
        assert_eq!(tail.len(), 4, "asked, and one for each decision");
        assert!(tail.iter().all(|(_, e)| e.kind != AuditKind::WriteBegins));
    }
}

#[tokio::test]
async fn two_presses_make_one_write() {
    let store = memory().await;
    insert(&store, &approval(1)).await;
    let (after, _) = decide(&store, 1, Ruling::FirstOfTwo, "anna", 10).await;
    assert_eq!((after.state, after.first_approver), (CardState::Pending, Some(PersonName::new("anna"))));
    assert_eq!(after.decided_by, None);
    let rule = |a: &Approval| {
        assert_eq!(a.first_approver, Some(PersonName::new("anna")), "the second sees the first");
        Ruling::Execute
    };
    let by = actor("ben");
    let (after, _) = store.approval_decide(approval(1).id, &rule, &by, at(11), &audited).await.unwrap();
    assert_eq!((after.state, after.decided_by), (CardState::Executing, Some(PersonName::new("ben"))));
    assert_eq!(after.first_approver, Some(PersonName::new("anna")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_at_once_execute_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    insert(&store, &approval(1)).await;
    let presses = (0..20).map(|i| {
        let store = store.clone();
        tokio::spawn(async move { decide(&store, 1, Ruling::Execute, &format!("p{i}"), 10).await.1 })
    });
    let rulings: Vec<_> = futures::future::join_all(presses).await.into_iter().map(|r| r.unwrap()).collect();
    assert_eq!(rulings.iter().filter(|r| **r == Ruling::Execute).count(), 1);
    assert_eq!(rulings.iter().filter(|r| matches!(r, Ruling::Refused(_))).count(), 19);
    let tail = store.audit_tail(99).await.unwrap();
    assert_eq!(tail.iter().filter(|(_, e)| e.kind == AuditKind::WriteBegins).count(), 1);
    assert_eq!(tail.iter().filter(|(_, e)| e.kind == AuditKind::Decided).count(), 20);
}

#[tokio::test]
async fn no_decision_without_its_audit_row() {
    let store = memory().await;
    insert(&store, &approval(1)).await;
    let (id, by) = (approval(1).id, actor("ben"));
    let execute = always(Ruling::Execute);
    let refuse = always(Ruling::Refused("no".to_owned()));
    let nothing = |_: &Approval, _: &Ruling| Decided::default();
    let half = |_: &Approval, _: &Ruling| vec![entry(AuditKind::Decided, "half")].into();
    for found in [
        store.approval_decide(id, &execute, &by, at(1), &nothing).await,
        store.approval_decide(id, &execute, &by, at(1), &half).await,
        store.approval_decide(id, &refuse, &by, at(1), &nothing).await,
    ] {
        assert_eq!(found, Err(StoreError::Unaudited));
    }
    assert_eq!(store.approval_get(id).await.unwrap(), Some(approval(1)));
    assert_eq!(store.audit_head().await.unwrap().0, 1);
    let missing = ApprovalId::from_bits(2);
    let found = store.approval_decide(missing, &execute, &by, at(1), &audited).await;
    assert_eq!(found, Err(StoreError::Missing(missing)));
}

#[tokio::test]
async fn finishing_needs_executing_and_an_end() {
    let store = memory().await;
    insert(&store, &approval(1)).await;
    let id = approval(1).id;
    let finish = async |state| store.approval_finish(id, done(state, &[user("x")], &[]), at(9)).await;
    let wrong = |state, wanted| Err(StoreError::WrongState { id, state, wanted });
    assert_eq!(finish(CardState::Done).await, wrong(CardState::Pending, CardState::Done));
    decide(&store, 1, Ruling::Execute, "ben", 10).await;
    assert_eq!(finish(CardState::Pending).await, wrong(CardState::Executing, CardState::Pending));
    assert_eq!(finish(CardState::Failed).await.unwrap().state, CardState::Failed);
    assert_eq!(finish(CardState::Done).await, wrong(CardState::Failed, CardState::Done));
    assert_eq!(store.history(&conv()).await.unwrap().len(), 1);
    assert_eq!(store.audit_head().await.unwrap().0, 4);
}

#[tokio::test]
async fn a_newer_card_supersedes_only_what_is_pending_and_picked() {
    let store = memory().await;
    for bits in [1, 2, 3] {
        insert(&store, &approval(bits)).await;
    }
    decide(&store, 1, Ruling::Execute, "ben", 10).await;
    let picked = |old: &Approval| old.id != ApprovalId::from_bits(3);
    let replaced = store.approval_insert(&approval(4), &picked, asked()).await.unwrap();
    assert_eq!(
        replaced.iter().map(|a| (a.id, a.state)).collect::<Vec<_>>(),
        [(ApprovalId::from_bits(2), CardState::Superseded)]
    );
    let states: Vec<_> = store.approvals_recent(9).await.unwrap().iter().map(|a| a.state).collect();
    let [taken, gone, open] = [CardState::Executing, CardState::Superseded, CardState::Pending];
    assert_eq!(states, [taken, gone, open, open]);
    let (_, ruling) = decide(&store, 2, Ruling::Execute, "ben", 11).await;
    assert!(matches!(ruling, Ruling::Refused(_)));
    let again = store.approval_insert(&approval(4), &|_| true, asked()).await;
    assert!(matches!(again, Err(StoreError::Database(_))), "{again:?}");
    assert_eq!(store.approvals_pending().await.unwrap().len(), 2, "a refused insert supersedes nothing");
}

#[tokio::test]
async fn a_new_start_knows_what_ran_and_what_lapsed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for bits in [1, 2, 3] {
        let lapses = at(if bits == 2 { 100 } else { 300 });
        insert(&store, &Approval { expires_at: lapses, ..approval(bits) }).await;
    }
    decide(&store, 1, Ruling::Execute, "ben", 10).await;
    drop(store);
    let store = open(dir.path()).await;
    let changed = store.recover(at(100), &unknown).await.unwrap();
    let states: Vec<_> = changed.iter().map(|a| (a.id, a.state)).collect();
    let [one, two] = [1, 2].map(ApprovalId::from_bits);
    assert_eq!(states, [(one, CardState::Unknown), (two, CardState::Expired)]);
    let told = store.outbox_take(&changed[0].conversation).await.unwrap();
    assert_eq!(told.iter().map(|t| &t.1).collect::<Vec<_>>(), [&Block::text(one.to_string())]);
    assert_eq!(store.history(&changed[0].conversation).await.unwrap().len(), 1);
    assert!(store.recover(at(100), &unknown).await.unwrap().is_empty());
    let finish = store.approval_finish(one, done(CardState::Done, &[], &[]), at(101)).await;
    assert!(matches!(finish, Err(StoreError::WrongState { .. })), "never done by itself: {finish:?}");
    let tail = store.audit_tail(2).await.unwrap();
    assert!(tail.iter().all(|(_, e)| e.kind == AuditKind::Daemon && e.approval.is_some()));
}

#[tokio::test]
async fn cards_lapse_at_their_time_and_once() {
    let store = memory().await;
    insert(&store, &approval(1)).await;
    assert!(store.expire(at(299)).await.unwrap().is_empty());
    let gone = store.expire(at(300)).await.unwrap();
    assert_eq!(gone.iter().map(|a| a.state).collect::<Vec<_>>(), [CardState::Expired]);
    assert!(store.expire(at(999)).await.unwrap().is_empty());
    assert!(store.approvals_pending().await.unwrap().is_empty());
    assert_eq!(store.audit_head().await.unwrap().0, 2);
}

#[tokio::test]
async fn cards_are_found_by_four_digits_of_their_id() {
    let store = memory().await;
    for (i, bits) in [0xabcd1_u128 << 108, 0xabcd2 << 108, 0xabce << 112].into_iter().enumerate() {
        insert(&store, &Approval { created_at: at(i as i64), ..approval(bits) }).await;
    }
    let full = ApprovalId::from_bits(0xabce << 112).to_string();
    for (prefix, expected) in
        [("abcd", 2), ("ABCD2", 1), ("abc", 0), ("", 0), ("%%%%", 0), ("abc_", 0), ("ffff", 0), (&full, 1)]
    {
        assert_eq!(store.approval_find(prefix).await.unwrap().len(), expected, "{prefix}");
    }
    let found = store.approval_find("abcd").await.unwrap();
    assert!(found[0].created_at > found[1].created_at, "newest first");
}
