//! The tool `list_customers`: who there is, and whose containers want a look.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    agent::port::{RunContext, Tool},
    docker::{Health, Listed, State},
    domain::{
        Args, Block, Customer, Level, Outcome, ResolvedCall, Risk, Target, ToolCall, ToolError, ToolOutput,
        ToolSpec,
    },
    inventory::{Inventory, InventorySource, Member},
    policy::Permit,
};

/// `list_customers()`.
#[derive(Debug)]
pub struct ListCustomers {
    spec: ToolSpec,
    source: InventorySource,
}

impl ListCustomers {
    /// The tool.
    pub fn new(source: InventorySource) -> Self {
        let spec = ToolSpec {
            name: "list_customers",
            summary: "All customers and their services.",
            params: vec![],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "which customers",
                "who are the customers",
                "all customers",
                "show customers",
                "how many customers",
                "list customers",
                "what runs here",
                "who do we host",
            ],
            untrusted: false,
            timeout: Duration::from_secs(15),
        };
        Self { spec, source }
    }
}

#[async_trait]
impl Tool for ListCustomers {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, _call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let call = ToolCall { tool: self.spec.name.into(), args: Args::default() };
        Ok(ResolvedCall { call, target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, _permit: Permit, _cx: &RunContext) -> Result<ToolOutput, ToolError> {
        render(&self.source.snapshot().await)
    }
}

/// A container that a list shows as not well.
pub(super) fn ill(listed: &Listed) -> bool {
    listed.state != State::Running || listed.health == Health::Unhealthy
}

fn service(m: &Member) -> String {
    match (m.listed.state, m.listed.health) {
        (State::Running, Health::Unhealthy) => format!("{} (unhealthy)", m.r.service),
        (State::Running, _) => m.r.service.to_string(),
        (state, _) => format!("{} ({state})", m.r.service),
    }
}

fn render(inventory: &Inventory) -> Result<ToolOutput, ToolError> {
    let customers = inventory.customers();
    if customers.is_empty() {
        return Err(inventory.first_gap().cloned().unwrap_or_else(|| {
            let hint = "label containers opsbot.customer and opsbot.service, or add [[customer]] to the configuration";
            ToolError::NothingFound(format!("there is no customer yet; {hint}"))
        }));
    }
    let services = |c: &Customer| match inventory.members(&c.id) {
        [] => "no containers".to_owned(),
        members => members.iter().map(service).collect::<Vec<_>>().join(", "),
    };
    let row = |c: &&Customer| {
        let name = c.name.clone().unwrap_or_default();
        vec![c.id.to_string(), name, c.domain.clone().unwrap_or_default(), services(c)]
    };
    let rows: Vec<_> = customers.iter().map(row).collect();
    let ill = customers.iter().filter(|c| inventory.members(&c.id).iter().any(|m| ill(&m.listed))).count();
    let mut summary = match customers.len() {
        1 => "1 customer".to_owned(),
        n => format!("{n} customers"),
    };
    summary +=
        &if ill == 0 { ", all containers up".into() } else { format!(", {ill} with containers not up") };
    let mut lines = vec![summary.clone()];
    for row in &rows {
        let [id, name, domain, services] = row.as_slice() else { continue };
        let known: Vec<_> =
            [name, domain].into_iter().filter(|t| !t.is_empty()).map(String::as_str).collect();
        let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
        lines.push(format!("{id}{known}: {services}"));
    }
    let columns = ["id", "name", "domain", "services"].map(String::from).to_vec();
    let mut blocks = vec![Block::Table { title: Some(summary.clone()), columns, rows }];
    for gap in inventory.gaps() {
        lines.push(format!("Incomplete: {gap}"));
        blocks.push(Block::notice(Level::Warning, format!("The list is incomplete: {gap}")));
    }
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::HostName, inventory::Rules};

    fn listed(service: &str, state: State, health: Health) -> Listed {
        let labels = [("opsbot.customer", "19"), ("opsbot.service", service)];
        Listed {
            host: HostName::from("local"),
            id: "a".repeat(64),
            name: format!("c19-{service}"),
            labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            image: "i".into(),
            image_id: String::new(),
            state,
            health,
            status: String::new(),
            ports: vec![],
            volumes: vec![],
        }
    }

    #[test]
    fn whoever_is_not_up_is_marked_and_a_gap_is_told() {
        let gap = ToolError::BackendDown {
            backend: "Docker host b".into(),
            detail: "refused".into(),
            cure: "Look",
        };
        let all = vec![
            listed("web", State::Running, Health::Unhealthy),
            listed("db", State::Running, Health::None),
            listed("redis", State::Exited, Health::None),
        ];
        let out = render(&Inventory::build(&Rules::default(), all, vec![gap.clone()])).unwrap();
        assert_eq!(out.summary, "1 customer, 1 with containers not up");
        assert!(out.text.contains("19: db, redis (exited), web (unhealthy)"), "{}", out.text);
        assert!(out.text.contains("Docker host b is not answering"), "{}", out.text);
        assert_eq!(render(&Inventory::build(&Rules::default(), vec![], vec![gap.clone()])), Err(gap));
        assert!(matches!(render(&Inventory::default()), Err(ToolError::NothingFound(_))));
    }
}
