//! Runs of playbooks: planned as one call whose steps are calls, asked for on one card, run step by step.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Engine, Sink};
use crate::{
    domain::{
        Args, Block, Outbound, Outcome, Param, ParamKind, PlanStep, ResolvedCall, Risk, Target, ToolCall,
        ToolError, ToolSpec,
    },
    playbook::{Playbook, Playbooks},
    policy::{self, Approval, Permit, Question},
    runtime::clock,
};

/// The tool that runs a playbook.
pub const RUN_PLAYBOOK: &str = "run_playbook";

/// How the steps of a run ended.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// What became of each step that was tried.
    pub(super) told: Vec<String>,
    /// What they showed.
    pub(super) blocks: Vec<Block>,
    /// Why it ended before its last step, and whether what the last one did is unknown.
    pub(super) broken: Option<bool>,
}

/// What is known of `run_playbook`; its steps are the work of the engine.
pub fn spec() -> ToolSpec {
    let name = Param { name: "name", kind: ParamKind::Text, required: true, help: "the playbook" };
    let customer =
        Param { name: "customer_id", kind: ParamKind::Customer, required: false, help: "id or name" };
    ToolSpec {
        name: RUN_PLAYBOOK,
        summary: "Run a playbook, a fixed list of steps such as recover-web, for a customer.",
        phrases: &[
            "run the playbook",
            "start the playbook",
            "execute the runbook",
            "carry out the procedure",
        ],
        params: vec![name, customer],
        floor: Risk::Confirm,
        default: Risk::Confirm,
        untrusted: true,
        timeout: Duration::from_secs(600),
    }
}

impl Engine {
    /// The playbooks.
    pub fn playbooks(&self) -> Arc<Playbooks> {
        self.0.parts.playbooks.clone()
    }

    /// What a run would do right now: every step resolved, in canonical form.
    pub(super) async fn plan_run(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let playbooks = self.playbooks();
        let playbook = find(&playbooks, call)?;
        let given = call.args.text("customer_id");
        let mut whole = ResolvedCall {
            call: ToolCall { tool: RUN_PLAYBOOK.to_owned(), args: Args::default() },
            target: Target::default(),
            plan: vec![],
            steps: vec![],
        };
        for (n, (step, call)) in
            playbook.calls(given.as_deref()).map_err(ToolError::BadArgs)?.into_iter().enumerate()
        {
            let resolved = self.resolve_step(&step.id, &call).await?;
            whole.plan.extend(lines(n, &resolved));
            widen(&mut whole.target, &resolved.target);
            whole.steps.push(resolved);
        }
        whole.call.args.0.insert("name".to_owned(), playbook.name.as_str().into());
        if let Some(customer) = whole.target.customer.as_ref().filter(|_| playbook.for_customer) {
            whole.call.args.0.insert("customer_id".to_owned(), customer.as_str().into());
        }
        Ok(whole)
    }

    async fn resolve_step(&self, id: &str, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let spec = self.registry().spec(&call.tool).filter(|s| s.name != RUN_PLAYBOOK);
        let spec =
            spec.ok_or_else(|| ToolError::BadArgs(format!("step {id}: there is no tool `{}`", call.tool)))?;
        let args = spec.read_args(&Value::Object(call.args.0.clone()));
        let args = args.map_err(|e| ToolError::BadArgs(format!("step {id}: {e}")))?;
        self.resolve_tool(spec, &ToolCall { args, ..call.clone() }).await
    }

    /// Runs the steps of a permitted run, each with a permit of its own; the first that fails is the last.
    pub(super) async fn run_steps(
        &self,
        whole: Permit,
        approval: &Approval,
        cancel: &CancellationToken,
        sink: &Sink,
    ) -> Run {
        let mut run = Run::default();
        let steps = whole.call().steps.clone();
        let all = steps.len();
        for (n, step) in steps.iter().enumerate() {
            let number = format!("step {} of {all}, {}", n + 1, step.call);
            if cancel.is_cancelled() {
                return run.ends(format!("stopped before {number}"), false);
            }
            sink.try_send(Outbound::Progress { text: format!("{number} …") });
            let permit = match self.permit_step(&whole, n, approval).await {
                Ok(permit) => permit,
                Err(why) => return run.ends(format!("{number}: not run, {why}"), false),
            };
            let Some(spec) = self.registry().spec(&step.call.tool) else {
                return run.ends(format!("{number}: the tool is gone"), false);
            };
            match self.run(permit, spec, cancel, sink, clock::now()).await {
                Ok(output) => {
                    run.blocks.extend(output.blocks);
                    if output.outcome == Outcome::NotUp {
                        return run.ends(format!("{number}: {}", output.summary), false);
                    }
                    run.told.push(format!("{}. {}", n + 1, output.summary));
                }
                Err(error) => {
                    let unknown = spec.is_write()
                        && matches!(error, ToolError::Timeout { .. } | ToolError::Broke { .. });
                    return run.ends(format!("{number}: {error}"), unknown);
                }
            }
        }
        run
    }

    /// Looks again at what step `n` would touch, and at the rules and the freeze latch as they are now.
    async fn permit_step(&self, whole: &Permit, n: usize, approval: &Approval) -> Result<Permit, String> {
        let shown = whole.call().steps.get(n).ok_or("there is no such step")?;
        let fresh = self.resolve_step(&(n + 1).to_string(), &shown.call).await.map_err(|e| e.to_string())?;
        let frozen = self.store().frozen().await.map_err(|e| e.to_string())?.is_some();
        let question = Question {
            spec: self.registry().spec(&fresh.call.tool),
            call: &fresh,
            actor: &approval.requester,
            tainted: approval.tainted,
            frozen,
            now: clock::now(),
        };
        policy::permit_step(&self.0.parts.policy, (whole, n), approval.risk, &question)
    }
}

impl Run {
    fn ends(mut self, why: String, unknown: bool) -> Self {
        self.told.push(why);
        self.broken = Some(unknown);
        self
    }
}

fn find<'a>(playbooks: &'a Playbooks, call: &ToolCall) -> Result<&'a Playbook, ToolError> {
    let given = call.args.text("name").unwrap_or_default();
    let wanted = given.trim().to_lowercase().replace([' ', '_'], "-");
    playbooks.get(given.trim()).or_else(|| playbooks.get(&wanted)).ok_or_else(|| {
        let known = playbooks.all().iter().map(|p| p.name.clone()).collect();
        ToolError::UnknownId { what: "playbook", given, known }
    })
}

/// What a step does, in the lines of the whole plan.
fn lines(n: usize, step: &ResolvedCall) -> Vec<PlanStep> {
    if step.plan.is_empty() {
        return vec![PlanStep { text: format!("step {}: {}", n + 1, step.call), container: None, now: None }];
    }
    let line = |p: &PlanStep| PlanStep { text: format!("step {}: {}", n + 1, p.text), ..p.clone() };
    step.plan.iter().map(line).collect()
}

/// The target of the whole is whatever a step touches.
fn widen(whole: &mut Target, step: &Target) {
    if whole.customer.is_none() {
        whole.customer.clone_from(&step.customer);
        whole.labels.clone_from(&step.labels);
    }
    for container in &step.containers {
        if !whole.containers.contains(container) {
            whole.containers.push(container.clone());
        }
    }
}
