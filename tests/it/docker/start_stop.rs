//! Starting and stopping real containers: verified, in order, and nothing where nothing is to do.

use opsbot::{
    docker::State,
    domain::{Outcome, ToolError},
    tools::restart::RestartLimits,
};
use serde_json::json;

use super::{
    boxes::{Make, until, with_boxes},
    rig::{self, Rig},
};

const IDLE: &str = "echo started; exec sleep 600";
/// Ends by itself when it is asked to, with a code of its own.
const POLITE: &str = "trap 'exit 7' TERM; while :; do sleep 0.1; done";
const STUBBORN: &str = "trap '' TERM; while :; do sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_stopped_and_started_and_seen_so() {
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: POLITE, ..Make::default() }).await;
        let (hosts, rig) = (boxes.hosts(), Rig::new(boxes.hosts()));
        let id = json!({"customer_id": boxes.customer, "service": "web"});
        let error = rig.resolve("start_container", id.clone()).await.unwrap_err().to_string();
        assert!(error.contains("is already running: there is nothing to start"), "{error}");
        let call = rig.resolve("stop_container", id.clone()).await.unwrap();
        assert!(
            call.plan[0].text.starts_with("stop container ") && call.plan[0].container.as_ref() == Some(&web)
        );
        let out = rig.run(call).await.unwrap();
        assert_eq!(out.outcome, Outcome::Ok, "{}", out.text);
        assert!(
            out.summary
                .starts_with(&format!("stopped web of customer {}: exit code 7 after ", boxes.customer)),
            "{}",
            out.summary
        );
        assert_eq!(hosts.inspect(&web).await.unwrap().state, State::Exited);
        let error = rig.resolve("stop_container", id.clone()).await.unwrap_err().to_string();
        assert!(error.contains("is already stopped: there is nothing to stop"), "{error}");
        let out = rig.write("start_container", id).await.unwrap();
        assert_eq!(out.outcome, Outcome::Ok, "{}", out.text);
        assert!(out.summary.contains("started web of customer") && out.summary.contains(": running after "));
        assert_eq!(hosts.inspect(&web).await.unwrap().state, State::Running);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_goes_down_in_reverse_and_comes_up_in_order() {
    with_boxes(|boxes| async move {
        let web = boxes
            .make(Make {
                service: "web",
                script: POLITE,
                needs: "db",
                check: Some("true"),
                ..Make::default()
            })
            .await;
        let db = boxes.make(Make { service: "db", script: POLITE, ..Make::default() }).await;
        let (hosts, rig) = (boxes.hosts(), Rig::new(boxes.hosts()));
        let all = json!({"customer_id": boxes.customer});
        let out = rig.write("stop_container", all.clone()).await.unwrap();
        assert!(
            out.summary.contains("stopped web, db of customer") && out.summary.contains("all 2 down after")
        );
        let (w, d) = (hosts.inspect(&web).await.unwrap(), hosts.inspect(&db).await.unwrap());
        assert!(w.finished_at < d.finished_at, "{:?} {:?}", w.finished_at, d.finished_at);
        let one = json!({"customer_id": boxes.customer, "service": "db"});
        rig.write("start_container", one).await.unwrap();
        let before = hosts.inspect(&db).await.unwrap().started_at;
        let out = rig.write("start_container", all).await.unwrap();
        assert_eq!(out.outcome, Outcome::Ok, "{}", out.text);
        assert!(
            out.summary.contains("started web of customer") && out.summary.ends_with("; already running: db"),
            "{}",
            out.summary
        );
        assert!(out.summary.contains(": healthy after "), "{}", out.summary);
        assert_eq!(hosts.inspect(&db).await.unwrap().started_at, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_killed_after_its_grace_and_that_is_said() {
    with_boxes(|boxes| async move {
        boxes.make(Make { service: "web", script: STUBBORN, ..Make::default() }).await;
        let limits = RestartLimits { grace: std::time::Duration::from_secs(2), ..rig::limits() };
        let rig = Rig::with(boxes.hosts(), rig::nothing(), rig::nothing(), limits);
        let id = json!({"customer_id": boxes.customer, "service": "web"});
        let begun = std::time::Instant::now();
        let out = rig.write("stop_container", id).await.unwrap();
        assert!(begun.elapsed() >= limits.grace, "the grace was not respected");
        assert!(
            out.summary.contains("exit code 137 (it did not end by itself and was killed)"),
            "{}",
            out.summary
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_at_once_after_a_start_is_told_with_its_last_words() {
    const ONCE: &str = "if [ -e /tmp/ran ]; then echo '[app] FATAL no config' >&2; exit 3; fi; touch /tmp/ran; exec sleep 600";
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: ONCE, ..Make::default() }).await;
        boxes.make(Make { service: "app", script: IDLE, needs: "web", ..Make::default() }).await;
        let rig = Rig::new(boxes.hosts());
        let ran = || async { boxes.hosts().inspect(&web).await.unwrap().state == State::Running };
        until("the first run", ran).await;
        rig.write("stop_container", json!({"customer_id": boxes.customer})).await.unwrap();
        let out = rig.write("start_container", json!({"customer_id": boxes.customer})).await.unwrap();
        assert_eq!(out.outcome, Outcome::NotUp, "{}", out.text);
        assert!(
            out.summary.contains("is not up after the start: it ended with exit code 3"),
            "{}",
            out.summary
        );
        assert!(
            out.text.contains("FATAL no config") && out.text.contains("not touched: app"),
            "{}",
            out.text
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_a_person_ends_a_stop_between_two_containers() {
    with_boxes(|boxes| async move {
        boxes.make(Make { service: "web", script: POLITE, needs: "db", ..Make::default() }).await;
        let db = boxes.make(Make { service: "db", script: POLITE, ..Make::default() }).await;
        let rig = Rig::new(boxes.hosts());
        let (cancel, progress) = (rig.cancel.clone(), std::sync::Arc::clone(&rig.progress));
        let stopper = async {
            until("the first step", || async { !progress.lock().unwrap().is_empty() }).await;
            cancel.cancel();
        };
        let all = json!({"customer_id": boxes.customer});
        let (out, ()) = tokio::join!(rig.write("stop_container", all), stopper);
        let error = out.unwrap_err();
        assert!(matches!(&error, ToolError::Stopped(said) if said.contains("not touched: db")), "{error}");
        assert_eq!(boxes.hosts().inspect(&db).await.unwrap().state, State::Running);
    })
    .await;
}
