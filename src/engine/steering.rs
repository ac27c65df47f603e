//! The commands that steer the bot itself; none of them waits for a turn or needs a model.

use jiff::Timestamp;
use serde_json::Value;

use super::{Command, Engine, PairAs, Scope, Sink, commands, commands::Pair};
use crate::{
    domain::{Actor, AuditEntry, AuditKind, Block, CardState, Inbound, Level, Role, TurnStatus},
    policy::{self, approval::Verb},
    runtime::clock,
    store::StoreError,
};

impl Engine {
    pub(super) async fn steer(&self, command: Command, inbound: &Inbound, sink: &Sink) -> TurnStatus {
        if let Some(sent) = inbound.sent_at.filter(|at| self.is_old(*at, clock::now()))
            && matches!(command, Command::Approve(_) | Command::Unfreeze)
        {
            let title = format!("You sent {} {}: still do it?", inbound.text.trim(), ago(sent, clock::now()));
            let buttons = vec![("Yes, do it".to_owned(), inbound.text.trim().to_owned())];
            sink.block(Block::Buttons { title, buttons }).await;
            return TurnStatus::Answered;
        }
        let done = match command {
            Command::Stop => {
                return self
                    .stop(&inbound.actor, &Scope::Conversation(inbound.conversation.clone()), sink)
                    .await;
            }
            Command::Approve(id) => self.decide_now(&inbound.actor, &id, Verb::Approve, sink).await,
            Command::Deny(id) => self.decide_now(&inbound.actor, &id, Verb::Deny, sink).await,
            Command::Freeze => self.freeze(&inbound.actor, sink).await,
            Command::Unfreeze => self.unfreeze(&inbound.actor, sink).await,
            Command::Pending => self.pending(sink).await,
            Command::Status => self.status(sink).await,
            Command::Forget(what) => self.forget(&what, inbound, sink).await,
            Command::History(turns) => self.show_history(turns, inbound, sink).await,
            Command::Pair(pair) => self.pair(pair, &inbound.actor, sink).await,
            Command::Help(topic) => Ok(self.help(topic.as_deref(), sink).await),
            Command::WhoAmI => {
                let a = &inbound.actor;
                sink.block(Block::text(format!("You are {}, {} on {}.", a.person, a.role, a.channel))).await;
                Ok(TurnStatus::Answered)
            }
            Command::Model(wish) => self.model(wish, inbound, sink).await,
            Command::Alerts(wish) => self.steer_alerts(wish, inbound, sink).await,
            Command::Reload => Ok(self.reload((&inbound.actor, false), sink).await),
            Command::Version => {
                sink.block(Block::text(format!("OpsBot {}", env!("CARGO_PKG_VERSION")))).await;
                Ok(TurnStatus::Answered)
            }
            Command::Tool(_) => Ok(TurnStatus::Failed),
        };
        match done {
            Ok(status) => status,
            Err(error) => self.store_broke(&error, sink).await,
        }
    }

    /// In a chat nobody has the host's rights, not even an admin.
    async fn pair(&self, pair: Pair, actor: &Actor, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let by = (actor, false);
        match pair {
            Pair::List => self.pair_list(by, sink).await,
            Pair::Accept { code, person, role } => {
                self.pair_accept(by, &code, &PairAs { person, role }, sink).await
            }
            Pair::Revoke { person, channel } => self.pair_revoke(by, &person, channel, sink).await,
        }
    }

    async fn help(&self, topic: Option<&str>, sink: &Sink) -> TurnStatus {
        if let Some(topic) = topic {
            let Some(spec) = commands::tool(topic, self.registry().specs()) else {
                sink.notice(Level::Warning, format!("There is no command /{topic}; /help lists them.")).await;
                return TurnStatus::Failed;
            };
            let title = format!("{}: {}", commands::usage(spec), spec.summary);
            let columns = ["argument", "takes", "", "meaning"].map(String::from).to_vec();
            sink.block(Block::Table { title: Some(title), columns, rows: commands::help_for(spec) }).await;
            return TurnStatus::Answered;
        }
        let columns = ["command", "what it does"].map(String::from).to_vec();
        let rows = commands::help(self.registry().specs());
        sink.block(Block::Table {
            title: Some("Commands; plain words work too, when a model is set up".into()),
            columns,
            rows,
        })
        .await;
        TurnStatus::Answered
    }

    /// Latches all writes.
    ///
    /// # Errors
    /// The store's.
    pub async fn freeze(&self, actor: &Actor, sink: &Sink) -> Result<TurnStatus, StoreError> {
        if actor.role < Role::Operator {
            sink.notice(Level::Error, "Refused: viewers may not freeze; ask an operator or an admin.").await;
            return Ok(TurnStatus::Refused);
        }
        let now = clock::now();
        let fresh = self.store().freeze(actor, now, latch_entry(actor, "freeze")).await?;
        let text = if fresh {
            "Frozen: no writes by anyone until /unfreeze by an admin."
        } else {
            "Already frozen."
        };
        sink.notice(Level::Info, text).await;
        Ok(TurnStatus::Answered)
    }

    /// Lifts the latch; admins only.
    ///
    /// # Errors
    /// The store's.
    pub async fn unfreeze(&self, actor: &Actor, sink: &Sink) -> Result<TurnStatus, StoreError> {
        if actor.role < Role::Admin {
            sink.notice(Level::Error, "Refused: only an admin may unfreeze.").await;
            return Ok(TurnStatus::Refused);
        }
        let lifted = self.store().unfreeze(latch_entry(actor, "unfreeze")).await?;
        let text =
            if lifted { "Writes are possible again, each after its card." } else { "Nothing was frozen." };
        sink.notice(Level::Info, text).await;
        Ok(TurnStatus::Answered)
    }

    /// The cards that wait.
    ///
    /// # Errors
    /// The store's.
    pub async fn pending(&self, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let now = clock::now();
        let waiting: Vec<_> = self
            .store()
            .approvals_pending()
            .await?
            .into_iter()
            .filter(|a| a.state == CardState::Pending && a.expires_at > now)
            .collect();
        if waiting.is_empty() {
            sink.notice(Level::Info, "No card waits for a decision.").await;
        }
        for approval in &waiting {
            sink.block(Block::Card(policy::card(approval))).await;
        }
        Ok(TurnStatus::Answered)
    }

    /// How the bot itself is.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let frozen = match self.store().frozen().await? {
            Some((by, at)) => format!("by {by} since {}", at.strftime("%Y-%m-%d %H:%M UTC")),
            None => "no".into(),
        };
        let engine = self.current();
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            row("version", env!("CARGO_PKG_VERSION").into()),
            row("tools", engine.registry().specs().len().to_string()),
            row("running", self.0.sessions.running().to_string()),
            row("cards waiting", self.store().approvals_pending().await?.len().to_string()),
            row("frozen", frozen),
        ];
        rows.splice(1..1, engine.model_status().into_iter().map(|(name, value)| row(&name, value)));
        rows.extend(self.reload_status().into_iter().map(|(name, value)| row(name, value)));
        let columns = ["", "now"].map(String::from).to_vec();
        sink.block(Block::Table { title: Some("OpsBot".into()), columns, rows }).await;
        Ok(TurnStatus::Answered)
    }
}

/// How long before `now` something was, in its largest unit (`2 h ago`).
fn ago(at: Timestamp, now: Timestamp) -> String {
    let minutes = now.duration_since(at).as_mins();
    match minutes {
        0..120 => format!("{minutes} min ago"),
        120..2880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

fn latch_entry(actor: &Actor, what: &str) -> AuditEntry {
    AuditEntry {
        at: clock::now(),
        kind: AuditKind::Freeze,
        actor: Some(actor.clone()),
        conversation: None,
        approval: None,
        summary: format!("{what} by {}", actor.person),
        detail: Value::Null,
    }
}
