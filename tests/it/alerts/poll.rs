//! A real Prometheus polled: its alerts come and go, and it goes itself.

use std::{fs, process::Stdio, sync::Arc, time::Duration};

use opsbot::{
    prometheus::{Options, Prometheus},
    runtime::{Counters, clock},
    signals::{Poll, PollSettings, Watchdog, WatchdogSettings},
};
use tokio::process::{Child, Command};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::kept::{Kept, label, named, nothing};
use crate::prometheus::missing;

const CONFIG: &str = "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n";

fn rules(down: &str) -> String {
    format!(
        "groups:\n- name: g\n  rules:\n  - {{alert: Watchdog, expr: vector(1)}}\n  - {{alert: Down, expr: '{down}', \
         labels: {{customer: '19', severity: critical}}, annotations: {{summary: it is down}}}}\n"
    )
}

fn program() -> Option<String> {
    let named = std::env::var("OPSBOT_TEST_PROMETHEUS_BIN").ok();
    named.or_else(|| {
        fs::exists("/usr/bin/prometheus").is_ok_and(|is| is).then(|| "/usr/bin/prometheus".into())
    })
}

async fn up(program: &str, dir: &std::path::Path, port: u16) -> Child {
    let address = format!("127.0.0.1:{port}");
    let child = Command::new(program)
        .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--web.enable-lifecycle")
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let listening = async {
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listening).await.expect("Prometheus does not listen");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_a_real_prometheus_come_and_go() {
    let Some(program) = program() else { return missing("prometheus") };
    rustls::crypto::ring::default_provider().install_default().ok();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("prometheus.yml"), CONFIG).unwrap();
    fs::write(dir.path().join("rules.yml"), rules("vector(7)")).unwrap();
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut server = up(&program, dir.path(), port).await;
    let kept = Kept::new();
    let url = format!("http://127.0.0.1:{port}");
    let counters = Counters::new(clock::now());
    let watchdog = Watchdog::new(
        WatchdogSettings { alertname: "Watchdog".into(), within: Duration::from_secs(3) },
        kept.keep(),
        nothing(),
        counters.clone(),
    );
    let settings = PollSettings { every: Duration::from_millis(300), watchdog: Some(watchdog.clone()) };
    let prometheus = Prometheus::new(&Options::new(url.clone())).unwrap();
    let poll = Arc::new(Poll::new(settings, prometheus, kept.keep(), nothing(), counters));
    let _poll = AbortOnDropHandle::new(tokio::spawn(async move { poll.run(CancellationToken::new()).await }));
    let down = kept.wait("Down", |s| s.firing && named(s, "Down")).await;
    assert_eq!((label(&down, "customer"), down.value), ("19", Some(7.0)));
    assert_eq!(down.annotations["summary"], "it is down");
    // From here on the switch is fed by the poll.
    let _dog =
        AbortOnDropHandle::new(tokio::spawn(async move { watchdog.run(CancellationToken::new()).await }));

    fs::write(dir.path().join("rules.yml"), rules("vector(7) > 8")).unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
        .post(format!("{url}/-/reload"))
        .send()
        .await
        .unwrap();
    let over = kept.wait("its end", |s| !s.firing && named(s, "Down")).await;
    assert_eq!((&over.labels, over.starts_at), (&down.labels, down.starts_at));
    assert!(kept.all().iter().all(|s| !named(s, "WatchdogMissing")), "{:#?}", kept.all());

    server.start_kill().unwrap();
    server.wait().await.unwrap();
    kept.wait("PrometheusDown", |s| s.firing && named(s, "PrometheusDown")).await;
    kept.wait("WatchdogMissing", |s| s.firing && named(s, "WatchdogMissing")).await;
    assert!(kept.all().iter().all(|s| s.firing || named(s, "Down")), "nothing is over because it is down");
    let _server = up(&program, dir.path(), port).await;
    kept.wait("it answers", |s| !s.firing && named(s, "PrometheusDown")).await;
    kept.wait("the watchdog", |s| !s.firing && named(s, "WatchdogMissing")).await;
}
