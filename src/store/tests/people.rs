//! Pairings and their codes: every step is whole or not there, also after a new start.

use std::pin::pin;

use futures::poll;

use super::*;
use crate::{
    policy::pairing::{Offer, Paired, PairingCode, Stranger},
    store::{Accepted, Settled},
};

fn stranger(id: &str) -> Stranger {
    Stranger::new(ChannelKind::Telegram, id, "Ben")
}

fn code(bits: u64) -> PairingCode {
    PairingCode::from_bits(bits)
}

/// A pairing of `stranger` as ben the operator.
fn ben(stranger: &Stranger) -> Settled {
    let row = Paired {
        person: "ben".into(),
        role: Some(Role::Operator),
        channel: stranger.channel,
        platform_id: stranger.platform_id.clone(),
        paired_by: "anna".into(),
        at: at(1),
    };
    Settled { row, notice: Block::text("paired") }
}

fn settle(stranger: &Stranger) -> Result<Settled, String> {
    Ok(ben(stranger))
}

async fn accept(store: &Store, typed: &str, seconds: i64) -> Accepted {
    store.pairing_accept(&actor("anna"), typed, &settle, at(seconds)).await.unwrap()
}

async fn audited(store: &Store) -> Vec<String> {
    let rows = store.audit_tail(99).await.unwrap();
    assert!(rows.iter().all(|(_, e)| e.kind == AuditKind::Pairing));
    rows.into_iter().map(|(_, e)| e.summary).collect()
}

fn chat(id: &str) -> ConversationKey {
    ConversationKey::new(format!("telegram:{id}:0:ben"))
}

#[tokio::test]
async fn a_code_makes_a_pairing_that_outlives_a_restart_and_is_never_stored_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (first, second) = (code(0xabc_def0), code(0x55_5555_5555));
    assert_eq!(store.pairing_offer(&stranger("7"), &first, None, at(0)).await.unwrap(), Offer::New);
    assert_eq!(
        store.pairing_offer(&stranger("7"), &second, Some(&first), at(1)).await.unwrap(),
        Offer::JustTold
    );
    assert_eq!(
        store.pairing_offer(&stranger("7"), &second, Some(&first), at(61)).await.unwrap(),
        Offer::Same
    );
    store.close().await.unwrap();

    let store = open(dir.path()).await;
    // Nobody remembers the letters any more: others, for the same time.
    assert_eq!(store.pairing_offer(&stranger("7"), &second, None, at(121)).await.unwrap(), Offer::Replaced);
    let [open_code] = store.pairing_desk().await.unwrap().codes.try_into().unwrap();
    assert_eq!((open_code.expires_at, open_code.told_at), (at(600), at(121)));
    assert_eq!(accept(&store, &first.to_string(), 130).await, Accepted::Wrong { left: 4 });
    let done = accept(&store, &second.to_string().to_lowercase(), 599).await;
    assert_eq!(done, Accepted::Paired(Box::new(ben(&stranger("7")).row), stranger("7")));
    assert_eq!(
        accept(&store, &second.to_string(), 599).await,
        Accepted::Wrong { left: 3 },
        "a code counts once"
    );
    store.close().await.unwrap();

    let store = open(dir.path()).await;
    assert_eq!(store.paired().await.unwrap(), [ben(&stranger("7")).row]);
    assert_eq!(store.outbox_take(&chat("7")).await.unwrap().len(), 1);
    let said = audited(&store).await;
    let want =
        ["was given a pairing code", "the same", "another code", "wrong", "is ben now (operator)", "wrong"];
    assert_eq!(said.len(), want.len(), "{said:#?}");
    for (said, want) in said.iter().zip(want) {
        assert!(said.contains(want), "{said}");
    }
    store.close().await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for shown in
            [first.to_string(), first.to_string().replace('-', ""), second.to_string().replace('-', "")]
        {
            assert!(!bytes.windows(shown.len()).any(|w| w == shown.as_bytes()), "a code is stored");
        }
    }
}

#[tokio::test]
async fn three_codes_are_open_at_most_and_make_room_when_they_lapse() {
    let store = memory().await;
    for (id, seconds, want) in [
        ("1", 0, Offer::New),
        ("2", 10, Offer::New),
        ("3", 20, Offer::New),
        ("4", 30, Offer::Full),
        ("4", 599, Offer::Full),
        ("4", 600, Offer::New),
        ("5", 605, Offer::Full),
        ("2", 606, Offer::Replaced),
        ("5", 610, Offer::New),
    ] {
        let bits = 100 + u64::try_from(seconds).unwrap();
        let got = store.pairing_offer(&stranger(id), &code(bits), None, at(seconds)).await.unwrap();
        assert_eq!(got, want, "{id} at {seconds}");
        assert!(store.pairing_desk().await.unwrap().open(at(seconds)).count() <= 3);
    }
    assert_eq!(store.pairing_desk().await.unwrap().codes.len(), 3, "what lapsed is gone");
    assert_eq!(audited(&store).await.len(), 6, "silence leaves no row");
}

#[tokio::test]
async fn the_fifth_wrong_code_closes_all_and_the_lock_holds_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (n, id) in [(1, "1"), (2, "2")] {
        store.pairing_offer(&stranger(id), &code(n), None, at(0)).await.unwrap();
    }
    for left in [4, 3, 2, 1] {
        assert_eq!(accept(&store, "AAAA-BBBB", 10).await, Accepted::Wrong { left });
    }
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(accept(&store, "", 20).await, Accepted::Locked { until: at(620), fresh: true });
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.pairing_desk().await.unwrap().codes, []);
    let right = code(1).to_string();
    assert_eq!(accept(&store, &right, 30).await, Accepted::Locked { until: at(620), fresh: false });
    assert_eq!(store.pairing_offer(&stranger("1"), &code(1), None, at(619)).await.unwrap(), Offer::Locked);
    assert_eq!(store.pairing_offer(&stranger("1"), &code(1), None, at(620)).await.unwrap(), Offer::New);
    assert_eq!(accept(&store, "AAAA-BBBB", 621).await, Accepted::Wrong { left: 4 }, "it begins anew");
    assert!(matches!(accept(&store, &right, 622).await, Accepted::Paired(..)));
    assert_eq!(audited(&store).await.len(), 2 + 5 + 1 + 1 + 2);
}

#[tokio::test]
async fn a_refusal_keeps_the_code_and_is_audited() {
    let store = memory().await;
    store.pairing_offer(&stranger("7"), &code(1), None, at(0)).await.unwrap();
    let refuse = |_: &Stranger| Err("Refused: the name is taken.".to_owned());
    let refused = store.pairing_accept(&actor("anna"), &code(1).to_string(), &refuse, at(1)).await.unwrap();
    assert_eq!(refused, Accepted::Refused("Refused: the name is taken.".into()));
    assert!(audited(&store).await[1].contains("the name is taken"));
    assert!(matches!(accept(&store, &code(1).to_string(), 2).await, Accepted::Paired(..)));
}

#[tokio::test]
async fn revoking_takes_what_waits_for_the_person_there_and_nothing_else() {
    let store = memory().await;
    for (n, id) in [(1, "7"), (2, "8")] {
        store.pairing_offer(&stranger(id), &code(n), None, at(0)).await.unwrap();
        accept(&store, &code(n).to_string(), 1).await;
    }
    let others = ["telegram:7:0:bob", "telegram:-100:3:anna", "console:ben:main", "telegram:9:0:ruben"];
    for other in others {
        store.outbox_put(&other.into(), &Block::text("x"), at(2)).await.unwrap();
    }
    let revoke = async |name: &str, channel| {
        let who = PersonName::from(name);
        store.pairing_revoke(Some(&actor("anna")), (&who, channel), "revoked", at(3)).await.unwrap().len()
    };
    assert_eq!(revoke("be", None).await, 0);
    assert_eq!(revoke("ben", Some(ChannelKind::Discord)).await, 0);
    assert_eq!(revoke("BEN", Some(ChannelKind::Telegram)).await, 2);
    assert_eq!(revoke("ben", None).await, 0);
    assert_eq!(store.paired().await.unwrap(), []);
    assert_eq!(store.health().await.unwrap().outbox_open, 4);
    assert!(store.outbox_take(&chat("7")).await.unwrap().is_empty());
    assert_eq!(audited(&store).await.iter().filter(|s| s.contains("no longer ben")).count(), 2);
}

/// Everything that a step may change.
async fn everything(store: &Store) -> String {
    let (desk, paired) = (store.pairing_desk().await.unwrap(), store.paired().await.unwrap());
    let (outbox, head) = (store.outbox_take(&chat("7")).await.unwrap(), store.audit_head().await.unwrap());
    format!("{desk:?} {paired:?} {outbox:?} {head:?}")
}

#[tokio::test]
async fn a_step_whose_audit_fails_changes_nothing() {
    let store = memory().await;
    store.pairing_offer(&stranger("7"), &code(1), None, at(0)).await.unwrap();
    store.pairing_offer(&stranger("8"), &code(2), None, at(0)).await.unwrap();
    accept(&store, &code(2).to_string(), 1).await;
    for _ in 0..4 {
        accept(&store, "WRONG", 2).await;
    }
    let before = everything(&store).await;
    store.pragma("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END").await;
    let anna = actor("anna");
    let right = code(1).to_string();
    assert!(store.pairing_accept(&anna, &right, &settle, at(3)).await.is_err());
    assert!(store.pairing_accept(&anna, "WRONG", &settle, at(3)).await.is_err());
    assert!(store.pairing_offer(&stranger("9"), &code(3), None, at(3)).await.is_err());
    assert!(store.pairing_revoke(Some(&anna), (&"ben".into(), None), "x", at(3)).await.is_err());
    store.pragma("DROP TRIGGER full").await;
    assert_eq!(everything(&store).await, before);
    assert!(matches!(accept(&store, &right, 4).await, Accepted::Paired(..)));
}

#[tokio::test]
async fn a_dropped_step_leaves_all_or_nothing() {
    let mut seen = std::collections::BTreeSet::new();
    // The last one is left to its end, however slow the machine is.
    for polls in (0..90).chain([usize::MAX]) {
        let store = memory().await;
        store.pairing_offer(&stranger("7"), &code(1), None, at(0)).await.unwrap();
        let (anna, right) = (actor("anna"), code(1).to_string());
        {
            let mut step = pin!(store.pairing_accept(&anna, &right, &settle, at(1)));
            for _ in 0..polls {
                if poll!(&mut step).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let state = (
            store.pairing_desk().await.unwrap().codes.len(),
            store.paired().await.unwrap().len(),
            store.outbox_take(&chat("7")).await.unwrap().len(),
            store.audit_head().await.unwrap().0,
        );
        assert!([(1, 0, 0, 1), (0, 1, 1, 2)].contains(&state), "{state:?} after {polls} polls");
        seen.insert(state);
    }
    assert_eq!(seen.len(), 2, "both the beginning and the end were seen: {seen:?}");
}
