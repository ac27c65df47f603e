//! The engine: takes what people say and decide, carries turns and approved writes out, and writes the rows first.

pub mod commands;
pub mod nearest;
pub mod people;
pub mod registry;
pub mod session;

mod approvals;
mod audit;
mod gate;
mod memory;
mod pairing;
mod present;
mod say;
mod sink;
mod steering;
mod turn;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub use crate::store::StoreError;
pub use commands::Command;
pub use memory::{Forget, Memory};
pub use nearest::Directory;
pub use pairing::PairAs;
pub use people::KnownPeople;
pub use registry::Registry;
pub use say::Fetch;
pub use session::Scope;
pub use sink::{Choose, Sink, redact_block, redact_value};

use crate::{
    agent::port::{CallMode, Model},
    domain::{Inbound, Level},
    policy::{Policy, Redactor},
    runtime::Counters,
    spill::SpillStore,
    store::Store,
};
use session::Sessions;

/// Looks up who and what there is right now; what a host that is down holds is missing.
pub type DirectorySource = Arc<dyn Fn() -> BoxFuture<'static, Directory> + Send + Sync>;

/// The model and how it is asked.
#[derive(Clone, Debug)]
pub struct Brain {
    /// The model.
    pub model: Arc<dyn Model>,
    /// How calls are asked for first.
    pub mode: CallMode,
    /// The context length in tokens.
    pub num_ctx: u32,
    /// The longest answer in tokens.
    pub max_tokens: u32,
}

/// The bounds of the engine's work.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Calls that a turn may make.
    pub calls_per_turn: u32,
    /// Messages of one conversation that may run or wait.
    pub queue: usize,
    /// How long a turn may take before it is answered without the model.
    pub turn: Duration,
    /// One output may take one part in so many of the context.
    pub output_share: u32,
    /// How long a card waits.
    pub approval: SignedDuration,
    /// A message that was sent longer ago than this asks before it acts.
    pub old_after: SignedDuration,
}

/// What an engine is made of.
pub struct Parts {
    /// The rules.
    pub policy: Policy,
    /// The rows.
    pub store: Store,
    /// The tools.
    pub registry: Registry,
    /// The model, when one is set up.
    pub brain: Option<Brain>,
    /// The names.
    pub directory: DirectorySource,
    /// Who is known on chat platforms.
    pub people: Arc<KnownPeople>,
    /// What must never be shown.
    pub redactor: Arc<Redactor>,
    /// Long outputs.
    pub spill: Arc<SpillStore>,
    /// Figures.
    pub counters: Counters,
    /// Bounds.
    pub bounds: Bounds,
    /// How much is remembered.
    pub memory: Memory,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

struct Inner {
    parts: Parts,
    sessions: Arc<Sessions>,
    tasks: TaskTracker,
    /// Kept messages whose turn has not begun.
    waiting: Mutex<BTreeMap<i64, Inbound>>,
    changes: watch::Sender<u64>,
}

/// The engine; clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("tools", &self.0.parts.registry).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over `parts`; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            sessions: Arc::default(),
            tasks: TaskTracker::new(),
            waiting: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Tells whenever a reply was kept or an approval changed; the number has no meaning of its own.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn changed(&self) {
        self.0.changes.send_modify(|n| *n += 1);
    }

    /// The tools.
    pub fn registry(&self) -> &Registry {
        &self.0.parts.registry
    }

    /// The rows.
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The model, when one is set up.
    pub fn brain(&self) -> Option<&Brain> {
        self.0.parts.brain.as_ref()
    }

    /// Who and what there is right now.
    pub async fn directory(&self) -> Directory {
        (self.0.parts.directory)().await
    }

    /// What must never be shown.
    pub fn redactor(&self) -> Arc<Redactor> {
        self.0.parts.redactor.clone()
    }

    /// Says so and gives true once the daemon drains: nothing new may begin then.
    async fn turns_away(&self, sink: &Sink) -> bool {
        let draining = self.0.tasks.is_closed();
        if draining && !sink.abandon() {
            let text = "OpsBot is stopping and begins nothing new; ask again once it is back.";
            sink.notice(Level::Warning, text).await;
        }
        draining
    }

    /// Waits for running turns and writes: first lets them finish, after half of `deadline` stops them. Whether all
    /// ended in time.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.0.tasks.close();
        if tokio::time::timeout(deadline / 2, self.0.tasks.wait()).await.is_ok() {
            return true;
        }
        self.0.sessions.stop_all();
        tokio::time::timeout(deadline / 2, self.0.tasks.wait()).await.is_ok()
    }
}
