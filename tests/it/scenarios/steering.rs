//! Stop and freeze work at once and in any state; conversations queue for themselves only.

use std::time::{Duration, Instant};

use opsbot::domain::{AuditKind, Inbound, Outbound, TurnStatus};
use serde_json::json;

use super::world::{DIALECTS, Setup, World, actor, call, conversation, inbound, restart, text};
use crate::fake::model::{FakeModel, Say};

/// Far less than anything waits for here.
const AT_ONCE: Duration = Duration::from_secs(2);

/// `person` writes into the conversation of `owner`.
fn into(owner: &str, person: &str, text: &str) -> Inbound {
    Inbound { conversation: conversation(owner), actor: actor(person), ..inbound(person, text) }
}

#[tokio::test]
async fn a_freeze_holds_for_everybody_until_an_admin_lifts_it() {
    let script = |_: &serde_json::Value, n: usize| {
        if n % 2 == 0 { restart("19", "web") } else { text("Frozen, sorry.") }
    };
    let setup = Setup { on_disk: true, ..Setup::default() };
    let mut world = World::start(setup, Some(FakeModel::answering(script).await)).await;
    world.say("vic", "/freeze").await.ended(TurnStatus::Refused).has("viewers may not freeze");
    let t = world.say("anna", "/restart_container 19 db").await;
    let card = t.ended(TurnStatus::WaitsForApproval).card();
    world.say("ben", "/freeze").await.ended(TurnStatus::Answered).has("Frozen");
    world.say("anna", "/freeze").await.ended(TurnStatus::Answered).has("Already frozen");
    for restarted in [false, true] {
        if restarted {
            world.reopen().await;
        }
        for person in ["anna", "cleo"] {
            let t = world.say(person, "/restart_container 19 web").await;
            t.ended(TurnStatus::Refused).has("Changes are frozen");
            let t = world.say(person, "restart the web of customer 19").await;
            t.ended(TurnStatus::Refused).has("Changes are frozen");
            assert!(t.cards().is_empty());
        }
        world.say("vic", "/check_up 19").await.ended(TurnStatus::Answered).has("web of 19 is unhealthy");
        world.say("vic", "/status").await.has("by ben since");
        world.say("ben", "/unfreeze").await.ended(TurnStatus::Refused).has("only an admin");
    }
    world.approve("anna", &card).await.ended(TurnStatus::Failed).has("frozen");
    world.say("cleo", "/unfreeze").await.ended(TurnStatus::Answered).has("possible again");
    world.say("cleo", "/unfreeze").await.ended(TurnStatus::Answered).has("Nothing was frozen");
    assert!(world.writes().is_empty());
    let card = world.say("anna", "/restart_container 19 web").await.card();
    world.approve("anna", &card).await;
    assert_eq!(world.writes(), ["19/web"]);
    let latch = world.audit().await.into_iter().filter(|e| e.kind == AuditKind::Freeze);
    let by: Vec<_> = latch.map(|e| e.summary).collect();
    assert_eq!(by, ["freeze by ben", "freeze by anna", "unfreeze by cleo", "unfreeze by cleo"]);
}

#[tokio::test]
async fn a_stop_answers_at_once_while_the_model_is_silent() {
    for dialect in DIALECTS {
        for silent in [Say::Silent, Say::Stalls("I began".into())] {
            let first = silent.clone();
            let script = move |_: &serde_json::Value, n: usize| {
                if n == 0 { first.clone() } else { text("Here again.") }
            };
            let model = FakeModel::answering(script).await;
            let world = World::start(Setup { dialect, ..Setup::default() }, Some(model)).await;
            let turn = world.begin(inbound("anna", "how is 19?"));
            world.model().until(|s| s.requests.len() == 1).await;
            let begin = Instant::now();
            world.say("anna", "/stop").await.ended(TurnStatus::Answered).has("Stopping 1");
            let t = turn.await.unwrap();
            assert!(begin.elapsed() < AT_ONCE, "{dialect:?} {silent:?}: {:?}", begin.elapsed());
            t.ended(TurnStatus::Stopped).has("Stopped.");
            world.model().until(|s| s.dropped == 1).await;
            assert!(world.audit().await.iter().any(|e| e.kind == AuditKind::Stopped));
            assert!(world.engine.store().inbox_open().await.unwrap().is_empty());
            world.say("anna", "/stop").await.ended(TurnStatus::Answered).has("Nothing is running");
            world.say("anna", "hello?").await.ended(TurnStatus::Answered).has("Here again.");
            let last = world.model().requests().pop().unwrap().to_string();
            assert!(last.contains("how is 19?"), "what was asked is remembered: {last}");
        }
    }
}

#[tokio::test]
async fn a_stop_takes_a_running_tool_along() {
    for command in [false, true] {
        let world =
            World::scripted(vec![call("check_up", json!({"customer_id": "19"})), text("Never.")]).await;
        world.site.change(|s| s.held = true);
        let words = if command { "/check_up 19" } else { "how is 19?" };
        let turn = world.begin(inbound("anna", words));
        world.site.until(|s| s.entered == 1).await;
        world.say("anna", "/stop").await;
        turn.await.unwrap().ended(TurnStatus::Stopped).has("Stopped.");
        assert_eq!(world.site.read(|s| (s.dropped, s.ended)), (1, 0), "{words}");
        world.site.change(|s| s.held = false);
        world.say("anna", "/get_health_score 19").await.ended(TurnStatus::Answered).has("19: 40");
    }
}

#[tokio::test]
async fn whose_turn_may_be_stopped_by_whom() {
    // (who stops, whether anna's turn ends)
    let table = [("anna", true), ("vic", false), ("ben", false), ("cleo", true)];
    for (person, ends) in table {
        let world = World::plain().await;
        world.site.change(|s| s.held = true);
        let turn = world.begin(inbound("anna", "/check_up 19"));
        world.site.until(|s| s.entered == 1).await;
        let t = world.send(into("anna", person, "/stop")).await;
        t.ended(TurnStatus::Answered).has(if ends { "Stopping 1" } else { "not yours" });
        world.site.change(|s| s.held = false);
        let status = turn.await.unwrap().status;
        assert_eq!(status == TurnStatus::Stopped, ends, "{person}: {status:?}");
    }
    // A viewer stops an own turn.
    let world = World::plain().await;
    world.site.change(|s| s.held = true);
    let turn = world.begin(inbound("vic", "/check_up 19"));
    world.site.until(|s| s.entered == 1).await;
    world.say("vic", "/stop").await.has("Stopping 1");
    turn.await.unwrap().ended(TurnStatus::Stopped);
}

#[tokio::test]
async fn a_conversation_takes_turns_and_refuses_past_its_limit() {
    let mut setup = Setup::default();
    setup.bounds.queue = 2;
    let world = World::start(setup, None).await;
    world.site.change(|s| s.held = true);
    let first = world.begin(inbound("anna", "/check_up 19"));
    world.site.until(|s| s.entered == 1).await;
    let second = world.begin(inbound("anna", "/get_health_score 7"));
    while world.engine.store().inbox_open().await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    // The second is in its place once it has said so; a third finds no room.
    let third = loop {
        let t = world.begin(inbound("anna", "/get_health_score 12"));
        match tokio::time::timeout(Duration::from_millis(200), t).await {
            Ok(t) => break t.unwrap(),
            Err(_) => panic!("the third waits"),
        }
    };
    third.ended(TurnStatus::Failed).has("already waiting");
    assert_eq!(world.site.read(|s| s.entered), 1, "the second waits for the first");
    // Steering needs no place.
    world.say("anna", "/whoami").await.ended(TurnStatus::Answered).has("You are anna, operator");
    world.site.change(|s| s.held = false);
    first.await.unwrap().ended(TurnStatus::Answered).has("web of 19");
    let second = second.await.unwrap();
    second.ended(TurnStatus::Answered).has("7: 40");
    assert!(second.events.contains(&Outbound::Progress { text: "1 before this one …".into() }));
    world.say("anna", "/get_health_score 12").await.ended(TurnStatus::Answered);
}

#[tokio::test]
async fn a_stop_reaches_what_waits_too() {
    let world = World::plain().await;
    world.site.change(|s| s.held = true);
    let first = world.begin(inbound("anna", "/check_up 19"));
    world.site.until(|s| s.entered == 1).await;
    let second = world.begin(inbound("anna", "/get_health_score 7"));
    let mut stopped = String::new();
    while !stopped.contains("Stopping 2") {
        let rows = world.say("anna", "/status").await.shown();
        if rows.contains(r#"["running","2"]"#) {
            stopped = world.say("anna", "/stop").await.shown();
        }
    }
    first.await.unwrap().ended(TurnStatus::Stopped);
    second.await.unwrap().ended(TurnStatus::Stopped);
    assert_eq!(world.site.read(|s| (s.entered, s.dropped)), (1, 1), "the second never began");
}

#[tokio::test]
async fn conversations_do_not_wait_for_each_other() {
    let world = World::plain().await;
    world.site.change(|s| s.held = true);
    let annas = world.begin(inbound("anna", "/check_up 19"));
    world.site.until(|s| s.entered == 1).await;
    let bens = world.begin(inbound("ben", "/check_up 7"));
    // Both are inside at a time.
    world.site.until(|s| s.entered == 2).await;
    world.site.change(|s| s.held = false);
    annas.await.unwrap().ended(TurnStatus::Answered).has("web of 19");
    bens.await.unwrap().ended(TurnStatus::Answered).has("web of 7");
}

#[tokio::test]
async fn a_card_is_decided_although_the_model_is_silent() {
    let world = World::start(Setup::default(), Some(FakeModel::answering(|_, _| Say::Silent).await)).await;
    let card = world.say("anna", "/restart_container 19 web").await.card();
    let turn = world.begin(inbound("anna", "how is 19?"));
    world.model().until(|s| s.requests.len() == 1).await;
    let decision = world.begin_decision(actor("anna"), &card, opsbot::policy::approval::Verb::Approve);
    world.site.until(|s| s.writes.len() == 1).await;
    while world.state(&card).await != opsbot::domain::CardState::Done {
        tokio::task::yield_now().await;
    }
    world.say("anna", "/stop").await;
    turn.await.unwrap().ended(TurnStatus::Stopped);
    // What the model would say to the outcome waits behind the turn, and a stop ends that too.
    world.say("anna", "/stop").await;
    let t = decision.await.unwrap();
    t.ended(TurnStatus::Answered).has("web of 19 restarted, all up");
}

#[tokio::test]
async fn a_drain_lets_work_finish_and_then_stops_it() {
    let world = World::plain().await;
    world.site.change(|s| s.held = true);
    let turn = world.begin(inbound("anna", "/check_up 19"));
    world.site.until(|s| s.entered == 1).await;
    assert!(world.engine.drain(Duration::from_millis(400)).await, "stopped after half of it");
    turn.await.unwrap().ended(TurnStatus::Stopped);
}
