//! `[alerts]`: who may report, how alerts become incidents, whom they page, and what OpsBot watches by itself.

mod rules;
mod steps;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, time::Duration};

use jiff::{
    civil::Time,
    tz::{TimeZone, TimeZoneDatabase},
};
use reqwest::Url;
use serde::{Serialize, Serializer};

use super::{
    CustomerConfig, Person, Secret, WebhookTls,
    check::{HOUR, LEAST, http_url, listen_address, server_tls},
    listen,
    reader::{Reader, filled, shown},
    span,
};
use crate::{alerts::is_label_name, policy::Window};

pub use rules::{AlertCheck, AlertCheckConfig, InhibitConfig, LogPatternConfig};
pub use steps::StepConfig;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Where the listener is without a word about it.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9094);

/// `[alerts]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertsConfig {
    /// What every source has to show, on loopback too.
    pub token: Secret,
    /// Where webhook and API answer; none means nowhere. Loopback unless `tls` is set.
    #[serde(serialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// The labels that make one incident.
    pub group_by: Vec<String>,
    /// How long the first page waits for what belongs to it; a critical one never does.
    #[serde(serialize_with = "span")]
    pub group_wait: Duration,
    /// For how long nothing may fire before an incident is over.
    #[serde(serialize_with = "span")]
    pub hold_down: Duration,
    /// So many changes within `flap_within` make an incident flap.
    pub flap_changes: usize,
    /// The span that `flap_changes` are counted in.
    #[serde(serialize_with = "span")]
    pub flap_within: Duration,
    /// How long an acknowledgement of something critical holds.
    #[serde(serialize_with = "span")]
    pub ack_lifetime: Duration,
    /// More unsent cards in one chat than this become one.
    pub storm_above: usize,
    /// After how long an alert that came without an end, and came no more, counts as over.
    #[serde(serialize_with = "span")]
    pub resolve_timeout: Duration,
    /// When warnings make no sound.
    pub quiet_hours: Option<Window>,
    /// When the digest of quiet warnings is sent; none means never.
    #[serde(serialize_with = "clock")]
    pub digest_at: Option<Time>,
    /// The zone of the times that people read.
    #[serde(serialize_with = "zone")]
    pub timezone: TimeZone,
    /// Only runbooks on these hosts get a button.
    pub runbook_hosts: Vec<String>,
    /// Each new incident is looked into at once.
    pub investigate: bool,
    /// Cards show the series that fired.
    pub chart: bool,
    /// For so many days incidents that are over are kept.
    pub keep_days: u32,
    /// How often Prometheus is asked for its alerts; none means never.
    #[serde(serialize_with = "every")]
    pub poll_prometheus: Option<Duration>,
    /// Docker's events (died, out of memory, unhealthy, restart loops) are alerts.
    pub docker_events: bool,
    /// An Alertmanager that silences are written through to.
    pub write_silences: Option<String>,
    /// The listener's certificate.
    pub tls: Option<WebhookTls>,
    /// The alert that must keep coming.
    pub watchdog: Option<WatchdogConfig>,
    /// Whom OpsBot tells that it lives.
    pub heartbeat: Option<HeartbeatConfig>,
    /// The ladder; none means that all admins are paged at once.
    #[serde(rename = "step")]
    pub steps: Vec<StepConfig>,
    /// What larger alert explains which other.
    pub inhibit: Vec<InhibitConfig>,
    /// Patterns in logs.
    #[serde(rename = "log")]
    pub logs: Vec<LogPatternConfig>,
    /// OpsBot's own checks.
    #[serde(rename = "check")]
    pub checks: Vec<AlertCheckConfig>,
}

/// `[alerts.watchdog]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatchdogConfig {
    /// The alert that always fires.
    pub alertname: String,
    /// It has to come at least once in this time.
    #[serde(serialize_with = "span")]
    pub within: Duration,
}

/// `[alerts.heartbeat]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeartbeatConfig {
    /// What is asked for; whoever knows it can keep the switch quiet.
    pub url: Secret,
    /// How often.
    #[serde(serialize_with = "span")]
    pub every: Duration,
}

/// What of the rest of the file the section refers to.
pub(super) struct Around<'a> {
    /// `[[person]]`.
    pub people: &'a [Person],
    /// `[[customer]]`.
    pub customers: &'a [CustomerConfig],
    /// There is `[telegram]`.
    pub telegram: bool,
    /// There is `[prometheus]`.
    pub prometheus: bool,
}

impl AlertsConfig {
    /// The secrets in it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.token).chain(self.heartbeat.as_ref().map(|h| &h.url))
    }
}

/// The section; none when a fault leaves nothing to build from.
pub(super) fn alerts(r: &mut Reader<'_>, around: &Around<'_>) -> Option<AlertsConfig> {
    let token = token(r);
    let listen = listener(r);
    let tls = server_tls(r);
    open_to_others(r, listen);
    let group_by = group_by(r);
    Some(AlertsConfig {
        listen,
        group_by,
        group_wait: r.duration("group_wait", Duration::ZERO, HOUR).unwrap_or(Duration::from_secs(10)),
        hold_down: r.duration("hold_down", Duration::ZERO, 24 * HOUR).unwrap_or(MINUTE),
        flap_changes: count(r, "flap_changes", 1000).unwrap_or(5),
        flap_within: r.duration("flap_within", LEAST, 24 * HOUR).unwrap_or(15 * MINUTE),
        ack_lifetime: r.duration("ack_lifetime", LEAST, 7 * DAY).unwrap_or(HOUR),
        storm_above: count(r, "storm_above", 1000).unwrap_or(10),
        resolve_timeout: r.duration("resolve_timeout", LEAST, 24 * HOUR).unwrap_or(5 * MINUTE),
        quiet_hours: r.parsed("quiet_hours", str::parse),
        digest_at: r.parsed("digest_at", digest_at).unwrap_or(Some(Time::constant(8, 0, 0, 0))),
        timezone: r.parsed("timezone", timezone).unwrap_or(TimeZone::UTC),
        runbook_hosts: r.list("runbook_hosts", host),
        investigate: r.flag("investigate").unwrap_or(true),
        chart: r.flag("chart").unwrap_or(true),
        keep_days: r.integer("keep_days", 1, 3650).and_then(|n| u32::try_from(n).ok()).unwrap_or(90),
        poll_prometheus: poll(r, around),
        docker_events: r.flag("docker_events").unwrap_or(true),
        write_silences: r.parsed("write_silences", http_url),
        watchdog: r.table("watchdog", watchdog),
        heartbeat: r.table("heartbeat", heartbeat).map_or(Some(None), |h| h.map(Some))?,
        steps: steps::steps(r, around),
        inhibit: rules::inhibits(r),
        logs: rules::logs(r, around),
        checks: rules::checks(r, around),
        token: token?,
        tls: tls.map_or(Some(None), |t| t.map(Some))?,
    })
}

fn token(r: &mut Reader<'_>) -> Option<Secret> {
    let found = r.secret("token");
    let cure = "every source must show it, on this machine too; write token = { credential = \"alerts-token\" } \
                with 32 random letters and digits";
    let found = r.need("token", found, cure)?;
    let plain = found.expose().bytes().all(|b| b.is_ascii_graphic());
    if !r.page().env.secrets_stay() && (!plain || !(16..=256).contains(&found.expose().len())) {
        r.bad("token", "is no token for sources; use 16 to 256 letters, digits and signs without blanks");
        return None;
    }
    Some(found)
}

fn listener(r: &mut Reader<'_>) -> Option<SocketAddr> {
    r.parsed("listen", |text| listen_address(text, "127.0.0.1:9094")).unwrap_or(Some(LISTEN))
}

fn open_to_others(r: &mut Reader<'_>, listen: Option<SocketAddr>) {
    if let Some(address) = listen
        && !address.ip().to_canonical().is_loopback()
        && !r.has("tls")
    {
        let text = format!(
            "other machines reach {address} and would show the token in plain text; listen on 127.0.0.1 behind a \
             proxy that does TLS, or add tls = {{ cert = \"FILE\", key = \"FILE\" }}"
        );
        r.bad("listen", text);
    }
    if listen.is_none() && r.has("tls") {
        r.bad("tls", "means nothing with listen = \"off\"; leave one of them out");
    }
}

fn group_by(r: &mut Reader<'_>) -> Vec<String> {
    let read = r.list("group_by", label);
    if r.has("group_by") && read.is_empty() {
        r.bad("group_by", "is empty; write labels such as [\"customer\", \"service\"]");
    }
    if r.has("group_by") { read } else { vec!["customer".into(), "service".into()] }
}

fn poll(r: &mut Reader<'_>, around: &Around<'_>) -> Option<Duration> {
    let page = r.parsed("poll_prometheus", |text| Ok(text.trim() == "off"))?;
    if page {
        return None;
    }
    let every = r.duration("poll_prometheus", LEAST, HOUR);
    if every.is_some() && !around.prometheus {
        r.bad(
            "poll_prometheus",
            "needs to know where Prometheus is; add [prometheus] with its url, or write \"off\"",
        );
    }
    every
}

fn watchdog(r: &mut Reader<'_>) -> WatchdogConfig {
    WatchdogConfig {
        alertname: r.string("alertname").unwrap_or_else(|| "Watchdog".into()),
        within: r.duration("within", LEAST, 24 * HOUR).unwrap_or(5 * MINUTE),
    }
}

fn heartbeat(r: &mut Reader<'_>) -> Option<HeartbeatConfig> {
    let url = r.secret("url");
    let url =
        r.need("url", url, "write url = { file = \"PATH\" } with the address that expects to be asked for");
    let every = r.duration("every", LEAST, 24 * HOUR).unwrap_or(MINUTE);
    let url = url?;
    if !r.page().env.secrets_stay() && !is_web(url.expose()) {
        // The address is a capability: it is not repeated.
        r.bad("url", "holds no address; the secret is http://HOST/… or https://HOST/…");
        return None;
    }
    Some(HeartbeatConfig { url, every })
}

fn is_web(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

fn count(r: &mut Reader<'_>, key: &'static str, most: i64) -> Option<usize> {
    r.integer(key, 1, most).and_then(|n| usize::try_from(n).ok())
}

/// A label's name.
fn label(text: &str) -> Result<String, String> {
    let text = filled(text)?;
    if is_label_name(&text) {
        return Ok(text);
    }
    Err(format!("`{text}` is no label's name; those have letters, digits and `_`, and begin with no digit"))
}

fn digest_at(text: &str) -> Result<Option<Time>, String> {
    match text.trim() {
        "off" => Ok(None),
        time => Time::strptime("%H:%M", time)
            .map(Some)
            .map_err(|_| format!("`{time}` is no time of day; write one such as \"08:00\", or \"off\"")),
    }
}

fn timezone(text: &str) -> Result<TimeZone, String> {
    let name = filled(text)?;
    TimeZoneDatabase::bundled()
        .get(&name)
        .map_err(|_| format!("`{name}` is not a time zone; write one like Europe/Berlin or UTC"))
}

fn host(text: &str) -> Result<String, String> {
    let text = filled(text)?.to_lowercase();
    let good = |c: char| c.is_alphanumeric() || ".-_:[]".contains(c);
    if text.chars().all(good) {
        return Ok(text);
    }
    Err(format!("`{text}` is no host; write its name alone, such as \"wiki.example\""))
}

fn clock<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&time.strftime("%H:%M")),
        None => serializer.serialize_str("off"),
    }
}

fn zone<S: Serializer>(zone: &TimeZone, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.iana_name().unwrap_or("UTC"))
}

fn every<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => serializer.serialize_str(&shown(*span)),
        None => serializer.serialize_str("off"),
    }
}
