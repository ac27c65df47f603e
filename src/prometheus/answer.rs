//! What Prometheus says, as values: series by label, samples by time, everything from outside cleaned and counted.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use prometheus_http_query::response::{Data, PromqlResult, Sample};
use serde::Deserialize;

use super::{MAX_SERIES, fault};
use crate::domain::{ToolError, Untrusted};

/// A series' labels; the values come from outside.
pub type Labels = BTreeMap<String, Untrusted>;

/// The series of an answer, at most [`MAX_SERIES`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// The series in the order of their labels.
    pub series: Vec<T>,
    /// How many more there were.
    pub omitted: usize,
}

/// One series at one moment. The value may be NaN or infinite.
#[derive(Clone, Debug, PartialEq)]
pub struct InstantSeries {
    /// Its labels.
    pub labels: Labels,
    /// When.
    pub at: Timestamp,
    /// How much.
    pub value: f64,
}

/// One series over time. Values may be NaN or infinite.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Time and value, oldest first.
    pub points: Vec<(Timestamp, f64)>,
}

/// An alert as Prometheus lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct AlertRecord {
    /// Its labels, `alertname` among them.
    #[serde(default)]
    pub labels: BTreeMap<String, Untrusted>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, Untrusted>,
    /// `pending` or `firing`.
    pub state: String,
    /// Since when it is active.
    #[serde(default, rename = "activeAt")]
    pub since: Option<Timestamp>,
    /// The value that raised it, as Prometheus writes it (`1e+00`).
    #[serde(default)]
    pub value: String,
}

/// An alerting rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RuleRecord {
    /// The name of the alerts that it raises.
    pub name: Untrusted,
    /// Its expression.
    pub query: Untrusted,
}

#[derive(Deserialize)]
pub(super) struct Rules {
    pub(super) groups: Vec<RuleGroup>,
}

#[derive(Deserialize)]
pub(super) struct RuleGroup {
    #[serde(default)]
    pub(super) rules: Vec<RuleRecord>,
}

#[derive(Deserialize)]
pub(super) struct Alerts {
    pub(super) alerts: Vec<AlertRecord>,
}

/// The frame around every answer.
#[derive(Deserialize)]
pub(super) struct Envelope<D> {
    pub(super) status: String,
    pub(super) data: Option<D>,
    #[serde(rename = "errorType")]
    pub(super) error_type: Option<String>,
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

pub(super) fn instants(result: PromqlResult) -> Result<Answer<InstantSeries>, ToolError> {
    let (data, _) = result.into_inner();
    let series = match data {
        Data::Vector(vector) => vector
            .into_iter()
            .map(|one| {
                let (metric, sample) = one.into_inner();
                let (at, value) = point(&sample)?;
                Ok(InstantSeries { labels: labels(metric), at, value })
            })
            .collect::<Result<Vec<_>, ToolError>>()?,
        Data::Scalar(sample) => {
            let (at, value) = point(&sample)?;
            vec![InstantSeries { labels: Labels::new(), at, value }]
        }
        Data::Matrix(_) => return Err(not_that("a range of samples")),
    };
    Ok(sorted(series, |one| &one.labels))
}

pub(super) fn ranges(result: PromqlResult) -> Result<Answer<RangeSeries>, ToolError> {
    let (data, _) = result.into_inner();
    let Data::Matrix(matrix) = data else { return Err(not_that("a single moment")) };
    let series = matrix
        .into_iter()
        .map(|one| {
            let (metric, samples) = one.into_inner();
            let points = samples.iter().map(point).collect::<Result<_, _>>()?;
            Ok(RangeSeries { labels: labels(metric), points })
        })
        .collect::<Result<Vec<_>, ToolError>>()?;
    Ok(sorted(series, |one| &one.labels))
}

fn not_that(got: &str) -> ToolError {
    ToolError::BadArgs(format!("the query yields {got}, which does not fit here"))
}

pub(super) fn sorted<T>(mut series: Vec<T>, by: impl Fn(&T) -> &Labels) -> Answer<T> {
    series.sort_by(|a, b| order(by(a)).cmp(order(by(b))));
    let omitted = series.len().saturating_sub(MAX_SERIES);
    series.truncate(MAX_SERIES);
    Answer { series, omitted }
}

fn order(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn labels(metric: HashMap<String, String>) -> Labels {
    metric.into_iter().map(|(name, value)| (name, Untrusted::new(&value))).collect()
}

fn point(sample: &Sample) -> Result<(Timestamp, f64), ToolError> {
    Ok((time(sample.timestamp())?, sample.value()))
}

pub(super) fn time(seconds: f64) -> Result<Timestamp, ToolError> {
    // A cast of a float saturates, and what is out of the calendar's range is refused by jiff.
    Timestamp::from_millisecond((seconds * 1000.0).round() as i64)
        .map_err(|_| fault::down("it answers with times that no calendar knows", fault::CHECK_URL))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(value: serde_json::Value) -> PromqlResult {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn vectors_scalars_and_odd_numbers_are_read() {
        let vector = result(json!({"resultType": "vector", "result": [
            {"metric": {"name": "b\u{1b}[31m"}, "value": [1_795_257_027.402, "NaN"]},
            {"metric": {"name": "a"}, "value": [1_795_257_027, "+Inf"]},
            {"metric": {}, "value": [0, "-1.5e3"]},
        ]}));
        let got = instants(vector).unwrap();
        let values: Vec<_> = got.series.iter().map(|s| s.value.to_string()).collect();
        assert_eq!(values, ["-1500", "inf", "NaN"]);
        assert_eq!(got.series[2].labels["name"].as_str(), "b");
        assert_eq!(got.series[2].at.to_string(), "2026-11-21T10:30:27.402Z");
        let scalar = instants(result(json!({"resultType": "scalar", "result": [1, "2"]}))).unwrap();
        assert_eq!(scalar.series[0].value.to_string(), "2");
    }

    #[test]
    fn too_many_series_are_counted_not_kept() {
        let many: Vec<_> = (0..MAX_SERIES + 7)
            .map(|n| json!({"metric": {"n": n.to_string()}, "values": [[1, "1"]]}))
            .collect();
        let got = ranges(result(json!({"resultType": "matrix", "result": many}))).unwrap();
        assert_eq!((got.series.len(), got.omitted), (MAX_SERIES, 7));
    }

    #[test]
    fn the_wrong_shape_and_wild_times_are_errors() {
        let matrix = json!({"resultType": "matrix", "result": []});
        assert!(matches!(instants(result(matrix)), Err(ToolError::BadArgs(_))));
        let vector = json!({"resultType": "vector", "result": []});
        assert!(matches!(ranges(result(vector)), Err(ToolError::BadArgs(_))));
        let wild = json!({"resultType": "vector", "result": [{"metric": {}, "value": [1e300, "1"]}]});
        assert!(matches!(instants(result(wild)), Err(ToolError::BackendDown { .. })));
    }

    #[test]
    fn alerts_are_read_leniently() {
        let alerts: Alerts = serde_json::from_value(json!({"alerts": [
            {"labels": {"alertname": "A"}, "annotations": {"summary": "x\u{202e}y"}, "state": "firing",
             "activeAt": "2026-11-21T10:27:08.206777871Z", "value": "1e+00"},
            {"state": "pending"},
        ]}))
        .unwrap();
        assert_eq!(alerts.alerts[0].since.unwrap().as_second(), 1_795_256_828);
        assert_eq!(alerts.alerts[1].since, None);
    }
}
