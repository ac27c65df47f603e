//! From what reads brought to findings: each statement with its source and a quote.

use std::{cmp::Reverse, time::Duration};

use jiff::Timestamp;

use crate::{
    alerts::tell,
    domain::{Block, Finding, ServiceName, Severity, ToolCall, ToolError, ToolOutput},
};

/// So many findings are kept.
const MOST: usize = 8;
/// So many rows of a table are quoted.
const ROWS: usize = 3;

/// The findings of an investigation, worst first. `wanted` reads were to be made; `late` says that the time ran out.
pub(super) fn of(
    results: &[(ToolCall, Result<ToolOutput, ToolError>)],
    wanted: usize,
    late: Option<Duration>,
    now: Timestamp,
    service: Option<&ServiceName>,
) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for (call, result) in results {
        let found = match result {
            Ok(output) => read(call, output, now, service),
            // That there is nothing to see of that kind is no trouble.
            Err(ToolError::NothingFound(text)) => {
                vec![plain(Severity::Info, tell::line(text), call, now, None)]
            }
            Err(error) => {
                let text = format!("could not look: {}", tell::line(&error.to_string()));
                vec![plain(Severity::Warning, text, call, now, None)]
            }
        };
        for finding in found {
            let known = |f: &Finding| f.summary == finding.summary && f.quote == finding.quote;
            if !all.iter().any(known) {
                all.push(finding);
            }
        }
    }
    if let (Some(limit), true) = (late, results.len() < wanted) {
        let summary =
            format!("{} of {wanted} looks did not end within {} s", wanted - results.len(), limit.as_secs());
        all.push(Finding {
            severity: Severity::Warning,
            summary,
            source: "opsbot".into(),
            at: Some(now),
            quote: None,
        });
    }
    // Stable: of equal ones the list's order tells.
    all.sort_by_key(|f| Reverse(f.severity));
    all.truncate(MOST);
    all
}

/// A finding in one line.
pub(super) fn line(finding: &Finding) -> String {
    let quote = finding.quote.as_ref().map(|q| format!(": \"{}\"", tell::line(q))).unwrap_or_default();
    format!("[{}] {} ({}){quote}", finding.severity, finding.summary, finding.source)
}

fn plain(
    severity: Severity,
    summary: String,
    call: &ToolCall,
    now: Timestamp,
    quote: Option<String>,
) -> Finding {
    Finding { severity, summary, source: call.tool.clone(), at: Some(now), quote }
}

fn read(call: &ToolCall, output: &ToolOutput, now: Timestamp, service: Option<&ServiceName>) -> Vec<Finding> {
    let mut found = Vec::new();
    for block in &output.blocks {
        match block {
            Block::Findings { items, .. } => found.extend(items.iter().cloned()),
            Block::Log { source, lines, .. } => {
                let last = lines.iter().rev().find(|l| !l.trim().is_empty());
                found.extend(last.map(|last| Finding {
                    severity: Severity::Info,
                    summary: format!("the last line of the log of {source}"),
                    source: format!("logs {source}"),
                    at: None,
                    quote: Some(tell::line(last)),
                }));
            }
            Block::Table { columns, rows, .. } if !output_has_findings(output) => {
                let quote = rows_of(columns, rows, service);
                found
                    .extend(quote.map(|q| plain(Severity::Info, output.summary.clone(), call, now, Some(q))));
            }
            _ => {}
        }
    }
    if found.is_empty() {
        found.push(plain(Severity::Info, output.summary.clone(), call, now, None));
    }
    found
}

/// A table beside findings says in figures what these say in words.
fn output_has_findings(output: &ToolOutput) -> bool {
    output.blocks.iter().any(|b| matches!(b, Block::Findings { .. }))
}

/// The rows about the service, else the first ones, as one quote.
fn rows_of(columns: &[String], rows: &[Vec<String>], service: Option<&ServiceName>) -> Option<String> {
    let about = |row: &&Vec<String>| service.is_some_and(|s| row.iter().any(|cell| cell == s.as_str()));
    let mut picked: Vec<_> = rows.iter().filter(about).take(ROWS).collect();
    if picked.is_empty() {
        picked = rows.iter().take(ROWS).collect();
    }
    let row = |row: &Vec<String>| {
        let cells = columns.iter().zip(row).filter(|(_, cell)| !cell.trim().is_empty() && *cell != "–");
        cells.map(|(name, cell)| format!("{name} {cell}")).collect::<Vec<_>>().join(", ")
    };
    let quote = picked.into_iter().map(row).collect::<Vec<_>>().join("; ");
    (!quote.is_empty()).then(|| tell::line(&quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Args, Outcome};

    fn output(blocks: Vec<Block>) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput { outcome: Outcome::Ok, summary: "Looked.".into(), text: String::new(), blocks })
    }

    fn called(tool: &str) -> ToolCall {
        ToolCall { tool: tool.into(), args: Args::default() }
    }

    #[test]
    fn every_statement_has_a_source_and_the_worst_comes_first() {
        let now = "2026-12-01T02:10:00Z".parse().unwrap();
        let critical = Finding {
            severity: Severity::Critical,
            summary: "web is down".into(),
            source: "docker inspect web".into(),
            at: None,
            quote: Some("exit code 1".into()),
        };
        let rows = vec![vec!["db".into(), "running".into()], vec!["web".into(), "exited".into()]];
        let table = Block::Table { title: None, columns: vec!["service".into(), "state".into()], rows };
        let log = Block::Log {
            source: "c19-web".into(),
            lines: vec!["a".into(), "panic".into(), " ".into()],
            omitted: 0,
        };
        let results = vec![
            (called("get_container_status"), output(vec![table])),
            (called("get_recent_logs"), output(vec![log])),
            (
                called("check_up"),
                output(vec![Block::Findings {
                    title: String::new(),
                    items: vec![critical.clone(), critical],
                }]),
            ),
            (called("get_metrics"), Err(ToolError::NothingFound("no metrics".into()))),
            (called("search_logs"), Err(ToolError::Failed("broken\npipe".into()))),
        ];
        let web = ServiceName::from("web");
        let found = of(&results, 6, Some(Duration::from_secs(60)), now, Some(&web));
        let lines: Vec<_> = found.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "[critical] web is down (docker inspect web): \"exit code 1\"",
                "[warning] could not look: broken pipe (search_logs)",
                "[warning] 1 of 6 looks did not end within 60 s (opsbot)",
                "[info] Looked. (get_container_status): \"service web, state exited\"",
                "[info] the last line of the log of c19-web (logs c19-web): \"panic\"",
                "[info] no metrics (get_metrics)",
            ]
        );
        assert!(of(&[], 0, None, now, None).is_empty());
    }
}
