//! The desk at work: signals are kept in groups, durable before their source hears of it; time passes; chats are told what stands
//! in them and what should.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::{Board, Changes, Desk, Job, Reach, Refusal, Settings},
    domain::{Action, Actor, Incident, IncidentEvent, IncidentId, Labels, Signal, Subject},
    runtime::{Counters, clock},
    store::{Store, StoreError},
};

/// Says whom labels are about.
pub type SubjectSource = Arc<dyn Fn(&Labels) -> Subject + Send + Sync>;

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
    /// The daemon stops.
    #[error("OpsBot is stopping")]
    Stopping,
}

impl From<Refusal> for PagerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.0)
    }
}

/// What of the incidents that were is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only this customer's.
    pub customer: Option<String>,
    /// Only those that were open at or after this time.
    pub since: Option<Timestamp>,
    /// Only those that began before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest first.
    pub most: u32,
}

/// The desk at work; clones share everything. [`Pager::run`] must run for anything to be kept.
#[derive(Clone)]
pub struct Pager(Arc<Shared>);

struct Shared {
    store: Store,
    counters: Counters,
    desk: Mutex<Desk>,
    boards: Mutex<BTreeMap<String, Board>>,
    setup: Mutex<Setup>,
    changes: watch::Sender<u64>,
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
        let desk = Mutex::new(Desk::new(setup.settings.clone(), Default::default()));
        let (boards, changes) = (Mutex::default(), watch::Sender::new(0));
        let _later = store.health().await;
        Ok(Self(Arc::new(Shared { store, counters, desk, boards, setup: Mutex::new(setup), changes })))
    }

    /// Keeps what comes in, in groups, and lets time pass, until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        stop.cancelled().await;
        Ok(())
    }

    /// Takes a changed setup.
    pub fn set(&self, setup: Setup) {
        lock(&self.0.desk).set(setup.settings.clone());
        *lock(&self.0.setup) = setup;
    }

    /// Keeps signals: durable when it gives `Ok`.
    ///
    /// # Errors
    /// [`PagerError::NotStored`] and [`PagerError::Stopping`].
    pub async fn take(&self, signals: Vec<Signal>) -> Result<(), PagerError> {
        let _ = signals;
        Err(PagerError::Stopping)
    }

    /// Does what a person (with an audit row before and after) or the bot itself wants; gives what it changed.
    ///
    /// # Errors
    /// Each of [`PagerError`].
    pub async fn act(&self, action: Action, by: Option<&Actor>) -> Result<Changes, PagerError> {
        let _ = by;
        Ok(lock(&self.0.desk).act(action, clock::now())?)
    }

    /// Looks at the desk; `look` must be quick, as everything waits for it.
    pub fn look<T>(&self, look: impl FnOnce(&Desk) -> T) -> T {
        look(&lock(&self.0.desk))
    }

    /// Tells whenever desk or boards changed; the number has no meaning of its own.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The places that begin with `channel` (`telegram:`) and have a board: those of the setup, and those that still hold cards.
    pub fn places(&self, channel: &str) -> Vec<String> {
        lock(&self.0.boards).keys().filter(|place| place.starts_with(channel)).cloned().collect()
    }

    /// What a place needs next; and otherwise when it may need something without a change.
    pub fn next(&self, place: &str) -> (Option<Job>, Option<Timestamp>) {
        let _ = place;
        (None, None)
    }

    /// The job's sending begins: durable when it gives `Ok`. With a broken store the job goes on all the same.
    ///
    /// # Errors
    /// The store's.
    pub async fn begins(&self, place: &str, job: &Job) -> Result<(), StoreError> {
        let _ = (place, job);
        Ok(())
    }

    /// The job ended; see the like-named methods of [`Board`].
    ///
    /// # Errors
    /// The store's; the board in memory knows all the same.
    pub async fn ended(&self, place: &str, job: &Job, end: JobEnd<'_>) -> Result<(), StoreError> {
        let _ = (place, job, end);
        Ok(())
    }

    /// The incident whose card a message is.
    pub fn incident_at(&self, place: &str, message: &str) -> Option<IncidentId> {
        lock(&self.0.boards).get(place)?.incident_at(message)
    }

    /// Incidents that were, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Vec<Incident>, StoreError> {
        let _ = query;
        Ok(Vec::new())
    }

    /// What happened to an incident, oldest first; and the incident, open or not.
    ///
    /// # Errors
    /// The store's.
    pub async fn story(&self, id: IncidentId) -> Result<Option<(Incident, Vec<IncidentEvent>)>, StoreError> {
        let _ = id;
        Ok(None)
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
