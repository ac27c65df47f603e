//! The API beside what a client of Alertmanager expects: who may speak, what is shown, how silences come and go.

use serde_json::{Value, json};

use super::rig::{Rig, TOKEN};

const ALERTS: &str = "/api/v2/alerts";

#[tokio::test]
async fn only_who_shows_the_token_is_answered() {
    let rig = Rig::start().await;
    let good = r#"[{"labels":{"alertname":"Down","customer":"19","service":"web"}}]"#;
    let json = |token: &str, scheme: &str| {
        let request = rig.at.bare(ALERTS).header("Content-Type", "application/json").body(good);
        if scheme.is_empty() { request } else { request.header("Authorization", format!("{scheme} {token}")) }
    };
    for (token, scheme, want) in [
        ("", "", 401),
        ("wrong", "Bearer", 401),
        (TOKEN, "Digest", 401),
        ("YW06d3Jvbmc=", "Basic", 401),
        (TOKEN, "Bearer", 200),
        // `am:` and the token.
        ("YW06dG9rZW4tZm9yLXRlc3RzLW9mLWFsZXJ0cw==", "Basic", 200),
    ] {
        let (code, body) = rig.at.told(json(token, scheme)).await;
        assert_eq!((code, body.as_str()), (want, ""), "{scheme} {token}");
    }
    assert_eq!((rig.rejected("unauthorized"), rig.received("api")), (4, 2));
    for path in ["/webhook", "/api/v2/silences", "/api/v2/nothing", "/"] {
        let (code, body) = rig.at.told(rig.at.bare(path)).await;
        assert_eq!((code, body.as_str()), (401, ""), "{path} says nothing to strangers");
    }
    assert_eq!(rig.at.get("/-/healthy").await.0, 200);
    assert_eq!(rig.at.get("/nothing").await, (404, "there is /webhook and /api/v2\n".into()));
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_with_a_sentence_and_the_rest_is_kept() {
    let rig = Rig::start().await;
    let good = r#"{"labels":{"alertname":"Good","customer":"1","service":"a"}}"#;
    let table = [
        (format!(r#"[{good},{{"labels":{{}}}}]"#), 400, "1 kept, 1 refused: alert 1 has no labels"),
        (format!(r#"[{good},{{"labels":{{"a":1}}}}]"#), 400, "nothing was kept: alert 1: invalid type"),
        (format!(r#"[{good}"#), 400, "nothing was kept: alert 1: EOF"),
        ("[]".into(), 200, ""),
        ("x".repeat(11 << 20), 413, "larger than 10 MB"),
    ];
    for (body, want, part) in table {
        let shown: String = body.chars().take(60).collect();
        let (code, answer) = rig.at.post(ALERTS, body).await;
        assert!(code == want && answer.contains(part), "{shown}: {code} {answer}");
    }
    let text = rig.at.bare(ALERTS).bearer_auth(TOKEN).header("Content-Type", "text/plain").body("[]");
    assert_eq!(rig.at.told(text).await.0, 415);
    assert_eq!(rig.at.names("").await, ["Good"]);
    assert_eq!((rig.rejected("invalid"), rig.rejected("malformed"), rig.rejected("too_large")), (1, 3, 1));
}

#[tokio::test]
async fn what_fires_is_shown_filtered_and_grouped() {
    let rig = Rig::start().await;
    let body = json!([
        {"labels": {"alertname": "Down", "customer": "19", "service": "web", "severity": "critical"},
         "annotations": {"summary": "it is down"}, "generatorURL": "http://prom/graph",
         "startsAt": "2026-11-21T08:00:00Z"},
        {"labels": {"alertname": "Slow", "customer": "19", "service": "web"}},
        {"labels": {"alertname": "Full", "customer": "7", "service": "db", "rack": "r1"}},
        {"labels": {"alertname": "Over", "customer": "7", "service": "db"},
         "startsAt": "2026-11-21T08:00:00Z", "endsAt": "2026-11-21T09:00:00Z"},
    ]);
    assert_eq!(rig.at.post(ALERTS, body.to_string()).await.0, 200);
    for (query, want) in [
        ("", vec!["Down", "Full", "Slow"]),
        ("?filter=alertname%3D%22Down%22", vec!["Down"]),
        ("?filter=alertname%3D~%22Down%7CFull%22", vec!["Down", "Full"]),
        ("?filter=customer%3D19&filter=alertname!%3DDown", vec!["Slow"]),
        ("?filter=rack%3D%22%22", vec!["Down", "Slow"]),
        ("?active=false", vec![]),
        ("?receiver=opsbot&silenced=false&inhibited=false", vec!["Down", "Full", "Slow"]),
        ("?receiver=other", vec![]),
    ] {
        assert_eq!(rig.at.names(query).await, want, "{query}");
    }
    assert_eq!(rig.at.get("/api/v2/alerts?filter=x").await.0, 400);
    let down = &rig.at.json("/api/v2/alerts?filter=alertname%3DDown").await[0];
    assert_eq!(down["startsAt"], "2026-11-21T08:00:00Z");
    assert_eq!(down["status"], json!({"state": "active", "silencedBy": [], "inhibitedBy": []}));
    assert_eq!(
        (&down["annotations"]["summary"], &down["generatorURL"]),
        (&json!("it is down"), &json!("http://prom/graph"))
    );
    assert_eq!(down["receivers"], json!([{"name": "opsbot"}]));
    assert_eq!(down["fingerprint"].as_str().unwrap().len(), 16);
    let groups = rig.at.json("/api/v2/alerts/groups").await;
    let shapes: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["labels"].clone(), group["alerts"].as_array().unwrap().len()))
        .collect();
    assert_eq!(
        shapes,
        [(json!({"customer": "19", "service": "web"}), 2), (json!({"customer": "7", "service": "db"}), 1)]
    );
    assert_eq!(rig.at.json("/api/v2/receivers").await, json!([{"name": "opsbot"}]));
    assert_eq!(rig.at.json("/api/v2/status").await["cluster"]["status"], "disabled");
}

fn silence(id: Option<&str>, hours: i64) -> Value {
    let now = opsbot::runtime::clock::now();
    let ends = now + jiff::SignedDuration::from_hours(hours);
    let mut silence = json!({
        "matchers": [{"name": "alertname", "value": "Down", "isRegex": false, "isEqual": true}],
        "startsAt": now, "endsAt": ends, "createdBy": "anna", "comment": "known",
    });
    if let Some(id) = id {
        silence["id"] = json!(id);
    }
    silence
}

#[tokio::test]
async fn a_silence_is_made_changed_and_ended() {
    let rig = Rig::start().await;
    let two = r#"[{"labels":{"alertname":"Down","customer":"1","service":"a"}},{"labels":{"alertname":"Up","customer":"2","service":"b"}}]"#;
    assert_eq!(rig.at.post(ALERTS, two).await.0, 200);
    let (code, made) = rig.at.post("/api/v2/silences", silence(None, 1).to_string()).await;
    assert_eq!(code, 200, "{made}");
    let id = serde_json::from_str::<Value>(&made).unwrap()["silenceID"].as_str().unwrap().to_owned();
    let one = rig.at.json(&format!("/api/v2/silence/{id}")).await;
    assert_eq!(
        (&one["status"]["state"], &one["createdBy"], &one["comment"]),
        (&json!("active"), &json!("anna"), &json!("known"))
    );
    assert_eq!(
        one["matchers"],
        json!([{"name": "alertname", "value": "Down", "isRegex": false, "isEqual": true}])
    );
    let down = &rig.at.json("/api/v2/alerts?filter=alertname%3DDown").await[0];
    assert_eq!(down["status"], json!({"state": "suppressed", "silencedBy": [id], "inhibitedBy": []}));
    assert_eq!(rig.at.names("?silenced=false").await, ["Up"]);
    assert_eq!(rig.at.names("?active=false").await, ["Down"]);

    let longer = rig.at.post("/api/v2/silences", silence(Some(&id), 3).to_string()).await;
    assert_eq!(longer.0, 200, "{}", longer.1);
    let active =
        |all: &Value| all.as_array().unwrap().iter().filter(|s| s["status"]["state"] == "active").count();
    assert_eq!(active(&rig.at.json("/api/v2/silences").await), 1, "it was changed, not doubled");
    assert_eq!(active(&rig.at.json("/api/v2/silences?filter=alertname%3DUp").await), 0);
    let id = serde_json::from_str::<Value>(&longer.1).unwrap()["silenceID"].as_str().unwrap().to_owned();
    assert_eq!(rig.at.delete(&format!("/api/v2/silence/{id}")).await, (200, String::new()));
    rig.at.until_names("?silenced=false", &["Down", "Up"]).await;
    assert_eq!(active(&rig.at.json("/api/v2/silences").await), 0);
}

#[tokio::test]
async fn a_silence_that_makes_no_sense_is_refused() {
    let rig = Rig::start().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut silence = silence(None, 1);
        change(&mut silence);
        silence.to_string()
    };
    let table = [
        (with(&|s| s["matchers"] = json!([])), "1 to 50 matchers"),
        (with(&|s| s["matchers"][0]["name"] = json!("a b")), "no label's name"),
        (
            with(&|s| s["matchers"][0] = json!({"name": "a", "value": "(", "isRegex": true})),
            "no regular expression",
        ),
        (with(&|s| s["endsAt"] = json!("2020-01-01T00:00:00Z")), ""),
        (with(&|s| s["id"] = json!("unknown")), "no silence with this id"),
        (with(&|s| s["matchers"][0]["value"] = json!("")), "keep everything quiet"),
        ("{}".into(), "is no silence"),
        ("nonsense".into(), "is no silence"),
    ];
    for (body, part) in table {
        let (code, answer) = rig.at.post("/api/v2/silences", body.clone()).await;
        assert!(code == 400 && answer.contains(part), "{body}: {code} {answer}");
    }
    assert_eq!(rig.at.json("/api/v2/silences").await, json!([]));
    for id in ["unknown", "6f707362-6f74-4000-8000-0000000000ff"] {
        assert_eq!(rig.at.get(&format!("/api/v2/silence/{id}")).await.0, 404);
        assert_eq!(rig.at.delete(&format!("/api/v2/silence/{id}")).await.0, 404);
    }
}
