//! Accepts connections under limits, and only from the accounts that may.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Config, Patience, gate::Gate, refusal::Refusal};

/// What one client, and all of them, may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to come.
    pub head_time: Duration,
    /// How large a request's head may be, in bytes; at least 8192.
    pub head_bytes: usize,
    /// How long a connection may live, whatever it does: a followed log ends then.
    pub lifetime: Duration,
    /// How long a request in flight may take once the helper stops.
    pub grace: Duration,
    /// How long the engine may take.
    pub engine: Patience,
    /// Ends when nobody was connected for so long; none: never.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head_time: Duration::from_secs(10),
            head_bytes: 16 << 10,
            lifetime: Duration::from_secs(3600),
            grace: Duration::from_secs(3),
            engine: Patience::default(),
            idle: None,
        }
    }
}

/// Serves until `stop`, or until it was idle for long enough; then lets requests in flight finish under the limit.
pub async fn serve(listener: &UnixListener, config: Config, limits: Limits, stop: CancellationToken) {
    let gate = Arc::new(Gate::new(config, limits.engine));
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        while let Some(end) = connections.try_join_next() {
            notice(end);
        }
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(end) = connections.join_next() => {
                notice(end);
                continue;
            }
            () = idle(limits.idle), if connections.is_empty() => {
                tracing::info!("nobody is connected: ending until somebody is");
                break;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let (gate, stop) = (Arc::clone(&gate), stop.clone());
                connections.spawn(async move {
                    connection(stream, gate, limits, stop).await;
                    drop(place);
                });
            }
            // Out of file descriptors, or the client has gone already: neither is a reason to end or to spin.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
    while let Some(end) = connections.join_next().await {
        notice(end);
    }
}

fn notice(end: Result<(), tokio::task::JoinError>) {
    if let Err(error) = end {
        tracing::error!(%error, "a connection's task died");
    }
}

async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

async fn connection(stream: UnixStream, gate: Arc<Gate>, limits: Limits, stop: CancellationToken) {
    let uid = match stream.peer_cred() {
        Ok(peer) => peer.uid(),
        Err(error) => return tracing::warn!(%error, "a connection without credentials was refused"),
    };
    if let Some(refusal) = gate.refuses(uid) {
        tracing::warn!(uid, why = refusal.message, "a connection was refused");
        return turn_away(stream, &refusal).await;
    }
    let service = service_fn(|request| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(gate.answer(uid, request).await) }
    });
    // One request a connection: what follows it in the stream is never read, whatever it pretends to be.
    let serving = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes.max(8192))
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = sleep(limits.lifetime) => Ok(()),
        () = stop.cancelled() => timeout(limits.grace, serving).await.unwrap_or(Ok(())),
    };
    if let Err(error) = ended {
        tracing::debug!(uid, %error, "a connection ended early");
    }
}

/// Says why, without reading what the peer wants.
async fn turn_away(mut stream: UnixStream, refusal: &Refusal) {
    let saying = async {
        stream.write_all(&refusal.raw()).await?;
        stream.shutdown().await
    };
    if let Ok(Err(error)) = timeout(Duration::from_secs(1), saying).await {
        tracing::debug!(%error, "a refused peer had gone already");
    }
}
