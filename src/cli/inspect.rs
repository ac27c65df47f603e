//! Commands that only read: the configuration and the policy; they need no store and no daemon.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, args::PolicyCheck, say};
use crate::{
    app::{self, Backends, Failure},
    config::{self, Env},
    domain::{Actor, Customer, CustomerId, PersonName, ResolvedCall, Target, ToolCall},
    policy::{self, Question},
    runtime::clock,
};

/// Reports everything that is wrong, rules included; 78 when anything is.
pub(super) fn config_check(file: Option<&Path>, env: &Env, json: bool) -> Result<u8, Failure> {
    let (config, source) = config::load(file, env).map_err(|e| Failure::config(e.to_string()))?;
    let Backends { registry, playbooks, .. } = app::backends(&config, None)?;
    if !playbooks.problems().is_empty() {
        let dir = config.playbooks.dir.display();
        let all: Vec<_> = playbooks.problems().iter().map(|p| format!("{dir}/{p}")).collect();
        return Err(Failure::config(all.join("\n")));
    }
    let (policy, warnings) = app::policy(&config, &source.path, registry.specs())?;
    let counts = [
        (config.people.len(), "person", "people"),
        (config.customers.len(), "named customer", "named customers"),
        (config.docker.len(), "Docker host", "Docker hosts"),
        (policy.rules().len(), "rule", "rules"),
    ];
    if json {
        say_json(&json!({
            "file": source.path, "named_by": source.named_by, "warnings": warnings,
            "people": counts[0].0, "customers": counts[1].0, "docker": counts[2].0, "rules": counts[3].0,
        }))?;
        return Ok(0);
    }
    for warning in warnings {
        say(&format!("warning: {warning}"))?;
    }
    let counts = counts.map(|(n, one, many)| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") });
    say(&format!("{} is fine ({}): {}.", source.path.display(), source.named_by, counts.join(", ")))?;
    Ok(0)
}

pub(super) fn config_show(context: &Context) -> Result<u8, Failure> {
    if context.style.json {
        say_json(&context.config)?;
    } else {
        say(config::show(&context.config).trim_end())?;
    }
    Ok(0)
}

/// Explains a decision by the function that the daemon calls.
pub(super) async fn policy_check(context: Context, check: PolicyCheck) -> Result<u8, Failure> {
    let Backends { registry, .. } = app::backends(&context.config, None)?;
    let (policy, warnings) = app::policy(&context.config, &context.source.path, registry.specs())?;
    for warning in warnings.iter().filter(|_| !context.style.json) {
        say(&format!("warning: {warning}"))?;
    }
    let usage = |text: String| Failure { code: 2, busy: false, text };
    let call = policy::parse_call(&check.call).map_err(usage)?;
    let spec = registry.spec(&call.tool);
    let call = match spec {
        Some(spec) => {
            let args = spec.read_args(&Value::Object(call.args.0.clone())).map_err(usage)?;
            ToolCall { args, ..call }
        }
        None => call,
    };
    let (mut resolved, note) = match registry.tool(&call.tool) {
        Some(tool) => match tool.resolve(&call).await {
            Ok(resolved) => (resolved, None),
            Err(error) => (
                by_config(&context, call),
                Some(format!("the inventory could not be asked ({error}); labels are the configuration's")),
            ),
        },
        None => (by_config(&context, call), None),
    };
    for label in &check.labels {
        let (name, value) =
            label.split_once('=').ok_or_else(|| usage(format!("--with {label}: write LABEL=VALUE")))?;
        resolved.target.labels.insert(name.to_owned(), value.to_owned());
    }
    let actor = Actor {
        person: PersonName::new(&check.by),
        role: check.role,
        channel: check.channel,
        origin: check.origin,
    };
    let now: Timestamp = check.at.unwrap_or_else(clock::now);
    let question =
        Question { spec, call: &resolved, actor: &actor, tainted: check.tainted, frozen: false, now };
    let verdict = policy::judge(&policy, &question);
    if context.style.json {
        say_json(&json!({ "call": resolved.call, "verdict": verdict, "note": note, "warnings": warnings }))?;
        return Ok(0);
    }
    say(&verdict.explain(&resolved.call))?;
    if let Some(note) = note {
        say(&format!("  note: {note}"))?;
    }
    Ok(0)
}

/// Writes `value` as one line of JSON.
fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    say(&serde_json::to_string(value).map_err(|e| Failure::failed(e.to_string()))?)
}

/// The target as far as the configuration alone knows it.
fn by_config(context: &Context, call: ToolCall) -> ResolvedCall {
    let given = call.args.text("customer_id");
    let customer = context
        .config
        .customers
        .iter()
        .map(|c| &c.customer)
        .find(|c| given.as_deref() == Some(c.id.as_str()));
    let target = Target {
        customer: customer.map(|c: &Customer| c.id.clone()).or(given.map(CustomerId::new)),
        service: call.args.text("service").map(crate::domain::ServiceName::new),
        labels: customer.map(|c| c.labels.clone()).unwrap_or_default(),
        containers: vec![],
    };
    ResolvedCall { call, target, plan: vec![], steps: vec![] }
}
