//! Delivers posts: a queue per chat, one call at a time in each, and what to do when a call fails so that nothing is
//! lost and at most one marked copy is seen.

mod desk;
mod job;
mod probe;
mod quick;
mod task;
#[cfg(test)]
mod testing;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, TryAcquireError, oneshot},
    time::Instant,
};

use self::{
    desk::{Desk, Quick},
    job::{Act, Job},
};
use super::{
    api::Api,
    governor::Limits,
    post::{Place, Post},
};
use crate::runtime::Counters;

/// How a post is changed when it must be.
#[derive(Clone, Copy, Debug)]
pub struct Shapes {
    /// Says that the message may have come before.
    pub mark_repeat: fn(Post) -> Post,
    /// Without formatting.
    pub plain: fn(Post) -> Post,
    /// Short enough for every limit, in one or more parts.
    pub shorten: fn(Post) -> Vec<Post>,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// Before the first repetition.
    pub backoff_min: Duration,
    /// Before any repetition at most.
    pub backoff_max: Duration,
    /// Before a refused token is tried again.
    pub token: Duration,
    /// For an answer to a button's press, repetitions included.
    pub answer: Duration,
    /// For calls under way when the bot stops.
    pub stop: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            token: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            stop: Duration::from_secs(5),
        }
    }
}

impl Waits {
    /// The pause before the `n`th repetition (from 1), growing by `factor`.
    fn backoff(&self, n: u32, factor: u32) -> Duration {
        let times = factor.saturating_pow(n.saturating_sub(1));
        self.backoff_min.saturating_mul(times).min(self.backoff_max)
    }
}

/// How a courier works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How fast it calls.
    pub limits: Limits,
    /// How long it waits.
    pub waits: Waits,
    /// How it changes posts.
    pub shapes: Shapes,
    /// How many chats it serves at the same time.
    pub parallel: usize,
    /// How many posts may wait for one chat.
    pub per_chat: usize,
}

impl Settings {
    /// The defaults: Telegram's limits, 16 chats at a time, 1000 posts each.
    pub fn new(shapes: Shapes) -> Self {
        Self { limits: Limits::default(), waits: Waits::default(), shapes, parallel: 16, per_chat: 1000 }
    }
}

/// How urgent a post is within its chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Before all others, also of other chats.
    Critical,
    /// In order.
    Reply,
    /// When nothing else waits.
    Live,
}

/// Whether a send may have been made before, by a process that did not live to see its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Surely not.
    First,
    /// Perhaps: it is marked from the start.
    MaybeRepeat,
}

/// A message that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id within its chat; of the first when it became several.
    pub message: i32,
    /// Whether it is marked as a possible repetition.
    pub repeat: bool,
}

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// The chat is gone or does not want us: a dead letter. The text says which.
    Gone(String),
    /// The message to change is gone.
    MessageGone,
    /// Telegram refuses it, however simple it was made. The text says why.
    Refused(String),
    /// It may be there, or not: announce it, never send it again.
    Unsure,
    /// The token is refused.
    Token,
    /// The bot stops. When it was `attempted`, it may be there: start again with [`Attempt::MaybeRepeat`].
    Stopped {
        /// Whether a send may have had an effect.
        attempted: bool,
    },
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(why) | Self::Refused(why) => f.write_str(why),
            Self::MessageGone => f.write_str("the message is gone or cannot be changed any more"),
            Self::Unsure => f.write_str("it is unknown whether the message arrived: look into the chat"),
            Self::Token => f.write_str("Telegram does not know the token: check it, and telegram.api_url"),
            Self::Stopped { .. } => f.write_str("the bot stops; it is sent after the next start"),
        }
    }
}

impl std::error::Error for Undelivered {}

/// How a courier does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourierHealth {
    /// Whether the token is good, as far as is known.
    pub token_ok: bool,
    /// Whether the server answers, as far as is known; if not, everything waits.
    pub reachable: bool,
    /// When a call last succeeded.
    pub last_ok: Option<Timestamp>,
    /// How many chats wait because Telegram told them to.
    pub blocked_chats: usize,
    /// How many posts wait.
    pub queued: usize,
}

/// A handle on the courier; cheap to clone. [`Courier::run`] must run for anything to be delivered.
#[derive(Clone, Debug)]
pub struct Courier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    api: Api,
    settings: Settings,
    counters: Counters,
    desk: Mutex<Desk>,
    wake: Notify,
    epoch: Instant,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn dropped(&self, what: &str, n: usize) {
        if n > 0 {
            self.counters.add("opsbot_telegram_dropped_total", &[("what", what)], n as u64);
        }
    }

    fn show_queue(&self, desk: &Desk) {
        self.counters.set("opsbot_telegram_queued", &[], desk.queued() as f64);
    }
}

impl Courier {
    /// A courier with empty queues.
    pub fn new(api: Api, settings: Settings, counters: Counters) -> Self {
        counters.describe("opsbot_telegram_sends_total", "Deliveries to Telegram by how they ended.");
        counters
            .describe("opsbot_telegram_retries_total", "Calls to Telegram that had to be repeated, by why.");
        counters.describe("opsbot_telegram_dropped_total", "What was not sent because it may be dropped.");
        counters.describe("opsbot_telegram_queued", "Posts that wait to be delivered to Telegram.");
        let desk = Mutex::new(Desk::new(&settings));
        Self(Arc::new(Shared { api, settings, counters, desk, wake: Notify::new(), epoch: Instant::now() }))
    }

    /// Sends a post as a new message; waits for its turn, for as long as it takes. When the caller gives up waiting
    /// before the first try, nothing is sent.
    ///
    /// # Errors
    /// [`Undelivered`], never for what waiting can cure.
    pub async fn send(
        &self,
        place: Place,
        lane: Lane,
        post: Post,
        attempt: Attempt,
    ) -> Result<Sent, Undelivered> {
        let job = Job::new(place, lane, Act::Send { reply_to: None }, Some(post));
        self.deliver(job.attempt(attempt, &self.0.settings.shapes)).await
    }

    /// As [`Courier::send`], as a reply to a message; without it when that is gone.
    ///
    /// # Errors
    /// As [`Courier::send`].
    pub async fn reply(
        &self,
        place: Place,
        to: i32,
        lane: Lane,
        post: Post,
        attempt: Attempt,
    ) -> Result<Sent, Undelivered> {
        let job = Job::new(place, lane, Act::Send { reply_to: Some(to) }, Some(post));
        self.deliver(job.attempt(attempt, &self.0.settings.shapes)).await
    }

    /// Turns a message into `post` for good: live edits of it that still wait are dropped. `media` says whether the
    /// message has a picture or a file now.
    ///
    /// # Errors
    /// [`Undelivered::MessageGone`] and as [`Courier::send`], but never [`Undelivered::Unsure`].
    pub async fn edit(
        &self,
        place: Place,
        message: i32,
        media: bool,
        lane: Lane,
        post: Post,
    ) -> Result<(), Undelivered> {
        self.deliver(Job::new(place, lane, Act::Edit { message, media }, Some(post))).await.map(drop)
    }

    /// Shows `post` in a text message for a while; only the newest that waits is sent, and only when nothing else
    /// waits. Nobody learns how it ended.
    pub fn edit_live(&self, place: Place, message: i32, post: Post) {
        let job = Job::new(place, Lane::Live, Act::Live { message }, Some(post));
        let dropped = {
            let mut desk = self.0.desk();
            let dropped = desk.push_live(job);
            self.0.show_queue(&desk);
            dropped
        };
        self.0.dropped("live_edit", usize::from(dropped));
        self.0.wake.notify_one();
    }

    /// Deletes a message; one that is gone already is fine.
    ///
    /// # Errors
    /// As [`Courier::edit`].
    pub async fn delete(&self, place: Place, message: i32) -> Result<(), Undelivered> {
        self.deliver(Job::new(place, Lane::Reply, Act::Delete { message }, None)).await.map(drop)
    }

    /// Shows for some 5 s that the bot is typing, if that is possible at once.
    pub fn action(&self, place: Place) {
        let refused = self.0.desk().push_quick(Quick::Action(place)).is_err();
        self.0.dropped("action", usize::from(refused));
        self.0.wake.notify_one();
    }

    /// Answers a button's press, at once; too late is fine.
    ///
    /// # Errors
    /// [`Undelivered::Token`], [`Undelivered::Stopped`], or [`Undelivered::Refused`] when it could not be answered in
    /// time.
    pub async fn answer(&self, callback: &str, text: &str, alert: bool) -> Result<(), Undelivered> {
        let (done, answered) = oneshot::channel();
        let quick = Quick::Answer { id: callback.to_owned(), text: text.to_owned(), alert, done };
        let refused = self.0.desk().push_quick(quick).is_err();
        if refused {
            self.0.dropped("answer", 1);
            let stopped = self.0.desk().is_stopped();
            let busy = || Undelivered::Refused("too many button presses at a time; press again".into());
            return Err(if stopped { Undelivered::Stopped { attempted: false } } else { busy() });
        }
        self.0.wake.notify_one();
        answered.await.unwrap_or(Err(Undelivered::Stopped { attempted: true }))
    }

    /// Takes nothing more, and tells whoever waits for a send that has not begun.
    pub fn close(&self) {
        let (jobs, quick) = self.0.desk().stop();
        for job in jobs {
            self.0.finish(job, Err(Undelivered::Stopped { attempted: false }));
        }
        drop(quick);
    }

    /// How it does.
    pub fn health(&self) -> CourierHealth {
        self.0.desk().health(self.0.now())
    }

    async fn deliver(&self, job: Job) -> Result<Sent, Undelivered> {
        let stopped = job.stopped();
        let Some(room) = self.0.desk().room(job.place.chat) else { return Err(stopped) };
        // At once if possible: waiting even for what is free would let others of the same task pass.
        let permit = match Arc::clone(&room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => room.acquire_owned().await.map_err(|_| stopped.clone())?,
            Err(TryAcquireError::Closed) => return Err(stopped),
        };
        let (done, outcome) = oneshot::channel();
        let dropped = {
            let mut desk = self.0.desk();
            let Some(dropped) = desk.push(job.awaited(done, permit)) else { return Err(stopped) };
            self.0.show_queue(&desk);
            dropped
        };
        self.0.dropped("live_edit", dropped);
        self.0.wake.notify_one();
        outcome.await.unwrap_or(Err(Undelivered::Stopped { attempted: true }))
    }
}
