//! Driving one turn: the inbox row first, then the model's loop or a command, then everything it added in one commit.

use std::{borrow::Cow, collections::VecDeque};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Brain, Engine, Scope, Sink,
    ask::Asking,
    gate::{Caller, Gated},
    nearest, present,
    session::Registered,
};
use crate::{
    agent::{
        CallResult, Effect, Event, Limits, PlannedCall, Remembered, RowKind, Turn, history,
        port::{Message, ModelCall},
        prompt,
    },
    domain::{
        Actor, AuditEntry, AuditKind, Block, ConversationKey, Inbound, Level, Outbound, ToolCall, TurnStatus,
        Untrusted,
    },
    policy,
    runtime::clock,
    store::{HistoryRow, NewHistory, StoreError, TurnEnd},
};

/// What a turn leaves behind, kept outside its future so that a stop loses nothing.
#[derive(Debug, Default)]
struct Ledger {
    rows: Vec<Remembered>,
    new_from: usize,
    audit: Vec<AuditEntry>,
    turn: Option<Turn>,
    tainted: bool,
    /// Quotes too long for a prompt, kept to be searched.
    kept: Vec<Block>,
}

/// Where a turn happens.
struct Scene<'a> {
    conversation: &'a ConversationKey,
    actor: &'a Actor,
    sink: &'a Sink,
    cancel: &'a CancellationToken,
    asking: &'a Asking,
    sent_at: Option<Timestamp>,
}

impl Engine {
    /// One turn in the conversation's own time; without a message it follows up on an outcome.
    pub(super) async fn take_turn(
        &self,
        message: Option<(i64, &Inbound)>,
        command: Option<ToolCall>,
        (conversation, actor): (&ConversationKey, &Actor),
        sink: &Sink,
        running: &Registered,
    ) -> TurnStatus {
        let asking = Asking::begin();
        let cancel = &running.cancel;
        let mut ledger = match self.open(conversation, message.map(|(_, m)| m)).await {
            Ok(ledger) => ledger,
            Err(error) => return self.store_broke(&error, sink).await,
        };
        let sent_at = message.and_then(|(_, m)| m.sent_at);
        let scene = Scene { conversation, actor, sink, cancel, asking: &asking, sent_at };
        let brain = match self.brain_of(conversation).await {
            Ok(brain) => brain,
            Err(error) => return self.store_broke(&error, sink).await,
        };
        let work = async {
            match (command, message) {
                (Some(call), _) => self.run_command(&call, &mut ledger, &scene).await,
                (None, Some((_, inbound))) => match &brain {
                    Some(brain) => self.converse(brain, &mut ledger, &scene).await,
                    None => self.suggest(&inbound.text, "No model is set up", &ledger.kept, sink).await,
                },
                (None, None) => match &brain {
                    Some(brain) => self.converse(brain, &mut ledger, &scene).await,
                    None => TurnStatus::Answered,
                },
            }
        };
        let status = tokio::select! {
            status = work => status,
            () = cancel.cancelled() => {
                if running.is_interrupted() && sink.abandon() {
                    // The daemon ends, nobody stopped it: the message stays open, and the next start answers it.
                    return TurnStatus::Stopped;
                }
                sink.notice(Level::Info, "Stopped.").await;
                ledger.audit.push(entry(&scene, AuditKind::Stopped, "the turn was stopped"));
                TurnStatus::Stopped
            }
        };
        match self.close(conversation, ledger, message.map(|(row, _)| row), (sink, status)).await {
            Ok(()) => status,
            Err(error) => self.store_broke(&error, sink).await,
        }
    }

    /// Loads what the conversation remembers, condenses it if need be, and adds the person's message.
    async fn open(
        &self,
        conversation: &ConversationKey,
        message: Option<&Inbound>,
    ) -> Result<Ledger, StoreError> {
        let rows = self.store().history(conversation).await?;
        let mut rows: Vec<_> = rows.into_iter().filter_map(remembered).collect();
        if let Some(brain) = self.brain()
            && let Some(c) = history::compact(&rows, self.room(brain) * 2 / 3)
        {
            self.store().compact(conversation, c.up_to, stored(&c.summary)).await?;
            rows.splice(..c.rows, [c.summary]);
        }
        let new_from = rows.len();
        let mut kept = Vec::new();
        if let Some(inbound) = message {
            rows.push(self.person_row(inbound, &mut kept));
        }
        let tainted = history::tainted(&rows);
        Ok(Ledger { rows, new_from, tainted, kept, ..Ledger::default() })
    }

    /// The message as the model reads it; quotes that are cut are kept whole and `kept` points to them.
    fn person_row(&self, inbound: &Inbound, kept: &mut Vec<Block>) -> Remembered {
        let redactor = &self.0.parts.redactor;
        let at = clock::now();
        let said = redactor.redact(&inbound.text);
        let words = policy::own_words(&said);
        // A quarter of the context for what was typed or pasted, and one for all quotes; both stay in the history.
        let share = self.context() as usize * 3 / 4;
        let mut text = shortened(&said, share).into_owned();
        let each = (share / inbound.quoted.len().max(1)).max(200);
        for quoted in inbound.quoted.iter().take(share / each) {
            let fitted = present::fitted(&redactor.redact(quoted.as_str()), each, (&self.0.parts.spill, at));
            kept.extend(fitted.kept);
            let clean = Untrusted::new(&fitted.text);
            let nonce = format!("{:08x}", rand::random::<u32>());
            text.push('\n');
            text.push_str(&policy::fence(&clean, &nonce, "quoted by the person"));
        }
        Remembered {
            seq: None,
            at,
            kind: RowKind::User,
            message: Message::User { text },
            tainted: !inbound.quoted.is_empty(),
            words: vec![words],
            confirmed_write: false,
        }
    }

    /// Writes everything that the turn added, its reads' audit and the inbox row's end in one commit.
    async fn close(
        &self,
        conversation: &ConversationKey,
        ledger: Ledger,
        inbox: Option<i64>,
        (sink, status): (&Sink, TurnStatus),
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let mut rows: Vec<NewHistory> = ledger.rows.iter().skip(ledger.new_from).map(stored).collect();
        let added = ledger.turn.map(|t| t.added()).unwrap_or_default();
        for message in complete(added) {
            let kind =
                if matches!(message, Message::Tool { .. }) { RowKind::Tool } else { RowKind::Assistant };
            let message = self.redacted(message);
            let row = Remembered {
                seq: None,
                at: now,
                kind,
                message,
                tainted: ledger.tainted,
                words: vec![],
                confirmed_write: false,
            };
            rows.push(stored(&row));
        }
        // A follow-up on an outcome belongs to whoever decided; the end of the decision keeps it.
        let reply = if inbox.is_some() { sink.take(status) } else { vec![] };
        let end = TurnEnd { rows: &rows, audit: ledger.audit, inbox, unfinished: false, reply: &reply };
        match self.store().end_turn(conversation, end, now).await {
            Ok(()) if inbox.is_some() => {
                sink.settled();
                self.changed();
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => {
                sink.put_back(reply);
                Err(error)
            }
        }
    }

    fn redacted(&self, message: Message) -> Message {
        let Ok(mut value) = serde_json::to_value(&message) else { return message };
        super::redact_value(&self.0.parts.redactor, &mut value);
        serde_json::from_value(value).unwrap_or(message)
    }

    /// Tokens that a prompt may take, the answer's room and a margin for the estimate left out.
    fn room(&self, brain: &Brain) -> usize {
        (brain.num_ctx.saturating_sub(brain.max_tokens) as usize) * 9 / 10
    }

    async fn converse(&self, brain: &Brain, ledger: &mut Ledger, scene: &Scene<'_>) -> TurnStatus {
        let limits = Limits { calls: self.0.parts.bounds.calls_per_turn, prompt_tokens: self.room(brain) };
        let mut messages = vec![prompt::system(scene.actor)];
        messages.extend(ledger.rows.iter().map(|r| r.message.clone()));
        let mut turn = Turn::new(limits, self.registry().core(), messages, brain.mode);
        let mut effects = VecDeque::from(turn.step(Event::Begin));
        ledger.turn = Some(turn);
        while let Some(effect) = effects.pop_front() {
            let event = match effect {
                Effect::Ask(request) => {
                    self.ask(brain, &request, (scene.conversation, scene.sink, scene.asking)).await
                }
                Effect::Run(calls) => Event::Results(self.run_all(calls, ledger, scene).await),
                Effect::Offer(offers) => {
                    if let Err(error) = self
                        .offer(
                            offers,
                            (ledger.tainted, scene.sent_at),
                            (scene.conversation, scene.actor),
                            scene.sink,
                        )
                        .await
                    {
                        return self.store_broke(&error, scene.sink).await;
                    }
                    continue;
                }
                Effect::Say(block) => {
                    scene.sink.block(block).await;
                    continue;
                }
                Effect::Retract => {
                    scene.sink.send(Outbound::Retract).await;
                    continue;
                }
                Effect::WithoutModel(reason) => return self.without_model(ledger, &reason, scene).await,
                Effect::Finish(status) => return status,
            };
            if let Some(turn) = ledger.turn.as_mut() {
                effects.extend(turn.step(event));
            }
        }
        TurnStatus::Failed
    }

    async fn run_all(
        &self,
        calls: Vec<PlannedCall>,
        ledger: &mut Ledger,
        scene: &Scene<'_>,
    ) -> Vec<CallResult> {
        let words = history::words(&ledger.rows);
        let caller = Caller {
            actor: scene.actor,
            conversation: scene.conversation,
            tainted: ledger.tainted,
            words: &words,
            cancel: scene.cancel,
        };
        let all = join_all(calls.iter().map(|p| self.gate(&p.call, &caller, scene.sink))).await;
        all.into_iter()
            .map(|Gated { result, taints, audit }| {
                ledger.tainted |= taints;
                ledger.audit.extend(audit);
                result
            })
            .collect()
    }

    async fn run_command(&self, call: &ToolCall, ledger: &mut Ledger, scene: &Scene<'_>) -> TurnStatus {
        let planned = PlannedCall { id: None, call: call.clone() };
        let result = self.run_all(vec![planned], ledger, scene).await.pop();
        let Some(result) = result else { return TurnStatus::Failed };
        self.tell(&result, call, scene.sink).await;
        let (text, status) = match result {
            CallResult::Output(text) => (text, TurnStatus::Answered),
            CallResult::Failed(text) => (text, TurnStatus::Failed),
            CallResult::Refused(text) => (format!("refused by policy: {text}"), TurnStatus::Refused),
            CallResult::NotNamed(text) => (text, TurnStatus::Answered),
            CallResult::NeedsApproval(offer) => {
                let who = (scene.conversation, scene.actor);
                if let Err(error) =
                    self.offer(vec![*offer], (ledger.tainted, scene.sent_at), who, scene.sink).await
                {
                    return self.store_broke(&error, scene.sink).await;
                }
                ("not run yet: a card waits for a decision".to_owned(), TurnStatus::WaitsForApproval)
            }
        };
        let args = Value::Object(call.args.0.clone());
        let calls = vec![ModelCall { id: None, name: call.tool.clone(), args }];
        let at = clock::now();
        let row = |kind, message| Remembered {
            seq: None,
            at,
            kind,
            message: self.redacted(message),
            tainted: ledger.tainted,
            words: vec![],
            confirmed_write: false,
        };
        let asked = Message::Assistant { text: String::new(), thinking: String::new(), calls };
        let got = Message::Tool { id: None, name: call.tool.clone(), text };
        let rows = [row(RowKind::Assistant, asked), row(RowKind::Tool, got)];
        ledger.rows.extend(rows);
        status
    }

    async fn without_model(&self, ledger: &Ledger, reason: &str, scene: &Scene<'_>) -> TurnStatus {
        if ledger.turn.as_ref().is_some_and(Turn::looked) {
            let text = format!("The model could not sum this up ({reason}). What was found stands above.");
            scene.sink.notice(Level::Warning, text).await;
            return TurnStatus::Answered;
        }
        let asked = ledger.rows.iter().skip(ledger.new_from).find(|r| r.kind == RowKind::User);
        match asked.and_then(|r| r.words.first()) {
            Some(words) => {
                self.suggest(words, &format!("Without the model: {reason}"), &ledger.kept, scene.sink).await
            }
            None => TurnStatus::Answered,
        }
    }

    /// Answers plain words with the commands that come nearest, and with what of the message can be searched.
    async fn suggest(&self, text: &str, why: &str, kept: &[Block], sink: &Sink) -> TurnStatus {
        let directory = (self.0.parts.directory)().await;
        let commands = nearest::nearest(text, self.registry().specs(), &directory);
        let why = why.trim_end_matches('.');
        if commands.is_empty() {
            sink.notice(
                Level::Warning,
                format!("{why}. No command comes near these words; /help lists them all."),
            )
            .await;
        } else {
            sink.notice(Level::Info, format!("{why}.")).await;
            let buttons = commands.into_iter().map(|c| (c.clone(), c)).collect();
            sink.block(Block::Buttons { title: "The commands that come nearest:".into(), buttons }).await;
        }
        for block in kept {
            sink.block(block.clone()).await;
        }
        TurnStatus::Answered
    }

    /// A turn in which the model reads the outcome of a write and goes on from there; silent without a model.
    pub(super) async fn follow_up(&self, conversation: &ConversationKey, actor: &Actor, sink: &Sink) {
        if self.current().brain().is_none() || self.0.tasks.is_closed() {
            return;
        }
        let Some(mut place) = self.0.sessions.enter(conversation, self.0.parts.bounds.queue) else { return };
        let running = self.0.sessions.register(conversation, actor);
        // A stop reaches this one too when the place becomes free by the very same stop.
        let guard = tokio::select! {
            biased;
            () = running.cancel.cancelled() => return,
            guard = place.wait() => guard,
        };
        let actor = Actor { role: actor.role.min(self.people().role_now(actor)), ..actor.clone() };
        self.current().take_turn(None, None, (conversation, &actor), sink, &running).await;
        drop(guard);
    }

    /// Stops what `actor` may stop; never waits for anything.
    pub async fn stop(&self, actor: &Actor, scope: &Scope, sink: &Sink) -> TurnStatus {
        let (stopped, foreign) = self.0.sessions.stop(actor, scope);
        let text = match (stopped, foreign) {
            (0, 0) => "Nothing is running.".to_owned(),
            (0, n) => format!("{n} running here, but not yours: an admin can stop them."),
            (n, 0) => format!("Stopping {n}."),
            (n, m) => format!("Stopping {n}; {m} more are not yours to stop."),
        };
        sink.notice(Level::Info, text).await;
        TurnStatus::Answered
    }

    pub(super) async fn store_broke(&self, error: &StoreError, sink: &Sink) -> TurnStatus {
        tracing::error!(%error, "the store failed");
        sink.notice(Level::Error, format!("The store failed: {error}")).await;
        TurnStatus::Failed
    }
}

/// The beginning and the end of a text that is longer than `most` bytes.
fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let head = text.floor_char_boundary(most / 2);
    let tail = text.ceil_char_boundary(text.len() - most / 2);
    let (begin, end) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    Cow::Owned(format!("{begin}\n[{} bytes left out here]\n{end}", tail - head))
}

/// The messages without a last call that nobody answered, which a server would refuse.
fn complete(mut added: Vec<Message>) -> Vec<Message> {
    let calls_at =
        added.iter().rposition(|m| matches!(m, Message::Assistant { calls, .. } if !calls.is_empty()));
    if let Some(n) = calls_at
        && let Some(Message::Assistant { calls, .. }) = added.get(n)
    {
        let answered = added.iter().skip(n + 1).filter(|m| matches!(m, Message::Tool { .. })).count();
        if answered < calls.len() {
            added.truncate(n);
        }
    }
    added
}

fn remembered(row: HistoryRow) -> Option<Remembered> {
    let words: Vec<String> =
        row.words.map(|w| serde_json::from_str(&w).unwrap_or_default()).unwrap_or_default();
    Some(Remembered {
        seq: Some(row.seq),
        at: row.at,
        kind: RowKind::from_word(&row.kind),
        message: serde_json::from_value(row.content).ok()?,
        tainted: row.tainted,
        words,
        confirmed_write: row.confirmed_write,
    })
}

pub(super) fn stored(row: &Remembered) -> NewHistory {
    NewHistory {
        at: row.at,
        kind: row.kind.word().to_owned(),
        content: serde_json::to_value(&row.message).unwrap_or_default(),
        tainted: row.tainted,
        words: (!row.words.is_empty()).then(|| serde_json::to_string(&row.words).unwrap_or_default()),
        confirmed_write: row.confirmed_write,
    }
}

fn entry(scene: &Scene<'_>, kind: AuditKind, summary: &str) -> AuditEntry {
    AuditEntry {
        at: clock::now(),
        kind,
        actor: Some(scene.actor.clone()),
        conversation: Some(scene.conversation.clone()),
        approval: None,
        summary: summary.to_owned(),
        detail: Value::Null,
    }
}
