//! From a message to its turn: it takes its place at once, waits there, and its end is written down.

use std::sync::PoisonError;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::task::JoinError;

use super::{
    Command, Engine, Sink,
    alerts::command::completed,
    commands,
    session::{Place, Registered},
};
use crate::{
    agent::step,
    domain::{Block, ConversationKey, Inbound, Level, Outbound, ToolCall, TurnStatus, Untrusted},
    runtime::clock,
    store::{StoreError, TurnEnd},
};

/// Brings what is attached to a message into its words and quotes, or says why that cannot be.
pub type Fetch = Box<dyn FnOnce(Inbound) -> BoxFuture<'static, Result<Inbound, String>> + Send>;

/// How many messages of a conversation are looked through for one of them.
const LOOKED_BACK: u32 = 200;

/// A message that has taken its place: what it asks for, and where it waits.
struct Admitted {
    asks: Asks,
    fetch: Option<Fetch>,
    /// For a turn: its place in the queue (none when that is full), and what a stop reaches.
    turn: Option<(Option<Place>, Registered)>,
}

/// What a message asks for.
enum Asks {
    Steering(Command),
    Turn(Option<ToolCall>),
    Unclear(String),
    Nothing,
}

impl Engine {
    /// Answers a message; ends `sink` with the status that it returns. It takes its place in the conversation's queue
    /// at once, before the answer is awaited. The work goes on when the caller goes away.
    pub fn say(
        &self,
        inbound: Inbound,
        sink: Sink,
    ) -> impl Future<Output = TurnStatus> + Send + use<> + 'static {
        self.say_fetched(inbound, None, sink)
    }

    /// The same for a message with an attachment, which is fetched when its turn comes: nothing overtakes it, and a
    /// stop reaches it.
    pub fn say_fetched(
        &self,
        inbound: Inbound,
        fetch: Option<Fetch>,
        sink: Sink,
    ) -> impl Future<Output = TurnStatus> + Send + use<> + 'static {
        let engine = self.current();
        let admitted = engine.admit(&inbound, fetch, &sink);
        let (last, conversation) = (sink.clone(), inbound.conversation.clone());
        async move {
            let worker = engine.clone();
            let work = async move {
                let status = worker.answer(admitted, inbound, &sink).await;
                worker.0.parts.counters.add("opsbot_turns_total", &[("status", status_word(status))], 1);
                status
            };
            match engine.0.tasks.spawn(work).await {
                Ok(status) => engine.settle(&conversation, &last, status).await,
                Err(error) => {
                    let status = engine.broke(&error, &last).await;
                    engine.settle(&conversation, &last, status).await
                }
            }
        }
    }

    /// Replaces text and quotes of a kept message that still waits for its turn; false when its turn has begun.
    ///
    /// # Errors
    /// The store's.
    pub async fn amend(&self, message: i64, text: &str, quoted: Vec<Untrusted>) -> Result<bool, StoreError> {
        let amended = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(inbound) = waiting.get_mut(&message) else { return Ok(false) };
            inbound.text = text.to_owned();
            inbound.quoted = quoted;
            self.without_secrets(inbound)
        };
        self.store().inbox_amend(message, &amended).await?;
        Ok(true)
    }

    /// Keeps messages of a channel that can bring one twice: each `source` counts once. Gives the new ones' numbers.
    ///
    /// # Errors
    /// The store's; then none of them is kept.
    pub async fn receive(&self, messages: &[(String, Inbound)]) -> Result<Vec<Option<i64>>, StoreError> {
        let clean: Vec<_> = messages.iter().map(|(s, m)| (s.clone(), self.without_secrets(m))).collect();
        self.store().inbox_take(&clean, clock::now()).await
    }

    /// Keeps a message that is answered at once with `reply`, on which the channel has `notes`; a `source` that was kept
    /// before changes nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn receive_answered(
        &self,
        (source, inbound): (&str, &Inbound),
        (reply, notes): (&[Block], &Value),
    ) -> Result<(), StoreError> {
        let clean = self.without_secrets(inbound);
        self.store().inbox_answer((source, &clean), (reply, notes), clock::now()).await?;
        self.changed();
        Ok(())
    }

    /// Whether the message was kept with this very text.
    ///
    /// # Errors
    /// The store's.
    pub async fn has_received(&self, inbound: &Inbound) -> Result<bool, StoreError> {
        let clean = self.without_secrets(inbound);
        let last = self.store().inbox_last(&inbound.conversation, LOOKED_BACK).await?;
        Ok(last.iter().any(|m| m.message.is_some() && m.message == clean.message && m.text == clean.text))
    }

    /// Says that a turn panicked; one that was cut off with its process is left for the next start.
    pub(super) async fn broke(&self, error: &JoinError, sink: &Sink) -> TurnStatus {
        if error.is_cancelled() && sink.abandon() {
            // The process ends under it: the message stays open, and the next start answers it.
            return TurnStatus::Stopped;
        }
        tracing::error!(%error, "a turn broke");
        sink.notice(
            Level::Error,
            "OpsBot broke while it worked on this; its log says how. /pending shows what waits.",
        )
        .await;
        TurnStatus::Failed
    }

    /// Writes down what no commit of the turn holds yet, and ends the stream.
    async fn settle(&self, conversation: &ConversationKey, sink: &Sink, status: TurnStatus) -> TurnStatus {
        if let Some(inbox) = sink.unsettled() {
            let reply = sink.take(status);
            let end = TurnEnd { inbox: Some(inbox), reply: &reply, ..TurnEnd::default() };
            match self.store().end_turn(conversation, end, clock::now()).await {
                Ok(()) => self.changed(),
                Err(error) => {
                    tracing::error!(%error, "a reply could not be kept");
                    sink.put_back(reply);
                }
            }
        }
        sink.done(status).await;
        status
    }

    fn admit(&self, inbound: &Inbound, fetch: Option<Fetch>, sink: &Sink) -> Admitted {
        let asks = if fetch.is_some() { Asks::Turn(None) } else { self.asks(inbound) };
        let turn = matches!(asks, Asks::Turn(_)).then(|| {
            let place = self.0.sessions.enter(&inbound.conversation, self.0.parts.bounds.queue);
            if let Some(message) = sink.message().filter(|_| place.is_some()) {
                let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.insert(message, inbound.clone());
            }
            (place, self.0.sessions.register(&inbound.conversation, &inbound.actor))
        });
        Admitted { asks, fetch, turn }
    }

    fn asks(&self, inbound: &Inbound) -> Asks {
        let completed = inbound.about.and_then(|incident| completed(&inbound.text, incident));
        let text = completed.as_deref().unwrap_or(&inbound.text);
        match commands::parse(text, self.registry().specs()) {
            Some(Err(error)) => Asks::Unclear(error),
            Some(Ok(Command::Tool(call))) => Asks::Turn(Some(call)),
            Some(Ok(steering)) => Asks::Steering(steering),
            None if inbound.text.trim().is_empty() && inbound.quoted.is_empty() => Asks::Nothing,
            None => Asks::Turn(None),
        }
    }

    async fn answer(&self, admitted: Admitted, inbound: Inbound, sink: &Sink) -> TurnStatus {
        match admitted.asks {
            Asks::Unclear(error) => {
                sink.notice(Level::Warning, step::sentence(&error)).await;
                TurnStatus::Failed
            }
            Asks::Steering(steering) => self.steer(steering, &inbound, sink).await,
            Asks::Nothing => {
                sink.notice(Level::Info, "Say what you want to know, or /help.").await;
                TurnStatus::Answered
            }
            Asks::Turn(call) => match admitted.turn {
                Some((place, running)) => {
                    let wants = (call, admitted.fetch);
                    self.wait_and_answer(wants, (place, running), inbound, sink).await
                }
                None => TurnStatus::Failed,
            },
        }
    }

    async fn wait_and_answer(
        &self,
        (mut call, fetch): (Option<ToolCall>, Option<Fetch>),
        (place, running): (Option<Place>, Registered),
        mut inbound: Inbound,
        sink: &Sink,
    ) -> TurnStatus {
        if self.turns_away(sink).await {
            return TurnStatus::Failed;
        }
        let row = match sink.message() {
            Some(row) => row,
            None => match self.store().inbox_put(&self.without_secrets(&inbound), clock::now()).await {
                Ok(row) => row,
                Err(error) => return self.store_broke(&error, sink).await,
            },
        };
        let Some(mut place) = place else { return self.too_many(row, sink).await };
        if place.ahead > 0 {
            sink.send(Outbound::Progress { text: format!("{} before this one …", place.ahead) }).await;
        }
        // A stop reaches this one too when the place becomes free by the very same stop.
        let guard = tokio::select! {
            biased;
            () = running.cancel.cancelled() => None,
            guard = place.wait() => Some(guard),
        };
        let amended = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&row);
        if guard.is_none() {
            return self.stopped(row, &running, sink).await;
        }
        let mut changed = fetch.is_some();
        if let Some(amended) = amended.filter(|a| *a != inbound) {
            inbound = amended;
            changed = true;
        }
        if let Some(fetch) = fetch {
            sink.send(Outbound::Progress { text: "fetching the file …".into() }).await;
            let fetched = tokio::select! {
                biased;
                () = running.cancel.cancelled() => return self.stopped(row, &running, sink).await,
                fetched = fetch(inbound) => fetched,
            };
            inbound = match fetched {
                Ok(inbound) => inbound,
                Err(why) => {
                    sink.notice(Level::Warning, why).await;
                    return self.unanswered(row, TurnStatus::Failed, sink).await;
                }
            };
        }
        if changed {
            call = match self.asks(&inbound) {
                Asks::Turn(call) => call,
                other => {
                    // A decision may have a turn of its own that follows it here.
                    drop((guard, place, running));
                    let admitted = Admitted { asks: other, fetch: None, turn: None };
                    return Box::pin(self.answer(admitted, inbound, sink)).await;
                }
            };
        }
        // Whatever changed while it waited holds for it.
        let engine = self.current();
        inbound.actor.role = inbound.actor.role.min(engine.people().role_now(&inbound.actor));
        let who = (&inbound.conversation, &inbound.actor);
        engine.take_turn(Some((row, &inbound)), call, who, sink, &running).await
    }

    /// Ends a message that was stopped before its turn began.
    async fn stopped(&self, row: i64, running: &Registered, sink: &Sink) -> TurnStatus {
        if running.is_interrupted() && sink.abandon() {
            return TurnStatus::Stopped;
        }
        sink.notice(Level::Info, "Stopped.").await;
        self.unanswered(row, TurnStatus::Stopped, sink).await
    }

    async fn too_many(&self, row: i64, sink: &Sink) -> TurnStatus {
        let limit = self.0.parts.bounds.queue;
        let text =
            format!("{limit} messages are already waiting here; try again when they are answered, or /stop.");
        sink.notice(Level::Warning, text).await;
        self.unanswered(row, TurnStatus::Failed, sink).await
    }

    /// Ends a message that has no turn; where a reply is kept, the commit that keeps it does.
    async fn unanswered(&self, row: i64, status: TurnStatus, sink: &Sink) -> TurnStatus {
        if sink.message().is_none()
            && let Err(error) = self.store().inbox_done(row, clock::now()).await
        {
            return self.store_broke(&error, sink).await;
        }
        status
    }

    /// The message as it may be kept.
    fn without_secrets(&self, inbound: &Inbound) -> Inbound {
        let redactor = self.redactor();
        let quoted = inbound.quoted.iter().map(|q| Untrusted::new(&redactor.redact(q.as_str()))).collect();
        Inbound { text: redactor.redact(&inbound.text).into_owned(), quoted, ..inbound.clone() }
    }
}

fn status_word(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Answered => "answered",
        TurnStatus::Failed => "failed",
        TurnStatus::WaitsForApproval => "waits_for_approval",
        TurnStatus::Refused => "refused",
        TurnStatus::Stopped => "stopped",
    }
}
