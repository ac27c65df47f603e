//! Telegram that is down or silent: the daemon starts all the same, serves everything else and says what is missing.

use std::time::Duration;

use opsbot::runtime::Stopwatch;
use tokio::net::TcpListener;

use super::house::house_at;
use crate::{daemon::house::Daemon, docker::boxes::until};

const TOKEN: &str = "7000000001:AAFakeTokenForTestsOnly-000000000000";
/// Whoever waits for Telegram waits longer: for a connection 5 s, for an answer 20 s.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Waits until `/healthz` speaks of Telegram.
async fn health(daemon: &mut Daemon) -> (String, String) {
    let daemon = tokio::sync::Mutex::new(daemon);
    let page = tokio::sync::Mutex::new(Default::default());
    until("Telegram in /healthz", || async {
        let got = daemon.lock().await.get("/healthz").await;
        let there = got.1.contains("\"telegram\"");
        *page.lock().await = got;
        there
    })
    .await;
    page.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_starts_and_serves_without_telegram_and_says_so() {
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [silent.local_addr().unwrap(), closed.local_addr().unwrap()];
    drop(closed);
    for address in addresses {
        let url = format!("http://{address}");
        let house = house_at("unix:///nonexistent/docker.sock", &url, TOKEN, "");
        let watch = Stopwatch::start();
        let mut daemon = house.start().await;
        house.run(&["ask", "/whoami"]).await.exits(0).says(&["anna, admin on console"]);
        assert!(watch.elapsed() < AT_ONCE, "it waited for Telegram: {:?}", watch.elapsed());
        let (status, page) = health(&mut daemon).await;
        assert!(status.contains(" 503 ") && page.contains("\"store\""), "{status}: {page}");
        let (_, metrics) = daemon.get("/metrics").await;
        assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
        let log = daemon.logs("opsbot runs").await;
        assert!(!log.contains(TOKEN), "{log}");
        daemon.stop().await;
    }
}
