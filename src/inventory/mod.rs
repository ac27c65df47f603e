//! Whose container is whose: customers, services and their order, from labels, compose and configuration.

mod build;
mod find;
mod order;
mod source;

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

use crate::{
    docker::Listed,
    domain::{ContainerRef, Customer, CustomerId, HostName, ServiceName, ToolError},
};

pub use order::Cycle;
pub use source::InventorySource;

/// The labels that say whose a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelNames {
    /// Holds the customer's id.
    pub customer: String,
    /// Holds the service's name.
    pub service: String,
    /// Holds the services that this one needs, apart by commas.
    pub depends_on: String,
}

impl Default for LabelNames {
    fn default() -> Self {
        Self {
            customer: "opsbot.customer".into(),
            service: "opsbot.service".into(),
            depends_on: "opsbot.depends_on".into(),
        }
    }
}

/// One `[[customer]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerConfig {
    /// Who it is.
    pub customer: Customer,
    /// Globs over names of containers that are this customer's, whatever their labels say.
    pub containers: Vec<String>,
    /// The hosts where the globs hold; empty means all.
    pub hosts: Vec<HostName>,
}

/// The configuration's part of the inventory, its globs compiled.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    labels: LabelNames,
    customers: Vec<CustomerRule>,
}

#[derive(Clone, Debug)]
struct CustomerRule {
    customer: Customer,
    globs: Vec<GlobMatcher>,
    hosts: Vec<HostName>,
}

impl Rules {
    /// Compiles the configuration.
    ///
    /// # Errors
    /// Names the first glob that is none.
    pub fn new(labels: LabelNames, customers: Vec<CustomerConfig>) -> Result<Self, String> {
        let rule = |c: CustomerConfig| {
            let globs = c.containers.iter().map(|g| {
                Glob::new(g).map(|g| g.compile_matcher()).map_err(|e| {
                    format!("[[customer]] {}: `{g}` is not a glob ({})", c.customer.id, e.kind())
                })
            });
            Ok(CustomerRule {
                globs: globs.collect::<Result<_, String>>()?,
                customer: c.customer,
                hosts: c.hosts,
            })
        };
        Ok(Self { labels, customers: customers.into_iter().map(rule).collect::<Result<_, String>>()? })
    }
}

/// A container with its place in a customer's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which one, with its service.
    pub r: ContainerRef,
    /// As the engine listed it.
    pub listed: Listed,
    /// The services that must be up before it.
    pub needs: Vec<ServiceName>,
}

/// Two sources say different things of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The container's name.
    pub container: String,
    /// What they say, and which one wins.
    pub sentence: String,
}

/// All customers and their containers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    customers: BTreeMap<CustomerId, Entry>,
    conflicts: Vec<Conflict>,
    strays: Vec<Listed>,
    gaps: Vec<ToolError>,
}

#[derive(Clone, Debug)]
struct Entry {
    customer: Customer,
    members: Vec<Member>,
}

impl Inventory {
    /// The customers, in a person's order (`7` before `12`).
    pub fn customers(&self) -> Vec<&Customer> {
        let mut all: Vec<_> = self.customers.values().map(|e| &e.customer).collect();
        all.sort_by_key(|c| (c.id.as_str().parse::<u64>().unwrap_or(u64::MAX), c.id.clone()));
        all
    }

    /// The customer's containers, by service and name.
    pub fn members(&self, customer: &CustomerId) -> &[Member] {
        self.customers.get(customer).map_or(&[], |e| &e.members)
    }

    /// The names of the customer's services, sorted.
    pub fn services(&self, customer: &CustomerId) -> Vec<ServiceName> {
        let mut names: Vec<_> = self.members(customer).iter().map(|m| m.r.service.clone()).collect();
        names.dedup();
        names
    }

    /// What the sources disagree about.
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// Containers that belong to no customer, by name.
    pub fn strays(&self) -> &[Listed] {
        &self.strays
    }

    /// The hosts that did not answer: what they run is missing here.
    pub fn gaps(&self) -> Vec<String> {
        self.gaps.iter().map(ToString::to_string).collect()
    }

    /// The failure of the first host that did not answer.
    pub fn first_gap(&self) -> Option<&ToolError> {
        self.gaps.first()
    }
}
