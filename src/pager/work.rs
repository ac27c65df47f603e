//! The one task that works at the desk: group after group, each one commit.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{PagerError, Shared, audit, lock, pending::Pending};
use crate::{
    alerts::{BoardRow, Changes, Incoming},
    domain::{Action, Actor},
    runtime::clock::{self, Stopwatch},
    store::StoreError,
};

/// A group ends when it holds so many signals: more would make the first of them wait too long.
const GROUP: usize = 4_000;
/// How many signals are given to the desk before others may look at it.
const AT_ONCE: usize = 500;
/// The shortest pause before time passes again.
const SHORTEST: Duration = Duration::from_millis(1);
/// How long nothing is looked at at most: the wall clock may have been set.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a store that failed is left alone when nobody asks for it.
const RETRY: Duration = Duration::from_secs(1);

/// What waits to be done.
#[derive(Debug)]
pub(super) enum Wish {
    /// Signals are to be kept.
    Take { signals: Vec<Incoming>, room: OwnedSemaphorePermit, answer: Answer<(), PagerError> },
    /// Somebody does something.
    Act { action: Box<Action>, by: Option<Box<Actor>>, answer: Answer<Changes, PagerError> },
    /// A row of a board is to be kept.
    Board { place: String, row: Box<BoardRow>, answer: Answer<(), StoreError> },
}

type Answer<T, E> = oneshot::Sender<Result<T, E>>;

/// Who hears of the commit.
enum Waiting {
    Taken(Answer<(), PagerError>),
    Acted(Answer<Changes, PagerError>, Changes),
    Kept(Answer<(), StoreError>),
}

impl Waiting {
    /// Says how the commit went. Whoever does not wait any more needs no answer.
    fn hear(self, written: &Result<(), StoreError>) {
        match self {
            Self::Taken(answer) => answer.send(written.clone().map_err(PagerError::from)).ok(),
            Self::Acted(answer, changes) => {
                drop(answer.send(written.clone().map(|()| changes).map_err(PagerError::from)));
                None
            }
            Self::Kept(answer) => answer.send(written.clone()).ok(),
        };
    }
}

/// The task's own things; they outlive a run that panicked.
#[derive(Debug)]
pub(super) struct Worker {
    inbox: mpsc::Receiver<Wish>,
    pending: Pending,
    /// The last commit failed.
    failing: bool,
}

impl Worker {
    pub(super) fn new(inbox: mpsc::Receiver<Wish>) -> Self {
        Self { inbox, pending: Pending::default(), failing: false }
    }

    /// Works until `stop`, and then on until nothing waits.
    pub(super) async fn run(&mut self, shared: &Shared, stop: CancellationToken) {
        loop {
            let pause = self.pause(shared, clock::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                wish = self.inbox.recv() => match wish {
                    Some(wish) => self.group(shared, Some(wish)).await,
                    None => return,
                },
                () = tokio::time::sleep(pause) => self.group(shared, None).await,
            }
        }
        self.inbox.close();
        while let Some(wish) = self.inbox.recv().await {
            self.group(shared, Some(wish)).await;
        }
        if !self.pending.is_empty() {
            tracing::error!(
                incidents = self.pending.unsaved().len(),
                "alerts are lost: the store could not be written"
            );
        }
    }

    /// How long nothing has to be done unless somebody asks.
    fn pause(&self, shared: &Shared, now: Timestamp) -> Duration {
        if self.failing {
            return RETRY;
        }
        let wakes = lock(&shared.desk).wakes_at();
        let until = wakes.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        until.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
    }

    /// Lets time pass, does `wish` and what waits behind it, writes it all down, answers.
    async fn group(&mut self, shared: &Shared, wish: Option<Wish>) {
        let mut waiting = Vec::new();
        self.tick(shared);
        let (mut wish, mut taken) = (wish, 0);
        while let Some(next) = wish {
            taken += self.one(shared, next, &mut waiting).await;
            wish = if taken < GROUP { self.inbox.try_recv().ok() } else { None };
        }
        if self.pending.is_empty() && waiting.is_empty() {
            return;
        }
        let written = self.write(shared).await;
        if taken > 0 {
            shared.counters.add("opsbot_pager_signals_total", &[], u64::try_from(taken).unwrap_or(u64::MAX));
        }
        shared.changed();
        for one in waiting {
            one.hear(&written);
        }
    }

    fn tick(&mut self, shared: &Shared) {
        let now = clock::now();
        let mut desk = lock(&shared.desk);
        if desk.wakes_at().is_some_and(|at| at <= now) {
            self.pending.add(desk.tick(now));
        }
    }

    /// Does one thing on the desk; gives how many signals that were.
    async fn one(&mut self, shared: &Shared, wish: Wish, waiting: &mut Vec<Waiting>) -> usize {
        match wish {
            Wish::Take { signals, room, answer } => {
                let count = signals.len();
                let mut signals = signals.into_iter();
                while signals.len() > 0 {
                    let some = signals.by_ref().take(AT_ONCE).collect();
                    let changes = lock(&shared.desk).on(some, clock::now());
                    self.pending.add(changes);
                    tokio::task::yield_now().await;
                }
                drop(room);
                waiting.push(Waiting::Taken(answer));
                count
            }
            Wish::Act { action, by, answer } => {
                let now = clock::now();
                let entry = audit::entry(&action, by.as_deref(), now);
                let done = lock(&shared.desk).act(*action, now);
                match done {
                    Ok(changes) => {
                        self.pending.add(changes.clone());
                        if let Some(entry) = entry {
                            self.pending.add_audit(entry);
                        }
                        waiting.push(Waiting::Acted(answer, changes));
                    }
                    Err(refusal) => drop(answer.send(Err(refusal.into()))),
                }
                1
            }
            Wish::Board { place, row, answer } => {
                self.pending.add_board(place, *row);
                waiting.push(Waiting::Kept(answer));
                1
            }
        }
    }

    /// Writes what is pending; what cannot be written is held for the next time.
    async fn write(&mut self, shared: &Shared) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let watch = Stopwatch::start();
        let mut written = self.commit(shared).await;
        if written.is_ok() && std::mem::take(&mut self.failing) {
            tracing::info!("the store can be written again; all alerts are kept");
            let marked = std::mem::take(&mut *lock(&shared.unsaved));
            let shown = lock(&shared.desk).show_again(marked, clock::now());
            self.pending.add(shown);
            written = self.commit(shared).await;
        }
        shared.counters.observe("opsbot_pager_commit_seconds", &[], watch.seconds());
        let outcome = if written.is_ok() { "kept" } else { "failed" };
        shared.counters.add("opsbot_pager_commits_total", &[("outcome", outcome)], 1);
        if let Err(error) = &written {
            self.failed(shared, error);
        }
        written
    }

    async fn commit(&mut self, shared: &Shared) -> Result<(), StoreError> {
        loop {
            let part = self.pending.part(&lock(&shared.desk));
            let Some((ids, changes)) = part else { break };
            let mut rows = Pending::default();
            rows.add(changes);
            shared.store.alerts_commit(&rows.rows()).await?;
            self.pending.wrote_part(&ids);
        }
        shared.store.alerts_commit(&self.pending.rows()).await?;
        self.pending.wrote();
        Ok(())
    }

    fn failed(&mut self, shared: &Shared, error: &StoreError) {
        let dropped = self.pending.hold(&lock(&shared.desk));
        *lock(&shared.unsaved) = self.pending.unsaved();
        if dropped > 0 {
            let dropped = u64::try_from(dropped).unwrap_or(u64::MAX);
            shared.counters.add("opsbot_pager_dropped_total", &[], dropped);
        }
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(%error, "alerts cannot be written down; people are paged all the same");
        }
    }
}
