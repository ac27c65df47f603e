//! New parts while the daemon runs: who may ask for them, how they take over, and what is told and remembered of it.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::{Engine, Parts, Sink, people::Configured, redact_block};
use crate::{
    domain::{Actor, AuditEntry, AuditKind, Block, Level, Role, TurnStatus},
    runtime::clock,
    store::StoreError,
};

/// Changes or problems that one notice names.
const NAMED: usize = 20;
/// Requests that may wait for the one that is carried out.
const WAITING: usize = 8;

/// What a reload brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What holds from now on and did not before, one phrase each.
    pub changes: Vec<String>,
    /// What differs and takes effect at the next start only.
    pub later: Vec<String>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// How a reload ended; the problems, one line each, where everything stayed as it was.
pub type ReloadOutcome = Result<Reloaded, Vec<String>>;

/// Somebody's wish that the configuration be read again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Who asks.
    pub by: Actor,
    /// Takes the answer.
    pub done: oneshot::Sender<ReloadOutcome>,
}

/// Where requests go, and how the last reload ended.
#[derive(Debug, Default)]
pub(super) struct Desk {
    requests: Mutex<Option<mpsc::Sender<ReloadRequest>>>,
    last: Mutex<Option<(Timestamp, ReloadOutcome)>>,
}

impl Engine {
    /// The requests for a reload, for whoever carries them out; the newest receiver gets them.
    pub fn reload_requests(&self) -> mpsc::Receiver<ReloadRequest> {
        let (to, requests) = mpsc::channel(WAITING);
        *self.0.desk.requests.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        requests
    }

    /// Reads the configuration again on behalf of `actor`; `host` is whoever owns this host or OpsBot's files.
    pub async fn reload(&self, (actor, host): (&Actor, bool), sink: &Sink) -> TurnStatus {
        if !host && actor.role < Role::Admin {
            sink.notice(Level::Error, "Refused: only an admin may reload the configuration.").await;
            return TurnStatus::Refused;
        }
        let to = self.0.desk.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (done, answer) = oneshot::channel();
        let sent = match to {
            Some(to) => to.send(ReloadRequest { by: actor.clone(), done }).await.is_ok(),
            None => false,
        };
        match answer.await {
            Ok(outcome) => {
                sink.block(told(&outcome)).await;
                if outcome.is_ok() { TurnStatus::Answered } else { TurnStatus::Failed }
            }
            Err(_) => {
                let text = if sent {
                    "The reload broke off; the log says why. /status shows which configuration holds."
                } else {
                    "Nothing to reload: without the daemon the configuration is read at each start."
                };
                sink.notice(Level::Error, text).await;
                TurnStatus::Failed
            }
        }
    }

    /// Puts `parts` in place of those that are, for whatever begins from now on. Store, kept outputs, figures and
    /// pairings stay. The audit row comes first: without it nothing changes.
    ///
    /// # Errors
    /// The store's; then the old parts hold.
    pub async fn renew(
        &self,
        by: Option<&Actor>,
        (parts, people): (Parts, Vec<Configured>),
        reloaded: Reloaded,
    ) -> Result<(), StoreError> {
        let outcome = Ok(reloaded);
        self.store().audit(self.reload_entry(by, &outcome)).await?;
        let own = &self.0.parts;
        let next = Arc::new(Parts {
            store: own.store.clone(),
            spill: own.spill.clone(),
            counters: own.counters.clone(),
            people: own.people.clone(),
            ..parts
        });
        own.people.renew(people);
        *self.0.newest.write().unwrap_or_else(PoisonError::into_inner) = next;
        if let Err(error) = self.recover_people().await {
            tracing::error!(%error, "pairings of people who are gone could not be voided; they have no rights");
        }
        self.tell_admins(by, outcome).await;
        Ok(())
    }

    /// Notes that the configuration could not be taken and why; the last good one holds.
    pub async fn keep(&self, by: Option<&Actor>, problems: Vec<String>) {
        let outcome = Err(problems);
        if let Err(error) = self.store().audit(self.reload_entry(by, &outcome)).await {
            tracing::error!(%error, "a refused reload could not be written down");
        }
        self.tell_admins(by, outcome).await;
    }

    /// The rows of `/status` that say which configuration holds.
    pub(super) fn reload_status(&self) -> Vec<(&'static str, String)> {
        let last = self.0.desk.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
        match last {
            None => vec![],
            Some((when, Ok(Reloaded { later, .. }))) => {
                let mut rows = vec![("configuration", format!("of {}", at(when)))];
                if !later.is_empty() {
                    rows.push(("at the next start", later.join("; ")));
                }
                rows
            }
            Some((when, Err(problems))) => {
                let text = format!("not the file's: at {} it was refused: {}", at(when), listed(&problems));
                vec![("configuration", text)]
            }
        }
    }

    /// Tells every admin with a private chat, but whoever asked there, and remembers it for `/status`.
    async fn tell_admins(&self, by: Option<&Actor>, outcome: ReloadOutcome) {
        let silent = outcome.as_ref().is_ok_and(|r| r.changes.is_empty() && r.later.is_empty());
        let block = redact_block(&self.redactor(), told(&outcome));
        *self.0.desk.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((clock::now(), outcome));
        if silent {
            return;
        }
        for (name, chat) in self.people().admins() {
            let knows =
                by.is_some_and(|by| by.person.same(&name) && chat.as_str().starts_with(by.channel.word()));
            if knows {
                continue;
            }
            if let Err(error) = self.store().outbox_put(&chat, &block, clock::now()).await {
                tracing::error!(%error, "an admin could not be told of the reload");
            }
        }
        self.changed();
    }

    fn reload_entry(&self, by: Option<&Actor>, outcome: &ReloadOutcome) -> AuditEntry {
        let who = by.map_or("a signal".to_owned(), |by| by.person.to_string());
        let (summary, detail) = match outcome {
            Ok(r) => (
                format!("configuration reloaded by {who}: {} changes", r.changes.len()),
                json!({"changes": r.changes, "at_next_start": r.later}),
            ),
            Err(problems) => (
                format!("reload by {who} refused: the last good configuration holds"),
                json!({"problems": problems}),
            ),
        };
        self.clean(AuditEntry {
            at: clock::now(),
            kind: AuditKind::Daemon,
            actor: by.cloned(),
            conversation: None,
            approval: None,
            summary,
            detail,
        })
    }
}

/// The outcome in words.
pub fn told(outcome: &ReloadOutcome) -> Block {
    match outcome {
        Ok(Reloaded { changes, later, warnings }) => {
            let mut text = if changes.is_empty() {
                "The configuration was read again; nothing that holds changed.".to_owned()
            } else {
                format!("The configuration was reloaded: {}.", listed(changes))
            };
            if !later.is_empty() {
                text.push_str(&format!(" At the next start only: {}.", listed(later)));
            }
            if !warnings.is_empty() {
                text.push_str(&format!(" Warnings: {}.", listed(warnings)));
            }
            Block::notice(Level::Info, text)
        }
        Err(problems) => Block::notice(
            Level::Error,
            format!("The configuration was not reloaded; the last good one holds. {}", listed(problems)),
        ),
    }
}

/// The first of `items` in one line, and how many more there are.
fn listed(items: &[String]) -> String {
    let named: Vec<_> = items.iter().take(NAMED).map(|i| i.trim_end_matches('.')).collect();
    let more = items.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    named.join("; ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_in_one_notice_of_bounded_length() {
        let text = |outcome: ReloadOutcome| match told(&outcome) {
            Block::Notice { level, text } => (level, text),
            other => panic!("{other:?}"),
        };
        let many: Vec<_> = (0..30).map(|n| format!("customer {n} added")).collect();
        let reloaded = Reloaded { changes: many, later: vec!["http.listen".into()], warnings: vec![] };
        let (level, said) = text(Ok(reloaded));
        assert_eq!(level, Level::Info);
        assert!(
            said.contains("customer 19 added; and 10 more. At the next start only: http.listen."),
            "{said}"
        );
        assert!(text(Ok(Reloaded::default())).1.contains("nothing that holds changed"));
        let (level, said) = text(Err(vec!["c.toml:3: model.name: is empty".into()]));
        assert!(level == Level::Error && said.ends_with("holds. c.toml:3: model.name: is empty"), "{said}");
    }
}
