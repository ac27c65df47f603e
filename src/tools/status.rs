//! The tool `get_container_status`: what the engine knows of a customer's containers.

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    place::{Place, customer_of, customer_param, service_param},
    units,
};
use crate::{
    agent::port::{RunContext, Tool},
    docker::{ContainerInfo, DockerError, Health, State},
    domain::{
        Block, ContainerRef, CustomerId, Level, Outcome, ResolvedCall, Risk, ToolCall, ToolError, ToolOutput,
        ToolSpec,
    },
    inventory::InventorySource,
    policy::Permit,
};

/// `get_container_status(customer_id, service?)`.
#[derive(Debug)]
pub struct GetContainerStatus {
    spec: ToolSpec,
    source: InventorySource,
}

impl GetContainerStatus {
    /// The tool.
    pub fn new(source: InventorySource) -> Self {
        let spec = ToolSpec {
            name: "get_container_status",
            summary: "State, health, restarts of containers.",
            params: vec![customer_param(), service_param()],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "is it up",
                "is it running",
                "container state",
                "status of containers",
                "uptime",
                "since when is it running",
                "how often did it restart",
                "which services are running",
                "how many restarts",
            ],
            untrusted: true,
            timeout: Duration::from_secs(20),
        };
        Self { spec, source }
    }
}

#[async_trait]
impl Tool for GetContainerStatus {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Place::find(&self.source, call).await?.inhabited(call)
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let customer = customer_of(resolved)?;
        let hosts = self.source.hosts();
        let look = |r: ContainerRef| async move {
            let info = hosts.inspect(&r).await;
            (r, info)
        };
        let containers = resolved.target.containers.clone();
        let seen: Vec<_> = stream::iter(containers).map(look).buffered(6).collect().await;
        render(&customer, &seen, cx.now)
    }
}

type Seen = (ContainerRef, Result<ContainerInfo, DockerError>);

fn render(customer: &CustomerId, all: &[Seen], now: Timestamp) -> Result<ToolOutput, ToolError> {
    let infos: Vec<_> = all.iter().filter_map(|(_, info)| info.as_ref().ok()).collect();
    if infos.is_empty()
        && let Some((_, Err(e))) = all.first()
    {
        return Err(e.clone().into());
    }
    let up = infos.iter().filter(|i| i.state == State::Running && i.health != Health::Unhealthy).count();
    let summary = format!("customer {customer}: {up} of {} containers up", all.len());
    let mut lines = vec![summary.clone()];
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for info in infos {
        lines.push(line(info, now));
        rows.push(row(info, now));
    }
    for (r, info) in all {
        if let Err(e) = info {
            lines.push(format!("{}: not seen: {e}", r.service));
            notes.push(Block::notice(Level::Warning, format!("{} was not seen: {e}", r.service)));
        }
    }
    let mut blocks = vec![table(&summary, rows)];
    blocks.append(&mut notes);
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks })
}

fn since(info: &ContainerInfo, now: Timestamp) -> String {
    let at = if info.state == State::Running { info.started_at } else { info.finished_at };
    at.map(|t| units::span(units::since(t, now))).unwrap_or_default()
}

/// A table of containers' rows.
pub(super) fn table(title: &str, rows: Vec<Vec<String>>) -> Block {
    let columns = ["service", "state", "health", "since", "restarts", "container"].map(String::from).to_vec();
    Block::Table { title: Some(title.to_owned()), columns, rows }
}

/// A table's row of a container: service, state, health, since, restarts, name.
pub(super) fn row(info: &ContainerInfo, now: Timestamp) -> Vec<String> {
    let state = match info.state {
        State::Running | State::Created | State::Paused => info.state.to_string(),
        _ if info.oom_killed => format!("{} (out of memory)", info.state),
        _ => format!("{} ({})", info.state, info.exit_code),
    };
    vec![
        info.r.service.to_string(),
        state,
        info.health.to_string(),
        since(info, now),
        info.restart_count.to_string(),
        info.r.name.clone(),
    ]
}

/// A container in one line for the model.
pub(super) fn line(info: &ContainerInfo, now: Timestamp) -> String {
    let mut text = format!("{}: {}", info.r.service, info.state);
    match (info.state, since(info, now)) {
        (_, since) if since.is_empty() => {}
        (State::Running, since) => text += &format!(", up {since}"),
        (_, since) => text += &format!(" since {since}, exit code {}", info.exit_code),
    }
    if info.state == State::Running && info.health != Health::None {
        text += &format!(", {}", info.health);
    }
    if info.oom_killed {
        text += ", killed for using too much memory";
    }
    text += &format!(", restarts {}, image {}", info.restart_count, info.image);
    if info.state == State::Running && info.health == Health::Unhealthy {
        text += &format!(", {} health checks failed in a row", info.failing_streak);
        if let Some(probe) = info.last_failed_probe() {
            let output: Vec<_> = probe.output.as_str().split_whitespace().collect();
            text += &format!(" (exit code {}: {})", probe.exit_code, output.join(" "));
        }
    }
    if !info.error.as_str().is_empty() {
        text += &format!(", engine says: {}", info.error);
    }
    text
}
