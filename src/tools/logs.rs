//! The tool `get_recent_logs`: the end of a customer's logs, read as a stream and shared fairly between containers.

use std::{str::FromStr, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use regex::{Regex, RegexBuilder};

use super::{
    place::{Place, customer_of, customer_param, service_param},
    units,
};
use crate::{
    agent::port::{RunContext, Tool},
    docker::{DockerError, LogLine, LogQuery, LogRead},
    domain::{
        Args, Block, ContainerRef, Level, Outcome, Param, ParamKind, ResolvedCall, Risk, ToolCall, ToolError,
        ToolOutput, ToolSpec,
    },
    inventory::InventorySource,
    policy::Permit,
};

const DEFAULT_LINES: i64 = 50;
const MOST_LINES: i64 = 500;
/// A filter looks back over so many lines at most.
const LOOK_BACK: u32 = 10_000;

/// `get_recent_logs(customer_id, service?, lines = 50, since?, filter?)`.
#[derive(Debug)]
pub struct GetRecentLogs {
    spec: ToolSpec,
    source: InventorySource,
}

impl GetRecentLogs {
    /// The tool.
    pub fn new(source: InventorySource) -> Self {
        let param = |name, kind, help| Param { name, kind, required: false, help };
        let spec = ToolSpec {
            name: "get_recent_logs",
            summary: "Last log lines.",
            params: vec![
                customer_param(),
                service_param(),
                param("lines", ParamKind::Integer { min: 1, max: MOST_LINES }, "default 50"),
                param("since", ParamKind::Duration, "e.g. 15m"),
                param("filter", ParamKind::Text, "regex"),
            ],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "show logs",
                "log output",
                "last log lines",
                "tail the logs",
                "what does it log",
                "errors in the logs",
                "latest log entries",
                "log messages",
                "recent logs",
                "log file",
            ],
            untrusted: true,
            timeout: Duration::from_secs(30),
        };
        Self { spec, source }
    }
}

/// The arguments, understood.
#[derive(Debug)]
struct Wanted {
    lines: usize,
    back: Option<Back>,
    filter: Option<Regex>,
}

#[derive(Debug, PartialEq)]
enum Back {
    Span(Duration),
    From(Timestamp),
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ToolError> {
        let lines = args.integer("lines").unwrap_or(DEFAULT_LINES).clamp(1, MOST_LINES) as usize;
        let back = args.text("since").map(|text| {
            let at = Timestamp::from_str(&text).map(Back::From);
            at.or_else(|_| units::read_span(&text).map(Back::Span)).map_err(ToolError::BadArgs)
        });
        let filter = args.text("filter").map(|text| pattern(&text)).transpose()?;
        Ok(Self { lines, back: back.transpose()?, filter })
    }

    fn query(&self, now: Timestamp) -> LogQuery {
        let since = match &self.back {
            Some(Back::Span(d)) => now.checked_sub(*d).ok(),
            Some(Back::From(t)) => Some(*t),
            None => None,
        };
        let tail = if self.filter.is_some() { LOOK_BACK } else { self.lines as u32 };
        LogQuery { since, filter: self.filter.clone(), keep: self.lines, ..LogQuery::tail(tail) }
    }
}

/// What is no regular expression is searched for as it is.
fn pattern(text: &str) -> Result<Regex, ToolError> {
    let build = |text: &str| RegexBuilder::new(text).case_insensitive(true).size_limit(1 << 20).build();
    build(text)
        .or_else(|_| build(&regex::escape(text)))
        .map_err(|_| ToolError::BadArgs("`filter` is too large; give a few words".into()))
}

#[async_trait]
impl Tool for GetRecentLogs {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Wanted::read(&call.args)?;
        Place::find(&self.source, call).await?.inhabited(call)
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let wanted = Wanted::read(&resolved.call.args)?;
        let query = wanted.query(cx.now);
        let hosts = self.source.hosts();
        let look = |r: ContainerRef| async {
            let read = hosts.logs(&r, &query).await;
            (r, read)
        };
        let containers = resolved.target.containers.clone();
        let reads: Vec<_> = stream::iter(containers).map(look).buffered(6).collect().await;
        let whose = format!("customer {}", customer_of(resolved)?);
        render(&whose, &wanted, reads, cx.now)
    }
}

/// Shares `budget` between those who have so many lines: nobody gets more than it has, what one leaves others take.
fn share(budget: usize, have: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..have.len()).collect();
    order.sort_by_key(|i| have.get(*i).copied());
    let mut left = budget;
    let mut parts = vec![0; have.len()];
    for (n, i) in order.iter().enumerate() {
        let fair = left / (have.len() - n);
        // The remainder goes to those who come last, who have the most.
        if let (Some(part), Some(has)) = (parts.get_mut(*i), have.get(*i)) {
            *part = fair.min(*has);
            left -= *part;
        }
    }
    parts
}

type Read = (ContainerRef, Result<LogRead, DockerError>);

fn render(whose: &str, wanted: &Wanted, reads: Vec<Read>, now: Timestamp) -> Result<ToolOutput, ToolError> {
    if let Some((_, Err(e))) = reads.first()
        && reads.iter().all(|(_, r)| r.is_err())
    {
        return Err(e.clone().into());
    }
    let have: Vec<_> = reads.iter().map(|(_, r)| r.as_ref().map_or(0, |r| r.lines.len())).collect();
    let shown: usize = have.iter().sum::<usize>().min(wanted.lines);
    if shown == 0 && reads.iter().all(|(_, r)| r.is_ok()) {
        let seen: u64 = reads.iter().filter_map(|(_, r)| r.as_ref().ok()).map(|r| r.seen).sum();
        let what = if wanted.filter.is_some() { "no line matches the filter" } else { "no log lines" };
        let of = if wanted.filter.is_some() { format!(" among the last {seen}") } else { String::new() };
        let since = if wanted.back.is_some() { " in that time" } else { "" };
        return Err(ToolError::NothingFound(format!("{what} of {whose}{since}{of}")));
    }
    let summary = match shown {
        1 => format!("1 log line of {whose}"),
        n => format!("{n} log lines of {whose}"),
    };
    let mut text = Vec::new();
    let mut blocks = Vec::new();
    for ((r, read), part) in reads.into_iter().zip(share(wanted.lines, &have)) {
        let read = match read {
            Ok(read) => read,
            Err(e) => {
                text.push(format!("== {}: not read: {e}", r.service));
                blocks
                    .push(Block::notice(Level::Warning, format!("the log of {} was not read: {e}", r.name)));
                continue;
            }
        };
        let skip = read.lines.len().saturating_sub(part);
        let omitted = read.omitted() + skip as u64;
        let lines: Vec<_> = read.lines.iter().skip(skip).map(|l| show(l, now)).collect();
        let more = if omitted > 0 { format!(", {omitted} earlier ones not shown") } else { String::new() };
        text.push(format!("== {}: last {} lines{more}", r.service, lines.len()));
        text.extend(lines.iter().cloned());
        if let Some(why) = &read.broke {
            text.push(format!("(incomplete: {why})"));
            let said = format!("the log of {} is incomplete: {why}", r.name);
            blocks.push(Block::notice(Level::Warning, said));
        }
        blocks.push(Block::Log { source: r.name, lines, omitted });
    }
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: text.join("\n"), blocks })
}

/// A line with its time (the date only when it is not today's) and what was cut off.
pub(super) fn show(line: &LogLine, now: Timestamp) -> String {
    let at =
        line.at.map(|t| format!("{} ", units::clock(t, now).trim_end_matches(" UTC"))).unwrap_or_default();
    let cut =
        line.cut_from.map(|n| format!("… [cut, {} in all]", units::bytes(n as f64))).unwrap_or_default();
    format!("{at}{}{cut}", line.text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Untrusted;

    fn read_of(n: usize) -> LogRead {
        let line = |i: usize| LogLine {
            at: Timestamp::from_second(1_795_257_000 + i as i64).ok(),
            stderr: false,
            text: Untrusted::new(&format!("line {i}")),
            cut_from: None,
        };
        LogRead { lines: (0..n).map(line).collect(), seen: n as u64, matched: n as u64, broke: None }
    }

    fn container(service: &str) -> ContainerRef {
        ContainerRef {
            host: "local".into(),
            id: "a".repeat(64),
            name: format!("c19-{service}"),
            service: service.into(),
        }
    }

    fn wanted(args: serde_json::Value) -> Result<Wanted, ToolError> {
        Wanted::read(&Args(args.as_object().unwrap().clone()))
    }

    #[test]
    fn lines_are_shared_fairly() {
        let table: &[(usize, &[usize], &[usize])] = &[
            (50, &[100, 100], &[25, 25]),
            (50, &[3, 100, 100], &[3, 23, 24]),
            (50, &[0, 7], &[0, 7]),
            (2, &[9, 9, 9], &[0, 1, 1]),
            (10, &[], &[]),
        ];
        for (budget, have, want) in table {
            assert_eq!(share(*budget, have), *want, "{budget} {have:?}");
        }
    }

    #[test]
    fn arguments_are_understood_or_refused_before_anything_is_read() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let q = wanted(json!({"customer_id": "19"})).unwrap().query(now);
        assert_eq!((q.tail, q.keep, q.since, q.filter.is_some()), (50, 50, None, false));
        let q = wanted(json!({"lines": 20, "since": "1h", "filter": "Error"})).unwrap().query(now);
        assert_eq!((q.tail, q.keep), (LOOK_BACK, 20));
        assert_eq!(q.since, "2026-11-21T09:00:00Z".parse().ok());
        assert!(q.filter.unwrap().is_match("some ERROR"));
        let q = wanted(json!({"filter": "connect() failed ("})).unwrap();
        assert!(q.filter.unwrap().is_match("x Connect() FAILED (111"), "no regex: plain words");
        let q = wanted(json!({"since": "2026-11-21T09:30:00Z"})).unwrap();
        assert_eq!(q.back, "2026-11-21T09:30:00Z".parse().ok().map(Back::From));
        assert!(wanted(json!({"since": "yesterday"})).is_err());
    }

    #[test]
    fn containers_share_the_lines_and_failures_are_told_apart() {
        let now: Timestamp = "2026-11-21T10:30:00Z".parse().unwrap();
        let w = wanted(json!({"lines": 4})).unwrap();
        let gone = DockerError::Gone { host: "local".into(), container: "c19-redis".into() };
        let reads = vec![
            (container("db"), Ok(read_of(1))),
            (container("redis"), Err(gone.clone())),
            (container("web"), Ok(read_of(9))),
        ];
        let out = render("customer 19", &w, reads, now).unwrap();
        assert_eq!(out.summary, "4 log lines of customer 19");
        assert!(out.text.contains("== web: last 3 lines, 6 earlier ones not shown"), "{}", out.text);
        assert!(out.text.contains("== redis: not read"), "{}", out.text);
        let nothing = render("customer 19", &w, vec![(container("db"), Ok(read_of(0)))], now);
        assert!(matches!(nothing, Err(ToolError::NothingFound(_))));
        let all_gone = render("customer 19", &w, vec![(container("db"), Err(gone))], now);
        assert!(matches!(all_gone, Err(ToolError::NothingFound(_))));
    }
}
