//! The tool `clear_cache`: a customer's caches emptied, wholly or by a pattern, one after the other, each verified.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::try_join_all;
use serde_json::{Map, Value};

use super::place::{customer_of, customer_param};
use crate::{
    agent::port::{RunContext, Tool},
    cache::{Broke, CustomerCache, Job, Kind, Report, Watch},
    domain::{
        Args, Block, CustomerId, Level, Outcome, Param, ParamKind, PlanStep, ResolvedCall, Risk, Target,
        ToolCall, ToolError, ToolOutput, ToolSpec,
    },
    inventory::InventorySource,
    policy::Permit,
};

/// `clear_cache(customer_id, kind?, pattern?)`.
#[derive(Debug)]
pub struct ClearCache {
    spec: ToolSpec,
    source: InventorySource,
    caches: Arc<[CustomerCache]>,
}

impl ClearCache {
    /// The tool over these caches.
    pub fn new(source: InventorySource, caches: Vec<CustomerCache>) -> Self {
        let param = |name, kind, help| Param { name, kind, required: false, help };
        let spec = ToolSpec {
            name: "clear_cache",
            summary: "Empty a customer's caches. The person is asked.",
            params: vec![
                customer_param(),
                param("kind", ParamKind::Choice(&["redis", "varnish"]), "default: all"),
                param("pattern", ParamKind::Text, "keys or pages, as session:* or /news/*; default: all"),
            ],
            floor: Risk::Confirm,
            default: Risk::Confirm,
            phrases: &[
                "clear cache",
                "clear the cache",
                "flush cache",
                "flush redis",
                "empty the cache",
                "purge cache",
                "purge varnish",
                "ban pages",
                "delete cached pages",
                "old page is shown",
                "stale page",
                "stale cache",
            ],
            untrusted: false,
            timeout: Duration::from_secs(900),
        };
        Self { spec, source, caches: caches.into() }
    }

    /// The jobs that the call means, in the configuration's order.
    fn jobs(&self, customer: &CustomerId, args: &Args) -> Result<Vec<Job>, ToolError> {
        let mine: Vec<_> = self.caches.iter().filter(|c| c.customer == *customer).map(|c| &c.cache).collect();
        if mine.is_empty() {
            return Err(ToolError::NothingFound(self.no_caches(customer)));
        }
        let (kind, pattern) = (args.text("kind"), args.text("pattern"));
        let meant: Vec<_> = mine
            .iter()
            .filter(|cache| kind.as_ref().is_none_or(|kind| *kind == cache.kind().to_string()))
            .collect();
        let has = |kind| meant.iter().any(|cache| cache.kind() == kind);
        if pattern.is_some() && has(Kind::Redis) && has(Kind::Varnish) {
            return Err(ToolError::BadArgs(format!(
                "a pattern means keys in Redis and pages in Varnish, and customer {customer} has both: say kind=redis \
                 or kind=varnish"
            )));
        }
        if meant.is_empty() {
            let (kind, there) = (kind.unwrap_or_default(), mine.iter().map(ToString::to_string));
            return Err(ToolError::UnknownId {
                what: "cache of the kind",
                given: kind,
                known: there.collect(),
            });
        }
        meant.iter().map(|cache| cache.clear(pattern.as_deref()).map_err(ToolError::BadArgs)).collect()
    }

    fn no_caches(&self, customer: &CustomerId) -> String {
        let mut others: Vec<_> = self.caches.iter().map(|c| c.customer.as_str()).collect();
        others.dedup();
        match others.as_slice() {
            [] => "no cache is configured; name them in [[cache]]".into(),
            others => format!(
                "no cache of customer {customer} is configured in [[cache]]; there are caches of {}",
                others.join(", ")
            ),
        }
    }
}

#[async_trait]
impl Tool for ClearCache {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let given =
            call.args.text("customer_id").ok_or_else(|| ToolError::BadArgs("name a customer".into()))?;
        let customer = self.source.snapshot().await.find_customer(&given)?;
        let jobs = self.jobs(&customer.id, &call.args)?;
        let looks = try_join_all(jobs.iter().map(Job::look)).await?;
        let step =
            |(job, now): (&Job, String)| PlanStep { text: job.to_string(), container: None, now: Some(now) };
        let mut args = Map::new();
        args.insert("customer_id".into(), customer.id.as_str().into());
        for name in ["kind", "pattern"] {
            args.extend(call.args.text(name).map(|value| (name.to_owned(), Value::from(value))));
        }
        Ok(ResolvedCall {
            call: ToolCall { tool: self.spec.name.into(), args: Args(args) },
            target: Target { customer: Some(customer.id), labels: customer.labels, ..Target::default() },
            plan: jobs.iter().zip(looks).map(step).collect(),
            steps: vec![],
        })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let customer = customer_of(resolved)?;
        let jobs = self.jobs(&customer, &resolved.call.args)?;
        let plan: Vec<_> = resolved.plan.iter().map(|step| step.text.clone()).collect();
        if jobs.iter().map(ToString::to_string).collect::<Vec<_>>() != plan {
            return Err(ToolError::Failed(
                "the configured caches changed since this was asked; nothing was cleared, ask again".into(),
            ));
        }
        let mut done: Vec<(&Job, Report)> = Vec::new();
        for job in &jobs {
            if cx.cancel.is_cancelled() {
                return Err(ToolError::Stopped(with_done("nothing more is cleared".into(), &done)));
            }
            (cx.progress)(job.to_string());
            let watch = Watch { progress: &*cx.progress, stopped: &|| cx.cancel.is_cancelled() };
            match job.run(&watch).await {
                Ok(report) => done.push((job, report)),
                Err(Broke::Stopped(so_far)) => return Err(ToolError::Stopped(with_done(so_far, &done))),
                Err(Broke::Failed(fault, None)) if done.is_empty() => return Err(fault.into()),
                Err(Broke::Failed(fault, so_far)) => {
                    let so_far = so_far.map(|text| format!("; {text}")).unwrap_or_default();
                    let text = format!("{}{so_far}", fault.to_string().trim_end_matches('.'));
                    return Err(ToolError::Failed(with_done(text, &done)));
                }
            }
        }
        Ok(told(&customer, &done))
    }
}

/// `…; done before: delete every key in redis 127.0.0.1:6379 db 0 (12 keys before, 0 keys now)`.
fn with_done(text: String, done: &[(&Job, Report)]) -> String {
    match done {
        [] => text,
        done => format!("{text}; done before: {}", done.iter().map(line).collect::<Vec<_>>().join("; ")),
    }
}

fn line((job, report): &(&Job, Report)) -> String {
    format!("{job} ({} before, {} now)", report.before, report.after)
}

fn told(customer: &CustomerId, done: &[(&Job, Report)]) -> ToolOutput {
    let cleared = done.iter().all(|(_, report)| report.cleared);
    let lines: Vec<_> = done.iter().map(line).collect();
    let summary = match (cleared, lines.as_slice()) {
        (true, lines) => format!("cleared for customer {customer}: {}", lines.join("; ")),
        (false, lines) => format!("not all is cleared for customer {customer}: {}", lines.join("; ")),
    };
    let rows =
        done.iter().map(|(job, report)| vec![job.to_string(), report.before.clone(), report.after.clone()]);
    let table = Block::Table {
        title: Some(format!("caches of customer {customer}")),
        columns: ["what", "before", "now"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
    };
    let mut blocks = vec![table];
    if !cleared {
        let text = "What was there before is there again: something fills it at once, or the cache does not do what it says. Look at its log.";
        blocks.insert(0, Block::notice(Level::Warning, text));
    }
    let outcome = if cleared { Outcome::Ok } else { Outcome::NotUp };
    ToolOutput { outcome, text: summary.clone(), summary, blocks }
}
