//! The tool `search_logs`: counts a pattern in all of a customer's logs and shows the newest matches.

mod render;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    logs::{Ask, Back, LogSources, meant},
    place::{customer_param, service_param},
};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{Args, Param, ParamKind, ResolvedCall, Risk, ToolCall, ToolError, ToolOutput, ToolSpec},
    logs::{Pattern, Want},
    policy::Permit,
};

const DEFAULT_LINES: i64 = 20;
const MOST_LINES: i64 = 200;
/// So many of the newest matches of each log go into the text that is kept for a search.
const KEPT: usize = 1_000;
/// How long the search of one log may take.
const WITHIN: Duration = Duration::from_secs(110);

/// `search_logs(customer_id, pattern, service?, since?, max_lines = 20)`.
#[derive(Debug)]
pub struct SearchLogs {
    spec: ToolSpec,
    sources: LogSources,
}

impl SearchLogs {
    /// The tool.
    pub fn new(sources: LogSources) -> Self {
        let param = |name, kind, required, help| Param { name, kind, required, help };
        let spec = ToolSpec {
            name: "search_logs",
            summary: "Find and count a text in all logs.",
            params: vec![
                customer_param(),
                param("pattern", ParamKind::Text, true, "regex or words"),
                service_param(),
                param("since", ParamKind::Duration, false, "e.g. 24h; default: all"),
                param("max_lines", ParamKind::Integer { min: 1, max: MOST_LINES }, false, "default 20"),
            ],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "search the logs for",
                "grep the logs",
                "find in the logs",
                "look for in the logs",
                "how often does it say",
                "count errors in the logs",
                "which log lines mention",
                "when did this message first appear",
            ],
            untrusted: true,
            timeout: Duration::from_secs(120),
        };
        Self { spec, sources }
    }
}

/// The arguments, understood.
#[derive(Debug)]
struct Wanted {
    text: String,
    pattern: Pattern,
    back: Option<Back>,
    lines: usize,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ToolError> {
        let text = args.text("pattern").ok_or_else(|| ToolError::BadArgs("say what to look for".into()))?;
        let pattern = Pattern::new(&text).map_err(|e| ToolError::BadArgs(format!("`pattern` {e}")))?;
        let lines = args.integer("max_lines").unwrap_or(DEFAULT_LINES).clamp(1, MOST_LINES) as usize;
        Ok(Self { text, pattern, back: Back::read(args)?, lines })
    }

    fn ask(&self, now: Timestamp) -> Ask {
        let want = Want { pattern: Some(self.pattern.clone()), keep: KEPT, context: true, messages: true };
        let since = self.back.as_ref().and_then(|b| b.since(now));
        Ask { want, since, lines: None, now, within: WITHIN }
    }
}

#[async_trait]
impl Tool for SearchLogs {
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
        (cx.progress)(format!("searching the logs of customer {}", meant.customer));
        let (parts, gaps) = self.sources.read(&meant, &wanted.ask(cx.now)).await;
        render::render(&meant.customer, &wanted, (parts, gaps), cx.now)
    }
}
