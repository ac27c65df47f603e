//! Docker's events on a real engine: ends of every kind, health, loops, removal, and a stream that breaks.

use std::{sync::Arc, time::Duration};

use opsbot::{
    docker::DockerHosts,
    inventory::{InventorySource, Rules},
    runtime::{Counters, clock},
    signals::{ContainerSettings, Containers, Known},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::kept::{Kept, label, nothing};
use crate::docker::{
    boxes::{Make, until, with_boxes},
    fake::{Act, Engine},
};

fn settings() -> ContainerSettings {
    ContainerSettings {
        look_every: Duration::from_millis(500),
        settle: Duration::from_secs(2),
        loop_ends: 3,
        loop_within: Duration::from_secs(20),
    }
}

fn start(hosts: DockerHosts, kept: &Kept, known: Known) -> AbortOnDropHandle<Result<(), String>> {
    let source = InventorySource::new(hosts, Rules::default());
    let watcher = Containers::new(settings(), source, kept.keep(), known, Counters::new(clock::now()));
    AbortOnDropHandle::new(tokio::spawn(async move { watcher.run(CancellationToken::new()).await }))
}

#[tokio::test(flavor = "multi_thread")]
async fn real_containers_die_are_stopped_loop_and_get_well() {
    with_boxes(|boxes| async move {
        let kept = Kept::new();
        let before = boxes.make(Make { service: "before", script: "exit 4", ..Make::default() }).await;
        let hosts = boxes.hosts();
        until("its end", || async { hosts.inspect(&before).await.unwrap().exit_code == 4 }).await;
        let _run = start(boxes.hosts(), &kept, nothing());
        let seen = kept.told("ContainerDied", true, &before.name).await;
        let want = (boxes.customer.as_str(), "before", "critical", "local");
        let got = (
            label(&seen, "customer"),
            label(&seen, "service"),
            label(&seen, "severity"),
            label(&seen, "host"),
        );
        assert_eq!(got, want);

        let web = boxes.make(Make { service: "web", script: "sleep 1; exit 3", ..Make::default() }).await;
        let sleep = "trap 'exit 0' TERM; sleep 600 & wait";
        let stopped =
            boxes.make(Make { service: "stopped", script: "exec sleep 600", ..Make::default() }).await;
        let killed = boxes.make(Make { service: "killed", script: sleep, ..Make::default() }).await;
        let looping =
            boxes.make(Make { service: "loop", script: "exit 1", restarts: true, ..Make::default() }).await;
        let check = "test -e /tmp/well";
        let sick = boxes
            .make(Make {
                service: "sick",
                script: "sleep 6; touch /tmp/well; exec sleep 600",
                check: Some(check),
                ..Make::default()
            })
            .await;
        hosts.stop_container(&stopped, Duration::ZERO).await.unwrap();
        boxes.docker.kill_container(&killed.id, None).await.unwrap();

        let died = kept.told("ContainerDied", true, &web.name).await;
        assert!(died.annotations["summary"].contains("exit code 3"), "{died:?}");
        kept.told("ContainerUnhealthy", true, &sick.name).await;
        kept.told("ContainerRestarting", true, &looping.name).await;
        kept.told("ContainerUnhealthy", false, &sick.name).await;
        boxes.remove(&web).await;
        kept.told("ContainerDied", false, &web.name).await;
        for calm in [&stopped, &killed] {
            assert!(
                kept.all().iter().all(|s| label(s, "container") != calm.name),
                "{calm:?}: {:#?}",
                kept.all()
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fired_before_a_restart_of_ours_is_over_once_it_is_gone() {
    with_boxes(|boxes| async move {
        let kept = Kept::new();
        let web = boxes.make(Make { service: "web", script: "exit 5", ..Make::default() }).await;
        let run = start(boxes.hosts(), &kept, nothing());
        let died = kept.told("ContainerDied", true, &web.name).await;
        drop(run);
        boxes.remove(&web).await;
        let (again, before) = (Kept::new(), died.clone());
        let _run = start(boxes.hosts(), &again, Arc::new(move |_| vec![before.clone()]));
        let over = again.told("ContainerDied", false, &web.name).await;
        assert_eq!((over.labels, over.starts_at), (died.labels, died.starts_at));
    })
    .await;
}

/// The stream breaks after each event; the next one is asked for what happened since.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_goes_on_where_it_broke() {
    let first = 1_795_257_004_000_000_000_i64;
    let line = |name: &str, nanos: i64| {
        let id = format!("{}{name}", "c".repeat(61));
        format!(
            "{{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{{\"ID\":\"{id}\",\"Attributes\":{{\"name\":\"{name}\",\
             \"exitCode\":\"1\"}}}},\"time\":{},\"timeNano\":{nanos}}}\n",
            nanos / 1_000_000_000
        )
    };
    let (one, two) = (line("one", first), line("two", first + 5));
    let engine = Engine::start(move |asked| {
        let events = asked.strip_prefix("GET /events?since=")?;
        Some(match events.split_once('&')?.0 {
            "1795257004.000000001" => Act::Break(two.clone().into_bytes()),
            "1795257004.000000006" => Act::Hang,
            _ => Act::Break(one.clone().into_bytes()),
        })
    })
    .await;
    let kept = Kept::new();
    let _run = start(engine.hosts(Duration::from_secs(5)), &kept, nothing());
    kept.told("ContainerDied", true, "one").await;
    kept.told("ContainerDied", true, "two").await;
    // The list is not answered, so the host counts as down and nothing is over.
    let down = kept.wait("DockerDown", |s| label(s, "alertname") == "DockerDown").await;
    assert_eq!(label(&down, "host"), "fake");
    assert!(kept.all().iter().all(|s| s.firing), "{:#?}", kept.all());
    let deaths = kept.all().iter().filter(|s| label(s, "alertname") == "ContainerDied").count();
    assert_eq!(deaths, 2, "none twice");
}
