//! A site that never changes: four customers with three services each, real tools that find their targets in it, and
//! answers that come from the case.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::case::{Canned, Case};
use crate::{
    agent::port::{RunContext, Tool},
    app::{self, Failure},
    config::{self, Config, Env},
    docker::{Health, Listed, State},
    domain::{Block, Outcome, ResolvedCall, Target, ToolCall, ToolError, ToolOutput, ToolSpec, tool::hex},
    engine::Registry,
    inventory::InventorySource,
    policy::Permit,
    spill::SpillStore,
};

const CONFIG: &str = include_str!("../../tests/evals/site/config.toml");
const OUTPUTS: &str = include_str!("../../tests/evals/site/outputs.toml");
/// Each service and those that it needs.
const SERVICES: [(&str, &str); 3] = [("db", ""), ("redis", ""), ("web", "db,redis")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outputs {
    output: Vec<Canned>,
}

/// The site, before any case.
#[derive(Debug)]
pub struct Site {
    /// The configuration that describes it.
    pub config: Config,
    source: InventorySource,
    listed: Vec<Listed>,
    outputs: Vec<Canned>,
}

impl Site {
    /// The built-in one.
    ///
    /// # Errors
    /// A mistake of this build.
    pub fn new() -> Result<Self, Failure> {
        let path = Path::new("tests/evals/site/config.toml");
        let env = Env::new([("HOME", "/nonexistent")]);
        let config = config::parse(path, CONFIG, &env).map_err(|e| Failure::failed(e.to_string()))?;
        let outputs: Outputs = toml::from_str(OUTPUTS)
            .map_err(|e| Failure::failed(format!("tests/evals/site/outputs.toml: {e}")))?;
        let listed = config.customers.iter().enumerate().flat_map(|(n, c)| {
            let host = config.docker.get(n % config.docker.len().max(1));
            let host = host.map(|d| d.name.to_string()).unwrap_or_default();
            SERVICES.map(|(service, needs)| listed(&host, c.customer.id.as_str(), service, needs))
        });
        let listed: Vec<_> = listed.collect();
        let source = app::inventory_source(&config)?.fixed(listed.clone());
        Ok(Self { config, source, listed, outputs: outputs.output })
    }

    /// Who and what there is.
    pub fn source(&self) -> &InventorySource {
        &self.source
    }

    /// The real tools' specs, with answers from `case`.
    ///
    /// # Errors
    /// A mistake of this build.
    pub fn registry(&self, case: &Case, spill: &Arc<SpillStore>) -> Result<(Registry, Heard), Failure> {
        let source = self.source.clone().fixed(self.listed_in(case));
        let real = app::backends_over(&self.config, source.clone(), Some(spill.clone()))?.registry;
        let heard = Heard::default();
        let answers: Arc<Vec<Canned>> = Arc::new(case.output.iter().chain(&self.outputs).cloned().collect());
        let bodies = real.specs().iter().filter_map(|spec| real.tool(spec.name)).map(|tool| {
            let (inner, source) = (tool.clone(), source.clone());
            Arc::new(Stand { inner, source, answers: answers.clone(), heard: heard.clone() }) as Arc<dyn Tool>
        });
        let bodiless = real.specs().iter().filter(|spec| real.tool(spec.name).is_none()).cloned();
        Ok((Registry::new(bodies.collect(), bodiless.collect()), heard))
    }
}

impl Site {
    /// The containers as they are in `case`.
    fn listed_in(&self, case: &Case) -> Vec<Listed> {
        let stopped = |c: &Listed| case.stopped.iter().any(|s| c.name == format!("c{}", s.replace('/', "-")));
        let as_it_is = |c: &Listed| {
            let mut c = c.clone();
            if stopped(&c) {
                (c.state, c.health, c.status) =
                    (State::Exited, Health::None, "Exited (0) 2 hours ago".into());
            }
            c
        };
        self.listed.iter().map(as_it_is).collect()
    }
}

/// What tools answered, all together.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<String>>);

impl Heard {
    fn add(&self, text: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_str(text);
        all.push('\n');
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn listed(host: &str, customer: &str, service: &str, needs: &str) -> Listed {
    let name = format!("c{customer}-{service}");
    let labels: [(&str, &str); 3] =
        [("opsbot.customer", customer), ("opsbot.service", service), ("opsbot.depends_on", needs)];
    let labels = labels.into_iter().filter(|(_, v)| !v.is_empty());
    Listed {
        host: host.into(),
        id: hex(&Sha256::digest(name.as_bytes())),
        image: format!("shop/{service}:1.4"),
        image_id: format!("sha256:{}", hex(&Sha256::digest(service.as_bytes()))),
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>(),
        state: State::Running,
        health: Health::Healthy,
        status: "Up 9 days".into(),
        ports: vec![],
        volumes: vec![],
        name,
    }
}

/// A tool that finds its target as the real one does and answers what the case says.
struct Stand {
    inner: Arc<dyn Tool>,
    source: InventorySource,
    answers: Arc<Vec<Canned>>,
    heard: Heard,
}

#[async_trait]
impl Tool for Stand {
    fn spec(&self) -> &ToolSpec {
        self.inner.spec()
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        match self.inner.resolve(call).await {
            // It looks at a back end that is not here.
            Err(ToolError::BackendDown { .. } | ToolError::Timeout { .. }) => self.resolve_here(call).await,
            resolved => resolved,
        }
    }

    async fn call(&self, permit: Permit, _: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let call = &resolved.call;
        let (customer, service) = (call.args.text("customer_id"), call.args.text("service"));
        let fits = |want: &Option<String>, given: &Option<String>| want.is_none() || want == given;
        let found = self
            .answers
            .iter()
            .find(|a| a.tool == call.tool && fits(&a.customer, &customer) && fits(&a.service, &service));
        let Some(answer) = found else {
            return Err(ToolError::NothingFound(format!("{} has nothing to show", call.tool)));
        };
        let text = answer.text.trim();
        let text = text.replace("{customer}", customer.as_deref().unwrap_or("-"));
        let text = text.replace("{service}", service.as_deref().unwrap_or("web"));
        self.heard.add(&text);
        let lines = text.lines().map(str::to_owned).collect();
        let block = Block::Log { source: call.to_string(), lines, omitted: 0 };
        let summary = text.lines().next().unwrap_or_default().to_owned();
        Ok(ToolOutput { outcome: Outcome::Ok, summary, text, blocks: vec![block] })
    }
}

impl Stand {
    async fn resolve_here(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let mut call = call.clone();
        let mut target = Target::default();
        let inventory = self.source.snapshot().await;
        if let Some(given) = call.args.text("customer_id") {
            let customer = inventory.find_customer(&given)?;
            let service = call.args.text("service");
            let service = service.map(|s| inventory.find_service(&customer.id, &s)).transpose()?;
            call.args.0.insert("customer_id".into(), customer.id.as_str().into());
            if let Some(service) = &service {
                call.args.0.insert("service".into(), service.as_str().into());
            }
            let members = inventory.members(&customer.id).iter().map(|m| m.r.clone());
            target.containers =
                members.filter(|r| service.as_ref().is_none_or(|s| r.service == *s)).collect();
            (target.customer, target.service, target.labels) = (Some(customer.id), service, customer.labels);
        }
        Ok(ResolvedCall { call, target, plan: vec![], steps: vec![] })
    }
}
