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

#[allow(dead_code, reason = "a bench needs a part of it")]
#[path = "../tests/it/fake/model.rs"]
mod model;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use model::{FakeModel, Say};
use opsbot::{
    control::{Client, Op},
    domain::{Outbound, TurnStatus},
    store::{AuditKey, Store},
};
use serde_json::json;
use tempfile::TempDir;
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

fn row(what: &str, value: &str) {
    println!("| {what} | {value} |");
}

fn machine() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, v)| v.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kernel = read("/proc/sys/kernel/osrelease");
    println!("{cpu}, {cores} cores, {memory}, Linux {}, {}", kernel.trim(), jiff::Zoned::now().date());
    println!("\n| figure | value |\n|---|---|");
}

/// A house with a daemon of its own.
struct House {
    dir: TempDir,
}

impl House {
    fn new(more: &str) -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap() };
        let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        let config = format!(
            "[[person]]\nname = \"anna\"\nrole = \"admin\"\nunix_user = \"{me}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{more}"
        );
        fs::write(house.dir.path().join("config.toml"), config).unwrap();
        house
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsbot"));
        command.env_clear().env("HOME", self.dir.path()).env("OPSBOT_STATE_DIR", self.state());
        command.arg("--config").arg(self.dir.path().join("config.toml")).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the daemon; the time until it has answered a first request.
    async fn start(&self) -> (Daemon, Client, Duration) {
        let begun = Instant::now();
        let daemon = Daemon(self.command(&["run"]).spawn().unwrap());
        let client = loop {
            match Client::connect(&self.state().join("opsbot.sock")).await {
                Ok(client) => break client,
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the daemon does not start");
        };
        assert_eq!(ask(&client, Op::Status).await, TurnStatus::Answered);
        (daemon, client, begun.elapsed())
    }
}

struct Daemon(Child);

impl Daemon {
    async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        while self.0.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Memory by the kernel's account.
    fn memory(&self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).unwrap();
        let mib = |name: &str| {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
        };
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap().count();
        let (rss, pss, own) = (mib("Rss:"), mib("Pss:"), mib("Anonymous:"));
        format!("RSS {rss:.1} MiB, PSS {pss:.1} MiB, of it {own:.1} MiB anonymous; {threads} threads")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

async fn ask(client: &Client, op: Op) -> TurnStatus {
    let mut answer = client.request(op).await;
    while let Some(event) = answer.recv().await {
        if let Outbound::Done { status } = event {
            return status;
        }
    }
    panic!("the daemon is gone");
}

fn say(text: &str) -> Op {
    Op::Say { conversation: "main".into(), text: text.into(), quoted: vec![] }
}

/// Median, 99th percentile and number of the figures, in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: f64| {
        let index = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1;
        times[index].as_secs_f64() * 1000.0
    };
    format!("p50 {:.1} ms, p99 {:.1} ms (n={})", at(0.50), at(0.99), times.len())
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
    row("start of `opsbot run` to its first answer, store there", &spread(again));
    row("the same, store to be made", &spread(first));
}

async fn one_shots() {
    let house = House::new("");
    let run = || {
        let begun = Instant::now();
        assert!(house.command(&["ask", "/version"]).status().unwrap().success());
        begun.elapsed()
    };
    run();
    row("`opsbot ask /version` without a daemon", &spread((0..STARTS).map(|_| run()).collect()));
    let (daemon, client, _) = house.start().await;
    row("`opsbot ask /version` with a daemon", &spread((0..STARTS).map(|_| run()).collect()));
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

async fn bare_store(dir: &Path) -> Store {
    let key = AuditKey::load(dir, None).unwrap();
    Store::open(dir, key).await.unwrap()
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
    row("a bare durable commit (`Store::ping_commit`)", &spread(commits));
    row("`/whoami` over the socket (no commit)", &spread(steering));
    row("a tool's command over the socket (`/search_output`, two commits)", &spread(turns));
    if docker {
        let mut looks = vec![];
        for _ in 0..TURNS / 4 {
            let begun = Instant::now();
            ask(&client, say("/list_customers")).await;
            looks.push(begun.elapsed());
        }
        row("`/list_customers` over the socket (two commits, Docker asked)", &spread(looks));
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
    row("a turn with a model that answers at once, one call", &spread(turns));
    row(&format!("memory after {TURNS} such turns in one conversation"), &daemon.memory());
    daemon.stop().await;
}
