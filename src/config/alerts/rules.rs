//! `[[alerts.inhibit]]`, `[[alerts.log]]` and `[[alerts.check]]`: what explains what, and what OpsBot watches by itself.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Around, DAY, MINUTE, label};
use crate::{
    alerts::{check_regex, parse_matcher, written},
    config::{
        check::{LEAST, choice},
        logs::known,
        people::{self, Taken},
        reader::{Reader, filled, shown},
        span,
    },
    domain::{CustomerId, Matcher, ServiceName, Severity},
};

/// `[[alerts.inhibit]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InhibitConfig {
    /// The alert that explains; all have to hold.
    #[serde(serialize_with = "texts")]
    pub source: Vec<Matcher>,
    /// The alerts that it explains; all have to hold.
    #[serde(serialize_with = "texts")]
    pub target: Vec<Matcher>,
    /// Labels that both must have alike.
    pub equal: Vec<String>,
}

/// `[[alerts.log]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogPatternConfig {
    /// The alert's name.
    pub name: String,
    /// A regular expression that a line (or an entry of several) matches.
    pub pattern: String,
    /// A line that matches this belongs to the one before it.
    pub multiline: Option<String>,
    /// Only this customer's logs.
    pub customer: Option<CustomerId>,
    /// Only this service's logs.
    pub service: Option<ServiceName>,
    /// How bad it is.
    pub severity: Severity,
    /// At most one signal of a log in this time; it is over when none came for so long.
    #[serde(serialize_with = "span")]
    pub quiet_for: Duration,
}

/// `[[alerts.check]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertCheckConfig {
    /// What is looked at.
    #[serde(flatten)]
    pub check: AlertCheck,
    /// Whose it is.
    pub customer: Option<CustomerId>,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AlertCheck {
    /// How long a server's certificate is still valid.
    Certificate {
        /// `HOST:PORT`.
        address: String,
        /// A warning when it is valid for less.
        #[serde(serialize_with = "days")]
        warn: Duration,
        /// Critical when it is valid for less.
        #[serde(serialize_with = "days")]
        critical: Duration,
    },
    /// How full a file system of this machine is.
    Disk {
        /// A path on it.
        path: String,
        /// A warning when more than so many percent are in use.
        #[serde(serialize_with = "percent")]
        warn: u8,
        /// Critical when more than so many percent are in use.
        #[serde(serialize_with = "percent")]
        critical: u8,
    },
}

pub(super) fn inhibits(r: &mut Reader<'_>) -> Vec<InhibitConfig> {
    r.tables("inhibit", |r| {
        let mut matchers = |key, what: &str| {
            let read = r.list(key, parse_matcher);
            if read.is_empty() {
                let cure = format!("{what}; write {key} = ['alertname=\"NAME\"']");
                if r.has(key) {
                    r.bad(key, format!("holds no matcher: {cure}"))
                } else {
                    r.need(key, None::<()>, &cure);
                }
            }
            read
        };
        let source = matchers("source", "the alert that explains");
        let target = matchers("target", "the alerts that it explains");
        InhibitConfig { source, target, equal: r.list("equal", label) }
    })
}

pub(super) fn logs(r: &mut Reader<'_>, around: &Around<'_>) -> Vec<LogPatternConfig> {
    let severities =
        [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];
    let mut taken = Taken::default();
    let all = r.tables("log", |r| {
        let name = r.parsed("name", people::plain_name);
        let name = r.need("name", name, "name the alert that it makes, such as \"OutOfMemory\"");
        taken.claim(r, "name", name.as_deref());
        let pattern = r.parsed("pattern", pattern);
        let pattern = r.need("pattern", pattern, "write a regular expression such as \"out of memory\"");
        let multiline = r.parsed("multiline", pattern_of_lines);
        let customer = customer(r, around);
        let service = r.parsed("service", people::plain_name).map(ServiceName::new);
        let severity = r.parsed("severity", |t| choice(t, &severities)).unwrap_or(Severity::Warning);
        let quiet_for = r.duration("quiet_for", LEAST, DAY).unwrap_or(5 * MINUTE);
        let (name, pattern) = (name?, pattern?);
        Some(LogPatternConfig { name, pattern, multiline, customer, service, severity, quiet_for })
    });
    all.into_iter().flatten().collect()
}

pub(super) fn checks(r: &mut Reader<'_>, around: &Around<'_>) -> Vec<AlertCheckConfig> {
    let all = r.tables("check", |r| {
        let kind = r.parsed("kind", |t| choice(t, &[("certificate", true), ("disk", false)]));
        let kind = r.need("kind", kind, "write \"certificate\" or \"disk\"");
        let customer = customer(r, around);
        let (address, path) = (r.parsed("address", address), r.parsed("path", path));
        let check = match kind? {
            true => certificate(r, address),
            false => disk(r, path),
        };
        Some(AlertCheckConfig { check: check?, customer })
    });
    all.into_iter().flatten().collect()
}

fn certificate(r: &mut Reader<'_>, address: Option<String>) -> Option<AlertCheck> {
    let address = r.need("address", address, "write the server, such as \"bloom.example:443\"");
    if r.has("path") {
        r.bad("path", "belongs to kind = \"disk\"; a certificate has an address");
    }
    let warn = r.parsed("warn", valid_for).unwrap_or(14 * DAY);
    let critical = r.parsed("critical", valid_for).unwrap_or(3 * DAY);
    if critical >= warn {
        r.bad(if r.has("critical") { "critical" } else { "warn" }, "`critical` must be shorter than `warn`");
    }
    Some(AlertCheck::Certificate { address: address?, warn, critical })
}

fn disk(r: &mut Reader<'_>, path: Option<String>) -> Option<AlertCheck> {
    let path = r.need("path", path, "write a folder on it, such as \"/var\"");
    if r.has("address") {
        r.bad("address", "belongs to kind = \"certificate\"; a disk has a path");
    }
    let warn = r.parsed("warn", in_use).unwrap_or(85);
    let critical = r.parsed("critical", in_use).unwrap_or(95);
    if critical <= warn {
        r.bad(if r.has("critical") { "critical" } else { "warn" }, "`critical` must be more than `warn`");
    }
    Some(AlertCheck::Disk { path: path?, warn, critical })
}

fn customer(r: &mut Reader<'_>, around: &Around<'_>) -> Option<CustomerId> {
    r.word_or_number("customer").map(|named| known(&named, around.customers))
}

fn pattern(text: &str) -> Result<String, String> {
    let text = pattern_of_lines(text)?;
    if regex::Regex::new(&text).is_ok_and(|regex| regex.is_match("")) {
        return Err("matches every line; say what must be there".into());
    }
    Ok(text)
}

fn pattern_of_lines(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; fill it in or leave the key out".into());
    }
    check_regex(text).map(|()| text.to_owned())
}

fn address(text: &str) -> Result<String, String> {
    let text = filled(text)?;
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if good {
        Ok(text)
    } else {
        Err(format!("`{text}` is no server; write HOST:PORT such as \"bloom.example:443\""))
    }
}

fn path(text: &str) -> Result<String, String> {
    let text = filled(text)?;
    if text.starts_with('/') {
        Ok(text)
    } else {
        Err(format!("`{text}` must be an absolute path, such as \"/var\""))
    }
}

/// `14d`, or whatever else a span of time is.
fn valid_for(text: &str) -> Result<Duration, String> {
    let shape = "write a time from \"1h\" to \"365d\", such as \"14d\"";
    let text = text.trim();
    let whole = text.strip_suffix('d').and_then(|n| n.parse::<u32>().ok()).map(|n| DAY.saturating_mul(n));
    let span = whole.or_else(|| text.parse::<jiff::SignedDuration>().ok().and_then(|d| d.try_into().ok()));
    span.filter(|span| (DAY / 24..=365 * DAY).contains(span)).ok_or_else(|| format!("`{text}`: {shape}"))
}

fn in_use(text: &str) -> Result<u8, String> {
    let text = text.trim();
    let percent = text.strip_suffix('%').and_then(|n| n.trim().parse::<u8>().ok());
    percent
        .filter(|n| (1..=99).contains(n))
        .ok_or_else(|| format!("`{text}`: write how much may be in use, from \"1%\" to \"99%\""))
}

fn texts<S: Serializer>(matchers: &[Matcher], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(matchers.iter().map(written))
}

fn days<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if span.as_secs().is_multiple_of(DAY.as_secs()) {
        return serializer.collect_str(&format_args!("{}d", span.as_secs() / DAY.as_secs()));
    }
    serializer.serialize_str(&shown(*span))
}

fn percent<S: Serializer>(n: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{n}%"))
}
