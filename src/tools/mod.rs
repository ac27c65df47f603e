//! The server tools: each has a schema, a target, a floor and failures that are told apart.

pub mod alerts;
pub mod blocked;
pub mod check_up;
pub mod clear_cache;
pub mod customers;
pub mod disk;
pub mod evidence;
pub mod explain;
pub mod health;
pub mod image_updates;
pub mod list_containers;
pub mod logs;
pub mod metrics;
pub mod notes;
mod place;
pub mod playbooks;
pub mod query_prometheus;
pub mod rank;
pub mod restart;
mod scope;
pub mod score;
pub mod search;
pub mod search_logs;
pub mod start_stop;
pub mod status;
#[cfg(test)]
mod testing;
pub mod trouble;
pub mod units;
pub mod usage;

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{agent::port::Tool, inventory::InventorySource};

pub use blocked::blocked_specs;
use evidence::{Gatherer, Looks};
use restart::RestartLimits;
use search::Search;

/// What the tools of this room work with.
pub struct Parts {
    /// Customers and containers.
    pub source: InventorySource,
    /// Logs in files and journals.
    pub logs: crate::logs::Sources,
    /// Where metrics and alerts come from.
    pub looks: Looks,
    /// The search over kept outputs.
    pub search: Search,
    /// How long each part of a check-up may take.
    pub look_within: Duration,
    /// How long the steps of a restart, a start or a stop may take.
    pub restart: RestartLimits,
    /// Tells how long a write took.
    pub clock: fn() -> Timestamp,
}

impl Parts {
    /// The usual value of [`Parts::look_within`].
    pub const LOOK_WITHIN: Duration = Duration::from_secs(8);
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The tools that need Docker and nothing else, in the order in which a model reads them.
pub fn all(parts: Parts) -> Vec<Arc<dyn Tool>> {
    let Parts { source, logs, looks, search, look_within, restart, clock } = parts;
    let gatherer = Gatherer::new(source.clone(), looks, look_within);
    let logs = logs::LogSources { inventory: source.clone(), others: logs };
    vec![
        Arc::new(check_up::CheckUp::new(source.clone(), gatherer.clone())),
        Arc::new(customers::ListCustomers::new(source.clone())),
        Arc::new(status::GetContainerStatus::new(source.clone())),
        Arc::new(health::GetHealthScore::new(source.clone(), gatherer)),
        Arc::new(logs::GetRecentLogs::new(logs.clone())),
        Arc::new(search::SearchOutput::new(search)),
        Arc::new(restart::RestartContainer::new(source.clone(), restart, clock)),
        Arc::new(start_stop::StartStop::start(source.clone(), restart, clock)),
        Arc::new(start_stop::StartStop::stop(source.clone(), restart, clock)),
        Arc::new(list_containers::ListContainers::new(source.clone())),
        Arc::new(image_updates::ImageUpdates::new(source)),
        Arc::new(search_logs::SearchLogs::new(logs.clone())),
        Arc::new(explain::ExplainError::new(logs)),
    ]
}
