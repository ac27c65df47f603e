//! What OpsBot itself adds to a turn: beside a bare commit, with fifty conversations at once, and over ten thousand turns.
//! Prints figures with the machine they were taken on; judges nothing. `cargo bench --bench turns -- [share] [fifty] [long]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures, prints, and fails by panicking"
)]

mod house;
#[allow(dead_code, reason = "a bench needs a part of it")]
#[path = "../tests/it/fake/model.rs"]
mod model;

use std::{
    env,
    time::{Duration, Instant},
};

use futures::future::join_all;
use house::{House, ask, bare_store, machine, ms, quantile, row, spread};
use model::{FakeModel, Say};
use opsbot::{
    control::{Client, Op},
    domain::TurnStatus,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

const TURNS: usize = 500;
const CONVERSATIONS: usize = 50;
const ROUNDS: usize = 10;
/// How long the slow back end takes.
const SLOW: Duration = Duration::from_secs(2);
const LONG: usize = 10_000;
const PARTS: [&str; 3] = ["share", "fifty", "long"];

fn main() {
    let wanted: Vec<_> = env::args().filter(|a| PARTS.contains(&a.as_str())).collect();
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|w| w == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        machine();
        if runs("share") {
            share().await;
        }
        if runs("fifty") {
            fifty().await;
        }
        if runs("long") {
            long().await;
        }
    });
}

fn say(conversation: &str, text: &str) -> Op {
    Op::Say { conversation: conversation.into(), text: text.into(), quoted: vec![] }
}

/// Calls the tool that the question names, then answers.
fn scripted(body: &Value, _: usize) -> Say {
    let last = body["messages"].as_array().and_then(|m| m.last());
    let (role, text) = match last {
        Some(m) => (m["role"].as_str().unwrap_or_default(), m["content"].as_str().unwrap_or_default()),
        None => ("", ""),
    };
    match role {
        "tool" => Say::Text("All is well.".into()),
        _ if text.contains("alerts") => Say::Calls(vec![("list_active_alerts".into(), json!({}))]),
        _ => Say::Calls(vec![("search_output".into(), json!({"id": "none", "pattern": "x"}))]),
    }
}

fn with_model(model: &FakeModel, more: &str) -> House {
    House::new(&format!("[model]\nurl = \"{}\"\nname = \"fake\"\n{more}", model.url))
}

/// A turn with a model that answers at once and a tool without a back end, each beside a bare durable commit.
async fn share() {
    let model = FakeModel::answering(scripted).await;
    let house = with_model(&model, "");
    let (daemon, client, _) = house.start().await;
    let beside = tempfile::tempdir().unwrap();
    let store = bare_store(beside.path()).await;
    let (mut commits, mut turns) = (vec![], vec![]);
    for _ in 0..TURNS {
        let begun = Instant::now();
        store.ping_commit().await.unwrap();
        commits.push(begun.elapsed());
        let begun = Instant::now();
        ask(&client, say("share", "look it up")).await;
        turns.push(begun.elapsed());
    }
    row("a bare durable commit", &spread(&commits));
    row("a turn: two requests to a model that answers at once, one tool without a back end", &spread(&turns));
    let goal = Duration::from_millis(5) + quantile(&commits, 0.5) * 3;
    let seen = quantile(&turns, 0.5);
    row("its median against 5 ms + 3 commits", &format!("{} of {}", ms(seen), ms(goal)));
    drop(client);
    daemon.stop().await;
    store.close().await.unwrap();
}

/// Half of fifty conversations ask a back end that takes its time, the other half does not: what these wait.
async fn fifty() {
    let slow = slow_prometheus().await;
    for (what, asks) in [
        ("nobody asks the slow back end", 0),
        ("the other half waits for a slow back end", CONVERSATIONS / 2),
    ] {
        let model = FakeModel::answering(scripted).await;
        let house = with_model(&model, &format!("[prometheus]\nurl = \"{slow}\"\n"));
        let (daemon, client, _) = house.start().await;
        let patient =
            join_all((0..asks).map(|n| one(&house, format!("slow{n}"), "which alerts are there?", 1)));
        let fast =
            join_all((asks..CONVERSATIONS).map(|n| one(&house, format!("fast{n}"), "look it up", ROUNDS)));
        let (patient, fast) = tokio::join!(patient, fast);
        row(&format!("{CONVERSATIONS} conversations at once, {what}: a quick turn"), &spread(&fast.concat()));
        if asks > 0 {
            row(
                &format!("the slow ones' turns, their back end takes {}", ms(SLOW)),
                &spread(&patient.concat()),
            );
        }
        drop(client);
        daemon.stop().await;
    }
}

/// One conversation over a connection of its own, as terminals have it: a connection's requests are bounded.
async fn one(house: &House, conversation: String, text: &str, rounds: usize) -> Vec<Duration> {
    let client = Client::connect(&house.state().join("opsbot.sock")).await.unwrap();
    let mut times = vec![];
    for _ in 0..rounds {
        let begun = Instant::now();
        let status = ask(&client, say(&conversation, text)).await;
        assert_eq!(status, TurnStatus::Answered, "{conversation}");
        times.push(begun.elapsed());
    }
    times
}

/// Answers that there are no alerts, late.
async fn slow_prometheus() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _read = stream.read(&mut [0; 4096]).await;
                sleep(SLOW).await;
                let body = r#"{"status":"success","data":{"alerts":[]}}"#;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
                let _sent =
                    stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
            });
        }
    });
    url
}

/// Memory over ten thousand turns in twenty conversations.
async fn long() {
    let model = FakeModel::answering(scripted).await;
    let house = with_model(&model, "");
    let (daemon, client, _) = house.start().await;
    for tenth in 1..=10 {
        let rounds = LONG / 10 / 20;
        join_all((0..20).map(|n| one(&house, format!("c{n}"), "look it up", rounds))).await;
        row(&format!("memory after {} turns", LONG / 10 * tenth), &daemon.memory());
    }
    drop(client);
    daemon.stop().await;
}
