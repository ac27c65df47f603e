//! Any PromQL that somebody writes, evaluated within bounds: counted before it is read, and read up to a size.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Answer, InstantSeries, Labels, MAX_POINTS, MAX_SERIES, Prometheus, RangeSeries, answer, fault};
use crate::domain::{ToolError, Untrusted};

/// Of more series than [`MAX_SERIES`] only so many are asked for: the largest.
pub const LARGEST: usize = 50;
/// The most names of metrics that are looked through.
const MAX_NAMES: usize = 100_000;

/// What a query came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The result.
    pub value: Value,
    /// How many series there are in all, where only the largest were read.
    pub of: Option<u64>,
    /// What Prometheus warns of.
    pub warnings: Vec<Untrusted>,
}

/// A result of one of the four types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Series at one moment.
    Instants(Answer<InstantSeries>),
    /// Series over time.
    Ranges(Answer<RangeSeries>),
    /// A number that is nobody's.
    Scalar(f64),
    /// A text.
    Text(Untrusted),
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Raw {
    Vector(Vec<RawInstant>),
    Matrix(Vec<RawRange>),
    Scalar((f64, String)),
    String((f64, String)),
}

/// A native histogram comes without a value; it is left out.
#[derive(Deserialize)]
struct RawInstant {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
struct RawRange {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// At which times.
#[derive(Clone, Copy, Debug)]
pub(super) enum Times {
    At(Timestamp),
    Over(Timestamp, Timestamp, std::time::Duration),
}

impl Prometheus {
    /// Evaluates what somebody wrote at one moment, of whatever type it is.
    ///
    /// # Errors
    /// [`ToolError::BadArgs`] with Prometheus' words, the place in the query and a hint; else [`ToolError::BackendDown`].
    pub async fn evaluate(&self, promql: &str, at: Timestamp) -> Result<Evaluation, ToolError> {
        self.bounded(promql, Times::At(at)).await
    }

    /// Evaluates what somebody wrote every `step` from `from` to `to`.
    ///
    /// # Errors
    /// As [`Prometheus::evaluate`]; also [`ToolError::BadArgs`] for more than [`MAX_POINTS`] points.
    pub async fn evaluate_over(
        &self,
        promql: &str,
        (from, to): (Timestamp, Timestamp),
        step: std::time::Duration,
    ) -> Result<Evaluation, ToolError> {
        let span = u128::try_from(to.duration_since(from).as_millis()).unwrap_or(0);
        let points = span.checked_div(step.as_millis()).map_or(u128::MAX, |n| n + 1);
        if points > u128::from(MAX_POINTS) {
            return Err(ToolError::BadArgs(format!(
                "that would be more than {MAX_POINTS} points a series; take a longer `step` or a shorter `range`"
            )));
        }
        self.bounded(promql, Times::Over(from, to, step)).await
    }

    /// The names of the metrics that had samples since `from`.
    ///
    /// # Errors
    /// [`ToolError::BackendDown`].
    pub async fn metric_names(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Untrusted>, ToolError> {
        let mut url = self.endpoint("label/__name__/values");
        url.query_pairs_mut()
            .append_pair("start", &from.as_second().to_string())
            .append_pair("end", &to.as_second().to_string());
        let response =
            self.http.get(url).send().await.map_err(|e| fault::from_transport(&e, self.timeout))?;
        let names: Vec<String> = self.read(response).await?;
        Ok(names.iter().take(MAX_NAMES).map(|name| Untrusted::new(name)).collect())
    }

    /// Counts first: an expression of a million series costs one number, not a million.
    async fn bounded(&self, promql: &str, times: Times) -> Result<Evaluation, ToolError> {
        let end = match times {
            Times::At(at) | Times::Over(_, at, _) => at,
        };
        // The line's end closes a comment at the query's.
        let counted = self.ask(&format!("count({promql}\n)"), promql, Times::At(end)).await;
        let series = match counted {
            Ok((Value::Instants(one), _)) => one.series.first().map_or(0, |series| series.value as u64),
            // Not a vector, or refused: the query itself tells which.
            Ok(_) | Err(ToolError::BadArgs(_)) => 0,
            Err(error) => return Err(error),
        };
        let of = (series > MAX_SERIES as u64).then_some(series);
        let (value, warnings) = match of {
            Some(_) => self.ask(&format!("topk({LARGEST}, {promql}\n)"), promql, times).await?,
            None => self.ask(promql, promql, times).await?,
        };
        Ok(Evaluation { value, of, warnings })
    }

    async fn ask(
        &self,
        promql: &str,
        written: &str,
        times: Times,
    ) -> Result<(Value, Vec<Untrusted>), ToolError> {
        let url = self.endpoint(match times {
            Times::At(_) => "query",
            Times::Over(..) => "query_range",
        });
        let mut pairs = vec![("query", promql.to_owned()), ("timeout", format!("{}ms", self.timeout_ms()))];
        match times {
            Times::At(at) => pairs.push(("time", at.as_second().to_string())),
            Times::Over(from, to, step) => pairs.extend([
                ("start", from.as_second().to_string()),
                ("end", to.as_second().to_string()),
                ("step", step.as_secs_f64().to_string()),
            ]),
        }
        // A form is written as a URL's query is.
        let mut form = url.clone();
        form.query_pairs_mut().extend_pairs(pairs);
        let request = self
            .http
            .post(url)
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        let response = request.send().await.map_err(|e| fault::from_transport(&e, self.timeout))?;
        let refused = |kind: &str, message: &str| fault::from_query(written, kind, message);
        let (raw, warnings) = self.read_or(response, refused).await?;
        let warnings = warnings.iter().take(3).map(|text| Untrusted::new(text).cut(300)).collect();
        Ok((value(raw)?, warnings))
    }
}

fn value(raw: Raw) -> Result<Value, ToolError> {
    match raw {
        Raw::Vector(all) => {
            let one = |raw: RawInstant| {
                let sample = raw.value?;
                Some(point(&sample).map(|(at, value)| InstantSeries {
                    labels: labels(raw.metric),
                    at,
                    value,
                }))
            };
            let series = all.into_iter().filter_map(one).collect::<Result<Vec<_>, ToolError>>()?;
            Ok(Value::Instants(answer::sorted(series, |one| &one.labels)))
        }
        Raw::Matrix(all) => {
            let one = |raw: RawRange| {
                let points = raw.values.iter().map(point).collect::<Result<Vec<_>, ToolError>>()?;
                Ok(RangeSeries { labels: labels(raw.metric), points })
            };
            let series = all.into_iter().filter(|raw| !raw.values.is_empty());
            let series = series.map(one).collect::<Result<Vec<_>, ToolError>>()?;
            Ok(Value::Ranges(answer::sorted(series, |one| &one.labels)))
        }
        Raw::Scalar(sample) => Ok(Value::Scalar(point(&sample)?.1)),
        Raw::String((_, text)) => Ok(Value::Text(Untrusted::new(&text))),
    }
}

fn labels(metric: BTreeMap<String, String>) -> Labels {
    metric.into_iter().map(|(name, value)| (name, Untrusted::new(&value))).collect()
}

fn point((at, value): &(f64, String)) -> Result<(Timestamp, f64), ToolError> {
    let number = value
        .parse()
        .map_err(|_| fault::down("it answers with values that are no numbers", fault::CHECK_URL))?;
    Ok((answer::time(*at)?, number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(raw: serde_json::Value) -> Result<Value, ToolError> {
        value(serde_json::from_value(raw).unwrap())
    }

    #[test]
    fn the_four_types_are_read_and_odd_numbers_too() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"a": "x\u{1b}[31m"}, "value": [1, "+Inf"]},
            {"metric": {"a": "h"}, "histogram": [1, {"count": "3"}]},
            {"metric": {}, "value": [1, "NaN"]},
        ]});
        let Ok(Value::Instants(got)) = read(vector) else { panic!("no vector") };
        assert_eq!(got.series.len(), 2, "a histogram has no value");
        assert!(got.series[0].value.is_nan() && got.series[1].value.is_infinite());
        assert_eq!(got.series[1].labels["a"].as_str(), "x");
        let matrix =
            json!({"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"], [2.5, "-1e3"]]}]});
        let Ok(Value::Ranges(got)) = read(matrix) else { panic!("no matrix") };
        assert_eq!(got.series[0].points[1].1.to_string(), "-1000");
        assert_eq!(read(json!({"resultType": "scalar", "result": [1, "42"]})), Ok(Value::Scalar(42.0)));
        let text = Ok(Value::Text(Untrusted::new("hi")));
        assert_eq!(read(json!({"resultType": "string", "result": [1, "h\u{202e}i"]})), text);
        assert!(read(json!({"resultType": "scalar", "result": [1, "many"]})).is_err());
        assert!(read(json!({"resultType": "scalar", "result": [1e300, "1"]})).is_err());
    }

    #[test]
    fn a_refusal_names_the_place_and_a_hint() {
        let table = [
            (
                "sum(up",
                "invalid parameter \"query\": 1:4: parse error: unclosed left parenthesis",
                "at 1:4, after `sum`: unclosed left parenthesis. Close",
            ),
            (
                "rate(up)",
                "invalid parameter \"query\": 1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
                "rate(metric[5m])",
            ),
            (
                "a\n+ foo(b)",
                "2:3: parse error: unknown function with name \"foo\"",
                "at 2:3, after `+ `: unknown function",
            ),
            (
                "a * b",
                "many-to-many matching not allowed: matching labels must be unique on one side",
                "query: many-to-many",
            ),
            ("x", "0:0: parse error: strange", "at 0:0: strange. Check names"),
        ];
        for (query, message, want) in table {
            let error = fault::from_query(query, "bad_data", message).to_string();
            assert!(error.contains(want), "{error}");
        }
        let slow = fault::from_query("x", "timeout", "query timed out in expression evaluation");
        assert!(
            matches!(slow, ToolError::BackendDown { .. }) && slow.to_string().contains("shorter range"),
            "{slow}"
        );
    }
}
