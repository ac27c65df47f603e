//! The only wiring: from a checked configuration to an engine with its tools, model and rows.

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

use crate::{
    agent::port::{CallMode, Tool},
    config::{CallStyle, Config, Dialect, Env, ModelConfig},
    control::{People, people::host_uid},
    docker::{DockerHosts, HostConfig, TlsFiles},
    domain::{ChannelKind, ContainerRef, CustomerId, ToolError, ToolSpec},
    engine::{
        Bounds, Brain, Directory, DirectorySource, Engine, KnownPeople, Parts, Registry, people::Configured,
    },
    inventory::{self, InventorySource, Rules},
    llm,
    policy::{Policy, RawRule, Redactor},
    prometheus::{Credentials, Options, Prometheus},
    runtime::{Counters, clock},
    spill::{SpillError, SpillStore},
    store::{AuditKey, Store, StoreError},
    tools::{
        self,
        alerts::ListActiveAlerts,
        evidence::{AlertSample, Looks, MetricSample},
        metrics::{GetMetrics, Templates},
        restart::RestartLimits,
        search::{Found, Wanted},
    },
};

/// A check-up looks at this much of the past.
const CHECK_UP_WINDOW: Duration = Duration::from_secs(15 * 60);
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

/// The back ends and the tools over them; opens no file and contacts nobody.
#[derive(Debug)]
pub struct Backends {
    /// Customers and containers.
    pub source: InventorySource,
    /// Prometheus, if there is one.
    pub prometheus: Option<Prometheus>,
    /// The tools.
    pub registry: Registry,
}

/// Builds the tools.
///
/// # Errors
/// A configuration that cannot be carried out.
pub fn backends(config: &Config, spill: Option<Arc<SpillStore>>) -> Result<Backends, Failure> {
    let source = inventory_source(config)?;
    let prometheus = prometheus(config)?;
    let templates = templates(config);
    let alert_labels = tools::alerts::LabelNames {
        customer: config.inventory.alert_customer_label.clone(),
        service: config.inventory.alert_service_label.clone(),
    };
    let parts = tools::Parts {
        source: source.clone(),
        looks: looks(&source, prometheus.as_ref(), &templates, &alert_labels),
        search: Arc::new(move |wanted| search(spill.as_deref(), wanted)),
        look_within: tools::Parts::LOOK_WITHIN,
        restart: RestartLimits::default(),
        clock: clock::now,
    };
    let mut all: Vec<Arc<dyn Tool>> = tools::all(parts);
    let resolving = source.clone();
    all.push(Arc::new(GetMetrics::new(
        prometheus.clone(),
        templates,
        Arc::new(move |text| {
            let source = resolving.clone();
            Box::pin(async move {
                let inventory = source.snapshot().await;
                let customer = inventory.find_customer(&text)?;
                let refs = inventory.members(&customer.id).iter().map(|m| m.r.clone()).collect();
                Ok((customer, refs))
            })
        }),
        docker_stats(source.hosts().clone()),
    )));
    all.push(Arc::new(ListActiveAlerts::new(prometheus.clone(), alert_labels)));
    Ok(Backends { source, prometheus, registry: Registry::new(all, tools::blocked_specs()) })
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
    /// Customers and containers.
    pub source: InventorySource,
    /// Figures.
    pub counters: Counters,
    /// Who is who on this host.
    pub people: Arc<People>,
}

/// Opens the store (one process at a time) and puts everything together.
///
/// # Errors
/// The store's, or a configuration that cannot be carried out.
pub async fn open(config: &Config, file: &Path, env: &Env) -> Result<App, Failure> {
    let redactor = Arc::new(redactor(config)?);
    let log = redactor.clone();
    crate::runtime::trace::redact_with(Arc::new(move |line| log.redact(line).into_owned()));
    let credential = env.var("CREDENTIALS_DIRECTORY").map(|d| PathBuf::from(d).join("audit-key"));
    let dir = &config.state_dir;
    let key = AuditKey::load(dir, credential.filter(|p| p.exists()))?;
    let store = Store::open(dir, key).await?;
    let spill =
        SpillStore::open(&dir.join("kept"), SPILL_LIFETIME).map_err(|e| Failure::failed(e.to_string()))?;
    let spill = Arc::new(spill);
    let Backends { source, registry, .. } = backends(config, Some(spill.clone()))?;
    let (policy, warnings) = policy(config, file, registry.specs())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let counters = counters();
    let engine = Engine::new(Parts {
        policy,
        store,
        registry,
        brain: config.model.as_ref().map(brain).transpose()?,
        directory: directory(source.clone()),
        people: Arc::new(known_people(config)),
        redactor,
        spill,
        counters: counters.clone(),
        bounds: Bounds {
            calls_per_turn: config.limits.calls_per_turn,
            queue: config.limits.turns_queued.saturating_add(1),
            turn: config
                .model
                .as_ref()
                .map_or(config.limits.turn_deadline, |m| m.deadline.min(config.limits.turn_deadline)),
            output_share: u32::try_from(config.limits.output_share).unwrap_or(8),
            approval: SignedDuration::try_from(config.policy.approval_lifetime)
                .map_err(|e| Failure::config(format!("policy.approval_lifetime: {e}")))?,
            old_after: old_after(config),
        },
    });
    let recovered = engine.recover().await?;
    if recovered > 0 {
        tracing::info!(recovered, "cards of the last run were settled");
    }
    Ok(App { engine, source, counters, people: Arc::new(people(config)) })
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
fn known_people(config: &Config) -> KnownPeople {
    let people = config.people.iter().map(|p| {
        let telegram = p.telegram_id.map(|id| (ChannelKind::Telegram, id.to_string()));
        let discord = p.discord_id.map(|id| (ChannelKind::Discord, id.to_string()));
        Configured { name: p.name.clone(), role: p.role, ids: telegram.into_iter().chain(discord).collect() }
    });
    KnownPeople::new(people.collect())
}

fn redactor(config: &Config) -> Result<Redactor, Failure> {
    Redactor::new(config.secrets())
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
        ("opsbot_model_seconds", "How long the model took to answer."),
    ] {
        counters.describe(name, help);
    }
    counters
}

/// The model's client as the configuration wants it.
///
/// # Errors
/// A malformed URL, token or `keep_alive`.
pub fn brain(config: &ModelConfig) -> Result<Brain, Failure> {
    let dialect = match config.dialect {
        Dialect::Ollama => llm::Dialect::Ollama,
        Dialect::Openai => llm::Dialect::OpenAi,
    };
    let num_ctx = u32::try_from(config.num_ctx).unwrap_or(CONSOLE_CONTEXT);
    let max_tokens = u32::try_from(config.max_tokens).unwrap_or(1024).min(num_ctx / 2);
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
        token: config.token.as_ref().map(|t| llm::Token::new(t.expose())),
        first_token: config.first_token,
        load_timeout: config.load_timeout,
        idle: config.idle,
        ..llm::Settings::new(dialect, &config.url, &config.name)
    };
    let mode = match config.mode {
        CallStyle::Constrained => CallMode::Constrained,
        CallStyle::Auto | CallStyle::Native => CallMode::Native,
    };
    let model = llm::connect(settings).map_err(|e| Failure::config(format!("model: {e}")))?;
    Ok(Brain { model, mode, num_ctx, max_tokens })
}

fn inventory_source(config: &Config) -> Result<InventorySource, Failure> {
    let hosts = config.docker.iter().map(|d| HostConfig {
        name: d.name.clone(),
        url: d.url.clone(),
        tls: d.tls.as_ref().map(|t| TlsFiles { ca: t.ca.clone(), cert: t.cert.clone(), key: t.key.clone() }),
        timeout: d.timeout,
    });
    let labels = inventory::LabelNames {
        customer: config.inventory.customer_label.clone(),
        service: config.inventory.service_label.clone(),
        depends_on: config.inventory.depends_on_label.clone(),
    };
    let customers = config.customers.iter().map(|c| inventory::CustomerConfig {
        customer: c.customer.clone(),
        containers: c.containers.clone(),
        hosts: vec![],
    });
    let rules = Rules::new(labels, customers.collect()).map_err(Failure::config)?;
    Ok(InventorySource::new(DockerHosts::connect(hosts.collect()), rules))
}

fn prometheus(config: &Config) -> Result<Option<Prometheus>, Failure> {
    let Some(p) = &config.prometheus else { return Ok(None) };
    let credentials =
        p.token.as_ref().map_or(Credentials::None, |t| Credentials::Bearer(t.expose().to_owned()));
    let options = Options { credentials, timeout: p.timeout, ..Options::new(&p.url) };
    Prometheus::new(&options).map(Some).map_err(|e| Failure::config(format!("prometheus: {e}")))
}

fn templates(config: &Config) -> Templates {
    let (own, m) = (Templates::default(), config.metrics.clone());
    Templates {
        cpu: m.cpu.unwrap_or(own.cpu),
        memory: m.memory.unwrap_or(own.memory),
        memory_limit: m.memory_limit.unwrap_or(own.memory_limit),
        disk: m.disk.unwrap_or(own.disk),
        network_rx: m.network_rx.unwrap_or(own.network_rx),
        network_tx: m.network_tx.unwrap_or(own.network_tx),
    }
}

type Stats =
    Arc<dyn Fn(Vec<ContainerRef>) -> BoxFuture<'static, Result<Vec<MetricSample>, ToolError>> + Send + Sync>;

fn docker_stats(hosts: DockerHosts) -> Stats {
    Arc::new(move |refs| {
        let hosts = hosts.clone();
        Box::pin(async move {
            let all = futures::future::join_all(refs.iter().map(|r| hosts.stats(r))).await;
            let mut samples = Vec::new();
            for (r, stats) in refs.iter().zip(all) {
                let Some(stats) = stats.map_err(ToolError::from)? else { continue };
                let mut push = |name, unit, now: Option<f64>, limit| {
                    if let Some(now) = now {
                        let service = r.service.clone();
                        samples.push(MetricSample {
                            service,
                            name,
                            unit,
                            now,
                            limit,
                            source: "docker stats",
                        });
                    }
                };
                push("cpu", "%", stats.cpu_percent, None);
                push("memory", "B", stats.memory.map(|n| n as f64), stats.memory_limit.map(|n| n as f64));
                push("network_rx", "B/s", stats.rx_per_second, None);
                push("network_tx", "B/s", stats.tx_per_second, None);
            }
            Ok(samples)
        })
    })
}

fn looks(
    source: &InventorySource,
    prometheus: Option<&Prometheus>,
    templates: &Templates,
    labels: &tools::alerts::LabelNames,
) -> Looks {
    let stats = docker_stats(source.hosts().clone());
    let (prom, templates) = (prometheus.cloned(), templates.clone());
    let metrics = move |customer: CustomerId,
                        refs: Vec<ContainerRef>|
          -> BoxFuture<'static, Result<Vec<MetricSample>, ToolError>> {
        let (prom, templates, stats) = (prom.clone(), templates.clone(), stats.clone());
        Box::pin(async move {
            if let Some(prom) = prom {
                let samples = tools::metrics::collect(
                    &prom,
                    &templates,
                    &customer,
                    &refs,
                    CHECK_UP_WINDOW,
                    clock::now(),
                )
                .await;
                match samples {
                    Ok(samples) if !samples.is_empty() => return Ok(samples),
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "no metrics from Prometheus; asking Docker"),
                }
            }
            stats(refs).await
        })
    };
    let (prom, labels) = (prometheus.cloned(), labels.clone());
    let alerts = move |customer: CustomerId,
                       _: Vec<ContainerRef>|
          -> BoxFuture<'static, Result<Vec<AlertSample>, ToolError>> {
        let (prom, labels) = (prom.clone(), labels.clone());
        Box::pin(async move {
            match prom {
                Some(prom) => tools::alerts::collect(&prom, &labels, Some(&customer)).await,
                None => Err(ToolError::NothingFound("no Prometheus is configured ([prometheus] url)".into())),
            }
        })
    };
    Looks { metrics: Arc::new(metrics), alerts: Arc::new(alerts) }
}

fn search(spill: Option<&SpillStore>, wanted: &Wanted) -> Result<Found, ToolError> {
    let Some(spill) = spill else {
        return Err(ToolError::NothingFound("nothing is kept here".into()));
    };
    match spill.search(&wanted.id, &wanted.pattern, wanted.max_lines, wanted.context) {
        Ok(hits) => Ok(Found { lines: hits.lines, total: hits.total }),
        Err(SpillError::BadId(_) | SpillError::Gone(_)) => {
            Err(ToolError::UnknownId { what: "kept output", given: wanted.id.clone(), known: vec![] })
        }
        Err(error @ SpillError::BadPattern(_)) => Err(ToolError::BadArgs(error.to_string())),
        Err(error) => Err(ToolError::Failed(error.to_string())),
    }
}

fn directory(source: InventorySource) -> DirectorySource {
    Arc::new(move || {
        let source = source.clone();
        Box::pin(async move {
            let inventory = source.snapshot().await;
            let customers: Vec<_> = inventory.customers().into_iter().cloned().collect();
            let services = customers
                .iter()
                .flat_map(|c| inventory.services(&c.id).into_iter().map(|s| (c.id.clone(), s)))
                .collect();
            Directory { customers, services }
        })
    })
}
