//! The tools that look at the desk: `get_incident`, `alert_history` and `who_is_on_call`.

use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;

use super::desk::{DeskTools, incident_of, incident_param};
use crate::{
    agent::port::{RunContext, Tool},
    alerts::{oncall, tell},
    domain::{
        Args, Block, Incident, Outcome, Param, ParamKind, ResolvedCall, Risk, Target, ToolCall, ToolError,
        ToolOutput, ToolSpec,
    },
    pager::HistoryQuery,
    policy::Permit,
    tools::{scope, units},
};

/// Without a span a history tells of this much.
const USUAL: SignedDuration = SignedDuration::from_hours(24);

fn spec(
    name: &'static str,
    summary: &'static str,
    params: Vec<Param>,
    phrases: &'static [&'static str],
) -> ToolSpec {
    ToolSpec {
        name,
        summary,
        phrases,
        params,
        floor: Risk::Safe,
        default: Risk::Safe,
        untrusted: true,
        timeout: Duration::from_secs(10),
    }
}

/// `get_incident(incident)`.
#[derive(Debug)]
pub struct GetIncident {
    spec: ToolSpec,
    desk: DeskTools,
}

impl GetIncident {
    /// The tool.
    pub fn new(desk: DeskTools) -> Self {
        let phrases = &[
            "show me the incident",
            "show incident",
            "incident details",
            "what happened with the incident",
            "tell me about the incident",
            "about this alert",
            "what is this alert",
            "what is this",
            "what is it about",
        ];
        let params = vec![incident_param(true)];
        Self {
            spec: spec(
                "get_incident",
                "One incident in full: its alerts, history and findings.",
                params,
                phrases,
            ),
            desk,
        }
    }
}

#[async_trait]
impl Tool for GetIncident {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let id = incident_of(&call.args)?;
        let incident = match self.desk.find(id) {
            Some((incident, _)) => Some(incident),
            None => self.desk.pager.story(id).await.map_err(broken)?.map(|(incident, _)| incident),
        };
        let incident = incident.ok_or_else(|| self.desk.unknown(id))?;
        Ok(self.desk.about(call.clone(), &incident).await)
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let id = incident_of(&permit.call().call.args)?;
        let found = self.desk.find(id);
        let (incident, events) = match (self.desk.pager.story(id).await.map_err(broken)?, &found) {
            (Some(story), _) => story,
            (None, Some((incident, _))) => (incident.clone(), vec![]),
            (None, None) => return Err(self.desk.unknown(id)),
        };
        let alerts = found.map(|(_, alerts)| alerts).unwrap_or_default();
        let (alerts, times) = (alerts.iter().collect::<Vec<_>>(), self.desk.times(cx.now));
        let mut blocks = tell::whole(&incident, &alerts, &events, &times);
        blocks.extend(self.desk.pager.look(|desk| desk.chart_of(id).cloned()).map(Block::Chart));
        let summary = format!("Incident {id} is {}.", incident.state);
        let text = tell::whole_text(&incident, &alerts, &events, &times);
        Ok(ToolOutput { outcome: Outcome::Ok, summary, text, blocks })
    }
}

/// `alert_history(customer_id?, since?)`.
#[derive(Debug)]
pub struct AlertHistory {
    spec: ToolSpec,
    desk: DeskTools,
}

impl AlertHistory {
    /// The tool.
    pub fn new(desk: DeskTools) -> Self {
        let since = Param {
            name: "since",
            kind: ParamKind::Duration,
            required: false,
            help: "how far back, default 24h",
        };
        let phrases = &[
            "what happened",
            "alert history",
            "past alerts",
            "past incidents",
            "incidents of the last days",
            "what fired",
            "which alerts were there",
            "any incidents",
            "old incidents",
        ];
        let params = vec![scope::customer_param(), since];
        Self {
            spec: spec(
                "alert_history",
                "Incidents that were: of the last day, or of a customer.",
                params,
                phrases,
            ),
            desk,
        }
    }
}

#[async_trait]
impl Tool for AlertHistory {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        if let Some(since) = call.args.text("since") {
            units::read_span(&since).map_err(ToolError::BadArgs)?;
        }
        let mut call = call.clone();
        let mut target = Target::default();
        if let Some(given) = call.args.text("customer_id") {
            let customer = self.desk.source.snapshot().await.find_customer(&given)?;
            call.args.0.insert("customer_id".into(), customer.id.as_str().into());
            target = Target { customer: Some(customer.id), labels: customer.labels, ..target };
        }
        Ok(ResolvedCall { call, target, plan: vec![], steps: vec![] })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let span = resolved.call.args.text("since").and_then(|s| units::read_span(&s).ok());
        let span = span.and_then(|s| SignedDuration::try_from(s).ok()).unwrap_or(USUAL);
        let customer = resolved.target.customer.as_ref().map(ToString::to_string);
        let since = cx.now.checked_sub(span).ok();
        let most = u32::try_from(tell::MOST).unwrap_or(50) + 1;
        let query = HistoryQuery { customer: customer.clone(), since, until: None, most };
        let past = self.desk.pager.history(&query).await.map_err(broken)?;
        Ok(self.report(&past, customer.as_deref(), span, cx))
    }
}

impl AlertHistory {
    fn report(
        &self,
        past: &[Incident],
        customer: Option<&str>,
        span: SignedDuration,
        cx: &RunContext,
    ) -> ToolOutput {
        let times = self.desk.times(cx.now);
        let whose = customer.map(|c| format!(" of customer {c}")).unwrap_or_default();
        let more = if past.len() > tell::MOST {
            format!("more than {}", tell::MOST)
        } else {
            past.len().to_string()
        };
        let open = past.iter().filter(|i| i.resolved_at.is_none()).count();
        let summary =
            format!("{more} incidents{whose} in the last {}, {open} of them open.", tell::span(span));
        let columns =
            ["incident", "severity", "whose", "state", "began", "lasted"].map(String::from).to_vec();
        let row = |i: &Incident| {
            let end = i.resolved_at.unwrap_or(cx.now);
            vec![
                i.id.to_string(),
                i.severity.to_string(),
                tell::whose(i),
                tell::state(i),
                times.clock(i.opened_at),
                times.span(i.opened_at, end),
            ]
        };
        let rows: Vec<_> = past.iter().take(tell::MOST).map(row).collect();
        let mut text = format!("{summary}\n");
        for row in &rows {
            text.push_str(&format!("incident {}\n", row.join(" | ")));
        }
        let mut blocks = vec![Block::text(&summary)];
        if !rows.is_empty() {
            blocks.push(Block::Table { title: None, columns, rows });
        }
        ToolOutput { outcome: Outcome::Ok, summary, text, blocks }
    }
}

/// `who_is_on_call()`.
#[derive(Debug)]
pub struct WhoIsOnCall {
    spec: ToolSpec,
    desk: DeskTools,
}

impl WhoIsOnCall {
    /// The tool.
    pub fn new(desk: DeskTools) -> Self {
        let phrases = &[
            "who is on call",
            "who is on duty",
            "on call",
            "oncall",
            "who gets paged",
            "who is paged",
            "who has the pager",
            "wer hat bereitschaft",
        ];
        let spec = spec("who_is_on_call", "Who is paged now, and who after that.", vec![], phrases);
        Self { spec: ToolSpec { untrusted: false, ..spec }, desk }
    }
}

#[async_trait]
impl Tool for WhoIsOnCall {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let call = ToolCall { tool: call.tool.clone(), args: Args::default() };
        Ok(ResolvedCall { call, target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, _permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let summary = oncall::sentence(&self.desk.ladder, cx.now);
        let mut blocks = vec![Block::text(&summary)];
        if !self.desk.ladder.is_empty() {
            blocks.push(oncall::table(&self.desk.ladder, cx.now));
        }
        Ok(ToolOutput { outcome: Outcome::Ok, text: summary.clone(), summary, blocks })
    }
}

fn broken(error: impl std::fmt::Display) -> ToolError {
    ToolError::Failed(format!("what happened could not be read: {error}"))
}
