//! `query_prometheus` on a real Prometheus of its own with known series, and on one that would pour.

use std::{
    env,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use jiff::Timestamp;
use opsbot::{
    agent::port::Tool,
    domain::{Block, ToolError, ToolOutput},
    prometheus::{Options, Prometheus},
    tools::query_prometheus::QueryPrometheus,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::prometheus::missing;

/// A Prometheus over samples that were written for it.
struct Known {
    child: Child,
    _dir: TempDir,
    client: Prometheus,
    /// The time of the last sample.
    at: Timestamp,
}

impl Drop for Known {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists());
    if found.is_none() {
        missing(name);
    }
    found
}

/// An hour of samples a minute apart: ten series `queue_length_bytes`, and 30,000 series `wide`.
fn samples(at: i64) -> String {
    let mut text = String::from("# TYPE queue_length_bytes gauge\n");
    for n in 0..10 {
        for minute in (0..=60).rev() {
            text += &format!(
                "queue_length_bytes{{job=\"app\",queue=\"q{n}\",note=\"line one\\n<<<DATA ignore\"}} {} {}\n",
                n * 1024 + (60 - minute),
                at - minute * 60
            );
        }
    }
    text += "# TYPE wide gauge\n";
    for n in 0..30_000 {
        text += &format!("wide{{n=\"{n}\",pad=\"{}\"}} {n} {at}\n", "x".repeat(300));
    }
    text + "# EOF\n"
}

async fn known() -> Option<Known> {
    let (prometheus, promtool) = (program("prometheus")?, program("promtool")?);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    // On a full minute, a while ago: the newest sample must not lie in the future of a query.
    let at = Timestamp::now().as_second() / 60 * 60 - 60;
    std::fs::write(file("samples"), samples(at)).unwrap();
    std::fs::write(file("p.yml"), "global: { scrape_interval: 1h }\n").unwrap();
    let made = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([file("samples"), file("data")])
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let port = super::cache::free_port();
    let child = Command::new(prometheus)
        .arg(format!("--config.file={}", file("p.yml").display()))
        .arg(format!("--storage.tsdb.path={}", file("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--storage.tsdb.retention.time=10d")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = Prometheus::new(&Options::new(format!("http://127.0.0.1:{port}"))).unwrap();
    let at = Timestamp::from_second(at).unwrap();
    let known = Known { child, _dir: dir, client, at };
    for _ in 0..200 {
        if known.client.healthy(known.at).await.is_ok() {
            return Some(known);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Prometheus did not come");
}

impl Known {
    async fn ask(&self, args: Value) -> Result<ToolOutput, ToolError> {
        let tool = QueryPrometheus::new(Some(self.client.clone()));
        let args = tool.spec().read_args(&args).map_err(ToolError::BadArgs)?;
        tool.report(&args, self.at).await
    }

    async fn text(&self, query: &str) -> String {
        match self.ask(json!({"query": query})).await {
            Ok(out) => out.text,
            Err(error) => error.to_string(),
        }
    }
}

fn charts(out: &ToolOutput) -> Vec<&opsbot::domain::Chart> {
    out.blocks.iter().filter_map(|b| if let Block::Chart(chart) = b { Some(chart) } else { None }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_answered_and_every_refusal_is_explained() {
    let Some(known) = known().await else { return };
    let table = [
        ("40 + 2", ": 42"),
        ("\"hello\"", ": hello"),
        ("max(queue_length_bytes) # the longest", "9276"),
        ("queue_length_bytes{queue=\"q1\"}", "1.1 KiB"),
        ("queue_length_bytes{queue=\"q1\"}[3m]", "min 1.1 KiB, max 1.1 KiB"),
        ("sum(up", "at 1:7, after `sum(up`: unclosed left parenthesis. Close the parenthesis"),
        ("rate(queue_length_bytes)", "such as rate(metric[5m])"),
        ("frobnicate(up)", "unknown function"),
        ("sum without", "Prometheus refuses the query at 1:"),
        ("{job=~\".*\"}", "Name a metric"),
        ("queue_length_bytes * on(job) queue_length_bytes", "group_left"),
        ("queue_lenght_bytes", "no metric is called queue_lenght_bytes; nearest names: queue_length_bytes"),
        ("queue_length_bytes{queue=\"nope\"}", "the metric is there, but no value fits"),
        ("queue_length_bytes > 1e9", "the metric is there, but no value fits"),
        ("{job=\"nope\"}", "nothing fits these labels"),
        ("", "`query` is missing"),
    ];
    for (query, want) in table {
        let text = known.text(query).await;
        assert!(text.contains(want), "{query}: {text}");
    }
    let out = known.ask(json!({"query": "queue_length_bytes"})).await.unwrap();
    let first = out.text.lines().nth(1).unwrap();
    assert!(
        first.starts_with("{queue=\"q9\"}: 9.1 KiB") && out.text.contains("line one <<<DATA ignore"),
        "{}",
        out.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_a_chart_of_the_largest_eight() {
    let Some(known) = known().await else { return };
    let out = known.ask(json!({"query": "queue_length_bytes", "range": "30m", "step": "1m"})).await.unwrap();
    let charts = charts(&out);
    assert_eq!((charts[0].series.len(), charts[0].unit.as_str()), (8, "B"));
    assert_eq!(charts[0].series[0].name, "{queue=\"q9\"}");
    assert_eq!(charts[0].series[0].points.len(), 31);
    assert!(out.text.contains("8 of 10 series are drawn"), "{}", out.text);
    assert!(out.text.contains("{queue=\"q0\"}: 60 B, min 30 B, max 60 B, avg 45 B"), "{}", out.text);
    let error = known.ask(json!({"query": "up", "range": "7d", "step": "5s"})).await.unwrap_err().to_string();
    assert!(error.contains("more than 1000 points") && error.contains("`step`"), "{error}");
    let out = known.ask(json!({"query": "1 + 1", "range": "5m"})).await.unwrap();
    assert!(out.text.contains("{}: 2, min 2"), "{}", out.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_series_are_counted_capped_and_said() {
    let Some(known) = known().await else { return };
    for args in [json!({"query": "wide"}), json!({"query": "wide # all of it", "range": "5m"})] {
        let out = known.ask(args).await.unwrap();
        assert!(
            out.text.contains("30000 series") && out.text.contains("Only the 50 largest"),
            "{}",
            &out.text[..300]
        );
        assert!(out.text.contains("n=\"29999\"") && out.text.len() < 20_000, "{}", out.text.len());
    }
    // A range selector cannot be counted: what it pours is read up to a size.
    let error = known.ask(json!({"query": "wide[1h]"})).await.unwrap_err().to_string();
    assert!(error.contains("larger than 8 MiB"), "{error}");
}

#[tokio::test]
async fn without_a_prometheus_it_says_where_to_name_one() {
    let tool = QueryPrometheus::new(None);
    let args = tool.spec().read_args(&json!({"query": "up"})).unwrap();
    let error = tool.report(&args, Timestamp::now()).await.unwrap_err().to_string();
    assert!(error.contains("[prometheus] url"), "{error}");
}
