//! The sources besides HTTP, as the configuration wants them: each is a task for the supervisor.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{App, Failure, backends::backends};
use crate::{
    config::{AlertCheck, AlertsConfig, Config},
    domain::Severity,
    pager::Pager,
    signals::{
        Check, CheckSettings, Checks, ContainerSettings, Containers, Heartbeat, HeartbeatSettings, Keep,
        Known, LogRule, LogSettings, LogWatcher, Poll, PollSettings, Watchdog, WatchdogSettings,
    },
    store::Store,
};

/// A heartbeat is left out when the store does not commit within so long.
const COMMITS: Duration = Duration::from_secs(10);

type Run = Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A source, for the daemon to run.
#[derive(Clone)]
pub struct Source {
    /// Its name in logs.
    pub name: &'static str,
    /// Runs it until the token fires; may be called again after it failed.
    pub run: Run,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

macro_rules! source {
    ($name:literal, $source:expr) => {{
        let source = Arc::new($source);
        let run: Run = Arc::new(move |stop| {
            let source = source.clone();
            Box::pin(async move { source.run(stop).await })
        });
        Source { name: $name, run }
    }};
}

/// The sources that the configuration sets up; none without `[alerts]`.
///
/// # Errors
/// A configuration that cannot be carried out.
pub fn sources(config: &Config, app: &App) -> Result<Vec<Source>, Failure> {
    let (Some(alerts), Some(wanted)) = (&app.alerts, &config.alerts) else { return Ok(vec![]) };
    let pager = &alerts.pager;
    let (keep, known, counters) = (keep(pager), known(pager), app.counters.clone());
    let parts = backends(config, None)?;
    let mut all = Vec::new();
    let watchdog = wanted.watchdog.as_ref().map(|w| {
        let settings = WatchdogSettings { alertname: w.alertname.clone(), within: w.within };
        Watchdog::new(settings, keep.clone(), known.clone(), counters.clone())
    });
    if let Some(watchdog) = &watchdog {
        let seen = watchdog.clone();
        pager.watch(watchdog.name(), Arc::new(move |at| seen.seen(at)));
        all.push(source!("watchdog", watchdog.clone()));
    }
    if let Some((every, prometheus)) = wanted.poll_prometheus.zip(parts.prometheus) {
        let settings = PollSettings { every, watchdog };
        all.push(source!(
            "poll",
            Poll::new(settings, prometheus, keep.clone(), known.clone(), counters.clone())
        ));
    }
    if wanted.docker_events {
        let settings = ContainerSettings::default();
        let (keep, known) = (keep.clone(), known.clone());
        all.push(source!(
            "containers",
            Containers::new(settings, parts.source.clone(), keep, known, counters.clone())
        ));
        // Labels of containers switch patterns on, so logs are watched without a rule as well.
        let redactor = app.engine.redactor();
        let redact = Arc::new(move |line: &str| redactor.redact(line).into_owned());
        let settings = LogSettings::new(log_rules(wanted), redact);
        let over = (parts.source, parts.logs);
        let watcher =
            LogWatcher::new(settings, over, self::keep(pager), self::known(pager), counters.clone());
        all.push(source!("log-patterns", watcher.map_err(|e| Failure::config(format!("alerts.log: {e}")))?));
    }
    if !wanted.checks.is_empty() {
        let checks = Checks::new(CheckSettings::new(checks(wanted)), keep, known, counters.clone());
        all.push(source!("checks", checks.map_err(|e| Failure::config(format!("alerts.check: {e}")))?));
    }
    if let Some(heartbeat) = &wanted.heartbeat {
        let settings = HeartbeatSettings { url: heartbeat.url.expose().to_owned(), every: heartbeat.every };
        let beat = Heartbeat::new(&settings, alive(app.engine.store(), pager), counters);
        all.push(source!("heartbeat", beat.map_err(Failure::config)?));
    }
    Ok(all)
}

fn keep(pager: &Pager) -> Keep {
    let pager = pager.clone();
    Arc::new(move |signals| {
        let pager = pager.clone();
        Box::pin(async move { pager.take(signals).await.map_err(|e| e.to_string()) })
    })
}

fn known(pager: &Pager) -> Known {
    let pager = pager.clone();
    Arc::new(move |source| {
        pager.look(|desk| {
            let of_it = desk.alerts().filter(|alert| alert.signal.firing && alert.signal.source == source);
            of_it.map(|alert| alert.signal.clone()).collect()
        })
    })
}

/// Whether the store commits and the pager takes what comes.
fn alive(store: &Store, pager: &Pager) -> crate::signals::Alive {
    let (store, pager) = (store.clone(), pager.clone());
    Arc::new(move || {
        let (store, pager) = (store.clone(), pager.clone());
        Box::pin(async move {
            let both = async {
                store.ping_commit().await.map_err(|e| e.to_string())?;
                pager.ping().await.map_err(|e| e.to_string())
            };
            timeout(COMMITS, both)
                .await
                .unwrap_or_else(|_| Err("the store does not commit in time".to_owned()))
        })
    })
}

fn log_rules(alerts: &AlertsConfig) -> Vec<LogRule> {
    let rule = |log: &crate::config::LogPatternConfig| LogRule {
        name: log.name.clone(),
        pattern: log.pattern.clone(),
        multiline: log.multiline.clone(),
        customer: log.customer.clone(),
        service: log.service.clone(),
        severity: log.severity.max(Severity::Info),
        quiet_for: log.quiet_for,
    };
    alerts.logs.iter().map(rule).collect()
}

fn checks(alerts: &AlertsConfig) -> Vec<Check> {
    let check = |config: &crate::config::AlertCheckConfig| {
        let customer = config.customer.clone();
        match &config.check {
            AlertCheck::Certificate { address, warn, critical } => {
                Check::Certificate { address: address.clone(), warn: *warn, critical: *critical, customer }
            }
            AlertCheck::Disk { path, warn, critical } => {
                Check::Disk { path: path.clone(), warn: *warn, critical: *critical, customer }
            }
        }
    };
    alerts.checks.iter().map(check).collect()
}
