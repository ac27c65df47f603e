//! Tells somebody outside at intervals that alerts are still kept and sent; when that stops, they tell a person.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use reqwest::{Client, Url, redirect::Policy};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::runtime::Counters;

/// How long a beat may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the store commits and the pager lives; the error says what does not.
pub type Alive = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Whom to tell, and how often.
#[derive(Clone)]
pub struct HeartbeatSettings {
    /// Is asked for; a secret, never shown.
    pub url: String,
    /// How often.
    pub every: Duration,
}

impl fmt::Debug for HeartbeatSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeartbeatSettings").field("every", &self.every).finish_non_exhaustive()
    }
}

/// Beats.
pub struct Heartbeat {
    url: Url,
    every: Duration,
    http: Client,
    alive: Alive,
    counters: Counters,
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("every", &self.every).finish_non_exhaustive()
    }
}

impl Heartbeat {
    /// Nothing is sent yet. The process must have installed rustls' crypto provider before.
    ///
    /// # Errors
    /// One sentence for whoever wrote the configuration; it does not repeat the address.
    pub fn new(settings: &HeartbeatSettings, alive: Alive, counters: Counters) -> Result<Self, String> {
        let url = Url::parse(settings.url.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("[alerts.heartbeat] url holds no address; it must be http://HOST/… or https://HOST/…")?;
        let mut builder = Client::builder().timeout(PATIENCE).redirect(Policy::none());
        if url.scheme() == "http" {
            // Without TLS no roots are read: a machine without CA certificates works.
            builder = builder.tls_certs_only([]);
        }
        let http =
            builder.build().map_err(|_| "there is no HTTP client for [alerts.heartbeat]".to_owned())?;
        counters.describe("opsbot_heartbeats_total", "Signs of life that were sent, by how they ended.");
        Ok(Self { url, every: settings.every, http, alive, counters })
    }

    /// Beats until `stop`, but only while all lives.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Ok(());
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let beat = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                beat = self.beat() => beat,
            };
            match &beat {
                Ok(()) if last.is_err() => tracing::info!("the heartbeat goes on"),
                Err(why) if last != beat => tracing::warn!(why, "no heartbeat was sent"),
                _ => {}
            }
            let outcome = if beat.is_ok() { "ok" } else { "failed" };
            self.counters.add("opsbot_heartbeats_total", &[("outcome", outcome)], 1);
            last = beat;
        }
    }

    /// One sign of life; the error never holds the address.
    async fn beat(&self) -> Result<(), String> {
        let alive = tokio::time::timeout(PATIENCE, (self.alive)()).await;
        alive.map_err(|_| "what should live does not answer".to_owned())??;
        let sent = self.http.get(self.url.clone()).send().await;
        let answer = sent.map_err(|e| why(&e.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("the other side answered {}", status.as_u16())) }
    }
}

fn why(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "nobody could be reached there"
    } else {
        "the connection broke"
    };
    format!("{what}; check [alerts.heartbeat] url and the way out of this machine")
}
