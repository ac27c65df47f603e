//! Asks Prometheus for every metric at once and sorts the series by service.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::template::{self, Slots, Templates};
use crate::{
    domain::{ContainerRef, CustomerId, ServiceName, ToolError},
    prometheus::{Labels, Prometheus},
    tools::evidence::MetricSample,
};

/// How many queries run at once.
const PARALLEL: usize = 6;
/// More than this, in bytes, is how kernels and cAdvisor write "no limit".
const NO_LIMIT: f64 = (1_u64 << 60) as f64;
const MEMORY_LIMIT: &str = "memory_limit";

/// The metrics in the order in which they are shown, with their units.
const METRICS: [(&str, &str); 5] =
    [("cpu", "%"), ("memory", "B"), ("disk", "B"), ("network_rx", "B/s"), ("network_tx", "B/s")];

pub(super) fn rank(name: &str) -> usize {
    METRICS.iter().position(|(metric, _)| *metric == name).unwrap_or(METRICS.len())
}

/// Whose metrics.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) customer: &'a CustomerId,
    pub(super) containers: &'a [ContainerRef],
}

/// At which times.
#[derive(Clone, Copy)]
pub(super) enum When {
    At { now: Timestamp, rate: Duration },
    Over { from: Timestamp, to: Timestamp, step: Duration, rate: Duration },
}

impl When {
    /// About sixty points over `window` up to `now`.
    pub(super) fn over(window: Duration, now: Timestamp) -> Self {
        let step = Duration::from_secs((window.as_secs() / 60).max(5));
        let from = now.checked_sub(window).unwrap_or(Timestamp::UNIX_EPOCH);
        Self::Over { from, to: now, step, rate: Self::rate(window) }
    }

    /// The window of a rate: long enough for two samples a minute apart, short enough to say "now".
    pub(super) fn rate(window: Duration) -> Duration {
        (window / 8).clamp(Duration::from_secs(120), Duration::from_secs(3600))
    }
}

/// One metric of one service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) service: ServiceName,
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// None: it is no longer reported; `points` tell since when.
    pub(super) now: Option<f64>,
    pub(super) limit: Option<f64>,
    /// Oldest first, finite; empty when the source knows no history.
    pub(super) points: Vec<(Timestamp, f64)>,
    pub(super) source: &'static str,
}

impl Line {
    /// Least, greatest and mean value over time.
    pub(super) fn spread(&self) -> Option<[f64; 3]> {
        if self.points.is_empty() {
            return None;
        }
        let values = || self.points.iter().map(|(_, v)| *v);
        let mean = values().sum::<f64>() / self.points.len() as f64;
        Some([values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max), mean])
    }

    pub(super) fn into_sample(self) -> Option<MetricSample> {
        let Self { service, name, unit, now, limit, source, .. } = self;
        now.map(|now| MetricSample { service, name, unit, now, limit, source })
    }
}

impl From<MetricSample> for Line {
    fn from(sample: MetricSample) -> Self {
        let MetricSample { service, name, unit, now, limit, source } = sample;
        Self { service, name, unit, now: Some(now), limit, points: Vec::new(), source }
    }
}

type Points = BTreeMap<Timestamp, f64>;

/// What came back, by metric and service.
#[derive(Debug, Default)]
pub(super) struct Measured {
    series: BTreeMap<(&'static str, ServiceName), Points>,
    fresh_after: Timestamp,
    pub(super) failures: Vec<(&'static str, ToolError)>,
    pub(super) omitted: usize,
}

impl Measured {
    /// Whether nothing was measured; a limit alone is no measurement.
    pub(super) fn is_empty(&self) -> bool {
        self.series.keys().all(|(metric, _)| *metric == MEMORY_LIMIT)
    }

    /// The failure that explains most: a Prometheus that does not answer before a refused template.
    pub(super) fn worst_failure(&self) -> Option<ToolError> {
        let down = self.failures.iter().find(|(_, e)| matches!(e, ToolError::BackendDown { .. }));
        down.or(self.failures.first()).map(|(_, e)| e.clone())
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (name, unit) in METRICS {
            for ((_, service), points) in self.series.iter().filter(|((metric, _), _)| *metric == name) {
                let points: Vec<_> = points.iter().map(|(at, value)| (*at, *value)).collect();
                let now = points.last().filter(|(at, _)| *at >= self.fresh_after).map(|(_, value)| *value);
                let limit = if name == "memory" { self.limit(service) } else { None };
                let service = service.clone();
                lines.push(Line { service, name, unit, now, limit, points, source: "prometheus" });
            }
        }
        lines
    }

    fn limit(&self, service: &ServiceName) -> Option<f64> {
        let (_, limit) = self.series.get(&(MEMORY_LIMIT, service.clone()))?.last_key_value()?;
        (*limit > 0.0 && *limit < NO_LIMIT).then_some(*limit)
    }

    fn add(&mut self, metric: &'static str, service: &ServiceName, points: &[(Timestamp, f64)]) {
        let finite: Vec<_> = points.iter().filter(|(_, value)| value.is_finite()).collect();
        if finite.is_empty() {
            return;
        }
        let sums = self.series.entry((metric, service.clone())).or_default();
        for (at, value) in finite {
            *sums.entry(*at).or_default() += value;
        }
    }
}

struct Query<'a> {
    metric: &'static str,
    /// Whom every series of the answer belongs to; none: its labels say so.
    service: Option<&'a ServiceName>,
    promql: String,
}

/// Asks for all metrics; what fails is kept beside what does not.
pub(super) async fn ask(
    prometheus: &Prometheus,
    templates: &Templates,
    scope: Scope<'_>,
    when: When,
) -> Measured {
    let mut measured = Measured::default();
    let mut queries = Vec::new();
    for (metric, template) in templates.all() {
        if let Err(error) = plan(metric, template, scope, when, &mut queries) {
            measured
                .failures
                .push((metric, ToolError::BadArgs(format!("the template [metrics] {metric}: {error}"))));
        }
    }
    if let When::Over { to, step, .. } = when {
        measured.fresh_after = to.checked_sub(step * 2).unwrap_or(to);
    }
    // The futures are made before the stream, so that no closure has to be generic over the queries' lifetime.
    let asked: Vec<_> = queries.into_iter().map(|query| answer(prometheus, query, when)).collect();
    let mut answers = stream::iter(asked).buffered(PARALLEL);
    while let Some((query, answer)) = answers.next().await {
        match answer {
            Ok((series, omitted)) => {
                measured.omitted += omitted;
                for (labels, points) in series {
                    if let Some(service) = query.service.or_else(|| owner(&labels, scope.containers)) {
                        measured.add(query.metric, service, &points);
                    }
                }
            }
            Err(error) if measured.failures.iter().all(|(metric, _)| *metric != query.metric) => {
                measured.failures.push((query.metric, error));
            }
            Err(_) => {}
        }
    }
    measured
}

fn plan<'a>(
    metric: &'static str,
    template: &str,
    scope: Scope<'a>,
    when: When,
    queries: &mut Vec<Query<'a>>,
) -> Result<(), String> {
    let window = match when {
        When::At { rate, .. } | When::Over { rate, .. } => rate,
    };
    let mut add = |service: Option<&'a ServiceName>, containers: &[&str]| {
        let service_name = service.map(ServiceName::as_str).unwrap_or_default();
        let slots = Slots { customer: scope.customer.as_str(), service: service_name, containers, window };
        queries.push(Query { metric, service, promql: template::fill(template, &slots)? });
        Ok(())
    };
    if !template::per_service(template) {
        let names: Vec<_> = scope.containers.iter().map(|c| c.name.as_str()).collect();
        return add(None, &names);
    }
    let mut by_service: BTreeMap<&ServiceName, Vec<&str>> = BTreeMap::new();
    for container in scope.containers {
        by_service.entry(&container.service).or_default().push(&container.name);
    }
    by_service.into_iter().try_for_each(|(service, names)| add(Some(service), &names))
}

type Series = (Vec<(Labels, Vec<(Timestamp, f64)>)>, usize);

async fn answer<'a>(
    prometheus: &Prometheus,
    query: Query<'a>,
    when: When,
) -> (Query<'a>, Result<Series, ToolError>) {
    let answer = match when {
        When::At { now, .. } => prometheus.query(&query.promql, now).await.map(|answer| {
            let series = answer.series.into_iter().map(|one| (one.labels, vec![(one.at, one.value)]));
            (series.collect(), answer.omitted)
        }),
        When::Over { from, to, step, .. } => {
            prometheus.query_range(&query.promql, from, to, step).await.map(|answer| {
                let series = answer.series.into_iter().map(|one| (one.labels, one.points));
                (series.collect(), answer.omitted)
            })
        }
    };
    (query, answer)
}

/// Whose series this is: the label `name` speaks first, then any label with a container's name or id, then a service's.
fn owner<'a>(labels: &Labels, containers: &'a [ContainerRef]) -> Option<&'a ServiceName> {
    let first = labels.get("name").into_iter();
    for value in first.chain(labels.values()).map(|value| value.as_str()) {
        let found =
            containers.iter().find(|c| c.name == value || (c.id.len() >= 12 && value.ends_with(&c.id)));
        if let Some(container) = found {
            return Some(&container.service);
        }
    }
    let mut services = labels.iter().filter(|(label, _)| label.contains("service"));
    services.find_map(|(_, value)| {
        containers.iter().map(|c| &c.service).find(|service| service.as_str() == value.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Untrusted;

    fn container(name: &str, service: &str) -> ContainerRef {
        ContainerRef {
            host: "local".into(),
            id: format!("{name:0>64}"),
            name: name.into(),
            service: service.into(),
        }
    }

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter().map(|(name, value)| ((*name).to_owned(), Untrusted::new(value))).collect()
    }

    #[test]
    fn a_series_finds_its_service() {
        let containers =
            [container("shop-web-1", "web"), container("web", "odd"), container("shop-db-1", "db")];
        let id = format!("/docker/{}", containers[2].id);
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
        let table: [Case<'_>; 7] = [
            (&[("name", "shop-web-1")], Some("web")),
            (&[("image", "web"), ("name", "shop-db-1")], Some("db")),
            (&[("container", "shop-db-1"), ("job", "x")], Some("db")),
            (&[("id", &id)], Some("db")),
            (&[("container_label_com_docker_compose_service", "db")], Some("db")),
            (&[("job", "db")], None),
            (&[], None),
        ];
        for (given, want) in table {
            assert_eq!(owner(&labels(given), &containers).map(ServiceName::as_str), want, "{given:?}");
        }
    }

    #[test]
    fn replicas_are_summed_odd_numbers_dropped_and_limits_judged() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut measured = Measured { fresh_after: at(15), ..Measured::default() };
        let (web, db) = (ServiceName::from("web"), ServiceName::from("db"));
        measured.add("memory", &web, &[(at(0), 1.0), (at(10), f64::NAN), (at(20), 3.0)]);
        measured.add("memory", &web, &[(at(10), 4.0), (at(20), 5.0), (at(30), f64::INFINITY)]);
        measured.add("memory", &db, &[(at(0), 7.0)]);
        measured.add("cpu", &db, &[(at(20), f64::NAN)]);
        for (service, limit) in [(&web, 64.0), (&db, 1e19)] {
            measured.add(MEMORY_LIMIT, service, &[(at(20), limit)]);
        }
        let mut only_limit = Measured::default();
        only_limit.add(MEMORY_LIMIT, &web, &[(at(20), 64.0)]);
        assert!(only_limit.is_empty() && !measured.is_empty());
        let lines = measured.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (db, web) = (&lines[0], &lines[1]);
        assert_eq!(web.points, [(at(0), 1.0), (at(10), 4.0), (at(20), 8.0)]);
        assert_eq!((web.now, web.limit), (Some(8.0), Some(64.0)));
        assert_eq!(web.spread().unwrap().map(|v| v.round()), [1.0, 8.0, 4.0]);
        assert_eq!((db.now, db.limit), (None, None), "no longer reported, and 1e19 is no limit");
    }

    #[test]
    fn a_template_with_a_service_is_asked_per_service() {
        let containers = [container("a", "web"), container("b", "web"), container("c", "db")];
        let customer = CustomerId::from("19");
        let scope = Scope { customer: &customer, containers: &containers };
        let when = When::over(Duration::from_secs(900), Timestamp::from_second(10_000).unwrap());
        let mut queries = Vec::new();
        plan("cpu", "x{s=\"{service}\",n=~\"{containers}\"}[{window}]", scope, when, &mut queries).unwrap();
        plan("disk", "y{n=~\"{containers}\",c=\"{customer}\"}", scope, when, &mut queries).unwrap();
        let got: Vec<_> =
            queries.iter().map(|q| (q.service.map(ServiceName::as_str), q.promql.as_str())).collect();
        let want = [
            (Some("db"), "x{s=\"db\",n=~\"(?:c)\"}[120s]"),
            (Some("web"), "x{s=\"web\",n=~\"(?:a|b)\"}[120s]"),
            (None, "y{n=~\"(?:a|b|c)\",c=\"19\"}"),
        ];
        assert_eq!(got, want);
    }
}
