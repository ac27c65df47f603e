//! Where signals come from besides HTTP: polling of Prometheus, Docker's events, patterns in logs, own checks, and the dead-man's
//! switch in both directions. Each source hands [`Signal`]s to whoever keeps them and is told when they are kept.

mod checks;
mod containers;
mod heartbeat;
mod ledger;
mod logs;
mod outbox;
mod poll;
mod text;
mod watchdog;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::domain::{Signal, SignalSource};

pub use checks::{Check, CheckSettings, Checks, Trust};
pub use containers::{ContainerSettings, Containers};
pub use heartbeat::{Alive, Heartbeat, HeartbeatSettings};
pub use logs::{LogRule, LogSettings, LogWatcher, Redact};
pub use poll::{Poll, PollSettings};
pub use watchdog::{Watchdog, WatchdogSettings};

use outbox::Outbox;

/// Keeps signals: durable once it gives `Ok`. The error is a sentence for the log; the source tries again.
pub type Keep = Arc<dyn Fn(Vec<Signal>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a source reported before a restart and still fires: it is the source's to say when that is over.
pub type Known = Arc<dyn Fn(SignalSource) -> Vec<Signal> + Send + Sync>;
