//! The way of a source's signals to whoever keeps them: repeated until they are kept, bounded, what is dropped is counted.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::Keep;
use crate::{
    domain::{Signal, SignalSource},
    runtime::Counters,
};

/// So many signals wait at most; then the oldest go.
const MOST: usize = 5_000;
/// So many are given at once.
const BATCH: usize = 500;
/// The pause after a refusal; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Signals that wait to be kept, in their order.
pub(super) struct Outbox {
    source: SignalSource,
    keep: Keep,
    counters: Counters,
    waiting: Mutex<VecDeque<Signal>>,
    wake: Notify,
}

impl Outbox {
    pub(super) fn new(source: SignalSource, keep: Keep, counters: Counters) -> Self {
        counters.describe("opsbot_signals_total", "Signals that OpsBot's own sources made.");
        counters.describe(
            "opsbot_signals_dropped_total",
            "Signals that were dropped because they were not kept.",
        );
        Self { source, keep, counters, waiting: Mutex::default(), wake: Notify::new() }
    }

    /// Takes signals to be kept.
    pub(super) fn push(&self, signals: Vec<Signal>) {
        if signals.is_empty() {
            return;
        }
        self.count("opsbot_signals_total", signals.len());
        let mut waiting = self.lock();
        waiting.extend(signals);
        let surplus = waiting.len().saturating_sub(MOST);
        waiting.drain(..surplus);
        drop(waiting);
        if surplus > 0 {
            self.count("opsbot_signals_dropped_total", surplus);
        }
        self.wake.notify_one();
    }

    /// Gives what waits to be kept, for ever.
    pub(super) async fn deliver(&self) {
        loop {
            let batch: Vec<Signal> = {
                let mut waiting = self.lock();
                let n = waiting.len().min(BATCH);
                waiting.drain(..n).collect()
            };
            if batch.is_empty() {
                self.wake.notified().await;
            } else {
                self.give(batch).await;
            }
        }
    }

    async fn give(&self, batch: Vec<Signal>) {
        let (source, mut pause) = (self.source.word(), PAUSE);
        while let Err(error) = (self.keep)(batch.clone()).await {
            if pause == PAUSE {
                tracing::warn!(source, error, "signals are not kept; trying again until they are");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
        if pause > PAUSE {
            tracing::info!(source, "signals are kept again");
        }
    }

    fn count(&self, name: &'static str, n: usize) {
        self.counters.add(name, &[("source", self.source.word())], n as u64);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Signal>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::*;
    use crate::{domain::Labels, runtime::clock, signals::text::firing};

    fn signals(numbers: std::ops::Range<usize>) -> Vec<Signal> {
        let one = |n: usize| {
            let labels = Labels::from([("n".into(), n.to_string())]);
            firing(SignalSource::Log, labels, "", Timestamp::UNIX_EPOCH)
        };
        numbers.map(one).collect()
    }

    use jiff::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn signals_are_repeated_until_they_are_kept_in_order_and_the_oldest_go_first() {
        let (seen, mut kept) = tokio::sync::mpsc::unbounded_channel();
        let refusals = Arc::new(Mutex::new(3));
        let keep: Keep = Arc::new(move |batch| {
            let mut left = refusals.lock().unwrap();
            let refuse = *left > 0;
            *left -= i32::from(refuse);
            if !refuse {
                seen.send(batch).ok();
            }
            async move { if refuse { Err("disk full".into()) } else { Ok(()) } }.boxed()
        });
        let counters = Counters::new(clock::now());
        let outbox = Arc::new(Outbox::new(SignalSource::Log, keep, counters.clone()));
        outbox.push(signals(0..MOST + 10));
        let delivering = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.deliver().await }
        });
        let mut all = Vec::new();
        while all.len() < MOST {
            all.extend(kept.recv().await.unwrap());
        }
        let numbers: Vec<usize> = all.iter().map(|s| s.labels["n"].parse().unwrap()).collect();
        assert_eq!(numbers, (10..MOST + 10).collect::<Vec<_>>());
        assert_eq!(counters.count("opsbot_signals_dropped_total", &[("source", "log")]), 10);
        outbox.push(signals(1..2));
        assert_eq!(kept.recv().await.unwrap().len(), 1, "it wakes when something comes");
        delivering.abort();
    }
}
