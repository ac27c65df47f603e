//! What `get_metrics` says: a table and charts for a person, compact lines with units for the model.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::measure::Line;
use crate::domain::{Block, Chart, CustomerId, Level, Outcome, ToolOutput, outbound::Series};

/// What was measured.
pub(super) struct Report<'a> {
    pub(super) customer: &'a CustomerId,
    pub(super) window: Duration,
    pub(super) now: Timestamp,
    /// By service, then by metric; never empty.
    pub(super) lines: Vec<Line>,
    pub(super) notes: Vec<String>,
}

pub(super) fn output(report: &Report<'_>) -> ToolOutput {
    let sources: BTreeSet<_> = report.lines.iter().map(|line| line.source).collect();
    let sources = sources.into_iter().collect::<Vec<_>>().join(" and ");
    let services = report.lines.iter().map(|line| &line.service).collect::<BTreeSet<_>>().len();
    let title = format!("Metrics of customer {}, last {} ({sources})", report.customer, span(report.window));
    let mut blocks: Vec<_> =
        report.notes.iter().map(|note| Block::notice(Level::Warning, note.clone())).collect();
    blocks.push(table(report, &title));
    blocks.extend(
        [("cpu", "CPU", "%"), ("memory", "Memory", "B")].into_iter().filter_map(|of| chart(report, of)),
    );
    ToolOutput {
        outcome: Outcome::Ok,
        summary: format!(
            "Read the metrics of {services} service{} of customer {} from {sources}.",
            if services == 1 { "" } else { "s" },
            report.customer
        ),
        text: text(report, &title),
        blocks,
    }
}

fn table(report: &Report<'_>, title: &str) -> Block {
    let row = |line: &Line| {
        let spread = line.spread().map(|values| values.map(|value| amount(value, line.unit)));
        let [min, max, avg] = spread.unwrap_or_else(|| std::array::from_fn(|_| "–".to_owned()));
        vec![line.service.to_string(), label(line.name).to_owned(), current(line, report.now), min, max, avg]
    };
    Block::Table {
        title: Some(title.to_owned()),
        columns: ["service", "metric", "now", "min", "max", "avg"].map(str::to_owned).to_vec(),
        rows: report.lines.iter().map(row).collect(),
    }
}

fn chart(report: &Report<'_>, (name, title, unit): (&str, &str, &str)) -> Option<Block> {
    let lines: Vec<_> =
        report.lines.iter().filter(|line| line.name == name && line.points.len() > 1).collect();
    let limit = lines.first()?.limit;
    let threshold = limit.filter(|_| lines.iter().all(|line| line.limit == limit));
    let series =
        lines.iter().map(|line| Series { name: line.service.to_string(), points: line.points.clone() });
    Some(Block::Chart(Chart {
        title: format!("{title} of customer {}", report.customer),
        unit: unit.to_owned(),
        series: series.collect(),
        threshold,
    }))
}

fn text(report: &Report<'_>, title: &str) -> String {
    let mut text = format!("{title}. CPU 100 % = one core.\n");
    for note in &report.notes {
        text.push_str(note);
        text.push('\n');
    }
    for line in &report.lines {
        // Writing to a String cannot fail.
        write!(text, "{} {}: now {}", line.service, label(line.name), current(line, report.now)).ok();
        if let Some([min, max, avg]) = line.spread().map(|values| values.map(|v| amount(v, line.unit))) {
            write!(text, ", min {min}, max {max}, avg {avg}").ok();
        }
        text.push('\n');
    }
    text
}

fn current(line: &Line, now: Timestamp) -> String {
    let Some(value) = line.now else {
        let last = line.points.last().map(|(at, _)| now.duration_since(*at));
        let ago = last.map(|ago| format!(" (last {} ago)", span(ago.unsigned_abs())));
        return format!("not reported{}", ago.unwrap_or_default());
    };
    let shown = amount(value, line.unit);
    match line.limit {
        Some(limit) if limit > 0.0 => {
            format!("{shown} of {} ({:.0} %)", amount(limit, line.unit), value / limit * 100.0)
        }
        _ => shown,
    }
}

fn label(name: &'static str) -> &'static str {
    match name {
        "network_rx" => "network in",
        "network_tx" => "network out",
        name => name,
    }
}

/// A value with its unit, three digits where they matter: `0.42 %`, `41.2 MiB`, `1.5 KiB/s`.
fn amount(value: f64, unit: &str) -> String {
    let Some(rest) = unit.strip_prefix('B') else { return format!("{} {unit}", digits(value)) };
    let mut value = value;
    for prefix in ["B", "KiB", "MiB", "GiB"] {
        if value.abs() < 1023.5 {
            return format!("{} {prefix}{rest}", digits(value));
        }
        value /= 1024.0;
    }
    format!("{} TiB{rest}", digits(value))
}

fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 0.01 => "<0.01".into(),
        size if size < 0.995 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn span(window: Duration) -> String {
    let seconds = SignedDuration::from_secs(i64::try_from(window.as_secs()).unwrap_or(i64::MAX));
    format!("{seconds:#}").replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn line(service: &str, name: &'static str, unit: &'static str, values: &[f64]) -> Line {
        let points: Vec<_> = (0..).map(|n| at(n * 15)).zip(values.iter().copied()).collect();
        let now = values.last().copied();
        Line { service: service.into(), name, unit, now, limit: None, points, source: "prometheus" }
    }

    #[test]
    fn amounts_carry_units_people_read() {
        let table = [
            (0.0, "%", "0 %"),
            (0.004, "%", "<0.01 %"),
            (0.421, "%", "0.42 %"),
            (12.34, "%", "12.3 %"),
            (183.7, "%", "184 %"),
            (512.0, "B", "512 B"),
            (43_200_000.0, "B", "41.2 MiB"),
            (1_048_575.0, "B", "1.0 MiB"),
            (1536.0, "B/s", "1.5 KiB/s"),
            (5e15, "B", "4547 TiB"),
        ];
        for (value, unit, want) in table {
            assert_eq!(amount(value, unit), want);
        }
        assert_eq!(span(Duration::from_secs(5400)), "1h30m");
    }

    #[test]
    fn a_report_is_a_table_charts_and_compact_text() {
        let customer = CustomerId::from("19");
        let mut memory = line("web", "memory", "B", &[1048576.0, 3145728.0]);
        memory.limit = Some(4194304.0);
        let mut gone = line("db", "cpu", "%", &[2.0, 1.0]);
        gone.now = None;
        let docker = Line { points: vec![], source: "docker stats", ..line("redis", "cpu", "%", &[0.5]) };
        let report = Report {
            customer: &customer,
            window: Duration::from_secs(900),
            now: at(315),
            lines: vec![gone, docker, memory],
            notes: vec!["disk is missing: x".into()],
        };
        let out = output(&report);
        let want = "Metrics of customer 19, last 15m (docker stats and prometheus). CPU 100 % = one core.\n\
                    disk is missing: x\n\
                    db cpu: now not reported (last 5m ago), min 1.0 %, max 2.0 %, avg 1.5 %\n\
                    redis cpu: now 0.50 %\n\
                    web memory: now 3.0 MiB of 4.0 MiB (75 %), min 1.0 MiB, max 3.0 MiB, avg 2.0 MiB\n";
        assert_eq!(out.text, want);
        let [
            Block::Notice { .. },
            Block::Table { rows, columns, .. },
            Block::Chart(cpu),
            Block::Chart(memory),
        ] = out.blocks.as_slice()
        else {
            panic!("{:?}", out.blocks)
        };
        assert!(rows.iter().all(|row| row.len() == columns.len()));
        assert_eq!(rows[1], ["redis", "cpu", "0.50 %", "–", "–", "–"]);
        assert_eq!((cpu.series.len(), cpu.threshold), (1, None), "one point is no line");
        assert_eq!((memory.unit.as_str(), memory.threshold), ("B", Some(4194304.0)));
        assert_eq!(
            out.summary,
            "Read the metrics of 3 services of customer 19 from docker stats and prometheus."
        );
    }
}
