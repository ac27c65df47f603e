//! Accepts connections under limits: how many, how large a head, how long each may take; drains when told to stop.

use std::{fmt, io, net::SocketAddr, path::Path, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{HealthSource, router, tls};
use crate::runtime::Counters;

/// What one client, and all of them, may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to come, and a TLS handshake before it.
    pub head_time: Duration,
    /// How large a request's head may be, in bytes; at least 8192.
    pub head_bytes: usize,
    /// How long a connection may live, whatever it does.
    pub lifetime: Duration,
    /// How long a request in flight may take once the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head_time: Duration::from_secs(10),
            head_bytes: 16 << 10,
            lifetime: Duration::from_secs(120),
            grace: Duration::from_secs(3),
        }
    }
}

/// A bound server; clones share the listener.
#[derive(Clone)]
pub struct Server {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    router: Router,
    limits: Limits,
    tls: Option<TlsAcceptor>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Binds `[http] listen` (port 0: any free one) for health and metrics; connections wait until [`Server::run`].
///
/// # Errors
/// One sentence for whoever wrote the configuration.
pub async fn bind(
    listen: &str,
    limits: Limits,
    health: HealthSource,
    counters: Counters,
) -> Result<Server, String> {
    bind_as("[http] listen", listen, limits, router(health, counters)).await
}

/// Binds `listen` (port 0: any free one) for `router`, over TLS when there are a certificate and its key (PEM files,
/// read once: a renewed certificate takes a restart). Connections wait until [`Server::run`].
///
/// # Errors
/// One sentence for whoever wrote the configuration.
pub async fn bind_router(
    listen: &str,
    limits: Limits,
    router: Router,
    tls: Option<(&Path, &Path)>,
) -> Result<Server, String> {
    let tls = match tls {
        Some((certificate, key)) => Some(tls::acceptor(certificate, key).await?),
        None => None,
    };
    let server = bind_as("its listen address", listen, limits, router).await?;
    Ok(Server { tls, ..server })
}

/// `key` is what the configuration calls the address.
async fn bind_as(key: &str, listen: &str, limits: Limits, router: Router) -> Result<Server, String> {
    let told = |error: io::Error| {
        let cure = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another process listens there; stop it or choose another port in {key}")
            }
            io::ErrorKind::PermissionDenied => format!("choose a port above 1023 in {key}"),
            _ => format!("check {key}, e.g. 127.0.0.1:7878"),
        };
        format!("cannot listen on {listen} ({error}): {cure}")
    };
    let listener = TcpListener::bind(listen).await.map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    Ok(Server { listener: Arc::new(listener), address, router, limits, tls: None })
}

impl Server {
    /// Where it listens, with the true port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then lets requests in flight finish under the limit.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut connections = JoinSet::new();
        loop {
            while let Some(end) = connections.try_join_next() {
                notice(end);
            }
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                slot = Arc::clone(&slots).acquire_owned() => slot.map_err(|e| e.to_string())?,
            };
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (server, stop) = (self.clone(), stop.clone());
                    connections.spawn(async move {
                        server.greet(stream, stop).await;
                        drop(slot);
                    });
                }
                // Out of file descriptors, or the client has gone already: neither is a reason to end or to spin.
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = sleep(Duration::from_millis(200)) => {}
                    }
                }
            }
        }
        while let Some(end) = connections.join_next().await {
            notice(end);
        }
        Ok(())
    }

    /// Serves one connection, after its handshake where there is TLS.
    async fn greet(self, stream: TcpStream, stop: CancellationToken) {
        let Some(tls) = self.tls else { return serve(stream, self.router, self.limits, stop).await };
        let secured = tokio::select! {
            secured = timeout(self.limits.head_time, tls.accept(stream)) => secured,
            () = stop.cancelled() => return,
        };
        match secured {
            Ok(Ok(stream)) => serve(stream, self.router, self.limits, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }
}

fn notice(end: Result<(), JoinError>) {
    if let Err(error) = end {
        tracing::error!(%error, "an HTTP connection's task died");
    }
}

async fn serve<S>(stream: S, router: Router, limits: Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes.max(8192))
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => finish(connection, limits.grace).await,
        () = sleep(limits.lifetime) => finish(connection, limits.grace).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

type Connection<'a, S> = std::pin::Pin<&'a mut http1::Connection<TokioIo<S>, TowerToHyperService<Router>>>;

async fn finish<S>(mut connection: Connection<'_, S>, grace: Duration) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    connection.as_mut().graceful_shutdown();
    // Who does not finish within the grace is dropped, which closes the socket.
    timeout(grace, connection).await.unwrap_or(Ok(()))
}
