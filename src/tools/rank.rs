//! From evidence to findings, worst first: a pure function.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::{
    evidence::{AlertSample, Evidence, LogEvidence, MetricSample},
    trouble::{Cluster, Trouble},
    units,
};
use crate::{
    docker::{ContainerInfo, Health, State},
    domain::{ContainerRef, Finding, Severity, Untrusted},
};

/// So many clusters of one log are told.
const CLUSTERS: usize = 3;
/// Quotes are cut to so many bytes.
const QUOTE: usize = 240;
/// Started so short ago, a container that was restarted may be on its way down again.
const FRESH_SECONDS: u64 = 120;

/// Within one severity, what explains comes before what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    State,
    Log,
    Alert,
    Metric,
    Answer,
    Gap,
}

struct Ranked {
    kind: Kind,
    finding: Finding,
}

/// The findings, worst first; where nothing is wrong, one says so and what was checked.
pub fn rank(e: &Evidence) -> Vec<Finding> {
    let mut all = Vec::new();
    gaps(e, &mut all);
    for (r, info) in &e.containers {
        let log = e.logs.iter().find(|(other, _)| other == r).and_then(|(_, log)| log.as_ref().ok());
        match info {
            Ok(info) => {
                all.extend(container(e, info, log).map(|finding| Ranked { kind: Kind::State, finding }))
            }
            Err(why) => all.push(unseen(e, format!("container {}", r.name), why)),
        }
    }
    for (r, log) in &e.logs {
        match log {
            Ok(log) => logged(e, r, log, &mut all),
            Err(why) => all.push(unseen(e, format!("the log of {}", r.name), why)),
        }
    }
    match &e.metrics {
        Ok(samples) => {
            all.extend(
                samples.iter().filter_map(|m| Some(Ranked { kind: Kind::Metric, finding: metric(e, m)? })),
            );
        }
        Err(why) => all.push(unseen(e, "metrics".into(), why)),
    }
    match &e.alerts {
        Ok(alerts) => {
            all.extend(
                alerts.iter().filter_map(|a| Some(Ranked { kind: Kind::Alert, finding: alert(e, a)? })),
            );
        }
        Err(why) => all.push(unseen(e, "alerts".into(), why)),
    }
    // Stable: equal ones keep the containers' order.
    all.sort_by_key(|r| (Reverse(r.finding.severity), r.kind));
    let fine = all.iter().all(|r| r.kind == Kind::Gap || r.finding.severity <= Severity::Info);
    let mut findings: Vec<_> = all.into_iter().map(|r| r.finding).collect();
    if fine {
        findings.insert(0, fine_finding(e, findings.is_empty()));
    }
    findings
}

fn unseen(e: &Evidence, what: String, why: &str) -> Ranked {
    let finding = Finding {
        severity: Severity::Warning,
        summary: format!("could not look at {what}: {}", Untrusted::new(why).cut(QUOTE)),
        source: "opsbot".into(),
        at: Some(e.now),
        quote: None,
    };
    Ranked { kind: Kind::Gap, finding }
}

fn gaps(e: &Evidence, all: &mut Vec<Ranked>) {
    for gap in &e.gaps {
        all.push(unseen(e, "a Docker host".into(), gap));
    }
    if e.containers.is_empty() && e.gaps.is_empty() {
        let finding = Finding {
            severity: Severity::Warning,
            summary: format!("customer {} has no containers on any Docker host", e.customer),
            source: "docker".into(),
            at: Some(e.now),
            quote: None,
        };
        all.push(Ranked { kind: Kind::State, finding });
    }
}

/// What the container's own state says, if it is not as it should be.
fn container(e: &Evidence, info: &ContainerInfo, log: Option<&LogEvidence>) -> Option<Finding> {
    let (severity, says, at) = state_of(e, info)?;
    let quote = if info.state == State::Running && info.health == Health::Unhealthy {
        info.last_failed_probe().map(|p| match p.output.as_str() {
            "" => format!("health check ended with exit code {}", p.exit_code),
            text => one_line(text),
        })
    } else if info.error.as_str().is_empty() {
        last_words(log)
    } else {
        Some(one_line(info.error.as_str()))
    };
    Some(Finding {
        severity,
        summary: format!("{} {says}", info.r.service),
        source: format!("docker inspect {}", info.r.name),
        at,
        quote,
    })
}

type Said = (Severity, String, Option<Timestamp>);

fn state_of(e: &Evidence, info: &ContainerInfo) -> Option<Said> {
    let ago = |t: Option<Timestamp>| {
        t.map_or("at an unknown time".into(), |t| format!("{} ago", units::span(units::since(t, e.now))))
    };
    let (started, ended) = (info.started_at, info.finished_at);
    let restarts = info.restart_count;
    let said = match info.state {
        State::Running => return running(e, info),
        State::Restarting => (
            Severity::Critical,
            format!("crashes again and again: restarted {restarts} times, last exit code {}", info.exit_code),
            ended,
        ),
        State::Exited | State::Dead if info.oom_killed => {
            (Severity::Critical, format!("is down: killed {} for using too much memory", ago(ended)), ended)
        }
        State::Exited | State::Dead if info.exit_code == 0 => {
            (Severity::Warning, format!("is not running: it ended {} with exit code 0", ago(ended)), ended)
        }
        State::Exited | State::Dead => (
            Severity::Critical,
            format!("is down: it ended {} with exit code {}", ago(ended), info.exit_code),
            ended,
        ),
        State::Created => (Severity::Warning, "was never started".into(), None),
        State::Paused => (Severity::Warning, "is paused".into(), started),
        State::Removing => (Severity::Info, "is being removed".into(), None),
        State::Unknown => (Severity::Info, "is in a state that is not known".into(), None),
    };
    Some(said)
}

fn running(e: &Evidence, info: &ContainerInfo) -> Option<Said> {
    let up = info.started_at.map(|t| units::since(t, e.now));
    let fresh = up.is_some_and(|d| d.as_secs() < FRESH_SECONDS);
    let restarts = info.restart_count;
    if restarts >= 2 && fresh {
        let says = format!(
            "does not stay up: restarted {restarts} times, last {} ago after exit code {}",
            up.map(units::span).unwrap_or_default(),
            info.exit_code
        );
        return Some((Severity::Critical, says, info.started_at));
    }
    match info.health {
        Health::Unhealthy => {
            let says =
                format!("is unhealthy: its health check failed {} times in a row", info.failing_streak);
            Some((Severity::Critical, says, info.last_failed_probe().and_then(|p| p.at)))
        }
        Health::Starting => {
            Some((Severity::Info, "has just started, its health is not known yet".into(), info.started_at))
        }
        Health::None | Health::Healthy if restarts > 0 => {
            let severity = if fresh { Severity::Warning } else { Severity::Info };
            let times = if restarts == 1 { "once".into() } else { format!("{restarts} times") };
            let up = up.map(units::span).unwrap_or_default();
            Some((severity, format!("crashed and was restarted {times}; up for {up}"), info.started_at))
        }
        Health::None | Health::Healthy => None,
    }
}

fn last_words(log: Option<&LogEvidence>) -> Option<String> {
    let log = log?;
    let worst = log.clusters.first().filter(|c| c.trouble >= Trouble::Error).map(|c| c.sample.as_str());
    worst.or_else(|| log.last_line.as_ref().map(|(_, text)| text.as_str())).map(one_line)
}

fn one_line(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Untrusted::new(&joined).cut(QUOTE).to_string()
}

fn logged(e: &Evidence, r: &ContainerRef, log: &LogEvidence, all: &mut Vec<Ranked>) {
    for cluster in log.clusters.iter().take(CLUSTERS) {
        let kind = if matches!(cluster.trouble, Trouble::Answer(_)) { Kind::Answer } else { Kind::Log };
        all.push(Ranked { kind, finding: cluster_finding(e, r, log, cluster) });
    }
    if let Some(why) = &log.broke {
        all.push(unseen(e, format!("all of the log of {}", r.name), why));
    }
}

fn cluster_finding(e: &Evidence, r: &ContainerRef, log: &LogEvidence, c: &Cluster) -> Finding {
    let what = match c.trouble {
        Trouble::Fatal => "logged a fatal error".to_owned(),
        Trouble::Error => "logged an error".into(),
        Trouble::Answer(status) => format!("answered {status}"),
        Trouble::Warning => "logged a warning".into(),
    };
    let severity = match c.trouble {
        Trouble::Fatal => Severity::Warning,
        Trouble::Error | Trouble::Answer(_) | Trouble::Warning if c.count >= 3 => Severity::Warning,
        Trouble::Error | Trouble::Answer(_) | Trouble::Warning => Severity::Info,
    };
    let more = if log.capped { "at least " } else { "" };
    let last = c.last.map_or(String::new(), |t| format!(", last at {}", units::clock(t, e.now)));
    Finding {
        severity,
        summary: format!(
            "{} {what} {more}×{} in the last {}{last}",
            r.service,
            c.count,
            units::span(e.window)
        ),
        source: format!("logs {}", r.name),
        at: c.last,
        quote: Some(one_line(&c.sample)),
    }
}

/// The share of its limit that a value has reached; percentages without a limit end at 100.
pub(super) fn used(m: &MetricSample) -> Option<f64> {
    let limit = m.limit.or_else(|| (m.unit == "%" && m.name != "cpu").then_some(100.0));
    limit.filter(|l| *l > 0.0).map(|l| m.now / l)
}

fn metric(e: &Evidence, m: &MetricSample) -> Option<Finding> {
    let used = used(m)?;
    let (warning, critical) = match m.name {
        "memory" => (0.90, 0.97),
        "disk" => (0.85, 0.95),
        "cpu" => (0.90, f64::INFINITY),
        _ => return None,
    };
    if used < warning {
        return None;
    }
    let limit = m.limit.unwrap_or(100.0);
    Some(Finding {
        severity: if used >= critical { Severity::Critical } else { Severity::Warning },
        summary: format!("{} uses {:.0} % of its {} limit", m.service, used * 100.0, m.name),
        source: m.source.into(),
        at: Some(e.now),
        quote: Some(format!(
            "{} {} of {}",
            m.name,
            units::with_unit(m.now, m.unit),
            units::with_unit(limit, m.unit)
        )),
    })
}

/// How bad an alert calls itself; none for those that only prove that alerting works.
pub(super) fn alert_severity(a: &AlertSample) -> Option<Severity> {
    let word = a.severity.to_lowercase();
    let severity = match word.as_str() {
        "none" => return None,
        "critical" | "page" | "error" | "high" | "fatal" | "emergency" => Severity::Critical,
        "info" | "low" | "notice" => Severity::Info,
        _ => Severity::Warning,
    };
    Some(if a.state == "firing" { severity } else { severity.min(Severity::Info) })
}

fn alert(e: &Evidence, a: &AlertSample) -> Option<Finding> {
    let severity = alert_severity(a)?;
    let about = a.service.as_ref().map(|s| format!(" for {s}")).unwrap_or_default();
    let since = a.since.map(|t| format!(" since {}", units::clock(t, e.now))).unwrap_or_default();
    let name: String = one_line(&a.name).chars().take(80).collect();
    let state = if a.state == "firing" { "is firing" } else { "is pending" };
    let summary = Some(one_line(a.summary.as_str())).filter(|s| !s.is_empty());
    let value = (!a.value.is_empty()).then(|| format!("value {}", one_line(&a.value)));
    Some(Finding {
        severity,
        summary: format!("alert {name} {state}{about}{since}"),
        source: "prometheus alerts".into(),
        at: a.since,
        quote: summary.or(value),
    })
}

/// What was looked at, in words.
pub fn checked(e: &Evidence) -> String {
    let seen = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let infos = e.containers.iter().filter(|(_, i)| i.is_ok()).count();
    let running =
        e.containers.iter().filter(|(_, i)| i.as_ref().is_ok_and(|i| i.state == State::Running)).count();
    let lines: u64 = e.logs.iter().filter_map(|(_, l)| l.as_ref().ok()).map(|l| l.seen).sum();
    let mut parts = vec![format!("{} ({running} running)", seen(infos, "container"))];
    if e.logs.iter().any(|(_, l)| l.is_ok()) {
        parts.push(format!("{lines} log lines of the last {}", units::span(e.window)));
    }
    if let Ok(m) = &e.metrics {
        parts.push(seen(m.len(), "metric"));
    }
    if let Ok(a) = &e.alerts {
        parts.push(seen(a.len(), "alert"));
    }
    parts.join(", ")
}

fn fine_finding(e: &Evidence, clean: bool) -> Finding {
    let whole = e.gaps.is_empty()
        && e.metrics.is_ok()
        && e.alerts.is_ok()
        && e.containers.iter().all(|(_, i)| i.is_ok())
        && e.logs.iter().all(|(_, l)| l.is_ok());
    let says = match (whole, clean) {
        (true, true) => "all is well",
        (true, false) => "nothing is wrong",
        (false, _) => "nothing wrong in what could be looked at",
    };
    Finding {
        severity: Severity::Ok,
        summary: format!("{says}: {}", checked(e)),
        source: "opsbot".into(),
        at: Some(e.now),
        quote: None,
    }
}
