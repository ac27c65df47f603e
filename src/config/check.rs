//! The sections of `config.toml`, each read into its checked form.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use reqwest::Url;

use super::{
    Config, DockerConfig, HttpConfig, InventoryConfig, LimitsConfig, LogConfig, LogFormat, MetricsConfig,
    PolicyConfig, PrometheusConfig, RedactConfig, RuleTable, TlsConfig, WebhookTls,
    alerts::{self, Around},
    caches,
    errors::nearest,
    logs, memory, model, people, playbooks,
    reader::{Reader, filled},
    secret, telegram,
};
use crate::domain::HostName;

/// The keys of a rule; the policy room reads their values.
const RULE_KEYS: [&str; 13] = [
    "id",
    "effect",
    "reason",
    "match",
    "not_match",
    "tools",
    "targets",
    "args",
    "roles",
    "people",
    "channels",
    "origin",
    "during",
];

pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// The shortest wait; small, so that tests can scale every wait down.
pub(super) const LEAST: Duration = Duration::from_millis(10);

/// The whole file; none when a fault leaves nothing to build from (faults are noted as they are met).
pub(super) fn config(r: &mut Reader<'_>, plain: &toml::Table) -> Option<Config> {
    let state_dir = state_dir(r);
    let people = people::people(r);
    let model = r.table("model", model::model);
    let telegram = r.table("telegram", telegram::telegram);
    let docker = docker_hosts(r);
    let prometheus = r.table("prometheus", prometheus);
    let metrics = r.table("metrics", metrics).unwrap_or_default();
    let inventory = inventory(r);
    let customers = people::customers(r);
    let playbooks = playbooks::playbooks(r);
    let caches = caches::caches(r);
    let log_sources = logs::log_sources(r, &customers);
    let around = Around {
        people: &people,
        customers: &customers,
        telegram: r.has("telegram"),
        prometheus: r.has("prometheus"),
    };
    let alerts = r.table("alerts", |r| alerts::alerts(r, &around));
    let policy = policy(r, plain);
    let limits = limits(r);
    let memory = r.table("memory", memory::memory).unwrap_or_default();
    let http = http(r);
    let log = log(r);
    let redact = r.table("redact", redact).unwrap_or_default();
    Some(Config {
        state_dir: state_dir?,
        people,
        model: model.map_or(Some(None), |m| m.map(Some))?,
        telegram: telegram.map_or(Some(None), |t| t.map(Some))?,
        docker,
        prometheus: prometheus.map_or(Some(None), |p| p.map(Some))?,
        metrics,
        inventory,
        customers,
        playbooks,
        caches,
        log_sources,
        alerts: alerts.map_or(Some(None), |a| a.map(Some))?,
        policy,
        limits,
        memory,
        http,
        log,
        redact,
    })
}

/// `$OPSBOT_STATE_DIR`, else `state_dir`, else `$STATE_DIRECTORY`, else `~/.local/state/opsbot`.
fn state_dir(r: &mut Reader<'_>) -> Option<PathBuf> {
    let page = r.page();
    let written = r.parsed("state_dir", |text| {
        let path = page.path(&filled(text)?);
        if text.starts_with('/') || text.starts_with("~/") {
            Ok(path)
        } else {
            Err(format!("`{text}` depends on where OpsBot starts; write an absolute path or ~/…"))
        }
    });
    let named = page.env.var("OPSBOT_STATE_DIR").map(PathBuf::from);
    if named.as_ref().is_some_and(|p| p.is_relative()) {
        r.bad("state_dir", "$OPSBOT_STATE_DIR must be an absolute path");
        return None;
    }
    // systemd lists several folders with colons; the first is ours.
    let systemd = || page.env.var("STATE_DIRECTORY").and_then(|d| d.split(':').next().map(PathBuf::from));
    let home = || page.env.home().map(|home| home.join(".local/state/opsbot"));
    let found = named.or(written).or_else(systemd).or_else(home);
    if !r.has("state_dir") {
        return r.need(
            "state_dir",
            found,
            "$HOME is not set either; name the folder that OpsBot may write to",
        );
    }
    found
}

fn docker_hosts(r: &mut Reader<'_>) -> Vec<DockerConfig> {
    let mut taken = people::Taken::default();
    let hosts = r.tables("docker", |r| docker(r, &mut taken));
    let hosts: Vec<_> = hosts.into_iter().flatten().collect();
    if hosts.is_empty() && !r.has("docker") {
        let timeout = Duration::from_secs(5);
        let url = "unix:///var/run/docker.sock".to_owned();
        return vec![DockerConfig { name: "local".into(), url, tls: None, timeout }];
    }
    hosts
}

fn docker(r: &mut Reader<'_>, taken: &mut people::Taken) -> Option<DockerConfig> {
    let name = r.parsed("name", people::plain_name);
    let name = r.need("name", name, "name the host as answers shall call it");
    taken.claim(r, "name", name.as_deref());
    let url = r.parsed("url", docker_url);
    let url = r.need("url", url, "write unix:///var/run/docker.sock or tcp://HOST:2376");
    let tls = r.table("tls", tls).flatten();
    let timeout = r.duration("timeout", LEAST, HOUR).unwrap_or(Duration::from_secs(5));
    let (url, near) = url?;
    if url.starts_with("unix:") && r.has("tls") {
        r.bad("tls", "means nothing for a unix socket; leave it out");
    }
    if !near && !r.has("tls") {
        r.bad(
            "url",
            "Docker over the network without TLS gives root to anybody; add \
             tls = { ca = \"FILE\", cert = \"FILE\", key = \"FILE\" }",
        );
    }
    Some(DockerConfig { name: HostName::new(name?), url, tls, timeout })
}

/// The URL, and whether it stays on this machine.
fn docker_url(text: &str) -> Result<(String, bool), String> {
    let shape = "write unix:///var/run/docker.sock or tcp://HOST:2376";
    if let Some(path) = text.strip_prefix("unix://") {
        let absolute = path.starts_with('/') && path.len() > 1;
        return if absolute {
            Ok((text.to_owned(), true))
        } else {
            Err(format!("needs an absolute path; {shape}"))
        };
    }
    let Some(rest) = text.strip_prefix("tcp://") else {
        return Err(format!("is no Docker address; {shape}"));
    };
    let url = Url::parse(&format!("http://{rest}")).map_err(|e| format!("is no address ({e}); {shape}"))?;
    no_userinfo(&url)?;
    if url.port().is_none() || !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(format!("needs a host, a port and nothing else; {shape}"));
    }
    Ok((text.trim_end_matches('/').to_owned(), is_loopback(&url)))
}

fn tls(r: &mut Reader<'_>) -> Option<TlsConfig> {
    let cure = "name a PEM file; ca, cert and key go together";
    let (ca, cert) = (pem(r, "ca", false, cure), pem(r, "cert", false, cure));
    let key = pem(r, "key", true, cure);
    Some(TlsConfig { ca: ca?, cert: cert?, key: key? })
}

/// A server's own certificate and key.
pub(super) fn server_tls(r: &mut Reader<'_>) -> Option<Option<WebhookTls>> {
    r.table("tls", |r| {
        let cure = "name a PEM file; cert and key go together";
        let (cert, key) = (pem(r, "cert", false, cure), pem(r, "key", true, cure));
        Some(WebhookTls { cert: cert?, key: key? })
    })
}

/// A PEM file that is there; a `private` one only its owner may open.
pub(super) fn pem(r: &mut Reader<'_>, key: &'static str, private: bool, cure: &str) -> Option<PathBuf> {
    let page = r.page();
    let path = r.parsed(key, |text| {
        let path = page.path(&filled(text)?);
        if page.env.secrets_stay() {
            return Ok(path);
        }
        if private {
            return secret::only_owner_reads(&path).map(|()| path);
        }
        std::fs::File::open(&path).map_err(|e| format!("cannot read {}: {e}", path.display())).map(|_| path)
    });
    r.need(key, path, cure)
}

fn prometheus(r: &mut Reader<'_>) -> Option<PrometheusConfig> {
    let url = r.parsed("url", http_url);
    let url = r.need("url", url, "write its address, such as \"http://127.0.0.1:9090\"");
    let token = r.secret("token");
    let timeout = r.duration("timeout", LEAST, HOUR).unwrap_or(Duration::from_secs(5));
    Some(PrometheusConfig { url: url?, token, timeout })
}

fn metrics(r: &mut Reader<'_>) -> MetricsConfig {
    MetricsConfig {
        cpu: r.parsed("cpu", template),
        memory: r.parsed("memory", template),
        memory_limit: r.parsed("memory_limit", template),
        disk: r.parsed("disk", template),
        network_rx: r.parsed("network_rx", template),
        network_tx: r.parsed("network_tx", template),
    }
}

fn template(text: &str) -> Result<String, String> {
    let known = ["customer", "service", "containers", "window"];
    let text = text.trim();
    // `{word}` alone is never PromQL: a selector has an operator in its braces.
    for piece in text.split('{').skip(1) {
        let Some((word, _)) = piece.split_once('}') else { continue };
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain && !known.contains(&word) {
            let hint = nearest(word, &known).map(|w| format!("; did you mean {{{w}}}?")).unwrap_or_default();
            return Err(format!(
                "{{{word}}} is no placeholder; known: {{customer}}, {{service}}, {{containers}}, {{window}}{hint}"
            ));
        }
    }
    let bound = ["{customer}", "{service}", "{containers}"].iter().any(|p| text.contains(p));
    if !bound {
        return Err("would be the same for every customer; select with {containers} or {customer}".into());
    }
    Ok(text.to_owned())
}

fn inventory(r: &mut Reader<'_>) -> InventoryConfig {
    let read = |r: &mut Reader<'_>| {
        (
            r.string("customer_label"),
            r.string("service_label"),
            r.string("depends_on_label"),
            r.string("alert_customer_label"),
            r.string("alert_service_label"),
        )
    };
    let (customer, service, depends, alert_customer, alert_service) =
        r.table("inventory", read).unwrap_or_default();
    let or = |got: Option<String>, default: &str| got.unwrap_or_else(|| default.to_owned());
    InventoryConfig {
        customer_label: or(customer, "opsbot.customer"),
        service_label: or(service, "opsbot.service"),
        depends_on_label: or(depends, "opsbot.depends_on"),
        alert_customer_label: or(alert_customer, "customer"),
        alert_service_label: or(alert_service, "service"),
    }
}

fn policy(r: &mut Reader<'_>, plain: &toml::Table) -> PolicyConfig {
    let tables = plain.get("policy").and_then(|p| p.get("rule")).and_then(toml::Value::as_array);
    let mut tables = tables.into_iter().flatten().filter_map(toml::Value::as_table);
    let read = |r: &mut Reader<'_>| {
        let lifetime = r.duration("approval_lifetime", LEAST, 24 * HOUR);
        let rules = r.tables("rule", |r| {
            r.allow(&RULE_KEYS);
            RuleTable { line: r.line(), table: tables.next().cloned().unwrap_or_default() }
        });
        (lifetime, rules)
    };
    let (lifetime, rules) = r.table("policy", read).unwrap_or_default();
    PolicyConfig { approval_lifetime: lifetime.unwrap_or(Duration::from_secs(300)), rules }
}

fn limits(r: &mut Reader<'_>) -> LimitsConfig {
    let read = |r: &mut Reader<'_>| {
        (
            r.integer("calls_per_turn", 1, 10),
            r.integer("turns_queued", 1, 64),
            r.integer("output_share", 2, 64),
            r.duration("turn_deadline", LEAST, HOUR),
        )
    };
    let (calls, turns, share, deadline) = r.table("limits", read).unwrap_or_default();
    LimitsConfig {
        calls_per_turn: calls.and_then(|n| u32::try_from(n).ok()).unwrap_or(10),
        turns_queued: turns.and_then(|n| usize::try_from(n).ok()).unwrap_or(8),
        output_share: share.map_or(8, i64::unsigned_abs),
        turn_deadline: deadline.unwrap_or(Duration::from_secs(300)),
    }
}

fn http(r: &mut Reader<'_>) -> HttpConfig {
    let read = |r: &mut Reader<'_>| {
        let listen = r.parsed("listen", |text| listen_address(text, "127.0.0.1:7878"));
        let public = r.flag("public").unwrap_or(false);
        if let Some(Some(address)) = listen
            && !public
            && !address.ip().is_loopback()
        {
            let text = format!(
                "other machines reach {address}; use 127.0.0.1, or say public = true if that is meant"
            );
            r.bad("listen", text);
        }
        (listen, public)
    };
    let (listen, public) = r.table("http", read).unwrap_or_default();
    HttpConfig { listen: listen.unwrap_or(Some(SocketAddr::from(([127, 0, 0, 1], 7878)))), public }
}

/// `ADDRESS:PORT`, or none for `off`.
pub(super) fn listen_address(text: &str, such_as: &str) -> Result<Option<SocketAddr>, String> {
    match text.trim() {
        "" | "off" => Ok(None),
        text => socket_address(text).map(Some).ok_or_else(|| {
            format!("`{text}` is no address; write ADDRESS:PORT such as \"{such_as}\", or \"off\"")
        }),
    }
}

/// `ADDRESS:PORT`; `localhost` is 127.0.0.1.
pub(super) fn socket_address(text: &str) -> Option<SocketAddr> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric.as_deref().unwrap_or(text).parse().ok()
}

fn log(r: &mut Reader<'_>) -> LogConfig {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let read = |r: &mut Reader<'_>| {
        let format = r.parsed("format", |t| choice(t, &formats));
        let filter = r.parsed("filter", |text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(|e| format!("`{text}` is no filter ({e}); write \"info\" or \"opsbot=debug,info\""))
        });
        (format, filter)
    };
    let (format, filter) = r.table("log", read).unwrap_or_default();
    LogConfig {
        format: format.unwrap_or(LogFormat::Text),
        filter: filter.unwrap_or_else(|| "info".to_owned()),
    }
}

fn redact(r: &mut Reader<'_>) -> RedactConfig {
    let patterns = r.list("patterns", |text| match regex::Regex::new(text) {
        Ok(regex) if regex.is_match("") => Err("matches everywhere; say what must be there".into()),
        Ok(_) => Ok(text.to_owned()),
        Err(e) => {
            let last = e.to_string().lines().last().unwrap_or_default().trim().to_owned();
            Err(format!("is no regular expression: {last}"))
        }
    });
    r.forbid("extra", "literal secrets are not allowed here; use patterns");
    RedactConfig { patterns }
}

/// One of the words that are known.
pub(super) fn choice<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        format!("`{text}` is none of {}", words.join(", "))
    })
}

pub(super) fn http_url(text: &str) -> Result<String, String> {
    let shape = "write http://HOST:PORT or https://HOST";
    let url = Url::parse(text.trim()).map_err(|e| format!("is no address ({e}); {shape}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("is no web address; {shape}"));
    }
    no_userinfo(&url)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("must end before `?` and `#`; {shape}"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The message must not repeat the URL: it holds a password.
fn no_userinfo(url: &Url) -> Result<(), String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(());
    }
    Err("holds a user or password; take it out of the address and use `token` with a secret's place".into())
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
