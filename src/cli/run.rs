//! `opsbot run`: the daemon. Build, listen, say so, wait, drain under a deadline, say which happened.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Context, reach};
use crate::{
    app::{self, App, Channel, Failure},
    config::Config,
    control::server,
    engine::Engine,
    http::{self, Check, Health, HealthSource},
    runtime::{
        Policy, Supervisor,
        notify::{Notifier, watchdog_interval},
        signal::Signals,
    },
};

const DRAIN: Duration = Duration::from_secs(25);
const SWEEP: Duration = Duration::from_secs(5);
/// Shorter than the shortest keep-alive that servers default to (5 min), so that the model stays loaded.
const KEEP_WARM: Duration = Duration::from_secs(240);
/// How often old histories and notes are looked for.
const FORGET: Duration = Duration::from_secs(3600);
const RETRY: Policy = Policy::Restart { min: Duration::from_secs(1), max: Duration::from_secs(60) };

type Board = Arc<Mutex<Health>>;

pub(super) async fn run(context: Context) -> Result<u8, Failure> {
    let mut signals = Signals::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
    let app = app::open(&context.config, &context.source.path, &context.env).await?;
    let notifier = Notifier::from_env();
    let mut tasks = Supervisor::new();
    listen(&mut tasks, &app, &reach::socket(&context))?;
    let board = Board::default();
    serve_http(&mut tasks, &app, &context.config, board.clone()).await?;
    let channels = app::channels(&context.config, &app)?;
    for channel in channels.clone() {
        tasks.spawn(channel.name, RETRY, move |stop| (channel.run)(stop));
    }
    sweep(&mut tasks, app.engine.clone(), (board, channels), notifier_beat(&notifier));
    keep_warm(&mut tasks, &app.engine);
    sweep_memory(&mut tasks, app.engine.clone());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %context.source.path.display(), socket = %reach::socket(&context).display(), "opsbot runs");
    notifier.ready();
    let (code, why) = tokio::select! {
        stop = signals.recv() => (0, format!("asked to stop by {}", stop.name())),
        fatal = tasks.fatal() => (1, fatal.to_string()),
    };
    tracing::info!(why, "draining");
    notifier.stopping();
    let drained = tokio::select! {
        drained = app.engine.drain(DRAIN) => drained,
        _ = signals.recv() => false,
    };
    if !drained {
        tracing::error!("something still ran at the deadline; its card will say unknown: verify");
    }
    tasks.shutdown(Duration::from_secs(5)).await;
    app.engine.store().close().await?;
    if let Err(error) = fs::remove_file(reach::socket(&context)) {
        tracing::debug!(%error, "the socket was gone already");
    }
    tracing::info!(drained, "stopped");
    Ok(code)
}

fn listen(tasks: &mut Supervisor, app: &App, path: &Path) -> Result<(), Failure> {
    let broken = |e: std::io::Error| Failure::failed(format!("the control socket {}: {e}", path.display()));
    let listener = Arc::new(reach::bind(path).map_err(broken)?);
    let (engine, people) = (app.engine.clone(), app.people.clone());
    tasks.spawn("control", Policy::EndDaemon, move |stop| {
        let (listener, engine, people) = (listener.clone(), engine.clone(), people.clone());
        async move {
            server::listen(&listener, engine, people, stop).await;
            Ok(())
        }
    });
    Ok(())
}

async fn serve_http(tasks: &mut Supervisor, app: &App, config: &Config, board: Board) -> Result<(), Failure> {
    let Some(address) = config.http.listen else { return Ok(()) };
    let health: HealthSource = Arc::new(move || board.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let server = http::bind(&address.to_string(), http::Limits::default(), health, app.counters.clone())
        .await
        .map_err(|e| Failure::failed(format!("[http] listen: {e}")))?;
    tracing::info!(address = %server.address(), "http listens");
    let server = Arc::new(server);
    tasks.spawn("http", RETRY, move |stop| {
        let server = server.clone();
        async move { server.run(stop).await }
    });
    Ok(())
}

fn notifier_beat(notifier: &Notifier) -> impl Fn() + Send + Sync + Clone + 'static {
    let (notifier, wanted) = (notifier.clone(), watchdog_interval().is_some());
    move || {
        if wanted {
            notifier.watchdog();
        }
    }
}

fn sweep(
    tasks: &mut Supervisor,
    engine: Engine,
    (board, channels): (Board, Vec<Channel>),
    beat: impl Fn() + Send + Sync + Clone + 'static,
) {
    tasks.spawn("sweep", RETRY, move |stop| {
        let (engine, board, channels, beat) = (engine.clone(), board.clone(), channels.clone(), beat.clone());
        async move {
            loop {
                let swept = engine.sweep().await;
                let detail = swept.as_ref().map_or_else(ToString::to_string, |()| "commits".to_owned());
                let mut checks = vec![Check { name: "store".into(), ok: swept.is_ok(), detail }];
                checks.extend(channels.iter().map(|channel| {
                    let (ok, detail) = (channel.health)();
                    Check { name: channel.name.into(), ok, detail }
                }));
                board.lock().unwrap_or_else(PoisonError::into_inner).checks = checks;
                if let Err(error) = swept {
                    tracing::error!(%error, "the store failed");
                } else {
                    beat();
                }
                tokio::select! {
                    () = tokio::time::sleep(SWEEP) => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    });
}

fn sweep_memory(tasks: &mut Supervisor, engine: Engine) {
    tasks.spawn("memory", RETRY, move |stop| {
        let engine = engine.clone();
        async move {
            loop {
                engine.sweep_memory().await.map_err(|e| e.to_string())?;
                tokio::select! {
                    () = tokio::time::sleep(FORGET) => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    });
}

fn keep_warm(tasks: &mut Supervisor, engine: &Engine) {
    let Some(brain) = engine.brain().cloned() else { return };
    tasks.spawn("model", RETRY, move |stop| {
        let model = brain.model.clone();
        async move {
            loop {
                let warm = tokio::select! {
                    warm = model.warm() => warm,
                    () = stop.cancelled() => return Ok(()),
                };
                match warm {
                    Ok(info) => tracing::debug!(model = model.name(), ?info, "the model is warm"),
                    Err(error) => return Err(error.to_string()),
                }
                tokio::select! {
                    () = tokio::time::sleep(KEEP_WARM) => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    });
}
