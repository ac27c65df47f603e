//! The one gate that every call passes, from a model, a slash command or anywhere else: resolve, judge, then run or ask.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Engine, Sink, memory::Recall, playbook::RUN_PLAYBOOK, present};
use crate::{
    agent::{CallResult, port::RunContext, step},
    domain::{
        Actor, AuditEntry, AuditKind, Block, ConversationKey, Level, Outbound, ParamKind, ResolvedCall,
        Target, ToolCall, ToolError, ToolOutput, ToolSpec, tool::hex,
    },
    policy::{self, Known, Naming, Permit, Question, Spoken},
    runtime::clock,
};
use tokio_util::sync::CancellationToken;

/// Who calls, and what the context has seen.
#[derive(Clone, Debug)]
pub(super) struct Caller<'a> {
    pub(super) actor: &'a Actor,
    pub(super) conversation: &'a ConversationKey,
    pub(super) tainted: bool,
    /// The person's own words.
    pub(super) words: &'a Spoken,
    /// More than own words is in the context.
    pub(super) foreign: bool,
    pub(super) cancel: &'a CancellationToken,
}

/// What one call came to.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) result: CallResult,
    /// The output was untrusted.
    pub(super) taints: bool,
    pub(super) audit: Vec<AuditEntry>,
}

impl Gated {
    fn new(result: CallResult, audit: Vec<AuditEntry>) -> Self {
        Self { result, taints: false, audit }
    }
}

impl Engine {
    /// Judges `call`; runs it when it is Safe and shows what it brought.
    pub(super) async fn gate(&self, call: &ToolCall, caller: &Caller<'_>, sink: &Sink) -> Gated {
        let now = clock::now();
        let Some(spec) = self.registry().spec(&call.tool) else {
            return Gated::new(CallResult::Failed(format!("there is no tool `{}`", call.tool)), vec![]);
        };
        let resolved = match self.resolve(spec, call).await {
            Ok(resolved) => resolved,
            Err(error) => {
                let audit = caller.entry(
                    AuditKind::Judged,
                    now,
                    format!("{call} could not be resolved"),
                    json!({
                        "call": call, "error": error.to_string(),
                    }),
                );
                return Gated::new(self.failed(&error), vec![self.clean(audit)]);
            }
        };
        let frozen = match self.store().frozen().await {
            Ok(latch) => latch.is_some(),
            Err(error) => return Gated::new(self.failed(&error), vec![]),
        };
        let question = Question {
            spec: Some(spec),
            call: &resolved,
            actor: caller.actor,
            tainted: caller.tainted,
            frozen,
            now,
        };
        match policy::permit_safe(&self.0.parts.policy, &question) {
            Ok(permit) => self.read(permit, spec, caller, sink).await,
            Err(_) => {
                let verdict = policy::judge_whole(&self.0.parts.policy, self.registry().specs(), &question);
                let detail = json!({
                    "call": resolved.call, "risk": verdict.risk,
                    "decided_by": verdict.decided_by.to_string(), "reason": verdict.reason,
                });
                let summary = format!("{}: {} by {}", resolved.call, verdict.risk, verdict.decided_by);
                let audit = vec![self.clean(caller.entry(AuditKind::Judged, now, summary, detail))];
                if verdict.risk == crate::domain::Risk::Blocked {
                    let reason = verdict.why();
                    self.count("opsbot_refusals_total", &call.tool);
                    return Gated::new(CallResult::Refused(reason), audit);
                }
                let directory = (self.0.parts.directory)().await;
                let known = Known { customers: &directory.customers, services: &directory.services };
                match caller.words.names_for(spec, &resolved, &known) {
                    Naming::NotNamed { ask } => match narrowed(&resolved, spec, caller.words, &known) {
                        // It names a service, so this does not come here again.
                        Some(narrow) => Box::pin(self.gate(&narrow, caller, sink)).await,
                        None => Gated::new(CallResult::NotNamed(ask), audit),
                    },
                    Naming::Named => {
                        // The card's own row tells the verdict, and comes first.
                        Gated::new(CallResult::NeedsApproval(Box::new((resolved, verdict))), vec![])
                    }
                }
            }
        }
    }

    /// What `call` would touch right now; a call without a body resolves to the customer that it names.
    pub(super) async fn resolve(&self, spec: &ToolSpec, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        if spec.name == RUN_PLAYBOOK {
            self.plan_run(call).await
        } else {
            self.resolve_tool(spec, call).await
        }
    }

    /// The same for a call without steps.
    pub(super) async fn resolve_tool(
        &self,
        spec: &ToolSpec,
        call: &ToolCall,
    ) -> Result<ResolvedCall, ToolError> {
        match self.registry().tool(spec.name) {
            Some(tool) => tokio::time::timeout(spec.timeout, tool.resolve(call))
                .await
                .unwrap_or_else(|_| Err(timed_out(spec))),
            None => Ok(ResolvedCall {
                call: call.clone(),
                target: Target {
                    customer: call.args.text("customer_id").map(crate::domain::CustomerId::new),
                    ..Target::default()
                },
                plan: vec![],
                steps: vec![],
            }),
        }
    }

    async fn read(&self, permit: Permit, spec: &ToolSpec, caller: &Caller<'_>, sink: &Sink) -> Gated {
        let call = permit.call().call.clone();
        sink.try_send(Outbound::Progress { text: format!("{call} …") });
        let (now, watch) = (clock::now(), crate::runtime::Stopwatch::start());
        let notes = caller.notes(self);
        let outcome = self.run(permit, spec, (caller.cancel, notes), sink, now).await;
        self.0.parts.counters.observe("opsbot_tool_seconds", &[("tool", spec.name)], watch.seconds());
        self.count("opsbot_tool_calls_total", spec.name);
        let (result, digest) = match outcome {
            Ok(output) => {
                let digest = hex(&Sha256::digest(output.text.as_bytes()));
                (CallResult::Output(self.show(output, spec, sink, now).await), json!(digest))
            }
            Err(error) => (self.failed(&error), json!({"error": error.to_string()})),
        };
        let detail = json!({"call": call, "result": digest, "ms": watch.elapsed().as_millis() as u64});
        let audit = vec![self.clean(caller.entry(AuditKind::Read, now, call.to_string(), detail))];
        Gated { taints: spec.untrusted, ..Gated::new(result, audit) }
    }

    /// Runs a permitted call under its timeout.
    pub(super) async fn run(
        &self,
        permit: Permit,
        spec: &ToolSpec,
        (cancel, notes): (&CancellationToken, Recall),
        sink: &Sink,
        now: Timestamp,
    ) -> Result<ToolOutput, ToolError> {
        let Some(tool) = self.registry().tool(spec.name) else {
            return Err(ToolError::Failed(format!("{} has no body in this build", spec.name)));
        };
        let progress = sink.clone();
        let person = notes.person.clone();
        let cx = RunContext {
            person,
            now,
            cancel: cancel.clone(),
            progress: std::sync::Arc::new(move |text| progress.try_send(Outbound::Progress { text })),
            notes: std::sync::Arc::new(notes),
        };
        // A bug in one tool must not leave a card that runs for ever.
        let work = AssertUnwindSafe(tool.call(permit, &cx)).catch_unwind();
        match tokio::time::timeout(spec.timeout, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ToolError::Broke { tool: spec.name.to_owned() }),
            Err(_) => Err(timed_out(spec)),
        }
    }

    async fn show(&self, output: ToolOutput, spec: &ToolSpec, sink: &Sink, now: Timestamp) -> String {
        let parts = &self.0.parts;
        let presented =
            present::present(&output, spec, self.output_cap(), &parts.redactor, (&parts.spill, now));
        for block in output.blocks {
            sink.block(block).await;
        }
        if let Some(block) = presented.kept {
            sink.block(block).await;
        }
        presented.text
    }

    /// How many bytes of one output the model reads: its share of the context at three bytes a token.
    fn output_cap(&self) -> usize {
        let tokens = self.context() / self.0.parts.bounds.output_share.max(1);
        tokens as usize * 3
    }

    /// The context length in tokens; without a model, that of a usual one.
    pub(super) fn context(&self) -> u32 {
        self.brain().map_or(8192, |b| b.num_ctx)
    }

    pub(super) fn count(&self, name: &'static str, tool: &str) {
        self.0.parts.counters.add(name, &[("tool", tool)], 1);
    }

    /// A failure in words that model and person may read.
    fn failed(&self, error: &dyn std::error::Error) -> CallResult {
        CallResult::Failed(self.0.parts.redactor.redact(&error.to_string()).into_owned())
    }

    /// The entry with secrets taken out.
    pub(super) fn clean(&self, mut entry: AuditEntry) -> AuditEntry {
        entry.summary = self.0.parts.redactor.redact(&entry.summary).into_owned();
        super::redact_value(&self.0.parts.redactor, &mut entry.detail);
        entry
    }

    /// Shows a call's result where no model reads it, as a slash command does.
    pub(super) async fn tell(&self, result: &CallResult, call: &ToolCall, sink: &Sink) {
        match result {
            CallResult::Failed(text) => sink.notice(Level::Warning, step::sentence(text)).await,
            CallResult::Refused(reason) => {
                sink.notice(Level::Error, format!("Refused: {call}. {}", step::sentence(reason))).await;
            }
            CallResult::NotNamed(question) => sink.block(Block::text(question.clone())).await,
            CallResult::Output(_) | CallResult::NeedsApproval(_) => {}
        }
    }
}

impl Caller<'_> {
    /// The notes as this caller may reach them: with foreign text around only what the person said is kept.
    fn notes(&self, engine: &Engine) -> Recall {
        let own = || self.words.earlier.iter().chain(&self.words.since).cloned().collect();
        Recall {
            engine: engine.clone(),
            person: self.actor.person.clone(),
            conversation: self.conversation.clone(),
            tainted: self.tainted,
            own_words: self.foreign.then(own),
        }
    }

    pub(super) fn entry(&self, kind: AuditKind, at: Timestamp, summary: String, detail: Value) -> AuditEntry {
        AuditEntry {
            at,
            kind,
            actor: Some(self.actor.clone()),
            conversation: Some(self.conversation.clone()),
            approval: None,
            summary,
            detail,
        }
    }
}

/// A write that left out the service although the person named exactly one: the same call for that service only.
///
/// Small models forget it. What comes out touches less than what was called, and only what the person named.
fn narrowed(call: &ResolvedCall, spec: &ToolSpec, words: &Spoken, known: &Known<'_>) -> Option<ToolCall> {
    let customer = call.target.customer.as_ref()?;
    let param = spec.params.iter().find(|p| p.kind == ParamKind::Service)?;
    if call.target.service.is_some() {
        return None;
    }
    let mut named = known.services.iter().filter(|(c, _)| c == customer).filter_map(|(_, service)| {
        let mut narrow = call.clone();
        narrow.call.args.0.insert(param.name.to_owned(), service.as_str().into());
        narrow.target.service = Some(service.clone());
        (words.names(&narrow, known) == Naming::Named).then_some(narrow.call)
    });
    let only = named.next()?;
    named.next().is_none().then_some(only)
}

fn timed_out(spec: &ToolSpec) -> ToolError {
    ToolError::Timeout { tool: spec.name.to_owned(), seconds: spec.timeout.as_secs() }
}
