//! Payloads in tables: what becomes of each, and what is said about those that are no use.

use std::time::Duration;

use jiff::Timestamp;

use super::payload::{Batch, posted, webhook};
use crate::domain::Fingerprint;

const NOW: &str = "2026-11-21T09:00:00Z";
const FIVE: Duration = Duration::from_secs(300);

/// As Alertmanager 0.25 posted it.
const CAPTURED: &str = r#"{"receiver":"opsbot","status":"firing","alerts":[{"status":"firing","labels":
    {"alertname":"TargetDown","instance":"127.0.0.1:9","job":"app","severity":"critical"},"annotations":
    {"description":"127.0.0.1:9 is down"},"startsAt":"2026-11-21T08:25:17.878Z","endsAt":"0001-01-01T00:00:00Z",
    "generatorURL":"http://prom:9090/graph?g0.expr=up+%3D%3D+0\u0026g0.tab=1","fingerprint":"09bfa6272282cc5a"}],
    "groupLabels":{"alertname":"TargetDown"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am:9093",
    "version":"4","groupKey":"{}:{alertname=\"TargetDown\"}","truncatedAlerts":0}"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn api(body: &str) -> Result<Batch, String> {
    posted(body.as_bytes(), at(NOW), FIVE)
}

#[test]
fn a_captured_webhook_is_read_whole() {
    let batch = webhook(CAPTURED.as_bytes(), at(NOW)).unwrap();
    let [signal] = batch.signals.as_slice() else { panic!("{batch:?}") };
    assert_eq!((signal.firing, signal.ends_at), (true, None));
    assert_eq!(signal.starts_at, at("2026-11-21T08:25:17.878Z"));
    assert_eq!(signal.annotations["description"], "127.0.0.1:9 is down");
    assert_eq!(signal.generator_url.as_deref(), Some("http://prom:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"));
    let over = CAPTURED
        .replace(r#""status":"firing""#, r#""status":"resolved""#)
        .replace(r#""endsAt":"0001-01-01T00:00:00Z""#, r#""endsAt":"2026-11-21T08:30:00Z""#);
    let batch = webhook(over.as_bytes(), at(NOW)).unwrap();
    assert_eq!(
        (batch.signals[0].firing, batch.signals[0].ends_at),
        (false, Some(at("2026-11-21T08:30:00Z")))
    );
}

#[test]
fn the_fingerprint_is_what_prometheus_computes() {
    // Alertmanager computed these over these labels; no other text goes into them.
    let table = [
        (r#"{"alertname":"A","severity":"critical"}"#, "b807e636403824b5"),
        (r#"{"zone":"","alertname":"käse","a":"b c"}"#, "8c8b568eb60b5398"),
        (
            r#"{"alertname":"TargetDown","instance":"127.0.0.1:9","job":"app","severity":"critical"}"#,
            "154b592c37d31106",
        ),
    ];
    for (labels, want) in table {
        let batch = api(&format!(r#"[{{"labels":{labels}}}]"#)).unwrap();
        assert_eq!(Fingerprint::of(&batch.signals[0].labels).to_string(), want, "{labels}");
    }
}

#[test]
fn times_of_the_api_are_filled_in_as_alertmanager_does() {
    let table = [
        // (what the alert says, fires, starts, ends)
        ("", true, NOW, "2026-11-21T09:05:00Z"),
        (
            r#","startsAt":"0001-01-01T00:00:00.000Z","endsAt":"0001-01-01T00:00:00Z""#,
            true,
            NOW,
            "2026-11-21T09:05:00Z",
        ),
        (r#","startsAt":null,"endsAt":"""#, true, NOW, "2026-11-21T09:05:00Z"),
        (r#","startsAt":"2026-11-21T08:00:00Z""#, true, "2026-11-21T08:00:00Z", "2026-11-21T09:05:00Z"),
        (r#","startsAt":"2026-11-21T09:00:00+01:00""#, true, "2026-11-21T08:00:00Z", "2026-11-21T09:05:00Z"),
        (r#","endsAt":"2026-11-21T08:30:00Z""#, false, "2026-11-21T08:30:00Z", "2026-11-21T08:30:00Z"),
        (r#","endsAt":"2026-11-21T09:00:00Z""#, false, NOW, NOW),
        (r#","endsAt":"2026-11-21T10:00:00Z""#, true, NOW, "2026-11-21T10:00:00Z"),
        (
            r#","startsAt":"2026-11-21T08:00:00Z","endsAt":"2026-11-21T10:00:00Z""#,
            true,
            "2026-11-21T08:00:00Z",
            "2026-11-21T10:00:00Z",
        ),
    ];
    for (more, firing, starts, ends) in table {
        let batch = api(&format!(r#"[{{"labels":{{"alertname":"A"}}{more}}}]"#)).unwrap();
        let [signal] = batch.signals.as_slice() else { panic!("{more}: {batch:?}") };
        assert_eq!(
            (signal.firing, signal.starts_at, signal.ends_at),
            (firing, at(starts), Some(at(ends))),
            "{more}"
        );
    }
}

#[test]
fn what_cannot_be_kept_is_named_and_the_others_are_kept() {
    let table = [
        (r#"[{"labels":{"alertname":"A"}},{"labels":{}}]"#, 1, "alert 1 has no labels"),
        (r#"[{},{"labels":{"alertname":"A"}}]"#, 1, "alert 0 has no labels"),
        (r#"[{"labels":{"a":""}}]"#, 0, "alert 0 has no labels"),
        (r#"[{"labels":{"":"x"}}]"#, 0, "alert 0 has a label without a name"),
        (
            r#"[{"labels":{"a":"b"},"startsAt":"2026-11-21T10:00:00Z","endsAt":"2026-11-21T09:30:00Z"}]"#,
            0,
            "alert 0 ends at 2026-11-21T09:30:00Z, before",
        ),
        (r#"[{"labels":{"a":"b"},"startsAt":"2026-11-21T10:00:00Z"}]"#, 0, "before it starts"),
    ];
    for (body, kept, fault) in table {
        let batch = api(body).unwrap();
        assert_eq!((batch.signals.len(), batch.refused), (kept, 1), "{body}");
        assert!(batch.faults[0].contains(fault), "{body}: {:?}", batch.faults);
    }
    let none = vec!["{}"; 100].join(",");
    let batch = api(&format!("[{none}]")).unwrap();
    assert_eq!((batch.refused, batch.faults.len()), (100, 5));
}

#[test]
fn what_is_no_list_of_alerts_is_refused_whole_and_says_why() {
    let good = r#"{"labels":{"alertname":"A"}}"#;
    let many = vec![r#"{"labels":{"a":"b"}}"#; 20_001].join(",");
    let table = [
        (String::new(), "EOF"),
        ("{}".into(), "a list of alerts"),
        ("nonsense".into(), "expected"),
        (format!("[{good}"), "EOF"),
        (format!("[{good}] trailing"), "trailing"),
        (format!(r#"[{good},{{"labels":"x"}}]"#), "alert 1: invalid type: string"),
        (
            format!(r#"[{good},{{"labels":{{"a":1}}}}]"#),
            "alert 1: invalid type: integer `1`, expected a text",
        ),
        (
            format!(r#"[{good},{{"labels":{{"a":"b"}},"startsAt":"yesterday"}}]"#),
            "alert 1: `yesterday` is no time",
        ),
        (format!("[{many}]"), "more than 20000 alerts"),
        (format!("[{}", "[".repeat(100_000)), "alert 0"),
    ];
    for (body, part) in table {
        let error = api(&body).unwrap_err();
        assert!(error.contains(part), "{}: {error}", body.get(..80).unwrap_or(&body));
    }
    for (body, part) in [
        (CAPTURED.replace(r#""version":"4""#, r#""version":"3""#), "version `3`"),
        (r#"{"version":"4"}"#.into(), "missing field `alerts`"),
        ("[]".into(), "webhook_configs"),
        (CAPTURED.replace(r#""app""#, "7"), "alert 0: invalid type: integer `7`"),
    ] {
        let error = webhook(body.as_bytes(), at(NOW)).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such() {
    let batch = posted(b"[{\"labels\":{\"alertname\":\"a\xffb\"}}]", at(NOW), FIVE).unwrap();
    assert_eq!(batch.signals[0].labels["alertname"], "a\u{fffd}b");
}

#[test]
fn what_the_source_left_out_is_counted() {
    let batch =
        webhook(CAPTURED.replace(r#"truncatedAlerts":0"#, r#"truncatedAlerts":7"#).as_bytes(), at(NOW));
    assert_eq!(batch.unwrap().truncated, 7);
}
