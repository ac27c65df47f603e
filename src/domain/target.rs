//! What a call would touch, resolved against the live inventory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CustomerId, HostName, ServiceName};

/// A customer as configuration and labels describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The id (`19`).
    pub id: CustomerId,
    /// The name people use, if configured.
    #[serde(default)]
    pub name: Option<String>,
    /// Further names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The customer's web domain.
    #[serde(default)]
    pub domain: Option<String>,
    /// Labels for policy rules (`tier = gold`).
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// One container, pinned by its full id so that a replaced one is noticed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerRef {
    /// The Docker host that runs it.
    pub host: HostName,
    /// The full 64-digit container id.
    pub id: String,
    /// The container's name, without a leading slash.
    pub name: String,
    /// The service that it is.
    pub service: ServiceName,
}

/// What a call is about: a customer, perhaps one service, and the containers it would act on in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The customer, when the call is about one.
    pub customer: Option<CustomerId>,
    /// The service, when the call names one.
    pub service: Option<ServiceName>,
    /// The containers, in the order of the act.
    pub containers: Vec<ContainerRef>,
    /// The labels that policy rules match (`label:tier=gold`).
    pub labels: BTreeMap<String, String>,
}
