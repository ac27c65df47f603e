//! What the benches share: a house for the release program, its memory, and rows of figures.
#![allow(dead_code, reason = "each bench needs a part of it")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use opsbot::{
    control::{Client, Op},
    domain::{Outbound, TurnStatus},
    store::{AuditKey, Store},
};
use tempfile::TempDir;
use tokio::time::sleep;

/// Prints one figure.
pub fn row(what: &str, value: &str) {
    println!("| {what} | {value} |");
}

/// Prints the machine, and the head of the table.
pub fn machine() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, v)| v.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg").split_whitespace().next().unwrap_or_default().to_owned();
    let today = jiff::Zoned::now().date();
    println!("{cpu}, {cores} cores, {memory}, Linux {}, {today}; load {load}", kernel.trim());
    println!("\n| figure | value |\n|---|---|");
}

/// A configuration and a state of its own.
pub struct House {
    dir: TempDir,
    env: Vec<(&'static str, String)>,
}

impl House {
    /// The calling user as the admin anna, a free port, and `more`.
    pub fn new(more: &str) -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap(), env: vec![] };
        let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        let config = format!(
            "[[person]]\nname = \"anna\"\nrole = \"admin\"\nunix_user = \"{me}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{more}"
        );
        fs::write(house.dir.path().join("config.toml"), config).unwrap();
        house
    }

    /// The same, with a variable in its surroundings.
    pub fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsbot"));
        command.env_clear().env("HOME", self.dir.path()).env("OPSBOT_STATE_DIR", self.state());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("--config").arg(self.dir.path().join("config.toml")).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the daemon.
    pub fn launch(&self) -> Daemon {
        Daemon(self.command(&["run"]).spawn().unwrap())
    }

    /// Starts the daemon; the time until it has answered a first request.
    pub async fn start(&self) -> (Daemon, Client, Duration) {
        let begun = Instant::now();
        let daemon = self.launch();
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

/// Killed when dropped.
pub struct Daemon(Child);

impl Daemon {
    pub async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        while self.0.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Memory by the kernel's account; the share of each page only for root, as the daemon keeps others out.
    pub fn memory(&self) -> String {
        let of = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).ok()?;
            let line = text.lines().find(|l| l.starts_with(name))?;
            Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
        };
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap().count();
        let (rss, own) = (of("status", "VmRSS:").unwrap(), of("status", "RssAnon:").unwrap());
        let shared = of("smaps_rollup", "Pss:").map(|pss| format!("PSS {pss:.1} MiB, ")).unwrap_or_default();
        let bytes = rss * 1.048_576;
        format!("RSS {rss:.1} MiB ({bytes:.1} MB), {shared}of it {own:.1} MiB anonymous; {threads} threads")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// One request, to its end.
pub async fn ask(client: &Client, op: Op) -> TurnStatus {
    let mut answer = client.request(op).await;
    while let Some(event) = answer.recv().await {
        if let Outbound::Done { status } = event {
            return status;
        }
    }
    panic!("the daemon is gone");
}

/// A store of its own, for bare commits on the same disk.
pub async fn bare_store(dir: &Path) -> Store {
    let key = AuditKey::load(dir, None).unwrap();
    Store::open(dir, key).await.unwrap()
}

/// The figure that `part` of all do not exceed.
pub fn quantile(times: &[Duration], part: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let index = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1;
    times[index]
}

pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Median, 99th percentile, maximum and number of the figures.
pub fn spread(times: &[Duration]) -> String {
    let at = |part| ms(quantile(times, part));
    format!("p50 {}, p99 {}, max {} (n={})", at(0.50), at(0.99), at(1.0), times.len())
}
