//! What several tools measure and see, as plain data.

use jiff::Timestamp;

use crate::domain::{CustomerId, ServiceName, Untrusted};

/// One metric of one service right now.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// Whose.
    pub service: ServiceName,
    /// `cpu`, `memory`, `disk`, `network_rx` or `network_tx`.
    pub name: &'static str,
    /// `%` (100 is one core), `B` or `B/s`.
    pub unit: &'static str,
    /// The value in that unit.
    pub now: f64,
    /// The limit in that unit, if there is one.
    pub limit: Option<f64>,
    /// `prometheus` or `docker stats`.
    pub source: &'static str,
}

/// One active alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSample {
    /// The alert's name.
    pub name: String,
    /// Its severity label as it stands; empty when it has none.
    pub severity: String,
    /// `firing` or `pending`.
    pub state: String,
    /// The customer it is about.
    pub customer: Option<CustomerId>,
    /// The service it is about.
    pub service: Option<ServiceName>,
    /// Since when it is active.
    pub since: Option<Timestamp>,
    /// What its annotations say.
    pub summary: Untrusted,
    /// The value that raised it.
    pub value: String,
}
