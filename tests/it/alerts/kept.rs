//! Whoever keeps signals, for tests: remembers them, and waits for one under a deadline.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use opsbot::{
    domain::Signal,
    signals::{Keep, Known},
};
use tokio::sync::watch;

/// All signals that were kept.
#[derive(Clone)]
pub struct Kept {
    all: Arc<Mutex<Vec<Signal>>>,
    changes: watch::Sender<usize>,
}

impl Kept {
    pub fn new() -> Self {
        Self { all: Arc::default(), changes: watch::Sender::new(0) }
    }

    pub fn keep(&self) -> Keep {
        let kept = self.clone();
        Arc::new(move |signals| {
            kept.all.lock().unwrap().extend(signals);
            kept.changes.send_modify(|n| *n += 1);
            async { Ok(()) }.boxed()
        })
    }

    pub fn all(&self) -> Vec<Signal> {
        self.all.lock().unwrap().clone()
    }

    /// The first signal that `fits`, once it is kept.
    pub async fn wait(&self, what: &str, fits: impl Fn(&Signal) -> bool) -> Signal {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = self.all().into_iter().find(&fits) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        waited.unwrap_or_else(|_| panic!("{what} did not come: {:#?}", self.all()))
    }

    /// The first signal of that name about that container.
    pub async fn told(&self, alertname: &str, firing: bool, container: &str) -> Signal {
        let what = format!("{alertname} ({firing}) of {container}");
        self.wait(&what, |s| s.firing == firing && named(s, alertname) && label(s, "container") == container)
            .await
    }
}

pub fn named(signal: &Signal, alertname: &str) -> bool {
    label(signal, "alertname") == alertname
}

pub fn label<'s>(signal: &'s Signal, name: &str) -> &'s str {
    signal.labels.get(name).map_or("", String::as_str)
}

/// Nothing fired before.
pub fn nothing() -> Known {
    Arc::new(|_| Vec::new())
}
