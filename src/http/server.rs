//! Accepts connections under limits: how many, how large a head, how long each may take; drains when told to stop.

use std::{fmt, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{HealthSource, router};
use crate::runtime::Counters;

/// What one client, and all of them, may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to come.
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
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Binds `[http] listen` (port 0: any free one); connections wait until [`Server::run`].
///
/// # Errors
/// One sentence for whoever wrote the configuration.
pub async fn bind(
    listen: &str,
    limits: Limits,
    health: HealthSource,
    counters: Counters,
) -> Result<Server, String> {
    let told = |error: io::Error| {
        let cure = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there; stop it or choose another [http] listen"
            }
            io::ErrorKind::PermissionDenied => "choose a port above 1023 in [http] listen",
            _ => "check [http] listen, e.g. 127.0.0.1:7878",
        };
        format!("cannot listen on {listen} ({error}): {cure}")
    };
    let listener = TcpListener::bind(listen).await.map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    Ok(Server { listener: Arc::new(listener), address, router: router(health, counters), limits })
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
                    let (router, limits, stop) = (self.router.clone(), self.limits, stop.clone());
                    connections.spawn(async move {
                        serve(stream, router, limits, stop).await;
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
}

fn notice(end: Result<(), JoinError>) {
    if let Err(error) = end {
        tracing::error!(%error, "an HTTP connection's task died");
    }
}

async fn serve(stream: TcpStream, router: Router, limits: Limits, stop: CancellationToken) {
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

type Connection<'a> =
    std::pin::Pin<&'a mut http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>>;

async fn finish(mut connection: Connection<'_>, grace: Duration) -> hyper::Result<()> {
    connection.as_mut().graceful_shutdown();
    // Who does not finish within the grace is dropped, which closes the socket.
    timeout(grace, connection).await.unwrap_or(Ok(()))
}
