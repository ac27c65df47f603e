//! A container's log of 1 GB: its last 50 lines and a search of all of it, beside what Docker's own command does.
//!
//! `OPSBOT_TEST_DOCKER` names the engine and `OPSBOT_TEST_IMAGE` a small image (`scripts/sandbox up` brings both);
//! `OPSBOT_BENCH_LOG_MB` makes the log smaller. The container is removed at the end. Prints figures, judges nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures, prints, and fails by panicking"
)]

mod house;

use std::{
    env, fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use house::{machine, ms, row, spread};
use opsbot::{
    docker::{DockerHosts, HostConfig, LogQuery},
    domain::{ContainerRef, HostName},
    logs::{Passing, Pattern, Tally, Want},
};

const TAILS: usize = 30;
const SEARCHES: usize = 3;
const NEEDLE: &str = "connect() failed (111";
/// One line in 100,000 is the needle.
const SCRIPT: &str = r##"awk -v n="$LINES" 'BEGIN { srand(7); for (i = 0; i < n; i++) {
  if (i % 100000 == 77) print "[error] " i "#12: *" i " connect() failed (111: Connection refused) while connecting to upstream"
  else print "10.0." (i % 250) ".7 - - \"GET /shop/item/" int(rand() * 1000000) "?page=" (i % 13) " HTTP/1.1\" 200 " int(rand() * 90000)
} }'"##;
/// What one line takes in the engine's file, in bytes.
const LINE: usize = 150;

fn main() {
    let Ok(url) = env::var("OPSBOT_TEST_DOCKER") else {
        println!("skipped: OPSBOT_TEST_DOCKER is not set (scripts/sandbox up)");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        machine();
        let noisy = Noisy::start(&url);
        row("the container's log", &noisy.size());
        tails(&noisy).await;
        searches(&noisy).await;
    });
}

/// A container that has written a large log; removed when dropped.
struct Noisy {
    url: String,
    r: ContainerRef,
}

impl Noisy {
    fn start(url: &str) -> Self {
        let image = env::var("OPSBOT_TEST_IMAGE").unwrap_or_else(|_| "opsbot-sandbox:1".into());
        let megabytes: usize = env::var("OPSBOT_BENCH_LOG_MB").map_or(1_000, |n| n.parse().unwrap());
        let lines = format!("LINES={}", megabytes * 1_000_000 / LINE);
        let run = [
            "run",
            "-d",
            "--network",
            "none",
            "--log-driver",
            "json-file",
            "-e",
            &lines,
            &image,
            "sh",
            "-c",
            SCRIPT,
        ];
        let id = output(docker(url).args(run)).trim().to_owned();
        let r = ContainerRef {
            host: HostName::from("local"),
            id: id.clone(),
            name: "noisy".into(),
            service: "noisy".into(),
        };
        let noisy = Self { url: url.to_owned(), r };
        assert_eq!(output(docker(url).args(["wait", &id])).trim(), "0", "the container failed");
        noisy
    }

    fn size(&self) -> String {
        let path = output(docker(&self.url).args(["inspect", "-f", "{{.LogPath}}", &self.r.id]));
        let bytes = fs::metadata(path.trim()).map_or(0, |m| m.len());
        format!("{} MB in the engine's file (0: not ours to see)", bytes / 1_000_000)
    }

    fn hosts(&self) -> DockerHosts {
        let timeout = Duration::from_secs(5);
        DockerHosts::connect(vec![HostConfig {
            name: "local".into(),
            url: self.url.clone(),
            tls: None,
            timeout,
        }])
    }
}

impl Drop for Noisy {
    fn drop(&mut self) {
        // Whatever ended the bench: an engine that is gone has nothing to remove.
        let _gone = docker(&self.url).args(["rm", "-f", &self.r.id]).stdout(Stdio::null()).status();
    }
}

fn docker(url: &str) -> Command {
    let mut command = Command::new("docker");
    command.args(["--host", url]).stderr(Stdio::inherit());
    command
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// The last 50 lines, each beside `docker logs --tail 50` in the same moment.
async fn tails(noisy: &Noisy) {
    let hosts = noisy.hosts();
    let (mut ours, mut first, mut theirs) = (vec![], vec![], vec![]);
    for _ in 0..TAILS {
        let begun = Instant::now();
        output(docker(&noisy.url).args(["logs", "--tail", "50", &noisy.r.id]));
        theirs.push(begun.elapsed());
        for (hosts, times) in [(&hosts, &mut ours), (&noisy.hosts(), &mut first)] {
            let begun = Instant::now();
            let read = hosts.logs(&noisy.r, &LogQuery::tail(50)).await.unwrap();
            times.push(begun.elapsed());
            assert_eq!(read.lines.len(), 50);
        }
    }
    row("`docker logs --tail 50`", &spread(&theirs));
    row("our tail of 50 lines", &spread(&ours));
    row("the same on a new connection", &spread(&first));
}

/// A search of the whole log, in turns with `docker logs | grep`.
async fn searches(noisy: &Noisy) {
    let hosts = noisy.hosts();
    let want =
        Want { pattern: Some(Pattern::new(NEEDLE).unwrap()), keep: 1_000, context: true, messages: true };
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..SEARCHES {
        let begun = Instant::now();
        let piped = format!("docker --host {} logs {} 2>&1 | grep -c '{NEEDLE}'", noisy.url, noisy.r.id);
        let found: u64 = output(Command::new("sh").args(["-c", &piped])).trim().parse().unwrap();
        theirs.push(begun.elapsed());

        let begun = Instant::now();
        let within = Some(Duration::from_secs(600));
        // As `search_logs` does it: the end first, so that the newest are there whatever happens, then all.
        for tail in [Some(20_000), None] {
            let query = LogQuery { tail, since: None, max_bytes: u64::MAX, within };
            let (tally, scan) = hosts
                .scan_log(&noisy.r, &query, Tally::new(want.clone()), |tally, line| {
                    tally.line(Passing { text: line.text, length: line.length }, || line.at());
                })
                .await
                .unwrap();
            assert_eq!(scan.broke, None);
            assert!(tail.is_some() || tally.matched() == found, "{} of {found}", tally.matched());
        }
        ours.push(begun.elapsed());
    }
    row("`docker logs | grep -c` over the whole log", &spread(&theirs));
    row("our search of the whole log, tail first", &spread(&ours));
    let ratio: Vec<_> =
        ours.iter().zip(&theirs).map(|(a, b)| format!("{:.2}", a.as_secs_f64() / b.as_secs_f64())).collect();
    row(
        "ours as a part of theirs, pair by pair",
        &format!("{} (their best {})", ratio.join(", "), ms(*theirs.iter().min().unwrap())),
    );
}
