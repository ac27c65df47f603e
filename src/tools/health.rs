//! The tool `get_health_score`: a customer's health as one number with its reasons.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    evidence::{Evidence, Gatherer},
    place::{Place, customer_of, customer_param},
    score::score,
};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{Block, Level, Outcome, ResolvedCall, Risk, ToolCall, ToolError, ToolOutput, ToolSpec},
    inventory::InventorySource,
    policy::Permit,
};

/// `get_health_score(customer_id)`.
#[derive(Debug)]
pub struct GetHealthScore {
    spec: ToolSpec,
    source: InventorySource,
    gatherer: Gatherer,
}

impl GetHealthScore {
    /// The tool.
    pub fn new(source: InventorySource, gatherer: Gatherer) -> Self {
        let spec = ToolSpec {
            name: "get_health_score",
            summary: "Health from 0 to 100, with reasons.",
            params: vec![customer_param()],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "how healthy is it",
                "health",
                "health score",
                "health rating",
                "score",
                "is it healthy",
            ],
            untrusted: false,
            timeout: Duration::from_secs(30),
        };
        Self { spec, source, gatherer }
    }
}

#[async_trait]
impl Tool for GetHealthScore {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Place::find(&self.source, call).await?.inhabited(call)
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let customer = customer_of(resolved)?;
        let evidence = self.gatherer.gather(&customer, &resolved.target.containers, cx.now).await;
        report(&evidence)
    }
}

/// The score of the evidence, for a model and a person.
///
/// # Errors
/// [`ToolError::Failed`] when no container could be looked at.
pub fn report(e: &Evidence) -> Result<ToolOutput, ToolError> {
    let Some(score) = score(e) else {
        let why = e.containers.iter().find_map(|(_, i)| i.as_ref().err());
        let why = why.or(e.gaps.first()).cloned().unwrap_or_else(|| "it has none".into());
        return Err(ToolError::Failed(format!(
            "no container of customer {} could be looked at: {why}",
            e.customer
        )));
    };
    let summary = format!("customer {}: {} of 100, {}", e.customer, score.value, score.word());
    let mut lines = vec![summary.clone()];
    let mut rows = Vec::new();
    for r in &score.reasons {
        let points = r.points.map_or_else(|| "not counted".into(), |p| format!("{p:.0} of {}", r.weight));
        lines.push(format!("{}: {points} ({})", r.part, r.why));
        rows.push(vec![r.part.to_owned(), points, r.why.clone()]);
    }
    let columns = ["part", "points", "why"].map(String::from).to_vec();
    let mut blocks = vec![Block::Table { title: Some(summary.clone()), columns, rows }];
    for gap in &e.gaps {
        lines.push(format!("Incomplete: {gap}"));
        blocks.push(Block::notice(Level::Warning, format!("a Docker host was not seen: {gap}")));
    }
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks })
}
