//! The helper as a program: arguments, configuration, the socket from systemd or by hand, and its end.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::AsFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener as StdListener, UnixStream as StdStream},
        },
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{Config, Limits, serve};
use crate::runtime::{notify::Notifier, signal::Signals, trace};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const CONFIG: u8 = 78;
const ROOT: u32 = 0;

/// Holds Docker's socket and lets through what OpsBot's daemon needs: list, inspect, logs, stats, events, images, disk
/// usage, what registries have of them, and start, stop or restart of labelled containers.
#[derive(Debug, Parser)]
#[command(name = "opsbot-docker-helper", version)]
struct Args {
    /// What is allowed; must belong to root and be writable by nobody else.
    #[arg(long, value_name = "FILE", default_value = "/etc/opsbot/docker-helper.toml")]
    config: PathBuf,
    /// Listen there; without it, standard input must be the listening socket (systemd's StandardInput=socket).
    #[arg(long, value_name = "PATH")]
    listen: Option<PathBuf>,
    /// With the socket from systemd: end after so many seconds without a client; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    idle: u64,
}

/// Runs the helper. Exit codes: 0 ended when asked or idle, 1 failed, 2 usage, 78 configuration.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            tracing::error!("{why}");
            ExitCode::from(code)
        }
    }
}

fn run(args: &Args) -> Result<(), (u8, String)> {
    let failed = |why: io::Error| (FAILED, format!("the helper could not start: {why}"));
    trace::init(trace::LogFormat::Text, "info").map_err(|why| (CONFIG, why))?;
    let config = Config::load(&args.config, ROOT).map_err(|why| (CONFIG, why))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        // Before the socket is there: who sees it may already ask for the end.
        let signals = Signals::install().map_err(failed)?;
        let (listener, idle) = listener(args)?;
        let stop = CancellationToken::new();
        let stopping = tokio::spawn(signals.run(stop.clone()));
        let notifier = Notifier::from_env();
        let feeding = tokio::spawn({
            let (notifier, stop) = (notifier.clone(), stop.clone());
            async move { notifier.feed_watchdog(stop).await }
        });
        notifier.ready();
        tracing::info!(label = config.label_shown(), uids = ?config.uids, write = ?config.write, "the helper listens");
        tokio::select! {
            () = serve(&listener, config, Limits { idle, ..Limits::default() }, stop.clone()) => {}
            _second = stopping => {}
        }
        notifier.stopping();
        stop.cancel();
        feeding.abort();
        if let Some(path) = &args.listen
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, "the socket could not be removed");
        }
        Ok(())
    })
}

/// The socket, and when to end for want of clients: nobody would start a helper again that was started by hand.
fn listener(args: &Args) -> Result<(UnixListener, Option<Duration>), (u8, String)> {
    let (listener, idle) = match &args.listen {
        Some(path) => (bind(path), None),
        None => (inherited(), (args.idle > 0).then(|| Duration::from_secs(args.idle))),
    };
    let listener = listener.map_err(|why| (USAGE, why))?;
    let ready = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
    ready.map(|listener| (listener, idle)).map_err(|e| (FAILED, format!("the socket cannot be used: {e}")))
}

/// Standard input, if it is a listening Unix socket: the one descriptor that can be taken over without `unsafe`.
fn inherited() -> Result<StdListener, String> {
    let none =
        "standard input is no listening Unix socket; start opsbot-docker-helper.socket, or say --listen PATH";
    let stdin = io::stdin();
    if !getsockopt(&stdin, AcceptConn).unwrap_or(false) {
        return Err(none.into());
    }
    let listener = StdListener::from(stdin.as_fd().try_clone_to_owned().map_err(|e| e.to_string())?);
    // An internet socket has no such address.
    listener.local_addr().map_err(|_| none.to_owned())?;
    Ok(listener)
}

/// A socket for its owner only; one that a killed helper left is replaced.
fn bind(path: &Path) -> Result<StdListener, String> {
    let shown = path.display();
    match StdStream::connect(path) {
        Ok(_) => return Err(format!("somebody listens on {shown} already")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| format!("the old socket {shown} cannot be removed: {e}"))?;
        }
        Err(_) => {}
    }
    let listener = StdListener::bind(path).map_err(|e| format!("cannot listen on {shown}: {e}"))?;
    // Until then others may connect, and are refused by their uid.
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .map_err(|e| format!("cannot close {shown}: {e}"))?;
    Ok(listener)
}
