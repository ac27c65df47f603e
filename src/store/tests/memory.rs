//! Tests of notes, of forgetting and of the sweep.

use jiff::Timestamp;

use super::{at, conv, entry, memory, user};
use crate::{
    domain::{AuditKind, ConversationKey, NewNote, Note},
    store::{NewHistory, Store},
};

fn note(text: &str, customer: Option<&str>, expires: Option<i64>) -> NewNote {
    NewNote { customer: customer.map(Into::into), text: text.into(), expires_at: expires.map(at) }
}

async fn put(store: &Store, person: &str, note: &NewNote, now: Timestamp) -> Option<Note> {
    store.note_put((&person.into(), &conv(), false), note, 3, now).await.unwrap()
}

fn texts(notes: Vec<Note>) -> Vec<String> {
    notes.into_iter().map(|n| n.text).collect()
}

#[tokio::test]
async fn notes_belong_to_a_person_are_bounded_and_expire() {
    let store = memory().await;
    let first = put(&store, "anna", &note("on vacation", Some("7"), Some(100)), at(0)).await.unwrap();
    put(&store, "anna", &note("call back", None, None), at(1)).await.unwrap();
    put(&store, "ben", &note("pays late", Some("7"), None), at(2)).await.unwrap();
    put(&store, "anna", &note("likes mail", Some("7"), None), at(3)).await.unwrap();
    assert_eq!(put(&store, "anna", &note("one too many", None, None), at(4)).await, None);

    let of = |person: &'static str, now| {
        let store = store.clone();
        async move { texts(store.notes_of(&person.into(), at(now)).await.unwrap()) }
    };
    assert_eq!(of("anna", 99).await, ["likes mail", "call back", "on vacation"]);
    assert_eq!(of("anna", 100).await, ["likes mail", "call back"], "an expired note is not shown");
    let about = store.notes_about(&"7".into(), at(100)).await.unwrap();
    assert_eq!(texts(about), ["likes mail", "pays late"]);

    assert_eq!(store.note_delete(&"ben".into(), first.id).await.unwrap(), None, "a note of somebody else");
    assert_eq!(store.notes_sweep(at(100)).await.unwrap(), 1);
    assert_eq!(store.note_delete(&"anna".into(), first.id).await.unwrap(), None, "swept");
    let again = put(&store, "anna", &note("again", None, None), at(101)).await.unwrap();
    assert!(again.id > first.id + 3, "a number is never used twice");
    let audit = entry(AuditKind::Forgot, "anna deleted their notes");
    assert_eq!(store.notes_delete(&"anna".into(), audit).await.unwrap(), 3);
    assert_eq!(of("ben", 0).await, ["pays late"]);
    assert_eq!(store.audit_tail(1).await.unwrap()[0].1.kind, AuditKind::Forgot);
}

fn row(kind: &str, seconds: i64) -> NewHistory {
    NewHistory { kind: kind.into(), at: at(seconds), ..user(kind) }
}

async fn left(store: &Store, conv: &ConversationKey) -> Vec<(String, i64)> {
    let rows = store.history(conv).await.unwrap();
    rows.into_iter().map(|r| (r.kind, r.at.as_second() - at(0).as_second())).collect()
}

#[tokio::test]
async fn forgetting_takes_history_tools_and_model_of_one_conversation() {
    let store = memory().await;
    let other = ConversationKey::from("console:ben:1");
    for conv in [&conv(), &other] {
        store.commit_turn(conv, &[row("user", 1), row("assistant", 2)], vec![], None).await.unwrap();
        store.conversation_tools(conv, &["search_logs".to_owned()]).await.unwrap();
        store.conversation_model(conv, Some("qwen3:4b")).await.unwrap();
    }
    let gone = store.forget(&conv(), entry(AuditKind::Forgot, "anna forgot")).await.unwrap();
    assert_eq!((gone.rows.len(), gone.settings.model.as_deref()), (2, Some("qwen3:4b")));
    assert_eq!(left(&store, &conv()).await, []);
    assert_eq!(store.conversation(&conv()).await.unwrap().tools, Vec::<String>::new());
    assert_eq!(left(&store, &other).await.len(), 2);
    assert_eq!(store.conversation(&other).await.unwrap().tools, ["search_logs"]);
    let again = store.forget(&conv(), entry(AuditKind::Forgot, "anna forgot")).await.unwrap();
    assert_eq!(again, crate::store::Forgotten::default());
    assert!(store.audit_verify(&[]).await.unwrap().integrity);
}

#[tokio::test]
async fn the_sweep_takes_whole_old_turns() {
    let store = memory().await;
    let (old, fresh) = (ConversationKey::from("console:old:1"), ConversationKey::from("console:fresh:1"));
    let turn = |from: i64| [row("user", from), row("assistant", from + 5), row("tool", from + 5)];
    store.commit_turn(&old, &turn(0), vec![], None).await.unwrap();
    store.commit_turn(&fresh, &turn(100), vec![], None).await.unwrap();
    for from in [0, 10, 98, 200] {
        store.commit_turn(&conv(), &turn(from), vec![], None).await.unwrap();
    }
    assert_eq!(store.history_sweep(at(0)).await.unwrap(), 0);
    // The turn at 98 ends after the border: no answer stays without its question.
    assert_eq!(store.history_sweep(at(100)).await.unwrap(), 3 + 9);
    assert_eq!(left(&store, &old).await, []);
    assert_eq!(left(&store, &fresh).await.len(), 3);
    assert_eq!(
        left(&store, &conv()).await,
        [("user", 200), ("assistant", 205), ("tool", 205)].map(|(k, s)| (k.to_owned(), s))
    );
    // A last turn that reaches past the border stays whole.
    assert_eq!(store.history_sweep(at(203)).await.unwrap(), 3);
    assert_eq!(left(&store, &conv()).await.len(), 3);
}
