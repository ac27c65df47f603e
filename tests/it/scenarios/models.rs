//! `/model`, the line before it, and what a person sees when a host or a chosen model is gone.

use std::time::Duration;

use opsbot::{
    domain::{AuditKind, Outbound, TurnStatus},
    engine::Bounds,
};
use serde_json::{Value, json};

use super::world::{Setup, World, call, conversation, inbound, text};
use crate::fake::model::{self, FakeModel, Say};

fn progress(events: &[Outbound]) -> Vec<&str> {
    let text = |e: &'_ Outbound| matches!(e, Outbound::Progress { .. });
    let lines = events.iter().filter(|e| text(e));
    lines
        .filter_map(|e| if let Outbound::Progress { text } = e { Some(text.as_str()) } else { None })
        .collect()
}

async fn two_models(pull: (Vec<Value>, u64)) -> FakeModel {
    let setup = model::Setup {
        model: Some("fake".into()),
        others: vec!["qwen3:4b".into()],
        pull,
        ..model::Setup::default()
    };
    FakeModel::with(setup, |body, _| text(&format!("I am {}.", body["model"].as_str().unwrap()))).await
}

#[tokio::test]
async fn a_conversation_chooses_its_model_and_others_keep_theirs() {
    let world = World::start(Setup::default(), Some(two_models((vec![], 0)).await)).await;
    let t = world.say("anna", "/model").await;
    t.ended(TurnStatus::Answered).has("this conversation uses fake");
    t.has(r#"["","qwen3:4b","491 MB","yes","no"]"#);
    t.has(r#"["qwen3:4b","/model qwen3:4b"]"#);
    world.say("vic", "/model qwen3:4b").await.ended(TurnStatus::Refused).has("viewers may not");
    world.say("vic", "/model").await.ended(TurnStatus::Answered).lacks("Use in this conversation");
    world.say("anna", "/model qwen3").await.ended(TurnStatus::Failed).has("Did you mean");
    world.say("anna", "/model nonsense").await.ended(TurnStatus::Failed).has("no model `nonsense`");
    world.say("anna", "/model QWEN3:4B").await.ended(TurnStatus::Answered).has("uses qwen3:4b from the next");
    world.say("anna", "hello").await.ended(TurnStatus::Answered).has("I am qwen3:4b.");
    world.say("ben", "hello").await.has("I am fake.");
    world.say("anna", "/model").await.has("/model default");
    world.say("anna", "/model default").await.has("the configured model, fake");
    world.say("anna", "hello").await.has("I am fake.");
}

#[tokio::test]
async fn a_chosen_model_that_is_gone_is_said_and_the_configured_one_answers() {
    let world = World::start(Setup::default(), Some(two_models((vec![], 0)).await)).await;
    world.engine.store().conversation_model(&conversation("anna"), Some("gone:1b")).await.unwrap();
    let t = world.say("anna", "hello").await;
    t.ended(TurnStatus::Answered).has("The model gone:1b is gone; fake answers from now on");
    t.has("I am fake.");
    let t = world.say("anna", "hello").await;
    t.lacks("is gone");
    t.has("I am fake.");
}

#[tokio::test]
async fn an_admin_pulls_with_progress_one_at_a_time_and_stop_ends_it() {
    let line = |done: u64| json!({"status": "pulling 33d9", "completed": done, "total": 491_401_324_u64});
    let mut lines: Vec<_> = (1..=12).map(|n| line(n * 40_000_000)).collect();
    lines.push(json!({"status": "success"}));
    let world = World::start(Setup::default(), Some(two_models((lines, 150)).await)).await;
    for person in ["vic", "anna"] {
        world.say(person, "/model pull qwen3:8b").await.ended(TurnStatus::Refused).has("only an admin");
    }
    let pull = world.begin(inbound("cleo", "/model pull qwen3:8b"));
    world.model().until(|s| s.paths.iter().any(|p| p == "POST /api/pull")).await;
    world.say("dora", "/model pull other").await.ended(TurnStatus::Failed).has("qwen3:8b is being pulled");
    // The conversation goes on meanwhile.
    world.say("cleo", "hello").await.has("I am fake.");
    let t = pull.await.unwrap();
    t.ended(TurnStatus::Answered).has("qwen3:8b is on main now.");
    t.has("/model qwen3:8b");
    let lines = progress(&t.events);
    assert!(lines.len() >= 3 && lines.len() <= 6, "{lines:?}");
    assert!(lines.iter().any(|l| l.contains("of 491 MB (")), "{lines:?}");

    let pull = world.begin(inbound("cleo", "/model pull qwen3:8b"));
    world.model().until(|s| s.paths.iter().filter(|p| *p == "POST /api/pull").count() == 2).await;
    world.say("cleo", "/stop").await.has("Stopping 1");
    pull.await.unwrap().ended(TurnStatus::Stopped).has("Stopped pulling");
    world.model().until(|s| s.dropped == 1).await;
    let kept: Vec<_> = world.audit().await.into_iter().filter(|e| e.kind == AuditKind::Daemon).collect();
    let kept: Vec<_> = kept.iter().map(|e| e.summary.as_str()).collect();
    assert_eq!(
        kept,
        ["pull of the model qwen3:8b by cleo: done on main", "pull of the model qwen3:8b by cleo: stopped"]
    );
}

#[tokio::test]
async fn a_pull_goes_on_when_its_client_leaves() {
    let mut lines = vec![json!({"status": "pulling manifest"}); 5];
    lines.push(json!({"status": "success"}));
    let world = World::start(Setup::default(), Some(two_models((lines, 60)).await)).await;
    let pull = world.begin(inbound("cleo", "/model pull qwen3:8b"));
    world.model().until(|s| s.paths.iter().any(|p| p == "POST /api/pull")).await;
    pull.abort();
    let done = async {
        while !world.audit().await.iter().any(|e| e.summary.ends_with("done on main")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("the pull ended with its client");
}

#[tokio::test]
async fn who_waits_for_the_model_is_told_and_can_leave_and_tools_never_wait() {
    let script = |body: &Value, _: usize| {
        if body.to_string().contains("slow question") {
            return Say::Slow { text: "Here you are, at last.".into(), chunk_ms: 150 };
        }
        text("Quick.")
    };
    // The turn's own time is far shorter than the wait in line.
    let bounds = Bounds { turn: Duration::from_secs(2), ..Setup::default().bounds };
    let setup = Setup { parallel: 1, bounds, ..Setup::default() };
    let world = World::start(setup, Some(FakeModel::answering(script).await)).await;
    world.say("anna", "warm up").await.has("Quick.");
    let slow = world.begin(inbound("anna", "slow question"));
    world.model().until(|s| s.requests.len() == 2).await;
    let leaves = world.begin(inbound("ben", "slow question of ben"));
    let line = async { while !world.say("vic", "/status").await.shown().contains("2 in line") {} };
    tokio::time::timeout(Duration::from_secs(10), line).await.unwrap();
    let waits: Vec<_> =
        ["cleo", "dora"].map(|p| world.begin(inbound(p, "slow question"))).into_iter().collect();
    // Tools never stand in that line.
    world.say("vic", "/check_up 19").await.ended(TurnStatus::Answered).has("web of 19 is unhealthy");
    world.say("ben", "/stop").await.has("Stopping 1");
    let left = leaves.await.unwrap();
    left.ended(TurnStatus::Stopped);
    assert!(progress(&left.events).contains(&"1 before you at the model …"), "{:?}", left.events);
    slow.await.unwrap().ended(TurnStatus::Answered).has("at last.");
    let mut most = 0;
    for waited in waits {
        let t = waited.await.unwrap();
        t.ended(TurnStatus::Answered).has("at last.");
        let before = progress(&t.events)
            .into_iter()
            .filter_map(|l| l.split_once(" before you")?.0.parse::<u32>().ok());
        most = most.max(before.max().unwrap_or(0));
        assert!(progress(&t.events).contains(&"asking fake …"), "{:?}", t.events);
    }
    assert!(most >= 2, "{most}");
    assert!(
        !world.model().requests().iter().any(|r| r.to_string().contains("of ben")),
        "who left was asked for"
    );
}

#[tokio::test]
async fn a_slow_tool_of_one_keeps_nobody_from_the_model() {
    let script = |body: &Value, _: usize| match body["messages"].as_array().unwrap().last().unwrap() {
        last if last["role"] == "user" && last.to_string().contains("check 19") => {
            call("check_up", json!({"customer_id": "19"}))
        }
        last if last["role"] == "tool" => text("Looked."),
        _ => text("Quick."),
    };
    let setup = Setup { parallel: 1, ..Setup::default() };
    let world = World::start(setup, Some(FakeModel::answering(script).await)).await;
    world.site.change(|s| s.held = true);
    let held = world.begin(inbound("anna", "check 19"));
    world.site.until(|s| s.entered == 1).await;
    for _ in 0..3 {
        world.say("ben", "hello").await.ended(TurnStatus::Answered).has("Quick.");
    }
    world.site.change(|s| s.held = false);
    held.await.unwrap().ended(TurnStatus::Answered).has("Looked.");
}

#[tokio::test]
async fn a_host_that_breaks_off_is_replaced_and_its_words_are_taken_back() {
    let spare = FakeModel::answering(|_, _| text("From the spare.")).await;
    let setup = Setup { spares: vec![spare.url.clone()], ..Setup::default() };
    let world = World::start(setup, Some(FakeModel::answering(|_, _| Say::Cut).await)).await;
    let t = world.say("anna", "hello").await;
    t.ended(TurnStatus::Answered).has("From the spare.");
    t.lacks("I began");
    assert!(t.events.contains(&Outbound::Retract), "{:?}", t.events);
    assert!(progress(&t.events).iter().all(|l| !l.contains("spare0") || l.contains("instead of main")));
    let last = world.history("anna").await.pop().unwrap().content.to_string();
    assert!(last.contains("From the spare.") && !last.contains("I began"), "{last}");
    world.say("vic", "/status").await.has("model host spare0");
}
