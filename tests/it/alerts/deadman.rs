//! The heartbeat at the wire: only while all lives, and never with its address in an error.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use opsbot::{
    runtime::{Counters, clock},
    signals::{Alive, Heartbeat, HeartbeatSettings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Answers each request with the next status; gives the requests' first lines.
async fn server(status: &'static str) -> (String, mpsc::UnboundedReceiver<String>, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ping/s3cret", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).await.unwrap_or(0);
            let line = String::from_utf8_lossy(&head[..n]).lines().next().unwrap_or_default().to_owned();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.ok();
            seen.send(line).ok();
        }
    });
    (url, requests, AbortOnDropHandle::new(task))
}

fn start(url: &str, alive: Alive) -> (Counters, AbortOnDropHandle<Result<(), String>>) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let counters = Counters::new(clock::now());
    let settings = HeartbeatSettings { url: url.to_owned(), every: Duration::from_millis(50) };
    assert!(!format!("{settings:?}").contains("s3cret"));
    let heartbeat = Heartbeat::new(&settings, alive, counters.clone()).unwrap();
    let task = tokio::spawn(async move { heartbeat.run(CancellationToken::new()).await });
    (counters, AbortOnDropHandle::new(task))
}

async fn counted(counters: &Counters, outcome: &'static str, least: u64) {
    let waiting = async {
        while counters.count("opsbot_heartbeats_total", &[("outcome", outcome)]) < least {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "no {outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_beats_while_all_lives_and_only_then() {
    let (url, mut requests, _server) = server("200 OK").await;
    let lives = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&lives);
    let alive: Alive = Arc::new(move || {
        let lives = asked.load(Ordering::SeqCst);
        async move { if lives { Ok(()) } else { Err("the store does not commit".into()) } }.boxed()
    });
    let (counters, _run) = start(&url, alive);
    counted(&counters, "failed", 3).await;
    assert!(requests.try_recv().is_err(), "nothing is sent while something is dead");
    lives.store(true, Ordering::SeqCst);
    counted(&counters, "ok", 2).await;
    assert_eq!(requests.recv().await.unwrap(), "GET /ping/s3cret HTTP/1.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_no_beat() {
    let (url, mut requests, _server) = server("404 Not Found").await;
    let (counters, _run) = start(&url, Arc::new(|| async { Ok(()) }.boxed()));
    assert!(requests.recv().await.is_some());
    counted(&counters, "failed", 1).await;
    assert_eq!(counters.count("opsbot_heartbeats_total", &[("outcome", "ok")]), 0);
}

#[test]
fn an_address_that_is_none_is_not_repeated() {
    rustls::crypto::ring::default_provider().install_default().ok();
    for url in ["s3cret", "ftp://h/s3cret", "", "http://"] {
        let settings = HeartbeatSettings { url: url.into(), every: Duration::from_secs(1) };
        let alive: Alive = Arc::new(|| async { Ok(()) }.boxed());
        let error = Heartbeat::new(&settings, alive, Counters::new(clock::now())).unwrap_err();
        assert!(error.contains("[alerts.heartbeat]") && !error.contains("s3cret"), "{error}");
    }
}
