//! What `config.toml` says, checked: everything that the rooms are built from, with no secret in sight.

mod alerts;
mod caches;
mod check;
mod diff;
mod errors;
#[cfg(test)]
mod example;
mod logs;
mod memory;
mod model;
mod people;
mod playbooks;
mod reader;
mod secret;
mod source;
mod telegram;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Serialize, Serializer};

use crate::domain::{Customer, HostName, PersonName, Role};

pub use alerts::{
    AlertCheck, AlertCheckConfig, AlertsConfig, HeartbeatConfig, InhibitConfig, LogPatternConfig, StepConfig,
    WatchdogConfig,
};
pub use caches::{CacheBackend, CacheConfig, RedisConfig, VarnishConfig};
pub use diff::changes;
pub use errors::{ConfigErrors, Problem};
pub use logs::LogSourceConfig;
pub use memory::MemoryConfig;
pub use model::ModelHost;
pub use secret::{HIDDEN, Secret};
pub use source::{Env, Source, load, parse, state_dir};
pub use telegram::{TelegramConfig, TelegramLimits, TelegramRetry, TelegramTheme, WebhookConfig, WebhookTls};

/// The whole configuration, as it holds from start to end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Where database, socket, history and keys live; absolute.
    pub state_dir: PathBuf,
    /// The people who are known, in the file's order.
    #[serde(rename = "person")]
    pub people: Vec<Person>,
    /// The language model; without one plain words are read by code.
    pub model: Option<ModelConfig>,
    /// The Telegram bot; none means no Telegram.
    pub telegram: Option<TelegramConfig>,
    /// The Docker hosts, at least one.
    pub docker: Vec<DockerConfig>,
    /// Prometheus, if there is one.
    pub prometheus: Option<PrometheusConfig>,
    /// PromQL templates that replace the built-in ones.
    pub metrics: MetricsConfig,
    /// Which labels say whose container is whose.
    pub inventory: InventoryConfig,
    /// The customers that the file describes.
    #[serde(rename = "customer")]
    pub customers: Vec<CustomerConfig>,
    /// Where the playbooks are.
    pub playbooks: PlaybooksConfig,
    /// The customers' caches.
    #[serde(rename = "cache")]
    pub caches: Vec<CacheConfig>,
    /// Logs besides Docker's.
    #[serde(rename = "log_source")]
    pub log_sources: Vec<LogSourceConfig>,
    /// Alerts; none means none beyond what Prometheus says when it is asked.
    pub alerts: Option<AlertsConfig>,
    /// Approvals and rules.
    pub policy: PolicyConfig,
    /// What one turn may use.
    pub limits: LimitsConfig,
    /// What conversations and notes may take, and how long they are kept.
    pub memory: MemoryConfig,
    /// The HTTP listener.
    pub http: HttpConfig,
    /// The daemon's own log.
    pub log: LogConfig,
    /// What is kept from model, chat, log and audit besides the known secrets.
    pub redact: RedactConfig,
}

/// A person, the same on every channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The name in cards and audit.
    pub name: PersonName,
    /// What this person may do.
    pub role: Role,
    /// The host account whose uid this person has on the console.
    pub unix_user: Option<String>,
    /// Telegram's numeric user id.
    pub telegram_id: Option<i64>,
    /// Discord's numeric user id.
    pub discord_id: Option<u64>,
}

/// Which protocol the model server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Ollama's `/api/chat`.
    Ollama,
    /// `/v1/chat/completions` (llama-server, vLLM, LM Studio).
    Openai,
}

/// How tool calls are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStyle {
    /// Native first, constrained when the server loses a call.
    Auto,
    /// The server's own tool calling only.
    Native,
    /// A JSON schema only.
    Constrained,
}

/// `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// The server's protocol.
    pub dialect: Dialect,
    /// The server's address without a path of its own (`http://127.0.0.1:11434`), no slash at the end.
    pub url: String,
    /// The model's name on that server.
    pub name: String,
    /// The context's length in tokens, the same in every request.
    pub num_ctx: u64,
    /// Ollama's notation: `-1` for ever, `0` unload at once, or a number with `s`, `m` or `h`.
    pub keep_alive: String,
    /// Whether a thinking model may think.
    pub think: bool,
    /// How calls are asked for.
    pub mode: CallStyle,
    /// The longest that one whole answer of the model may take.
    #[serde(serialize_with = "span")]
    pub deadline: Duration,
    /// The longest silence before an answer's first byte, once the model is loaded.
    #[serde(serialize_with = "span")]
    pub first_token: Duration,
    /// The longest that loading the model may take.
    #[serde(serialize_with = "span")]
    pub load_timeout: Duration,
    /// The longest silence within an answer.
    #[serde(serialize_with = "span")]
    pub idle: Duration,
    /// The most tokens that one answer may have.
    pub max_tokens: u64,
    /// The sampling temperature, 0 to 2.
    pub temperature: f64,
    /// The server's bearer token.
    pub token: Option<Secret>,
    /// How many questions the server is asked at once; the others wait in line.
    pub parallel: usize,
    /// Further hosts, in the order in which they are asked when those before them fail.
    #[serde(rename = "host")]
    pub hosts: Vec<ModelHost>,
}

/// `[[docker]]`: one Docker Engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DockerConfig {
    /// Its name in answers and audit.
    pub name: HostName,
    /// `unix:///path` or `tcp://host:port`.
    pub url: String,
    /// The client certificate for `tcp`; absent only for `unix` and loopback.
    pub tls: Option<TlsConfig>,
    /// The longest that one request may take.
    #[serde(serialize_with = "span")]
    pub timeout: Duration,
}

/// The files of a mutual TLS connection, PEM; they exist at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsConfig {
    /// Who vouches for the server.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// The client's key, readable by its owner only.
    pub key: PathBuf,
}

/// `[prometheus]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrometheusConfig {
    /// The address, no slash at the end.
    pub url: String,
    /// The bearer token.
    pub token: Option<Secret>,
    /// The longest that one query may take.
    #[serde(serialize_with = "span")]
    pub timeout: Duration,
}

/// `[metrics]`: PromQL templates with `{customer}`, `{service}`, `{containers}`, `{window}`; none means the built-in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MetricsConfig {
    /// CPU, in percent of one core.
    pub cpu: Option<String>,
    /// Memory in use, in bytes.
    pub memory: Option<String>,
    /// The memory limit, in bytes.
    pub memory_limit: Option<String>,
    /// Disk in use, in bytes.
    pub disk: Option<String>,
    /// Bytes received a second.
    pub network_rx: Option<String>,
    /// Bytes sent a second.
    pub network_tx: Option<String>,
}

/// `[inventory]`: the labels' names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InventoryConfig {
    /// The container label that holds the customer's id.
    pub customer_label: String,
    /// The container label that holds the service's name.
    pub service_label: String,
    /// The container label that holds the services it depends on.
    pub depends_on_label: String,
    /// The alert label that holds the customer's id.
    pub alert_customer_label: String,
    /// The alert label that holds the service's name.
    pub alert_service_label: String,
}

/// `[[customer]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CustomerConfig {
    /// Who it is.
    #[serde(flatten)]
    pub customer: Customer,
    /// Globs over container names that belong to this customer.
    pub containers: Vec<String>,
}

/// `[playbooks]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlaybooksConfig {
    /// The folder whose `*.toml` are read; absolute. One that does not exist has none.
    pub dir: PathBuf,
}

/// `[policy]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyConfig {
    /// How long a card waits for its decision.
    #[serde(serialize_with = "span")]
    pub approval_lifetime: Duration,
    /// The rules as they stand; the policy room reads them.
    #[serde(rename = "rule")]
    pub rules: Vec<RuleTable>,
}

/// One `[[policy.rule]]`, its keys known, its values not yet read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RuleTable {
    /// The line that it begins in, counted from 1.
    #[serde(skip)]
    pub line: usize,
    /// Its keys and values.
    pub table: toml::Table,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitsConfig {
    /// The most tool calls of one turn.
    pub calls_per_turn: u32,
    /// The most messages that wait in one conversation.
    pub turns_queued: usize,
    /// A tool's output is cut to this part of `num_ctx`: 8 means an eighth.
    pub output_share: u64,
    /// The longest that one turn may take.
    #[serde(serialize_with = "span")]
    pub turn_deadline: Duration,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpConfig {
    /// Where `/healthz` and `/metrics` answer; none means nowhere.
    #[serde(serialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// An address that other machines reach was meant.
    pub public: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// A `tracing` filter (`info`, `opsbot=debug,info`).
    pub filter: String,
}

/// `[redact]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RedactConfig {
    /// Regular expressions; what they match is never shown. All of them compile.
    pub patterns: Vec<String>,
}

impl Config {
    /// The exact secrets that this configuration holds, for the redactor.
    pub fn secrets(&self) -> Vec<String> {
        let model = self.model.as_ref().and_then(|m| m.token.as_ref());
        let prometheus = self.prometheus.as_ref().and_then(|p| p.token.as_ref());
        let telegram = self.telegram.as_ref();
        let webhook = telegram.and_then(|t| t.webhook.as_ref()).map(|w| &w.secret);
        let hosts = self.model.iter().flat_map(|m| m.hosts.iter().filter_map(|h| h.token.as_ref()));
        let caches = self.caches.iter().filter_map(CacheConfig::secret);
        let alerts = self.alerts.iter().flat_map(AlertsConfig::secrets);
        let all = model
            .into_iter()
            .chain(hosts)
            .chain(prometheus)
            .chain(telegram.map(|t| &t.token))
            .chain(webhook)
            .chain(caches)
            .chain(alerts);
        all.map(|s| s.expose().to_owned()).collect()
    }
}

/// The configuration as TOML with every default filled in and every secret hidden.
pub fn show(config: &Config) -> String {
    toml::to_string(config).unwrap_or_else(|e| format!("# this configuration cannot be shown: {e}\n"))
}

fn span<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&reader::shown(*span))
}

fn listen<S: Serializer>(listen: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match listen {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("off"),
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ollama => "ollama",
            Self::Openai => "openai",
        })
    }
}
