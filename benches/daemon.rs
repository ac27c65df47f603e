//! What the daemon costs: time to start, memory at rest and after work, a turn's latency beside a bare commit's, and
//! the size of a first request. Prints figures with the machine they were taken on; judges nothing.
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
    path::Path,
    time::{Duration, Instant},
};

use house::{House, ask, bare_store, machine, row, spread};
use model::{FakeModel, Say};
use opsbot::control::Op;
use serde_json::json;
use tokio::time::sleep;

const STARTS: usize = 20;
const TURNS: usize = 200;
const REST: Duration = Duration::from_secs(10);
const DOCKER: &str = "/var/run/docker.sock";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        machine();
        starts().await;
        one_shots().await;
        at_rest().await;
        commands().await;
        conversation().await;
    });
}

fn say(text: &str) -> Op {
    Op::Say { conversation: "main".into(), text: text.into(), quoted: vec![] }
}

async fn starts() {
    let (mut first, mut again) = (vec![], vec![]);
    for _ in 0..STARTS {
        let house = House::new("");
        for times in [&mut first, &mut again] {
            let (daemon, client, time) = house.start().await;
            times.push(time);
            drop(client);
            daemon.stop().await;
        }
    }
    row("start of `opsbot run` to its first answer, store there", &spread(&again));
    row("the same, store to be made", &spread(&first));
}

async fn one_shots() {
    let house = House::new("");
    let run = || {
        let begun = Instant::now();
        assert!(house.command(&["ask", "/version"]).status().unwrap().success());
        begun.elapsed()
    };
    run();
    row("`opsbot ask /version` without a daemon", &spread(&(0..STARTS).map(|_| run()).collect::<Vec<_>>()));
    let (daemon, client, _) = house.start().await;
    row("`opsbot ask /version` with a daemon", &spread(&(0..STARTS).map(|_| run()).collect::<Vec<_>>()));
    drop(client);
    daemon.stop().await;
}

async fn at_rest() {
    let house = House::new("");
    let (daemon, client, _) = house.start().await;
    drop(client);
    sleep(REST).await;
    row(&format!("memory at rest, {} s after the start", REST.as_secs()), &daemon.memory());
    daemon.stop().await;
}

/// Slash commands over the socket, each beside a bare durable commit on the same disk in the same moment.
async fn commands() {
    let house = House::new("");
    let (daemon, client, _) = house.start().await;
    let beside = tempfile::tempdir().unwrap();
    let store = bare_store(beside.path()).await;
    let (mut commits, mut steering, mut turns) = (vec![], vec![], vec![]);
    let docker = Path::new(DOCKER).exists();
    for _ in 0..TURNS {
        let begun = Instant::now();
        store.ping_commit().await.unwrap();
        commits.push(begun.elapsed());
        let begun = Instant::now();
        ask(&client, say("/whoami")).await;
        steering.push(begun.elapsed());
        let begun = Instant::now();
        ask(&client, say("/search_output none x")).await;
        turns.push(begun.elapsed());
    }
    row("a bare durable commit (`Store::ping_commit`)", &spread(&commits));
    row("`/whoami` over the socket (no commit)", &spread(&steering));
    row("a tool's command over the socket (`/search_output`, two commits)", &spread(&turns));
    if docker {
        let mut looks = vec![];
        for _ in 0..TURNS / 4 {
            let begun = Instant::now();
            ask(&client, say("/list_customers")).await;
            looks.push(begun.elapsed());
        }
        row("`/list_customers` over the socket (two commits, Docker asked)", &spread(&looks));
    }
    drop(client);
    row("memory after these", &daemon.memory());
    daemon.stop().await;
    store.close().await.unwrap();
}

/// Turns with a model that answers at once, with a call in between.
async fn conversation() {
    let model = FakeModel::answering(|body, _| {
        let last = body["messages"].as_array().and_then(|m| m.last());
        match last.and_then(|m| m["role"].as_str()) {
            Some("tool") => Say::Text("All is well with all of them.".into()),
            _ => Say::Calls(vec![("list_customers".into(), json!({}))]),
        }
    })
    .await;
    let house = House::new(&format!("[model]\nurl = \"{}\"\nname = \"fake\"\n", model.url));
    let (daemon, client, _) = house.start().await;
    let mut turns = vec![];
    for _ in 0..TURNS {
        let begun = Instant::now();
        ask(&client, say("how are my customers?")).await;
        turns.push(begun.elapsed());
    }
    drop(client);
    let seen = model.seen();
    row("first request of a fresh conversation", &format!("{} bytes", seen.sizes[0]));
    let most = seen.sizes.iter().max().unwrap();
    row("largest request of the conversation", &format!("{most} bytes, {} requests", seen.sizes.len()));
    row("a turn with a model that answers at once, one call", &spread(&turns));
    row(&format!("memory after {TURNS} such turns in one conversation"), &daemon.memory());
    daemon.stop().await;
}
