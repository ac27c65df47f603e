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
    pager::Pager,
    runtime::{
        Counters, Policy, Supervisor,
        notify::{Notifier, watchdog_interval},
        signal::{Hangups, Signals},
    },
};

const DRAIN: Duration = Duration::from_secs(25);
const SWEEP: Duration = Duration::from_secs(5);
/// The model waits this long for the channels' first poll.
const FIRST_POLL: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// How often old histories, notes and alerts are looked for.
const FORGET: Duration = Duration::from_secs(3600);
const RETRY: Policy = Policy::Restart { min: Duration::from_secs(1), max: Duration::from_secs(60) };

type Board = Arc<Mutex<Health>>;

pub(super) async fn run(context: Context) -> Result<u8, Failure> {
    let mut signals = Signals::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
    let hangups = Hangups::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
    let app = app::open(&context.config, &context.source.path, &context.env).await?;
    let notifier = Notifier::from_env();
    let mut tasks = Supervisor::new();
    // Before anybody can ask for one.
    reload(&mut tasks, &app, hangups);
    listen(&mut tasks, &app, &reach::socket(&context))?;
    let board = Board::default();
    serve_http(&mut tasks, &app, &context.config, board.clone()).await?;
    serve_alerts(&mut tasks, &app, &context.config).await?;
    let channels = app::channels(&context.config, &app)?;
    for channel in channels.clone() {
        tasks.spawn(channel.name, RETRY, move |stop| (channel.run)(stop));
    }
    let watched = (board, channels.clone(), app.counters.clone());
    sweep(&mut tasks, app.engine.clone(), watched, notifier_beat(&notifier));
    tend(&mut tasks, &app.engine, channels);
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

/// Reads the configuration again at each SIGHUP and at each request, one after the other.
fn reload(tasks: &mut Supervisor, app: &App, hangups: Hangups) {
    let (engine, reloader) = (&app.engine, app.reloader.clone());
    let wishes = Arc::new(tokio::sync::Mutex::new((hangups, engine.reload_requests())));
    tasks.spawn("reload", RETRY, move |stop| {
        let (reloader, wishes) = (reloader.clone(), wishes.clone());
        async move {
            let mut wishes = wishes.lock().await;
            let (hangups, requests) = &mut *wishes;
            loop {
                tokio::select! {
                    () = hangups.recv() => {
                        tracing::info!("asked to reload by SIGHUP");
                        reloader.reload(None).await.ok();
                    }
                    Some(request) = requests.recv() => {
                        let outcome = reloader.reload(Some(&request.by)).await;
                        // Who asked may have left.
                        request.done.send(outcome).ok();
                    }
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    });
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

/// Keeps what sources report, and listens to them.
async fn serve_alerts(tasks: &mut Supervisor, app: &App, config: &Config) -> Result<(), Failure> {
    let (Some(alerts), Some(settings)) = (&app.alerts, &config.alerts) else { return Ok(()) };
    let pager = alerts.pager.clone();
    tasks.spawn("pager", RETRY, move |stop| {
        let pager = pager.clone();
        async move { pager.run(stop).await }
    });
    // The first report shall find its customer.
    alerts.subjects.refresh().await;
    let subjects = alerts.subjects.clone();
    tasks.spawn("subjects", RETRY, move |stop| {
        let subjects = subjects.clone();
        async move { subjects.run(stop).await }
    });
    for source in app::sources(config, app)? {
        tasks.spawn(source.name, RETRY, move |stop| (source.run)(stop));
    }
    watch(tasks, app);
    forget_alerts(tasks, &alerts.pager, settings.keep_days);
    let Some(server) = alerts.listen(settings).await? else { return Ok(()) };
    tracing::info!(address = %server.address(), "alerts are taken in");
    tasks.spawn("alerts", RETRY, move |stop| {
        let server = server.clone();
        async move { server.run(stop).await }
    });
    Ok(())
}

/// Looks into new incidents, sends the digests, and writes silences through.
fn watch(tasks: &mut Supervisor, app: &App) {
    let engine = app.engine.clone();
    tasks.spawn("investigations", RETRY, move |stop| {
        let engine = engine.clone();
        async move { engine.watch_incidents(stop).await }
    });
    let engine = app.engine.clone();
    tasks.spawn("digests", RETRY, move |stop| {
        let engine = engine.clone();
        async move { engine.run_digests(stop).await }
    });
    if let Some((silences, alerts)) = app.silences.clone().zip(app.alerts.as_ref()) {
        let pager = alerts.pager.clone();
        tasks.spawn("silences", RETRY, move |stop| {
            let (silences, pager) = (silences.clone(), pager.clone());
            async move { silences.follow(pager, stop).await }
        });
    }
}

/// Deletes what was over for longer than so many days, now and then.
fn forget_alerts(tasks: &mut Supervisor, pager: &Pager, days: u32) {
    let (pager, keep) = (pager.clone(), Duration::from_secs(24 * 3600) * days);
    tasks.spawn("alerts-forget", RETRY, move |stop| {
        let pager = pager.clone();
        async move {
            loop {
                pager.sweep(keep).await.map_err(|e| e.to_string())?;
                tokio::select! {
                    () = tokio::time::sleep(FORGET) => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    });
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
    (board, channels, counters): (Board, Vec<Channel>, Counters),
    beat: impl Fn() + Send + Sync + Clone + 'static,
) {
    tasks.spawn("sweep", RETRY, move |stop| {
        let (engine, board, channels, beat) = (engine.clone(), board.clone(), channels.clone(), beat.clone());
        let counters = counters.clone();
        async move {
            loop {
                let swept = engine.current().sweep().await;
                gauge(&engine, &counters);
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
                engine.current().sweep_memory().await.map_err(|e| e.to_string())?;
                tokio::select! {
                    () = tokio::time::sleep(FORGET) => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    });
}

/// Looks after the model and its hosts, first once the channels hear people: a load takes the whole machine.
fn tend(tasks: &mut Supervisor, engine: &Engine, channels: Vec<Channel>) {
    let engine = engine.clone();
    tasks.spawn("model", RETRY, move |stop| {
        let (engine, channels) = (engine.clone(), channels.clone());
        async move {
            let heard = async {
                while !channels.iter().all(|channel| (channel.health)().0) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            let waited = tokio::time::timeout(FIRST_POLL, heard).await;
            tracing::debug!(waited = waited.is_ok(), "the model's turn");
            let mut changes = engine.changes();
            loop {
                let Some(brain) = engine.current().brain().cloned() else {
                    tokio::select! {
                        _ = changes.changed() => continue,
                        () = stop.cancelled() => return Ok(()),
                    }
                };
                // A reload may have brought another model; the same one is looked after without a break.
                let replaced = async {
                    while changes.changed().await.is_ok() {
                        let now = engine.current().brain().map(|b| b.model.clone());
                        if !now.is_some_and(|model| Arc::ptr_eq(&model, &brain.model)) {
                            return;
                        }
                    }
                };
                let tended = async {
                    match brain.model.models() {
                        Some(models) => models.tend().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = tended => {}
                    () = replaced => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    });
}

/// Writes down how the model hosts are.
fn gauge(engine: &Engine, counters: &Counters) {
    let engine = engine.current();
    let hosts = engine.brain().and_then(|b| Some(b.model.models()?.hosts())).unwrap_or_default();
    for host in hosts {
        let labels = [("host", host.name.as_str())];
        counters.set("opsbot_model_host_up", &labels, if host.up { 1.0 } else { 0.0 });
        counters.set("opsbot_model_line", &labels, host.questions as f64);
    }
}
