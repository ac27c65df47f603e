//! `opsbot doctor`: everything that OpsBot needs, tried for real, with a cure per failure.

use std::{path::Path, sync::Arc, time::Duration};

use super::{Context, reach, say};
use crate::{
    agent::port::{Message, ModelRequest},
    app::{self, Backends, Failure},
    cache::CustomerCache,
    channels::console::{Renderer, Screen, Style},
    config::{self, Config, Env},
    control::{Client, Op},
    domain::{Block, Outbound, Role},
    engine::Brain,
    logs::Sources,
    runtime::{Stopwatch, clock, trace},
};

const LEAST_DISK: u64 = 512 << 20;
const COMPLETION: Duration = Duration::from_secs(300);

/// How one check went.
enum Mark {
    Ok,
    Warn,
    Fail,
}

struct Report {
    rows: Vec<Vec<String>>,
    failed: bool,
}

impl Report {
    fn add(&mut self, what: &str, mark: Mark, seen: impl Into<String>) {
        let word = match mark {
            Mark::Ok => "ok",
            Mark::Warn => "warning",
            Mark::Fail => {
                self.failed = true;
                "FAILED"
            }
        };
        self.rows.push(vec![what.to_owned(), word.to_owned(), seen.into()]);
    }
}

pub(super) async fn run(file: Option<&Path>, env: &Env, style: Style) -> Result<u8, Failure> {
    trace::init(trace::LogFormat::Text, "error").map_err(Failure::config)?;
    let (config, source) = config::load(file, env).map_err(|e| Failure::config(e.to_string()))?;
    let Backends { source: inventory, logs, prometheus, registry, .. } = app::backends(&config, None)?;
    let (_, warnings) = app::policy(&config, &source.path, registry.specs())?;
    let mut report = Report { rows: vec![], failed: false };
    report.add("config", Mark::Ok, format!("{} ({})", source.path.display(), source.named_by));
    for warning in warnings {
        report.add("policy", Mark::Warn, warning);
    }
    people(&config, &mut report);
    let context = Context { config, source, env: env.clone(), style };
    let (daemon, paired) = store(&context, &mut report).await;
    for (what, seen) in app::examine_channels(&context.config, daemon, &paired).await {
        match seen {
            Ok(seen) => report.add(&what, Mark::Ok, seen),
            Err(wrong) => report.add(&what, Mark::Fail, wrong),
        }
    }
    if context.config.alerts.is_none() {
        report.add("alerts", Mark::Warn, "none: nobody is paged; set [alerts]");
    }
    for (what, seen) in app::examine_alerts(&context.config, daemon).await {
        match seen {
            Ok(seen) => report.add(&what, Mark::Ok, seen),
            Err(wrong) => report.add(&what, Mark::Fail, wrong),
        }
    }
    for (host, answer) in inventory.hosts().probe().await {
        match answer {
            Ok(version) => report.add(&format!("docker {host}"), Mark::Ok, format!("engine {version}")),
            Err(error) => report.add(
                &format!("docker {host}"),
                Mark::Fail,
                crate::domain::ToolError::from(error).to_string(),
            ),
        }
    }
    let snapshot = inventory.snapshot().await;
    let customers = snapshot.customers().len();
    let mark = if customers > 0 { Mark::Ok } else { Mark::Warn };
    let cure = if customers > 0 {
        ""
    } else {
        ": label containers with opsbot.customer and opsbot.service, or write [[customer]] containers"
    };
    report.add("inventory", mark, format!("{customers} customers{cure}"));
    for conflict in snapshot.conflicts() {
        report.add("inventory", Mark::Warn, format!("{}: {}", conflict.container, conflict.sentence));
    }
    log_sources(&logs, &mut report).await;
    match prometheus {
        Some(prometheus) => match prometheus.healthy(clock::now()).await {
            Ok(()) => report.add("prometheus", Mark::Ok, "answers a query"),
            Err(error) => report.add("prometheus", Mark::Fail, error.to_string()),
        },
        None => report.add(
            "prometheus",
            Mark::Warn,
            "none: no alerts, metrics from Docker only; set [prometheus] url",
        ),
    }
    for CustomerCache { customer, cache } in app::caches(&context.config) {
        // What clearing it would meet is what there is.
        let seen = match cache.clear(None) {
            Ok(clear) => clear.look().await.map_err(|fault| fault.to_string()),
            Err(sentence) => Err(sentence),
        };
        let (mark, seen) = match seen {
            Ok(seen) => (Mark::Ok, format!("{cache} of customer {customer}: {seen}")),
            Err(fault) => (Mark::Fail, fault),
        };
        report.add("cache", mark, seen);
    }
    model(&context.config, &mut report).await;
    let columns = ["what", "", "seen"].map(String::from).to_vec();
    let failed = report.failed;
    let table = Block::Table { title: None, columns, rows: report.rows };
    say(Screen::new(Renderer::new(context.style)).on(&table.into()).trim_end())?;
    Ok(u8::from(failed))
}

async fn log_sources(logs: &Sources, report: &mut Report) {
    for (source, reads) in logs.probe(clock::now()).await {
        let what = format!("log {} of customer {}", source.service, source.customer);
        let gaps: Vec<_> = reads.iter().flat_map(|r| r.gaps.clone()).collect();
        let names: Vec<_> = reads.iter().filter(|r| r.gaps.is_empty()).map(|r| r.name.as_str()).collect();
        if gaps.is_empty() {
            report.add(&what, Mark::Ok, names.join(", "));
        }
        gaps.into_iter().for_each(|gap| report.add(&what, Mark::Fail, gap));
    }
}

fn people(config: &Config, report: &mut Report) {
    for person in &config.people {
        if let Some(user) = &person.unix_user
            && crate::control::people::host_uid(user).is_none()
        {
            report.add(
                "people",
                Mark::Warn,
                format!("{}: this host has no user `{user}`; correct unix_user", person.name),
            );
        }
    }
    let admins = config.people.iter().filter(|p| p.role == Role::Admin).count();
    if admins == 0 {
        report.add(
            "people",
            Mark::Warn,
            "no admin: nobody can confirm a write or unfreeze; add [[person]] with role = \"admin\"",
        );
    } else {
        report.add("people", Mark::Ok, format!("{} configured, {admins} admin", config.people.len()));
    }
}

/// Looks at the store; whether a daemon holds it, and which admins it knows by pairing.
async fn store(context: &Context, report: &mut Report) -> (bool, Vec<app::ChatAdmin>) {
    let reached = match reach::reach(context).await {
        Ok(reached) => reached,
        Err(failure) => {
            report.add("store", Mark::Fail, failure.text);
            return (false, vec![]);
        }
    };
    let admins = admins(&reached.client).await;
    let daemon = reached.app().is_none();
    match reached.app() {
        None => report.add("daemon", Mark::Ok, format!("answers on {}", reach::socket(context).display())),
        Some(app) => {
            report.add(
                "daemon",
                Mark::Warn,
                "not running: commands work in-process; start `opsbot run` for a socket and /metrics",
            );
            let watch = Stopwatch::start();
            match app.engine.store().ping_commit().await {
                Ok(()) => report.add(
                    "store",
                    Mark::Ok,
                    format!("a durable commit took {:.1} ms", watch.seconds() * 1e3),
                ),
                Err(error) => report.add("store", Mark::Fail, error.to_string()),
            }
            match app.engine.store().health().await {
                Ok(health) => {
                    let free = health.free_disk_bytes.unwrap_or(u64::MAX);
                    let mark = if free < LEAST_DISK { Mark::Fail } else { Mark::Ok };
                    let cure = if free < LEAST_DISK { "; free some space" } else { "" };
                    report.add(
                        "disk",
                        mark,
                        format!("{} MiB free at {}{cure}", free >> 20, context.config.state_dir.display()),
                    );
                }
                Err(error) => report.add("disk", Mark::Fail, error.to_string()),
            }
        }
    }
    reached.leave().await;
    (daemon, admins)
}

/// The admins on chat platforms; none for whoever may not ask for them.
async fn admins(client: &Client) -> Vec<app::ChatAdmin> {
    let mut events = client.request(Op::PairList).await;
    let mut admins = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            Outbound::Done { .. } => break,
            Outbound::Block { content: Block::Table { rows, .. } } => {
                admins.extend(rows.into_iter().filter_map(|row| admin(&row)));
            }
            _ => {}
        }
    }
    admins
}

/// The admin in a row of `opsbot pair list`.
fn admin(row: &[String]) -> Option<app::ChatAdmin> {
    let [person, role, channel, id, _] = row else { return None };
    let (person, channel, id) = (person.clone(), channel.clone(), id.clone());
    (role == Role::Admin.word()).then_some(app::ChatAdmin { person, channel, id })
}

/// Each of several model hosts.
async fn hosts(brain: &Brain, report: &mut Report) {
    let Some(models) = brain.model.models().filter(|m| m.hosts().len() > 1) else { return };
    for (host, listed) in models.list().await {
        let what = format!("model host {host}");
        match listed {
            Ok(listed) => report.add(&what, Mark::Ok, format!("lists {} models", listed.len())),
            Err(error) => report.add(&what, Mark::Fail, error.to_string()),
        }
    }
}

/// One real completion.
async fn model(config: &Config, report: &mut Report) {
    let Some(wanted) = &config.model else {
        return report.add("model", Mark::Warn, "none: commands, and plain words read by code; set [model]");
    };
    let brain = match app::brain(wanted) {
        Ok(brain) => brain,
        Err(failure) => return report.add("model", Mark::Fail, failure.text),
    };
    hosts(&brain, report).await;
    let request = ModelRequest {
        messages: vec![Message::User { text: "Answer with the word: ready".into() }],
        tools: Arc::new(vec![]),
        mode: brain.mode,
    };
    let watch = Stopwatch::start();
    let answer = tokio::time::timeout(COMPLETION, async {
        let info = brain.model.warm().await?;
        let loaded = watch.seconds();
        brain.model.chat(&request, &mut |_| {}).await.map(|reply| (info, loaded, reply))
    });
    match answer.await {
        Ok(Ok((info, loaded, reply))) => {
            let took = watch.seconds() - loaded;
            let mut seen = format!(
                "{} loaded in {loaded:.1} s, answered {} tokens in {took:.1} s",
                wanted.name, reply.tokens_out
            );
            if let Some(context) = info.context {
                seen.push_str(&format!(", context {context}"));
            }
            report.add("model", Mark::Ok, seen);
        }
        Ok(Err(error)) => report.add("model", Mark::Fail, format!("{}: {error}", wanted.name)),
        Err(_) => report.add(
            "model",
            Mark::Fail,
            format!("{}: no answer within 5 min; choose a smaller model", wanted.name),
        ),
    }
}
