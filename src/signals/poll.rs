//! Prometheus' own alerts, asked for at intervals. What vanished is over, but never because Prometheus does not answer.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    Keep, Known, Outbox, Watchdog,
    ledger::Ledger,
    text::{self, About, cleaned, firing},
};
use crate::{
    domain::{Fingerprint, Severity, Signal, SignalSource},
    prometheus::{AlertRecord, Prometheus},
    runtime::{Counters, clock},
};

/// So many polls in a row fail until that is an alert itself.
const FAILURES: u32 = 3;
/// So many alerts are looked at.
const MOST: usize = 20_000;

/// How Prometheus is polled.
#[derive(Clone, Debug)]
pub struct PollSettings {
    /// How often.
    pub every: Duration,
    /// Is told when the alert that always fires is among them.
    pub watchdog: Option<Watchdog>,
}

/// Polls Prometheus.
pub struct Poll {
    settings: PollSettings,
    prometheus: Prometheus,
    known: Known,
    outbox: Outbox,
}

impl Poll {
    /// Polls `prometheus`; nothing is asked yet.
    pub fn new(
        settings: PollSettings,
        prometheus: Prometheus,
        keep: Keep,
        known: Known,
        counters: Counters,
    ) -> Self {
        let outbox = Outbox::new(SignalSource::Prometheus, keep, counters);
        Self { settings, prometheus, known, outbox }
    }

    /// Polls until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        let mut polled = Polled::new((self.known)(SignalSource::Prometheus));
        let mut ticks = tokio::time::interval(self.settings.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let polling = async {
            loop {
                ticks.tick().await;
                let answer = self.prometheus.alerts().await.map_err(|e| e.to_string());
                let now = clock::now();
                self.feed(answer.as_deref().unwrap_or_default(), now);
                self.outbox.push(polled.on(answer, now));
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = polling => Ok(()),
            () = self.outbox.deliver() => Ok(()),
        }
    }

    fn feed(&self, alerts: &[AlertRecord], now: Timestamp) {
        let Some(watchdog) = &self.settings.watchdog else { return };
        let is_it = |a: &AlertRecord| {
            a.state == "firing" && a.labels.get("alertname").is_some_and(|n| n.as_str() == watchdog.name())
        };
        if alerts.iter().any(is_it) {
            watchdog.seen(now);
        }
    }
}

impl std::fmt::Debug for Poll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poll").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What the polls have shown so far. No IO.
struct Polled {
    fires: Ledger<Fingerprint>,
    failures: u32,
}

impl Polled {
    fn new(known: Vec<Signal>) -> Self {
        let mut fires = Ledger::default();
        for signal in known {
            fires.adopt(Fingerprint::of(&signal.labels), signal);
        }
        Self { fires, failures: 0 }
    }

    /// What is to be reported after a poll.
    fn on(&mut self, answer: Result<Vec<AlertRecord>, String>, now: Timestamp) -> Vec<Signal> {
        match answer {
            Ok(alerts) => self.answered(&alerts, now),
            Err(error) => self.failed(&error, now),
        }
    }

    fn answered(&mut self, alerts: &[AlertRecord], now: Timestamp) -> Vec<Signal> {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "Prometheus answers again");
        }
        self.failures = 0;
        if alerts.len() > MOST {
            tracing::warn!(alerts = alerts.len(), read = MOST, "Prometheus has more alerts than are read");
        }
        let firing: Vec<_> =
            alerts.iter().take(MOST).filter(|a| a.state == "firing").map(|a| signal(a, now)).collect();
        let present: BTreeSet<_> = firing.iter().map(|s| Fingerprint::of(&s.labels)).collect();
        let gone = self.fires.keys().into_iter().filter(|key| !present.contains(key) && alerts.len() <= MOST);
        let mut report: Vec<_> =
            gone.collect::<Vec<_>>().iter().filter_map(|k| self.fires.over(k, now)).collect();
        for signal in firing {
            report.extend(self.fires.fires(Fingerprint::of(&signal.labels), signal));
        }
        report
    }

    fn failed(&mut self, error: &str, now: Timestamp) -> Vec<Signal> {
        self.failures += 1;
        if self.failures == 1 {
            tracing::warn!(error, "Prometheus was not polled");
        }
        if self.failures < FAILURES {
            return Vec::new();
        }
        let mut labels = About::default().labels("PrometheusDown", Severity::Critical);
        labels.insert("instance".into(), "prometheus".into());
        let mut down = firing(SignalSource::Prometheus, labels, "Prometheus does not answer", now);
        let description =
            format!("{error}. Until it answers, its alerts stay as they were and new ones are not seen.");
        down.annotations.insert("description".into(), text::clean(&description));
        let key = Fingerprint::of(&down.labels);
        if self.fires.get(&key).is_some() { Vec::new() } else { self.fires.fires(key, down) }
    }
}

/// An alert that fires; without `alertname` it is called after nothing else, so it gets a name that says so.
fn signal(alert: &AlertRecord, now: Timestamp) -> Signal {
    let mut labels = cleaned(alert.labels.iter());
    labels.entry("alertname".into()).or_insert_with(|| "unnamed".into());
    let mut signal = firing(SignalSource::Prometheus, labels, "", alert.since.unwrap_or(now));
    signal.annotations = cleaned(alert.annotations.iter());
    signal.value = alert.value.parse().ok();
    signal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_257_000 + second).unwrap()
    }

    fn alert(name: &str, state: &str) -> AlertRecord {
        serde_json::from_value(serde_json::json!({
            "labels": {"alertname": name, "job": "a\u{1b}[31mpp"}, "annotations": {"summary": "s"}, "state": state,
            "activeAt": at(0).to_string(), "value": "9.1e+01",
        }))
        .unwrap()
    }

    fn names(signals: &[Signal]) -> Vec<String> {
        signals
            .iter()
            .map(|s| format!("{}{}", if s.firing { "+" } else { "-" }, s.labels["alertname"]))
            .collect()
    }

    #[test]
    fn polls_become_signals() {
        let mut polled = Polled::new(vec![]);
        let down = || Err("no route".to_owned());
        type Poll = Result<Vec<AlertRecord>, String>;
        let table: Vec<(Poll, &[&str])> = vec![
            (Ok(vec![alert("A", "firing"), alert("B", "pending")]), &["+A"]),
            (Ok(vec![alert("A", "firing"), alert("B", "firing")]), &["+B"]),
            (down(), &[]),
            (down(), &[]),
            (down(), &["+PrometheusDown"]),
            (down(), &[]),
            (Ok(vec![alert("A", "firing")]), &["-B", "-PrometheusDown"]),
            (Ok(vec![alert("A", "pending")]), &["-A"]),
            (Ok(vec![]), &[]),
        ];
        for (n, (answer, want)) in table.into_iter().enumerate() {
            let mut got = names(&polled.on(answer, at(15 * n as i64)));
            got.sort();
            assert_eq!(got, want, "poll {n}");
        }
    }

    #[test]
    fn what_fired_before_a_restart_is_taken_back_and_not_reported_twice() {
        let fired = [alert("A", "firing"), alert("B", "firing")].map(|a| signal(&a, at(0)));
        let mut polled = Polled::new(fired.to_vec());
        assert_eq!(names(&polled.on(Err("x".into()), at(1))), [""; 0]);
        let report = polled.on(Ok(vec![alert("B", "firing")]), at(2));
        assert_eq!(names(&report), ["-A"]);
        assert_eq!((report[0].ends_at, report[0].starts_at), (Some(at(2)), at(0)));
    }

    #[test]
    fn a_signal_has_the_alerts_words_cleaned_its_time_and_value() {
        let signal = signal(&alert("A", "firing"), at(9));
        assert_eq!(
            (signal.labels["job"].as_str(), signal.value, signal.starts_at),
            ("app", Some(91.0), at(0))
        );
    }
}
