//! The tool `get_disk_usage`: how full the filesystems are, what Docker keeps on them, and whose it is.

mod filesystems;
mod measured;
mod render;

use std::time::Duration;

use async_trait::async_trait;

use super::scope::{Scope, customer_param, host_param};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{ResolvedCall, Risk, ToolCall, ToolError, ToolOutput, ToolSpec},
    inventory::InventorySource,
    policy::Permit,
    prometheus::Prometheus,
};
use filesystems::Filesystems;
use measured::Measured;

/// `get_disk_usage(customer_id?, host?)`.
#[derive(Debug)]
pub struct GetDiskUsage {
    spec: ToolSpec,
    source: InventorySource,
    prometheus: Option<Prometheus>,
    measured: Measured,
}

impl GetDiskUsage {
    /// The tool; without Prometheus the filesystems are those of this host.
    pub fn new(source: InventorySource, prometheus: Option<Prometheus>) -> Self {
        let spec = ToolSpec {
            name: "get_disk_usage",
            summary: "How full the disks are, and what Docker keeps on them.",
            params: vec![customer_param(), host_param()],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "disk space",
                "disk full",
                "free space",
                "storage",
                "df",
                "docker system df",
                "inodes",
                "volumes",
                "filesystem",
                "how full",
                "space left",
                "largest volumes",
            ],
            untrusted: true,
            timeout: Duration::from_secs(180),
        };
        let measured = Measured::new(source.hosts().clone());
        Self { spec, source, prometheus, measured }
    }
}

#[async_trait]
impl Tool for GetDiskUsage {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Ok(Scope::find(&self.source, call).await?.resolved(call))
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let scope = Scope::find(&self.source, &permit.call().call).await?;
        let hosts = scope.hosts();
        let local = hosts.is_empty() || hosts.iter().any(|host| self.source.hosts().is_local(host));
        let (filesystems, measured) = tokio::join!(
            Filesystems::look(self.prometheus.as_ref(), scope.host.as_ref(), local, cx.now),
            self.measured.all(&hosts, cx),
        );
        render::output(&scope, filesystems, &measured, cx.now)
    }
}
