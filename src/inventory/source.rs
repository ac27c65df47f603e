//! The inventory as it is right now, read from all Docker hosts.

use std::sync::Arc;

use super::{Inventory, Rules};
use crate::{
    docker::{DockerHosts, Listed},
    domain::HostName,
};

/// Reads the inventory. Always live: a list takes milliseconds, and a write must not act on an old one.
#[derive(Clone, Debug)]
pub struct InventorySource {
    hosts: DockerHosts,
    rules: Arc<Rules>,
    fixed: Option<Arc<Vec<Listed>>>,
}

impl InventorySource {
    /// Over these hosts, by these rules.
    pub fn new(hosts: DockerHosts, rules: Rules) -> Self {
        Self { hosts, rules: Arc::new(rules), fixed: None }
    }

    /// The same with these containers, whatever the hosts run: a site that never changes.
    #[must_use]
    pub fn fixed(self, listed: Vec<Listed>) -> Self {
        Self { fixed: Some(Arc::new(listed)), ..self }
    }

    /// The Docker hosts behind it.
    pub fn hosts(&self) -> &DockerHosts {
        &self.hosts
    }

    /// All customers and containers right now; hosts that do not answer within their deadline are its gaps.
    pub async fn snapshot(&self) -> Inventory {
        self.survey().await.0
    }

    /// As [`InventorySource::snapshot`], and the hosts that did not answer.
    pub async fn survey(&self) -> (Inventory, Vec<HostName>) {
        if let Some(listed) = &self.fixed {
            return (Inventory::build(&self.rules, listed.to_vec(), vec![]), vec![]);
        }
        let (mut listed, mut gaps, mut down) = (vec![], vec![], vec![]);
        for (host, answer) in self.hosts.list().await {
            match answer {
                Ok(containers) => listed.extend(containers),
                Err(e) => {
                    gaps.push(e.into());
                    down.push(host);
                }
            }
        }
        (Inventory::build(&self.rules, listed, gaps), down)
    }
}
