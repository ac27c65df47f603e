//! The tool `list_containers`: every container of every host, by compose project, trouble first.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{
    customers::ill,
    scope::{Scope, Seen, customer_param, host_param},
};
use crate::{
    agent::port::{RunContext, Tool},
    docker::{Health, Listed},
    domain::{
        Block, Level, Outcome, Param, ParamKind, ResolvedCall, Risk, ToolCall, ToolError, ToolOutput,
        ToolSpec, Untrusted,
    },
    inventory::InventorySource,
    policy::Permit,
};

const COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// `list_containers(customer_id?, host?, project?)`.
#[derive(Debug)]
pub struct ListContainers {
    spec: ToolSpec,
    source: InventorySource,
}

impl ListContainers {
    /// The tool.
    pub fn new(source: InventorySource) -> Self {
        let project = Param {
            name: "project",
            kind: ParamKind::Text,
            required: false,
            help: "compose project; default: all",
        };
        let spec = ToolSpec {
            name: "list_containers",
            summary: "All containers on all Docker hosts, by compose project.",
            params: vec![customer_param(), host_param(), project],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "docker ps",
                "all containers",
                "list containers",
                "running containers",
                "which containers",
                "what runs",
                "compose projects",
                "stopped containers",
                "open ports",
                "which image",
            ],
            untrusted: true,
            timeout: Duration::from_secs(20),
        };
        Self { spec, source }
    }
}

#[async_trait]
impl Tool for ListContainers {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Ok(Scope::find(&self.source, call).await?.resolved(call))
    }

    async fn call(&self, permit: Permit, _cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let call = &permit.call().call;
        let scope = Scope::find(&self.source, call).await?;
        render(&scope, call.args.text("project").as_deref())
    }
}

/// Containers that are shown together.
#[derive(Default)]
struct Group<'a> {
    members: Vec<Seen<'a>>,
}

/// What the containers of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Project(String),
    Customer(String),
    Other,
}

impl Key {
    fn of(seen: &Seen<'_>) -> Self {
        match (project(seen.listed), seen.customer) {
            (Some(project), _) => Self::Project(project),
            (None, Some(customer)) => Self::Customer(customer.id.to_string()),
            (None, None) => Self::Other,
        }
    }
}

fn project(listed: &Listed) -> Option<String> {
    let label = listed.labels.get(COMPOSE_PROJECT)?;
    Some(Untrusted::new(label.trim()).cut(64).to_string()).filter(|p| !p.is_empty())
}

impl Group<'_> {
    fn ill(&self) -> usize {
        self.members.iter().filter(|s| ill(s.listed)).count()
    }

    fn title(&self, key: &Key) -> String {
        let mut owners: Vec<_> =
            self.members.iter().filter_map(|s| Some(s.customer?.id.to_string())).collect();
        owners.dedup();
        let name = match key {
            Key::Project(project) => match owners.as_slice() {
                [] => project.clone(),
                owners => format!("{project} (customer {})", owners.join(", ")),
            },
            Key::Customer(id) => format!("customer {id}"),
            Key::Other => "other".into(),
        };
        let count = count(self.members.len(), "container");
        match self.ill() {
            0 => format!("{name}: {count}"),
            n => format!("{name}: {count}, {n} not well"),
        }
    }
}

fn render(scope: &Scope, wanted: Option<&str>) -> Result<ToolOutput, ToolError> {
    let all = scope.containers();
    let mut groups = BTreeMap::<Key, Group<'_>>::new();
    for seen in &all {
        groups.entry(Key::of(seen)).or_default().members.push(*seen);
    }
    if let Some(wanted) = wanted {
        groups = only(groups, wanted, scope)?;
    }
    let gaps = scope.gaps();
    let shown: usize = groups.values().map(|g| g.members.len()).sum();
    if shown == 0 {
        return Err(scope.nothing("there is no container there"));
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(key, group)| (Reverse(group.ill()), key.clone()));
    let summary = summary(scope, &groups, gaps.len());
    let with_host = scope.host.is_none() && scope.hosts().len() > 1;
    let mut lines = vec![summary.clone()];
    let mut blocks = vec![Block::text(summary.clone())];
    // What is missing comes before what is there.
    for gap in &gaps {
        lines.push(format!("Incomplete: {gap}"));
        blocks.push(Block::notice(Level::Warning, format!("The list is incomplete: {gap}")));
    }
    for (key, group) in &mut groups {
        group.members.sort_by_key(|s| (!ill(s.listed), s.service.cloned(), s.listed.name.clone()));
        let title = group.title(key);
        lines.push(format!("{title}:"));
        lines.extend(group.members.iter().map(|s| line(s.listed, with_host)));
        blocks.push(table(title, group, with_host));
    }
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks })
}

fn only<'a>(
    groups: BTreeMap<Key, Group<'a>>,
    wanted: &str,
    scope: &Scope,
) -> Result<BTreeMap<Key, Group<'a>>, ToolError> {
    let is_it = |key: &Key| matches!(key, Key::Project(p) if p.eq_ignore_ascii_case(wanted.trim()));
    if groups.keys().any(is_it) {
        return Ok(groups.into_iter().filter(|(key, _)| is_it(key)).collect());
    }
    if let Some(gap) = scope.inventory.first_gap() {
        return Err(gap.clone());
    }
    let known = groups.into_keys().filter_map(|key| match key {
        Key::Project(project) => Some(project),
        Key::Customer(_) | Key::Other => None,
    });
    Err(ToolError::UnknownId { what: "compose project", given: wanted.to_owned(), known: known.collect() })
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn summary(scope: &Scope, groups: &[(Key, Group<'_>)], gaps: usize) -> String {
    let members = || groups.iter().flat_map(|(_, g)| &g.members);
    let mut hosts: Vec<_> = members().map(|s| &s.listed.host).collect();
    hosts.sort();
    hosts.dedup();
    let whose = scope.customer.as_ref().map_or_else(String::new, |c| format!("customer {}: ", c.id));
    let ill = members().filter(|s| ill(s.listed)).count();
    let well = if ill == 0 { "all well".into() } else { format!("{ill} not well") };
    let all = count(members().count(), "container");
    let mut text = format!("{whose}{all} on {}, {well}", count(hosts.len(), "host"));
    if gaps > 0 {
        text += &format!("; {} not seen", count(gaps, "host"));
    }
    text
}

fn ports(listed: &Listed) -> String {
    listed.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn table(title: String, group: &Group<'_>, with_host: bool) -> Block {
    let mut columns = vec!["container", "state", "health", "uptime", "image", "ports"];
    if with_host {
        columns.push("host");
    }
    let row = |s: &Seen<'_>| {
        let l = s.listed;
        let health = if l.health == Health::None { String::new() } else { l.health.to_string() };
        let mut row =
            vec![l.name.clone(), l.state.to_string(), health, l.status.clone(), l.image.clone(), ports(l)];
        if with_host {
            row.push(l.host.to_string());
        }
        row
    };
    let columns = columns.into_iter().map(String::from).collect();
    Block::Table { title: Some(title), columns, rows: group.members.iter().map(row).collect() }
}

fn line(l: &Listed, with_host: bool) -> String {
    let mut text = format!("- {}: {}", l.name, l.state);
    if l.health != Health::None {
        text += &format!(", {}", l.health);
    }
    if !l.status.is_empty() {
        text += &format!(", {}", l.status);
    }
    text += &format!(", image {}", l.image);
    if !l.ports.is_empty() {
        text += &format!(", ports {}", ports(l));
    }
    if with_host {
        text += &format!(", on {}", l.host);
    }
    text
}
