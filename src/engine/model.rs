//! `/model`: which models there are, which one a conversation uses, and how an admin brings another.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde_json::json;

use super::{Engine, Sink, commands::ModelWish};
use crate::{
    agent::{
        models::{ModelEntry, Models, Pulled},
        port::ModelError,
    },
    domain::{AuditEntry, AuditKind, Block, Inbound, Level, Outbound, Role, TurnStatus},
    runtime::{Stopwatch, clock},
    store::StoreError,
};

/// Buttons that are offered at once.
const BUTTONS: usize = 10;
/// The shortest time between two lines of a pull's progress, in milliseconds.
const PACE_MS: u64 = 500;

/// The model that is pulled right now; one at a time.
#[derive(Debug, Default)]
pub(super) struct Pulling(Mutex<Option<String>>);

/// The right to pull, until dropped.
struct Turn(Arc<Pulling>);

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Pulling {
    fn take(self: &Arc<Self>, name: &str) -> Result<Turn, String> {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = now.as_ref() {
            return Err(other.clone());
        }
        *now = Some(name.to_owned());
        Ok(Turn(self.clone()))
    }
}

/// A model on a host, as the list shows it.
struct Listed {
    host: String,
    entry: ModelEntry,
}

impl Engine {
    pub(super) async fn model(
        &self,
        wish: ModelWish,
        inbound: &Inbound,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let engine = self.current();
        let Some(brain) = engine.brain() else {
            sink.notice(Level::Warning, "No model is set up: [model] in config.toml names one.").await;
            return Ok(TurnStatus::Failed);
        };
        let own = brain.model.name();
        let Some(models) = brain.model.models() else {
            sink.block(Block::text(format!("{own} is the only model."))).await;
            return Ok(TurnStatus::Answered);
        };
        let refused = match (&wish, inbound.actor.role) {
            (ModelWish::Use(_) | ModelWish::Default, Role::Viewer) => {
                Some("viewers may not choose a model; ask an operator or an admin")
            }
            (ModelWish::Pull { .. }, Role::Viewer | Role::Operator) => {
                Some("only an admin may pull a model: it fills disk and network")
            }
            _ => None,
        };
        if let Some(why) = refused {
            sink.notice(Level::Error, format!("Refused: {why}.")).await;
            return Ok(TurnStatus::Refused);
        }
        match wish {
            ModelWish::List => engine.list_models((own, models), inbound, sink).await,
            ModelWish::Default => {
                self.store().conversation_model(&inbound.conversation, None).await?;
                let text =
                    format!("This conversation uses the configured model, {own}, from the next message on.");
                sink.notice(Level::Info, text).await;
                Ok(TurnStatus::Answered)
            }
            ModelWish::Use(name) => engine.use_model(&name, (own, models), inbound, sink).await,
            ModelWish::Pull { name, host } => {
                Ok(engine.pull_model((&name, host.as_deref()), models, inbound, sink).await)
            }
        }
    }

    async fn list_models(
        &self,
        (own, models): (&str, &dyn Models),
        inbound: &Inbound,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let chosen = self.store().conversation(&inbound.conversation).await?.model;
        let used = chosen.as_deref().unwrap_or(own);
        let (listed, several) = listing(models, sink).await;
        let mut columns = vec!["", "model", "size", "calls tools", "loaded"];
        if several {
            columns.push("host");
        }
        let rows: Vec<_> = listed.iter().map(|l| row(l, used, own, several)).collect();
        if rows.is_empty() {
            let text = "No model host has a model. An admin brings one: /model pull NAME.";
            sink.notice(Level::Warning, text).await;
            return Ok(TurnStatus::Failed);
        }
        let columns = columns.into_iter().map(String::from).collect();
        let title = Some(format!("Models; this conversation uses {used}"));
        sink.block(Block::Table { title, columns, rows }).await;
        if inbound.actor.role > Role::Viewer {
            let mut names: Vec<_> = listed.iter().map(|l| l.entry.name.as_str()).collect();
            names.retain(|name| !same(name, used));
            names.dedup();
            let mut buttons: Vec<_> = names.into_iter().take(BUTTONS).map(choice).collect();
            if chosen.is_some() {
                buttons.push((format!("the configured one ({own})"), "/model default".to_owned()));
            }
            if !buttons.is_empty() {
                sink.block(Block::Buttons { title: "Use in this conversation:".into(), buttons }).await;
            }
        }
        Ok(TurnStatus::Answered)
    }

    async fn use_model(
        &self,
        wanted: &str,
        (own, models): (&str, &dyn Models),
        inbound: &Inbound,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let (listed, _) = listing(models, sink).await;
        let found: Vec<_> = listed.iter().filter(|l| same(&l.entry.name, wanted)).collect();
        let Some(first) = found.first() else {
            let text = format!(
                "There is no model `{wanted}` on any host that answers; /model lists them, and an admin brings one with \
                 /model pull."
            );
            sink.notice(Level::Warning, text).await;
            let mut near: Vec<_> = listed.iter().map(|l| l.entry.name.as_str()).collect();
            near.retain(|name| {
                name.contains(wanted) || wanted.contains(name.split(':').next().unwrap_or(name))
            });
            near.dedup();
            if !near.is_empty() {
                let buttons = near.into_iter().take(3).map(choice).collect();
                sink.block(Block::Buttons { title: "Did you mean:".into(), buttons }).await;
            }
            return Ok(TurnStatus::Failed);
        };
        let name = &first.entry.name;
        let choice = (!same(name, own)).then_some(name.as_str());
        self.store().conversation_model(&inbound.conversation, choice).await?;
        let mut text = format!("This conversation uses {name} from the next message on.");
        if found.iter().all(|l| l.entry.tools == Some(false)) {
            text.push_str(" It does not claim to call tools, so calls are forced by a schema.");
        }
        if found.iter().all(|l| l.entry.loaded == Some(false)) {
            text.push_str(" It is loaded now, which may take a minute.");
        }
        sink.notice(Level::Info, text).await;
        // Goes on when the person leaves: a load that is broken off is lost.
        let (model, running) =
            (models.named(name), self.0.sessions.register(&inbound.conversation, &inbound.actor));
        self.0.tasks.spawn(async move {
            let loaded = tokio::select! {
                loaded = model.warm() => loaded,
                () = running.cancel.cancelled() => return,
            };
            if let Err(error) = loaded {
                tracing::warn!(%error, model = model.name(), "a chosen model is not loaded");
            }
        });
        Ok(TurnStatus::Answered)
    }

    /// Brings a model; `/stop` ends it, and a client that goes away does not.
    async fn pull_model(
        &self,
        (name, host): (&str, Option<&str>),
        models: &dyn Models,
        inbound: &Inbound,
        sink: &Sink,
    ) -> TurnStatus {
        let _turn = match self.0.pulling.take(name) {
            Ok(turn) => turn,
            Err(other) => {
                let text =
                    format!("{other} is being pulled; one at a time. /stop where it was asked for ends it.");
                sink.notice(Level::Warning, text).await;
                return TurnStatus::Failed;
            }
        };
        let running = self.0.sessions.register(&inbound.conversation, &inbound.actor);
        sink.try_send(Outbound::Progress { text: format!("pulling {name} …") });
        let (watch, last) = (Stopwatch::start(), AtomicU64::new(0));
        let on_progress = |pulled: Pulled| {
            let now = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
            if now.saturating_sub(last.load(Ordering::Relaxed)) >= PACE_MS {
                last.store(now, Ordering::Relaxed);
                sink.try_send(Outbound::Progress { text: progress(name, &pulled) });
            }
        };
        let ended = tokio::select! {
            biased;
            () = running.cancel.cancelled() => None,
            ended = models.pull(name, host, &on_progress) => Some(ended),
        };
        let what = match &ended {
            None => "stopped".to_owned(),
            Some(Ok(to)) => format!("done on {to}"),
            Some(Err(error)) => format!("failed: {error}"),
        };
        self.note_pull(name, &what, inbound).await;
        match ended {
            None => {
                let text = format!("Stopped pulling {name}; what is there already is used by the next pull.");
                sink.notice(Level::Info, text).await;
                TurnStatus::Stopped
            }
            Some(Ok(to)) => {
                sink.notice(Level::Info, format!("{name} is on {to} now.")).await;
                let buttons = vec![choice(name)];
                sink.block(Block::Buttons { title: "Use in this conversation:".into(), buttons }).await;
                TurnStatus::Answered
            }
            Some(Err(error)) => {
                sink.notice(Level::Error, format!("{name} could not be pulled: {}.", words(&error))).await;
                TurnStatus::Failed
            }
        }
    }

    async fn note_pull(&self, name: &str, what: &str, inbound: &Inbound) {
        let entry = AuditEntry {
            at: clock::now(),
            kind: AuditKind::Daemon,
            actor: Some(inbound.actor.clone()),
            conversation: Some(inbound.conversation.clone()),
            approval: None,
            summary: format!("pull of the model {name} by {}: {what}", inbound.actor.person),
            detail: json!({"model": name}),
        };
        if let Err(error) = self.store().audit(self.clean(entry)).await {
            tracing::error!(%error, "a pull could not be written down");
        }
    }

    /// The rows of `/status` about models: the one that is configured, and hosts that are not simply up and idle.
    pub(super) fn model_status(&self) -> Vec<(String, String)> {
        let Some(brain) = self.brain() else { return vec![("model".into(), "none".into())] };
        let mut rows = vec![("model".to_owned(), brain.model.name().to_owned())];
        let hosts = brain.model.models().map(Models::hosts).unwrap_or_default();
        let several = hosts.len() > 1;
        for host in hosts.into_iter().filter(|h| several || !h.up || h.questions > 0) {
            let line =
                if host.questions > 0 { format!(", {} in line", host.questions) } else { String::new() };
            rows.push((format!("model host {}", host.name), format!("{}{line}", host.detail)));
        }
        rows
    }
}

/// All models of hosts that answer, and whether there are several hosts; those that do not answer are said.
async fn listing(models: &dyn Models, sink: &Sink) -> (Vec<Listed>, bool) {
    let all = models.list().await;
    let several = all.len() > 1;
    let mut listed = Vec::new();
    for (host, answer) in all {
        match answer {
            Ok(entries) => {
                listed.extend(entries.into_iter().map(|entry| Listed { host: host.clone(), entry }));
            }
            Err(error) => {
                sink.notice(
                    Level::Warning,
                    format!("The model host {host} does not list its models: {error}."),
                )
                .await;
            }
        }
    }
    (listed, several)
}

fn row(listed: &Listed, used: &str, own: &str, several: bool) -> Vec<String> {
    let ModelEntry { name, size, tools, loaded } = &listed.entry;
    let known = |flag: &Option<bool>| match flag {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => "?".to_owned(),
    };
    let mark = match (same(name, used), same(name, own)) {
        (true, _) => "in use",
        (false, true) => "configured",
        (false, false) => "",
    };
    let size = size.map_or("?".to_owned(), bytes);
    let mut row = vec![mark.to_owned(), name.clone(), size, known(tools), known(loaded)];
    if several {
        row.push(listed.host.clone());
    }
    row
}

fn choice(name: &str) -> (String, String) {
    (name.to_owned(), format!("/model {name}"))
}

fn progress(name: &str, pulled: &Pulled) -> String {
    let Pulled { status, done, total } = pulled;
    if *total == 0 {
        return format!("pulling {name}: {status}");
    }
    let percent = done.saturating_mul(100) / total;
    format!("pulling {name}: {} of {} ({percent} %)", bytes(*done), bytes(*total))
}

/// Decimal, as model pages count.
fn bytes(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{} kB", n / 1000),
        1_000_000..1_000_000_000 => format!("{} MB", n / 1_000_000),
        _ => format!("{}.{} GB", n / 1_000_000_000, n % 1_000_000_000 / 100_000_000),
    }
}

/// The server's own words stand alone.
fn words(error: &ModelError) -> String {
    match error {
        ModelError::Refused(why) => why.trim_end_matches('.').to_owned(),
        other => other.to_string(),
    }
}

/// Whether two names mean one model: `:latest` is implied.
fn same(a: &str, b: &str) -> bool {
    let full = |n: &str| if n.contains(':') { n.to_owned() } else { format!("{n}:latest") };
    full(a).eq_ignore_ascii_case(&full(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_in_units_that_people_read() {
        let pulled = |status: &str, done, total| Pulled { status: status.into(), done, total };
        let table = [
            (pulled("pulling manifest", 0, 0), "pulling m: pulling manifest"),
            (pulled("pulling 33d9", 205_400_000, 491_401_324), "pulling m: 205 MB of 491 MB (41 %)"),
            (pulled("x", 1_500_000_000, 4_400_000_000), "pulling m: 1.5 GB of 4.4 GB (34 %)"),
            (pulled("x", 500, 2000), "pulling m: 0 kB of 2 kB (25 %)"),
        ];
        for (pulled, want) in table {
            assert_eq!(progress("m", &pulled), want);
        }
    }

    #[test]
    fn one_pull_at_a_time() {
        let pulling = Arc::new(Pulling::default());
        let turn = pulling.take("a").unwrap_or_else(|_| panic!("free"));
        assert_eq!(pulling.take("b").err().as_deref(), Some("a"));
        drop(turn);
        assert!(pulling.take("b").is_ok());
    }
}
