//! Prometheus, the real one and ones that misbehave: the client, `get_metrics` and `list_active_alerts`.

use std::{
    collections::BTreeSet,
    env,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use opsbot::{
    agent::port::Tool,
    domain::{Args, Block, ContainerRef, Customer, ToolCall, ToolError},
    prometheus::{Credentials, MAX_BODY, Options, Prometheus},
    runtime::clock::now,
    tools::{
        alerts::{self, LabelNames, ListActiveAlerts},
        evidence::MetricSample,
        metrics::{self, DockerStats, GetMetrics, Resolve, Templates},
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

const WINDOW: Duration = Duration::from_secs(900);

/// Says what is missing and lets the test pass, unless this run requires everything.
pub fn missing(what: &str) {
    let required = env::var_os("CI").is_some() || env::var_os("OPSBOT_TEST_REQUIRE").is_some();
    assert!(!required, "{what} is missing, and this run requires it");
    eprintln!("skipped: {what} is missing");
}

/// How the fake server answers every request.
#[derive(Clone)]
enum Fake {
    /// These bytes, then it closes.
    Says(Vec<u8>),
    /// A head that announces more than ever comes.
    Hangs(&'static str),
    /// A head, then this many bytes.
    Pours(&'static str, usize),
    /// Nothing: it closes.
    Closes,
}

struct FakeServer {
    url: String,
    requests: mpsc::UnboundedReceiver<String>,
    _tasks: JoinSet<()>,
}

async fn fake(how: Fake) -> FakeServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(misbehave(stream, how.clone(), seen.clone()));
        }
    });
    FakeServer { url, requests, _tasks: tasks }
}

async fn misbehave(mut stream: TcpStream, how: Fake, seen: mpsc::UnboundedSender<String>) {
    let Some(request) = read_request(&mut stream).await else { return };
    seen.send(request).ok();
    match how {
        Fake::Says(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        }
        Fake::Hangs(head) => {
            stream.write_all(head.as_bytes()).await.ok();
            std::future::pending::<()>().await;
        }
        Fake::Pours(head, bytes) => {
            stream.write_all(head.as_bytes()).await.ok();
            let chunk = vec![b' '; 65536];
            let mut poured = 0;
            while poured < bytes && stream.write_all(&chunk).await.is_ok() {
                poured += chunk.len();
            }
        }
        Fake::Closes => {}
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length: ").and_then(|n| n.trim().parse::<usize>().ok())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn http(status: &str, kind: &str, body: &str) -> Fake {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
    Fake::Says(format!("{head}Connection: close\r\n\r\n{body}").into_bytes())
}

fn json_fake(body: &serde_json::Value) -> Fake {
    http("200 OK", "application/json", &body.to_string())
}

fn client_with(url: &str, credentials: Credentials) -> Prometheus {
    rustls::crypto::ring::default_provider().install_default().ok();
    let timeout = Duration::from_millis(700);
    Prometheus::new(&Options { credentials, timeout, ..Options::new(url) }).unwrap()
}

fn client(url: &str) -> Prometheus {
    client_with(url, Credentials::Bearer("hunter2".into()))
}

/// A port where nobody listens.
async fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn every_way_to_be_down_has_its_own_sentence() {
    const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let endless: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    let announced: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n";
    let half: &str = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"status\":";
    let internal =
        json!({"status": "error", "errorType": "unavailable", "error": "tsdb \u{1b}[31mnot\nready"});
    let timeout = json!({"status": "error", "errorType": "timeout", "error": "query timed out"});
    let page = "<!DOCTYPE html><html>Log in at http://sso.example</html>";
    let cut = json!({"status": "success", "data": {"resultType": "vector"}}).to_string();
    let table = [
        (Fake::Closes, "broke off", "Try again"),
        (Fake::Hangs(""), "no complete answer within 0.7 s", "Try again"),
        (Fake::Hangs(half), "no complete answer within 0.7 s", "Try again"),
        (Fake::Says(half.into()), "broke off", "Try again"),
        (Fake::Says(b"\x16\x03\x01garbage".to_vec()), "broke off", "Try again"),
        (http("200 OK", "text/html", page), "a web page", "[prometheus] url"),
        (http("404 Not Found", "text/plain", "404 page not found"), "something else", "[prometheus] url"),
        (
            http("200 OK", "application/json", "{\"status\":\"success\"}"),
            "something else",
            "[prometheus] url",
        ),
        (http("200 OK", "application/json", &cut), "something else", "[prometheus] url"),
        (http("200 OK", "application/json", "\u{fffd}{]"), "something else", "[prometheus] url"),
        (http("200 OK", "application/json", ""), "nothing", "[prometheus] url"),
        (Fake::Pours(endless, 10 << 20), "larger than 8 MiB", "Narrow"),
        (Fake::Pours(announced, 10 << 20), "larger than 8 MiB", "Narrow"),
        (http("503 Service Unavailable", "text/html", page), "HTTP 503", "Try again"),
        (
            http("503 Service Unavailable", "application/json", &internal.to_string()),
            "tsdb not ready",
            "Try again",
        ),
        (
            http("503 Service Unavailable", "application/json", &timeout.to_string()),
            "took too long",
            "Narrow",
        ),
        (http("401 Unauthorized", "text/plain", "no"), "refuses us (HTTP 401)", "credentials"),
        (http("302 Found", "text/html", page), "elsewhere (HTTP 302)", "[prometheus] url"),
    ];
    assert!(endless.starts_with(JSON_HEAD) && MAX_BODY < 10 << 20);
    for (how, detail_part, cure_part) in table {
        let server = fake(how).await;
        let prom = client(&server.url);
        let at = now();
        let from = at.checked_sub(WINDOW).unwrap();
        let errors = [
            prom.query("up", at).await.unwrap_err(),
            prom.query_range("up", from, at, Duration::from_secs(15)).await.unwrap_err(),
            prom.alerts().await.unwrap_err(),
            prom.healthy(at).await.unwrap_err(),
        ];
        for error in errors {
            let ToolError::BackendDown { backend, detail, cure } = &error else { panic!("{error:?}") };
            assert!(backend == "Prometheus" && detail.contains(detail_part), "{detail_part}: {error}");
            assert!(cure.contains(cure_part), "{detail_part}: {error}");
            assert_clean(&error, &server.url);
        }
    }
}

fn assert_clean(error: &ToolError, url: &str) {
    let text = format!("{error} {error:?}");
    let port = url.rsplit(':').next().unwrap();
    for secret in ["hunter2", "http://", port, "\u{1b}"] {
        assert!(!text.contains(secret), "`{secret}` is in {text}");
    }
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_cure() {
    let url = dead_url().await;
    let error = client(&url).query("up", now()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no connection (Connection refused") && text.contains("Start it"), "{text}");
    assert_clean(&error, &url);
    let error = client("http://nowhere.invalid:9090").alerts().await.unwrap_err();
    assert!(error.to_string().contains("no connection"), "{error}");
}

#[tokio::test]
async fn a_refused_query_is_the_askers_and_in_prometheus_own_words() {
    let message = format!("invalid parameter \"query\": 1:5: \u{202e}parse\nerror {}", "x".repeat(2000));
    let body = json!({"status": "error", "errorType": "bad_data", "error": message}).to_string();
    let server = fake(http("400 Bad Request", "application/json", &body)).await;
    let error = client(&server.url).query("bad{{", now()).await.unwrap_err();
    let ToolError::BadArgs(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("1:5: parse error x") && text.contains('…') && text.len() < 450, "{text}");
    assert!(!text.contains('\u{202e}'), "{text}");
}

#[tokio::test]
async fn requests_go_where_they_should_with_credentials() {
    let empty = json!({"status": "success", "data": {"resultType": "vector", "result": []}});
    // The second is base64 of `u@x:p:/ä`.
    let table = [
        (Credentials::Bearer("hunter2".into()), "authorization: Bearer hunter2"),
        (
            Credentials::Basic { user: "u@x".into(), password: "p:/ä".into() },
            "authorization: Basic dUB4OnA6L8Ok",
        ),
    ];
    for (credentials, want) in table {
        let mut server = fake(json_fake(&empty)).await;
        let prom = client_with(&format!("{}/prom/", server.url), credentials);
        prom.query("up{a=\"b&c\"}", now()).await.unwrap();
        let request = server.requests.recv().await.unwrap();
        assert!(request.starts_with("POST /prom/api/v1/query HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("query=up%7Ba%3D%22b%26c%22%7D&time="), "{request}");
        assert!(request.contains(want), "{request}");
        prom.alerts().await.unwrap_err();
        let request = server.requests.recv().await.unwrap();
        assert!(request.starts_with("GET /prom/api/v1/alerts HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(want), "{request}");
    }
}

fn container(name: &str, service: &str) -> ContainerRef {
    let id = format!("{:0>64}", name.len());
    ContainerRef { host: "local".into(), id, name: name.into(), service: service.into() }
}

fn resolve_to(containers: Vec<ContainerRef>) -> Resolve {
    Arc::new(move |given| {
        let containers = containers.clone();
        async move {
            if given != "acme" {
                return Err(ToolError::UnknownId { what: "customer", given, known: vec!["19".into()] });
            }
            let customer = Customer {
                id: "19".into(),
                name: Some("acme".into()),
                aliases: vec![],
                domain: None,
                labels: [("tier".to_owned(), "gold".to_owned())].into(),
            };
            Ok((customer, containers))
        }
        .boxed()
    })
}

fn docker(asked: Arc<AtomicUsize>, up: bool) -> DockerStats {
    Arc::new(move |containers| {
        asked.store(containers.len(), Ordering::Relaxed);
        async move {
            let down = ToolError::BackendDown {
                backend: "Docker".into(),
                detail: "no socket".into(),
                cure: "Start Docker",
            };
            let sample = |c: ContainerRef| MetricSample {
                service: c.service,
                name: "cpu",
                unit: "%",
                now: 12.5,
                limit: None,
                source: "docker stats",
            };
            if up { Ok(containers.into_iter().map(sample).collect()) } else { Err(down) }
        }
        .boxed()
    })
}

#[tokio::test]
async fn docker_steps_in_when_prometheus_cannot_tell() {
    let empty = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
    let at = now();
    let points: Vec<_> = (0..3).rev().map(|n| (at.as_second() - n * 15, format!("{}", 5 - n))).collect();
    let only_web = json!({"status": "success", "data": {"resultType": "matrix", "result": [
        {"metric": {"name": "c19-web"}, "values": points},
        {"metric": {"name": "c77-web"}, "values": points},
    ]}});
    let (nothing, partly) = (fake(json_fake(&empty)).await, fake(json_fake(&only_web)).await);
    let table = [
        (None, 2, "Prometheus is not configured", "docker stats"),
        (Some(dead_url().await), 2, "no connection", "docker stats"),
        (Some(nothing.url.clone()), 2, "no series for these containers", "docker stats"),
        (Some(partly.url.clone()), 1, "", "docker stats and prometheus"),
    ];
    let containers = [container("c19-web", "web"), container("c19-db", "db")];
    for (url, asked_for, note, sources) in table {
        let prom = url.as_deref().map(client);
        let asked = Arc::new(AtomicUsize::new(0));
        let tool = |up| {
            let stats = docker(Arc::clone(&asked), up);
            GetMetrics::new(prom.clone(), Templates::default(), resolve_to(containers.to_vec()), stats)
        };
        let out = tool(true).report(&"19".into(), &containers, WINDOW, at).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), asked_for, "{sources}");
        assert!(out.text.contains(note) && out.text.contains(&format!("({sources})")), "{}", out.text);
        assert!(out.text.contains("db cpu: now 12.5 %"), "{}", out.text);
        let web = out.text.contains("web cpu: now 5.0 %, min 3.0 %, max 5.0 %, avg 4.0 %");
        assert_eq!(web, asked_for == 1, "{}", out.text);
        assert!(!out.text.contains("77"), "another customer's series must not show: {}", out.text);

        let without = tool(false).report(&"19".into(), &containers, WINDOW, at).await;
        match (without, note) {
            (Ok(out), "") => assert!(out.text.contains("Docker's statistics are missing"), "{}", out.text),
            (Err(ToolError::BackendDown { backend, .. }), "no connection") => {
                assert_eq!(backend, "Prometheus and Docker");
            }
            (Err(ToolError::BackendDown { backend, .. }), _) => assert_eq!(backend, "Docker"),
            (other, _) => panic!("{other:?}"),
        }
    }
    let nobody: DockerStats = Arc::new(|_| async { Ok(vec![]) }.boxed());
    let tool = GetMetrics::new(None, Templates::default(), resolve_to(vec![]), nobody);
    for containers in [&[], containers.as_slice()] {
        let error = tool.report(&"19".into(), containers, WINDOW, at).await.unwrap_err();
        assert!(matches!(error, ToolError::NothingFound(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_call_is_resolved_to_its_canonical_form() {
    let containers = vec![container("c19-web", "web")];
    let stats = docker(Arc::default(), true);
    let tool = GetMetrics::new(None, Templates::default(), resolve_to(containers.clone()), stats);
    let call = |args: serde_json::Value| {
        let args = tool.spec().read_args(&args).map_err(ToolError::BadArgs);
        async { tool.resolve(&ToolCall { tool: "get_metrics".into(), args: args? }).await }
    };
    let resolved = call(json!({"customer_id": "acme", "window": "1h"})).await.unwrap();
    assert_eq!(resolved.call.to_string(), "get_metrics(customer_id=19, window=1h)");
    assert_eq!(resolved.target.containers, containers);
    assert_eq!(resolved.target.labels["tier"], "gold");
    let table = [
        (json!({"customer_id": "99"}), "no customer `99`"),
        (json!({"customer_id": "acme", "window": "8d"}), "1m to 7d"),
        (json!({"customer_id": "acme", "window": "x"}), "15m, 2h or 1d"),
        (json!({}), "missing"),
    ];
    for (args, want) in table {
        let error = call(args).await.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let alerts = ListActiveAlerts::new(None, LabelNames::default(), Arc::default());
    let call = ToolCall { tool: "list_active_alerts".into(), args: Args::default() };
    assert_eq!(alerts.resolve(&call).await.unwrap().call, call);
    let error = alerts.report(now()).await.unwrap_err().to_string();
    assert!(error.contains("[prometheus] url"), "{error}");
}

#[tokio::test]
async fn a_refused_template_costs_its_own_metric_only() {
    let body = json!({"status": "error", "errorType": "bad_data", "error": "parse error"}).to_string();
    let server = fake(http("400 Bad Request", "application/json", &body)).await;
    let containers = [container("c19-web", "web")];
    let templates = Templates { cpu: "x{a=\"{nonsense}\"}".into(), ..Templates::default() };
    let error =
        metrics::collect(&client(&server.url), &templates, &"19".into(), &containers, WINDOW, now()).await;
    let ToolError::BadArgs(text) = error.unwrap_err() else { panic!("a refusal is no outage") };
    assert!(text.contains("[metrics] cpu") && text.contains("{nonsense}"), "{text}");
}

/// The real Prometheus and the containers it knows.
async fn real() -> Option<(Prometheus, Vec<ContainerRef>)> {
    let Ok(url) = env::var("OPSBOT_TEST_PROMETHEUS") else {
        missing("$OPSBOT_TEST_PROMETHEUS");
        return None;
    };
    rustls::crypto::ring::default_provider().install_default().ok();
    let prom = Prometheus::new(&Options::new(url)).unwrap();
    let known = prom.query("count by (name) (container_memory_working_set_bytes{name!=\"\"})", now()).await;
    let names: BTreeSet<String> =
        known.unwrap().series.iter().map(|one| one.labels["name"].as_str().to_owned()).collect();
    let containers: Vec<_> = names
        .iter()
        .take(3)
        .map(|name| container(name, name.rsplit(['-', '_']).next().unwrap_or(name)))
        .collect();
    assert!(!containers.is_empty(), "$OPSBOT_TEST_PROMETHEUS has no cAdvisor series");
    Some((prom, containers))
}

#[tokio::test]
async fn a_real_prometheus_answers_and_refuses() {
    let Some((prom, _)) = real().await else { return };
    let at = now();
    prom.healthy(at).await.unwrap();
    let odd = prom.query("vector(0)/0", at).await.unwrap();
    assert!(odd.series[0].value.is_nan());
    assert!(prom.query("vector(1)/0", at).await.unwrap().series[0].value.is_infinite());
    assert_eq!(prom.query("42", at).await.unwrap().series[0].value.to_string(), "42");
    for bad in ["bad{{", "sum by (x) (", "up[5m]"] {
        let error = prom.query(bad, at).await.unwrap_err();
        assert!(matches!(error, ToolError::BadArgs(_)), "{bad}: {error:?}");
    }
    let from = at.checked_sub(WINDOW).unwrap();
    let all = prom.query_range("{__name__=~\".+\"}", from, at, WINDOW).await.unwrap();
    assert!(all.series.len() == 200 && all.omitted > 0, "{} and {}", all.series.len(), all.omitted);
}

#[tokio::test]
async fn real_metrics_have_values_units_and_charts() {
    let Some((prom, containers)) = real().await else { return };
    let (customer, templates, at) = ("19".into(), Templates::default(), now());
    let samples = metrics::collect(&prom, &templates, &customer, &containers, WINDOW, at).await.unwrap();
    for name in ["cpu", "memory", "network_rx", "network_tx"] {
        let found = samples.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(found.now.is_finite() && found.now >= 0.0 && found.source == "prometheus", "{found:?}");
    }
    let memory = samples.iter().find(|sample| sample.name == "memory").unwrap();
    assert!(memory.now > 1024.0 && memory.unit == "B", "{memory:?}");

    let nobody: DockerStats = Arc::new(|_| async { Ok(vec![]) }.boxed());
    let tool = GetMetrics::new(Some(prom.clone()), templates.clone(), resolve_to(vec![]), nobody);
    let out = tool.report(&customer, &containers, WINDOW, at).await.unwrap();
    assert!(out.text.contains("(prometheus)") && out.text.contains("iB"), "{}", out.text);
    assert!(out.blocks.iter().any(|block| matches!(block, Block::Table { rows, .. } if rows.len() >= 4)));
    eprintln!("{}", out.text);

    let evil = [container("x\"} or vector(1) or up{job=\"", "web"), container(".*", "db")];
    let samples = metrics::collect(&prom, &templates, &customer, &evil, WINDOW, at).await;
    assert_eq!(samples, Ok(vec![]), "a name is only ever a name");
}

#[tokio::test]
async fn real_alerts_are_listed_without_the_watchdog() {
    let Some((prom, _)) = real().await else { return };
    let raw = prom.alerts().await.unwrap();
    assert!(raw.iter().any(|alert| alert.labels["alertname"].as_str() == "Watchdog"), "{raw:?}");
    let listed = alerts::collect(&prom, &LabelNames::default(), None).await.unwrap();
    assert!(listed.iter().all(|alert| alert.name != "Watchdog"));
    let tool = ListActiveAlerts::new(Some(prom), LabelNames::default(), Arc::default());
    let out = tool.report(now()).await.unwrap();
    assert!(out.summary.ends_with("pending.") || out.summary.ends_with("alerts."), "{}", out.summary);
    eprintln!("{}", out.text);
}
