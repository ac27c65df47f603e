//! The surface over a real pager and store, real servers beside it, and a client for all of them.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use opsbot::{
    alerts::{CardRules, Inhibit, Settings},
    domain::{CustomerId, Labels, Matcher, ServiceName, Subject},
    http::{
        Limits,
        alerts::{Door, Surface},
        bind_router,
    },
    pager::{Pager, Setup},
    runtime::{Counters, Stopwatch, clock},
    store::{AuditKey, Store},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::cache::{free_port, have};

pub const TOKEN: &str = "token-for-tests-of-alerts";
pub const PATIENCE: Duration = Duration::from_secs(30);
const BODY_TIME: Duration = Duration::from_millis(1500);

/// The surface, its pager and its store.
pub struct Rig {
    pub at: Place,
    pub counters: Counters,
    stop: CancellationToken,
    running: Vec<JoinHandle<Result<(), String>>>,
    pager_stop: CancellationToken,
}

impl Rig {
    pub async fn start() -> Self {
        let store = Store::in_memory(AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap();
        let counters = Counters::new(clock::now());
        let pager = Pager::open(store, setup(), counters.clone()).await.unwrap();
        let times = (Duration::from_secs(300), BODY_TIME);
        let surface = Surface::new(pager.clone(), Door::new(TOKEN), counters.clone(), times);
        let server = bind_router("127.0.0.1:0", Limits::default(), surface.router(), None).await.unwrap();
        let at = Place::new(&format!("http://{}", server.address()));
        let (stop, pager_stop) = (CancellationToken::new(), CancellationToken::new());
        let (serving, keeping) = (stop.clone(), pager_stop.clone());
        let keeper = pager.clone();
        let running = vec![
            tokio::spawn(async move { server.run(serving).await }),
            tokio::spawn(async move { keeper.run(keeping).await }),
        ];
        Self { at, counters, stop, running, pager_stop }
    }

    /// The pager's task ends: nothing is kept any more.
    pub async fn stop_keeping(&mut self) {
        self.pager_stop.cancel();
        self.running.pop().unwrap().await.unwrap().unwrap();
    }

    pub fn rejected(&self, why: &str) -> u64 {
        self.counters.count("opsbot_alerts_rejected_total", &[("why", why)])
    }

    pub fn received(&self, source: &str) -> u64 {
        self.counters.count("opsbot_alerts_received_total", &[("source", source)])
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
        self.pager_stop.cancel();
    }
}

fn setup() -> Setup {
    let matcher = |name: &str, value: &str| {
        vec![Matcher { name: name.into(), value: value.into(), is_regex: false, is_equal: true }]
    };
    let rack = Inhibit {
        source: matcher("alertname", "RackDown"),
        target: matcher("severity", "warning"),
        equal: vec!["rack".into()],
    };
    Setup {
        settings: Settings {
            group_by: vec!["customer".into(), "service".into()],
            group_wait: Duration::ZERO,
            hold_down: Duration::from_millis(200),
            flapping: (100, Duration::from_secs(900)),
            ack_lifetime: Duration::from_secs(3600),
            ladder: vec![Duration::ZERO],
            quiet: None,
            inhibit: vec![rack],
            zone: TimeZone::UTC,
            cards: CardRules {
                runbook_hosts: vec![],
                customer: Arc::new(ToString::to_string),
                suggest: Arc::new(|_, _| vec![]),
            },
        },
        places: BTreeMap::new(),
        storm_above: 10,
        subject: Arc::new(|labels: &Labels| Subject {
            customer: labels.get("customer").map(|id| CustomerId::new(id.as_str())),
            service: labels.get("service").map(|name| ServiceName::new(name.as_str())),
            host: None,
        }),
    }
}

/// Something that speaks Alertmanager's API, and our client for it.
#[derive(Clone)]
pub struct Place {
    pub url: String,
    client: reqwest::Client,
}

impl Place {
    pub fn new(url: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { url: url.into(), client }
    }

    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Posts JSON with the token; the code and the body.
    pub async fn post(&self, path: &str, body: impl Into<String>) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(TOKEN);
        self.told(request.header("Content-Type", "application/json").body(body.into())).await
    }

    pub async fn told(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        let code = answer.status().as_u16();
        (code, answer.text().await.unwrap())
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        self.told(self.client.get(format!("{}{path}", self.url)).bearer_auth(TOKEN)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, String) {
        self.told(self.client.delete(format!("{}{path}", self.url)).bearer_auth(TOKEN)).await
    }

    pub fn bare(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// What a path gives as JSON; it must answer 200.
    pub async fn json(&self, path: &str) -> Value {
        let (code, body) = self.get(path).await;
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    /// The names of the alerts that a query gives, sorted.
    pub async fn names(&self, query: &str) -> Vec<String> {
        let all = self.json(&format!("/api/v2/alerts{query}")).await;
        let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap_or("-").to_owned();
        let mut names: Vec<_> = all.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    /// Waits until the query gives these names.
    pub async fn until_names(&self, query: &str, want: &[&str]) {
        let watch = Stopwatch::start();
        loop {
            let names = self.names(query).await;
            if names == want {
                return;
            }
            assert!(watch.elapsed() < PATIENCE, "{query}: {names:?} instead of {want:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until something answers there.
    pub async fn until_ready(&self) {
        let watch = Stopwatch::start();
        loop {
            let request = self.client.get(format!("{}/-/ready", self.url)).timeout(Duration::from_secs(2));
            if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(watch.elapsed() < PATIENCE, "{} did not come", self.url);
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Program {
    /// It reads its configuration again.
    pub fn reload(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, Signal::SIGHUP).unwrap();
    }
}

/// A program of Debian's that runs until the test ends.
pub struct Program {
    child: Child,
    pub at: Place,
    _dir: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn start(name: &str, config: &str, arguments: &[&str]) -> Option<Program> {
    if !have(name) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    fs::write(&file, config).unwrap();
    let port = free_port();
    let child = Command::new(name)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(arguments.iter().map(|a| a.replace("DIR", dir.path().to_str().unwrap())))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let program = Program { child, at: Place::new(&format!("http://127.0.0.1:{port}")), _dir: dir };
    program.at.until_ready().await;
    Some(program)
}

/// Debian's Alertmanager with this configuration.
pub async fn alertmanager(config: &str) -> Option<Program> {
    start("prometheus-alertmanager", config, &["--storage.path=DIR/data", "--cluster.listen-address="]).await
}

/// A Prometheus with one rule that fires at once, which tells `alertmanager` (an address with a port).
pub async fn prometheus(alertmanager: &str, rules: &Path) -> Option<Program> {
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\nalerting:\n  \
         alertmanagers:\n  - authorization: {{ credentials: {TOKEN} }}\n    static_configs: [{{ targets: ['{alertmanager}'] }}]\n",
        rules.display()
    );
    start("prometheus", &config, &["--storage.tsdb.path=DIR/data", "--rules.alert.resend-delay=1s"]).await
}
