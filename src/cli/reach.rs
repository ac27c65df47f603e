//! Reaching an engine: the daemon's over its socket, else the same engine in this process.

use std::{io, path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Context;
use crate::{
    app::{self, App, Failure},
    control::{Client, serve},
};

/// Another client may hold the store for the length of one answer.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);
/// What runs in this process may take this long to end when the person leaves.
const DRAIN: Duration = Duration::from_secs(60);

/// A client, and the engine behind it when that is in this process.
pub(super) struct Reached {
    pub(super) client: Client,
    pub(super) here: Option<Here>,
}

/// An engine in this process.
pub(super) struct Here {
    pub(super) app: App,
    stop: CancellationToken,
}

impl Reached {
    /// The engine's own parts, when it is in this process.
    pub(super) fn app(&self) -> Option<&App> {
        self.here.as_ref().map(|here| &here.app)
    }

    /// Lets what runs in this process end, and gives the store back.
    pub(super) async fn leave(self) {
        leave(self.here).await;
    }
}

/// As [`Reached::leave`], when the client is gone already.
pub(super) async fn leave(here: Option<Here>) {
    let Some(Here { app, stop }) = here else { return };
    stop.cancel();
    if !app.engine.drain(DRAIN).await {
        tracing::error!("something still ran; its card will say unknown: verify");
    }
    if let Err(error) = app.engine.store().close().await {
        tracing::error!(%error, "the store did not close cleanly");
    }
}

/// The daemon's socket.
pub(super) fn socket(context: &Context) -> PathBuf {
    context.config.state_dir.join("opsbot.sock")
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
        match app::open(&context.config, &context.source.path, &context.env).await {
            Ok(app) => return Ok(here(app)),
            Err(failure) if failure.busy && watch.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            Err(failure) => return Err(failure),
        }
    }
}

fn here(app: App) -> Reached {
    let (near, far) = tokio::io::duplex(64 << 10);
    let actor = app.people.actor(nix::unistd::geteuid().as_raw());
    let stop = CancellationToken::new();
    tokio::spawn(serve(far, app.engine.clone(), actor, stop.clone()));
    Reached { client: Client::over(near), here: Some(Here { app, stop }) }
}
