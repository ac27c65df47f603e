//! The same posts to Debian's Alertmanager and to us: what fires, what is suppressed, what is grouped and what is over must agree.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use opsbot::runtime::{Stopwatch, clock};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::rig::{PATIENCE, Place, Rig, alertmanager};

const CONFIG: &str = "route: { receiver: opsbot, group_by: [customer, service], group_wait: 100ms, group_interval: 1s }\n\
                      receivers: [{ name: opsbot }]\ninhibit_rules:\n- source_matchers: ['alertname=\"RackDown\"']\n  \
                      target_matchers: ['severity=\"warning\"']\n  equal: [rack]\n";

/// What is done on both sides.
enum Step {
    /// Posts alerts.
    Post(Value),
    /// Makes a silence with these matchers.
    Silence(Value),
    /// Ends the silence that was made last.
    Expire,
}

fn alert(name: &str, place: &str, more: Value) -> Value {
    let (customer, service) = place.split_once('/').unwrap();
    let mut alert = json!({"labels": {"alertname": name, "customer": customer, "service": service}});
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "startsAt" | "endsAt" | "annotations" => alert[key] = value.clone(),
            label => alert["labels"][label] = value.clone(),
        }
    }
    alert
}

fn matcher(name: &str, value: &str, is_regex: bool, is_equal: bool) -> Value {
    json!([{"name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal}])
}

#[allow(clippy::too_many_lines, reason = "one story from its start to its end")]
fn steps() -> Vec<(&'static str, Step)> {
    use Step::{Expire, Post, Silence};
    let ago = |minutes| json!(clock::now() - SignedDuration::from_mins(minutes));
    let later = || json!(clock::now() + SignedDuration::from_hours(1));
    vec![
        (
            "one alert",
            Post(json!([alert(
                "Down",
                "19/web",
                json!({"severity": "critical", "startsAt": ago(10), "endsAt": later()})
            )])),
        ),
        (
            "the same again",
            Post(json!([alert(
                "Down",
                "19/web",
                json!({"severity": "critical", "startsAt": ago(10), "endsAt": later()})
            )])),
        ),
        (
            "a second of the group",
            Post(json!([alert(
                "Slow",
                "19/web",
                json!({"severity": "warning", "annotations": {"summary": "slow"}})
            )])),
        ),
        (
            "another group, one without a value",
            Post(json!([alert("Full", "7/db", json!({"zone": "", "path": "/var ä"}))])),
        ),
        ("good beside bad", Post(json!([alert("Kept", "8/a", json!({})), {"labels": {}}]))),
        (
            "an end before the start",
            Post(json!([alert("Odd", "8/a", json!({"startsAt": ago(5), "endsAt": ago(10)}))])),
        ),
        ("silenced by a name", Silence(matcher("alertname", "Down", false, true))),
        ("no longer silenced", Expire),
        ("silenced by an expression", Silence(matcher("customer", "1.|7", true, true))),
        ("not any more", Expire),
        (
            "silenced by what it is not",
            Silence(json!([
                matcher("service", "web", false, false)[0],
                matcher("customer", ".+", true, true)[0],
            ])),
        ),
        ("not any more", Expire),
        ("a missing label alone is refused", Silence(matcher("severity", "", false, true))),
        ("any text alone is refused", Silence(matcher("severity", ".*", true, true))),
        (
            "a warning in a rack",
            Post(json!([
                alert("Hot", "5/x", json!({"severity": "warning", "rack": "r1"})),
                alert("Hot", "6/x", json!({"severity": "warning", "rack": "r2"}))
            ])),
        ),
        (
            "the rack is down",
            Post(json!([alert("RackDown", "0/rack", json!({"severity": "critical", "rack": "r1"}))])),
        ),
        (
            "the rack is back",
            Post(json!([alert(
                "RackDown",
                "0/rack",
                json!({"severity": "critical", "rack": "r1", "endsAt": "NOW"})
            )])),
        ),
        (
            "one of two is over",
            Post(json!([alert("Slow", "19/web", json!({"severity": "warning", "endsAt": "NOW"}))])),
        ),
        ("something over that never was", Post(json!([alert("Ghost", "9/y", json!({"endsAt": ago(1)}))]))),
        (
            "it fires again",
            Post(json!([alert("Slow", "19/web", json!({"severity": "warning", "endsAt": later()}))])),
        ),
        (
            "all is over",
            Post(json!([
                alert("Down", "19/web", json!({"severity": "critical", "endsAt": "NOW"})),
                alert("Slow", "19/web", json!({"severity": "warning", "endsAt": "NOW"})),
                alert("Full", "7/db", json!({"path": "/var ä", "endsAt": "NOW"})),
                alert("Kept", "8/a", json!({"endsAt": "NOW"})),
                alert("Hot", "5/x", json!({"severity": "warning", "rack": "r1", "endsAt": "NOW"})),
                alert("Hot", "6/x", json!({"severity": "warning", "rack": "r2", "endsAt": "NOW"})),
            ])),
        ),
    ]
}

/// What both sides must agree about.
#[derive(Debug, PartialEq)]
struct View {
    /// By fingerprint: labels, annotations, state, how many silences, what inhibits it.
    alerts: BTreeMap<String, Value>,
    /// The groups' labels with their alerts' fingerprints.
    groups: BTreeMap<String, Vec<String>>,
    /// The silences in force.
    silences: Vec<Value>,
}

async fn view(at: &Place) -> View {
    let name = |alert: &Value| alert["fingerprint"].as_str().unwrap().to_owned();
    let list = |value: Value| value.as_array().unwrap().clone();
    let alerts = list(at.json("/api/v2/alerts").await).into_iter().map(|alert| {
        let status = &alert["status"];
        let seen = json!([
            alert["labels"],
            alert["annotations"],
            status["state"],
            status["silencedBy"].as_array().unwrap().len(),
            status["inhibitedBy"]
        ]);
        (name(&alert), seen)
    });
    let alerts = alerts.collect();
    let groups = list(at.json("/api/v2/alerts/groups").await).into_iter().map(|group| {
        let mut names: Vec<_> = group["alerts"].as_array().unwrap().iter().map(name).collect();
        names.sort();
        (group["labels"].to_string(), names)
    });
    let groups = groups.collect();
    let silences = list(at.json("/api/v2/silences").await);
    let silences =
        silences.into_iter().filter(|s| s["status"]["state"] == "active").map(|s| s["matchers"].clone());
    View { alerts, groups, silences: silences.collect() }
}

struct Side {
    at: Place,
    silence: String,
}

impl Side {
    /// `now` stands for `NOW`: an end must not lie before what was posted without a start.
    async fn act(&mut self, step: &Step, now: Timestamp) -> u16 {
        match step {
            Step::Post(alerts) => {
                let alerts = alerts.to_string().replace("NOW", &now.to_string());
                self.at.post("/api/v2/alerts", alerts).await.0
            }
            Step::Silence(matchers) => {
                let wish = json!({"matchers": matchers, "startsAt": now, "endsAt": now + SignedDuration::from_hours(1), "createdBy": "anna", "comment": "c"});
                let (code, made) = self.at.post("/api/v2/silences", wish.to_string()).await;
                let made: Value = serde_json::from_str(&made).unwrap_or_else(|e| panic!("{e}: {made}"));
                if let Some(id) = made["silenceID"].as_str() {
                    self.silence = id.to_owned();
                }
                code
            }
            Step::Expire => self.at.delete(&format!("/api/v2/silence/{}", self.silence)).await.0,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_and_we_agree() {
    let Some(theirs) = alertmanager(CONFIG).await else { return };
    let rig = Rig::start().await;
    let mut sides = [&theirs.at, &rig.at].map(|at| Side { at: at.clone(), silence: String::new() });
    for (what, step) in steps() {
        let (mut codes, now) = (Vec::new(), clock::now());
        for side in &mut sides {
            codes.push(side.act(&step, now).await);
        }
        assert_eq!(codes[0], codes[1], "{what}: the answers' codes");
        let watch = Stopwatch::start();
        loop {
            let (theirs, ours) = (view(&sides[0].at).await, view(&sides[1].at).await);
            if theirs == ours {
                break;
            }
            assert!(watch.elapsed() < PATIENCE, "{what}\nAlertmanager: {theirs:#?}\nwe: {ours:#?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
