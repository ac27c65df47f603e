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
        // While it runs the engine tells no exit code.
        let ago = up.map(units::span).unwrap_or_default();
        let says = format!("does not stay up: restarted {restarts} times, last {ago} ago");
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
    let past = e.is_past(r, c.last);
    let severity = match c.trouble {
        _ if past => Severity::Info,
        Trouble::Fatal => Severity::Warning,
        Trouble::Error | Trouble::Answer(_) | Trouble::Warning if c.count >= 3 => Severity::Warning,
        Trouble::Error | Trouble::Answer(_) | Trouble::Warning => Severity::Info,
    };
    let more = if log.capped { "at least " } else { "" };
    let last = c.last.map_or(String::new(), |t| format!(", last at {}", units::clock(t, e.now)));
    Finding {
        severity,
        summary: format!(
            "{} {what} {more}{} in the last {}{last}{}",
            r.service,
            times(c.count),
            units::span(e.window),
            if past { ", before its last start" } else { "" },
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

fn times(n: u64) -> String {
    if n == 1 { "once".into() } else { format!("{n} times") }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{ago, alert as alerting, cluster, evidence, metric as measured, with_log, with_web},
        *,
    };
    use crate::docker::HealthProbe;

    fn told(e: &Evidence) -> Vec<String> {
        rank(e).iter().map(|f| format!("{}: {}", f.severity, f.summary)).collect()
    }

    #[test]
    fn when_all_is_well_it_says_so_and_what_was_checked() {
        assert_eq!(
            told(&evidence()),
            [
                "ok: all is well: 2 containers (2 running), 200 log lines of the last 10 min, 1 metric, 0 alerts"
            ]
        );
    }

    type Change = fn(&mut ContainerInfo);

    #[test]
    fn a_containers_state_is_judged() {
        let table: &[(Change, &str)] = &[
            (
                |i| i.health = Health::Unhealthy,
                "critical: web is unhealthy: its health check failed 0 times in a row",
            ),
            (
                |i| i.state = State::Restarting,
                "critical: web crashes again and again: restarted 0 times, last exit code 0",
            ),
            (
                |i| {
                    i.state = State::Exited;
                    i.exit_code = 137;
                },
                "critical: web is down: it ended 4 min ago with exit code 137",
            ),
            (
                |i| {
                    i.state = State::Exited;
                    i.oom_killed = true;
                },
                "critical: web is down: killed 4 min ago for using too much memory",
            ),
            (|i| i.state = State::Exited, "warning: web is not running: it ended 4 min ago with exit code 0"),
            (|i| i.state = State::Paused, "warning: web is paused"),
            (|i| i.state = State::Created, "warning: web was never started"),
            (
                |i| {
                    i.restart_count = 3;
                    i.started_at = Some(ago(20));
                },
                "critical: web does not stay up: restarted 3 times, last 20 s ago",
            ),
            (
                |i| {
                    i.restart_count = 1;
                    i.started_at = Some(ago(20));
                },
                "warning: web crashed and was restarted once; up for 20 s",
            ),
            (
                |i| i.restart_count = 2,
                "ok: nothing is wrong: 2 containers (2 running), 200 log lines of the last 10 min, 1 metric, 0 alerts",
            ),
        ];
        for (change, want) in table {
            assert_eq!(told(&with_web(change))[0], *want);
        }
    }

    #[test]
    fn what_explains_comes_first_and_is_quoted() {
        let mut e = with_log(vec![
            cluster(Trouble::Error, 42, "connect() failed\n (111)"),
            cluster(Trouble::Answer(502), 42, "GET / 502"),
        ]);
        let web = e.containers[1].1.as_mut().unwrap();
        web.health = Health::Unhealthy;
        web.failing_streak = 4;
        web.health_log = vec![HealthProbe { at: Some(ago(2)), exit_code: 1, output: Untrusted::new("503") }];
        e.alerts = Ok(vec![
            alerting("warning", "firing"),
            alerting("critical", "firing"),
            alerting("none", "firing"),
        ]);
        e.metrics = Ok(vec![measured("memory", 99.0, Some(100.0)), measured("cpu", 190.0, Some(200.0))]);
        let found = rank(&e);
        let short: Vec<_> = found.iter().map(|f| (f.severity.word(), f.source.as_str())).collect();
        assert_eq!(
            short,
            [
                ("critical", "docker inspect c19-web"),
                ("critical", "prometheus alerts"),
                ("critical", "prometheus"),
                ("warning", "logs c19-web"),
                ("warning", "prometheus alerts"),
                ("warning", "prometheus"),
                ("warning", "logs c19-web"),
            ]
        );
        assert_eq!(found[0].quote.as_deref(), Some("503"));
        assert_eq!(found[3].quote.as_deref(), Some("connect() failed (111)"));
        assert_eq!(found[3].summary, "web logged an error 42 times in the last 10 min, last at 10:31:00 UTC");
        assert_eq!(found[1].summary, "alert HighErrorRate is firing for web since 10:30:05 UTC");
        assert_eq!(found[2].summary, "web uses 99 % of its memory limit");
    }

    #[test]
    fn a_dead_container_is_explained_by_its_last_words() {
        let mut e = with_log(vec![cluster(Trouble::Fatal, 2, "FATAL no config")]);
        e.containers[1].1.as_mut().unwrap().state = State::Restarting;
        assert_eq!(rank(&e)[0].quote.as_deref(), Some("FATAL no config"));
        let mut e = with_web(|i| i.state = State::Dead);
        e.logs[1].1.as_mut().unwrap().last_line = Some((None, Untrusted::new("bye")));
        assert_eq!(rank(&e)[0].quote.as_deref(), Some("bye"));
    }

    #[test]
    fn rare_and_past_errors_do_not_spoil_a_good_state() {
        let rare = told(&with_log(vec![cluster(Trouble::Error, 1, "oops")]));
        assert!(
            rare[0].starts_with("ok: nothing is wrong") && rare[1].starts_with("info: web logged"),
            "{rare:?}"
        );
        let mut e = with_log(vec![cluster(Trouble::Error, 70, "oops")]);
        e.containers[1].1.as_mut().unwrap().started_at = Some(ago(4));
        let past = told(&e);
        assert!(past[1].starts_with("info:") && past[1].ends_with("before its last start"), "{past:?}");
        e.containers[1].1.as_mut().unwrap().restart_count = 1;
        assert!(told(&e).iter().any(|f| f.starts_with("warning: web logged an error 70 times")));
    }

    #[test]
    fn what_could_not_be_looked_at_is_a_finding_and_limits_the_praise() {
        let mut e = evidence();
        e.metrics = Err("Prometheus is not answering".into());
        e.gaps = vec!["Docker host b is not answering".into()];
        let said = told(&e);
        assert!(said[0].starts_with("ok: nothing wrong in what could be looked at"), "{said:?}");
        assert_eq!(said[1], "warning: could not look at a Docker host: Docker host b is not answering");
        assert_eq!(said[2], "warning: could not look at metrics: Prometheus is not answering");
        let none = Evidence { containers: vec![], logs: vec![], ..evidence() };
        assert_eq!(told(&none)[0], "warning: customer 19 has no containers on any Docker host");
    }
}
