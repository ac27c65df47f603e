//! The only wiring: from a checked configuration to an engine with its tools, model and rows.

mod alerting;
mod alerts;
mod backends;
mod reload;
mod sources;
mod subjects;
#[cfg(feature = "telegram")]
mod telegram;
#[cfg(not(feature = "telegram"))]
mod without_telegram;
#[cfg(not(feature = "telegram"))]
use without_telegram as telegram;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

pub use alerts::{Alerts, examine as examine_alerts};
pub(crate) use backends::caches;
pub use backends::{Backends, backends, backends_over, directory, inventory_source};
pub use reload::Reloader;
pub use sources::{Source, sources};
pub use subjects::Subjects;

use crate::{
    agent::port::CallMode,
    alertmanager::Alertmanager,
    config::{CallStyle, Config, Dialect, Env, ModelConfig},
    control::{People, people::host_uid},
    domain::{ChannelKind, ToolSpec},
    engine::{Bounds, Brain, Engine, KnownPeople, Memory, Parts, people::Configured},
    llm,
    policy::{Policy, RawRule, Redactor},
    runtime::{Counters, clock},
    spill::SpillStore,
    store::{AuditKey, Store, StoreError},
};

const SPILL_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The context that outputs are cut for when no model is set up, in tokens.
pub const CONSOLE_CONTEXT: u32 = 8192;

/// Why nothing could be started, and with which exit code.
#[derive(Debug)]
pub struct Failure {
    /// 1 failed, 2 usage, 78 configuration.
    pub code: u8,
    /// Another process holds the store right now.
    pub busy: bool,
    /// What is wrong and what to do.
    pub text: String,
}

impl Failure {
    /// Exit code 1.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { code: 1, busy: false, text: text.into() }
    }

    /// Exit code 78.
    pub fn config(text: impl Into<String>) -> Self {
        Self { code: 78, busy: false, text: text.into() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let busy = matches!(error, StoreError::Locked { .. });
        Self { busy, ..Self::failed(error.to_string()) }
    }
}

/// The rules, checked against the tools of this build; warnings go to the log.
///
/// # Errors
/// Everything that is wrong with them, one line each.
pub fn policy(config: &Config, file: &Path, specs: &[ToolSpec]) -> Result<(Policy, Vec<String>), Failure> {
    let mut problems = Vec::new();
    let mut rules = Vec::new();
    for raw in &config.policy.rules {
        let place = format!("{}:{}: policy.rule", file.display(), raw.line);
        match raw.table.clone().try_into::<RawRule>() {
            Ok(rule) => match rule.read() {
                Ok(rule) => rules.push(rule),
                Err(all) => problems.extend(all.into_iter().map(|e| format!("{place}: {e}"))),
            },
            Err(error) => problems.push(format!("{place}: {}", error.to_string().trim())),
        }
    }
    if problems.is_empty() {
        match Policy::new(rules, specs) {
            Ok(done) => return Ok(done),
            Err(all) => problems.extend(all.into_iter().map(|e| format!("{}: policy: {e}", file.display()))),
        }
    }
    Err(Failure::config(problems.join("\n")))
}

/// A whole engine and what the daemon shows of it.
#[derive(Debug)]
pub struct App {
    /// The engine.
    pub engine: Engine,
    /// Figures.
    pub counters: Counters,
    /// Who is who on this host.
    pub people: Arc<People>,
    /// Alerting, when `[alerts]` sets it up.
    pub alerts: Option<Alerts>,
    /// Where silences are written through to.
    pub silences: Option<Alertmanager>,
    /// Takes a changed configuration in.
    pub reloader: Arc<Reloader>,
}

/// What one engine keeps, whatever the configuration becomes.
#[derive(Clone)]
struct Lasting {
    store: Store,
    spill: Arc<SpillStore>,
    counters: Counters,
    people: Arc<KnownPeople>,
    alerts: Option<Alerts>,
    /// Where silences are written through to.
    silences: Option<Alertmanager>,
}

/// Opens the store (one process at a time) and puts everything together.
///
/// # Errors
/// The store's, or a configuration that cannot be carried out.
pub async fn open(config: &Config, file: &Path, env: &Env) -> Result<App, Failure> {
    let redactor = Arc::new(redactor(config, config.secrets())?);
    let log = reload::LogRedactor::install(redactor.clone());
    let credential = env.var("CREDENTIALS_DIRECTORY").map(|d| PathBuf::from(d).join("audit-key"));
    let dir = &config.state_dir;
    let key = AuditKey::load(dir, credential.filter(|p| p.exists()))?;
    let store = Store::open(dir, key).await?;
    let spill =
        SpillStore::open(&dir.join("kept"), SPILL_LIFETIME).map_err(|e| Failure::failed(e.to_string()))?;
    let counters = counters();
    let alerts = match &config.alerts {
        Some(alerts) => Some(Alerts::open(config, alerts, &store, &counters).await?),
        None => None,
    };
    let silences = match &config.alerts {
        Some(alerts) => alerting::silences(alerts)?,
        None => None,
    };
    let lasting = Lasting {
        store,
        spill: Arc::new(spill),
        counters,
        people: Arc::new(KnownPeople::new(known_people(config))),
        alerts: alerts.clone(),
        silences: silences.clone(),
    };
    let brain = config.model.as_ref().map(brain).transpose()?;
    let (parts, warnings) = parts(config, file, (&lasting, redactor, brain))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Some(alerts) = &alerts {
        alerts.suggest(parts.playbooks.clone());
    }
    let engine = Engine::new(parts);
    let recovered = engine.recover().await?;
    if recovered > 0 {
        tracing::info!(recovered, "cards of the last run were settled");
    }
    let people = Arc::new(people(config));
    let reloader = Reloader::new(config, (file, env), (engine.clone(), people.clone(), lasting.clone()), log);
    let reloader = Arc::new(reloader);
    Ok(App { engine, counters: lasting.counters, people, alerts, silences, reloader })
}

/// One generation of the engine's parts, all of it checked, and what is probably not meant.
fn parts(
    config: &Config,
    file: &Path,
    (lasting, redactor, brain): (&Lasting, Arc<Redactor>, Option<Brain>),
) -> Result<(Parts, Vec<String>), Failure> {
    let pager = lasting.alerts.as_ref().map(|alerts| &alerts.pager);
    let Backends { source, logs, registry, playbooks, prometheus } =
        backends::watching(config, Some(lasting.spill.clone()), pager)?;
    let (policy, mut warnings) = policy(config, file, registry.specs())?;
    warnings.extend(playbooks.problems().iter().map(|p| format!("a playbook is left out: {p}")));
    let alerting = pager.zip(config.alerts.as_ref()).map(|(pager, alerts)| {
        alerting::alerting(config, alerts, (pager, lasting.silences.as_ref()), prometheus)
    });
    let parts = Parts {
        policy,
        store: lasting.store.clone(),
        registry,
        brain,
        directory: backends::directory(source, logs),
        people: lasting.people.clone(),
        redactor,
        playbooks,
        spill: lasting.spill.clone(),
        counters: lasting.counters.clone(),
        bounds: bounds(config)?,
        memory: memory(config),
        alerting,
    };
    Ok((parts, warnings))
}

fn bounds(config: &Config) -> Result<Bounds, Failure> {
    let limits = &config.limits;
    Ok(Bounds {
        calls_per_turn: limits.calls_per_turn,
        queue: limits.turns_queued.saturating_add(1),
        turn: config.model.as_ref().map_or(limits.turn_deadline, |m| m.deadline.min(limits.turn_deadline)),
        output_share: u32::try_from(limits.output_share).unwrap_or(8),
        approval: SignedDuration::try_from(config.policy.approval_lifetime)
            .map_err(|e| Failure::config(format!("policy.approval_lifetime: {e}")))?,
        old_after: old_after(config),
    })
}

fn memory(config: &Config) -> Memory {
    let m = &config.memory;
    Memory {
        budget: m.budget,
        history: SignedDuration::from_hours(24 * i64::from(m.history_days)),
        notes: m.notes_max,
        note_lifetime: m.note_lifetime.and_then(|most| SignedDuration::try_from(most).ok()),
    }
}

fn old_after(config: &Config) -> SignedDuration {
    let most = config.telegram.as_ref().map(|t| t.old_after);
    most.and_then(|d| SignedDuration::try_from(d).ok()).unwrap_or(SignedDuration::from_mins(10))
}

/// A channel over a network, for the daemon to run.
#[derive(Clone)]
pub struct Channel {
    /// Its name in logs and health.
    pub name: &'static str,
    /// Runs it until the token fires; may be called again after it failed.
    pub run: Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// Whether messages arrive, and what was seen.
    pub health: Arc<dyn Fn() -> (bool, String) + Send + Sync>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Channel").field(&self.name).finish()
    }
}

/// The channels that the configuration sets up.
///
/// # Errors
/// A configuration that cannot be carried out.
pub fn channels(config: &Config, app: &App) -> Result<Vec<Channel>, Failure> {
    Ok(telegram::channel(config, app)?.into_iter().collect())
}

/// An admin on a chat platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatAdmin {
    /// Who it is.
    pub person: String,
    /// Which platform.
    pub channel: String,
    /// The person's id there.
    pub id: String,
}

/// What a round trip through each channel showed: the part, and what was seen or is wrong. `paired` are admins that
/// the configuration need not name.
pub async fn examine_channels(
    config: &Config,
    daemon: bool,
    paired: &[ChatAdmin],
) -> Vec<(String, Result<String, String>)> {
    telegram::examine(config, daemon, paired).await
}

fn people(config: &Config) -> People {
    let mapped = config
        .people
        .iter()
        .filter_map(|p| Some((&p.name, p.role, p.unix_user.as_deref()?)))
        .collect::<Vec<_>>();
    let (people, unknown) = People::new(mapped, &host_uid);
    for user in unknown {
        tracing::warn!(user, "[[person]] unix_user is no user of this host; nobody is mapped to it");
    }
    people
}

/// The configuration's people as chat platforms know them.
fn known_people(config: &Config) -> Vec<Configured> {
    let people = config.people.iter().map(|p| {
        let telegram = p.telegram_id.map(|id| (ChannelKind::Telegram, id.to_string()));
        let discord = p.discord_id.map(|id| (ChannelKind::Discord, id.to_string()));
        Configured { name: p.name.clone(), role: p.role, ids: telegram.into_iter().chain(discord).collect() }
    });
    people.collect()
}

fn redactor(config: &Config, secrets: Vec<String>) -> Result<Redactor, Failure> {
    Redactor::new(secrets)
        .with_patterns(&config.redact.patterns)
        .map_err(|e| Failure::config(format!("redact.patterns: {e}")))
}

fn counters() -> Counters {
    let counters = Counters::new(clock::now());
    for (name, help) in [
        ("opsbot_turns_total", "Turns by how they ended."),
        ("opsbot_tool_calls_total", "Safe tool calls that ran."),
        ("opsbot_tool_seconds", "How long Safe tool calls took."),
        ("opsbot_refusals_total", "Calls that policy refused."),
        ("opsbot_approvals_total", "Approval cards by what became of them."),
        ("opsbot_model_seconds", "How long the model took to answer, the line before it left out."),
        ("opsbot_model_failovers_total", "Questions that another host was asked after this one failed."),
        ("opsbot_model_host_up", "Whether a model host answered last; 1 or 0."),
        ("opsbot_investigations_total", "Incidents that were looked into by themselves."),
        ("opsbot_investigations_left_total", "New incidents that were too many to be looked into."),
        ("opsbot_model_line", "Questions that a model host works on or that wait for it."),
    ] {
        counters.describe(name, help);
    }
    counters
}

/// The model over its hosts as the configuration wants it.
///
/// # Errors
/// A malformed URL, token or `keep_alive`.
pub fn brain(config: &ModelConfig) -> Result<Brain, Failure> {
    let num_ctx = u32::try_from(config.num_ctx).unwrap_or(CONSOLE_CONTEXT);
    let max_tokens = u32::try_from(config.max_tokens).unwrap_or(1024).min(num_ctx / 2);
    let hosts = config.all_hosts().into_iter().map(|host| {
        let dialect = match host.dialect {
            Dialect::Ollama => llm::Dialect::Ollama,
            Dialect::Openai => llm::Dialect::OpenAi,
        };
        let settings = llm::Settings {
            num_ctx,
            max_tokens,
            keep_alive: config.keep_alive.clone(),
            think: config.think,
            temperature: config.temperature as f32,
            constrained: match config.mode {
                CallStyle::Auto => llm::Constrained::Auto,
                CallStyle::Native => llm::Constrained::Never,
                CallStyle::Constrained => llm::Constrained::Always,
            },
            token: host.token.as_ref().map(|t| llm::Token::new(t.expose())),
            first_token: config.first_token,
            load_timeout: config.load_timeout,
            idle: config.idle,
            ..llm::Settings::new(dialect, &host.url, &config.name)
        };
        llm::HostSettings { name: host.name, settings, parallel: host.parallel }
    });
    let mode = match config.mode {
        CallStyle::Constrained => CallMode::Constrained,
        CallStyle::Auto | CallStyle::Native => CallMode::Native,
    };
    let model = llm::fleet(hosts.collect()).map_err(|e| Failure::config(format!("model: {e}")))?;
    Ok(Brain { model, mode, num_ctx, max_tokens })
}
