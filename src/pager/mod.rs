//! The desk at work: signals are kept in groups, durable before their source hears of it; time passes; chats are told what stands
//! in them and what should.
//!
//! One task ([`Pager::run`]) owns all writing: it takes what waits from a bounded queue, gives it to the desk, writes one commit
//! for all of it and answers each. Rows of boards go the same way, so a card is never begun before its incident is kept.

mod audit;
mod pending;
mod places;
#[cfg(test)]
mod tests;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub use crate::store::IncidentQuery as HistoryQuery;

use crate::{
    alerts::{Board, Changes, Desk, Incoming, Reach, Refusal, Settings},
    domain::{Action, Actor, Incident, IncidentEvent, IncidentId, Labels, Signal, Subject},
    runtime::{Counters, clock},
    store::{Store, StoreError},
};
use work::{Wish, Worker};

/// The most signals that wait to be written; who brings more waits outside.
const ROOM: usize = 50_000;
/// The most requests that wait.
const QUEUE: usize = 4096;
/// How long a request waits for a place in the queue.
const PATIENCE: Duration = Duration::from_secs(5);
/// Cards of incidents that were over for longer are not followed any more.
const FOLLOWED: SignedDuration = SignedDuration::from_hours(48);

/// Says whom labels are about.
pub type SubjectSource = Arc<dyn Fn(&Labels) -> Subject + Send + Sync>;

/// Is told that an alert came, firing.
pub type Seen = Arc<dyn Fn(Timestamp) + Send + Sync>;

/// How the pager works; a reload brings another one.
#[derive(Clone)]
pub struct Setup {
    /// How alerts become incidents.
    pub settings: Settings,
    /// The chats that are paged (`telegram:-100123:0`), and when.
    pub places: BTreeMap<String, Vec<Reach>>,
    /// More unsent cards than this become a storm card.
    pub storm_above: usize,
    /// Says whom labels are about.
    pub subject: SubjectSource,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum PagerError {
    /// It makes no sense; the sentence is for whoever wanted it.
    #[error("{0}")]
    Refused(String),
    /// It could not be written down. What fires is on the desk all the same and is pushed, marked as not stored.
    #[error("{0}")]
    NotStored(#[from] StoreError),
    /// More comes in than can be written; nothing of this was taken.
    #[error("more comes in than can be written down; send it again in a few seconds")]
    Busy,
    /// The daemon stops.
    #[error("OpsBot is stopping")]
    Stopping,
}

impl From<Refusal> for PagerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.0)
    }
}

/// The desk at work; clones share everything. [`Pager::run`] must run for anything to be kept.
#[derive(Clone)]
pub struct Pager(Arc<Shared>);

struct Shared {
    store: Store,
    counters: Counters,
    /// Never taken before `boards` by whoever needs both.
    desk: Mutex<Desk>,
    boards: Mutex<BTreeMap<String, Board>>,
    setup: Mutex<Setup>,
    changes: watch::Sender<u64>,
    /// Who is told of which alert.
    watch: Mutex<Option<(String, Seen)>>,
    /// The incidents that could not be written down so far.
    unsaved: Mutex<BTreeSet<IncidentId>>,
    queue: mpsc::Sender<Wish>,
    room: Arc<Semaphore>,
    /// Held by the one task that works.
    worker: tokio::sync::Mutex<Worker>,
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager").finish_non_exhaustive()
    }
}

impl Pager {
    /// The desk and its boards as they were kept.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(store: Store, setup: Setup, counters: Counters) -> Result<Self, StoreError> {
        let now = clock::now();
        let since = now.checked_sub(FOLLOWED).unwrap_or(now);
        let desk = Desk::new(setup.settings.clone(), store.alerts_restore(since).await?);
        let boards = places::restored(&setup, store.boards(since).await?);
        let (queue, inbox) = mpsc::channel(QUEUE);
        for (name, help) in FIGURES {
            counters.describe(name, help);
        }
        Ok(Self(Arc::new(Shared {
            store,
            counters,
            desk: Mutex::new(desk),
            boards: Mutex::new(boards),
            setup: Mutex::new(setup),
            changes: watch::Sender::new(0),
            watch: Mutex::default(),
            unsaved: Mutex::default(),
            queue,
            room: Arc::new(Semaphore::new(ROOM)),
            worker: tokio::sync::Mutex::new(Worker::new(inbox)),
        })))
    }

    /// Keeps what comes in, in groups, and lets time pass, until `stop`; what waits then is kept as well.
    ///
    /// # Errors
    /// It runs already.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        let mut worker = self.0.worker.try_lock().map_err(|_| "the desk is at work already".to_owned())?;
        worker.run(&self.0, stop).await;
        Ok(())
    }

    /// Takes a changed setup; what is on the desk and in the chats stays.
    pub fn set(&self, setup: Setup) {
        lock(&self.0.desk).set(setup.settings.clone());
        places::set(&mut lock(&self.0.boards), &setup);
        *lock(&self.0.setup) = setup;
        self.0.changed();
    }

    /// Keeps signals: durable when it gives `Ok`.
    ///
    /// # Errors
    /// [`PagerError::NotStored`], [`PagerError::Busy`] and [`PagerError::Stopping`].
    pub async fn take(&self, signals: Vec<Signal>) -> Result<(), PagerError> {
        if signals.is_empty() {
            return Ok(());
        }
        self.tell_watch(&signals);
        self.submit(signals).await
    }

    /// Whether the desk is at work.
    ///
    /// # Errors
    /// As [`Pager::take`].
    pub async fn ping(&self) -> Result<(), PagerError> {
        self.submit(Vec::new()).await
    }

    /// From now on `seen` is told of every firing alert of this name; it must be quick.
    pub fn watch(&self, alertname: &str, seen: Seen) {
        *lock(&self.0.watch) = Some((alertname.to_owned(), seen));
    }

    fn tell_watch(&self, signals: &[Signal]) {
        if let Some((name, seen)) = &*lock(&self.0.watch)
            && signals.iter().any(|s| s.firing && s.labels.get("alertname") == Some(name))
        {
            seen(clock::now());
        }
    }

    async fn submit(&self, signals: Vec<Signal>) -> Result<(), PagerError> {
        let count = u32::try_from(signals.len().min(ROOM)).unwrap_or(u32::MAX);
        let room = timeout(PATIENCE, self.0.room.clone().acquire_many_owned(count));
        let room = match room.await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err(PagerError::Stopping),
            Err(_) => return Err(self.0.busy()),
        };
        let subject = lock(&self.0.setup).subject.clone();
        let signals = signals.into_iter().map(|signal| Incoming { subject: subject(&signal.labels), signal });
        let (answer, answered) = oneshot::channel();
        self.0.wish(Wish::Take { signals: signals.collect(), room, answer }).await?;
        answered.await.unwrap_or(Err(PagerError::Stopping))
    }

    /// Does what a person (with an audit row in the same commit) or the bot itself wants; gives what it changed.
    ///
    /// # Errors
    /// Each of [`PagerError`]. With [`PagerError::NotStored`] it is done, and lost with a restart unless the store recovers.
    pub async fn act(&self, action: Action, by: Option<&Actor>) -> Result<Changes, PagerError> {
        let (answer, answered) = oneshot::channel();
        self.0.wish(Wish::Act { action: Box::new(action), by: by.cloned().map(Box::new), answer }).await?;
        answered.await.unwrap_or(Err(PagerError::Stopping))
    }

    /// Looks at the desk; `look` must be quick, as everything waits for it.
    pub fn look<T>(&self, look: impl FnOnce(&Desk) -> T) -> T {
        look(&lock(&self.0.desk))
    }

    /// Tells whenever desk or boards changed; the number has no meaning of its own.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Incidents that were, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Vec<Incident>, StoreError> {
        self.0.store.incidents(query).await
    }

    /// What happened to an incident, oldest first; and the incident, open or not.
    ///
    /// # Errors
    /// The store's.
    pub async fn story(&self, id: IncidentId) -> Result<Option<(Incident, Vec<IncidentEvent>)>, StoreError> {
        self.0.store.incident_story(id).await
    }

    /// Forgets what was over for longer than `keep`; gives how many incidents that were.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, keep: Duration) -> Result<u64, StoreError> {
        let before = clock::now().checked_sub(keep).unwrap_or(Timestamp::MIN);
        self.0.store.alerts_sweep(before).await
    }
}

/// The pager's figures.
const FIGURES: [(&str, &str); 5] = [
    ("opsbot_pager_commits_total", "Commits of alerts, by how they ended."),
    ("opsbot_pager_commit_seconds", "How long a commit of alerts took."),
    ("opsbot_pager_signals_total", "Signals that were given to the desk."),
    ("opsbot_pager_busy_total", "Requests that were refused because too many waited."),
    ("opsbot_pager_dropped_total", "Rows of alerts that were dropped while the store could not be written."),
];

impl Shared {
    /// Puts a request into the queue, waiting for a place for a while.
    async fn wish(&self, wish: Wish) -> Result<(), PagerError> {
        match timeout(PATIENCE, self.queue.send(wish)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(PagerError::Stopping),
            Err(_) => Err(self.busy()),
        }
    }

    fn busy(&self) -> PagerError {
        self.counters.add("opsbot_pager_busy_total", &[], 1);
        PagerError::Busy
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEnd<'a> {
    /// Done; the new message's name for a send.
    Done(Option<&'a str>),
    /// Nothing of it reached the wire.
    NotBegun,
    /// The message is gone.
    Gone,
    /// It cannot be delivered here, ever.
    Failed(&'a str),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
