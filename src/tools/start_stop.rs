//! The tools `start_container` and `stop_container`: one service or the whole stack, each container verified.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    place::{Place, customer_param, service_param},
    restart::{Act, RestartLimits, Steps, resolve},
};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{ResolvedCall, Risk, ToolCall, ToolError, ToolOutput, ToolSpec},
    inventory::InventorySource,
    policy::Permit,
};

/// `start_container(customer_id, service?)` or `stop_container(customer_id, service?)`.
#[derive(Debug)]
pub struct StartStop {
    spec: ToolSpec,
    act: Act,
    steps: Steps,
}

impl StartStop {
    /// The tool that starts; `clock` tells how long things took.
    pub fn start(source: InventorySource, limits: RestartLimits, clock: fn() -> Timestamp) -> Self {
        let summary = "Start a stopped service or the whole stack. The person is asked.";
        let phrases: &[&str] = &[
            "start",
            "bring up",
            "bring back",
            "turn on",
            "switch on",
            "boot",
            "launch",
            "fire up",
            "spin up",
            "power on",
        ];
        Self {
            spec: spec("start_container", summary, phrases),
            act: Act::Start,
            steps: Steps::new(source, limits, clock),
        }
    }

    /// The tool that stops.
    pub fn stop(source: InventorySource, limits: RestartLimits, clock: fn() -> Timestamp) -> Self {
        let summary = "Stop a running service or the whole stack. The person is asked.";
        let phrases: &[&str] = &[
            "stop",
            "shut down",
            "shutdown",
            "bring down",
            "take down",
            "turn off",
            "switch off",
            "halt",
            "power off",
            "spin down",
        ];
        Self {
            spec: spec("stop_container", summary, phrases),
            act: Act::Stop,
            steps: Steps::new(source, limits, clock),
        }
    }
}

fn spec(name: &'static str, summary: &'static str, phrases: &'static [&'static str]) -> ToolSpec {
    ToolSpec {
        name,
        summary,
        params: vec![customer_param(), service_param()],
        floor: Risk::Confirm,
        default: Risk::Confirm,
        phrases,
        untrusted: true,
        timeout: Duration::from_secs(900),
    }
}

#[async_trait]
impl Tool for StartStop {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        resolve(self.act, Place::find(self.steps.source(), call).await?, call)
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        self.steps.run(self.act, permit, cx).await
    }
}
