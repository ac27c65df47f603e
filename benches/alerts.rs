//! What alerts cost, beside Alertmanager in the same run: how many a second are taken (ours durable, its in memory), the time from
//! a request to the first message on the phone, a storm of ten thousand, and the memory of fifty thousand. Judges nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures, prints, and fails by panicking"
)]

mod house;
#[path = "../tests/it/fake/telegram/mod.rs"]
mod telegram;

use std::{
    env,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use house::{House, bare_store, machine, ms, row, spread};
use telegram::{FakeTelegram, Options, Rates, World};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

const CLIENTS: usize = 8;
const BATCH: usize = 50;
/// The alerts of a run in batches, and of one with a request for each.
const BATCHED: usize = 40_000;
const SINGLES: usize = 8_000;
const ACTIVE: usize = 50_000;
const STORM: usize = 10_000;
const FIRSTS: usize = 200;
const GROUP: i64 = -100_300;
const ANNA: i64 = 1001;
const PATIENCE: Duration = Duration::from_secs(120);
/// No limit slows anything down.
const FAST: &str = "limits = { chat_burst = 1000, chat_per_second = 10000, group_per_minute = 600000, overall_per_second = 10000 }\n";
const TOKEN: &str = "a-token-for-the-bench";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let parts: Vec<_> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    runtime.block_on(async {
        machine();
        if wanted("taken") {
            taken().await;
        }
        if wanted("first") {
            first_message().await;
        }
        if wanted("storm") {
            storm().await;
        }
        if wanted("active") {
            active().await;
        }
    });
}

// --- who takes alerts -------------------------------------------------------------------------------------------------

/// Debian's Alertmanager, as it comes, with a receiver that takes nothing.
struct Alertmanager {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Alertmanager {
    async fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.yml");
        fs::write(
            &config,
            "route: { receiver: none, group_by: [customer, service] }\nreceivers: [{ name: none }]\n",
        )
        .unwrap();
        let address = free().await;
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            println!("skipped: Alertmanager is not installed (apt-get install prometheus-alertmanager)");
            return None;
        };
        answers(address).await;
        Some(Self { child, address, _dir: dir })
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// OpsBot's configuration with alerts to anna and to the group, and no Docker to look at.
async fn ours(telegram: Option<&FakeTelegram>, limits: &str) -> (House, SocketAddr) {
    let address = free().await;
    let mut config = format!(
        "[[docker]]\nname = \"none\"\nurl = \"tcp://127.0.0.1:1\"\n\
         [alerts]\ntoken = {{ env = \"ALERTS_TOKEN\" }}\nlisten = \"{address}\"\ngroup_wait = \"0s\"\n\
         investigate = false\nchart = false\ndocker_events = false\n"
    );
    if let Some(telegram) = telegram {
        telegram.private(ANNA, "anna");
        telegram.supergroup(GROUP, "Ops", false);
        write!(config, "[[alerts.step]]\nafter = \"0s\"\nplaces = [\"telegram:{GROUP}\"]\n").unwrap();
        write!(
            config,
            "[telegram]\ntoken = {{ env = \"TELEGRAM_TOKEN\" }}\napi_url = \"{}\"\ngroups = [{GROUP}]\n{limits}",
            telegram.url()
        )
        .unwrap();
    }
    let token = telegram.map_or_else(String::new, |t| t.token().to_owned());
    (House::new(&config).env("ALERTS_TOKEN", TOKEN).env("TELEGRAM_TOKEN", &token), address)
}

async fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

async fn answers(address: SocketAddr) {
    let begun = Instant::now();
    loop {
        if let Ok(mut wire) = Wire::open(address).await
            && wire.get("/-/ready").await == 200
        {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody answers on {address}");
        sleep(Duration::from_millis(20)).await;
    }
}

// --- who sends them ---------------------------------------------------------------------------------------------------

/// One kept connection, as cheap as can be: what is measured is the other end.
struct Wire(TcpStream, Vec<u8>);

impl Wire {
    async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream, vec![0; 64 << 10]))
    }

    async fn get(&mut self, path: &str) -> u16 {
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        self.exchange(head.as_bytes()).await
    }

    async fn exchange(&mut self, request: &[u8]) -> u16 {
        self.0.write_all(request).await.unwrap();
        let mut have = 0;
        loop {
            let n = self.0.read(&mut self.1[have..]).await.unwrap();
            assert!(n > 0, "the server closed the connection");
            have += n;
            let text = std::str::from_utf8(&self.1[..have]).unwrap_or_default();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|l| {
                let (name, value) = l.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return head.split(' ').nth(1).unwrap().parse().unwrap();
            }
        }
    }
}

/// One alert as Prometheus sends it; each `n` is another one.
fn alert(n: usize, severity: &str, customers: usize) -> String {
    let customer = n % customers;
    format!(
        r#"{{"labels":{{"alertname":"HighErrorRate","customer":"{customer}","service":"web-{n}","instance":"10.0.{}.{}:9100","job":"node","severity":"{severity}","region":"eu-1"}},"annotations":{{"summary":"web-{n} of customer {customer} answers with errors","description":"{}.7% of the requests failed in the last 10 seconds."}},"startsAt":"2026-12-01T00:00:00Z","endsAt":"2099-01-01T00:00:00Z","generatorURL":"http://prometheus.example/graph?g0.expr=rate%28errors%5B10s%5D%29+%3E+0.2"}}"#,
        n / 250 % 250,
        n % 250,
        n % 90,
    )
}

fn post(alerts: &[String]) -> Vec<u8> {
    let body = format!("[{}]", alerts.join(","));
    format!(
        "POST /api/v2/alerts HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// `count` alerts from `from` on in batches by all clients; how long all took, and each request.
async fn send(
    address: SocketAddr,
    from: usize,
    count: usize,
    batch: usize,
    severity: &'static str,
) -> (Duration, Vec<Duration>) {
    let requests: Vec<Vec<u8>> = (from..from + count)
        .step_by(batch)
        .map(|at| {
            post(&(at..(at + batch).min(from + count)).map(|n| alert(n, severity, 200)).collect::<Vec<_>>())
        })
        .collect();
    let requests = Arc::new(requests);
    let mut wires = Vec::new();
    for _ in 0..CLIENTS {
        wires.push(Wire::open(address).await.unwrap());
    }
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for (client, mut wire) in wires.into_iter().enumerate() {
        let requests = requests.clone();
        clients.spawn(async move {
            let mut times = Vec::new();
            for request in requests.iter().skip(client).step_by(CLIENTS) {
                let begun = Instant::now();
                assert_eq!(wire.exchange(request).await, 200);
                times.push(begun.elapsed());
            }
            times
        });
    }
    let times = clients.join_all().await.concat();
    (begun.elapsed(), times)
}

// --- the figures ------------------------------------------------------------------------------------------------------

async fn taken() {
    let beside = tempfile::tempdir().unwrap();
    let store = bare_store(beside.path()).await;
    let mut commits = vec![];
    for _ in 0..200 {
        let begun = Instant::now();
        store.ping_commit().await.unwrap();
        commits.push(begun.elapsed());
    }
    row("a bare durable commit", &spread(&commits));
    for round in 1..=3 {
        let (house, address) = ours(None, "").await;
        let daemon = house.launch();
        answers(address).await;
        rates(&format!("OpsBot, durable before the 200, run {round}"), address).await;
        row("its memory after these", &daemon.memory());
        daemon.stop().await;
        if let Some(alertmanager) = Alertmanager::start().await {
            rates(&format!("Alertmanager, in memory, run {round}"), alertmanager.address).await;
        }
    }
}

async fn rates(who: &str, address: SocketAddr) {
    let per_second = |n: usize, all: Duration| format!("{:.0} alerts/s", n as f64 / all.as_secs_f64());
    let (all, times) = send(address, 0, BATCHED, BATCH, "warning").await;
    row(
        &format!("{who}: batches of {BATCH} by {CLIENTS} clients"),
        &format!("{}; a request {}", per_second(BATCHED, all), spread(&times)),
    );
    let (all, times) = send(address, BATCHED, SINGLES, 1, "warning").await;
    row(
        &format!("{who}: single posts by {CLIENTS} clients"),
        &format!("{}; a request {}", per_second(SINGLES, all), spread(&times)),
    );
    let (all, times) = send(address, 0, BATCHED, BATCH, "warning").await;
    row(
        &format!("{who}: the same batches again"),
        &format!("{}; a request {}", per_second(BATCHED, all), spread(&times)),
    );
}

/// From a request to the message on the phone, one critical alert after another, the chat's limits out of the way.
async fn first_message() {
    let telegram = FakeTelegram::start(Options::default()).await;
    let (house, address) = ours(Some(&telegram), FAST).await;
    let daemon = house.launch();
    answers(address).await;
    telegram.wait_for(|w| w.pollers() == 1, PATIENCE).await;
    let mut wire = Wire::open(address).await.unwrap();
    let mut times = vec![];
    for n in 0..FIRSTS {
        let begun = Instant::now();
        assert_eq!(wire.exchange(&post(&[alert(n, "critical", 1_000)])).await, 200);
        let service = format!("web-{n} ");
        let shown = telegram.wait_message(GROUP, |m| m.text.contains(&service), PATIENCE).await;
        times.push(shown.at.duration_since(begun));
    }
    row("from the request to the message on the phone, group_wait 0", &spread(&times));
    daemon.stop().await;
}

async fn storm() {
    let telegram = FakeTelegram::start(Options { rates: Some(Rates::default()), ..Options::default() }).await;
    let (house, address) = ours(Some(&telegram), "").await;
    let daemon = house.launch();
    answers(address).await;
    telegram.wait_for(|w| w.pollers() == 1, PATIENCE).await;
    let begun = Instant::now();
    let (half, _) = send(address, 0, STORM - BATCH, BATCH, "warning").await;
    send(address, STORM, BATCH, BATCH, "critical").await;
    row(&format!("{STORM} distinct alerts at once: all taken"), &ms(half));
    sleep(Duration::from_secs(60).saturating_sub(begun.elapsed())).await;
    let sent = |w: &World| {
        let to_group = |c: &&telegram::Call| c.method.starts_with("send") || c.method.starts_with("edit");
        w.calls.iter().filter(|c| c.at >= begun).filter(to_group).count()
    };
    let calls = telegram.look(sent);
    let broken = telegram.look(|w| w.violations.len());
    let shown = telegram.look(|w| w.chats[&GROUP].messages.values().filter(|m| m.from_bot).count());
    row(
        "messages in the group in that minute",
        &format!("{shown}; sends and edits {calls}; limits broken {broken} times"),
    );
    row("memory after the storm", &daemon.memory());
    daemon.stop().await;
}

async fn active() {
    let (house, address) = ours(None, "").await;
    let daemon = house.launch();
    answers(address).await;
    send(address, 0, ACTIVE, BATCH, "warning").await;
    row(&format!("memory with {ACTIVE} open incidents"), &daemon.memory());
    daemon.stop().await;
    let daemon = house.launch();
    answers(address).await;
    row("the same after a restart", &daemon.memory());
    daemon.stop().await;
    if let Some(alertmanager) = Alertmanager::start().await {
        send(alertmanager.address, 0, ACTIVE, BATCH, "warning").await;
        let status = fs::read_to_string(format!("/proc/{}/status", alertmanager.child.id())).unwrap();
        let rss = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
        row("Alertmanager with as many", rss.trim_start_matches("VmRSS:").trim());
    }
}
