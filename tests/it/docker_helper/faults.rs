//! Engines and clients that misbehave: bounded in time and size, and said in a sentence.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opsbot::docker_gate::{Limits, Patience};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::rig::{Engine, Helper, PATIENCE, inspect, ours};
use crate::docker::{boxes::until, fake::Act};

const SOON: Duration = Duration::from_millis(400);

fn users() -> String {
    format!("users = [{}]", nix::unistd::geteuid())
}

fn hasty() -> Limits {
    Limits { engine: Patience { read: SOON, write: SOON, measure: SOON }, ..Limits::default() }
}

#[tokio::test]
async fn a_bad_engine_is_a_sentence() {
    let huge = vec![b' '; 17 << 20];
    let other = inspect("web", &ours()).to_string().replace("\"Id\":\"", "\"Id\":\"../");
    let table = [
        ("slow", Act::Hang, 504, "did not answer within"),
        ("garbage", Act::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".into()), 502, "not Docker"),
        ("closed", Act::Raw(vec![]), 502, "broke off"),
        ("broken off", Act::Break(b"[{".into()), 502, "broke off"),
        ("huge", Act::Answer(200, huge), 502, "too long"),
        ("a web page", Act::Answer(200, b"<html>".into()), 502, "not Docker's"),
        ("a redirect", Act::Answer(302, vec![]), 502, "not Docker"),
        ("another shape", Act::json("{\"Id\": 7}"), 502, "not Docker's"),
        ("no id", Act::json(other), 502, "not Docker's"),
    ];
    for (what, act, status, want) in table {
        let engine = Engine::start(move |_| act.clone());
        let limits = if what == "slow" { hasty() } else { Limits::default() };
        let helper = Helper::with(&engine.socket(), &users(), limits);
        for line in ["GET /containers/json", "GET /containers/web/json", "POST /containers/web/restart"] {
            let answer = helper.ask(line).await;
            assert_eq!(answer.status(), status, "{what}, {line}: {answer:?}");
            let message = answer.message();
            assert!(
                message.starts_with("opsbot-docker-helper: ") && message.contains(want),
                "{what}: {message}"
            );
        }
    }
    // Endless answers are given up for their length or their time.
    let engine = Engine::start(|_| Act::Endless);
    let helper = Helper::with(&engine.socket(), &users(), Limits::default());
    assert!(matches!(helper.ask("GET /containers/json").await.status(), 502 | 504));
}

#[tokio::test]
async fn an_engine_that_is_gone_is_a_sentence_and_its_return_needs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let helper = Helper::before(&socket, "");
    let gone = helper.ask("GET /_ping").await;
    assert_eq!(gone.status(), 502);
    assert!(gone.message().contains("is not there; check that Docker runs on this host"), "{gone:?}");
    drop(UnixListener::bind(&socket).unwrap());
    let dead = helper.ask("GET /containers/json").await;
    assert_eq!(dead.status(), 502);
    assert!(dead.message().contains("does not answer"), "{dead:?}");
    let engine = Engine::of_web(ours());
    std::fs::remove_file(&socket).unwrap();
    std::os::unix::fs::symlink(engine.socket(), &socket).unwrap();
    assert_eq!(helper.ask("GET /_ping").await.status(), 200);
}

/// What a write may take grows with the time that the container has to end.
#[tokio::test]
async fn a_write_waits_for_the_grace_that_it_gives() {
    let engine = Engine::start(|asked| match asked {
        a if a.starts_with("POST ") => Act::Hang,
        _ => Act::json(inspect("web", &ours()).to_string()),
    });
    let helper = Helper::with(&engine.socket(), &users(), hasty());
    let answer = helper.ask("POST /containers/web/restart?t=0").await;
    assert!(answer.status() == 504 && answer.message().contains("within 0 s"), "{answer:?}");
    let answer = helper.ask("POST /containers/web/restart?t=1").await;
    assert!(answer.status() == 504 && answer.message().contains("within 1 s"), "{answer:?}");
}

/// A log without an end streams on past every size, and the engine is let go when the client leaves.
#[tokio::test]
async fn an_endless_log_streams_until_the_client_leaves() {
    let (ended, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (done, log) = (Arc::clone(&ended), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (done, log) = (Arc::clone(&done), Arc::clone(&log));
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let n = stream.read(&mut head).await.unwrap();
                if !String::from_utf8_lossy(&head[..n]).contains("/logs") {
                    let body = inspect("web", &ours()).to_string();
                    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    return stream.write_all(text.as_bytes()).await.unwrap();
                }
                log.store(true, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await.unwrap();
                let piece = vec![b'x'; 1 << 16];
                let mut left = 640;
                while left > 0 && stream.write_all(&piece).await.is_ok() {
                    left -= 1;
                }
                // Silence then: only the end of the connection tells that the client left.
                let _end = stream.read(&mut head).await;
                done.store(true, Ordering::SeqCst);
            });
        }
    });
    let helper = Helper::before(&socket, "");
    let mut client = UnixStream::connect(helper.socket()).await.unwrap();
    client
        .write_all(b"GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
        .await
        .unwrap();
    let mut got = 0;
    let mut buffer = vec![0; 1 << 16];
    while got < 640 << 16 {
        got += timeout(PATIENCE, client.read(&mut buffer)).await.expect("it stops").unwrap();
    }
    assert!(seen.load(Ordering::SeqCst) && !ended.load(Ordering::SeqCst));
    drop(client);
    until("the engine to be let go", || async { ended.load(Ordering::SeqCst) }).await;
}

#[tokio::test]
async fn clients_that_dawdle_or_crowd_are_bounded() {
    let engine = Engine::of_web(ours());
    let limits = Limits { connections: 2, head_time: SOON, ..Limits::default() };
    let helper = Helper::with(&engine.socket(), &users(), limits);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = UnixStream::connect(helper.socket()).await.unwrap();
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost:").await.unwrap();
        slow.push(stream);
    }
    // The third waits in the queue until one of them is let go.
    assert_eq!(helper.ask("GET /_ping").await.status(), 200);
    for mut stream in slow {
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("a slow client is kept").unwrap();
        assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
    }
    let heads = format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{}\r\n", "X: y\r\n".repeat(65));
    assert!(helper.raw(heads.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let large = format!("GET /_ping HTTP/1.1\r\nHost: d\r\nX: {}\r\n\r\n", "y".repeat(40 << 10));
    assert!(helper.raw(large.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert_eq!(engine.asked(), ["GET /_ping"]);
}
