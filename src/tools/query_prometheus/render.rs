//! What `query_prometheus` says: a table and a chart for a person, the same values as lines for the model.

use std::{cmp::Ordering, collections::BTreeMap, fmt::Write, time::Duration};

use jiff::Timestamp;

use super::units;
use crate::{
    domain::{Block, Chart, Level, Outcome, ToolOutput, Untrusted, outbound::Series},
    prometheus::{Evaluation, InstantSeries, LARGEST, Labels, RangeSeries, Value},
};

/// So many series are drawn.
const DRAWN: usize = 8;
/// So many series are listed.
const LISTED: usize = 40;
/// A label's value is cut to so many bytes.
const LABEL: usize = 80;
/// A series' name is cut to so many bytes.
const NAME: usize = 240;
/// A query is cut to so many bytes in titles.
const TITLE: usize = 120;

/// What was asked.
pub(super) struct Asked<'a> {
    pub(super) query: &'a str,
    pub(super) when: When,
    pub(super) now: Timestamp,
}

/// At which times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Now,
    Over { range: Duration, step: Duration },
}

/// One series, ready to show.
struct Row<'a> {
    name: String,
    /// The value is in bytes, as its metric's name says.
    bytes: bool,
    last: f64,
    points: &'a [(Timestamp, f64)],
}

pub(super) fn output(asked: &Asked<'_>, evaluation: &Evaluation) -> ToolOutput {
    let query = Untrusted::new(asked.query).cut(TITLE);
    let at = match asked.when {
        When::Now => format!("at {}", units::clock(asked.now, asked.now)),
        When::Over { range, step } => format!("last {}, step {}", units::span(range), units::span(step)),
    };
    let title = format!("{query} ({at})");
    let mut notes: Vec<String> = Vec::new();
    if let Some(all) = evaluation.of {
        notes.push(format!(
            "The query has {all} series. Only the {LARGEST} largest were read; narrow it by labels, or aggregate: sum by (label) (…)"
        ));
    }
    notes.extend(evaluation.warnings.iter().map(|text| format!("Prometheus warns: {text}")));
    match &evaluation.value {
        Value::Scalar(value) => single(&title, "a number", &number(*value), notes),
        Value::Text(text) => single(&title, "a text", text.cut(NAME).as_str(), notes),
        Value::Instants(answer) => {
            let common = common(answer.series.iter().map(|one| &one.labels));
            let rows =
                answer.series.iter().map(|one: &InstantSeries| row(&one.labels, &common, one.value, &[]));
            listed(&title, &common, rows.collect(), answer.omitted, notes)
        }
        Value::Ranges(answer) => {
            let common = common(answer.series.iter().map(|one| &one.labels));
            let one = |one: &'_ RangeSeries| one.points.last().map_or(f64::NAN, |(_, value)| *value);
            let rows = answer.series.iter().map(|s| row(&s.labels, &common, one(s), &s.points));
            listed(&title, &common, rows.collect(), answer.omitted, notes)
        }
    }
}

fn single(title: &str, what: &str, value: &str, notes: Vec<String>) -> ToolOutput {
    let table = Block::Table {
        title: Some(title.to_owned()),
        columns: vec!["value".into()],
        rows: vec![vec![value.to_owned()]],
    };
    finish(format!("The query is {what}."), format!("{title}: {value}"), vec![table], notes)
}

fn listed(
    title: &str,
    common: &BTreeMap<&str, &str>,
    mut rows: Vec<Row<'_>>,
    omitted: usize,
    mut notes: Vec<String>,
) -> ToolOutput {
    rows.sort_by(|a, b| largest_first(a.last, b.last).then_with(|| a.name.cmp(&b.name)));
    let count = rows.len() + omitted;
    if count > LISTED {
        notes.push(format!("{} more series are not listed", count - LISTED));
    }
    let over_time = rows.iter().any(|row| !row.points.is_empty());
    let mut text = format!("{title}: {count} series, largest first");
    if !common.is_empty() {
        // Writing to a String cannot fail.
        write!(text, "; all with {{{}}}", written(common.iter().map(|(n, v)| (*n, *v)))).ok();
    }
    text.push('\n');
    let mut cells = Vec::new();
    for row in rows.iter().take(LISTED) {
        let mut line = vec![row.name.clone(), shown(row.last, row.bytes)];
        write!(text, "{}: {}", row.name, shown(row.last, row.bytes)).ok();
        if over_time {
            let spread = spread(row.points).map(|values| values.map(|value| shown(value, row.bytes)));
            let [min, max, avg] = spread.unwrap_or_else(|| std::array::from_fn(|_| "–".to_owned()));
            write!(text, ", min {min}, max {max}, avg {avg}").ok();
            line.extend([min, max, avg]);
        }
        text.push('\n');
        cells.push(line);
    }
    let columns: &[&str] =
        if over_time { &["series", "last", "min", "max", "avg"] } else { &["series", "value"] };
    let mut blocks = vec![Block::Table {
        title: Some(title.to_owned()),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        rows: cells,
    }];
    blocks.extend(chart(title, &rows, &mut notes));
    finish(format!("The query has {count} series."), text, blocks, notes)
}

fn finish(summary: String, text: String, mut blocks: Vec<Block>, notes: Vec<String>) -> ToolOutput {
    let mut whole = String::new();
    for note in &notes {
        whole.push_str(note);
        whole.push('\n');
    }
    whole.push_str(&text);
    blocks.splice(0..0, notes.into_iter().map(|note| Block::notice(Level::Warning, note)));
    ToolOutput { outcome: Outcome::Ok, summary, text: whole, blocks }
}

/// The series with the largest last values as lines.
fn chart(title: &str, rows: &[Row<'_>], notes: &mut Vec<String>) -> Option<Block> {
    let finite =
        |row: &Row<'_>| -> Vec<_> { row.points.iter().filter(|(_, v)| v.is_finite()).copied().collect() };
    let lines: Vec<_> =
        rows.iter().map(|row| (row, finite(row))).filter(|(_, points)| points.len() > 1).collect();
    if lines.is_empty() {
        return None;
    }
    if lines.len() > DRAWN {
        notes.push(format!("{DRAWN} of {} series are drawn, those with the largest last value", lines.len()));
    }
    let bytes = lines.iter().take(DRAWN).all(|(row, _)| row.bytes);
    let series = lines.into_iter().take(DRAWN).map(|(row, points)| Series { name: row.name.clone(), points });
    Some(Block::Chart(Chart {
        title: title.to_owned(),
        unit: if bytes { "B".into() } else { String::new() },
        series: series.collect(),
        threshold: None,
    }))
}

/// The labels that all series share; they are said once. A single series keeps its own.
fn common<'a>(mut all: impl Iterator<Item = &'a Labels>) -> BTreeMap<&'a str, &'a str> {
    let Some(first) = all.next() else { return BTreeMap::new() };
    let mut shared: BTreeMap<_, _> =
        first.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut several = false;
    for labels in all {
        several = true;
        shared.retain(|name, value| labels.get(*name).is_some_and(|other| other.as_str() == *value));
    }
    if several { shared } else { BTreeMap::new() }
}

fn row<'a>(
    labels: &Labels,
    common: &BTreeMap<&str, &str>,
    last: f64,
    points: &'a [(Timestamp, f64)],
) -> Row<'a> {
    let metric = labels.get("__name__").map(Untrusted::as_str).unwrap_or_default();
    let own = labels.iter().filter(|(name, _)| !common.contains_key(name.as_str()) && *name != "__name__");
    let inner = written(own.map(|(name, value)| (name.as_str(), value.as_str())));
    let shown_metric = if common.contains_key("__name__") { "" } else { metric };
    let name = match (shown_metric, inner.as_str()) {
        ("", inner) => format!("{{{inner}}}"),
        (metric, "") => metric.to_owned(),
        (metric, inner) => format!("{metric}{{{inner}}}"),
    };
    let name = Untrusted::new(&name).cut(NAME).as_str().to_owned();
    Row { name, bytes: metric.ends_with("_bytes"), last, points }
}

/// `job="node", mode="idle"`: each value one short line.
fn written<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let one = |(name, value): (&str, &str)| {
        let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = Untrusted::new(&line).cut(LABEL).as_str().replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{line}\"")
    };
    labels.map(one).collect::<Vec<_>>().join(", ")
}

/// NaN stands last.
fn largest_first(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => b.total_cmp(&a),
    }
}

fn spread(points: &[(Timestamp, f64)]) -> Option<[f64; 3]> {
    let values: Vec<_> = points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
    let (min, max) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    Some([min, max, values.iter().sum::<f64>() / values.len() as f64])
}

fn shown(value: f64, bytes: bool) -> String {
    if bytes && value.is_finite() { units::bytes(value) } else { number(value) }
}

/// A value as it stands, to six significant digits.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let size = value.abs();
    if value == value.trunc() && size < 1e15 {
        return format!("{value:.0}");
    }
    if !(1e-4..1e15).contains(&size) {
        return format!("{value:.5e}");
    }
    let decimals = (5 - size.log10().floor() as i32).clamp(0, 9).unsigned_abs() as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::Answer;

    fn now() -> Timestamp {
        "2026-11-21T10:31:05Z".parse().unwrap()
    }

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter().map(|(name, value)| ((*name).to_owned(), Untrusted::new(value))).collect()
    }

    fn asked(query: &str, when: When) -> Asked<'_> {
        Asked { query, when, now: now() }
    }

    fn evaluation(value: Value) -> Evaluation {
        Evaluation { value, of: None, warnings: vec![] }
    }

    #[test]
    fn numbers_are_short_and_true() {
        let table = [
            (0.0, "0"),
            (1.0, "1"),
            (-3.5, "-3.5"),
            (0.123_456_789, "0.123457"),
            (1234.5678, "1234.57"),
            (34_123_776.0, "34123776"),
            (1.5e-7, "1.50000e-7"),
            (2e20, "2.00000e20"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, want) in table {
            assert_eq!(number(value), want);
        }
    }

    #[test]
    fn an_instant_is_a_table_largest_first_with_common_labels_said_once() {
        let one = |instance: &str, value| InstantSeries {
            labels: labels(&[("__name__", "up"), ("job", "node"), ("instance", instance)]),
            at: now(),
            value,
        };
        let series = vec![one("a", f64::NAN), one("b\"\nx", 1.0), one("c", 3.0)];
        let out =
            output(&asked("up", When::Now), &evaluation(Value::Instants(Answer { series, omitted: 0 })));
        let want = "up (at 10:31:05 UTC): 3 series, largest first; all with {__name__=\"up\", job=\"node\"}\n\
                    {instance=\"c\"}: 3\n{instance=\"b\\\" x\"}: 1\n{instance=\"a\"}: NaN\n";
        assert_eq!(out.text, want);
        assert!(
            matches!(out.blocks.as_slice(), [Block::Table { rows, .. }] if rows.len() == 3),
            "{:?}",
            out.blocks
        );
    }

    #[test]
    fn a_range_is_drawn_with_few_lines_and_the_rest_is_said() {
        let at = |n: i64| Timestamp::from_second(n * 15).unwrap();
        let one = |n: u32| RangeSeries {
            labels: labels(&[("__name__", "x_bytes"), ("n", &n.to_string())]),
            points: vec![(at(0), 1024.0), (at(1), f64::NAN), (at(2), f64::from(n) * 1024.0)],
        };
        let series = (0..60).map(one).collect();
        let when = When::Over { range: Duration::from_secs(3600), step: Duration::from_secs(30) };
        let mut found = evaluation(Value::Ranges(Answer { series, omitted: 5 }));
        found.of = Some(1_000_000);
        let out = output(&asked("x_bytes", when), &found);
        for part in [
            "1000000 series",
            "25 more series are not listed",
            "8 of 60 series are drawn",
            "{n=\"59\"}: 59.0 KiB, min 1.0 KiB, max 59.0 KiB",
        ] {
            assert!(out.text.contains(part), "{part}: {}", out.text);
        }
        let charts: Vec<_> = out
            .blocks
            .iter()
            .filter_map(|b| match b {
                Block::Chart(c) => Some(c),
                _ => None,
            })
            .collect();
        assert_eq!((charts[0].series.len(), charts[0].unit.as_str()), (DRAWN, "B"));
        assert_eq!(charts[0].series[0].points.len(), 2, "NaN is not drawn");
    }

    #[test]
    fn numbers_and_texts_stand_alone() {
        let out = output(&asked("42", When::Now), &evaluation(Value::Scalar(42.0)));
        assert_eq!(out.text, "42 (at 10:31:05 UTC): 42");
        let out = output(&asked("\"hi\"", When::Now), &evaluation(Value::Text(Untrusted::new("hi"))));
        assert!(out.text.ends_with(": hi"), "{}", out.text);
    }
}
