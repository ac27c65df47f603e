//! One question to the model: in line, then streamed to the person, elsewhere when a host or a chosen model is gone.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{Brain, Engine, Sink};
use crate::{
    agent::{
        Event,
        models::Wait,
        port::{ModelError, ModelRequest, Reply},
        step,
    },
    domain::{ConversationKey, Level, Outbound},
    runtime::Stopwatch,
    store::StoreError,
};

/// The shortest time between two lines of progress.
const PACE: Duration = Duration::from_millis(300);

/// What the questions of one turn share.
#[derive(Debug)]
pub(super) struct Asking {
    watch: Stopwatch,
    so_far: Mutex<SoFar>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SoFar {
    /// Spent in line before the model; it does not count as the turn's time.
    in_line: Duration,
    /// The chosen model is gone: the configured one answers the rest of the turn.
    fell_back: bool,
}

impl Asking {
    pub(super) fn begin() -> Self {
        Self { watch: Stopwatch::start(), so_far: Mutex::default() }
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// The model that `conversation` chose, else the configured one.
    pub(super) async fn brain_of(&self, conversation: &ConversationKey) -> Result<Option<Brain>, StoreError> {
        let Some(own) = self.brain() else { return Ok(None) };
        let chosen = self.store().conversation(conversation).await?.model;
        let model = chosen.filter(|name| name != own.model.name());
        let model = model.and_then(|name| own.model.models().map(|models| models.named(&name)));
        Ok(Some(Brain { model: model.unwrap_or_else(|| own.model.clone()), ..own.clone() }))
    }

    /// Asks `brain`, and the configured model when the chosen one cannot be had.
    pub(super) async fn ask(
        &self,
        brain: &Brain,
        request: &ModelRequest,
        (conversation, sink, asking): (&ConversationKey, &Sink, &Asking),
    ) -> Event {
        let own = self.brain().filter(|own| own.model.name() != brain.model.name());
        let brain = own.filter(|_| asking.so_far().fell_back).unwrap_or(brain);
        let mut answer = self.put(brain, request, (sink, asking)).await;
        if let Err(error @ (ModelError::Missing(_) | ModelError::Down(_))) = &answer
            && let Some(own) = own
            && own.model.name() != brain.model.name()
        {
            asking.so_far().fell_back = true;
            self.fall_back((brain, own), error, (conversation, sink)).await;
            answer = self.put(own, request, (sink, asking)).await;
        }
        match answer {
            Ok(reply) => Event::Reply(reply),
            Err(error) => {
                tracing::warn!(%error, mode = ?request.mode, "the model did not answer");
                Event::ModelFailed(error)
            }
        }
    }

    /// Says that the chosen model cannot be had; one that is gone for good is no choice any more.
    async fn fall_back(
        &self,
        (brain, own): (&Brain, &Brain),
        error: &ModelError,
        (conversation, sink): (&ConversationKey, &Sink),
    ) {
        let (gone, own) = (brain.model.name(), own.model.name());
        let text = if matches!(error, ModelError::Missing(_)) {
            if let Err(error) = self.store().conversation_model(conversation, None).await {
                tracing::error!(%error, "the choice of a model that is gone stays");
            }
            format!("The model {gone} is gone; {own} answers from now on. /model lists what there is.")
        } else {
            format!("The model {gone} does not answer; {own} answers this time.")
        };
        sink.notice(Level::Warning, text).await;
    }

    async fn put(
        &self,
        brain: &Brain,
        request: &ModelRequest,
        (sink, asking): (&Sink, &Asking),
    ) -> Result<Reply, ModelError> {
        let turn = self.0.parts.bounds.turn;
        let spent = asking.watch.elapsed().saturating_sub(asking.so_far().in_line);
        let ears = Ears::new(brain.model.name());
        let whole = Stopwatch::start();
        let (answer, worked) = ears.listen(brain, request, (sink, turn.saturating_sub(spent))).await;
        asking.so_far().in_line += whole.elapsed().saturating_sub(worked);
        let counters = &self.0.parts.counters;
        let result = if answer.is_ok() { "ok" } else { "failed" };
        counters.observe("opsbot_model_seconds", &[("result", result)], worked.as_secs_f64());
        for from in &ears.heard().failed {
            counters.add("opsbot_model_failovers_total", &[("from", from)], 1);
        }
        answer.map_err(|error| error.unwrap_or(ModelError::Silent(turn)))
    }
}

/// Takes what a model and its line say while a question is open.
struct Ears<'a> {
    name: &'a str,
    heard: Mutex<Heard>,
    fresh: Notify,
}

#[derive(Default)]
struct Heard {
    /// What was passed on must be taken back.
    retract: bool,
    /// Text that was not passed on yet.
    pending: String,
    /// All text of the present answer.
    text: String,
    /// A line of progress that was not passed on yet.
    line: Option<String>,
    /// The model works on it; else it stands in line.
    works: bool,
    /// The hosts that failed.
    failed: Vec<String>,
}

impl<'a> Ears<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, heard: Mutex::default(), fresh: Notify::new() }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, text: &str) {
        let mut heard = self.heard();
        heard.pending.push_str(text);
        heard.text.push_str(text);
        self.fresh.notify_one();
    }

    fn wait(&self, wait: Wait) {
        let mut heard = self.heard();
        match wait {
            Wait::InLine(ahead) => {
                heard.works = false;
                heard.line = Some(format!("{ahead} before you at the model …"));
            }
            Wait::Asked => {
                heard.works = true;
                heard.line = Some(format!("asking {} …", self.name));
            }
            Wait::FailedOver { from, to } => {
                heard.works = false;
                heard.retract |= !heard.text.is_empty();
                heard.pending.clear();
                heard.text.clear();
                heard.line = Some(format!("asking {to} instead of {from} …"));
                heard.failed.push(from);
            }
        }
        self.fresh.notify_one();
    }

    /// Passes on what was heard, in its order; a slow reader slows the stream, and no piece of text is lost.
    async fn flush(&self, sink: &Sink, with_line: bool) {
        let (retract, text, line) = {
            let mut heard = self.heard();
            let line = if with_line { heard.line.take() } else { None };
            (std::mem::take(&mut heard.retract), std::mem::take(&mut heard.pending), line)
        };
        if retract {
            sink.send(Outbound::Retract).await;
        }
        if let Some(text) = line {
            sink.try_send(Outbound::Progress { text });
        }
        if !text.is_empty() {
            sink.send(Outbound::Delta { text }).await;
        }
    }

    /// Asks and passes on what comes. Gives the answer (no error where the model worked for longer than `left`), and
    /// for how long the model worked.
    async fn listen(
        &self,
        brain: &Brain,
        request: &ModelRequest,
        (sink, left): (&Sink, Duration),
    ) -> (Result<Reply, Option<ModelError>>, Duration) {
        let mut on_text = |text: &str| self.text(text);
        let on_wait = |wait| self.wait(wait);
        let mut chat = std::pin::pin!(brain.model.chat_telling(request, &mut on_text, &on_wait));
        let (mut worked, mut since) = (Duration::ZERO, None::<Stopwatch>);
        let mut line_at = Instant::now();
        loop {
            let (works, has_line) = {
                let heard = self.heard();
                (heard.works, heard.line.is_some())
            };
            match (works, &since) {
                (true, None) => since = Some(Stopwatch::start()),
                (false, Some(watch)) => {
                    worked += watch.elapsed();
                    since = None;
                }
                _ => {}
            }
            let total = worked + since.map_or(Duration::ZERO, |watch| watch.elapsed());
            tokio::select! {
                answer = &mut chat => {
                    self.flush(sink, false).await;
                    let total = worked + since.map_or(Duration::ZERO, |watch| watch.elapsed());
                    return (answer.map_err(Some), total);
                }
                () = self.fresh.notified() => {
                    self.flush(sink, false).await;
                    if step::repeats(&self.heard().text) {
                        tracing::warn!("the model went round in circles and was stopped");
                        let text = self.heard().text.clone();
                        return (Ok(Reply { text, cut: true, ..Reply::default() }), total);
                    }
                }
                () = sleep_until(line_at), if has_line => {
                    self.flush(sink, true).await;
                    line_at = Instant::now() + PACE;
                }
                () = sleep(left.saturating_sub(total)), if works => return (Err(None), total),
            }
        }
    }
}
