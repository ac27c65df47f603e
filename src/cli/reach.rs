//! Reaching an engine: the daemon's over its socket, else the same engine in this process.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::UnixListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::{
    app::{self, App, Failure},
    config,
    control::{Client, people::own_uid, serve, server},
};

/// Another client may hold the store for the length of one answer.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);
/// What runs in this process may take this long to end when the person leaves.
const DRAIN: Duration = Duration::from_secs(60);
/// Other clients get this long to read the end of what they asked.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A client, and the engine behind it when that is in this process.
pub(super) struct Reached {
    pub(super) client: Client,
    pub(super) here: Option<Here>,
}

/// An engine in this process.
pub(super) struct Here {
    pub(super) app: App,
    stop: CancellationToken,
    /// The socket and who serves it, once it is shared.
    shared: Option<(PathBuf, JoinHandle<()>)>,
}

impl Reached {
    /// The engine's own parts, when it is in this process.
    pub(super) fn app(&self) -> Option<&App> {
        self.here.as_ref().map(|here| &here.app)
    }

    /// Opens the socket to other clients, as the daemon would: while a conversation holds the store, a card can be
    /// decided from elsewhere and a second question asked.
    pub(super) fn share(&mut self, socket: &Path) {
        let Some(here) = &mut self.here else { return };
        let listener = match bind(socket) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "other commands cannot reach this conversation"),
        };
        let (engine, people, stop) = (here.app.engine.clone(), here.app.people.clone(), here.stop.clone());
        let serving = async move { server::listen(&listener, engine, Arc::clone(&people), stop).await };
        here.shared = Some((socket.to_owned(), tokio::spawn(serving)));
    }

    /// Lets what runs in this process end, and gives the store back.
    pub(super) async fn leave(self) {
        leave(self.here).await;
    }
}

/// As [`Reached::leave`], when the client is gone already.
pub(super) async fn leave(here: Option<Here>) {
    let Some(Here { app, stop, shared }) = here else { return };
    stop.cancel();
    if !app.engine.drain(DRAIN).await {
        tracing::error!("something still ran; its card will say unknown: verify");
    }
    if let Some((socket, serving)) = shared {
        let served = tokio::time::timeout(LAST_WORDS, serving).await;
        let removed = fs::remove_file(socket);
        tracing::debug!(?served, ?removed, "the socket is closed");
    }
    if let Err(error) = app.engine.store().close().await {
        tracing::error!(%error, "the store did not close cleanly");
    }
}

/// The daemon's socket.
pub(super) fn socket(context: &Context) -> PathBuf {
    context.config.state_dir.join("opsbot.sock")
}

/// Listens on `socket`; the caller holds the store's lock, so a socket that is there is a dead process's.
pub(super) fn bind(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Connects to the daemon, or opens the engine here under the store's lock.
pub(super) async fn reach(context: &Context) -> Result<Reached, Failure> {
    let watch = crate::runtime::Stopwatch::start();
    loop {
        match Client::connect(&socket(context)).await {
            Ok(client) => return Ok(Reached { client, here: None }),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(error) => {
                let path = socket(context);
                return Err(Failure::failed(format!(
                    "the daemon's socket {} cannot be used: {error}; run as its user, or join its group",
                    path.display()
                )));
            }
        }
        let (config, source) = config::load(Some(&context.source.path), &context.env).map_err(|e| {
            Failure::config(format!("no daemon answers, so this process needs all of it: {e}"))
        })?;
        match app::open(&config, &source.path, &context.env).await {
            Ok(app) => return Ok(here(app)),
            Err(failure) if failure.busy && watch.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            Err(failure) => return Err(failure),
        }
    }
}

fn here(app: App) -> Reached {
    let (near, far) = tokio::io::duplex(64 << 10);
    let stop = CancellationToken::new();
    tokio::spawn(serve(far, app.engine.clone(), (app.people.clone(), own_uid()), stop.clone()));
    Reached { client: Client::over(near), here: Some(Here { app, stop, shared: None }) }
}
