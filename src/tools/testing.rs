//! Evidence to judge in tests: a small stack that is well, to be broken by the test.

use jiff::{SignedDuration, Timestamp};

use super::{
    evidence::{AlertSample, Evidence, LogEvidence, MetricSample, WINDOW},
    trouble::{Cluster, Trouble},
};
use crate::{
    docker::{ContainerInfo, Health, State},
    domain::{ContainerRef, Untrusted},
};

pub(super) fn now() -> Timestamp {
    "2026-11-21T10:31:05Z".parse().unwrap()
}

pub(super) fn ago(seconds: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_secs(seconds)).unwrap()
}

pub(super) fn info(service: &str) -> ContainerInfo {
    ContainerInfo {
        r: ContainerRef {
            host: "local".into(),
            id: "a".repeat(64),
            name: format!("c19-{service}"),
            service: service.into(),
        },
        image: "i".into(),
        state: State::Running,
        health: Health::None,
        failing_streak: 0,
        restart_count: 0,
        restart_policy: "no".into(),
        exit_code: 0,
        oom_killed: false,
        error: Untrusted::default(),
        started_at: Some(ago(7_200)),
        finished_at: Some(ago(240)),
        health_log: vec![],
    }
}

/// `db` and `web` of customer 19, all well.
pub(super) fn evidence() -> Evidence {
    let infos = [info("db"), ContainerInfo { health: Health::Healthy, ..info("web") }];
    let log = LogEvidence { seen: 100, ..LogEvidence::default() };
    Evidence {
        customer: "19".into(),
        now: now(),
        window: WINDOW,
        logs: infos.iter().map(|i| (i.r.clone(), Ok(log.clone()))).collect(),
        containers: infos.map(|i| (i.r.clone(), Ok(i))).into(),
        metrics: Ok(vec![metric("cpu", 3.0, Some(200.0))]),
        alerts: Ok(vec![]),
        gaps: vec![],
    }
}

/// The evidence with another `web`.
pub(super) fn with_web(change: impl FnOnce(&mut ContainerInfo)) -> Evidence {
    let mut e = evidence();
    change(e.containers[1].1.as_mut().unwrap());
    e
}

/// The evidence with troubles in the log of `web`.
pub(super) fn with_log(clusters: Vec<Cluster>) -> Evidence {
    let mut e = evidence();
    e.logs[1].1.as_mut().unwrap().clusters = clusters;
    e
}

pub(super) fn cluster(trouble: Trouble, count: u64, sample: &str) -> Cluster {
    Cluster { trouble, count, first: Some(ago(300)), last: Some(ago(5)), sample: sample.into() }
}

pub(super) fn metric(name: &'static str, now: f64, limit: Option<f64>) -> MetricSample {
    MetricSample { service: "web".into(), name, unit: "%", now, limit, source: "prometheus" }
}

pub(super) fn alert(severity: &str, state: &str) -> AlertSample {
    AlertSample {
        name: "HighErrorRate".into(),
        severity: severity.into(),
        state: state.into(),
        customer: Some("19".into()),
        service: Some("web".into()),
        since: Some(ago(60)),
        summary: Untrusted::new("web answers with errors"),
        value: "0.9".into(),
    }
}
