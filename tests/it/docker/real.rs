//! The tools on a real engine's containers.

use std::time::Duration;

use opsbot::{
    docker::{Health, LogQuery, State},
    domain::{Block, Outcome, ToolError},
};
use serde_json::json;

use super::{
    boxes::{Make, until, with_boxes},
    rig::{self, Rig},
};

const IDLE: &str = "echo started; exec sleep 600";

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_read_as_it_is() {
    with_boxes(|boxes| async move {
        let script = r"for i in $(seq 1 30); do echo line $i; done; echo '[app] ERROR oops' >&2; printf 'bad \377\n'; exec sleep 600";
        let web = boxes.make(Make { service: "web", script, ..Make::default() }).await;
        let tty = boxes.make(Make { service: "tty", script: "echo on a terminal; exec sleep 600", tty: true, ..Make::default() }).await;
        let hosts = boxes.hosts();
        assert!(!hosts.probe().await.remove(0).1.unwrap().is_empty());
        let info = hosts.inspect(&web).await.unwrap();
        assert_eq!((info.state, info.health, info.restart_count), (State::Running, Health::None, 0));
        assert!(info.started_at.is_some() && info.finished_at.is_none());
        until("the log", || async { hosts.logs(&web, &LogQuery::tail(100)).await.unwrap().seen == 32 }).await;
        let read = hosts.logs(&web, &LogQuery::tail(3)).await.unwrap();
        assert_eq!((read.lines.len(), read.omitted()), (3, 0));
        let read = hosts.logs(&web, &LogQuery::tail(100)).await.unwrap();
        for line in ["line 1", "line 30", "[app] ERROR oops", "bad \u{fffd}"] {
            assert!(read.lines.iter().any(|l| l.text.as_str() == line), "{line}: {:?}", read.lines);
        }
        assert!(read.lines.iter().all(|l| l.at.is_some() && l.stderr == l.text.as_str().contains("ERROR")));
        let read = hosts.logs(&tty, &LogQuery::tail(3)).await.unwrap();
        assert_eq!(read.lines[0].text.as_str(), "on a terminal");
        let stats = hosts.stats(&web).await.unwrap().unwrap();
        assert!(stats.memory.is_some() && stats.memory_limit == Some(32 << 20) && stats.cpu_percent.is_some());
        boxes.remove(&tty).await;
        assert!(hosts.inspect(&tty).await.unwrap_err().to_string().contains("removed or replaced"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_answer_with_evidence() {
    with_boxes(|boxes| async move {
        let script = r#"for i in 1 2 3 4 5; do echo "[error] $i#1: connect() failed, client 10.0.0.$i" >&2; done; echo fine; exec sleep 600"#;
        let web = boxes.make(Make { service: "web", script, needs: "db", check: Some("echo no upstream; exit 1"), ..Make::default() }).await;
        boxes.make(Make { service: "db", script: IDLE, ..Make::default() }).await;
        let hosts = boxes.hosts();
        until("unhealthy", || async { hosts.inspect(&web).await.unwrap().health == Health::Unhealthy }).await;
        let rig = Rig::new(hosts);
        let id = json!({"customer_id": boxes.customer});
        let out = rig.read("check_up", id.clone()).await.unwrap();
        let lines: Vec<_> = out.text.lines().collect();
        assert!(lines[1].starts_with("1. [critical] web is unhealthy") && lines[1].contains("\"no upstream\""), "{}", out.text);
        assert!(lines[2].contains("web logged an error 5 times") && lines[2].contains("connect() failed"), "{}", out.text);
        assert!(matches!(&out.blocks[0], Block::Findings { items, .. } if items.len() == 2), "{:?}", out.blocks);
        let status = rig.read("get_container_status", id.clone()).await.unwrap();
        assert!(status.summary.ends_with("1 of 2 containers up"), "{}", status.summary);
        let score = rig.read("get_health_score", id.clone()).await.unwrap();
        assert!(score.summary.contains("degraded") || score.summary.contains("bad"), "{}", score.text);
        let logs = json!({"customer_id": boxes.customer, "filter": "connect() failed (", "lines": 2});
        let none = rig.read("get_recent_logs", logs).await.unwrap_err();
        assert!(matches!(none, ToolError::NothingFound(_)), "{none}");
        let logs = json!({"customer_id": boxes.customer, "service": "WEB", "filter": "FAILED", "lines": 2, "since": "10m"});
        let found = rig.read("get_recent_logs", logs).await.unwrap();
        assert!(found.text.contains("10.0.0.5") && found.text.contains("3 earlier ones not shown"), "{}", found.text);
        let all = rig.read("list_customers", json!({})).await.unwrap();
        assert!(all.text.contains(&format!("{}: db, web (unhealthy)", boxes.customer)), "{}", all.text);
        let unknown = rig.resolve("check_up", json!({"customer_id": "no-such-customer"})).await.unwrap_err();
        assert!(matches!(unknown, ToolError::UnknownId { what: "customer", .. }), "{unknown}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_restarted_in_order_and_seen_up() {
    with_boxes(|boxes| async move {
        let web = boxes
            .make(Make { service: "web", script: IDLE, needs: "db", check: Some("true"), ..Make::default() })
            .await;
        let db = boxes.make(Make { service: "db", script: IDLE, ..Make::default() }).await;
        let rig = Rig::new(boxes.hosts());
        let call = rig.resolve("restart_container", json!({"customer_id": boxes.customer})).await.unwrap();
        assert_eq!(call.target.containers, [db.clone(), web.clone()]);
        assert!(
            call.plan[0].text.contains(db.id.get(..12).unwrap())
                && call.plan[1].container.as_ref() == Some(&web)
        );
        let hosts = boxes.hosts();
        let before = hosts.inspect(&db).await.unwrap().started_at;
        let out = rig.run(call).await.unwrap();
        assert_eq!(out.outcome, Outcome::Ok, "{}", out.text);
        assert!(
            out.summary
                .starts_with(&format!("restarted db, web of customer {}: all 2 up after", boxes.customer)),
            "{}",
            out.summary
        );
        let (db, web) = (hosts.inspect(&db).await.unwrap(), hosts.inspect(&web).await.unwrap());
        assert!(db.started_at > before && web.started_at > db.started_at && web.health == Health::Healthy);
        assert!(rig.progress.lock().unwrap().iter().any(|l| l == "restarting db (1 of 2)"));
        let one = rig
            .write("restart_container", json!({"customer_id": boxes.customer, "service": "web"}))
            .await
            .unwrap();
        assert!(one.summary.contains(": healthy after "), "{}", one.summary);
    })
    .await;
}

/// Runs once; each later start fails.
const ONCE: &str = "if [ -e /tmp/ran ]; then echo '[app] FATAL workers is not a number' >&2; exit 3; fi; touch /tmp/ran; exec sleep 600";

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_again_is_not_up_with_the_evidence() {
    with_boxes(|boxes| async move {
        boxes.make(Make { service: "ends", script: ONCE, ..Make::default() }).await;
        let loops = boxes
            .make(Make { service: "loops", script: ONCE, restarts: true, needs: "", ..Make::default() })
            .await;
        boxes.make(Make { service: "web", script: IDLE, needs: "loops", ..Make::default() }).await;
        let hosts = boxes.hosts();
        let rig = Rig::new(boxes.hosts());
        let id = |service: &str| json!({"customer_id": boxes.customer, "service": service});
        let out = rig.write("restart_container", id("ends")).await.unwrap();
        assert_eq!(out.outcome, Outcome::NotUp);
        assert!(
            out.summary.contains("is not up after the restart: it ended with exit code 3"),
            "{}",
            out.summary
        );
        assert!(out.text.contains("FATAL workers is not a number"), "{}", out.text);
        let out = rig.write("restart_container", id("loops")).await.unwrap();
        assert_eq!(out.outcome, Outcome::NotUp, "{}", out.text);
        assert!(out.summary.contains("exit code 3"), "{}", out.summary);
        until("a loop", || async { hosts.inspect(&loops).await.unwrap().restart_count >= 3 }).await;
        let out = rig.write("restart_container", id("loops")).await.unwrap();
        assert_eq!(out.outcome, Outcome::NotUp, "{}", out.text);
        // A restart by hand begins the engine's count anew.
        until("a loop again", || async { hosts.inspect(&loops).await.unwrap().restart_count >= 3 }).await;
        let out = rig.read("check_up", json!({"customer_id": boxes.customer})).await.unwrap();
        let looping = out.text.lines().find(|l| l.contains("[critical] loops")).unwrap_or_default();
        assert!(looping.contains("FATAL workers is not a number"), "{}", out.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_service_is_not_up_and_what_follows_is_left_alone() {
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: IDLE, needs: "db", ..Make::default() }).await;
        boxes
            .make(Make {
                service: "db",
                script: IDLE,
                check: Some("echo still recovering; exit 1"),
                ..Make::default()
            })
            .await;
        let limits =
            opsbot::tools::restart::RestartLimits { up_within: Duration::from_secs(4), ..rig::limits() };
        let rig = Rig::with(boxes.hosts(), rig::nothing(), rig::nothing(), limits);
        let before = boxes.hosts().inspect(&web).await.unwrap().started_at;
        let out = rig.write("restart_container", json!({"customer_id": boxes.customer})).await.unwrap();
        assert_eq!(out.outcome, Outcome::NotUp);
        assert!(
            out.summary.contains("db of customer") && out.summary.contains("its health check fails"),
            "{}",
            out.summary
        );
        assert!(
            out.text.contains("still recovering") && out.text.contains("not touched: web"),
            "{}",
            out.text
        );
        assert_eq!(boxes.hosts().inspect(&web).await.unwrap().started_at, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_replaced_since_the_card_stops_everything() {
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: IDLE, needs: "db", ..Make::default() }).await;
        let db = boxes.make(Make { service: "db", script: IDLE, ..Make::default() }).await;
        let rig = Rig::new(boxes.hosts());
        let call = rig.resolve("restart_container", json!({"customer_id": boxes.customer})).await.unwrap();
        let before = boxes.hosts().inspect(&db).await.unwrap().started_at;
        boxes.remove(&web).await;
        boxes.make(Make { service: "web", script: IDLE, needs: "db", ..Make::default() }).await;
        let error = rig.run(call).await.unwrap_err().to_string();
        assert!(error.contains("removed or replaced") && error.contains("nothing was restarted"), "{error}");
        assert_eq!(boxes.hosts().inspect(&db).await.unwrap().started_at, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_plan_between_two_steps() {
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: IDLE, needs: "db", ..Make::default() }).await;
        boxes.make(Make { service: "db", script: IDLE, ..Make::default() }).await;
        let rig = Rig::new(boxes.hosts());
        let before = boxes.hosts().inspect(&web).await.unwrap().started_at;
        let (cancel, progress) = (rig.cancel.clone(), std::sync::Arc::clone(&rig.progress));
        let stopper = async {
            until("the first step", || async { !progress.lock().unwrap().is_empty() }).await;
            cancel.cancel();
        };
        let (out, ()) =
            tokio::join!(rig.write("restart_container", json!({"customer_id": boxes.customer})), stopper);
        let error = out.unwrap_err();
        assert!(matches!(&error, ToolError::Stopped(said) if said.contains("not touched: web")), "{error}");
        assert_eq!(boxes.hosts().inspect(&web).await.unwrap().started_at, before);
    })
    .await;
}
