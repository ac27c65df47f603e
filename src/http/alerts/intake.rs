//! Takes alerts in: a body within its limits is read, kept by the pager, and only then answered with 200.

use axum::{
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use super::{
    Surface,
    answer::No,
    payload::{self, Batch},
};
use crate::runtime::{Stopwatch, clock};

/// The largest body, in bytes.
pub(super) const BODY: usize = 10 << 20;
/// The bodies that are held at once may be so large together, in KiB.
pub(super) const BODIES: usize = 48 << 10;
/// A larger body is read on a thread of its own, so that others are answered meanwhile.
const LONG_READ: usize = 256 << 10;

type Read = fn(&Surface, &[u8]) -> Result<Batch, String>;

/// `POST /webhook`: what Alertmanager's `webhook_configs` post.
pub(super) async fn webhook(State(surface): State<Surface>, request: Request) -> Response {
    take(surface, request, "webhook", |_, body| payload::webhook(body, clock::now())).await
}

/// `POST /api/v2/alerts`: what Prometheus and amtool post.
pub(super) async fn posted(State(surface): State<Surface>, request: Request) -> Response {
    take(surface, request, "api", |surface, body| {
        payload::posted(body, clock::now(), surface.resolve_timeout())
    })
    .await
}

async fn take(surface: Surface, request: Request, source: &'static str, read: Read) -> Response {
    let watch = Stopwatch::start();
    let answer = match keep(&surface, request, source, read).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(no) => {
            surface.rejected(no.why, 1);
            no.into_response()
        }
    };
    surface.counters().observe("opsbot_alerts_request_seconds", &[("source", source)], watch.seconds());
    answer
}

async fn keep(surface: &Surface, request: Request, source: &'static str, read: Read) -> Result<(), No> {
    if !is_json(request.headers()) {
        let text = "alerts are application/json; set the header Content-Type";
        return Err(No::new("malformed", StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let (held, body) = receive(surface, request, BODY).await?;
    let parsed = if body.len() > LONG_READ {
        let (surface, body) = (surface.clone(), body.clone());
        tokio::task::spawn_blocking(move || read(&surface, &body))
            .await
            .map_err(|error| error.to_string())
            .flatten()
    } else {
        read(surface, &body)
    };
    let Batch { signals, faults, refused, truncated } = parsed.map_err(|text| {
        tracing::warn!(source, fault = %payload::shown(&text), "a body without alerts was refused");
        No::bad("malformed", format!("nothing was kept: {text}"))
    })?;
    drop((held, body));
    if truncated > 0 {
        surface.rejected("truncated", truncated);
        tracing::warn!(truncated, "Alertmanager left alerts out; set max_alerts: 0 in its webhook_configs");
    }
    let kept = signals.len();
    if kept > 0 {
        surface.pager().take(signals).await?;
        surface.received(source, kept);
    }
    if refused == 0 {
        return Ok(());
    }
    surface.rejected("invalid", u64::try_from(refused).unwrap_or(u64::MAX).saturating_sub(1));
    let more =
        if refused > faults.len() { format!("; {} more", refused - faults.len()) } else { String::new() };
    let text = format!("{kept} kept, {refused} refused: {}{more}", faults.join("; "));
    tracing::warn!(source, faults = %payload::shown(&text), "alerts were refused");
    Err(No::bad("invalid", text))
}

/// The body, and the room that it takes while it is held.
pub(super) async fn receive(
    surface: &Surface,
    request: Request,
    most: usize,
) -> Result<(tokio::sync::OwnedSemaphorePermit, Bytes), No> {
    let told =
        request.headers().get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<usize>().ok());
    let too_large = || {
        let text = format!("the body is larger than {} MB; send the alerts in parts", most >> 20);
        No::new("too_large", StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if told.is_some_and(|told| told > most) {
        return Err(too_large());
    }
    let room = u32::try_from(told.unwrap_or(most).div_ceil(1 << 10)).unwrap_or(u32::MAX);
    let slow =
        || No::new("slow", StatusCode::REQUEST_TIMEOUT, "the body took too long to come; send it again");
    let arrival = async {
        let held = surface.room().acquire_many_owned(room).await;
        let held = held.map_err(|_| No::later("stopping", "OpsBot is stopping; send it again"))?;
        let body = to_bytes(request.into_body(), most).await.map_err(|error| {
            let long =
                std::error::Error::source(&error).is_some_and(|e| e.to_string().contains("length limit"));
            if long { too_large() } else { No::bad("broken", "the body broke off; send it again") }
        })?;
        Ok((held, body))
    };
    timeout(surface.body_time(), arrival).await.map_err(|_| slow())?
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}
