//! The daemon's own metrics: counters, gauges and histograms behind one cheap handle.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

/// The upper bounds of every histogram's buckets, in seconds; the last bucket, without a bound, is implied.
pub const BUCKETS: [f64; 13] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The most label sets of one metric; more are dropped and counted.
const MAX_SERIES: usize = 200;
/// The longest label value, in characters.
const MAX_VALUE: usize = 100;
/// Counts what was dropped because of a limit, a bad name or a name used in two ways.
const DROPPED: &str = "opsbot_metrics_dropped_total";

/// The labels of a series, sorted by name.
pub type Labels = Vec<(&'static str, String)>;

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// A series' value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter's.
    Count(u64),
    /// A gauge's.
    Level(f64),
    /// A histogram's.
    Spread {
        /// How many fell into each bucket of [`BUCKETS`], not cumulative; what is longer than all is only in `count`.
        buckets: [u64; BUCKETS.len()],
        /// The sum of all, in seconds.
        sum: f64,
        /// How many in all.
        count: u64,
    },
}

/// One metric with all its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// One sentence on what it measures.
    pub help: String,
    /// What it measures.
    pub kind: Kind,
    /// The series by their labels.
    pub series: BTreeMap<Labels, Value>,
}

#[derive(Debug)]
struct Registry {
    started: Timestamp,
    help: BTreeMap<&'static str, &'static str>,
    families: BTreeMap<&'static str, Family>,
}

/// A handle on all metrics; clones share them. Names begin with `opsbot_`, counters end in `_total`, histograms in
/// `_seconds`; label values come from small closed sets, never from people or logs.
#[derive(Clone, Debug)]
pub struct Counters(Arc<Mutex<Registry>>);

impl Counters {
    /// No metrics yet, of a process that started at `started`.
    pub fn new(started: Timestamp) -> Self {
        let registry = Registry { started, help: BTreeMap::new(), families: BTreeMap::new() };
        Self(Arc::new(Mutex::new(registry)))
    }

    /// Says what a metric measures, in one sentence.
    pub fn describe(&self, name: &'static str, help: &'static str) {
        let mut registry = self.lock();
        if let Some(family) = registry.families.get_mut(name) {
            family.help = help.to_owned();
        }
        registry.help.insert(name, help);
    }

    /// Counts `n` more.
    pub fn add(&self, name: &'static str, labels: &[(&'static str, &str)], n: u64) {
        self.change(name, labels, Kind::Counter, |value| {
            if let Value::Count(count) = value {
                *count = count.saturating_add(n);
            }
        });
    }

    /// Sets a level.
    pub fn set(&self, name: &'static str, labels: &[(&'static str, &str)], level: f64) {
        self.change(name, labels, Kind::Gauge, |value| *value = Value::Level(level));
    }

    /// Notes that something took this many seconds; less than nothing, or no number, counts as nothing.
    pub fn observe(&self, name: &'static str, labels: &[(&'static str, &str)], seconds: f64) {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        self.change(name, labels, Kind::Histogram, |value| {
            if let Value::Spread { buckets, sum, count } = value {
                let bucket = BUCKETS.iter().zip(buckets).find(|(bound, _)| seconds <= **bound);
                if let Some((_, hits)) = bucket {
                    *hits += 1;
                }
                *sum += seconds;
                *count += 1;
            }
        });
    }

    /// A counter's value, as tests and health checks read it; zero when it never counted.
    pub fn count(&self, name: &str, labels: &[(&'static str, &str)]) -> u64 {
        let registry = self.lock();
        match registry.families.get(name).and_then(|family| family.series.get(&sorted(labels))) {
            Some(Value::Count(count)) => *count,
            Some(Value::Level(_) | Value::Spread { .. }) | None => 0,
        }
    }

    /// When the process started.
    pub fn started(&self) -> Timestamp {
        self.lock().started
    }

    /// All metrics by name, as they stand.
    pub fn snapshot(&self) -> BTreeMap<&'static str, Family> {
        self.lock().families.clone()
    }

    fn change(
        &self,
        name: &'static str,
        labels: &[(&'static str, &str)],
        kind: Kind,
        change: impl FnOnce(&mut Value),
    ) {
        let mut registry = self.lock();
        match registry.value(name, labels, kind) {
            Some(value) => change(value),
            None => {
                if let Some(Value::Count(count)) = registry.value(DROPPED, &[], Kind::Counter) {
                    *count += 1;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn value(
        &mut self,
        name: &'static str,
        labels: &[(&'static str, &str)],
        kind: Kind,
    ) -> Option<&mut Value> {
        let sound = is_name(name) && name.starts_with("opsbot_");
        if !sound || !labels.iter().all(|(label, _)| is_name(label) && *label != "le") {
            return None;
        }
        let family = self.families.entry(name).or_insert_with(|| Family {
            help: self.help.get(name).map_or_else(|| plain(name), |help| (*help).to_owned()),
            kind,
            series: BTreeMap::new(),
        });
        let labels = sorted(labels);
        if family.kind != kind || (family.series.len() >= MAX_SERIES && !family.series.contains_key(&labels))
        {
            return None;
        }
        Some(family.series.entry(labels).or_insert_with(|| match kind {
            Kind::Counter => Value::Count(0),
            Kind::Gauge => Value::Level(0.0),
            Kind::Histogram => Value::Spread { buckets: [0; BUCKETS.len()], sum: 0.0, count: 0 },
        }))
    }
}

fn sorted(labels: &[(&'static str, &str)]) -> Labels {
    let mut labels: Labels =
        labels.iter().map(|(name, value)| (*name, value.chars().take(MAX_VALUE).collect())).collect();
    labels.sort_unstable();
    labels.dedup_by_key(|(name, _)| *name);
    labels
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// `opsbot_turns_total` as `Turns.`, for a metric that nobody described.
fn plain(name: &str) -> String {
    let bare = name.trim_start_matches("opsbot_").trim_end_matches("_total").replace('_', " ");
    let mut chars = bare.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    format!("{}.", first.into_iter().chain(chars).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        Counters::new(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn clones_share_and_label_order_does_not_matter() {
        let one = counters();
        let other = one.clone();
        one.add("opsbot_x_total", &[("a", "1"), ("b", "2")], 2);
        other.add("opsbot_x_total", &[("b", "2"), ("a", "1")], 3);
        assert_eq!(one.count("opsbot_x_total", &[("a", "1"), ("b", "2")]), 5);
        assert_eq!(one.count("opsbot_x_total", &[]), 0);
        one.set("opsbot_level", &[], 2.5);
        one.set("opsbot_level", &[], -1.0);
        assert_eq!(one.snapshot()["opsbot_level"].series[&vec![]], Value::Level(-1.0));
    }

    #[test]
    fn durations_fall_into_buckets() {
        let counters = counters();
        for seconds in [0.0, 0.005, 0.006, 299.0, 301.0, -4.0, f64::NAN] {
            counters.observe("opsbot_turn_seconds", &[], seconds);
        }
        let snapshot = counters.snapshot();
        let Value::Spread { buckets, sum, count } = &snapshot["opsbot_turn_seconds"].series[&vec![]] else {
            panic!("no histogram")
        };
        assert_eq!((buckets[0], buckets[1], buckets[12], *count), (4, 1, 1, 7));
        assert!((sum - 600.011).abs() < 1e-9);
    }

    #[test]
    fn misuse_is_dropped_and_counted_never_fatal() {
        let counters = counters();
        counters.add("opsbot_x_total", &[], 1);
        counters.set("opsbot_x_total", &[], 1.0);
        counters.add("Bad-Name", &[], 1);
        counters.add("opsbot_y_total", &[("le", "1")], 1);
        assert_eq!(counters.count(DROPPED, &[]), 3);
        for n in 0..MAX_SERIES + 10 {
            counters.add("opsbot_many_total", &[("n", &n.to_string())], 1);
        }
        assert_eq!(counters.snapshot()["opsbot_many_total"].series.len(), MAX_SERIES);
        assert_eq!(counters.count(DROPPED, &[]), 13);
    }

    #[test]
    fn a_metric_has_a_help_text_from_the_start() {
        let counters = counters();
        counters.describe("opsbot_turns_total", "Turns by how they ended.");
        counters.add("opsbot_turns_total", &[], 1);
        counters.add("opsbot_model_calls_total", &[], 1);
        let snapshot = counters.snapshot();
        assert_eq!(snapshot["opsbot_turns_total"].help, "Turns by how they ended.");
        assert_eq!(snapshot["opsbot_model_calls_total"].help, "Model calls.");
    }
}
