//! The tool `get_recent_logs`: the end of a customer's logs, shared fairly between containers and other sources.

pub(super) mod show;
mod sources;

use std::{str::FromStr, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

pub use sources::LogSources;
pub(super) use sources::{Ask, Meant, Part};

use super::{
    place::{customer_of, customer_param, service_param},
    units,
};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{
        Args, Block, Level, Outcome, Param, ParamKind, ResolvedCall, Risk, ToolCall, ToolError, ToolOutput,
        ToolSpec,
    },
    logs::{Pattern, Want},
    policy::Permit,
};

const DEFAULT_LINES: i64 = 50;
const MOST_LINES: i64 = 500;
/// A filter looks back over so many lines at most.
const LOOK_BACK: u32 = 10_000;
/// The reading of files and journals ends after so long.
const WITHIN: Duration = Duration::from_secs(10);

/// `get_recent_logs(customer_id, service?, lines = 50, since?, filter?)`.
#[derive(Debug)]
pub struct GetRecentLogs {
    spec: ToolSpec,
    sources: LogSources,
}

impl GetRecentLogs {
    /// The tool.
    pub fn new(sources: LogSources) -> Self {
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
                "what has it been saying",
                "what does it say",
            ],
            untrusted: true,
            timeout: Duration::from_secs(30),
        };
        Self { spec, sources }
    }
}

/// The arguments, understood.
#[derive(Debug)]
struct Wanted {
    lines: usize,
    back: Option<Back>,
    filter: Option<Pattern>,
}

/// How far back a question goes.
#[derive(Debug, PartialEq)]
pub(super) enum Back {
    Span(Duration),
    From(Timestamp),
}

impl Back {
    /// The argument `since`: a span, or a time.
    pub(super) fn read(args: &Args) -> Result<Option<Self>, ToolError> {
        let Some(text) = args.text("since") else { return Ok(None) };
        let at = Timestamp::from_str(&text).map(Self::From);
        let read = at.or_else(|_| units::read_span(&text).map(Self::Span));
        read.map(Some).map_err(ToolError::BadArgs)
    }

    pub(super) fn since(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Span(d) => now.checked_sub(*d).ok(),
            Self::From(t) => Some(*t),
        }
    }
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ToolError> {
        let lines = args.integer("lines").unwrap_or(DEFAULT_LINES).clamp(1, MOST_LINES) as usize;
        let filter = args.text("filter").map(|text| Pattern::new(&text)).transpose();
        let filter = filter.map_err(|e| ToolError::BadArgs(format!("`filter` {e}")))?;
        Ok(Self { lines, back: Back::read(args)?, filter })
    }

    fn ask(&self, now: Timestamp) -> Ask {
        let lines = if self.filter.is_some() { LOOK_BACK } else { self.lines as u32 };
        let want = Want { pattern: self.filter.clone(), keep: self.lines, ..Want::default() };
        let since = self.back.as_ref().and_then(|b| b.since(now));
        Ask { want, since, lines: Some(lines), now, within: WITHIN }
    }
}

/// The logs that a resolved call is about.
pub(super) fn meant(call: &ResolvedCall) -> Result<Meant, ToolError> {
    Ok(Meant {
        customer: customer_of(call)?,
        service: call.target.service.clone(),
        containers: call.target.containers.clone(),
    })
}

#[async_trait]
impl Tool for GetRecentLogs {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Wanted::read(&call.args)?;
        self.sources.resolve(call).await
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let wanted = Wanted::read(&resolved.call.args)?;
        let meant = meant(resolved)?;
        let (parts, gaps) = self.sources.read(&meant, &wanted.ask(cx.now)).await;
        render(&format!("customer {}", meant.customer), &wanted, (parts, gaps), cx.now)
    }
}

fn render(
    whose: &str,
    wanted: &Wanted,
    (parts, hosts): (Vec<Part>, Vec<String>),
    now: Timestamp,
) -> Result<ToolOutput, ToolError> {
    if let Some(Some(e)) = parts.first().map(|p| p.failed.clone())
        && parts.iter().all(|p| p.failed.is_some())
    {
        return Err(e);
    }
    let have: Vec<_> = parts.iter().map(|p| p.tally.kept().len()).collect();
    let shown = have.iter().sum::<usize>().min(wanted.lines);
    if shown == 0 && hosts.is_empty() && parts.iter().all(|p| p.gaps.is_empty()) {
        let seen: u64 = parts.iter().map(|p| p.tally.seen()).sum();
        let what = if wanted.filter.is_some() { "no line matches the filter" } else { "no log lines" };
        let of = if wanted.filter.is_some() { format!(" among the last {seen}") } else { String::new() };
        let since = if wanted.back.is_some() { " in that time" } else { "" };
        return Err(ToolError::NothingFound(format!("{what} of {whose}{since}{of}")));
    }
    let summary =
        format!("{} of {whose}", if shown == 1 { "1 log line".into() } else { format!("{shown} log lines") });
    let mut text = Vec::new();
    let mut blocks = Vec::new();
    for (part, take) in parts.into_iter().zip(share(wanted.lines, &have)) {
        let kept = part.tally.kept();
        let skip = kept.len().saturating_sub(take);
        let omitted = part.tally.omitted() + skip as u64;
        let lines: Vec<_> = kept.iter().skip(skip).map(|l| show::line(l, now)).collect();
        for gap in part.gaps {
            text.push(format!("== {}: {gap}", part.label));
            blocks.push(Block::notice(Level::Warning, gap));
        }
        if part.failed.is_none() && !(lines.is_empty() && part.tally.seen() == 0) {
            let more =
                if omitted > 0 { format!(", {omitted} earlier ones not shown") } else { String::new() };
            text.push(format!("== {}: last {} lines{more}", part.label, lines.len()));
            text.extend(lines.iter().cloned());
            blocks.push(Block::Log { source: part.name, lines, omitted });
        }
    }
    for gap in hosts {
        text.push(format!("== not looked at: {gap}"));
        blocks.push(Block::notice(Level::Warning, gap));
    }
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: text.join("\n"), blocks })
}

use show::share;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::logs::{Passing, Tally};

    fn part(service: &str, n: i64) -> Part {
        let mut tally = Tally::new(Want { keep: 100, ..Want::default() });
        for i in 0..n {
            let text = format!("line {i}");
            tally.line(Passing::whole(text.as_bytes()), || Timestamp::from_second(1_795_257_000 + i).ok());
        }
        Part {
            service: service.into(),
            label: service.into(),
            name: format!("c19-{service}"),
            tally,
            gaps: vec![],
            failed: None,
        }
    }

    fn gone(service: &str) -> Part {
        let error = ToolError::NothingFound(format!("container c19-{service} is gone"));
        let gaps = vec![format!("the log of c19-{service} was not read: {error}")];
        Part { gaps, failed: Some(error), ..part(service, 0) }
    }

    fn wanted(args: serde_json::Value) -> Result<Wanted, ToolError> {
        Wanted::read(&Args(args.as_object().unwrap().clone()))
    }

    #[test]
    fn arguments_are_understood_or_refused_before_anything_is_read() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let q = wanted(json!({"customer_id": "19"})).unwrap().ask(now);
        assert_eq!((q.lines, q.want.keep, q.since, q.want.pattern.is_some()), (Some(50), 50, None, false));
        let q = wanted(json!({"lines": 20, "since": "1h", "filter": "Error"})).unwrap().ask(now);
        assert_eq!((q.lines, q.want.keep), (Some(LOOK_BACK), 20));
        assert_eq!(q.since, "2026-11-21T09:00:00Z".parse().ok());
        assert!(q.want.pattern.unwrap().find(b"some ERROR").is_some());
        let q = wanted(json!({"filter": "connect() failed ("})).unwrap();
        assert!(q.filter.unwrap().find(b"x Connect() FAILED (111").is_some(), "no regex: plain words");
        let q = wanted(json!({"since": "2026-11-21T09:30:00Z"})).unwrap();
        assert_eq!(q.back, "2026-11-21T09:30:00Z".parse().ok().map(Back::From));
        assert!(wanted(json!({"since": "yesterday"})).is_err());
    }

    #[test]
    fn sources_share_the_lines_and_failures_are_told_apart() {
        let now: Timestamp = "2026-11-21T10:30:00Z".parse().unwrap();
        let w = wanted(json!({"lines": 4})).unwrap();
        let parts = vec![part("db", 1), gone("redis"), part("web", 9)];
        let out = render("customer 19", &w, (parts, vec!["Docker host b is down".into()]), now).unwrap();
        assert_eq!(out.summary, "4 log lines of customer 19");
        assert!(out.text.contains("== web: last 3 lines, 6 earlier ones not shown"), "{}", out.text);
        assert!(out.text.contains("== redis: the log of c19-redis was not read"), "{}", out.text);
        assert!(out.text.ends_with("== not looked at: Docker host b is down"), "{}", out.text);
        let nothing = render("customer 19", &w, (vec![part("db", 0)], vec![]), now);
        assert!(matches!(nothing, Err(ToolError::NothingFound(_))));
        let all_gone = render("customer 19", &w, (vec![gone("db")], vec![]), now);
        assert!(matches!(all_gone, Err(ToolError::NothingFound(_))));
    }
}
