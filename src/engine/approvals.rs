//! Cards: asking, deciding exactly once, running what was approved and telling the true outcome.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Engine, Sink, redact_block, turn::stored};
use crate::{
    agent::{Remembered, RowKind, port::Message, step},
    domain::{
        Actor, ApprovalId, AuditEntry, AuditKind, Block, CardState, ConversationKey, Level, Outbound,
        Outcome, PersonName, ResolvedCall, ToolError, TurnStatus, tool::hex,
    },
    policy::{
        self, Approval, Permit, Verdict,
        approval::{Ask, Ruling, Verb},
    },
    runtime::clock,
    store::{Decided, Finish, NewHistory, StoreError},
};

/// How an approved write ended.
struct Ending {
    state: CardState,
    outcome: String,
    blocks: Vec<Block>,
}

impl Ending {
    fn failed(outcome: impl Into<String>) -> Self {
        Self { state: CardState::Failed, outcome: outcome.into(), blocks: vec![] }
    }
}

impl Engine {
    /// Puts all of `offers` on one card: the row first, then the card.
    pub(super) async fn offer(
        &self,
        offers: Vec<(ResolvedCall, Verdict)>,
        (tainted, sent_at): (bool, Option<Timestamp>),
        (conversation, actor): (&ConversationKey, &Actor),
        sink: &Sink,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let (calls, verdicts): (Vec<_>, Vec<_>) = offers.into_iter().unzip();
        let ask = Ask {
            id: ApprovalId::from_bits(rand::random()),
            calls,
            verdicts: &verdicts,
            requester: actor.clone(),
            conversation: conversation.clone(),
            tainted,
            sent_at: sent_at.filter(|at| self.is_old(*at, now)),
            now,
            lifetime: self.0.parts.bounds.approval,
        };
        let approval = Approval::ask(ask, &self.0.parts.policy);
        let audit = self.approval_entry(&approval, AuditKind::Asked, actor, now, "asked");
        let replaced =
            self.store().approval_insert(&approval, &|old| policy::supersedes(&approval, old), audit).await?;
        self.changed();
        for old in replaced {
            sink.block(Block::Card(policy::card(&old))).await;
        }
        self.0.parts.counters.add("opsbot_approvals_total", &[("state", "asked")], 1);
        sink.block(Block::Card(policy::card(&approval))).await;
        Ok(())
    }

    /// Whether something that was sent at `at` is too old to act on without asking.
    pub(super) fn is_old(&self, at: Timestamp, now: Timestamp) -> bool {
        now.duration_since(at) > self.0.parts.bounds.old_after
    }

    /// A person's decision on the card `id` (whole, or its first digits); runs what is approved and ends `sink`. The
    /// work goes on when the caller goes away.
    pub async fn decide(&self, actor: Actor, id: String, verb: Verb, sink: Sink) -> TurnStatus {
        let (engine, last) = (self.current(), sink.clone());
        let work = async move {
            match engine.decide_now(&actor, &id, verb, &sink).await {
                Ok(status) => status,
                Err(error) => engine.store_broke(&error, &sink).await,
            }
        };
        let status = match self.0.tasks.spawn(work).await {
            Ok(status) => status,
            Err(error) => self.broke(&error, &last).await,
        };
        last.done(status).await;
        status
    }

    pub(super) async fn decide_now(
        &self,
        actor: &Actor,
        id: &str,
        verb: Verb,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let Some(id) = self.which(id, sink).await? else { return Ok(TurnStatus::Failed) };
        if self.turns_away(sink).await {
            return Ok(TurnStatus::Failed);
        }
        let now = clock::now();
        let leaves = |after: &Approval, ruling: &Ruling| Decided {
            audit: self.ruling_entries(after, ruling, (actor, verb), now),
            ..self.told(after, ruling, actor, sink)
        };
        let rule = |a: &Approval| policy::rule_on(a, actor, verb, now);
        let (approval, ruling) = self.store().approval_decide(id, &rule, actor, now, &leaves).await?;
        self.changed();
        match ruling {
            Ruling::Refused(why) => {
                sink.notice(Level::Warning, step::sentence(&why)).await;
                Ok(TurnStatus::Refused)
            }
            Ruling::FirstOfTwo => {
                sink.block(Block::Card(policy::card(&approval))).await;
                let text = "First yes recorded. Now an admin who is not the requester must approve it";
                let asked: BTreeSet<_> =
                    self.seconds(&approval).into_iter().map(|(name, _)| name.to_string()).collect();
                let asked = Vec::from_iter(asked).join(", ");
                let asked = if asked.is_empty() { asked } else { format!("; asked: {asked}") };
                sink.notice(Level::Info, format!("{text}{asked}.")).await;
                Ok(TurnStatus::WaitsForApproval)
            }
            Ruling::Deny => {
                sink.block(Block::Card(policy::card(&approval))).await;
                self.0.parts.counters.add("opsbot_approvals_total", &[("state", "denied")], 1);
                Ok(TurnStatus::Answered)
            }
            Ruling::Execute => self.execute(approval, actor, sink).await,
        }
    }

    /// Who is told of a ruling, in the very commit that makes it: after the first of two yeses every admin who may say
    /// the second, after a no the people of the conversation.
    fn told(&self, after: &Approval, ruling: &Ruling, by: &Actor, sink: &Sink) -> Decided {
        let redactor = self.redactor();
        match ruling {
            Ruling::FirstOfTwo => {
                let card = redact_block(&redactor, Block::Card(policy::card(after)));
                let seconds = self.seconds(after).into_iter();
                Decided {
                    replies: seconds.map(|(_, chat)| (chat, vec![card.clone()])).collect(),
                    ..Decided::default()
                }
            }
            Ruling::Deny => {
                let text = format!("{} denied: {}", by.person, calls(after));
                let rows = vec![self.outcome_row(&text, after, false)];
                let notice = redact_block(&redactor, Block::notice(Level::Info, text));
                let told = self.elsewhere(after, sink).then(|| (after.conversation.clone(), vec![notice]));
                Decided { rows, replies: told.into_iter().collect(), ..Decided::default() }
            }
            Ruling::Execute | Ruling::Refused(_) => Decided::default(),
        }
    }

    /// The admins who may be the second of two and have a private chat.
    fn seconds(&self, approval: &Approval) -> Vec<(PersonName, ConversationKey)> {
        let mut admins = self.people().admins();
        admins.retain(|(name, _)| !name.same(&approval.requester.person));
        admins
    }

    async fn which(&self, id: &str, sink: &Sink) -> Result<Option<ApprovalId>, StoreError> {
        let id = id.trim();
        if let Ok(id) = id.parse::<ApprovalId>()
            && self.store().approval_get(id).await?.is_some()
        {
            return Ok(Some(id));
        }
        let found = self.store().approval_find(id).await?;
        match found.as_slice() {
            [one] => return Ok(Some(one.id)),
            [] => {
                sink.notice(
                    Level::Warning,
                    format!("There is no card `{id}`; /pending lists those that wait."),
                )
                .await
            }
            several => {
                let ids: Vec<_> = several.iter().map(|a| a.id.to_string()).collect();
                sink.notice(Level::Warning, format!("`{id}` begins several cards: {}", ids.join(", "))).await;
            }
        }
        Ok(None)
    }

    async fn execute(
        &self,
        approval: Approval,
        approver: &Actor,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let running = self.0.sessions.register(&approval.conversation, &approval.requester);
        let ending = match self.permits(&approval, approver).await {
            Ok(permits) => {
                sink.block(Block::Card(policy::card(&approval))).await;
                self.run_permits(permits, &approval, &running.cancel, sink).await
            }
            Err(why) => Ending::failed(format!("not run: {why}")),
        };
        drop(running);
        let redactor = self.redactor();
        let outcome = redactor.redact(&ending.outcome).into_owned();
        let evidence: Vec<_> = ending.blocks.iter().map(|b| redact_block(&redactor, b.clone())).collect();
        let now = clock::now();
        let told = format!("The approved {} ended: {}. {outcome}", calls(&approval), ending.state);
        let mut after = approval.clone();
        after.state = ending.state;
        after.outcome = Some(outcome.clone());
        let rows = [self.outcome_row(&told, &after, true)];
        let digest = hex(&Sha256::digest(serde_json::to_vec(&evidence).unwrap_or_default()));
        let mut audit = self.approval_entry(&after, AuditKind::WriteEnds, approver, now, ending.state.word());
        audit.detail["result"] = json!(digest);
        audit.detail["outcome"] = json!(outcome);
        let card = Block::Card(policy::card(&after));
        let for_requester = if self.elsewhere(&approval, sink) {
            let level = if ending.state == CardState::Done { Level::Info } else { Level::Warning };
            let text =
                format!("{} approved {}: {}. {outcome}", approver.person, calls(&approval), ending.state);
            vec![redact_block(&redactor, Block::notice(level, text))]
        } else if sink.is_gone() {
            vec![card.clone()]
        } else {
            vec![]
        };
        let shown: Vec<_> = evidence.into_iter().chain([card]).collect();
        let reply = sink.home().map(|(to, message)| (to, message, shown.as_slice()));
        let finish = Finish {
            state: ending.state,
            outcome: &outcome,
            rows: &rows,
            audit: self.clean(audit),
            outbox: &for_requester,
            reply: reply.as_ref().map(|(to, message, shown)| (to, *message, *shown)),
        };
        let finished = self.store().approval_finish(approval.id, finish, now).await;
        self.changed();
        self.0.parts.counters.add("opsbot_approvals_total", &[("state", ending.state.word())], 1);
        if finished.is_ok() {
            sink.settled();
        }
        for block in shown {
            if finished.is_ok() { sink.show(block).await } else { sink.block(block).await }
        }
        if let Err(error) = finished {
            // It ran all the same: its people have just read how it ended, and no row says so.
            sink.notice(Level::Error, "This outcome could not be written down: note it yourself.").await;
            return Err(error);
        }
        self.follow_up(&approval.conversation, &approval.requester, sink).await;
        Ok(if ending.state == CardState::Done { TurnStatus::Answered } else { TurnStatus::Failed })
    }

    /// Whether the people of the approval's conversation are in another chat than whoever decided.
    fn elsewhere(&self, approval: &Approval, sink: &Sink) -> bool {
        let theirs = approval.conversation.place();
        match sink.home() {
            Some((here, _)) => here.place() != theirs,
            None => theirs != approval.conversation.as_str(),
        }
    }

    /// Looks again at what the calls would touch now, and redeems the approval for that only if nothing changed.
    async fn permits(&self, approval: &Approval, approver: &Actor) -> Result<Vec<Permit>, String> {
        let mut fresh = Vec::new();
        for ResolvedCall { call, .. } in &approval.calls {
            let spec = self
                .registry()
                .spec(&call.tool)
                .ok_or_else(|| format!("there is no tool `{}` any more", call.tool))?;
            fresh.push(self.resolve(spec, call).await.map_err(|e| e.to_string())?);
        }
        let frozen = self.store().frozen().await.map_err(|e| e.to_string())?.is_some();
        // Who asked has the rights that hold now.
        let mut approval = approval.clone();
        approval.requester.role = approval.requester.role.min(self.people().role_now(&approval.requester));
        policy::redeem(
            &approval,
            policy::Redeem {
                fresh,
                policy: &self.0.parts.policy,
                specs: self.registry().specs(),
                approver,
                frozen,
                now: clock::now(),
            },
        )
    }

    async fn run_permits(
        &self,
        permits: Vec<Permit>,
        approval: &Approval,
        cancel: &CancellationToken,
        sink: &Sink,
    ) -> Ending {
        let mut told = Vec::new();
        let mut blocks = Vec::new();
        for permit in permits {
            let call = permit.call().call.clone();
            if cancel.is_cancelled() {
                told.push(format!("stopped before {call}"));
                return Ending { state: CardState::Failed, outcome: told.join("; "), blocks };
            }
            let Some(spec) = self.registry().spec(&call.tool) else {
                return Ending::failed(format!("there is no tool `{}`", call.tool));
            };
            if !permit.call().steps.is_empty() {
                let run = self.run_steps(permit, approval, cancel, sink).await;
                told.extend(run.told);
                blocks.extend(run.blocks);
                match run.broken {
                    None => continue,
                    Some(unknown) => {
                        return Ending {
                            state: broken(unknown, &mut told),
                            outcome: told.join("; "),
                            blocks,
                        };
                    }
                }
            }
            sink.try_send(Outbound::Progress { text: format!("{call} …") });
            match self.run(permit, spec, cancel, sink, clock::now()).await {
                Ok(output) => {
                    told.push(output.summary);
                    blocks.extend(output.blocks);
                    if output.outcome == Outcome::NotUp {
                        return Ending { state: CardState::Failed, outcome: told.join("; "), blocks };
                    }
                }
                Err(error) => {
                    told.push(format!("{call}: {error}"));
                    let unknown = matches!(error, ToolError::Timeout { .. } | ToolError::Broke { .. });
                    return Ending { state: broken(unknown, &mut told), outcome: told.join("; "), blocks };
                }
            }
        }
        Ending { state: CardState::Done, outcome: told.join("; "), blocks }
    }

    fn ruling_entries(
        &self,
        after: &Approval,
        ruling: &Ruling,
        (actor, verb): (&Actor, Verb),
        now: Timestamp,
    ) -> Vec<AuditEntry> {
        let verb = match verb {
            Verb::Approve => "approve",
            Verb::Deny => "deny",
        };
        let what = match ruling {
            Ruling::Execute => format!("{verb}: taken"),
            Ruling::FirstOfTwo => format!("{verb}: first of two"),
            Ruling::Deny => "denied".to_owned(),
            Ruling::Refused(why) => format!("{verb}: refused, {why}"),
        };
        let mut entries = vec![self.approval_entry(after, AuditKind::Decided, actor, now, &what)];
        if *ruling == Ruling::Execute {
            entries.push(self.approval_entry(after, AuditKind::WriteBegins, actor, now, "begins"));
        }
        entries
    }

    fn approval_entry(
        &self,
        a: &Approval,
        kind: AuditKind,
        by: &Actor,
        at: Timestamp,
        what: &str,
    ) -> AuditEntry {
        self.clean(AuditEntry {
            at,
            kind,
            actor: Some(by.clone()),
            conversation: Some(a.conversation.clone()),
            approval: Some(a.id),
            summary: format!("{}: {what}", calls(a)),
            detail: json!({
                "calls": a.calls, "digest": a.digest, "policy": a.policy_version, "risk": a.risk,
                "reason": a.reason, "requester": a.requester.person, "tainted": a.tainted, "state": a.state,
            }),
        })
    }

    fn outcome_row(&self, text: &str, approval: &Approval, confirmed: bool) -> NewHistory {
        let text = self.0.parts.redactor.redact(text).into_owned();
        stored(&Remembered {
            seq: None,
            at: clock::now(),
            kind: RowKind::Outcome,
            message: Message::User {
                text: format!("[OpsBot reports: {text} Tell the person the result in one sentence.]"),
            },
            // Why something failed may be a back end's words.
            tainted: approval.tainted || approval.state == CardState::Failed,
            words: vec![],
            confirmed_write: confirmed,
        })
    }

    /// What a crash left: writes that had begun become unknown and are told, never run again; lapsed cards expire.
    ///
    /// # Errors
    /// The store's.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        self.recover_people().await?;
        let now = clock::now();
        let tell = |approval: &Approval| {
            tracing::warn!(id = %approval.id, "a write had begun when the daemon ended: verify it by hand");
            let text = format!(
                "{}: it had begun when OpsBot ended; whether it took effect is unknown, verify it.",
                calls(approval)
            );
            (self.outcome_row(&text, approval, true), Block::Card(policy::card(approval)))
        };
        let changed = self.store().recover(now, &tell).await?;
        for (id, inbound, at) in self.store().inbox_open().await? {
            let text = format!(
                "OpsBot ended while it worked on your message of {}: \"{}\". Ask again.",
                at.strftime("%H:%M UTC"),
                inbound.text
            );
            let block = redact_block(&self.redactor(), Block::notice(Level::Warning, text));
            self.store().outbox_put(&inbound.conversation, &block, now).await?;
            self.store().inbox_done(id, now).await?;
        }
        Ok(changed.len())
    }

    /// Lets cards lapse whose time is over, and sweeps old kept outputs.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = clock::now();
        for approval in self.store().expire(now).await? {
            tracing::info!(id = %approval.id, "a card lapsed undecided");
            self.changed();
        }
        if let Err(error) = self.0.parts.spill.sweep(now) {
            tracing::warn!(%error, "old kept outputs could not be swept");
        }
        if let Some((seq, mac)) = self.store().witness_due(now).await? {
            tracing::info!(seq, mac, "audit head");
        }
        Ok(())
    }
}

/// The state after a write that ended early; that its effect is unknown is told.
fn broken(unknown: bool, told: &mut Vec<String>) -> CardState {
    if unknown {
        told.push("what it did by then is not known, verify it by hand".to_owned());
    }
    if unknown { CardState::Unknown } else { CardState::Failed }
}

fn calls(approval: &Approval) -> String {
    approval.calls.iter().map(|c| c.call.to_string()).collect::<Vec<_>>().join(", ")
}
