//! A real Varnish before a small origin: an old page stays until it is banned, and only where it should go.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use opsbot::domain::{Outcome, ToolError};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::rig::{Cached, Rig, have, varnish, varnish_of};

/// An origin whose pages say which edition they are.
async fn origin() -> (u16, Arc<AtomicU32>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let edition = Arc::new(AtomicU32::new(1));
    let (mut tasks, seen) = (JoinSet::new(), Arc::clone(&edition));
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if !matches!(stream.read(&mut head).await, Ok(1..)) {
                continue;
            }
            let body = format!("edition {}", seen.load(Ordering::Relaxed));
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    (port, edition, tasks)
}

async fn page(varnish: &Cached, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(varnish.server.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
}

const PAGES: [(&str, &str); 4] = [
    ("shop.example", "/"),
    ("shop.example:8080", "/news/a?b=1"),
    ("other.example", "/"),
    ("xshop.example", "/news/a"),
];

async fn editions(varnish: &Cached) -> [String; 4] {
    let mut all: [String; 4] = Default::default();
    for (slot, (host, path)) in all.iter_mut().zip(PAGES) {
        *slot = page(varnish, host, path).await.replace("edition ", "");
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_brings_the_new_page_of_that_host_only() {
    if !have("varnishd") {
        return;
    }
    let (port, edition, _tasks) = origin().await;
    let varnish = varnish(port);
    assert_eq!(editions(&varnish).await, ["1", "1", "1", "1"]);
    edition.store(2, Ordering::Relaxed);
    assert_eq!(editions(&varnish).await, ["1", "1", "1", "1"], "it caches");
    let mine = varnish_of("7", &varnish.admin, Some("correct horse"), Some("shop.example"));
    let rig = Rig::new(vec![mine]);

    let news = json!({"customer_id": "7", "kind": "varnish", "pattern": "/news/*"});
    let call = rig.resolve(news.clone()).await.unwrap();
    let want = format!("ban the pages /news/* of shop.example in varnish {}", varnish.admin);
    assert_eq!(call.plan[0].text, want);
    assert!(call.plan[0].now.as_ref().unwrap().contains("ban"), "{:?}", call.plan);
    let out = rig.clear(news).await.unwrap();
    assert!(out.outcome == Outcome::Ok && out.summary.contains("this one listed first"), "{}", out.summary);
    assert_eq!(editions(&varnish).await, ["1", "2", "1", "1"]);

    let out = rig.clear(json!({"customer_id": "7"})).await.unwrap();
    assert_eq!(out.outcome, Outcome::Ok, "{}", out.text);
    assert_eq!(editions(&varnish).await, ["2", "2", "1", "1"]);

    let all = Rig::new(vec![varnish_of("7", &varnish.admin, Some("correct horse\n"), None)]);
    all.clear(json!({"customer_id": "7"})).await.unwrap();
    assert_eq!(editions(&varnish).await, ["2", "2", "2", "2"], "without a host it is all the customer's");
    for bad in ["/a b", "/x\" || req.url ~ \"."] {
        let error = all.resolve(json!({"customer_id": "7", "pattern": bad})).await.unwrap_err();
        assert!(matches!(&error, ToolError::BadArgs(text) if text.contains("%20")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn varnishs_refusals_are_told_apart() {
    if !have("varnishd") {
        return;
    }
    let (port, _, _tasks) = origin().await;
    let varnish = varnish(port);
    let look = |secret: Option<&'static str>| {
        let rig = Rig::new(vec![varnish_of("7", &varnish.admin, secret, None)]);
        async move { rig.resolve(json!({"customer_id": "7"})).await.unwrap_err().to_string() }
    };
    let error = look(None).await;
    assert!(error.contains("wants its secret") && error.contains("(-S)"), "{error}");
    let error = look(Some("hunter2")).await;
    assert!(error.contains("refuses the secret") && !error.contains("hunter2"), "{error}");
    varnish.adm("stop");
    let error = look(Some("correct horse")).await;
    assert!(error.contains("child process is not running") && error.contains("start"), "{error}");
    // The port that serves pages is not the one that takes commands.
    let rig = Rig::new(vec![varnish_of("7", &varnish.server.address(), Some("x"), None)]);
    varnish.adm("start");
    super::rig::wait_for("the child", || {
        String::from_utf8_lossy(&varnish.adm("status").stdout).contains("running")
    });
    let error = rig.resolve(json!({"customer_id": "7"})).await.unwrap_err().to_string();
    assert!(error.contains("`address`") || error.contains("no answer within"), "{error}");
}
