//! The daemon's HTTP surface: health for whoever watches it, metrics for Prometheus; every wait and size bounded.

pub mod alerts;
mod metrics;
mod server;
mod tls;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

pub use server::{Limits, Server, bind, bind_router};

use crate::runtime::Counters;

/// One part of the daemon, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The part (`docker`, `store`).
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What was seen; no secret.
    pub detail: String,
}

/// How the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Its parts.
    pub checks: Vec<Check>,
}

impl Health {
    /// Whether every part works.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// Tells how the daemon is, at once: it reads what is known and asks nobody.
pub type HealthSource = Arc<dyn Fn() -> Health + Send + Sync>;

#[derive(Clone)]
struct App {
    health: HealthSource,
    counters: Counters,
}

#[derive(Serialize)]
struct HealthPage {
    status: &'static str,
    version: &'static str,
    checks: Vec<Check>,
}

fn router(health: HealthSource, counters: Counters) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_page))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is /healthz and /metrics\n") })
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(App { health, counters })
}

async fn healthz(State(app): State<App>) -> Response {
    let health = (app.health)();
    let (code, status) =
        if health.is_ok() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    let page = HealthPage { status, version: env!("CARGO_PKG_VERSION"), checks: health.checks };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    match serde_json::to_string(&page) {
        Ok(body) => (code, headers, body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn metrics_page(State(app): State<App>) -> Response {
    let text = metrics::render(&app.counters, &metrics::Process::read());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
