//! Where a read over all Docker hosts looks: everywhere, or narrowed to a customer or to one host.

use serde_json::Map;

use crate::{
    docker::Listed,
    domain::{
        Args, ContainerRef, Customer, HostName, Param, ParamKind, ResolvedCall, ServiceName, Target,
        ToolCall, ToolError,
    },
    inventory::{Inventory, InventorySource},
};

/// The parameter that narrows a read to one customer.
pub(super) fn customer_param() -> Param {
    Param {
        name: "customer_id",
        kind: ParamKind::Customer,
        required: false,
        help: "id or name; default: all",
    }
}

/// The parameter that narrows a read to one Docker host.
pub(super) fn host_param() -> Param {
    Param { name: "host", kind: ParamKind::Text, required: false, help: "Docker host; default: all" }
}

/// What a read looks at, found in the inventory of this moment.
#[derive(Debug)]
pub(super) struct Scope {
    pub customer: Option<Customer>,
    pub host: Option<HostName>,
    pub inventory: Inventory,
    known: Vec<HostName>,
}

/// A container in scope; one of no customer has no service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub customer: Option<&'a Customer>,
    pub service: Option<&'a ServiceName>,
    pub listed: &'a Listed,
}

impl Seen<'_> {
    /// `19 web`, or the container's name.
    pub fn whose(&self) -> String {
        match (self.customer, self.service) {
            (Some(customer), Some(service)) => format!("{} {service}", customer.id),
            _ => self.listed.name.clone(),
        }
    }

    /// The container as calls name it.
    pub fn r(&self) -> ContainerRef {
        ContainerRef {
            host: self.listed.host.clone(),
            id: self.listed.id.clone(),
            name: self.listed.name.clone(),
            service: self.service.cloned().unwrap_or_else(|| ServiceName::new(self.listed.name.clone())),
        }
    }
}

impl Scope {
    /// Looks the names of `call` up.
    pub async fn find(source: &InventorySource, call: &ToolCall) -> Result<Self, ToolError> {
        let known = source.hosts().names();
        let host = call.args.text("host").map(|given| find_host(&known, &given)).transpose()?;
        let inventory = source.snapshot().await;
        let customer = call.args.text("customer_id").map(|c| inventory.find_customer(&c)).transpose()?;
        Ok(Self { customer, host, inventory, known })
    }

    /// The containers in scope: those of customers in a person's order, then those of nobody.
    pub fn containers(&self) -> Vec<Seen<'_>> {
        let mut all = Vec::new();
        for customer in self.inventory.customers() {
            if self.customer.as_ref().is_none_or(|wanted| wanted.id == customer.id) {
                all.extend(self.inventory.members(&customer.id).iter().map(|m| Seen {
                    customer: Some(customer),
                    service: Some(&m.r.service),
                    listed: &m.listed,
                }));
            }
        }
        if self.customer.is_none() {
            let strays = self.inventory.strays().iter();
            all.extend(strays.map(|listed| Seen { customer: None, service: None, listed }));
        }
        all.retain(|seen| self.host.as_ref().is_none_or(|host| seen.listed.host == *host));
        all
    }

    /// The hosts in scope, sorted: the one that was named, those of the customer's containers, or all.
    pub fn hosts(&self) -> Vec<HostName> {
        let mut hosts = match (&self.host, &self.customer) {
            (Some(host), _) => vec![host.clone()],
            (None, Some(_)) => self.containers().iter().map(|s| s.listed.host.clone()).collect(),
            (None, None) => self.known.clone(),
        };
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Why hosts in scope are not seen.
    pub fn gaps(&self) -> Vec<String> {
        let about = |gap: &String| match &self.host {
            Some(host) => gap.starts_with(&format!("Docker host {host} ")),
            None => true,
        };
        self.inventory.gaps().into_iter().filter(about).collect()
    }

    /// That there is nothing to look at is a host's failure where a host did not answer.
    pub fn nothing(&self, what: &str) -> ToolError {
        match self.inventory.first_gap().filter(|_| !self.gaps().is_empty()) {
            Some(gap) => gap.clone(),
            None => ToolError::NothingFound(what.to_owned()),
        }
    }

    /// The call in canonical form with its target.
    pub fn resolved(self, call: &ToolCall) -> ResolvedCall {
        let mut args = Map::new();
        for (name, value) in &call.args.0 {
            let value = match (name.as_str(), &self.customer, &self.host) {
                ("customer_id", Some(customer), _) => customer.id.as_str().into(),
                ("host", _, Some(host)) => host.as_str().into(),
                _ => value.clone(),
            };
            args.insert(name.clone(), value);
        }
        let containers = match &self.customer {
            Some(_) => self.containers().iter().map(Seen::r).collect(),
            None => vec![],
        };
        let labels = self.customer.as_ref().map(|c| c.labels.clone()).unwrap_or_default();
        ResolvedCall {
            call: ToolCall { tool: call.tool.clone(), args: Args(args) },
            target: Target { customer: self.customer.map(|c| c.id), service: None, containers, labels },
            plan: vec![],
            steps: vec![],
        }
    }
}

fn find_host(known: &[HostName], given: &str) -> Result<HostName, ToolError> {
    let found = known.iter().find(|h| h.as_str().eq_ignore_ascii_case(given.trim())).cloned();
    found.ok_or_else(|| ToolError::UnknownId {
        what: "Docker host",
        given: given.to_owned(),
        known: known.iter().map(ToString::to_string).collect(),
    })
}
