//! A customer's health as one number, with its reasons: a pure function of the evidence.

use super::{
    evidence::Evidence,
    rank::{alert_severity, used},
    trouble::Trouble,
};
use crate::{
    docker::{ContainerInfo, Health, State},
    domain::Severity,
};

/// One part of the score.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// What was judged.
    pub part: &'static str,
    /// How much it counts, in points of 100.
    pub weight: u32,
    /// How many of them it got; none where it could not be looked at and does not count.
    pub points: Option<f64>,
    /// Why.
    pub why: String,
}

/// A score with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// 0 (broken) to 100 (all well), over the parts that could be looked at.
    pub value: u8,
    /// All parts.
    pub reasons: Vec<Reason>,
}

impl Score {
    /// The number as a word.
    pub fn word(&self) -> &'static str {
        match self.value {
            90.. => "healthy",
            70..90 => "degraded",
            40..70 => "bad",
            _ => "broken",
        }
    }
}

/// With anything down, a part gets at most this share: two good containers do not outweigh a dead one.
const ANY_DOWN: f64 = 0.25;

/// Scores the evidence; none when no container could be looked at.
pub fn score(e: &Evidence) -> Option<Score> {
    let infos: Vec<_> = e.containers.iter().filter_map(|(_, i)| i.as_ref().ok()).collect();
    if infos.is_empty() {
        return None;
    }
    let reasons = vec![running(&infos), checks(&infos), logs(e), alerts(e), metrics(e)];
    let weight: u32 = reasons.iter().filter(|r| r.points.is_some()).map(|r| r.weight).sum();
    let points: f64 = reasons.iter().filter_map(|r| r.points).sum();
    let value = (points / f64::from(weight.max(1)) * 100.0).round().clamp(0.0, 100.0) as u8;
    Some(Score { value, reasons })
}

fn share(weight: u32, good: f64, all: usize) -> f64 {
    let share = good / all.max(1) as f64;
    f64::from(weight) * if share < 1.0 { share * ANY_DOWN } else { 1.0 }
}

fn running(infos: &[&ContainerInfo]) -> Reason {
    let down: Vec<_> = infos.iter().filter(|i| i.state != State::Running).collect();
    let shaky: Vec<_> = infos.iter().filter(|i| i.state == State::Running && i.restart_count > 0).collect();
    let good = infos.len() - down.len();
    let mut points = share(40, good as f64, infos.len());
    let mut why = format!("{good} of {} containers run", infos.len());
    if !down.is_empty() {
        let names: Vec<_> = down.iter().map(|i| format!("{} {}", i.r.service, i.state)).collect();
        why = format!("{why} ({})", names.join(", "));
    } else if !shaky.is_empty() {
        points *= 0.75;
        let names: Vec<_> =
            shaky.iter().map(|i| format!("{} restarted {} times", i.r.service, i.restart_count)).collect();
        why = format!("{why}, {}", names.join(", "));
    }
    Reason { part: "containers", weight: 40, points: Some(points), why }
}

fn checks(infos: &[&ContainerInfo]) -> Reason {
    let checked: Vec<_> = infos.iter().filter(|i| i.health != Health::None).collect();
    let up = |i: &&&&ContainerInfo| i.state == State::Running && i.health == Health::Healthy;
    let starting = |i: &&&&ContainerInfo| i.state == State::Running && i.health == Health::Starting;
    let healthy = checked.iter().filter(up).count();
    let starting = checked.iter().filter(starting).count();
    let (points, why) = if checked.is_empty() {
        (None, "no container has a health check".to_owned())
    } else if healthy + starting == checked.len() {
        let half = f64::from(20_u32) * (healthy as f64 + starting as f64 / 2.0) / checked.len() as f64;
        (Some(half), format!("{healthy} of {} health checks pass, {starting} starting", checked.len()))
    } else {
        let points = share(20, healthy as f64, checked.len());
        (Some(points), format!("{healthy} of {} health checks pass", checked.len()))
    };
    Reason { part: "health checks", weight: 20, points, why }
}

fn logs(e: &Evidence) -> Reason {
    let read: Vec<_> = e.logs.iter().filter_map(|(r, l)| Some((r, l.as_ref().ok()?))).collect();
    if read.is_empty() {
        return Reason { part: "logs", weight: 15, points: None, why: "no log could be read".into() };
    }
    let clusters = read.iter().flat_map(|(r, l)| l.clusters.iter().filter(|c| !e.is_past(r, c.last)));
    let clusters = clusters.filter(|c| c.trouble > Trouble::Warning);
    let (mut errors, mut fatal) = (0, false);
    for c in clusters {
        errors += c.count;
        fatal |= c.trouble == Trouble::Fatal;
    }
    let points = match errors {
        _ if fatal => 0.0,
        0 => 15.0,
        1..10 => 10.0,
        10..100 => 5.0,
        _ => 0.0,
    };
    let why = format!("{errors} error lines in the last {} min", e.window.as_secs() / 60);
    Reason { part: "logs", weight: 15, points: Some(points), why }
}

fn alerts(e: &Evidence) -> Reason {
    let Ok(alerts) = &e.alerts else {
        return Reason { part: "alerts", weight: 15, points: None, why: "alerts could not be read".into() };
    };
    let count = |s| alerts.iter().filter(|a| alert_severity(a) == Some(s)).count();
    let (critical, warning) = (count(Severity::Critical), count(Severity::Warning));
    let pending = count(Severity::Info);
    let (points, why) = match (critical, warning, pending) {
        (0, 0, 0) => (15.0, "no alert".to_owned()),
        (0, 0, n) => (12.0, format!("{n} alerts pending or for information")),
        (0, n, _) => (7.0, format!("{n} alert{} of severity warning", if n == 1 { "" } else { "s" })),
        (n, _, _) => (0.0, format!("{n} critical alert{}", if n == 1 { "" } else { "s" })),
    };
    Reason { part: "alerts", weight: 15, points: Some(points), why }
}

fn metrics(e: &Evidence) -> Reason {
    let none = |why: &str| Reason { part: "metrics", weight: 10, points: None, why: why.into() };
    let Ok(samples) = &e.metrics else { return none("metrics could not be read") };
    let worst = samples
        .iter()
        .filter(|m| matches!(m.name, "cpu" | "memory" | "disk"))
        .filter_map(|m| Some((used(m)?, m)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let Some((used, m)) = worst else { return none("no metric has a limit") };
    let points = match used {
        ..0.80 => 10.0,
        ..0.90 => 7.0,
        ..0.97 => 3.0,
        _ => 0.0,
    };
    let why = format!("{} of {} is highest with {:.0} % of its limit", m.name, m.service, used * 100.0);
    Reason { part: "metrics", weight: 10, points: Some(points), why }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{alert, cluster, evidence, metric, with_log, with_web},
        *,
    };

    #[test]
    fn the_worse_the_evidence_the_lower_the_score() {
        let mut alerting = evidence();
        alerting.alerts = Ok(vec![alert("critical", "firing")]);
        let mut full = evidence();
        full.metrics = Ok(vec![metric("memory", 98.0, Some(100.0)), metric("network_rx", 9e9, None)]);
        let mut blind = evidence();
        blind.alerts = Err("down".into());
        blind.metrics = Err("down".into());
        let table = [
            ("well", evidence(), 100, "healthy"),
            ("an error or two", with_log(vec![cluster(Trouble::Error, 2, "x")]), 95, "healthy"),
            ("many errors", with_log(vec![cluster(Trouble::Error, 500, "x")]), 85, "degraded"),
            (
                "a warning counts for nothing",
                with_log(vec![cluster(Trouble::Warning, 500, "x")]),
                100,
                "healthy",
            ),
            ("an alert", alerting, 85, "degraded"),
            ("no memory left", full, 90, "healthy"),
            ("without monitoring the rest counts in full", blind, 100, "healthy"),
            ("crashed once", with_web(|i| i.restart_count = 1), 90, "healthy"),
            ("unhealthy", with_web(|i| i.health = Health::Unhealthy), 80, "degraded"),
            ("starting", with_web(|i| i.health = Health::Starting), 90, "healthy"),
            ("down", with_web(|i| i.state = State::Exited), 45, "bad"),
        ];
        for (what, e, value, word) in table {
            let score = score(&e).unwrap();
            assert_eq!((score.value, score.word()), (value, word), "{what}: {:?}", score.reasons);
            assert_eq!(score.reasons.iter().map(|r| r.weight).sum::<u32>(), 100);
        }
    }

    #[test]
    fn without_a_container_there_is_no_score() {
        let mut e = evidence();
        e.containers.iter_mut().for_each(|(_, i)| *i = Err("down".into()));
        assert_eq!(score(&e), None);
    }
}
