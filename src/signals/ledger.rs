//! What a source has reported and not yet taken back.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::text::over;
use crate::domain::Signal;

/// Signals that fire, by what the source tells them by.
#[derive(Clone, Debug)]
pub(super) struct Ledger<K>(BTreeMap<K, Signal>);

impl<K> Default for Ledger<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Ledger<K> {
    /// It fires: what is to be reported. The same with other labels (a worse severity) takes the older one back.
    pub(super) fn fires(&mut self, key: K, mut signal: Signal) -> Vec<Signal> {
        let mut report = Vec::new();
        match self.0.get(&key) {
            Some(old) if old.labels == signal.labels => {
                signal.starts_at = old.starts_at;
                if old.annotations == signal.annotations {
                    return report;
                }
            }
            Some(old) => report.push(over(old.clone(), signal.starts_at)),
            None => {}
        }
        report.push(signal.clone());
        self.0.insert(key, signal);
        report
    }

    /// It is over: what is to be reported, if it fired.
    pub(super) fn over(&mut self, key: &K, at: Timestamp) -> Option<Signal> {
        self.0.remove(key).map(|signal| over(signal, at))
    }

    /// Takes note of what was reported before a restart.
    pub(super) fn adopt(&mut self, key: K, signal: Signal) {
        self.0.entry(key).or_insert(signal);
    }

    pub(super) fn get(&self, key: &K) -> Option<&Signal> {
        self.0.get(key)
    }

    pub(super) fn keys(&self) -> Vec<K> {
        self.0.keys().cloned().collect()
    }

    /// All that fires, to be reported once more.
    pub(super) fn all(&self) -> Vec<Signal> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Labels, SignalSource},
        signals::text::firing,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_257_000 + second).unwrap()
    }

    fn signal(severity: &str, summary: &str, second: i64) -> Signal {
        let labels = Labels::from([("severity".into(), severity.into())]);
        firing(SignalSource::Check, labels, summary, at(second))
    }

    #[test]
    fn only_changes_are_reported_and_a_worse_severity_takes_the_older_one_back() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.fires("disk", signal("warning", "85 %", 0)).len(), 1);
        assert_eq!(ledger.fires("disk", signal("warning", "85 %", 1)), []);
        let changed = ledger.fires("disk", signal("warning", "86 %", 2));
        assert_eq!((changed.len(), changed[0].starts_at), (1, at(0)));
        let worse = ledger.fires("disk", signal("critical", "96 %", 3));
        assert_eq!(worse.iter().map(|s| s.firing).collect::<Vec<_>>(), [false, true]);
        assert_eq!((worse[0].ends_at, worse[1].starts_at), (Some(at(3)), at(3)));
        assert_eq!(ledger.over(&"disk", at(1)).unwrap().ends_at, Some(at(3)), "never before it began");
        assert_eq!(ledger.over(&"disk", at(4)), None);
    }
}
