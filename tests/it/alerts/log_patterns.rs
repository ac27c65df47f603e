//! Patterns in the logs of real containers and in files.

use std::{fs::OpenOptions, io::Write, path::Path, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use opsbot::{
    docker::DockerHosts,
    domain::Severity,
    inventory::{InventorySource, Rules},
    logs::{Origin, PathGlob, Source, Sources},
    runtime::{Counters, clock},
    signals::{LogRule, LogSettings, LogWatcher},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::kept::{Kept, label, named, nothing};
use crate::docker::boxes::{Make, until, with_boxes};

fn rule(customer: &str) -> LogRule {
    LogRule {
        name: "Oops".into(),
        pattern: "oops".into(),
        multiline: None,
        customer: Some(customer.into()),
        service: None,
        severity: Severity::Critical,
        quiet_for: Duration::from_secs(4),
    }
}

struct Run {
    counters: Counters,
    _task: AbortOnDropHandle<Result<(), String>>,
}

fn start(rules: Vec<LogRule>, hosts: DockerHosts, files: Sources, kept: &Kept) -> Run {
    let redact = Arc::new(|text: &str| text.replace("hunter2", "[redacted]"));
    let settings = LogSettings {
        look_every: Duration::from_millis(500),
        bytes_per_second: 256 << 10,
        ..LogSettings::new(rules, redact)
    };
    let counters = Counters::new(clock::now());
    let source = (InventorySource::new(hosts, Rules::default()), files);
    let watcher = LogWatcher::new(settings, source, kept.keep(), nothing(), counters.clone()).unwrap();
    let task = tokio::spawn(async move { watcher.run(CancellationToken::new()).await });
    Run { counters, _task: AbortOnDropHandle::new(task) }
}

fn lines(signal: &opsbot::domain::Signal) -> Vec<&str> {
    signal.excerpt.as_ref().map(|e| e.lines.iter().map(String::as_str).collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_pattern_fires_with_its_lines_and_is_over_when_none_comes() {
    with_boxes(|boxes| async move {
        let kept = Kept::new();
        let run = start(vec![rule(&boxes.customer)], boxes.hosts(), Sources::default(), &kept);
        // It comes after the start, so that it has to be picked up; its first lines count.
        let script = "echo early; echo a; echo b; echo oops hunter2; echo after; exec sleep 600";
        let web = boxes.make(Make { service: "web", script, ..Make::default() }).await;
        let fired = kept.told("Oops", true, &web.name).await;
        assert_eq!(lines(&fired), ["early", "a", "b", "oops [redacted]", "after"]);
        assert_eq!((label(&fired, "customer"), label(&fired, "service")), (boxes.customer.as_str(), "web"));
        let over = kept.told("Oops", false, &web.name).await;
        assert_eq!(over.labels, fired.labels);
        drop(run);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_container_loses_and_doubles_nothing() {
    with_boxes(|boxes| async move {
        let kept = Kept::new();
        let quick = LogRule { quiet_for: Duration::from_secs(600), ..rule(&boxes.customer) };
        let _run = start(vec![quick], boxes.hosts(), Sources::default(), &kept);
        let script = "n=$(cat /data/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > /data/n; \
                      [ $n = 2 ] && echo oops the second time; echo run $n; exec sleep 600";
        let volume = format!("opsbot-test-{}", boxes.customer);
        let web = boxes.make(Make { service: "web", script, volume: Some(&volume), ..Make::default() }).await;
        let hosts = boxes.hosts();
        let seen = |n: u64| {
            let (hosts, web) = (&hosts, &web);
            move || async move { hosts.logs(web, &opsbot::docker::LogQuery::tail(9)).await.unwrap().seen >= n }
        };
        until("its first line", seen(1)).await;
        hosts.restart_container(&web, Duration::ZERO).await.unwrap();
        let fired = kept.told("Oops", true, &web.name).await;
        assert_eq!(fired.annotations["matches"], "1");
        assert_eq!(lines(&fired), ["run 1", "oops the second time", "run 2"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_too_fast_is_let_go_and_that_is_said() {
    with_boxes(|boxes| async move {
        let kept = Kept::new();
        let run = start(vec![rule(&boxes.customer)], boxes.hosts(), Sources::default(), &kept);
        let script =
            "for i in 1 2; do seq 1000000 1040000; sleep 0.2; done; sleep 3; echo oops; exec sleep 600";
        let web = boxes.make(Make { service: "web", script, ..Make::default() }).await;
        let fired = kept.told("Oops", true, &web.name).await;
        assert!(lines(&fired).last().is_some_and(|l| l.contains("were not read before this")), "{fired:#?}");
        assert!(run.counters.count("opsbot_logs_unread_total", &[("kind", "container")]) > 0);
    })
    .await;
}

fn add(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_on_over_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.log");
    add(&path, "oops before the start\n");
    let glob = PathGlob::new(&format!("{}/*.log", dir.path().display())).unwrap();
    let source = Source { customer: "19".into(), service: "app".into(), origin: Origin::Files(glob) };
    let kept = Kept::new();
    let joined = LogRule {
        pattern: "(?s)trace.*oops".into(),
        multiline: Some("^\\s".into()),
        quiet_for: Duration::from_secs(2),
        ..rule("19")
    };
    let files = Sources::new(vec![source], TimeZone::UTC);
    let _run = start(vec![joined], DockerHosts::connect(vec![]), files, &kept);
    // Lines are added until the watcher has the file: what comes before it looked is old.
    let fired = loop {
        add(&path, "fine\ntrace:\n  oops\n");
        let wait = kept.wait("Oops", |s| s.firing && named(s, "Oops"));
        if let Ok(fired) = tokio::time::timeout(Duration::from_secs(3), wait).await {
            break fired;
        }
    };
    assert_eq!((label(&fired, "source"), label(&fired, "customer")), ("shop.log", "19"));
    assert!(lines(&fired).ends_with(&["fine", "trace:", "  oops"]), "{fired:#?}");
    kept.wait("its end", |s| !s.firing).await;
    let so_far = kept.all().len();
    std::fs::rename(&path, dir.path().join("shop.log.1")).unwrap();
    add(&path, "trace: new file\n oops\n");
    let kept_more = || kept.all().split_off(so_far);
    until("the match in the new file", || async { kept_more().iter().any(|s| s.firing) }).await;
    let again = kept_more().remove(0);
    assert!(lines(&again).ends_with(&["trace: new file", " oops"]), "{again:#?}");
}
