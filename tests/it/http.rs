//! The HTTP surface over real sockets: pages, limits, drain.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opsbot::{
    http::{Check, Health, HealthSource, Limits, Server, bind},
    runtime::{Counters, Stopwatch, clock},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

fn fine() -> HealthSource {
    Arc::new(|| Health { checks: vec![Check { name: "store".into(), ok: true, detail: "open".into() }] })
}

struct Running {
    server: Server,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

async fn start(limits: Limits, health: HealthSource, counters: Counters) -> Running {
    let server = bind("127.0.0.1:0", limits, health, counters).await.unwrap();
    let stop = CancellationToken::new();
    let (running, token) = (server.clone(), stop.clone());
    let task = tokio::spawn(async move { running.run(token).await });
    Running { server, stop, task }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("drains in time").unwrap().unwrap();
    }
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes in time");
    // A reset after the answer is as good as a close.
    read.ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn health_tells_each_part_and_fails_as_one() {
    let broken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken);
    let health: HealthSource = Arc::new(move || {
        let ok = !seen.load(Ordering::Relaxed);
        let detail = if ok { "up" } else { "\"no\" <socket>" };
        Health {
            checks: vec![
                Check { name: "store".into(), ok: true, detail: "open".into() },
                Check { name: "docker".into(), ok, detail: detail.into() },
            ],
        }
    });
    let running = start(Limits::default(), health, Counters::new(clock::now())).await;
    for (is_broken, code, status) in [(false, "200 OK", "ok"), (true, "503 Service Unavailable", "degraded")]
    {
        broken.store(is_broken, Ordering::Relaxed);
        let answer = running.get("/healthz").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}\r\n")), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
        let page: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (page["status"].as_str(), page["checks"][1]["ok"].as_bool()),
            (Some(status), Some(!is_broken))
        );
        assert_eq!(page["checks"][0]["name"], "store");
    }
    assert!(running.get("/nothing").await.starts_with("HTTP/1.1 404"));
    let post = running
        .ask("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await;
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    running.end().await;
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let counters = Counters::new(clock::now());
    counters.describe("opsbot_turns_total", "Turns by how they ended; \"quotes\" and \\ included.");
    counters.add("opsbot_turns_total", &[("status", "answered")], 4);
    counters.add("opsbot_turns_total", &[("status", "od\"d\\ \nvalue ☃")], 1);
    counters.set("opsbot_queue_length", &[("queue", "inbox")], 3.0);
    counters.observe("opsbot_turn_seconds", &[("model", "none")], 1.25);
    let running = start(Limits::default(), fine(), counters).await;
    let answer = running.get("/metrics").await;
    running.end().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("opsbot_turns_total{status=\"answered\"} 4\n"), "{body}");
    assert!(body.contains("process_resident_memory_bytes ") && body.contains("opsbot_build_info{"), "{body}");
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match spawned {
        Ok(promtool) => promtool,
        Err(error) => return crate::prometheus::missing(&format!("promtool ({error})")),
    };
    promtool.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let out = promtool.wait_with_output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success() && said.is_empty(), "{}\n{body}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn a_slow_or_huge_head_is_cut_off() {
    let limits = Limits { head_time: Duration::from_millis(300), ..Limits::default() };
    let running = start(limits, fine(), Counters::new(clock::now())).await;
    let mut slow = running.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let told = rest(&mut slow).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");

    let mut huge = running.connect().await;
    huge.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ").await.unwrap();
    let mut sent = 0;
    // The server stops reading and closes; how much the kernel took by then does not matter, that it ends does.
    while sent < (64 << 20) && huge.write_all(&[b'x'; 65536]).await.is_ok() {
        sent += 65536;
    }
    assert!(sent < (64 << 20), "the server took {sent} bytes of one header");
    let told = running.ask("utter garbage\r\n\r\n").await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 400"), "{told}");
    assert!(running.get("/healthz").await.starts_with("HTTP/1.1 200"));
    running.end().await;
}

#[tokio::test]
async fn one_client_cannot_keep_all_connections_for_ever() {
    let limits = Limits { connections: 1, lifetime: Duration::from_millis(300), ..Limits::default() };
    // An idle connection also ends as a slow head; here only its lifetime may end it.
    let limits = Limits { grace: Duration::from_millis(100), head_time: PATIENCE * 10, ..limits };
    let running = start(limits, fine(), Counters::new(clock::now())).await;
    let watch = Stopwatch::start();
    let mut greedy = running.connect().await;
    greedy.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    timeout(PATIENCE, greedy.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let answer = running.get("/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(watch.elapsed() >= limits.lifetime, "the second was served beside the first");
    rest(&mut greedy).await;
    running.end().await;
}

#[tokio::test]
async fn stopping_closes_idle_and_half_open_connections() {
    let limits = Limits { grace: Duration::from_millis(200), ..Limits::default() };
    let running = start(limits, fine(), Counters::new(clock::now())).await;
    let mut idle = running.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    timeout(PATIENCE, idle.read_exact(&mut first)).await.unwrap().unwrap();
    let mut half = running.connect().await;
    half.write_all(b"GET /heal").await.unwrap();
    running.end().await;
    rest(&mut idle).await;
    rest(&mut half).await;
}

#[tokio::test]
async fn an_address_in_use_is_explained() {
    let running = start(Limits::default(), fine(), Counters::new(clock::now())).await;
    for (listen, want) in
        [(running.server.address().to_string().as_str(), "stop it"), ("nonsense", "[http] listen")]
    {
        let again = bind(listen, Limits::default(), fine(), Counters::new(clock::now())).await;
        let error = again.unwrap_err();
        assert!(error.contains(want) && error.contains(listen), "{error}");
    }
    running.end().await;
}
