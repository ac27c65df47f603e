//! The tool `check_up`: looks at everything of a customer in parallel and says what is wrong, worst first.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    evidence::{Evidence, Gatherer},
    notes,
    place::{Place, customer_of, customer_param},
    rank::{checked, rank},
    status, units,
};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{
        Block, CustomerId, Finding, Outcome, ResolvedCall, Risk, Severity, ToolCall, ToolError, ToolOutput,
        ToolSpec,
    },
    inventory::InventorySource,
    policy::Permit,
};

/// `check_up(customer_id)`.
#[derive(Debug)]
pub struct CheckUp {
    spec: ToolSpec,
    source: InventorySource,
    gatherer: Gatherer,
}

impl CheckUp {
    /// The tool.
    pub fn new(source: InventorySource, gatherer: Gatherer) -> Self {
        let spec = ToolSpec {
            name: "check_up",
            summary: "What is wrong with a customer? Use this first.",
            params: vec![customer_param()],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "what is wrong",
                "what is going on",
                "what is the problem",
                "how is it",
                "is it ok",
                "is it broken",
                "why is it broken",
                "is it down",
                "not working",
                "not responding",
                "check",
                "diagnose",
            ],
            untrusted: true,
            timeout: Duration::from_secs(30),
        };
        Self { spec, source, gatherer }
    }
}

#[async_trait]
impl Tool for CheckUp {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        // Without containers there are still alerts, and their absence is a finding.
        let place = Place::find(&self.source, call).await?;
        let containers = place.containers();
        Ok(place.resolved(call, containers))
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let customer = customer_of(resolved)?;
        (cx.progress)(format!("looking at customer {customer}: containers, logs, metrics, alerts"));
        let evidence = self.gatherer.gather(&customer, &resolved.target.containers, cx.now).await;
        let mut output = report(&evidence);
        notes::add_to(&mut output, &customer, cx).await;
        Ok(output)
    }
}

/// What the evidence says, for a model and a person.
pub fn report(e: &Evidence) -> ToolOutput {
    let findings = rank(e);
    let summary = headline(&e.customer, &findings);
    let mut lines = vec![format!("{summary} (at {})", units::clock(e.now, e.now))];
    for (n, f) in findings.iter().enumerate() {
        let quote = f.quote.as_ref().map(|q| format!(": \"{q}\"")).unwrap_or_default();
        let at = f.at.map(|t| format!(", {}", units::clock(t, e.now))).unwrap_or_default();
        lines.push(format!("{}. [{}] {} ({}{at}){quote}", n + 1, f.severity, f.summary, f.source));
    }
    // A small model takes every figure that it reads for a trouble.
    lines.push(format!("Looked at: {}. What has no finding above is normal:", checked(e)));
    let infos: Vec<_> = e.containers.iter().filter_map(|(_, i)| i.as_ref().ok()).collect();
    lines.extend(infos.iter().map(|i| status::line(i, e.now)));
    lines.extend(measured(e));
    let rows: Vec<_> = infos.iter().map(|i| status::row(i, e.now)).collect();
    let mut blocks = vec![Block::Findings { title: summary.clone(), items: findings }];
    if !rows.is_empty() {
        blocks.push(status::table("containers", rows));
    }
    ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks }
}

fn headline(customer: &CustomerId, findings: &[Finding]) -> String {
    let count = |s| findings.iter().filter(|f| f.severity == s).count();
    let words =
        [(Severity::Critical, "critical"), (Severity::Warning, "warning"), (Severity::Info, "to note")];
    let parts: Vec<_> = words
        .into_iter()
        .map(|(s, word)| (count(s), word))
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    match (parts.is_empty(), count(Severity::Ok)) {
        (true, _) => format!("customer {customer}: all is well"),
        (false, 0) => format!("customer {customer}: {}", parts.join(", ")),
        (false, _) => format!("customer {customer}: nothing wrong seen, {}", parts.join(", ")),
    }
}

/// The metrics in one line a service: `metrics of web: cpu 3 %, memory 5.2 MiB of 32.0 MiB`.
fn measured(e: &Evidence) -> Vec<String> {
    let Ok(samples) = &e.metrics else { return vec![] };
    let mut services: Vec<_> = samples.iter().map(|m| &m.service).collect();
    services.sort();
    services.dedup();
    let one = |service| {
        let values = samples.iter().filter(|m| &m.service == service).map(|m| {
            let limit = m.limit.map(|l| format!(" of {}", units::with_unit(l, m.unit))).unwrap_or_default();
            format!("{} {}{limit}", m.name, units::with_unit(m.now, m.unit))
        });
        format!("metrics of {service}: {}", values.collect::<Vec<_>>().join(", "))
    };
    services.into_iter().map(one).collect()
}
