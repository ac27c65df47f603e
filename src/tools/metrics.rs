//! The tool `get_metrics`: CPU, memory, disk and network of a customer's services, from Prometheus, else from Docker.

mod measure;
mod render;
mod template;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::{SpanRelativeTo, Timestamp};
use serde_json::{Map, Value};

use self::measure::{Line, Scope, When};
pub use self::template::Templates;
use super::evidence::MetricSample;
use crate::{
    agent::port::{RunContext, Tool},
    domain::{
        Args, ContainerRef, Customer, CustomerId, Param, ParamKind, ResolvedCall, Risk, ServiceName, Target,
        ToolCall, ToolError, ToolOutput, ToolSpec,
    },
    policy::Permit,
    prometheus::Prometheus,
};

/// Finds the customer that a text means, and its containers.
pub type Resolve =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<(Customer, Vec<ContainerRef>), ToolError>> + Send + Sync>;
/// Reads Docker's own statistics of these containers.
pub type DockerStats =
    Arc<dyn Fn(Vec<ContainerRef>) -> BoxFuture<'static, Result<Vec<MetricSample>, ToolError>> + Send + Sync>;

const DEFAULT_WINDOW: &str = "15m";
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// `get_metrics(customer_id, window = 15m)`.
pub struct GetMetrics {
    spec: ToolSpec,
    prometheus: Option<Prometheus>,
    templates: Templates,
    resolve: Resolve,
    docker_stats: DockerStats,
}

impl fmt::Debug for GetMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetMetrics").field("prometheus", &self.prometheus).finish_non_exhaustive()
    }
}

impl GetMetrics {
    /// The tool; without a Prometheus it always asks Docker.
    pub fn new(
        prometheus: Option<Prometheus>,
        templates: Templates,
        resolve: Resolve,
        docker_stats: DockerStats,
    ) -> Self {
        let param = |name, kind, required, help| Param { name, kind, required, help };
        let spec = ToolSpec {
            name: "get_metrics",
            summary: "CPU, memory, disk and network of a customer's services: now, and over a window.",
            params: vec![
                param("customer_id", ParamKind::Customer, true, "customer"),
                param("window", ParamKind::Duration, false, "how far back, default 15m"),
            ],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[],
            untrusted: false,
            timeout: Duration::from_secs(30),
        };
        Self { spec, prometheus, templates, resolve, docker_stats }
    }

    /// Measures these containers over `window` up to `now`; changes nothing.
    ///
    /// # Errors
    /// [`ToolError::NothingFound`] without a container or a value, [`ToolError::BackendDown`] when neither source answers.
    pub async fn report(
        &self,
        customer: &CustomerId,
        containers: &[ContainerRef],
        window: Duration,
        now: Timestamp,
    ) -> Result<ToolOutput, ToolError> {
        if containers.is_empty() {
            return Err(ToolError::NothingFound(format!("customer {customer} has no containers")));
        }
        let scope = Scope { customer, containers };
        let mut notes = Vec::new();
        let (mut lines, trouble) = self.ask_prometheus(scope, window, now, &mut notes).await;
        let known: BTreeSet<&ServiceName> =
            lines.iter().filter(|line| line.now.is_some()).map(|line| &line.service).collect();
        let missing: Vec<_> = containers.iter().filter(|c| !known.contains(&c.service)).cloned().collect();
        if !missing.is_empty() {
            match (self.docker_stats)(missing).await {
                Ok(samples) => merge(&mut lines, samples),
                Err(error) if lines.is_empty() => return Err(both(trouble, error)),
                Err(error) => notes.push(format!("Docker's statistics are missing: {error}")),
            }
        }
        if lines.is_empty() {
            let why = trouble.map(|e| format!(" ({e})")).unwrap_or_default();
            return Err(ToolError::NothingFound(format!(
                "neither Prometheus nor Docker has metrics of customer {customer}; its containers may not run{why}"
            )));
        }
        lines.sort_by(|a, b| (&a.service, measure::rank(a.name)).cmp(&(&b.service, measure::rank(b.name))));
        Ok(render::output(&render::Report { customer, window, now, lines, notes }))
    }

    async fn ask_prometheus(
        &self,
        scope: Scope<'_>,
        window: Duration,
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> (Vec<Line>, Option<ToolError>) {
        let Some(prometheus) = &self.prometheus else {
            notes.push(
                "Prometheus is not configured ([prometheus] url); values are Docker's, without history"
                    .into(),
            );
            return (Vec::new(), None);
        };
        let measured = measure::ask(prometheus, &self.templates, scope, When::over(window, now)).await;
        let trouble = measured.worst_failure();
        if measured.is_empty() {
            match &trouble {
                Some(error) => notes.push(format!("{error}. Values are Docker's, without history")),
                None => notes.push(
                    "Prometheus has no series for these containers; values are Docker's, without history"
                        .into(),
                ),
            }
        } else {
            notes.extend(measured.failures.iter().map(|(key, e)| format!("{key} is missing: {e}")));
            if measured.omitted > 0 {
                notes.push(format!("{} more series were not read", measured.omitted));
            }
        }
        (measured.lines(), trouble)
    }
}

#[async_trait]
impl Tool for GetMetrics {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let given = call.args.text("customer_id").unwrap_or_default();
        let window = call.args.text("window");
        if let Some(window) = &window {
            read_window(window)?;
        }
        let (customer, containers) = (self.resolve)(given).await?;
        let mut args = Map::new();
        args.insert("customer_id".into(), customer.id.as_str().into());
        args.extend(window.map(|window| ("window".to_owned(), Value::from(window))));
        let target =
            Target { customer: Some(customer.id), service: None, containers, labels: customer.labels };
        let call = ToolCall { tool: self.spec.name.into(), args: Args(args) };
        Ok(ResolvedCall { call, target, plan: vec![], steps: vec![] })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let ResolvedCall { call, target, .. } = permit.call();
        let window = read_window(call.args.text("window").as_deref().unwrap_or(DEFAULT_WINDOW))?;
        let customer = target
            .customer
            .as_ref()
            .ok_or_else(|| ToolError::BadArgs("get_metrics needs a customer_id".into()))?;
        self.report(customer, &target.containers, window, cx.now).await
    }
}

/// The metrics of these containers right now, from Prometheus alone; empty when it has no series for them.
///
/// # Errors
/// [`ToolError::BackendDown`] when Prometheus does not answer, [`ToolError::BadArgs`] when it refuses every template.
pub async fn collect(
    prometheus: &Prometheus,
    templates: &Templates,
    customer: &CustomerId,
    containers: &[ContainerRef],
    window: Duration,
    now: Timestamp,
) -> Result<Vec<MetricSample>, ToolError> {
    if containers.is_empty() {
        return Ok(Vec::new());
    }
    let when = When::At { now, rate: When::rate(window) };
    let measured = measure::ask(prometheus, templates, Scope { customer, containers }, when).await;
    match measured.worst_failure() {
        Some(error) if measured.is_empty() => Err(error),
        _ => Ok(measured.lines().into_iter().filter_map(Line::into_sample).collect()),
    }
}

fn merge(lines: &mut Vec<Line>, samples: Vec<MetricSample>) {
    for sample in samples {
        lines.retain(|line| line.service != sample.service || line.name != sample.name);
        lines.push(Line::from(sample));
    }
}

fn both(prometheus: Option<ToolError>, docker: ToolError) -> ToolError {
    match (prometheus, docker) {
        (
            Some(ToolError::BackendDown { backend, detail, .. }),
            ToolError::BackendDown { backend: b, detail: d, cure },
        ) => ToolError::BackendDown {
            backend: format!("{backend} and {b}"),
            detail: format!("{detail}; {d}"),
            cure,
        },
        (_, docker) => docker,
    }
}

fn read_window(text: &str) -> Result<Duration, ToolError> {
    let span: Option<jiff::Span> = text.trim().parse().ok();
    let window = span
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .and_then(|window| Duration::try_from(window).ok())
        .ok_or_else(|| ToolError::BadArgs("`window` must be a span of time such as 15m, 2h or 1d".into()))?;
    if (SHORTEST..=LONGEST).contains(&window) {
        Ok(window)
    } else {
        Err(ToolError::BadArgs("`window` must be 1m to 7d".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_in_the_ways_people_write_it() {
        let table = [
            ("15m", Some(900)),
            (" 2h ", Some(7200)),
            ("1h30m", Some(5400)),
            ("15 minutes", Some(900)),
            ("90s", Some(90)),
            ("1d", Some(86400)),
            ("PT15M", Some(900)),
            ("7d", Some(604_800)),
            ("8d", None),
            ("59s", None),
            ("-15m", None),
            ("15", None),
            ("", None),
            ("soon", None),
            ("99999999999999999999h", None),
        ];
        for (text, want) in table {
            assert_eq!(read_window(text).ok().map(|w| w.as_secs()), want, "{text}");
        }
        assert_eq!(read_window(DEFAULT_WINDOW).unwrap().as_secs(), 900);
    }
}
