//! The chart of an incident: its alert's own expression over the last hour, with the threshold drawn in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    alerts::{expr, tell},
    domain::{Alert, Chart, outbound::Series},
    prometheus::Prometheus,
};

/// How far back it reaches, and in which steps.
const OVER: SignedDuration = SignedDuration::from_hours(1);
const STEP: Duration = Duration::from_secs(30);
/// So many series are drawn at most.
const MOST: usize = 6;
/// Labels that do not tell a series apart from its neighbours.
const COMMON: [&str; 4] = ["__name__", "job", "customer", "service"];

/// Draws the alert's expression up to `now`; none where there is no expression, no Prometheus that answers, or no value.
pub async fn draw(prometheus: &Prometheus, alert: &Alert, now: Timestamp) -> Option<Chart> {
    let name = alert.signal.labels.get("alertname")?;
    // The rule is Prometheus' own word; the link came with the alert.
    let rule = match prometheus.alert_rules().await {
        Ok(rules) => rules.into_iter().find(|r| r.name.as_str() == name).map(|r| r.query.as_str().to_owned()),
        Err(error) => {
            tracing::debug!(%error, "no rules from Prometheus");
            None
        }
    };
    let query = rule.or_else(|| expr::of_generator(alert.signal.generator_url.as_deref()?))?;
    let drawable = expr::drawable(&query);
    let from = now.checked_sub(OVER).ok()?;
    let answer = match prometheus.query_range(&drawable.series, from, now, STEP).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%error, "an alert's expression cannot be drawn");
            return None;
        }
    };
    let labels = &alert.signal.labels;
    let own = answer
        .series
        .into_iter()
        .filter(|s| expr::belongs(s.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())), labels));
    let series: Vec<_> = own
        .map(|s| {
            let points = s.points.into_iter().filter(|(_, v)| v.is_finite()).collect::<Vec<_>>();
            let name = s.labels.iter().filter(|(n, _)| !COMMON.contains(&n.as_str()));
            let name = name.map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ");
            Series { name: tell::line(if name.is_empty() { "value" } else { &name }), points }
        })
        .filter(|s| s.points.len() > 1)
        .take(MOST)
        .collect();
    let title = tell::line(&format!("{name}: {}", drawable.series));
    (!series.is_empty()).then_some(Chart {
        title,
        unit: String::new(),
        series,
        threshold: drawable.threshold,
    })
}
