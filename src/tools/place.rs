//! What all tools about a customer share: parameters, and the way from a name to a target.

use serde_json::Map;

use crate::{
    domain::{
        Args, ContainerRef, Customer, CustomerId, Param, ParamKind, ResolvedCall, ServiceName, Target,
        ToolCall, ToolError,
    },
    inventory::{Inventory, InventorySource},
};

/// The parameter that names the customer.
pub(super) fn customer_param() -> Param {
    Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "id or name" }
}

/// The parameter that narrows a call to one service.
pub(super) fn service_param() -> Param {
    Param { name: "service", kind: ParamKind::Service, required: false, help: "default: all" }
}

/// Where a call leads: the customer and perhaps one service, found in the inventory of this moment.
#[derive(Debug)]
pub(super) struct Place {
    pub customer: Customer,
    pub service: Option<ServiceName>,
    pub inventory: Inventory,
}

impl Place {
    /// Looks the names of `call` up.
    pub(super) async fn find(source: &InventorySource, call: &ToolCall) -> Result<Self, ToolError> {
        let given =
            call.args.text("customer_id").ok_or_else(|| ToolError::BadArgs("name a customer".into()))?;
        let inventory = source.snapshot().await;
        let customer = inventory.find_customer(&given)?;
        let service =
            call.args.text("service").map(|s| inventory.find_service(&customer.id, &s)).transpose()?;
        Ok(Self { customer, service, inventory })
    }

    /// The containers that the call is about, by service and name.
    pub(super) fn containers(&self) -> Vec<ContainerRef> {
        self.narrowed(self.inventory.members(&self.customer.id).iter().map(|m| m.r.clone()).collect())
    }

    /// The same in the order of a start, what others need first.
    pub(super) fn in_order(&self) -> Result<Vec<ContainerRef>, ToolError> {
        if self.service.is_some() {
            return Ok(self.containers());
        }
        Ok(self.inventory.order(&self.customer.id)?)
    }

    fn narrowed(&self, mut all: Vec<ContainerRef>) -> Vec<ContainerRef> {
        if let Some(service) = &self.service {
            all.retain(|r| r.service == *service);
        }
        all
    }

    /// That there are no containers is a host's failure where a host did not answer.
    pub(super) fn none(&self) -> ToolError {
        self.inventory.first_gap().cloned().unwrap_or_else(|| {
            ToolError::NothingFound(format!(
                "customer {} has no containers on any Docker host",
                self.customer.id
            ))
        })
    }

    /// The call with its containers, of which there must be some.
    pub(super) fn inhabited(self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let containers = self.containers();
        if containers.is_empty() { Err(self.none()) } else { Ok(self.resolved(call, containers)) }
    }

    /// The call in canonical form with its target.
    pub(super) fn resolved(self, call: &ToolCall, containers: Vec<ContainerRef>) -> ResolvedCall {
        let mut args = Map::new();
        for (name, value) in &call.args.0 {
            let value = match (name.as_str(), &self.service) {
                ("customer_id", _) => self.customer.id.as_str().into(),
                ("service", Some(service)) => service.as_str().into(),
                _ => value.clone(),
            };
            args.insert(name.clone(), value);
        }
        ResolvedCall {
            call: ToolCall { tool: call.tool.clone(), args: Args(args) },
            target: Target {
                customer: Some(self.customer.id),
                service: self.service,
                containers,
                labels: self.customer.labels,
            },
            plan: vec![],
            steps: vec![],
        }
    }
}

/// The customer that a resolved call is about.
pub(super) fn customer_of(call: &ResolvedCall) -> Result<CustomerId, ToolError> {
    let customer = call.target.customer.clone();
    customer.ok_or_else(|| ToolError::BadArgs(format!("{}: the call names no customer", call.call.tool)))
}
