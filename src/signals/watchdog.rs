//! The dead-man's switch: an alert that always fires must keep coming, or whoever should alert us is dead.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    Keep, Known, Outbox,
    ledger::Ledger,
    text::{self, About, firing},
};
use crate::{
    domain::{Severity, Signal, SignalSource},
    runtime::{Counters, clock},
};

/// How often the switch is looked at, at most.
const LOOK: Duration = Duration::from_secs(5);

/// Which alert has to keep coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogSettings {
    /// The alert that always fires.
    pub alertname: String,
    /// It has to come at least once in this time.
    pub within: Duration,
}

/// The switch; clones share it. Whoever receives alerts calls [`Watchdog::seen`].
#[derive(Clone)]
pub struct Watchdog(Arc<Shared>);

struct Shared {
    settings: WatchdogSettings,
    switch: Mutex<Switch>,
    outbox: Outbox,
    known: Known,
}

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watchdog").field(&self.0.settings).finish()
    }
}

impl Watchdog {
    /// The time begins to run when [`Watchdog::run`] does.
    pub fn new(settings: WatchdogSettings, keep: Keep, known: Known, counters: Counters) -> Self {
        let outbox = Outbox::new(SignalSource::Watchdog, keep, counters);
        let switch =
            Mutex::new(Switch { within: settings.within, since: None, seen: None, fires: Ledger::default() });
        Self(Arc::new(Shared { settings, switch, outbox, known }))
    }

    /// The alert's name.
    pub fn name(&self) -> &str {
        &self.0.settings.alertname
    }

    /// The alert came at `at`, firing.
    pub fn seen(&self, at: Timestamp) {
        let mut switch = self.switch();
        switch.seen = Some(switch.seen.map_or(at, |seen| seen.max(at)));
    }

    /// Watches until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        self.switch().since = Some(clock::now());
        for signal in (self.0.known)(SignalSource::Watchdog) {
            self.switch().fires.adopt((), signal);
        }
        let mut ticks =
            tokio::time::interval((self.0.settings.within / 4).clamp(Duration::from_millis(100), LOOK));
        let watching = async {
            loop {
                ticks.tick().await;
                let report = self.switch().look(self.name(), clock::now());
                self.0.outbox.push(report);
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = watching => Ok(()),
            () = self.0.outbox.deliver() => Ok(()),
        }
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.0.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the alert came last. No IO.
struct Switch {
    within: Duration,
    /// The start: no sign of life, but nobody could be heard before it.
    since: Option<Timestamp>,
    seen: Option<Timestamp>,
    fires: Ledger<()>,
}

impl Switch {
    fn look(&mut self, alertname: &str, now: Timestamp) -> Vec<Signal> {
        let since = *self.since.get_or_insert(now);
        let heard = self.seen.map_or(since, |seen| seen.max(since));
        let late = now > heard && now.duration_since(heard).unsigned_abs() > self.within;
        if !late {
            // What fired before a start goes only once the alert really came.
            let came = self.seen.is_some();
            return if came { self.fires.over(&(), now).into_iter().collect() } else { Vec::new() };
        }
        if self.fires.get(&()).is_some() {
            return Vec::new();
        }
        let mut labels = About::default().labels("WatchdogMissing", Severity::Critical);
        labels.insert("instance".into(), text::clean(alertname));
        let summary = format!("{alertname} has not come for {} s", self.within.as_secs());
        let mut signal = firing(SignalSource::Watchdog, labels, &summary, now);
        let description = "Prometheus, its Alertmanager or the way from there is broken, so alerts may be missing. \
                           Check that Prometheus runs and that it reaches OpsBot";
        signal.annotations.insert("description".into(), description.into());
        self.fires.fires((), signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_257_000 + second).unwrap()
    }

    fn switch() -> Switch {
        Switch { within: Duration::from_secs(60), since: Some(at(0)), seen: None, fires: Ledger::default() }
    }

    /// What happens at which second, and whether it is reported as firing (`+`), over (`-`) or not at all.
    #[test]
    fn it_fires_when_the_alert_stays_away_and_is_over_when_it_comes() {
        let mut switch = switch();
        let table = [
            (30, false, ""),
            (60, false, ""),
            (61, false, "+"),
            (90, false, ""),
            (100, true, "-"),
            (160, false, ""),
            (161, false, "+"),
        ];
        for (second, seen, want) in table {
            if seen {
                switch.seen = Some(at(second));
            }
            let report = switch.look("Watchdog", at(second));
            let got: String = report.iter().map(|s| if s.firing { '+' } else { '-' }).collect();
            assert_eq!(got, want, "at {second}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_is_no_silence() {
        let mut switch = Switch { seen: Some(at(1_000)), ..switch() };
        assert!(switch.look("Watchdog", at(0)).is_empty());
    }

    #[test]
    fn after_a_restart_only_the_alert_itself_ends_what_fired() {
        let fired = Switch { since: Some(at(-100)), ..switch() }.look("Watchdog", at(0)).remove(0);
        let mut switch = switch();
        switch.fires.adopt((), fired);
        assert!(switch.look("Watchdog", at(10)).is_empty() && switch.look("Watchdog", at(90)).is_empty());
        switch.seen = Some(at(91));
        assert!(!switch.look("Watchdog", at(92))[0].firing);
    }
}
