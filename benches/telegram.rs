//! What an answer in Telegram costs: sign of life and answer after an update, the first beside the later ones, memory,
//! and many chats at once; against the emulated service, with a model that answers at once. Judges nothing.
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
#[path = "../tests/it/fake/telegram/mod.rs"]
mod telegram;

use std::{
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use model::{FakeModel, Say};
use opsbot::store::{AuditKey, Store};
use telegram::{FakeTelegram, Options};
use tempfile::TempDir;
use tokio::time::sleep;

const TURNS: usize = 200;
const MANY_TURNS: usize = 1000;
const CHATS: i64 = 200;
const FIRST_ID: i64 = 2001;
const REST: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(60);
/// Limits that no bench meets.
const FREE: &str =
    "chat_burst = 100\nchat_per_second = 1000.0\ngroup_per_minute = 1000\noverall_per_second = 1000\n";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        machine();
        starts().await;
        answers().await;
        crowd("200 chats at once, limits out of the way", FREE).await;
        crowd("200 chats at once, 30 calls a second", "").await;
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
    println!("{cpu}, {cores} cores, {memory}, {}", jiff::Zoned::now().date());
    println!("\n| figure | value |\n|---|---|");
}

/// A daemon, the emulated service, and a model that answers at once.
struct House {
    dir: TempDir,
    telegram: FakeTelegram,
    model: FakeModel,
}

impl House {
    async fn new(limits: &str) -> Self {
        let telegram = FakeTelegram::start(Options::default()).await;
        let model = FakeModel::answering(|_, _| Say::Text("All is well with all of them.".into())).await;
        let mut config = format!(
            "[http]\nlisten = \"off\"\n[model]\nurl = \"{}\"\nname = \"fake\"\n[telegram]\n\
             token = {{ env = \"BENCH_TOKEN\" }}\napi_url = \"{}\"\n[telegram.limits]\n{limits}",
            model.url,
            telegram.url()
        );
        for n in 0..CHATS {
            let id = FIRST_ID + n;
            telegram.private(id, "Somebody");
            write!(config, "[[person]]\nname = \"p{id}\"\nrole = \"operator\"\ntelegram_id = {id}\n")
                .unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), config).unwrap();
        Self { dir, telegram, model }
    }

    fn launch(&self) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsbot"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("OPSBOT_STATE_DIR", self.dir.path().join("state"));
        command.env("BENCH_TOKEN", self.telegram.token());
        command.arg("--config").arg(self.dir.path().join("config.toml")).arg("run");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Daemon(command.spawn().unwrap())
    }

    async fn start(&self) -> Daemon {
        let daemon = self.launch();
        self.telegram.wait_for(|w| w.pollers() == 1, SOON).await;
        daemon
    }

    /// One question and its answer: how long after the update the action came, and how long after it the text.
    async fn ask(&self, chat: i64) -> (Duration, Duration) {
        let (actions, shown) = (self.telegram.actions(chat).len(), self.telegram.messages(chat).len());
        let asked = self.telegram.say(chat, chat, "how are my customers?");
        let at = self.telegram.message(chat, asked).unwrap().at;
        let answer = self.telegram.wait_some(|w| w.messages(chat).get(shown + 1).map(|m| m.at), SOON).await;
        let action = self.telegram.actions(chat).get(actions).map_or(answer, |a| a.at);
        (action - at, answer - at)
    }
}

struct Daemon(Child);

impl Daemon {
    fn memory(&self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).unwrap();
        let mib = |name: &str| {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
        };
        let (rss, own) = (mib("Rss:"), mib("Anonymous:"));
        format!("RSS {rss:.1} MiB ({:.1} MB), of it {own:.1} MiB anonymous", rss * 1.048_576)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Median, 99th percentile, largest and number of the figures, in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: f64| {
        let index = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1;
        times[index].as_secs_f64() * 1000.0
    };
    format!("p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms (n={})", at(0.50), at(0.99), at(1.0), times.len())
}

async fn starts() {
    let mut times = vec![];
    for _ in 0..20 {
        let house = House::new(FREE).await;
        let begun = Instant::now();
        let daemon = house.launch();
        house.telegram.wait_for(|w| w.pollers() == 1, SOON).await;
        times.push(begun.elapsed());
        drop(daemon);
    }
    row("process start to the first getUpdates, store to be made", &spread(times));
}

async fn answers() {
    let beside = tempfile::tempdir().unwrap();
    let store = Store::open(beside.path(), AuditKey::load(beside.path(), None).unwrap()).await.unwrap();
    let house = House::new(FREE).await;
    let daemon = house.start().await;
    sleep(REST).await;
    row(&format!("memory at rest with Telegram, {} s after the start", REST.as_secs()), &daemon.memory());
    let first = house.ask(FIRST_ID).await;
    row(
        "the first message after the start: action, answer",
        &format!("{:.1} ms, {:.1} ms", first.0.as_secs_f64() * 1e3, first.1.as_secs_f64() * 1e3),
    );
    let (mut commits, mut actions, mut texts) = (vec![], vec![], vec![]);
    for n in 1..TURNS {
        let begun = Instant::now();
        store.ping_commit().await.unwrap();
        commits.push(begun.elapsed());
        let (action, text) = house.ask(FIRST_ID + (n as i64 % CHATS)).await;
        actions.push(action);
        texts.push(text);
    }
    row("a bare durable commit in between (`Store::ping_commit`)", &spread(commits));
    row("update → sendChatAction", &spread(actions));
    row("update → final text, three commits and one model request in it", &spread(texts));
    for n in TURNS..MANY_TURNS {
        house.ask(FIRST_ID + (n as i64 % CHATS)).await;
    }
    row(&format!("memory after {MANY_TURNS} turns in {CHATS} chats"), &daemon.memory());
    assert_eq!(house.model.seen().requests.len(), MANY_TURNS);
    drop(daemon);
    store.close().await.unwrap();
}

async fn crowd(what: &str, limits: &str) {
    let house = House::new(limits).await;
    let daemon = house.start().await;
    let chats: Vec<_> = (0..CHATS).map(|n| FIRST_ID + n).collect();
    let asked: Vec<_> = chats
        .iter()
        .map(|chat| {
            let message = house.telegram.say(*chat, *chat, "how are my customers?");
            house.telegram.message(*chat, message).unwrap().at
        })
        .collect();
    let answered = |w: &telegram::World| {
        let all = chats.iter().map(|c| w.from_bot(*c).find(|m| m.text.contains("All is well")).map(|m| m.at));
        all.collect::<Option<Vec<_>>>()
    };
    house.telegram.wait_some(answered, SOON).await;
    let times = chats.iter().zip(&asked).map(|(chat, at)| {
        let answer = house.telegram.messages(*chat).pop().unwrap();
        answer.at - *at
    });
    row(what, &spread(times.collect()));
    let copies: usize = chats.iter().map(|c| house.telegram.messages(*c).len()).sum();
    row("messages in those chats: questions and answers", &copies.to_string());
    drop(daemon);
}
