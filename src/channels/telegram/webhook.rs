//! The webhook: Telegram brings updates over HTTPS, and hears that one arrived once it is kept.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::future::BoxFuture;
use serde_json::Value;
use sha2::{Digest, Sha256};
use teloxide::types::Update;
use tokio::time::timeout;

use super::decode;
use crate::runtime::Counters;

/// Where Telegram posts to.
pub const PATH: &str = "/telegram";
/// The largest update, in bytes; Telegram's own are far smaller.
pub const BODY_LIMIT: usize = 1 << 20;
/// How long an update's bytes may usually take to come.
pub const BODY_TIME: Duration = Duration::from_secs(10);

/// Telegram repeats the secret of `setWebhook` here.
const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";
const COUNTER: &str = "opsbot_telegram_webhook_total";

/// An update as it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Its id; the same one may come more than once.
    pub id: u32,
    /// The update; of a kind that is not known, what Telegram sent.
    pub update: Result<Update, Value>,
}

/// Keeps an update: once it gives `Ok`, Telegram will not send it again. It runs to its end also when the connection
/// breaks.
pub type Deliver = Arc<dyn Fn(Incoming) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

#[derive(Clone)]
struct Webhook {
    secret: [u8; 32],
    deliver: Deliver,
    counters: Counters,
    body_time: Duration,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// Whether a webhook may listen there.
///
/// # Errors
/// A sentence for whoever wrote the configuration.
pub fn allowed(listen: &str, has_tls: bool) -> Result<(), String> {
    let local = match listen.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_canonical().is_loopback(),
        Err(_) => listen.rsplit_once(':').is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost")),
    };
    if local || has_tls {
        return Ok(());
    }
    Err(format!(
        "the webhook must not listen on {listen} without TLS, for Telegram speaks HTTPS alone and others could read \
         along: give it a certificate and its key, or let it listen on 127.0.0.1 behind a proxy that has them"
    ))
}

/// Answers `POST` on [`PATH`]; `secret` is what `setWebhook` was given, `body_time` how long an update's bytes may take
/// to come ([`BODY_TIME`]).
///
/// # Errors
/// A sentence when Telegram would not take the secret, or everybody could guess it.
pub fn router(
    secret: &str,
    deliver: Deliver,
    counters: Counters,
    body_time: Duration,
) -> Result<Router, String> {
    let proper = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(16..=256).contains(&secret.len()) || !secret.chars().all(proper) {
        return Err("the webhook's secret must have 16 to 256 of A-Z, a-z, 0-9, _ and -".into());
    }
    counters.describe(COUNTER, "Requests to the webhook by what became of them.");
    let webhook = Webhook { secret: Sha256::digest(secret).into(), deliver, counters, body_time };
    Ok(Router::new().route(PATH, post(take)).layer(DefaultBodyLimit::max(BODY_LIMIT)).with_state(webhook))
}

async fn take(State(webhook): State<Webhook>, request: Request) -> Response {
    let (result, answer) = match receive(&webhook, request).await {
        Ok(()) => ("kept", StatusCode::OK.into_response()),
        Err((result, answer)) => (result, answer),
    };
    webhook.counters.add(COUNTER, &[("result", result)], 1);
    answer
}

/// A label for the counter, and what is answered.
type Refusal = (&'static str, Response);

async fn receive(webhook: &Webhook, request: Request) -> Result<(), Refusal> {
    let refuse = |label, code: StatusCode, why: &'static str| (label, (code, why).into_response());
    if !webhook.knows(request.headers()) {
        tracing::debug!("a request to the webhook without its secret");
        return Err(refuse(
            "unauthorized",
            StatusCode::UNAUTHORIZED,
            "the secret token is missing or wrong\n",
        ));
    }
    if !is_json(request.headers()) {
        return Err(refuse("garbage", StatusCode::UNSUPPORTED_MEDIA_TYPE, "an update is application/json\n"));
    }
    let body = match timeout(webhook.body_time, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) => return Err(("garbage", rejection.into_response())),
        Err(_) => {
            return Err(refuse("slow", StatusCode::REQUEST_TIMEOUT, "the update took too long to come\n"));
        }
    };
    let read = serde_json::from_slice(&body).ok().and_then(decode::read);
    let Some((id, update)) = read else {
        tracing::warn!(bytes = body.len(), "the webhook was sent something that is no update");
        return Err(refuse("garbage", StatusCode::BAD_REQUEST, "this is no update\n"));
    };
    // In a task of its own: a broken connection must not leave it half done.
    let kept = tokio::spawn((webhook.deliver)(Incoming { id, update })).await;
    match kept.map_err(|error| error.to_string()).flatten() {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::error!(%error, id, "an update could not be kept; Telegram will send it again");
            Err(refuse("failed", StatusCode::SERVICE_UNAVAILABLE, "not kept; send it again\n"))
        }
    }
}

impl Webhook {
    /// Compares digests, each bit of them: how long it takes says nothing about the secret.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(SECRET_HEADER) else { return false };
        let given: [u8; 32] = Sha256::digest(given.as_bytes()).into();
        let differing = self.secret.iter().zip(given).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        std::hint::black_box(differing) == 0
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_listened_to() {
        let table = [
            ("127.0.0.1:8443", true),
            ("127.9.9.9:8443", true),
            ("[::1]:8443", true),
            ("[::ffff:127.0.0.1]:8443", true),
            ("localhost:8443", true),
            ("0.0.0.0:8443", false),
            ("[::]:8443", false),
            ("192.168.1.5:8443", false),
            ("localhost.example.com:8443", false),
            ("bot.example.com:8443", false),
            ("nonsense", false),
        ];
        for (listen, want) in table {
            let found = allowed(listen, false);
            assert_eq!(found.is_ok(), want, "{listen}");
            assert!(found.err().is_none_or(|e| e.contains(listen) && e.contains("certificate")));
            assert!(allowed(listen, true).is_ok(), "{listen}");
        }
    }

    #[test]
    fn a_secret_that_telegram_would_refuse_is_refused_here() {
        let deliver: Deliver = Arc::new(|_| Box::pin(async { Ok(()) }));
        let try_with = |secret: &str| {
            router(secret, deliver.clone(), Counters::new(jiff::Timestamp::UNIX_EPOCH), BODY_TIME).map(|_| ())
        };
        for bad in [
            "",
            "short",
            "fifteen_letters",
            "with spaces in it here",
            &"a".repeat(257),
            "ümlaut-ümlaut-ümlaut",
        ] {
            assert!(try_with(bad).unwrap_err().contains("16 to 256"), "{bad}");
        }
        assert_eq!(try_with("Sixteen-letters_"), Ok(()));
    }
}
