//! Updates on their way to the bot: the queue, long polls with their conflicts, and deliveries to a webhook.

use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, json};

use super::{
    FakeTelegram,
    state::World,
    wire::{Answer, Params, Refusal},
};

/// What an evicted poller reads.
pub(super) const EVICTED: &str = "Conflict: terminated by other getUpdates request; make sure that only one bot \
instance is running";
const WEBHOOK_ACTIVE: &str = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to \
delete the webhook first";
/// Kinds that a bot gets only when it asks for them by name.
const ONLY_BY_NAME: [&str; 3] = ["chat_member", "message_reaction", "message_reaction_count"];
/// Telegram starts somewhere; a bot must not think that it is at one.
const FIRST_ID: i64 = 731_000_001;

/// One update.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub id: i64,
    pub value: Value,
}

/// The updates that the bot has not confirmed, and how they get to it.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Update>,
    /// Confirmed, but they come once more.
    again: VecDeque<Update>,
    next: i64,
    /// Kinds that are wanted; empty means the default.
    allowed: Vec<String>,
    /// Counts pollers; only the last one is served.
    latest: u64,
    /// Pollers that wait now.
    pub polling: usize,
    pub held: bool,
    pub duplicate: usize,
    pub reverse: usize,
    pub webhook: Option<Webhook>,
}

/// Where updates are posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Webhook {
    pub url: String,
    pub secret: Option<String>,
    pub max_connections: i64,
    /// When the last delivery failed (Unix seconds), and how.
    pub last_error: Option<(i64, String)>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            next: FIRST_ID,
            allowed: vec![],
            latest: 0,
            polling: 0,
            held: false,
            duplicate: 0,
            reverse: 0,
            webhook: None,
        }
    }
}

impl Queue {
    /// Queues an update, if the bot wants its kind; says its id.
    pub fn push(&mut self, kind: &str, value: Value) -> Option<i64> {
        let wanted = if self.allowed.is_empty() {
            !ONLY_BY_NAME.contains(&kind)
        } else {
            self.allowed.iter().any(|k| k == kind)
        };
        if !wanted {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let mut update = json!({"update_id": id});
        update[kind] = value;
        self.waiting.push_back(Update { id, value: update });
        Some(id)
    }

    pub fn pending(&self) -> usize {
        self.waiting.len() + self.again.len()
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
        self.again.clear();
    }

    pub fn allow(&mut self, kinds: Option<Vec<String>>) {
        if let Some(kinds) = kinds {
            self.allowed = kinds;
        }
    }

    pub fn allowed(&self) -> &[String] {
        &self.allowed
    }

    fn ready(&self) -> bool {
        !self.held && self.pending() > 0
    }

    /// Forgets what `offset` confirms; a negative one keeps only that many of the last.
    fn confirm(&mut self, offset: i64) {
        let keep_from = if offset < 0 {
            let keep = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            let at = self.waiting.len().saturating_sub(keep);
            self.waiting.get(at).map_or(i64::MAX, |u| u.id)
        } else {
            offset
        };
        while self.waiting.front().is_some_and(|u| u.id < keep_from) {
            let Some(update) = self.waiting.pop_front() else { break };
            if self.duplicate > 0 {
                self.duplicate -= 1;
                self.again.push_back(update);
            }
        }
    }

    fn batch(&mut self, limit: usize) -> Vec<Value> {
        let mut batch: Vec<Value> = vec![];
        while batch.len() < limit {
            let Some(update) = self.again.pop_front() else { break };
            batch.push(update.value);
        }
        let room = limit - batch.len();
        batch.extend(self.waiting.iter().take(room).map(|u| u.value.clone()));
        if batch.len() > 1 && self.reverse > 0 {
            self.reverse -= 1;
            batch.reverse();
        }
        batch
    }
}

/// Counts a poller for as long as its request lives.
struct Polling<'a>(&'a FakeTelegram);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.quietly(|w| w.queue.polling -= 1);
    }
}

impl FakeTelegram {
    /// `getUpdates`: answers as soon as there is something, or when its time is over.
    pub(super) async fn get_updates(&self, params: &Params) -> Answer {
        let timeout = Duration::from_secs(params.int("timeout").unwrap_or(0).clamp(0, 50).unsigned_abs());
        let limit = match usize::try_from(params.int("limit").unwrap_or(100)) {
            Ok(0) | Err(_) => 1,
            Ok(n) => n.min(100),
        };
        let started = self.quietly(|w| {
            if w.queue.webhook.is_some() {
                return None;
            }
            w.queue.latest += 1;
            w.queue.polling += 1;
            w.queue.allow(params.words("allowed_updates"));
            w.queue.confirm(params.int("offset").unwrap_or(0));
            Some(w.queue.latest)
        });
        let Some(mine) = started else { return Refusal::new(409, WEBHOOK_ACTIVE).into() };
        let _polling = Polling(self);
        let mut world = self.subscribe();
        let over = |w: &World| w.queue.latest != mine || w.queue.webhook.is_some() || w.queue.ready();
        // Too little time and a closed channel both mean: look once more, then answer.
        drop(tokio::time::timeout(timeout, world.wait_for(|w| over(w))).await);
        self.quietly(|w| {
            if w.queue.latest != mine || w.queue.webhook.is_some() {
                return Refusal::new(409, EVICTED).into();
            }
            let batch = if w.queue.held { vec![] } else { w.queue.batch(limit) };
            Answer::Ok(batch.into())
        })
    }

    /// Posts updates to the webhook, one after the other, again and again until it says 2xx.
    pub(super) async fn deliver(self) {
        rustls::crypto::ring::default_provider().install_default().ok();
        let timeout = Duration::from_secs(10);
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(timeout).build();
        let client = client.expect("a plain client needs nothing");
        let mut world = self.subscribe();
        let mut failures = 0_u32;
        loop {
            let due = |w: &World| w.queue.webhook.is_some() && w.queue.ready();
            if world.wait_for(due).await.is_err() {
                return;
            }
            let next = self.quietly(|w| {
                let update = w.queue.again.front().or(w.queue.waiting.front()).cloned();
                w.queue.webhook.clone().zip(update)
            });
            let Some((webhook, update)) = next else { continue };
            match post(&client, &webhook, &update).await {
                Ok(()) => {
                    failures = 0;
                    self.quietly(|w| w.queue.delivered(&update));
                }
                Err(error) => {
                    failures += 1;
                    let date = super::unix_now();
                    self.change(|w| {
                        if let Some(hook) = &mut w.queue.webhook {
                            hook.last_error = Some((date, error));
                        }
                    });
                    tokio::time::sleep(Duration::from_millis(50 << failures.min(5))).await;
                }
            }
        }
    }
}

impl Queue {
    fn delivered(&mut self, update: &Update) {
        if self.again.front().is_some_and(|u| u.id == update.id) {
            self.again.pop_front();
        } else {
            self.confirm(update.id + 1);
        }
    }
}

async fn post(client: &reqwest::Client, webhook: &Webhook, update: &Update) -> Result<(), String> {
    let mut request = client.post(&webhook.url).json(&update.value);
    if let Some(secret) = &webhook.secret {
        request = request.header("X-Telegram-Bot-Api-Secret-Token", secret);
    }
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("Wrong response from the webhook: {}", answer.status())),
        Err(error) if error.is_timeout() => Err("Read timeout expired".into()),
        Err(_) => Err("Connection refused".into()),
    }
}
