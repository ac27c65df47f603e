//! Cards in chats: who may press, what a press leads to, what everybody then sees; and that nothing else runs anything.

use std::time::Duration;

use jiff::SignedDuration;
use opsbot::{domain::CardState, policy::approval::Verb};

use super::rig::{ANNA, BEN, CLEO, DORA, GROUP, Line, Phone, SOON, STRANGER, VIC, asks, data};
use crate::{
    fake::{
        model::{FakeModel, Say},
        telegram::{Fault, Shown},
    },
    scenarios::world::{actor, calls, restart, text},
};

const YES: &str = "✅ Confirm";
const NO: &str = "✖ Deny";
const GOLD: &str = r#"
[[policy.rule]]
id = "gold-needs-two"
effect = "two_person"
tools = ["restart_container"]
targets = ["label:tier=gold"]
reason = "gold customers need a second pair of eyes"
"#;

/// Asks in a slash command for a restart, and gives the card.
async fn asked(phone: &Phone, user: i64, args: &str) -> Shown {
    phone.telegram.say(user, user, &format!("/restart_container {args}"));
    let card = phone.card(user).await;
    phone.quiet().await;
    card
}

/// The approval's id on the card.
fn id(card: &Shown) -> String {
    data(card, "✖").trim_start_matches("d:").to_owned()
}

async fn two_person() -> Phone {
    let mut line = Line::default();
    line.setup.rules = GOLD.into();
    line.plain().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_follows_its_approval_and_the_model_sums_up() {
    let phone = Line::default().scripted(vec![restart("19", "web"), text("It is up again.")]).await;
    phone.telegram.say(ANNA, ANNA, "restart the web container of customer 19");
    let card = phone.card(ANNA).await;
    for part in ["Approval needed", "restart_container(customer_id=19, service=web)", "anna or any admin"] {
        assert!(card.text.contains(part), "{part}: {}", card.text);
    }
    phone.world.site.change(|s| s.held = true);
    let heard = phone.press(ANNA, ANNA, card.id, YES).await;
    assert!(heard.text.starts_with("Confirmed") && !heard.alert, "{heard:?}");
    let running = phone.becomes(ANNA, card.id, "running now").await;
    assert!(running.keyboard.is_empty());
    phone.world.site.change(|s| s.held = false);
    let done = phone.becomes(ANNA, card.id, "web of 19 restarted, all up").await;
    assert!(done.text.contains("✅") && done.keyboard.is_empty(), "{}", done.text);
    phone.sees(ANNA, "It is up again.").await;
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
    assert_eq!(phone.world.writes(), ["19/web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_says_so_and_its_evidence_replies_to_the_card() {
    let phone = Line::default().plain().await;
    phone.world.site.change(|s| s.broken = true);
    let card = asked(&phone, ANNA, "12 web").await;
    phone.press(ANNA, ANNA, card.id, YES).await;
    let failed = phone.becomes(ANNA, card.id, "restarted but not up").await;
    assert!(failed.text.contains("❌") && failed.keyboard.is_empty(), "{}", failed.text);
    let evidence = phone.sees(ANNA, "cannot bind 0.0.0.0:80").await;
    assert_eq!(evidence.reply_to, Some(card.id));
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_write_leaves_no_placeholder_behind() {
    let phone = Line { placeholder_after: Duration::from_millis(20), ..Line::default() }.plain().await;
    let card = asked(&phone, ANNA, "19 web").await;
    phone.world.site.change(|s| s.held = true);
    phone.telegram.press(ANNA, ANNA, card.id, YES);
    phone.sees(ANNA, "restart_container(customer_id=19, service=web) …").await;
    phone.world.site.change(|s| s.held = false);
    phone.becomes(ANNA, card.id, "all up").await;
    phone.quiet().await;
    phone.telegram.wait_for(|w| w.from_bot(ANNA).count() == 1, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_final_and_says_so_by_the_card_alone() {
    let phone = Line::default().plain().await;
    let card = asked(&phone, ANNA, "19 web").await;
    let heard = phone.press(ANNA, ANNA, card.id, NO).await;
    assert!(heard.text.contains("Denied") && !heard.alert, "{heard:?}");
    let denied = phone.becomes(ANNA, card.id, "anna said no; nothing ran").await;
    assert!(denied.keyboard.is_empty());
    let heard = phone.press(ANNA, ANNA, card.id, &data(&card, "✅")).await;
    assert!(heard.alert && heard.text.contains("already denied by anna"), "{heard:?}");
    phone.quiet().await;
    assert_eq!((phone.shown(ANNA).len(), phone.world.writes().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_group_only_the_right_people_press_and_the_others_learn_why() {
    let phone = Line::default().plain().await;
    for user in [ANNA, BEN, CLEO, VIC, STRANGER] {
        phone.telegram.join(GROUP, user);
    }
    phone.telegram.say(GROUP, ANNA, "/restart_container@ops_test_bot 19 web");
    let card = phone.card(GROUP).await;
    for (who, button) in [(VIC, YES), (VIC, NO), (BEN, YES), (BEN, NO)] {
        let heard = phone.press(GROUP, who, card.id, button).await;
        assert!(heard.alert && heard.text.contains("not yours to decide"), "{who} {button}: {heard:?}");
        assert!(heard.text.contains("anna or any admin"), "{heard:?}");
    }
    let heard = phone.press(GROUP, STRANGER, card.id, YES).await;
    assert!(heard.text.is_empty() && !heard.alert, "{heard:?}");
    phone.quiet().await;
    let same = phone.telegram.message(GROUP, card.id).unwrap();
    assert_eq!((same.text, same.edits), (card.text.clone(), 0));
    assert!(phone.world.writes().is_empty());
    // An admin and the requester at once: one write, and whoever was later learns who was first.
    phone.telegram.hold(true);
    let presses = [CLEO, ANNA].map(|who| phone.telegram.press(GROUP, who, card.id, YES));
    phone.telegram.hold(false);
    let heard = [phone.answer(&presses[0]).await, phone.answer(&presses[1]).await];
    phone.becomes(GROUP, card.id, "all up").await;
    phone.quiet().await;
    let late: Vec<_> = heard.iter().filter(|h| h.text.contains("already approved by")).collect();
    assert!(late.len() == 1 && late[0].alert, "{heard:?}");
    assert_eq!(phone.world.writes(), ["19/web"]);
    assert_eq!(phone.shown(GROUP).len(), 1, "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_that_comes_too_late_explains_itself() {
    let mut line = Line::default();
    line.setup.bounds.approval = SignedDuration::from_secs(3);
    let phone = line.plain().await;
    let replaced = asked(&phone, ANNA, "19 web").await;
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    let superseded = phone.becomes(ANNA, replaced.id, "Replaced by a newer card").await;
    assert!(superseded.keyboard.is_empty());
    let heard = phone.press(ANNA, ANNA, replaced.id, &data(&replaced, "✅")).await;
    assert!(heard.alert && heard.text.contains("newer card replaced"), "{heard:?}");
    phone.quiet().await;
    let card = phone.card(ANNA).await;
    assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
    // Lapsed, before anybody noticed and after.
    let approval =
        phone.world.engine.store().approval_get(id(&card).parse().unwrap()).await.unwrap().unwrap();
    while jiff::Timestamp::now() < approval.expires_at {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let heard = phone.press(ANNA, ANNA, card.id, YES).await;
    assert!(heard.alert && heard.text.contains("expired"), "{heard:?}");
    phone.world.engine.sweep().await.unwrap();
    let expired = phone.becomes(ANNA, card.id, "Expired, nothing was run").await;
    assert!(expired.keyboard.is_empty());
    let heard = phone.press(ANNA, ANNA, card.id, &data(&card, "✅")).await;
    assert!(heard.alert && heard.text.contains("ask again"), "{heard:?}");
    phone.quiet().await;
    assert!(phone.world.writes().is_empty());
    assert_eq!(phone.shown(ANNA).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_decisions_count_while_a_turn_of_the_conversation_runs() {
    let phone = Line::default().open(Some(FakeModel::answering(|_, _| Say::Silent).await)).await;
    let yes = asked(&phone, ANNA, "19 web").await;
    phone.telegram.say(ANNA, ANNA, "/restart_container 7 db");
    phone.telegram.wait_for(|w| w.from_bot(ANNA).filter(|m| asks(m)).count() == 2, SOON).await;
    let no = phone.card(ANNA).await;
    phone.telegram.say(ANNA, ANNA, "how is customer 19?");
    phone.world.model().until(|s| s.requests.len() == 1).await;
    phone.telegram.say(ANNA, ANNA, &format!("/deny {}", &id(&no)[..8]));
    phone.becomes(ANNA, no.id, "Denied, nothing was run").await;
    phone.telegram.say(ANNA, ANNA, &format!("/approve {}", &id(&yes)[..8]));
    phone.becomes(ANNA, yes.id, "web of 19 restarted, all up").await;
    // Words get words: a line each that points to the card.
    for (card, part) in [(&no, "Denied"), (&yes, "all up")] {
        let found = |w: &crate::fake::telegram::World| {
            w.from_bot(ANNA).find(|m| m.reply_to == Some(card.id) && m.text.contains(part)).cloned()
        };
        phone.telegram.wait_some(found, SOON).await;
    }
    assert_eq!(phone.world.writes(), ["19/web"]);
    phone.telegram.say(ANNA, ANNA, "/stop");
    phone.sees(ANNA, "Stopped").await;
    phone.telegram.say(ANNA, ANNA, "/stop");
    phone.telegram.say(ANNA, ANNA, "/approve 00000000");
    phone.sees(ANNA, "There is no card").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_points_to_cards_that_stand_in_this_chat_and_shows_the_others() {
    let phone = Line::default().plain().await;
    let card = asked(&phone, ANNA, "19 web").await;
    phone.telegram.say(ANNA, ANNA, "/pending");
    let pointer = phone.sees(ANNA, "It waits in the message").await;
    assert_eq!(pointer.reply_to, Some(card.id));
    phone.telegram.say(CLEO, CLEO, "/pending");
    let copy = phone.card(CLEO).await;
    phone.quiet().await;
    phone.press(CLEO, CLEO, copy.id, YES).await;
    phone.becomes(CLEO, copy.id, "all up").await;
    phone.becomes(ANNA, card.id, "all up").await;
    phone.sees(ANNA, "cleo approved restart_container").await;
    phone.quiet().await;
    assert_eq!((phone.shown(ANNA).len(), phone.shown(CLEO).len()), (3, 1), "{}", phone.telegram.transcript());
    assert_eq!(phone.world.writes(), ["19/web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_console_decides_stands_on_the_card_and_its_requester_is_told() {
    for (verb, state, told) in [
        (Verb::Approve, "all up", "cleo approved restart_container(customer_id=19, service=web): done"),
        (
            Verb::Deny,
            "Denied, nothing was run",
            "cleo denied: restart_container(customer_id=19, service=web)",
        ),
    ] {
        let phone = Line::default().plain().await;
        let card = asked(&phone, ANNA, "19 web").await;
        let stored = phone.world.engine.store().approval_get(id(&card).parse().unwrap()).await.unwrap();
        let stored = opsbot::policy::card(&stored.unwrap());
        phone.world.decide(actor("cleo"), &stored, verb).await;
        let shown = phone.becomes(ANNA, card.id, state).await;
        assert!(shown.keyboard.is_empty());
        phone.sees(ANNA, told).await;
        phone.quiet().await;
        assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_of_the_console_is_decided_in_telegram() {
    let phone = Line::default().plain().await;
    let card = phone.world.say("anna", "/restart_container 19 web").await.card();
    phone.telegram.say(CLEO, CLEO, &format!("/approve {}", card.id));
    phone.sees(CLEO, "web of 19 restarted, all up").await;
    phone.quiet().await;
    assert_eq!(phone.shown(CLEO).len(), 1, "{}", phone.telegram.transcript());
    assert_eq!(phone.world.state(&card).await, CardState::Done);
    let told = phone.world.engine.store().outbox_take(&crate::scenarios::world::conversation("anna")).await;
    let told = serde_json::to_string(&told.unwrap().into_iter().map(|(_, b, _)| b).collect::<Vec<_>>());
    assert!(told.as_ref().unwrap().contains("cleo approved restart_container"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_is_asked_in_private_and_all_copies_show_the_outcome() {
    let phone = two_person().await;
    let card = asked(&phone, ANNA, "16 web").await;
    assert!(card.text.contains("two people") && phone.shown(CLEO).is_empty());
    let heard = phone.press(ANNA, ANNA, card.id, "✅ Confirm (1 of 2)").await;
    assert!(heard.text.contains("First yes recorded") && heard.text.contains("cleo, dora"), "{heard:?}");
    phone.becomes(ANNA, card.id, "A second yes is needed").await;
    let (cleo, dora) = (phone.card(CLEO).await, phone.card(DORA).await);
    assert!(cleo.text.contains("First yes: anna") && !cleo.silent, "{}", cleo.text);
    phone.quiet().await;
    assert!(phone.shown(BEN).is_empty() && phone.shown(VIC).is_empty());
    let heard = phone.press(ANNA, ANNA, card.id, "✅ Confirm (2 of 2)").await;
    assert!(heard.alert && heard.text.contains("already said yes"), "{heard:?}");
    assert!(phone.world.writes().is_empty());
    let heard = phone.press(DORA, DORA, dora.id, "✅ Confirm (2 of 2)").await;
    assert!(heard.text.starts_with("Confirmed"), "{heard:?}");
    for (chat, message) in [(ANNA, card.id), (CLEO, cleo.id), (DORA, dora.id)] {
        let done = phone.becomes(chat, message, "web of 16 restarted, all up").await;
        assert!(done.keyboard.is_empty());
    }
    phone.sees(ANNA, "dora approved restart_container").await;
    let heard = phone.press(CLEO, CLEO, cleo.id, &data(&cleo, "✅")).await;
    assert!(heard.alert && heard.text.contains("already approved by dora"), "{heard:?}");
    phone.quiet().await;
    assert_eq!(phone.world.writes(), ["16/web"]);
    let counts = [ANNA, CLEO, DORA].map(|chat| phone.shown(chat).len());
    assert_eq!(counts, [2, 1, 1], "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_no_ends_a_card_for_two_and_an_admin_cannot_be_first() {
    let phone = two_person().await;
    let card = asked(&phone, CLEO, "16 web").await;
    let heard = phone.press(CLEO, CLEO, card.id, "✅ Confirm (1 of 2)").await;
    assert!(heard.text.contains("asked: dora."), "{heard:?}");
    let dora = phone.card(DORA).await;
    phone.quiet().await;
    phone.press(DORA, DORA, dora.id, NO).await;
    phone.becomes(CLEO, card.id, "dora said no; nothing ran").await;
    phone.becomes(DORA, dora.id, "dora said no; nothing ran").await;
    phone.sees(CLEO, "dora denied: restart_container").await;
    // From the console the first yes reaches the phones too.
    let asked = phone.world.say("anna", "/restart_container 16 db").await.card();
    phone.telegram.say(DORA, DORA, &format!("/approve {}", asked.id));
    phone.sees(DORA, "must press first").await;
    phone.world.approve("anna", &asked).await.has("asked: cleo, dora.");
    let second = phone.card(CLEO).await;
    phone.press(CLEO, CLEO, second.id, "✅ Confirm (2 of 2)").await;
    phone.becomes(CLEO, second.id, "db of 16 restarted, all up").await;
    phone.quiet().await;
    assert_eq!(phone.world.writes(), ["16/db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writes_stand_on_one_card_and_run_in_order() {
    let both = calls([
        ("restart_container", serde_json::json!({"customer_id": "19", "service": "db"})),
        ("restart_container", serde_json::json!({"customer_id": "19", "service": "web"})),
    ]);
    let phone = Line::default().scripted(vec![both, text("Both are up.")]).await;
    phone.telegram.say(ANNA, ANNA, "restart db and web of customer 19");
    let card = phone.card(ANNA).await;
    for part in [
        "1. restart_container(customer_id=19, service=db)",
        "2. restart_container(customer_id=19, service=web)",
    ] {
        assert!(card.text.contains(part), "{}", card.text);
    }
    phone.press(ANNA, ANNA, card.id, YES).await;
    phone.becomes(ANNA, card.id, "db of 19 restarted, all up; web of 19 restarted, all up").await;
    phone.sees(ANNA, "Both are up.").await;
    assert_eq!(phone.world.writes(), ["19/db", "19/web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_as_it_was_shown_does_not_run_and_both_card_and_toast_say_so() {
    for (case, part) in [("replaced", "container c19-web was replaced"), ("frozen", "changes were frozen")] {
        let phone = Line::default().plain().await;
        let card = asked(&phone, ANNA, "19 web").await;
        if case == "frozen" {
            phone.telegram.say(BEN, BEN, "/freeze");
            phone.sees(BEN, "Frozen").await;
        } else {
            phone.world.site.change(|s| s.generation += 1);
        }
        let heard = phone.press(ANNA, ANNA, card.id, YES).await;
        assert!(heard.alert && heard.text.contains(part), "{case}: {heard:?}");
        let failed = phone.becomes(ANNA, card.id, part).await;
        assert!(failed.text.contains("not run") && failed.keyboard.is_empty(), "{}", failed.text);
        phone.quiet().await;
        assert_eq!((phone.world.writes().len(), phone.shown(ANNA).len()), (0, 1), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_no_row_knew_is_kept_true_from_its_first_press() {
    let phone = Line::default().plain().await;
    phone.telegram.fault_in(ANNA, "sendMessage", 1, Fault::LandThenDrop);
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    phone.telegram.wait_for(|w| w.from_bot(ANNA).filter(|m| asks(m)).count() == 2, SOON).await;
    phone.quiet().await;
    let copies = phone.shown(ANNA);
    assert!(copies[1].text.starts_with("↻") && !copies[0].text.starts_with("↻"));
    phone.press(ANNA, ANNA, copies[0].id, YES).await;
    for copy in &copies {
        let done = phone.becomes(ANNA, copy.id, "all up").await;
        assert!(done.keyboard.is_empty());
    }
    phone.quiet().await;
    assert_eq!(phone.world.writes(), ["19/web"]);
    assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
}
