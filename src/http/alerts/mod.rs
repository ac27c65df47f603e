//! The HTTP surface of alerts: Alertmanager's webhook, and an API that Prometheus and amtool take for Alertmanager's.

mod answer;
mod door;
mod intake;
mod kept;
mod payload;
#[cfg(test)]
mod payload_tests;
mod query;
mod show;
mod silences;
mod status;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

pub use door::Door;

use crate::{
    pager::Pager,
    runtime::{Counters, clock},
};

/// The one receiver that everything goes to.
const RECEIVER: &str = "opsbot";
/// How long a body may usually take to come.
pub const BODY_TIME: Duration = Duration::from_secs(10);

/// What answers over HTTP; clones share everything.
#[derive(Clone)]
pub struct Surface(Arc<Shared>);

struct Shared {
    pager: Pager,
    door: Door,
    counters: Counters,
    resolve_timeout: RwLock<Duration>,
    body_time: Duration,
    room: Arc<Semaphore>,
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surface").finish_non_exhaustive()
    }
}

impl Surface {
    /// Hands what comes in to `pager`; an alert of the API without an end is over after `resolve_timeout`, a body may take
    /// `body_time` ([`BODY_TIME`]) to come.
    pub fn new(pager: Pager, door: Door, counters: Counters, times: (Duration, Duration)) -> Self {
        for (name, help) in [
            ("opsbot_alerts_received_total", "Alerts that were kept, by the way that they came."),
            ("opsbot_alerts_rejected_total", "Alerts and whole requests that were refused, by the reason."),
            (
                "opsbot_alerts_request_seconds",
                "From a request with alerts to its answer, by the way that it came.",
            ),
        ] {
            counters.describe(name, help);
        }
        let (resolve_timeout, body_time) = times;
        let (resolve_timeout, room) =
            (RwLock::new(resolve_timeout), Arc::new(Semaphore::new(intake::BODIES)));
        Self(Arc::new(Shared { pager, door, counters, resolve_timeout, body_time, room }))
    }

    /// Takes changed settings.
    pub fn set(&self, token: &str, resolve_timeout: Duration) {
        self.0.door.set(token);
        *self.0.resolve_timeout.write().unwrap_or_else(PoisonError::into_inner) = resolve_timeout;
    }

    /// All the routes.
    pub fn router(&self) -> Router {
        let guarded = Router::new()
            .route("/webhook", post(intake::webhook))
            .route("/api/v2/alerts", get(show::alerts).post(intake::posted))
            .route("/api/v2/alerts/groups", get(show::groups))
            .route("/api/v2/silences", get(silences::list).post(silences::make))
            .route("/api/v2/silence/{id}", get(silences::one).delete(silences::expire))
            .route("/api/v2/status", get(status::status))
            .route("/api/v2/receivers", get(status::receivers))
            .fallback(|| async { (StatusCode::NOT_FOUND, "there is /webhook and /api/v2\n") })
            .layer(middleware::from_fn_with_state(self.clone(), guard));
        let open = Router::new().route("/-/healthy", get(status::fine)).route("/-/ready", get(status::fine));
        open.merge(guarded).layer(DefaultBodyLimit::disable()).with_state(self.clone())
    }

    fn pager(&self) -> &Pager {
        &self.0.pager
    }

    fn counters(&self) -> &Counters {
        &self.0.counters
    }

    fn room(&self) -> Arc<Semaphore> {
        self.0.room.clone()
    }

    fn body_time(&self) -> Duration {
        self.0.body_time
    }

    fn resolve_timeout(&self) -> Duration {
        *self.0.resolve_timeout.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// When an alert that came now and has no end would be over.
    fn lapses(&self) -> Timestamp {
        let now = clock::now();
        SignedDuration::try_from(self.resolve_timeout())
            .ok()
            .and_then(|t| now.checked_add(t).ok())
            .unwrap_or(now)
    }

    fn received(&self, source: &'static str, alerts: usize) {
        let alerts = u64::try_from(alerts).unwrap_or(u64::MAX);
        self.counters().add("opsbot_alerts_received_total", &[("source", source)], alerts);
    }

    fn rejected(&self, why: &'static str, n: u64) {
        if n > 0 {
            self.counters().add("opsbot_alerts_rejected_total", &[("why", why)], n);
        }
    }
}

/// Asks for the token before anything of a body is read, and says no word about what was wrong.
async fn guard(State(surface): State<Surface>, request: Request, next: Next) -> Response {
    if surface.0.door.admits(request.headers()) {
        return next.run(request).await;
    }
    surface.rejected("unauthorized", 1);
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
}
