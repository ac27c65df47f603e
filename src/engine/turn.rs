//! Driving one turn: the inbox row first, then the model's loop or a command, then everything it added in one commit.

use std::{borrow::Cow, collections::VecDeque};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Brain, Engine, Scope, Sink,
    alerts::About,
    ask::Asking,
    gate::{Caller, Gated},
    present,
    session::Registered,
};
use crate::{
    agent::{
        CallResult, Effect, Event, Limits, PlannedCall, Remembered, RowKind, Turn,
        history::{self, Facts},
        port::{CallMode, Message, Reply},
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
pub(super) struct Ledger {
    pub(super) rows: Vec<Remembered>,
    pub(super) new_from: usize,
    pub(super) audit: Vec<AuditEntry>,
    turn: Option<Turn>,
    pub(super) tainted: bool,
    /// Quotes too long for a prompt, kept to be searched.
    pub(super) kept: Vec<Block>,
    /// What the person typed and what came with it, without secrets; for words that no model reads.
    pub(super) said: Option<(String, Option<String>)>,
    /// The incident whose card the message answers.
    pub(super) about: Option<About>,
}

/// Where a turn happens.
pub(super) struct Scene<'a> {
    pub(super) conversation: &'a ConversationKey,
    pub(super) actor: &'a Actor,
    pub(super) sink: &'a Sink,
    cancel: &'a CancellationToken,
    asking: &'a Asking,
    pub(super) sent_at: Option<Timestamp>,
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
        let mut ledger = match self.open(conversation, actor, message.map(|(_, m)| m)).await {
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
                (Some(call), _) => {
                    self.note_choice(&call, &ledger).await;
                    self.run_calls(&[call], &mut ledger, &scene).await
                }
                (None, Some(_)) => match &brain {
                    Some(brain) => self.converse(brain, &mut ledger, &scene).await,
                    None => self.by_words("No model is set up", &mut ledger, &scene).await,
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
        actor: &Actor,
        message: Option<&Inbound>,
    ) -> Result<Ledger, StoreError> {
        let mut rows = self.recall(conversation, actor, message).await?;
        let new_from = rows.len();
        let mut kept = Vec::new();
        let about = match message {
            Some(inbound) => self.about(inbound).await,
            None => None,
        };
        if let Some(inbound) = message {
            let mut row = self.person_row(inbound, &mut kept);
            if let Some(about) = &about {
                add_about(&mut row, about);
            }
            // A tainted note is not kept with the rows: whatever is said after reading it tells so.
            row.facts.read =
                rows.iter().filter(|r| r.seq.is_none()).flat_map(|r| r.facts.read.clone()).collect();
            rows.push(row);
        }
        let tainted = history::tainted(&rows);
        let said = message.map(|m| self.said(m));
        Ok(Ledger { rows, new_from, tainted, kept, said, about, ..Ledger::default() })
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
            facts: Facts::default(),
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
                facts: Facts::default(),
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

    pub(super) fn redacted(&self, message: Message) -> Message {
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
        let offered = self.offered(ledger, scene.conversation).await;
        let mut turn =
            Turn::new(limits, offered.clone(), messages, brain.mode).knowing(self.registry().everything());
        // A model whose calls must be forced is weak at them: what the words say outright is not left to it.
        let clear = if brain.mode == CallMode::Constrained { self.clear_calls(ledger).await } else { None };
        let begin = clear.map_or(Event::Begin, |calls| Event::Reply(Reply { calls, ..Reply::default() }));
        let mut effects = VecDeque::from(turn.step(begin));
        ledger.turn = Some(turn);
        while let Some(effect) = effects.pop_front() {
            let event = match effect {
                Effect::Ask(request) => {
                    let forced = request.mode == CallMode::Constrained;
                    match self.ask(brain, &request, (scene.conversation, scene.sink, scene.asking)).await {
                        Event::Reply(reply) if forced => Event::Reply(self.grounded(reply, ledger).await),
                        event => event,
                    }
                }
                Effect::Run(calls) => {
                    self.keep_called(&calls, &offered, scene.conversation).await;
                    Event::Results(self.run_wished(calls, ledger, scene).await)
                }
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

    pub(super) async fn run_all(
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
            foreign: ledger.tainted || history::pasted(&ledger.rows),
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

    async fn without_model(&self, ledger: &mut Ledger, reason: &str, scene: &Scene<'_>) -> TurnStatus {
        if ledger.turn.as_ref().is_some_and(Turn::looked) {
            let text = format!("The model could not sum this up ({reason}). What was found stands above.");
            scene.sink.notice(Level::Warning, text).await;
            return TurnStatus::Answered;
        }
        // What the model began and did not end is no part of the conversation.
        ledger.turn = None;
        if ledger.said.is_none() {
            return TurnStatus::Answered;
        }
        self.by_words(&format!("Without the model: {reason}"), ledger, scene).await
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

/// The reply to a card counts as having named its incident, and says so to the model first. The alert's own words are
/// foreign.
fn add_about(row: &mut Remembered, about: &About) {
    if let Message::User { text } = &mut row.message {
        *text = format!("{}\n{text}", about.facts);
    }
    row.words.insert(0, about.named.clone());
    row.tainted = true;
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

pub(super) fn remembered(row: HistoryRow) -> Option<Remembered> {
    let words: Vec<String> =
        row.words.map(|w| serde_json::from_str(&w).unwrap_or_default()).unwrap_or_default();
    Some(Remembered {
        seq: Some(row.seq),
        at: row.at,
        kind: RowKind::from_word(&row.kind),
        facts: history::read_facts(&row.content),
        message: serde_json::from_value(row.content).ok()?,
        tainted: row.tainted,
        words,
        confirmed_write: row.confirmed_write,
    })
}

pub(super) fn stored(row: &Remembered) -> NewHistory {
    let mut content = serde_json::to_value(&row.message).unwrap_or_default();
    if let Some(content) = content.as_object_mut().filter(|_| !row.facts.is_empty()) {
        content.insert("facts".into(), serde_json::to_value(&row.facts).unwrap_or_default());
    }
    NewHistory {
        at: row.at,
        kind: row.kind.word().to_owned(),
        content,
        tainted: row.tainted,
        words: (!row.words.is_empty()).then(|| serde_json::to_string(&row.words).unwrap_or_default()),
        confirmed_write: row.confirmed_write,
    }
}

pub(super) fn entry(scene: &Scene<'_>, kind: AuditKind, summary: &str) -> AuditEntry {
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
