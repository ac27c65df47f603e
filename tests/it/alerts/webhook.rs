//! Alertmanager's webhook: a captured payload, a real one, and everything that can go wrong on the way.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::rig::{PATIENCE, Rig, TOKEN, alertmanager, prometheus};

/// As Alertmanager 0.25 posted it, with other labels.
fn payload(status: &str, labels: &Value, ends_at: &str) -> String {
    json!({
        "receiver": "opsbot", "status": status, "version": "4", "groupKey": "{}:{alertname=\"TargetDown\"}",
        "truncatedAlerts": 0, "externalURL": "http://am:9093",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "alerts": [{
            "status": status, "labels": labels, "annotations": {"description": "127.0.0.1:9 is down"},
            "startsAt": "2026-11-21T08:25:17.878Z", "endsAt": ends_at, "fingerprint": "09bfa6272282cc5a",
            "generatorURL": "http://prom:9090/graph",
        }],
    })
    .to_string()
}

const NEVER: &str = "0001-01-01T00:00:00Z";

#[tokio::test]
async fn an_alert_fires_once_and_is_over() {
    let rig = Rig::start().await;
    let labels =
        json!({"alertname": "TargetDown", "customer": "19", "service": "web", "severity": "critical"});
    for _ in 0..3 {
        assert_eq!(rig.at.post("/webhook", payload("firing", &labels, NEVER)).await, (200, String::new()));
    }
    assert_eq!(rig.at.names("").await, ["TargetDown"]);
    let over = payload("resolved", &labels, "2026-11-21T09:00:00Z");
    for _ in 0..2 {
        assert_eq!(rig.at.post("/webhook", over.clone()).await.0, 200);
    }
    rig.at.until_names("", &[]).await;
    assert_eq!(rig.received("webhook"), 5);
    assert!(rig.counters.snapshot().contains_key("opsbot_alerts_request_seconds"));
}

#[tokio::test]
async fn hostile_labels_are_cleaned_and_cut() {
    let rig = Rig::start().await;
    let mut labels = json!({"alertname": "Many\u{202e}\u{1b}[31m", "customer": "19", "service": "web"});
    for n in 0..10_000 {
        labels[format!("label_{n}")] = json!("x".repeat(20));
    }
    labels["a_long"] = json!("y".repeat(100_000));
    assert_eq!(rig.at.post("/webhook", payload("firing", &labels, NEVER)).await.0, 200);
    let shown = &rig.at.json("/api/v2/alerts").await[0]["labels"];
    assert_eq!((&shown["alertname"], &shown["customer"]), (&json!("Many"), &json!("19")));
    assert!(shown.as_object().unwrap().len() <= 65 && shown["a_long"].as_str().unwrap().len() <= 1024);
    assert_eq!(rig.at.post("/webhook", payload("resolved", &labels, "2026-11-21T09:00:00Z")).await.0, 200);
    rig.at.until_names("", &[]).await;
}

#[tokio::test]
async fn five_megabytes_are_read_and_eleven_are_not() {
    let rig = Rig::start().await;
    let alert = |n: usize| {
        json!({"labels": {"alertname": format!("A{n}"), "customer": n.to_string(), "service": "web"},
        "annotations": {"description": "d".repeat(2000)}})
    };
    let all: Vec<_> = (0..2500).map(alert).collect();
    let body = Value::from(all).to_string();
    assert!((5 << 20..6 << 20).contains(&body.len()), "{}", body.len());
    assert_eq!(rig.at.post("/api/v2/alerts", body).await, (200, String::new()));
    assert_eq!(rig.at.names("").await.len(), 2500);
    // Without a length ahead as well.
    let mut stream = connect(&rig).await;
    stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "[".repeat(1 << 20));
    for _ in 0..12 {
        // The server may close before the last one.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 413"));
    assert_eq!(rig.rejected("too_large"), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_dawdles_keeps_nothing_and_harms_nobody() {
    let rig = Rig::start().await;
    let body = r#"[{"labels":{"alertname":"Down","customer":"1","service":"a"}}]"#;
    let mut broken = connect(&rig).await;
    broken.write_all(format!("{}{}", head("Content-Length: 5000"), body).as_bytes()).await.unwrap();
    drop(broken);
    let mut slow = connect(&rig).await;
    slow.write_all(format!("{}[", head("Content-Length: 5000")).as_bytes()).await.unwrap();
    let told = rest(&mut slow).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    assert_eq!(rig.at.names("").await, [""; 0]);
    assert_eq!(rig.at.post("/api/v2/alerts", body).await.0, 200);
    assert_eq!(rig.at.names("").await, ["Down"]);
    assert_eq!(rig.rejected("slow"), 1);
}

async fn connect(rig: &Rig) -> TcpStream {
    TcpStream::connect(rig.at.address()).await.unwrap()
}

fn head(more: &str) -> String {
    format!(
        "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\n{more}\r\n\r\n"
    )
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as a close.
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes in time").ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn what_cannot_be_written_down_is_answered_with_503() {
    let mut rig = Rig::start().await;
    rig.stop_keeping().await;
    let labels = json!({"alertname": "Down", "customer": "1", "service": "a"});
    let request = rig.at.bare("/webhook").bearer_auth(TOKEN).header("Content-Type", "application/json");
    let answer = request.body(payload("firing", &labels, NEVER)).timeout(PATIENCE).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    assert!(answer.text().await.unwrap().contains("send it again"));
    assert_eq!(rig.received("webhook"), 0);
}

const RULES: &str = "groups:\n- name: test\n  rules:\n  - alert: Always\n    expr: vector(1)\n    labels: \
                     { severity: critical, customer: '19', service: web }\n    annotations: { summary: 'value {{ $value }}' }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_pushes_straight_in() {
    let rig = Rig::start().await;
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.yml");
    fs::write(&rules, RULES).unwrap();
    let Some(prometheus) = prometheus(rig.at.address(), &rules).await else { return };
    rig.at.until_names("", &["Always"]).await;
    let alert = &rig.at.json("/api/v2/alerts").await[0];
    assert_eq!(
        (&alert["annotations"]["summary"], &alert["status"]["state"]),
        (&json!("value 1"), &json!("active"))
    );
    assert!(alert["generatorURL"].as_str().unwrap().contains("vector"), "{alert}");
    // The rule is gone: Prometheus says that it is over.
    fs::write(&rules, "groups: []\n").unwrap();
    prometheus.reload();
    rig.at.until_names("", &[]).await;
    assert_eq!(rig.rejected("malformed") + rig.rejected("invalid"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alertmanager_posts_to_the_webhook() {
    let rig = Rig::start().await;
    let config = format!(
        "route: {{ receiver: opsbot, group_by: [customer, service], group_wait: 100ms, group_interval: 1s }}\n\
         receivers:\n- name: opsbot\n  webhook_configs:\n  - url: {}/webhook\n    http_config: {{ authorization: {{ credentials: {TOKEN} }} }}\n",
        rig.at.url
    );
    let Some(am) = alertmanager(&config).await else { return };
    let two = json!([
        {"labels": {"alertname": "Down", "customer": "19", "service": "web"}, "annotations": {"summary": "s"}},
        {"labels": {"alertname": "Slow", "customer": "19", "service": "web"}},
    ]);
    assert_eq!(am.at.post("/api/v2/alerts", two.to_string()).await.0, 200);
    rig.at.until_names("", &["Down", "Slow"]).await;
    let theirs = am.at.json("/api/v2/alerts?filter=alertname%3DDown").await;
    let ours = rig.at.json("/api/v2/alerts?filter=alertname%3DDown").await;
    assert_eq!(ours[0]["fingerprint"], theirs[0]["fingerprint"]);
    // Its own API shows milliseconds.
    let second = |alert: &Value| alert["startsAt"].as_str().unwrap().split('.').next().unwrap().to_owned();
    assert_eq!(second(&ours[0]), second(&theirs[0]));
    let now = opsbot::runtime::clock::now();
    let over = json!([{"labels": {"alertname": "Slow", "customer": "19", "service": "web"}, "endsAt": now}]);
    assert_eq!(am.at.post("/api/v2/alerts", over.to_string()).await.0, 200);
    rig.at.until_names("", &["Down"]).await;
    assert!(timeout(Duration::from_secs(1), rig.at.get("/-/ready")).await.is_ok());
}
