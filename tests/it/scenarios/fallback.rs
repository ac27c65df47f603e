//! The model fails in every way that servers do: the person is told, and answered without it.

use std::time::{Duration, Instant};

use opsbot::{domain::TurnStatus, llm::Dialect};
use serde_json::json;

use super::world::{DIALECTS, Setup, World, call, text};
use crate::fake::model::{self, FakeModel, Say};

/// Every failure with a part of what the person reads.
fn failures(dialect: Dialect) -> Vec<(&'static str, Say, &'static str)> {
    let error = |status, text: &str| {
        let body = match dialect {
            Dialect::Ollama => json!({"error": text}),
            Dialect::OpenAi => json!({"error": {"message": text}}),
        };
        Say::Error { status, body: body.to_string() }
    };
    let raw = |pieces: &[&[u8]], whole| Say::Raw {
        head: "HTTP/1.1 200 OK\r\nContent-Type: text/html".into(),
        pieces: pieces.iter().map(|p| p.to_vec()).collect(),
        whole,
    };
    vec![
        ("error in the stream", Say::MidStreamError("CUDA out of memory".into()), "broke off"),
        ("cut", Say::Cut, "broke off"),
        ("silence", Say::Silent, "was silent"),
        ("stalls", Say::Stalls("I began".into()), "was silent"),
        ("busy", error(503, "server busy"), "busy"),
        ("inner error", error(500, "something failed"), "refused"),
        ("garbage", raw(&[b"<html>not a model</html>\n"], true), "the model"),
        ("bytes", raw(&[b"\xff\xfe\x00\n\xff\n"], true), "the model"),
        ("nothing", raw(&[], false), "the model"),
    ]
}

fn impatient(dialect: Dialect) -> Setup {
    Setup { dialect, patience: Duration::from_millis(300), ..Setup::default() }
}

#[tokio::test]
async fn before_anything_was_found_commands_fall_in() {
    for dialect in DIALECTS {
        for (name, say, part) in failures(dialect) {
            let model = FakeModel::answering(move |_, _| say.clone()).await;
            let world = World::start(impatient(dialect), Some(model)).await;
            let t = world.say("anna", "what's wrong with customer 19?").await;
            let name = format!("{name} in {dialect:?}");
            assert_eq!(t.status, TurnStatus::Answered, "{name}: {}", t.shown());
            let shown = t.shown();
            assert!(shown.contains("Without the model: ") && shown.contains(part), "{name}: {shown}");
            assert!(shown.contains("/check_up 19"), "{name}: {shown}");
            assert!(!shown.contains("I began"), "{name}: what was begun is taken back: {shown}");
            assert!(!shown.contains("127.0.0.1"), "{name}: {shown}");
            // The commands work meanwhile, and nothing half-said is remembered.
            world.say("anna", "/check_up 19").await.ended(TurnStatus::Answered).has("web of 19 is unhealthy");
            assert!(
                !world.history("anna").await.iter().any(|r| r.content.to_string().contains("I began")),
                "{name}"
            );
            assert!(world.engine.store().inbox_open().await.unwrap().is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_found_already_stays_and_counts_as_the_answer() {
    for dialect in DIALECTS {
        for (name, say, part) in failures(dialect) {
            let model = FakeModel::answering(move |_, n| match n {
                0 => call("check_up", json!({"customer_id": "19"})),
                _ => say.clone(),
            })
            .await;
            let world = World::start(impatient(dialect), Some(model)).await;
            let t = world.say("anna", "what's wrong with customer 19?").await;
            let shown = t.shown();
            assert_eq!(t.status, TurnStatus::Answered, "{name} in {dialect:?}: {shown}");
            assert!(shown.contains("web of 19 is unhealthy"), "{name}: {shown}");
            assert!(shown.contains("What was found stands above") && shown.contains(part), "{name}: {shown}");
            assert!(!shown.contains("I began"), "{name}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_says_how_to_bring_it() {
    let setup = model::Setup { model: Some("mistral:7b".into()), ..model::Setup::default() };
    let model = FakeModel::with(setup, |_, _| text("never")).await;
    let world = World::start(Setup { model: "qwen3:4b".into(), ..Setup::default() }, Some(model)).await;
    let t = world.say("anna", "check customer 19").await;
    t.ended(TurnStatus::Answered).has("ollama pull qwen3:4b");
    t.has("/check_up 19");
}

#[tokio::test]
async fn a_server_that_is_down_is_named_and_one_that_comes_back_is_used() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let first = FakeModel::on(listener, model::Setup::default(), |_, _| text("Here I am."));
    let mut world = World::start(Setup::default(), Some(first)).await;
    world.say("anna", "there?").await.ended(TurnStatus::Answered).has("Here I am.");
    drop(world.end_model());
    world.say("anna", "check customer 19").await.ended(TurnStatus::Answered).has("does not answer");
    let listener = loop {
        match tokio::net::TcpListener::bind(at).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let _back = FakeModel::on(listener, model::Setup::default(), |_, _| text("Here I am again."));
    world.say("anna", "there?").await.ended(TurnStatus::Answered).has("Here I am again.");
}

#[tokio::test]
async fn a_turn_ends_at_its_deadline_although_the_model_drips() {
    let drip = Say::Slow { text: (0..5000).map(|n| format!("so much to say, {n} ")).collect(), chunk_ms: 20 };
    let model = FakeModel::start(vec![drip]).await;
    let mut setup = Setup::default();
    setup.bounds.turn = Duration::from_millis(400);
    let world = World::start(setup, Some(model)).await;
    let begin = Instant::now();
    let t = world.say("anna", "check customer 19").await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    t.ended(TurnStatus::Answered).has("Without the model");
    t.lacks("so much to say");
    world.model().until(|s| s.dropped == 1).await;
}
