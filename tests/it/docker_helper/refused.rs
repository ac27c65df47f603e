//! Everything that is not in the table is refused, and nothing of it reaches the engine.

use serde_json::json;

use super::rig::{Answer, Engine, Helper, ours};

/// Routes of Docker's API that are not in the helper's table, with methods as they are and as they are not.
const ROUTES: &[(&str, &[&str])] = &[
    (
        "POST",
        &[
            "/containers/create",
            "/containers/create?name=web",
            "/containers/web/exec",
            "/containers/web/attach",
            "/containers/web/attach?stream=1&stdin=1",
            "/containers/web/kill",
            "/containers/web/kill?signal=9",
            "/containers/web/rename?name=other",
            "/containers/web/update",
            "/containers/web/pause",
            "/containers/web/unpause",
            "/containers/web/wait",
            "/containers/web/resize?h=1&w=1",
            "/containers/web/copy",
            "/containers/web/checkpoints",
            "/containers/web/json",
            "/containers/web/logs",
            "/containers/web/stats",
            "/containers/json",
            "/containers/prune",
            "/exec/web/start",
            "/exec/web/resize",
            "/build",
            "/build/prune",
            "/build/cancel",
            "/commit?container=web",
            "/images/create?fromImage=x",
            "/images/json",
            "/system/df",
            "/distribution/x:1/json",
            "/images/load",
            "/images/prune",
            "/images/x/push",
            "/images/x/tag",
            "/volumes/create",
            "/volumes/prune",
            "/networks/create",
            "/networks/x/connect",
            "/networks/x/disconnect",
            "/networks/prune",
            "/swarm/init",
            "/swarm/join",
            "/swarm/leave",
            "/swarm/update",
            "/swarm/unlock",
            "/secrets/create",
            "/configs/create",
            "/services/create",
            "/nodes/x/update",
            "/plugins/pull",
            "/plugins/x/enable",
            "/plugins/create",
            "/session",
            "/grpc",
            "/auth",
            "/_ping",
            "/version",
            "/events",
            "/",
        ],
    ),
    (
        "GET",
        &[
            "/containers/web/archive?path=/etc",
            "/containers/web/export",
            "/containers/web/changes",
            "/containers/web/top",
            "/containers/web/attach/ws",
            "/containers/web/exec",
            "/containers/web/start",
            "/containers/web/stop",
            "/containers/web/restart",
            "/containers/web",
            "/containers/ps",
            "/containers",
            "/exec/web/json",
            "/images/get",
            "/images/search?term=x",
            "/images/x/json",
            "/images/x/history",
            "/distribution/x/json",
            "/volumes",
            "/volumes/x",
            "/networks",
            "/networks/x",
            "/swarm",
            "/swarm/unlockkey",
            "/nodes",
            "/services",
            "/services/x/logs",
            "/tasks",
            "/secrets",
            "/configs",
            "/plugins",
            "/plugins/privileges",
            "/info",
            "/system/df/x",
            "/system/df?type=volume",
            "/debug/pprof/",
            "/debug/vars",
            "/metrics",
            "/",
        ],
    ),
    ("PUT", &["/containers/web/archive?path=/", "/containers/json", "/containers/web/json", "/_ping"]),
    (
        "DELETE",
        &["/containers/web", "/containers/web?force=1", "/images/x", "/volumes/x", "/_ping", "/version"],
    ),
    (
        "HEAD",
        &[
            "/containers/web/archive?path=/",
            "/containers/json",
            "/containers/web/json",
            "/version",
            "/events",
        ],
    ),
    ("PATCH", &["/containers/web/json", "/_ping"]),
    ("OPTIONS", &["/_ping", "/containers/json", "*"]),
    ("TRACE", &["/_ping"]),
    ("get", &["/_ping"]),
    ("Post", &["/containers/web/restart"]),
    ("GETX", &["/_ping"]),
];

/// Ways to write a path or a query that could mean something else to the engine than to the helper.
const TRICKS: &[&str] = &[
    "POST /v1.41/../containers/create",
    "POST /containers/web/../create",
    "POST /containers/./create",
    "GET /containers/web/../../info",
    "GET /_ping/../info",
    "GET /containers/../info",
    "POST /containers/%2e%2e/create",
    "POST /containers%2Fcreate",
    "POST /containers/web%2Frestart",
    "GET /containers/web%2f..%2f..%2finfo/json",
    "GET /containers/we%62/json",
    "GET /containers/web%00/json",
    "GET /containers/web%252e/json",
    "GET /containers/web\\..\\info/json",
    "GET /containers/web;a=b/json",
    "GET /containers/web:latest/json",
    "GET /containers/web@x/json",
    "GET /containers/web,other/json",
    "GET /containers/*/json",
    "GET /containers/.web/json",
    "GET /containers/-web/json",
    "GET /containers/_web/json",
    "GET /containers/.../../json",
    "GET /containers//json",
    "GET //containers/json",
    "GET /containers/json/",
    "GET /containers/web/json/",
    "GET /_ping/",
    "GET /Containers/json",
    "GET /containers/JSON",
    "GET /CONTAINERS/web/json",
    "POST /containers/web/Restart",
    "GET /V1.41/containers/json",
    "GET /v1.41//containers/json",
    "GET /v1.41/v1.41/containers/json",
    "GET /v1.4/containers/json",
    "GET /v1.23/containers/json",
    "GET /v1.411/containers/json",
    "GET /v1.+1/containers/json",
    "GET /v2.41/containers/json",
    "GET /v1.41",
    "GET /v1.41/",
    "GET /1.41/containers/json",
    "GET /x/containers/json",
    "GET /containers/json/json/json",
    "GET http://docker/containers/json",
    "GET http://docker/info",
    "GET https://docker:1/_ping",
    "GET containers/json",
    "CONNECT docker:80",
    "GET /distribution/../images/x:1/json",
    "GET /distribution/x/../y:1/json",
    "GET /distribution/evil.example%2Fx:1/json",
    "GET /distribution/x:1%2f..%2fy/json",
    "GET /distribution/x:1/json/json",
    "GET /distribution//x:1/json",
    "GET /distribution/x:1@y/json",
    "GET /distribution/x:a:b/json",
    "GET /images/x:1/json",
    "GET /images/json?filters=%7B%7D",
    "GET /system/df?type=container",
    "GET /containers/json?all=1&all=1",
    "GET /containers/json?all=1&all=0",
    "GET /containers/json?all=1?all=1",
    "GET /containers/json?all[]=1",
    "GET /containers/json?%61ll=1",
    "GET /containers/json?all=%31",
    "GET /containers/json?size=1",
    "GET /containers/json?x",
    "GET /containers/json?&",
    "GET /containers/json?all=1%26x=2",
    "GET /containers/web/json?size=true",
    "GET /containers/web/logs?stdout=1;tail=5",
    "GET /containers/web/logs?tail=-1",
    "GET /containers/web/logs?since=-1h",
    "GET /containers/web/logs?details=1",
    "GET /containers/web/stats?stream=2",
    "GET /events?filters=%5B%5D",
    "GET /events?filters={}&filters={}",
    "GET /_ping?a=b",
    "POST /containers/web/start?checkpoint=x",
    "POST /containers/web/start?checkpoint-dir=/",
    "POST /containers/web/stop?signal=KILL",
    "POST /containers/web/restart?signal=KILL",
    "POST /containers/web/restart?t=99999",
    "POST /containers/web/restart?t=1&t=2",
    "POST /containers/web/restart?t=",
];

fn says_no(answer: &Answer, line: &str) {
    assert_eq!(answer.status(), 403, "{line}: {answer:?}");
    if !line.starts_with("HEAD ") {
        assert!(answer.message().starts_with("opsbot-docker-helper refuses this: "), "{line}: {answer:?}");
        assert!(answer.0.to_lowercase().contains("content-type: application/json"), "{line}: {answer:?}");
    }
}

#[tokio::test]
async fn every_other_route_is_refused_and_never_reaches_the_engine() {
    let engine = Engine::of_web(ours());
    let helper = Helper::before(&engine.socket(), "write = [\"start\", \"stop\", \"restart\"]");
    let mut counted = 0;
    for (method, paths) in ROUTES {
        for path in *paths {
            for version in ["", "/v1.24", "/v1.41"].into_iter().filter(|v| v.is_empty() || *path != "*") {
                let line = format!("{method} {version}{path}");
                says_no(&helper.ask(&line).await, &line);
                counted += 1;
            }
        }
    }
    assert!(counted > 300);
    assert_eq!(engine.asked(), [""; 0]);
}

#[tokio::test]
async fn tricks_with_paths_and_queries_are_refused() {
    let engine = Engine::of_web(ours());
    let helper = Helper::before(&engine.socket(), "write = [\"start\", \"stop\", \"restart\"]");
    for line in TRICKS {
        let answer = helper.ask(line).await;
        // What is no request at all is turned away before the table is looked at.
        if answer.status() != 400 {
            says_no(&answer, line);
        }
    }
    let long = format!("GET /containers/{}/json", "a".repeat(129));
    says_no(&helper.ask(&long).await, &long);
    let longer = format!("GET /containers/{}/json", "a".repeat(60_000));
    assert!(matches!(helper.ask(&longer).await.status(), 414 | 431));
    assert_eq!(engine.asked(), [""; 0]);
}

#[tokio::test]
async fn upgrades_and_bodies_are_refused() {
    let engine = Engine::of_web(ours());
    let helper = Helper::before(&engine.socket(), "");
    let table = [
        ("GET /containers/web/logs", "Upgrade: tcp\r\nConnection: Upgrade\r\n", ""),
        ("GET /_ping", "Connection: keep-alive, UPGRADE\r\n", ""),
        ("GET /_ping", "Connection: close\r\nConnection: upgrade\r\n", ""),
        ("GET /_ping", "Upgrade: h2c\r\n", ""),
        ("POST /containers/web/restart", "Upgrade: websocket\r\n", ""),
        ("POST /containers/web/restart", "Content-Length: 2\r\n", "{}"),
        ("POST /containers/web/start", "Content-Length: 22\r\n", "{\"Binds\":[\"/:/host\"]}\n"),
        ("GET /containers/json", "Content-Length: 2\r\n", "{}"),
        ("POST /containers/web/restart", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("POST /containers/web/restart", "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
        ("POST /containers/web/restart", "Expect: 100-continue\r\nContent-Length: 2\r\n", "{}"),
    ];
    for (line, headers, body) in table {
        let text = format!("{line} HTTP/1.1\r\nHost: docker\r\n{headers}\r\n{body}");
        says_no(&Answer(helper.raw(text.as_bytes()).await), &format!("{line} {headers}"));
    }
    assert_eq!(engine.asked(), [""; 0]);
}

/// A second request hides behind the first: it must never be read as one.
#[tokio::test]
async fn nothing_is_smuggled_behind_a_request() {
    const HIDDEN: &str = "POST /containers/create HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n";
    const ALLOWED: &str =
        "POST /containers/web/restart HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n";
    let n = HIDDEN.len();
    let table = [
        String::new(),
        "Connection: keep-alive\r\n".to_owned(),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"),
        format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n"),
        "Transfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding:\tchunked\r\n".to_owned(),
        "X: a\r\n Transfer-Encoding: chunked\r\n".to_owned(),
        "X: a\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked\r\n".to_owned(),
        format!("Content-Length: 0\r\nContent-Length: {n}\r\n"),
        "Content-Length: 0, 0\r\n".to_owned(),
        "Content-Length: +0\r\n".to_owned(),
        "Content-Length: 0x0\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        "content-length: 0\r\n".to_owned(),
    ];
    for headers in table {
        for first in ["GET /_ping", "POST /containers/json"] {
            for hidden in [HIDDEN, ALLOWED] {
                let engine = Engine::of_web(ours());
                let helper = Helper::before(&engine.socket(), "");
                let text = format!("{first} HTTP/1.1\r\nHost: docker\r\n{headers}\r\n0\r\n\r\n{hidden}");
                let same = format!("{first} HTTP/1.1\r\nHost: docker\r\n{headers}\r\n{hidden}");
                for text in [text, same] {
                    let got = helper.raw(text.as_bytes()).await;
                    assert!(got.matches("HTTP/1.1 ").count() <= 1, "{text}: {got}");
                    let asked = engine.asked();
                    assert!(asked.iter().all(|a| a == "GET /_ping"), "{text}: {asked:?}");
                }
            }
        }
    }
    let engine = Engine::of_web(ours());
    let helper = Helper::before(&engine.socket(), "");
    let preface = helper.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(!preface.contains(" 200 "), "{preface}");
    let host = "GET /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Registry-Auth: SEEN\r\nCookie: SEEN\r\n\r\n";
    assert_eq!(Answer(helper.raw(host.as_bytes()).await).status(), 200);
    assert_eq!(engine.heads(), ["GET /_ping HTTP/1.1\r\nhost: docker\r\n\r\n"]);
}

#[tokio::test]
async fn a_write_needs_the_label_and_its_place_in_the_configuration() {
    let table = [
        (json!({}), "", "restart", "it must carry the label opsbot.customer"),
        (json!(null), "", "restart", "it must carry the label opsbot.customer"),
        (json!({"opsbot_customer": "19", "customer": "19"}), "", "restart", "must carry"),
        (json!({"opsbot.customer": "20"}), "label_value = \"19\"", "restart", "the label opsbot.customer=19"),
        (ours(), "label = \"shop\"", "restart", "the label shop"),
        (ours(), "write = [\"restart\"]", "start", "start is not among `write`"),
        (ours(), "write = [\"restart\"]", "stop", "stop is not among `write`"),
        (ours(), "write = []", "restart", "restart is not among `write`"),
        (ours(), "write = [\"start\"]", "restart", "restart is not among `write`"),
    ];
    for (labels, more, verb, want) in table {
        let engine = Engine::of_web(labels);
        let helper = Helper::before(&engine.socket(), more);
        let answer = helper.ask(&format!("POST /v1.41/containers/web/{verb}")).await;
        assert_eq!(answer.status(), 403, "{answer:?}");
        assert!(answer.message().contains(want), "{want}: {answer:?}");
        assert!(engine.asked().iter().all(|a| a == "GET /v1.41/containers/web/json"), "{:?}", engine.asked());
    }
}

#[tokio::test]
async fn another_account_is_refused_before_it_is_read() {
    let engine = Engine::of_web(ours());
    let other = nix::unistd::geteuid().as_raw() + 4242;
    let helper = Helper::with(&engine.socket(), &format!("users = [{other}]"), Default::default());
    for line in ["GET /_ping", "GET /containers/json", "POST /containers/web/restart", "nonsense"] {
        let answer = helper.ask(line).await;
        says_no(&answer, line);
        assert!(answer.message().contains("is not among `users`"), "{answer:?}");
    }
    assert_eq!(engine.asked(), [""; 0]);
}
