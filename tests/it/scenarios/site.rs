//! A small site with four customers whose tools can be held, broken and watched.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use opsbot::{
    agent::port::{RunContext, Tool},
    docker::DockerHosts,
    domain::{
        Block, ContainerRef, Customer, CustomerId, Finding, Level, Outcome, Param, ParamKind, PlanStep,
        ResolvedCall, Risk, ServiceName, Severity, Target, ToolCall, ToolError, ToolOutput, ToolSpec,
        Untrusted,
    },
    engine::{Directory, Registry, playbook},
    inventory::{CustomerConfig, InventorySource, LabelNames, Rules},
    policy::Permit,
    tools,
};
use tokio::sync::watch;

pub const SERVICES: [&str; 3] = ["db", "redis", "web"];
const CUSTOMERS: [(&str, &str); 4] =
    [("7", "Nordwind Bakery"), ("12", "Kestrel Books"), ("16", "Alder Dental"), ("19", "Bloom Flowers")];

/// One container that was restarted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    pub customer: String,
    pub service: String,
    pub id: String,
}

/// How the site is.
#[derive(Debug, Default)]
pub struct State {
    /// What was restarted, in order.
    pub writes: Vec<Write>,
    /// Each customer's log, as bytes came.
    pub logs: BTreeMap<String, Vec<u8>>,
    /// Containers come back as others.
    pub generation: u32,
    /// What was restarted stays down.
    pub broken: bool,
    /// Tools wait before each step.
    pub held: bool,
    /// Reads wait until so many were entered.
    pub together: usize,
    /// Reads and write steps that were entered.
    pub entered: usize,
    /// Reads that were dropped before their end.
    pub dropped: usize,
    /// Reads that came to their end.
    pub ended: usize,
    /// The write panics.
    pub panics: bool,
    /// Finding out what a call would touch panics.
    pub lost: bool,
    /// Reads fail with these words.
    pub fails: Option<String>,
}

/// The site; tools and tests share it.
#[derive(Debug)]
pub struct Site(watch::Sender<State>);

impl Site {
    pub fn new() -> Arc<Self> {
        let site = Self(watch::Sender::new(State::default()));
        site.change(|s| {
            for (id, _) in CUSTOMERS {
                let line = format!("2026-09-21 14:00:0{} ERROR upstream timed out for {id}\n", id.len());
                s.logs.insert(id.into(), line.into_bytes());
            }
        });
        Arc::new(site)
    }

    pub fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.send_modify(change);
    }

    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.borrow())
    }

    pub fn log(&self, customer: &str, text: impl AsRef<[u8]>) {
        self.change(|s| {
            s.logs.insert(customer.into(), text.as_ref().to_vec());
        });
    }

    /// `19/web` for every restarted container, in order.
    pub fn writes(&self) -> Vec<String> {
        self.read(|s| s.writes.iter().map(|w| format!("{}/{}", w.customer, w.service)).collect())
    }

    /// Waits, at most 10 s, until `done` holds.
    pub async fn until(&self, done: impl FnMut(&State) -> bool) {
        let mut state = self.0.subscribe();
        let found = tokio::time::timeout(Duration::from_secs(10), state.wait_for(done)).await;
        found.expect("the site waits in vain").unwrap();
    }

    /// One step of work: counted, and held as long as the site is.
    async fn step(&self) {
        self.change(|s| s.entered += 1);
        self.0.subscribe().wait_for(|s| !s.held && s.entered >= s.together).await.unwrap();
    }

    pub fn container(&self, customer: &str, service: &str) -> ContainerRef {
        let generation = self.read(|s| s.generation);
        let id: String =
            format!("{generation}{customer}{service}").bytes().map(|b| format!("{b:02x}")).collect();
        ContainerRef {
            host: "local".into(),
            id: format!("{id:0<64}"),
            name: format!("c{customer}-{service}"),
            service: service.into(),
        }
    }

    pub fn directory() -> Directory {
        let customers = CUSTOMERS.map(|(id, name)| Customer {
            id: id.into(),
            name: Some(name.into()),
            aliases: vec![],
            domain: None,
            labels: labels(id),
        });
        let services = CUSTOMERS
            .iter()
            .flat_map(|(id, _)| SERVICES.map(|s| (CustomerId::from(*id), ServiceName::from(s))))
            .collect();
        Directory { customers: customers.to_vec(), services }
    }

    /// An inventory that knows the same customers and no container.
    pub fn inventory() -> InventorySource {
        let customers = Self::directory().customers.into_iter().map(|customer| CustomerConfig {
            customer,
            containers: vec![],
            hosts: vec![],
        });
        let rules = Rules::new(LabelNames::default(), customers.collect()).unwrap();
        InventorySource::new(DockerHosts::connect(vec![]), rules)
    }

    /// All tools over this site, `more`, and those that have no body.
    pub fn registry(self: &Arc<Self>, more: &[Arc<dyn Tool>]) -> Registry {
        let customer = || param("customer_id", ParamKind::Customer, true);
        let service = || param("service", ParamKind::Service, false);
        let tool = |kind, spec| Arc::new(SiteTool { site: self.clone(), kind, spec }) as Arc<dyn Tool>;
        let mut all = vec![
            tool(Kind::CheckUp, spec("check_up", vec![customer()], Risk::Safe, true)),
            tool(Kind::Customers, spec("list_customers", vec![], Risk::Safe, false)),
            tool(Kind::Health, spec("get_health_score", vec![customer()], Risk::Safe, false)),
            tool(Kind::Logs, spec("get_recent_logs", vec![customer(), service(), lines()], Risk::Safe, true)),
            tool(Kind::Restart, spec("restart_container", vec![customer(), service()], Risk::Confirm, true)),
        ];
        all.extend_from_slice(more);
        let mut bodiless = tools::blocked_specs();
        bodiless.push(playbook::spec());
        Registry::new(all, bodiless)
    }
}

fn labels(customer: &str) -> BTreeMap<String, String> {
    let tier = if customer == "16" { "gold" } else { "silver" };
    [("tier".to_owned(), tier.to_owned())].into()
}

fn param(name: &'static str, kind: ParamKind, required: bool) -> Param {
    Param { name, kind, required, help: "" }
}

fn lines() -> Param {
    param("lines", ParamKind::Integer { min: 1, max: 500 }, false)
}

fn spec(name: &'static str, params: Vec<Param>, floor: Risk, untrusted: bool) -> ToolSpec {
    let timeout = Duration::from_secs(20);
    ToolSpec {
        name,
        summary: "Works on the site.",
        params,
        floor,
        default: floor,
        phrases: match name {
            "check_up" => &["what is wrong", "how is it"],
            "get_recent_logs" => &["show logs", "recent logs"],
            "get_health_score" => &["how healthy is it"],
            _ => &[],
        },
        untrusted,
        timeout,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    CheckUp,
    Customers,
    Health,
    Logs,
    Restart,
}

struct SiteTool {
    site: Arc<Site>,
    kind: Kind,
    spec: ToolSpec,
}

/// Counts how a read ended.
struct Watched<'a>(&'a Site, bool);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.change(|s| if self.1 { s.ended += 1 } else { s.dropped += 1 });
    }
}

#[async_trait]
impl Tool for SiteTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        assert!(!self.site.read(|s| s.lost), "the inventory breaks");
        let mut target = Target::default();
        if let Some(given) = call.args.text("customer_id") {
            let Some((id, _)) = CUSTOMERS.iter().find(|(id, name)| *id == given || *name == given) else {
                let known = CUSTOMERS.map(|(id, _)| id.to_owned()).to_vec();
                return Err(ToolError::UnknownId { what: "customer", given, known });
            };
            let service = call.args.text("service");
            if let Some(given) = service.as_ref().filter(|s| !SERVICES.contains(&s.as_str())) {
                let known = SERVICES.map(String::from).to_vec();
                return Err(ToolError::UnknownId { what: "service", given: given.clone(), known });
            }
            let meant = SERVICES.iter().filter(|s| service.as_deref().is_none_or(|given| given == **s));
            target.containers = meant.map(|s| self.site.container(id, s)).collect();
            target.service = service.map(ServiceName::new);
            target.customer = Some((*id).into());
            target.labels = labels(id);
        }
        let plan = match self.kind {
            Kind::Restart => target.containers.iter().map(step).collect(),
            Kind::CheckUp | Kind::Customers | Kind::Health | Kind::Logs => vec![],
        };
        Ok(ResolvedCall { call: call.clone(), target, plan, steps: vec![] })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let target = permit.call().target.clone();
        if let Kind::Restart = self.kind {
            return self.restart(&target, cx).await;
        }
        let mut watched = Watched(&self.site, false);
        self.site.step().await;
        watched.1 = true;
        if let Some(why) = self.site.read(|s| s.fails.clone()) {
            return Err(ToolError::Failed(why));
        }
        let customer = target.customer.map(|c| c.to_string()).unwrap_or_default();
        let raw = self.site.read(|s| s.logs.get(&customer).cloned().unwrap_or_default());
        let log = Untrusted::from_bytes(&raw);
        let log = log.as_str();
        let (text, block) = match self.kind {
            Kind::CheckUp => {
                let finding = Finding {
                    severity: Severity::Critical,
                    summary: format!("web of {customer} is unhealthy"),
                    source: "logs web".into(),
                    at: None,
                    quote: Some(log.to_owned()),
                };
                let text = format!("critical: web of {customer} is unhealthy\n{log}");
                (text, Block::Findings { title: format!("Check-up of {customer}"), items: vec![finding] })
            }
            Kind::Logs => {
                let lines = log.lines().map(str::to_owned).collect();
                (log.to_owned(), Block::Log { source: format!("c{customer}-web"), lines, omitted: 0 })
            }
            Kind::Health => (format!("score of {customer}: 40"), Block::text(format!("{customer}: 40"))),
            Kind::Customers | Kind::Restart => {
                let ids = CUSTOMERS.map(|(id, _)| id).join(", ");
                (ids.clone(), Block::text(ids))
            }
        };
        Ok(ToolOutput { outcome: Outcome::Ok, summary: "looked".into(), text, blocks: vec![block] })
    }
}

fn step(container: &ContainerRef) -> PlanStep {
    let text = format!("restart container {} on {}", container.name, container.host);
    PlanStep { text, container: Some(container.clone()), now: None }
}

impl SiteTool {
    async fn restart(&self, target: &Target, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let customer = target.customer.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut done = Vec::new();
        for container in &target.containers {
            if cx.cancel.is_cancelled() {
                let what = if done.is_empty() { "nothing".into() } else { done.join(", ") };
                return Err(ToolError::Stopped(format!("restarted {what}, the rest not")));
            }
            self.site.step().await;
            assert!(!self.site.read(|s| s.panics), "the tool breaks");
            let (id, service) = (container.id.clone(), container.service.to_string());
            done.push(service.clone());
            self.site.change(|s| s.writes.push(Write { customer: customer.clone(), service, id }));
        }
        if self.site.read(|s| s.broken) {
            let quote = "panic: cannot bind 0.0.0.0:80".to_owned();
            let evidence =
                Block::Log { source: format!("c{customer}-web"), lines: vec![quote.clone()], omitted: 0 };
            let summary = format!("{} of {customer} restarted but not up", done.join(", "));
            return Ok(ToolOutput { outcome: Outcome::NotUp, summary, text: quote, blocks: vec![evidence] });
        }
        let summary = format!("{} of {customer} restarted, all up", done.join(", "));
        let told = Block::notice(Level::Info, summary.clone());
        Ok(ToolOutput { outcome: Outcome::Ok, text: summary.clone(), summary, blocks: vec![told] })
    }
}
