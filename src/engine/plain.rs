//! Turns without a model: commands, and plain words that code understands; both pass the gate and are remembered alike.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Engine, commands,
    intent::{self, Asked, Offer, Verdict},
    turn::{Ledger, Scene},
};
use crate::{
    agent::{
        CallResult, PlannedCall, Remembered, RowKind,
        history::{self, Facts},
        port::{Message, ModelCall},
        prompt,
        step::ASKED_BACK,
    },
    domain::{
        Args, Block, ConversationKey, Customer, Inbound, Level, ParamKind, ServiceName, ToolCall, ToolSpec,
        TurnStatus,
    },
    runtime::clock,
    store::ConversationSettings,
};

/// With more customers than this, a question names none of them.
const CHOICES: usize = 8;

impl Engine {
    /// What the message says and what came with it, without secrets.
    pub(super) fn said(&self, inbound: &Inbound) -> (String, Option<String>) {
        let redactor = &self.0.parts.redactor;
        let quoted: Vec<_> = inbound.quoted.iter().map(|q| redactor.redact(q.as_str())).collect();
        let quoted = (!quoted.is_empty()).then(|| quoted.join("\n"));
        (redactor.redact(&inbound.text).into_owned(), quoted)
    }

    /// Answers plain words by code; `why` says why no model does.
    pub(super) async fn by_words(&self, why: &str, ledger: &mut Ledger, scene: &Scene<'_>) -> TurnStatus {
        let Some((text, _)) = ledger.said.clone() else { return TurnStatus::Answered };
        let why = why.trim_end_matches('.');
        let directory = self.directory().await;
        let offer = Offer { tools: self.registry().vocabulary(), directory: &directory };
        let verdict = heard(ledger, |asked| intent::understand(asked, offer)).unwrap_or(Verdict::Nothing);
        match verdict {
            Verdict::Run(calls) => {
                let read: Vec<_> = calls.iter().map(commands::command_for).collect();
                scene.sink.notice(Level::Info, format!("{why}. Read as {}", read.join(" and "))).await;
                let status = self.run_calls(&calls, ledger, scene).await;
                self.show_kept(ledger, scene).await;
                status
            }
            Verdict::Talk(answer) => self.reply(answer, ledger, scene).await,
            Verdict::Held(answer, looks) => {
                let status = self.reply(answer, ledger, scene).await;
                self.buttons("A look may help:", &looks, scene).await;
                status
            }
            Verdict::Whose(call) => {
                scene.sink.notice(Level::Info, format!("{why}.")).await;
                self.ask_whose(&call, &directory, ledger, scene).await
            }
            Verdict::Choose(calls) => {
                self.note_miss(&text, &calls).await;
                scene.sink.notice(Level::Info, format!("{why}.")).await;
                let commands: Vec<_> = calls.iter().map(|c| self.command(c)).collect();
                self.buttons("Did you mean?", &calls, scene).await;
                self.show_kept(ledger, scene).await;
                self.remember(&format!("Did you mean?\n{}", commands.join("\n")), ledger);
                TurnStatus::Answered
            }
            Verdict::Nothing => {
                self.note_miss(&text, &[]).await;
                let text = format!(
                    "{why}. No command comes near these words; /help lists them all. Which customer is it about, and \
                     what do you want to know?"
                );
                scene.sink.notice(Level::Warning, text).await;
                self.show_kept(ledger, scene).await;
                TurnStatus::Answered
            }
        }
    }

    /// The calls of a message whose words leave no doubt, as a model would make them.
    pub(super) async fn clear_calls(&self, ledger: &Ledger) -> Option<Vec<ModelCall>> {
        let directory = self.directory().await;
        let offer = Offer { tools: self.registry().vocabulary(), directory: &directory };
        let calls = heard(ledger, |asked| intent::clear(asked, offer))??;
        Some(calls.iter().map(as_called).collect())
    }

    async fn reply(&self, text: &str, ledger: &mut Ledger, scene: &Scene<'_>) -> TurnStatus {
        scene.sink.block(Block::text(text)).await;
        self.remember(text, ledger);
        TurnStatus::Answered
    }

    async fn buttons(&self, title: &str, calls: &[ToolCall], scene: &Scene<'_>) {
        if calls.is_empty() {
            return;
        }
        let buttons = calls.iter().map(|c| self.command(c)).map(|c| (c.clone(), c)).collect();
        scene.sink.block(Block::Buttons { title: title.to_owned(), buttons }).await;
    }

    /// The command that makes this call; one that lacks something is written with its place.
    fn command(&self, call: &ToolCall) -> String {
        let spec = self.registry().spec(&call.tool);
        let lacks =
            |spec: &&ToolSpec| spec.params.iter().any(|p| p.required && !call.args.0.contains_key(p.name));
        spec.filter(lacks).map_or_else(|| commands::command_for(call), commands::usage)
    }

    async fn show_kept(&self, ledger: &Ledger, scene: &Scene<'_>) {
        for block in &ledger.kept {
            scene.sink.block(block.clone()).await;
        }
    }

    /// Asks which customer is meant, with a button for each where there are few.
    async fn ask_whose(
        &self,
        call: &ToolCall,
        directory: &intent::Directory,
        ledger: &mut Ledger,
        scene: &Scene<'_>,
    ) -> TurnStatus {
        let spec = self.registry().spec(&call.tool);
        let write = spec.is_some_and(ToolSpec::is_write);
        let service = call.args.text("service").map(ServiceName::new);
        let narrows = spec.is_some_and(|s| s.params.iter().any(|p| p.kind == ParamKind::Service));
        let has = |c: &&Customer| {
            service.as_ref().is_none_or(|s| directory.services.contains(&(c.id.clone(), s.clone())))
        };
        let with = |c: &Customer| {
            let mut args = serde_json::Map::new();
            for param in spec.iter().flat_map(|s| &s.params) {
                let value = if param.kind == ParamKind::Customer {
                    Some(Value::from(c.id.as_str()))
                } else {
                    call.args.0.get(param.name).cloned()
                };
                args.extend(value.map(|v| (param.name.to_owned(), v)));
            }
            commands::command_for(&ToolCall { tool: call.tool.clone(), args: Args(args) })
        };
        let buttons: Vec<_> = directory.customers.iter().filter(has).map(|c| (label(c), with(c))).collect();
        // A whole stack is restarted by name, not by one tap.
        let few =
            !buttons.is_empty() && buttons.len() <= CHOICES && (!write || service.is_some() || !narrows);
        let ask = match (write && narrows && service.is_none(), few) {
            (true, _) => "Which customer do you mean, and which service? Name both.".to_owned(),
            (false, true) => format!("Whose? {}", commands::command_for(call)),
            (false, false) => "Which customer do you mean?".to_owned(),
        };
        self.remember(&ask, ledger);
        let block = if few { Block::Buttons { title: ask, buttons } } else { Block::text(ask) };
        scene.sink.block(block).await;
        TurnStatus::Answered
    }

    /// Adds what the bot said to the history.
    fn remember(&self, text: &str, ledger: &mut Ledger) {
        let message = Message::Assistant { text: text.to_owned(), thinking: String::new(), calls: vec![] };
        let row = self.row(RowKind::Assistant, message, ledger.tainted);
        ledger.rows.push(row);
    }

    fn row(&self, kind: RowKind, message: Message, tainted: bool) -> Remembered {
        let message = self.redacted(message);
        Remembered {
            seq: None,
            at: clock::now(),
            kind,
            message,
            tainted,
            words: vec![],
            confirmed_write: false,
            facts: Facts::default(),
        }
    }

    /// Makes the calls of one turn, at most a few; all writes among them come on one card.
    pub(super) async fn run_calls(
        &self,
        calls: &[ToolCall],
        ledger: &mut Ledger,
        scene: &Scene<'_>,
    ) -> TurnStatus {
        let planned = calls.iter().map(|call| PlannedCall { id: None, call: call.clone() }).collect();
        let results = self.run_all(planned, ledger, scene).await;
        let (mut offers, mut texts, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
        for (call, result) in calls.iter().zip(results) {
            self.tell(&result, call, scene.sink).await;
            let (text, status) = match result {
                CallResult::Output(text) => (text, TurnStatus::Answered),
                CallResult::Failed(text) => (format!("failed: {text}"), TurnStatus::Failed),
                CallResult::Refused(text) => (format!("refused by policy: {text}"), TurnStatus::Refused),
                CallResult::NotNamed(question) => (format!("{ASKED_BACK}{question}"), TurnStatus::Answered),
                CallResult::NeedsApproval(offer) => {
                    offers.push(*offer);
                    ("not run yet: a card waits for a decision".to_owned(), TurnStatus::WaitsForApproval)
                }
            };
            texts.push((call.tool.clone(), text));
            statuses.push(status);
        }
        if !offers.is_empty() {
            let who = (scene.conversation, scene.actor);
            if let Err(error) = self.offer(offers, (ledger.tainted, scene.sent_at), who, scene.sink).await {
                return self.store_broke(&error, scene.sink).await;
            }
        }
        let calls = calls.iter().map(as_called).collect();
        let asked = Message::Assistant { text: String::new(), thinking: String::new(), calls };
        let mut rows = vec![self.row(RowKind::Assistant, asked, ledger.tainted)];
        for (name, text) in texts {
            rows.push(self.row(RowKind::Tool, Message::Tool { id: None, name, text }, ledger.tainted));
        }
        ledger.rows.extend(rows);
        together(&statuses)
    }

    /// The tools that this conversation's prompt offers. What the person's words ask for is added after the core, and
    /// stays: the prefix only grows, so that the server's prompt cache holds.
    pub(super) async fn offered(
        &self,
        ledger: &Ledger,
        conversation: &ConversationKey,
    ) -> Arc<Vec<ToolSpec>> {
        let ConversationSettings { mut tools, .. } = match self.store().conversation(conversation).await {
            Ok(settings) => settings,
            Err(error) => {
                tracing::warn!(%error, "a conversation's tools could not be read");
                return self.registry().offered(&[]);
            }
        };
        if let Some((text, _)) = &ledger.said {
            let have: Vec<&str> =
                tools.iter().map(String::as_str).chain(prompt::CORE.iter().copied()).collect();
            // Names play no part in it, so the inventory is not asked.
            let names = intent::Directory::default();
            let offer = Offer { tools: self.registry().vocabulary(), directory: &names };
            let more: Vec<String> =
                intent::select(text, offer, &have).into_iter().map(str::to_owned).collect();
            self.give(more, &mut tools, conversation).await;
        }
        self.registry().offered(&tools)
    }

    /// Keeps tools that a model called although they were not on offer; from the next turn on they are.
    pub(super) async fn keep_called(
        &self,
        calls: &[PlannedCall],
        offered: &[ToolSpec],
        conversation: &ConversationKey,
    ) {
        let names = calls.iter().map(|p| p.call.tool.clone());
        let more: Vec<String> = names.filter(|name| !offered.iter().any(|s| s.name == name)).collect();
        if more.is_empty() {
            return;
        }
        match self.store().conversation(conversation).await {
            Ok(mut settings) => self.give(more, &mut settings.tools, conversation).await,
            Err(error) => tracing::warn!(%error, "a conversation's tools could not be read"),
        }
    }

    async fn give(&self, more: Vec<String>, tools: &mut Vec<String>, conversation: &ConversationKey) {
        let had = tools.len();
        for name in more {
            if tools.len() < prompt::BEYOND_CORE && !tools.contains(&name) {
                tools.push(name);
            }
        }
        if tools.len() > had
            && let Err(error) = self.store().conversation_tools(conversation, tools).await
        {
            tracing::warn!(%error, "a conversation's tools could not be kept");
        }
    }
}

/// What the message says, with what was said before it.
pub(super) fn heard<T>(ledger: &Ledger, read: impl FnOnce(&Asked<'_>) -> T) -> Option<T> {
    let (text, quoted) = ledger.said.as_ref()?;
    let before = ledger.rows.get(..ledger.new_from).unwrap_or_default();
    let spoken = history::words(before);
    let mut earlier = [spoken.earlier, spoken.since].concat();
    earlier.extend(ledger.about.iter().map(|about| about.named.clone()));
    let incident = ledger.about.as_ref().map(|about| about.incident.0);
    let last = last_call(before);
    let (quoted, open) = (quoted.as_deref(), open_wish(before));
    Some(read(&Asked { text, quoted, earlier: &earlier, open, last: last.as_ref(), incident }))
}

pub(super) fn as_called(call: &ToolCall) -> ModelCall {
    ModelCall { id: None, name: call.tool.clone(), args: Value::Object(call.args.0.clone()) }
}

/// How several calls ended, as one.
fn together(statuses: &[TurnStatus]) -> TurnStatus {
    let has = |status| statuses.contains(&status);
    if has(TurnStatus::WaitsForApproval) {
        TurnStatus::WaitsForApproval
    } else if has(TurnStatus::Refused) {
        TurnStatus::Refused
    } else if has(TurnStatus::Answered) {
        TurnStatus::Answered
    } else {
        TurnStatus::Failed
    }
}

fn label(customer: &Customer) -> String {
    customer.name.as_ref().map_or_else(|| customer.id.to_string(), |name| format!("{} {name}", customer.id))
}

/// The last call of the conversation.
fn last_call(rows: &[Remembered]) -> Option<ToolCall> {
    rows.iter().rev().find_map(|row| match &row.message {
        Message::Assistant { calls, .. } => {
            let call = calls.last()?;
            let args = call.args.as_object().cloned().unwrap_or_default();
            Some(ToolCall { tool: call.name.clone(), args: Args(args) })
        }
        Message::System { .. } | Message::User { .. } | Message::Tool { .. } => None,
    })
}

/// The person's last words, when nothing came of them but a question back, or a call that could not be made.
fn open_wish(rows: &[Remembered]) -> Option<&str> {
    let at = rows.iter().rposition(|row| row.kind == RowKind::User)?;
    let (user, since) = (rows.get(at)?, rows.get(at + 1..)?);
    let tools = || {
        since.iter().filter_map(|row| match &row.message {
            Message::Tool { text, .. } => Some(text),
            Message::Assistant { .. } | Message::System { .. } | Message::User { .. } => None,
        })
    };
    let nothing_ran = tools().all(|text| text.starts_with("failed: ") || text.starts_with("not run: "));
    let asked = since.last().is_some_and(
        |row| matches!(&row.message, Message::Assistant { text, calls, .. } if calls.is_empty() && text.contains('?')),
    );
    let open = nothing_ran && (asked || tools().next().is_some());
    user.words.last().filter(|_| open).map(String::as_str)
}
