//! The tool `restart_container`, and the steps that it shares with start and stop: in order, each verified before the next.

mod act;
mod plan;
mod report;
mod run;
mod watch;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub(super) use act::Act;
pub(super) use plan::resolve;
pub(super) use run::Steps;

use super::place::{Place, customer_param, service_param};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{ResolvedCall, Risk, ToolCall, ToolError, ToolOutput, ToolSpec},
    inventory::InventorySource,
    policy::Permit,
};

/// How long the steps of a restart, a start or a stop may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimits {
    /// How long a container may take to end before it is killed.
    pub grace: Duration,
    /// Within which time it must be up, or down.
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
    steps: Steps,
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
            phrases: &[
                "restart",
                "reboot",
                "bounce",
                "relaunch",
                "power cycle",
                "stop and start",
                "off and on",
                "start again",
                "restart the stack",
                "restart everything",
            ],
            untrusted: true,
            timeout: Duration::from_secs(900),
        };
        Self { spec, steps: Steps::new(source, limits, clock) }
    }
}

#[async_trait]
impl Tool for RestartContainer {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        resolve(Act::Restart, Place::find(self.steps.source(), call).await?, call)
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        self.steps.run(Act::Restart, permit, cx).await
    }
}
