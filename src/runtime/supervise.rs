//! The supervisor: every long-lived task has a name, an owner, a way to stop, and a rule for when it dies.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// What happens when a task ends although nobody told it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The daemon makes no sense without it: end the daemon.
    EndDaemon,
    /// Start it again after a pause that doubles from `min` to `max`; a run longer than `max` resets the pause.
    Restart {
        /// The first pause.
        min: Duration,
        /// The longest pause.
        max: Duration,
    },
    /// It may end; an error or a panic is logged.
    Once,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Runs.
    Running,
    /// Died and waits for its restart.
    BackingOff {
        /// Why it died.
        reason: String,
    },
    /// Ended as it may.
    Ended,
    /// Ended with an error or a panic, and is not started again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A task's standing, for health pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Where it stands.
    pub state: TaskState,
    /// How often it was started again.
    pub restarts: u64,
}

/// A view on all tasks that outlives a borrow of the supervisor.
#[derive(Clone, Debug, Default)]
pub struct TaskBoard(Arc<Mutex<BTreeMap<String, TaskStatus>>>);

impl TaskBoard {
    /// All tasks by name.
    pub fn snapshot(&self) -> BTreeMap<String, TaskStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &str, state: TaskState) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match tasks.get_mut(name) {
            Some(task) => {
                if matches!(task.state, TaskState::BackingOff { .. }) && state == TaskState::Running {
                    task.restarts += 1;
                }
                task.state = state;
            }
            None => {
                tasks.insert(name.to_owned(), TaskStatus { state, restarts: 0 });
            }
        }
    }
}

/// Why the daemon must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// The task that ended.
    pub task: String,
    /// How it ended.
    pub reason: String,
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}` ended: {}", self.task, self.reason)
    }
}

/// How a shutdown went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// The tasks that ended by themselves, in the order in which they ended.
    pub finished: Vec<String>,
    /// The tasks that had to be aborted.
    pub aborted: Vec<String>,
}

impl Drained {
    /// Whether every task ended by itself.
    pub fn is_clean(&self) -> bool {
        self.aborted.is_empty()
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            write!(f, "all {} tasks ended by themselves", self.finished.len())
        } else {
            write!(f, "aborted after the deadline: {}", self.aborted.join(", "))
        }
    }
}

/// Owns named tasks: notices how they end, restarts them or ends the daemon, stops them in reverse order.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: Vec<Kept>,
    board: TaskBoard,
    fatal: Arc<FatalSlot>,
}

#[derive(Debug, Default)]
struct FatalSlot {
    first: OnceLock<Fatal>,
    happened: CancellationToken,
}

#[derive(Debug)]
struct Kept {
    name: String,
    cancel: CancellationToken,
    keeper: AbortOnDropHandle<()>,
}

impl Supervisor {
    /// Owns nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. `factory` makes a run of it; a run ends soon after its token is cancelled, and a text says why it failed.
    pub fn spawn<F, Fut>(&mut self, name: impl Into<String>, policy: Policy, factory: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let name = name.into();
        let cancel = CancellationToken::new();
        self.board.set(&name, TaskState::Running);
        let keeper = Keeper {
            name: name.clone(),
            policy,
            cancel: cancel.clone(),
            board: self.board.clone(),
            fatal: Arc::clone(&self.fatal),
        };
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.keep(Arc::new(factory))));
        self.tasks.push(Kept { name, cancel, keeper });
    }

    /// A view on all tasks.
    pub fn board(&self) -> TaskBoard {
        self.board.clone()
    }

    /// Waits until a task ends the daemon; never, while none does. May be called again.
    pub async fn fatal(&self) -> Fatal {
        self.fatal.happened.cancelled().await;
        self.fatal
            .first
            .get()
            .cloned()
            .unwrap_or_else(|| Fatal { task: String::new(), reason: "unknown".into() })
    }

    /// Stops all tasks, the youngest first: each is told to stop and waited for before the next one, but none may use up
    /// more than its share of `deadline`. Whoever still runs at the deadline is aborted.
    pub async fn shutdown(mut self, deadline: Duration) -> Drained {
        let end = Instant::now() + deadline;
        let mut drained = Drained::default();
        let mut late = Vec::new();
        while let Some(mut task) = self.tasks.pop() {
            task.cancel.cancel();
            let left = u32::try_from(self.tasks.len() + 1).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(Instant::now()) / left;
            match timeout(share, &mut task.keeper).await {
                Ok(_) => drained.finished.push(task.name),
                Err(_) => late.push(task),
            }
        }
        for mut task in late {
            if timeout_at(end, &mut task.keeper).await.is_ok() {
                drained.finished.push(task.name);
            } else {
                tracing::warn!(task = task.name, "did not stop in time and is aborted");
                task.keeper.abort();
                drained.aborted.push(task.name);
            }
        }
        tracing::info!(outcome = %drained, "tasks stopped");
        drained
    }
}

struct Keeper {
    name: String,
    policy: Policy,
    cancel: CancellationToken,
    board: TaskBoard,
    fatal: Arc<FatalSlot>,
}

impl Keeper {
    async fn keep<F, Fut>(self, factory: Arc<F>)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut pause = None;
        loop {
            let started = Instant::now();
            let (factory, token) = (Arc::clone(&factory), self.cancel.child_token());
            let run = AbortOnDropHandle::new(tokio::spawn(async move { factory(token).await }));
            let end = match run.await {
                Ok(end) => end,
                Err(e) if e.is_panic() => Err(format!("panicked: {}", panic_text(&*e.into_panic()))),
                Err(_) => Err("was aborted".into()),
            };
            if self.cancel.is_cancelled() {
                return self.stopped(end);
            }
            let Policy::Restart { min, max } = self.policy else { return self.ended(end) };
            let reason = end.err().unwrap_or_else(|| "ended by itself".into());
            let next = match pause {
                Some(last) if started.elapsed() <= max => max.min(last * 2),
                _ => min,
            };
            pause = Some(next.max(Duration::from_millis(1)));
            tracing::warn!(task = self.name, reason, ?next, "task died; it is started again after a pause");
            self.board.set(&self.name, TaskState::BackingOff { reason });
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return self.stopped(Ok(())),
                () = sleep(next) => self.board.set(&self.name, TaskState::Running),
            }
        }
    }

    fn stopped(&self, end: Result<(), String>) {
        let state = match end {
            Ok(()) => TaskState::Ended,
            Err(reason) => {
                tracing::warn!(task = self.name, reason, "task failed while it was stopped");
                TaskState::Failed { reason }
            }
        };
        self.board.set(&self.name, state);
    }

    fn ended(&self, end: Result<(), String>) {
        let state = match &end {
            Ok(()) => TaskState::Ended,
            Err(reason) => TaskState::Failed { reason: reason.clone() },
        };
        self.board.set(&self.name, state);
        let failed = end.is_err();
        let reason = end.err().unwrap_or_else(|| "ended by itself".into());
        match self.policy {
            Policy::EndDaemon => {
                tracing::error!(task = self.name, reason, "a task that the daemon needs ended");
                let first = Fatal { task: self.name.clone(), reason };
                if self.fatal.first.set(first).is_ok() {
                    self.fatal.happened.cancel();
                }
            }
            Policy::Once | Policy::Restart { .. } if failed => {
                tracing::error!(task = self.name, reason, "task failed");
            }
            Policy::Once | Policy::Restart { .. } => tracing::debug!(task = self.name, "task ended"),
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const S: Duration = Duration::from_secs(1);

    async fn until_cancelled(token: CancellationToken) -> Result<(), String> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dying_task_is_restarted_with_doubling_pauses() {
        let mut all = Supervisor::new();
        let starts = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&starts);
        let begin = Instant::now();
        all.spawn("poller", Policy::Restart { min: S, max: S * 4 }, move |_| {
            let mut seen = seen.lock().unwrap();
            seen.push(begin.elapsed().as_secs());
            let n = seen.len();
            async move {
                match n {
                    1 => Err("no".into()),
                    2 => panic!("boom {n}"),
                    3 => Ok(()),
                    // A long run resets the pause.
                    5 => {
                        sleep(S * 10).await;
                        Err("late".into())
                    }
                    _ => Err("again".into()),
                }
            }
        });
        sleep(S * 3 + S / 2).await;
        let status = all.board().snapshot()["poller"].clone();
        assert_eq!(status.state, TaskState::BackingOff { reason: "ended by itself".into() });
        assert_eq!(status.restarts, 2);
        sleep(S * 22).await;
        assert_eq!(starts.lock().unwrap().get(..7).unwrap(), [0, 1, 3, 7, 11, 22, 24]);
        let fatal = timeout(S, all.fatal()).await;
        assert!(fatal.is_err(), "a restarted task must not end the daemon");
        assert!(all.shutdown(S).await.is_clean());
    }

    #[tokio::test(start_paused = true)]
    async fn a_needed_task_ends_the_daemon_however_it_ends() {
        for (how, want) in [(0, "ended by itself"), (1, "disk full"), (2, "panicked: boom")] {
            let mut all = Supervisor::new();
            all.spawn("bystander", Policy::Once, until_cancelled);
            all.spawn("store", Policy::EndDaemon, move |_| async move {
                match how {
                    0 => Ok(()),
                    1 => Err("disk full".into()),
                    _ => panic!("boom"),
                }
            });
            let fatal = timeout(S, all.fatal()).await.unwrap();
            assert_eq!(fatal, Fatal { task: "store".into(), reason: want.into() });
            assert_eq!(all.board().snapshot()["bystander"].state, TaskState::Running);
            assert!(all.shutdown(S).await.is_clean());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_task_may_end_or_fail_without_consequence() {
        let mut all = Supervisor::new();
        let runs = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&runs);
        all.spawn("warm", Policy::Once, move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            async { Err("cold".into()) }
        });
        sleep(S * 100).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(all.board().snapshot()["warm"].state, TaskState::Failed { reason: "cold".into() });
        assert!(timeout(S, all.fatal()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_goes_backwards_and_waits_for_each() {
        let mut all = Supervisor::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for name in ["store", "engine", "socket"] {
            let order = Arc::clone(&order);
            all.spawn(name, Policy::EndDaemon, move |token| {
                let order = Arc::clone(&order);
                async move {
                    token.cancelled().await;
                    order.lock().unwrap().push(format!("{name} told"));
                    sleep(S).await;
                    order.lock().unwrap().push(format!("{name} out"));
                    Ok(())
                }
            });
        }
        tokio::task::yield_now().await;
        let drained = all.shutdown(S * 30).await;
        assert_eq!(drained.finished, ["socket", "engine", "store"]);
        let want = ["socket told", "socket out", "engine told", "engine out", "store told", "store out"];
        assert_eq!(*order.lock().unwrap(), want);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_stop_is_aborted_at_the_deadline_and_starves_nobody() {
        struct Dropped(Arc<AtomicU32>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut all = Supervisor::new();
        let dropped = Arc::new(AtomicU32::new(0));
        all.spawn("good", Policy::EndDaemon, until_cancelled);
        let counter = Arc::clone(&dropped);
        all.spawn("stuck", Policy::EndDaemon, move |_| {
            let guard = Dropped(Arc::clone(&counter));
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        });
        let begin = Instant::now();
        let drained = all.shutdown(S * 10).await;
        assert_eq!(drained, Drained { finished: vec!["good".into()], aborted: vec!["stuck".into()] });
        assert_eq!(begin.elapsed().as_secs(), 10);
        assert!(drained.to_string().contains("stuck"));
        timeout(S, async {
            while dropped.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the run itself ends, not only its keeper");
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_interrupts_a_pause() {
        let mut all = Supervisor::new();
        all.spawn("flappy", Policy::Restart { min: S * 600, max: S * 600 }, |_| async { Err("x".into()) });
        sleep(S).await;
        let begin = Instant::now();
        assert!(all.shutdown(S * 10).await.is_clean());
        assert!(begin.elapsed() < S);
    }
}
