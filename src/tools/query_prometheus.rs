//! The tool `query_prometheus`: any PromQL, at one moment or over time, as a table and a chart, within bounds.

mod names;
mod render;

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use self::render::{Asked, When};
use super::units;
use crate::{
    agent::port::{RunContext, Tool},
    domain::{Args, Param, ParamKind, ResolvedCall, Risk, Target, ToolCall, ToolError, ToolOutput, ToolSpec},
    policy::Permit,
    prometheus::{Evaluation, Prometheus, Value as Found},
};

/// The longest query, in characters.
const LONGEST: usize = 2_000;
/// Without a step a range has about so many points.
const POINTS: u64 = 120;
/// The steps that are chosen from, in seconds.
const STEPS: [u64; 14] = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400];
/// Names of metrics that had samples in this span are suggested.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// `query_prometheus(query, range?, step?)`.
#[derive(Debug)]
pub struct QueryPrometheus {
    spec: ToolSpec,
    prometheus: Option<Prometheus>,
}

impl QueryPrometheus {
    /// The tool; without a Prometheus it says so.
    pub fn new(prometheus: Option<Prometheus>) -> Self {
        let param = |name, kind, required, help| Param { name, kind, required, help };
        let spec = ToolSpec {
            name: "query_prometheus",
            summary: "Run a PromQL query on Prometheus: now, or over a range with a chart.",
            params: vec![
                param("query", ParamKind::Text, true, "PromQL"),
                param("range", ParamKind::Duration, false, "how far back, as 1h; default: now only"),
                param("step", ParamKind::Duration, false, "default: from the range"),
            ],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "promql",
                "prometheus query",
                "query prometheus",
                "ask prometheus",
                "run a query",
                "time series",
                "graph of a metric",
                "plot a metric",
                "value of a metric",
            ],
            untrusted: true,
            timeout: Duration::from_secs(60),
        };
        Self { spec, prometheus }
    }

    /// Runs `query` at `now`, or over the time before it; changes nothing.
    ///
    /// # Errors
    /// [`ToolError::BadArgs`] for a query that Prometheus refuses, [`ToolError::NothingFound`] for one without a series,
    /// [`ToolError::BackendDown`] when it does not answer.
    pub async fn report(&self, args: &Args, now: Timestamp) -> Result<ToolOutput, ToolError> {
        let Some(prometheus) = &self.prometheus else {
            return Err(ToolError::NothingFound(
                "no Prometheus is configured; name it in [prometheus] url".into(),
            ));
        };
        let query = read_query(args)?;
        let when = read_when(args)?;
        let evaluation = match when {
            When::Now => prometheus.evaluate(&query, now).await?,
            When::Over { range, step } => {
                let from = now.checked_sub(range).unwrap_or(Timestamp::UNIX_EPOCH);
                prometheus.evaluate_over(&query, (from, now), step).await?
            }
        };
        if is_empty(&evaluation) {
            return Err(ToolError::NothingFound(nothing(prometheus, &query, now).await));
        }
        Ok(render::output(&Asked { query: &query, when, now }, &evaluation))
    }
}

#[async_trait]
impl Tool for QueryPrometheus {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let mut args = Map::new();
        args.insert("query".into(), read_query(&call.args)?.into());
        read_when(&call.args)?;
        for name in ["range", "step"] {
            args.extend(call.args.text(name).map(|text| (name.to_owned(), Value::from(text))));
        }
        let call = ToolCall { tool: self.spec.name.into(), args: Args(args) };
        Ok(ResolvedCall { call, target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        self.report(&permit.call().call.args, cx.now).await
    }
}

fn read_query(args: &Args) -> Result<String, ToolError> {
    let query = args.text("query").unwrap_or_default();
    // Models like to write code as Markdown does.
    let query = query.trim().trim_matches('`').trim().to_owned();
    if query.is_empty() {
        return Err(ToolError::BadArgs("`query` is empty; write PromQL, such as up == 0".into()));
    }
    if query.chars().count() > LONGEST {
        return Err(ToolError::BadArgs(format!("`query` is longer than {LONGEST} characters")));
    }
    Ok(query)
}

fn read_when(args: &Args) -> Result<When, ToolError> {
    let span =
        |name| args.text(name).map(|text| units::read_span(&text).map_err(ToolError::BadArgs)).transpose();
    match (span("range")?, span("step")?) {
        (None, _) => Ok(When::Now),
        (Some(range), Some(step)) if step >= range => {
            Err(ToolError::BadArgs("`step` must be shorter than `range`".into()))
        }
        (Some(range), step) => Ok(When::Over { range, step: step.unwrap_or_else(|| step_for(range)) }),
    }
}

/// The shortest round step that keeps a chart readable.
fn step_for(range: Duration) -> Duration {
    let least = range.as_secs().div_ceil(POINTS);
    let step = STEPS.iter().find(|step| **step >= least).or(STEPS.last());
    Duration::from_secs(step.copied().unwrap_or(least))
}

fn is_empty(evaluation: &Evaluation) -> bool {
    match &evaluation.value {
        Found::Instants(answer) => answer.series.is_empty(),
        Found::Ranges(answer) => answer.series.is_empty(),
        Found::Scalar(_) | Found::Text(_) => false,
    }
}

/// Why there may be nothing: a metric of that name is not there, and these are the nearest; else labels or time do not fit.
async fn nothing(prometheus: &Prometheus, query: &str, now: Timestamp) -> String {
    let asked = names::of_query(query);
    let from = now.checked_sub(RECENT).unwrap_or(Timestamp::UNIX_EPOCH);
    let Ok(known) = prometheus.metric_names(from, now).await else {
        return "no series; is the metric's name right?".into();
    };
    let missing = asked.iter().find(|name| known.iter().all(|known| known.as_str() != name.as_str()));
    match missing {
        Some(missing) => {
            let near = names::nearest(missing, &known);
            let near =
                if near.is_empty() { String::new() } else { format!("; nearest names: {}", near.join(", ")) };
            format!("no series; no metric is called {missing}{near}")
        }
        None if asked.is_empty() => "no series; nothing fits these labels".into(),
        None => {
            "no series; the metric is there, but no value fits these labels, this comparison or this time"
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_fits_its_range() {
        for (range, want) in
            [(60, 5), (900, 10), (3_600, 30), (86_400, 900), (7 * 86_400, 7_200), (30 * 86_400, 21_600)]
        {
            let step = step_for(Duration::from_secs(range));
            assert_eq!(step.as_secs(), want, "{range}");
            assert!(range / step.as_secs() <= POINTS);
        }
    }

    #[test]
    fn arguments_are_read_and_refused() {
        let args = |value: serde_json::Value| Args(value.as_object().unwrap().clone());
        let good = args(json!({"query": " ```up``` ", "range": "1h"}));
        assert_eq!(read_query(&good).unwrap(), "up");
        assert!(matches!(read_when(&good), Ok(When::Over { step, .. }) if step.as_secs() == 30));
        for bad in [json!({"query": "` `"}), json!({}), json!({"query": "x".repeat(3_000)})] {
            assert!(read_query(&args(bad)).is_err());
        }
        for bad in [json!({"range": "soon"}), json!({"range": "1h", "step": "2h"}), json!({"range": "90d"})] {
            assert!(read_when(&args(bad.clone())).is_err(), "{bad}");
        }
    }
}
