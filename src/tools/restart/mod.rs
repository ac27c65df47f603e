//! The tool `restart_container`: one service or the whole stack, what others need first, each verified before the next.

mod run;
mod watch;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::place::{Place, customer_param, service_param};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{ContainerRef, PlanStep, ResolvedCall, Risk, ToolCall, ToolError, ToolOutput, ToolSpec},
    inventory::InventorySource,
    policy::Permit,
};

/// How long the steps of a restart may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimits {
    /// How long a container may take to end before it is killed.
    pub grace: Duration,
    /// Within which time it must be up.
    pub up_within: Duration,
    /// How long it must stay up to be believed.
    pub settle: Duration,
    /// Between two looks.
    pub poll: Duration,
}

impl Default for RestartLimits {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            up_within: Duration::from_secs(60),
            settle: Duration::from_secs(3),
            poll: Duration::from_millis(250),
        }
    }
}

/// `restart_container(customer_id, service?)`.
#[derive(Debug)]
pub struct RestartContainer {
    spec: ToolSpec,
    source: InventorySource,
    limits: RestartLimits,
    clock: fn() -> Timestamp,
}

impl RestartContainer {
    /// The tool; `clock` tells how long things took.
    pub fn new(source: InventorySource, limits: RestartLimits, clock: fn() -> Timestamp) -> Self {
        let spec = ToolSpec {
            name: "restart_container",
            summary: "Restart a service or the whole stack. The person is asked.",
            params: vec![customer_param(), service_param()],
            floor: Risk::Confirm,
            default: Risk::Confirm,
            phrases: &[],
            untrusted: true,
            timeout: Duration::from_secs(900),
        };
        Self { spec, source, limits, clock }
    }
}

#[async_trait]
impl Tool for RestartContainer {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let place = Place::find(&self.source, call).await?;
        // Half a stack is not what was asked for.
        if place.service.is_none()
            && let Some(gap) = place.inventory.first_gap()
        {
            return Err(gap.clone());
        }
        let containers = place.in_order()?;
        if containers.is_empty() {
            return Err(place.none());
        }
        let plan = containers.iter().map(step).collect();
        Ok(ResolvedCall { plan, ..place.resolved(call, containers) })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        self.run(permit.call(), cx).await
    }
}

fn step(r: &ContainerRef) -> PlanStep {
    let short: String = r.id.chars().take(12).collect();
    let text = format!("restart container {} ({short}, service {}) on {}", r.name, r.service, r.host);
    PlanStep { text, container: Some(r.clone()), now: None }
}
