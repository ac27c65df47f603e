//! Where signals come from besides HTTP: polling of Prometheus, Docker's events, patterns in logs, own checks, and the dead-man's
//! switch in both directions. Each source hands [`Signal`]s to whoever keeps them and is told when they are kept.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::domain::Signal;

/// Keeps signals: durable once it gives `Ok`. The error is a sentence for the log; the source tries again.
pub type Keep = Arc<dyn Fn(Vec<Signal>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
