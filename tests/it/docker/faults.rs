//! Engines that are slow, talk garbage, or break off: an error in time, never a hang, never a full memory.

use std::time::Duration;

use opsbot::{
    docker::{DockerHosts, HostConfig, LogQuery},
    domain::{HostName, Outcome, ToolError},
    inventory::{InventorySource, Rules},
};
use serde_json::json;

use super::{
    fake::{Act, Engine, container, frame},
    rig::{self, Rig},
};

const SOON: Duration = Duration::from_millis(400);
const T: &str = "2026-11-21T10:30:24.928851151Z";

#[tokio::test]
async fn a_bad_engine_is_an_error_that_says_what_to_do() {
    let page = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hi</html>";
    let table = [
        ("slow", Act::Hang, "no answer within 0.4 s"),
        ("endless", Act::Endless, "not Docker's (too long)"),
        ("garbage", Act::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".into()), "not HTTP"),
        ("a web page", Act::Raw(page.into()), "not Docker's (unreadable JSON)"),
        ("closed", Act::Raw(vec![]), "the connection broke"),
        ("broken off", Act::Break(b"[{".into()), "broke"),
        (
            "failing",
            Act::Answer(500, br#"{"message":"no \u001b[31mspace left"}"#.into()),
            "it answered 500: no space left",
        ),
    ];
    for (what, act, want) in table {
        let engine = Engine::start(move |path| path.contains("/containers/json").then(|| act.clone())).await;
        // An endless answer must be given up for its length, before the time is up.
        let deadline = if what == "endless" { Duration::from_secs(20) } else { SOON };
        let answer = engine.hosts(deadline).list().await.remove(0).1;
        let error = ToolError::from(answer.unwrap_err()).to_string();
        assert!(error.starts_with("Docker host fake is not answering: "), "{what}: {error}");
        assert!(error.contains(want) && !error.contains("127.0.0.1"), "{what}: {error}");
    }
}

#[tokio::test]
async fn what_is_wrong_before_the_first_answer_is_told_apart() {
    let config = |url: &str| HostConfig { name: "x".into(), url: url.into(), tls: None, timeout: SOON };
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("unix://{}", dir.path().join("no.sock").display());
    let refused = format!("tcp://{unused}");
    let table = [
        (missing.as_str(), "its socket is not there"),
        (refused.as_str(), "connection refused"),
        ("ssh://host", "neither unix:///path nor tcp://host:port"),
    ];
    for (url, want) in table {
        let error = DockerHosts::connect(vec![config(url)]).list().await.remove(0).1.unwrap_err().to_string();
        assert!(error.contains(want), "{url}: {error}");
    }
    let hang = Engine::start(|path| path.contains("/version").then_some(Act::Hang)).await;
    let error = hang.hosts(SOON).probe().await.remove(0).1.unwrap_err().to_string();
    assert!(error.contains("no answer within"), "{error}");
}

#[tokio::test]
async fn an_engine_that_comes_back_is_found_again() {
    let times = std::sync::atomic::AtomicUsize::new(0);
    let engine = Engine::start(move |path| {
        let first =
            path.contains("/containers/json") && times.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        match path.contains("/containers/json") {
            true if first => Some(Act::Answer(503, vec![])),
            true => Some(Act::json("[]")),
            false => None,
        }
    })
    .await;
    let hosts = engine.hosts(SOON);
    assert!(hosts.list().await.remove(0).1.is_err());
    assert!(hosts.list().await.remove(0).1.unwrap().is_empty());
}

#[tokio::test]
async fn a_log_of_one_huge_line_and_broken_text_is_read_within_bounds() {
    let mut log = frame(1, &[format!("{T} ").as_bytes(), &vec![b'x'; 10 << 20], b"\n"].concat());
    log.extend(frame(2, &[T.as_bytes(), b" bad \xff\xfe \x1b]0;title\x07utf-8\n"].concat()));
    let engine =
        Engine::start(move |path| path.contains("/logs").then(|| Act::Answer(200, log.clone()))).await;
    let query = LogQuery::tail(50);
    let read = engine.hosts(Duration::from_secs(10)).logs(&container("web"), &query).await.unwrap();
    assert_eq!(read.lines.len(), 2);
    assert_eq!((read.lines[0].cut_from, read.lines[0].text.as_str().len()), (Some(10 << 20), 2_000));
    assert_eq!(read.lines[1].text.as_str(), "bad \u{fffd}\u{fffd} utf-8");
    assert_eq!(read.broke, None);
}

#[tokio::test]
async fn a_log_that_breaks_off_keeps_what_came() {
    let mut log = frame(1, format!("{T} first\n").as_bytes());
    log.extend_from_slice(&frame(1, format!("{T} second line\n").as_bytes())[..40]);
    let engine = Engine::start(move |path| path.contains("/logs").then(|| Act::Break(log.clone()))).await;
    let read = engine.hosts(SOON).logs(&container("web"), &LogQuery::tail(50)).await.unwrap();
    assert_eq!(read.lines[0].text.as_str(), "first");
    assert!(read.broke.is_some());
    let none = Engine::start(|path| path.contains("/logs").then(|| Act::Break(vec![1, 0, 0]))).await;
    assert!(none.hosts(SOON).logs(&container("web"), &LogQuery::tail(50)).await.is_err());
    let endless = Engine::start(|path| path.contains("/logs").then_some(Act::Endless)).await;
    let error =
        endless.hosts(SOON).logs(&container("web"), &LogQuery::tail(50)).await.unwrap_err().to_string();
    assert!(error.contains("fake"), "{error}");
}

fn listing() -> String {
    let one = |service: &str, id: char| {
        json!({"Id": id.to_string().repeat(64), "Names": [format!("/c19-{service}")], "State": "running",
            "Labels": {"opsbot.customer": "19", "opsbot.service": service,
                "opsbot.depends_on": if service == "web" { "db" } else { "" }}})
    };
    json!([one("web", 'f'), one("db", 'd')]).to_string()
}

fn running(id: char, health: &str) -> String {
    json!({"Id": id.to_string().repeat(64), "State": {"Status": "running", "StartedAt": "2026-11-21T10:30:04Z",
        "Health": {"Status": health, "FailingStreak": 3, "Log": [{"End": T, "ExitCode": 1, "Output": "503"}]}}})
    .to_string()
}

#[tokio::test]
async fn one_host_down_is_a_gap_and_the_others_answer() {
    let good = Engine::start(|path| path.contains("/containers/json").then(|| Act::json(listing()))).await;
    let bad = Engine::start(|_| Some(Act::Hang)).await;
    let hosts = DockerHosts::connect(vec![good.config("fake", SOON), bad.config("other", SOON)]);
    let made = InventorySource::new(hosts, Rules::default()).snapshot().await;
    assert_eq!(made.services(&"19".into()), ["db".into(), "web".into()]);
    assert!(made.gaps()[0].starts_with("Docker host other is not answering"), "{:?}", made.gaps());
    let unknown = made.find_customer("acme").unwrap_err();
    assert!(matches!(unknown, ToolError::BackendDown { .. }), "{unknown}");
}

#[tokio::test]
async fn a_whole_stack_is_not_restarted_while_a_host_is_down() {
    let good = Engine::start(|path| path.contains("/containers/json").then(|| Act::json(listing()))).await;
    let bad = Engine::start(|_| Some(Act::Hang)).await;
    let hosts = DockerHosts::connect(vec![good.config("fake", SOON), bad.config("other", SOON)]);
    let rig = Rig::new(hosts);
    let error = rig.resolve("restart_container", json!({"customer_id": 19})).await.unwrap_err();
    assert!(error.to_string().contains("Docker host other"), "{error}");
    let error = rig.resolve("stop_container", json!({"customer_id": 19})).await.unwrap_err();
    assert!(error.to_string().contains("Docker host other"), "{error}");
    let one = rig.resolve("restart_container", json!({"customer_id": 19, "service": "web"})).await.unwrap();
    assert_eq!(one.target.containers.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_a_finding() {
    let engine = Engine::start(|path| match path {
        p if p.contains("/containers/json") => Some(Act::json(listing())),
        p if p.contains("/logs") => Some(Act::Hang),
        p if p.contains(&"f".repeat(64)) => Some(Act::json(running('f', "unhealthy"))),
        p if p.contains(&"d".repeat(64)) => Some(Act::Answer(500, br#"{"message":"oops"}"#.into())),
        _ => None,
    })
    .await;
    let rig = Rig::with(engine.hosts(SOON), rig::down(), rig::down(), rig::limits());
    let out = rig.read("check_up", json!({"customer_id": "customer 19"})).await.unwrap();
    let first = out.text.lines().nth(1).unwrap();
    assert!(
        first.starts_with("1. [critical] web is unhealthy: its health check failed 3 times"),
        "{}",
        out.text
    );
    for part in ["container c19-db", "the log of c19-web", "metrics: Prometheus", "alerts: Prometheus"] {
        assert!(out.text.contains(&format!("could not look at {part}")), "{part}: {}", out.text);
    }
    let score = rig.read("get_health_score", json!({"customer_id": 19})).await.unwrap();
    assert!(score.text.contains("metrics: not counted"), "{}", score.text);
}

#[tokio::test]
async fn a_restart_that_the_engine_refuses_is_not_up() {
    let engine = Engine::start(|path| match path {
        p if p.contains("/containers/json") => Some(Act::json(listing())),
        p if p.starts_with("POST") => {
            Some(Act::Answer(500, br#"{"message":"OCI runtime create failed"}"#.into()))
        }
        p if p.contains("/logs") => {
            Some(Act::Answer(200, frame(2, format!("{T} FATAL no config\n").as_bytes())))
        }
        p if p.contains(&"f".repeat(64)) => Some(Act::json(running('f', "healthy"))),
        _ => None,
    })
    .await;
    let rig = Rig::new(engine.hosts(SOON));
    let out = rig.write("restart_container", json!({"customer_id": 19, "service": "web"})).await.unwrap();
    assert_eq!(out.outcome, Outcome::NotUp);
    assert!(out.summary.contains("could not restart it: OCI runtime create failed"), "{}", out.summary);
    assert!(out.text.contains("FATAL no config"), "{}", out.text);
}

#[tokio::test]
async fn an_engine_that_hangs_in_a_restart_leaves_no_claim() {
    let engine = Engine::start(|path| match path {
        p if p.contains("/containers/json") => Some(Act::json(listing())),
        p if p.starts_with("POST") => Some(Act::Hang),
        p if p.contains(&"f".repeat(64)) => Some(Act::json(running('f', "healthy"))),
        p if p.contains(&"d".repeat(64)) => Some(Act::json(running('d', "healthy"))),
        _ => None,
    })
    .await;
    let limits = opsbot::tools::restart::RestartLimits { grace: Duration::ZERO, ..rig::limits() };
    let rig = Rig::with(engine.hosts(SOON), rig::nothing(), rig::nothing(), limits);
    let error = rig.write("restart_container", json!({"customer_id": 19})).await.unwrap_err().to_string();
    assert!(
        error.contains("whether db was restarted is not known") && error.contains("not touched: web"),
        "{error}"
    );
}

#[tokio::test]
async fn a_start_that_the_engine_refuses_and_a_stop_that_hangs_are_told() {
    let stopped = listing().replace("running", "exited");
    let exited = |id: char| running(id, "").replace("running", "exited");
    let engine = Engine::start(move |path| match path {
        p if p.contains("/containers/json") => Some(Act::json(stopped.clone())),
        p if p.starts_with("POST") => {
            Some(Act::Answer(500, br#"{"message":"driver failed: port is already allocated"}"#.into()))
        }
        p if p.contains("/logs") => Some(Act::Answer(200, vec![])),
        p if p.contains(&"f".repeat(64)) => Some(Act::json(exited('f'))),
        p if p.contains(&"d".repeat(64)) => Some(Act::json(exited('d'))),
        _ => None,
    })
    .await;
    let rig = Rig::new(engine.hosts(SOON));
    let out = rig.write("start_container", json!({"customer_id": 19})).await.unwrap();
    assert_eq!(out.outcome, Outcome::NotUp);
    assert!(out.summary.contains("could not start it: driver failed: port is already"), "{}", out.summary);
    assert!(out.text.contains("not touched: web"), "{}", out.text);
    let engine = Engine::start(|path| match path {
        p if p.contains("/containers/json") => Some(Act::json(listing())),
        p if p.starts_with("POST") => Some(Act::Hang),
        p if p.contains(&"f".repeat(64)) => Some(Act::json(running('f', "healthy"))),
        p if p.contains(&"d".repeat(64)) => Some(Act::json(running('d', "healthy"))),
        _ => None,
    })
    .await;
    let limits = opsbot::tools::restart::RestartLimits { grace: Duration::ZERO, ..rig::limits() };
    let rig = Rig::with(engine.hosts(SOON), rig::nothing(), rig::nothing(), limits);
    let error = rig.write("stop_container", json!({"customer_id": 19})).await.unwrap_err().to_string();
    // What others need is stopped last.
    assert!(
        error.contains("whether web was stopped is not known") && error.contains("not touched: db"),
        "{error}"
    );
}

#[test]
fn the_tools_are_short_enough_for_a_small_model() {
    let rig_hosts = DockerHosts::connect(vec![HostConfig {
        name: HostName::from("x"),
        url: "unix:///nowhere".into(),
        tls: None,
        timeout: SOON,
    }]);
    let specs = Rig::new(rig_hosts).specs();
    let core = |s: &&opsbot::domain::ToolSpec| opsbot::agent::prompt::CORE.contains(&s.name);
    let all: Vec<_> = specs.iter().chain(&opsbot::tools::blocked_specs()).filter(core).map(|s| {
        json!({"type": "function", "function": {"name": s.name, "description": s.summary, "parameters": s.schema()}})
    }).collect();
    let bytes = serde_json::to_string(&all).unwrap().len();
    assert!(all.len() == 10 && bytes < 2_700, "{} tools in {bytes} bytes", all.len());
    for spec in specs.iter().filter(|s| !core(s)) {
        assert!(spec.summary.len() <= 70 && (4..=12).contains(&spec.phrases.len()), "{}", spec.name);
    }
}
