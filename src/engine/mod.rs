//! The engine: takes what people say and decide, carries turns and approved writes out, and writes the rows first.

pub mod alerts;
pub mod commands;
pub mod intent;
pub mod people;
pub mod playbook;
pub mod registry;
pub mod session;

mod approvals;
mod ask;
mod audit;
mod gate;
mod memory;
mod misses;
mod model;
mod pairing;
mod plain;
mod present;
mod reload;
mod say;
mod sink;
mod steering;
mod turn;
mod wish;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub use crate::store::StoreError;
pub use alerts::{Alerting, DigestPlan};
pub use commands::Command;
pub use intent::Directory;
pub use memory::{Forget, Memory};
pub use pairing::PairAs;
pub use people::KnownPeople;
pub use registry::Registry;
pub use reload::{ReloadOutcome, ReloadRequest, Reloaded};
pub use say::Fetch;
pub use session::Scope;
pub use sink::{Choose, Sink, redact_block, redact_value};

use crate::{
    agent::port::{CallMode, Model},
    domain::{Inbound, Level},
    playbook::Playbooks,
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
    /// The playbooks.
    pub playbooks: Arc<Playbooks>,
    /// Long outputs.
    pub spill: Arc<SpillStore>,
    /// Figures.
    pub counters: Counters,
    /// Bounds.
    pub bounds: Bounds,
    /// How much is remembered.
    pub memory: Memory,
    /// Alerting, when it is set up.
    pub alerting: Option<Alerting>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// One generation of the parts, and what outlives all of them.
#[derive(Clone)]
struct Inner {
    parts: Arc<Parts>,
    /// The generation that begins whatever begins now.
    newest: Arc<RwLock<Arc<Parts>>>,
    sessions: Arc<Sessions>,
    tasks: TaskTracker,
    /// Kept messages whose turn has not begun.
    waiting: Arc<Mutex<BTreeMap<i64, Inbound>>>,
    changes: watch::Sender<u64>,
    desk: Arc<reload::Desk>,
    pulling: Arc<model::Pulling>,
}

/// The engine; clones share everything. A value sees one generation of the parts for its life, so that nothing changes
/// under a running turn; whatever begins anew starts from [`Engine::current`].
#[derive(Clone)]
pub struct Engine(Inner);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("tools", &self.0.parts.registry).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over `parts`; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        let parts = Arc::new(parts);
        Self(Inner {
            newest: Arc::new(RwLock::new(parts.clone())),
            parts,
            sessions: Arc::default(),
            tasks: TaskTracker::new(),
            waiting: Arc::default(),
            changes: watch::Sender::new(0),
            desk: Arc::default(),
            pulling: Arc::default(),
        })
    }

    /// The same engine with the newest parts. Channels ask it for tools and names; a turn keeps the value that it has.
    pub fn current(&self) -> Self {
        Self(Inner { parts: self.newest(), ..self.0.clone() })
    }

    fn newest(&self) -> Arc<Parts> {
        self.0.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whenever a reply was kept or an approval changed; the number has no meaning of its own.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn changed(&self) {
        self.0.changes.send_modify(|n| *n += 1);
    }

    /// The tools of this value's generation.
    pub fn registry(&self) -> &Registry {
        &self.0.parts.registry
    }

    /// The rows.
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The model of this value's generation, when one is set up.
    pub fn brain(&self) -> Option<&Brain> {
        self.0.parts.brain.as_ref()
    }

    /// Who and what there is right now.
    pub async fn directory(&self) -> Directory {
        let parts = self.newest();
        (parts.directory)().await
    }

    /// What must never be shown.
    pub fn redactor(&self) -> Arc<Redactor> {
        self.newest().redactor.clone()
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
