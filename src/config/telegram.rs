//! `[telegram]`: the bot's token, where it may answer, how fast it sends, and how updates reach it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::Url;
use serde::Serialize;

use super::{
    Secret,
    check::{HOUR, LEAST, choice, http_url, is_loopback, server_tls, socket_address},
    reader::{Reader, filled},
    span,
};

/// Telegram's own server.
const OFFICIAL: &str = "https://api.telegram.org";
/// The ports that Telegram's own server delivers webhooks to.
const WEBHOOK_PORTS: [u16; 4] = [443, 80, 88, 8443];
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// The largest file that a bot can download, in bytes.
const LARGEST_DOWNLOAD: u64 = 20 * MIB;
const MINUTE: Duration = Duration::from_secs(60);

/// `[telegram]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TelegramConfig {
    /// The bot's token, as BotFather gave it (`123456789:AA…`).
    pub token: Secret,
    /// The Bot API server without a slash at the end; plain `http` only on loopback.
    pub api_url: String,
    /// The groups that it answers in, by their negative ids; everywhere else only private chats.
    pub groups: Vec<i64>,
    /// The colours of pictures.
    pub theme: TelegramTheme,
    /// How long voice notes are kept; zero means not at all.
    #[serde(serialize_with = "span")]
    pub keep_voice: Duration,
    /// The largest file that is downloaded, in bytes.
    #[serde(serialize_with = "size")]
    pub max_download: u64,
    /// A message older than this is asked about before it writes.
    #[serde(serialize_with = "span")]
    pub old_after: Duration,
    /// When no text stands after this, a placeholder is sent.
    #[serde(serialize_with = "span")]
    pub placeholder_after: Duration,
    /// The shortest time between two edits of one message.
    #[serde(serialize_with = "span")]
    pub edit_every: Duration,
    /// How long one `getUpdates` waits for an update.
    #[serde(serialize_with = "span")]
    pub poll_timeout: Duration,
    /// How fast it sends and edits.
    pub limits: TelegramLimits,
    /// How it tries again.
    pub retry: TelegramRetry,
    /// Updates come to a webhook instead of `getUpdates`.
    pub webhook: Option<WebhookConfig>,
}

/// `telegram.theme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TelegramTheme {
    /// Light lines on dark ground.
    Dark,
    /// Dark lines on light ground.
    Light,
}

/// `[telegram.limits]`; sends and edits count alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TelegramLimits {
    /// How many may go to one chat at once.
    pub chat_burst: u32,
    /// How many a second to one chat, after the burst.
    pub chat_per_second: f64,
    /// How many a minute to one group.
    pub group_per_minute: u32,
    /// How many a second to all chats together.
    pub overall_per_second: u32,
}

/// `[telegram.retry]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TelegramRetry {
    /// The pause after the first failure; doubled after each further one.
    #[serde(serialize_with = "span")]
    pub first: Duration,
    /// The longest pause.
    #[serde(serialize_with = "span")]
    pub longest: Duration,
    /// The pause after Telegram refused the token (401).
    #[serde(serialize_with = "span")]
    pub token: Duration,
}

/// `[telegram.webhook]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookConfig {
    /// Where Telegram sends updates to; `https`.
    pub url: String,
    /// Where they arrive here; loopback unless `tls` is set.
    #[serde(serialize_with = "address")]
    pub listen: SocketAddr,
    /// What Telegram repeats in every request's `X-Telegram-Bot-Api-Secret-Token`.
    pub secret: Secret,
    /// The server's own certificate; none behind a proxy on this machine.
    pub tls: Option<WebhookTls>,
}

/// `telegram.webhook.tls` and `alerts.tls`: PEM files that exist at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookTls {
    /// The certificate and its chain.
    pub cert: PathBuf,
    /// Its key, readable by its owner only.
    pub key: PathBuf,
}

/// The section; none when a fault leaves nothing to build from.
pub(super) fn telegram(r: &mut Reader<'_>) -> Option<TelegramConfig> {
    let token = secret(r, "token", "{ credential = \"telegram-token\" } with what BotFather gave you", token);
    let api_url = r.parsed("api_url", api_url).unwrap_or_else(|| OFFICIAL.to_owned());
    let themes = [("dark", TelegramTheme::Dark), ("light", TelegramTheme::Light)];
    let official = api_url == OFFICIAL;
    let webhook = r.table("webhook", |r| webhook(r, official));
    Some(TelegramConfig {
        groups: r.integers("groups", group),
        theme: r.parsed("theme", |t| choice(t, &themes)).unwrap_or(TelegramTheme::Dark),
        keep_voice: r.duration("keep_voice", Duration::ZERO, 24 * 365 * HOUR).unwrap_or(24 * HOUR),
        max_download: r.parsed("max_download", download).unwrap_or(LARGEST_DOWNLOAD),
        old_after: r.duration("old_after", LEAST, 24 * HOUR).unwrap_or(10 * MINUTE),
        placeholder_after: r
            .duration("placeholder_after", LEAST, MINUTE)
            .unwrap_or(Duration::from_millis(800)),
        edit_every: r.duration("edit_every", LEAST, MINUTE).unwrap_or(Duration::from_millis(1500)),
        poll_timeout: r
            .duration("poll_timeout", Duration::from_secs(1), Duration::from_secs(90))
            .unwrap_or(Duration::from_secs(50)),
        limits: limits(r),
        retry: retry(r),
        api_url,
        token: token?,
        webhook: webhook.map_or(Some(None), |w| w.map(Some))?,
    })
}

fn limits(r: &mut Reader<'_>) -> TelegramLimits {
    // Far above what Telegram allows, for one's own server and for tests.
    let read = |r: &mut Reader<'_>| {
        (
            r.integer("chat_burst", 1, 1000),
            r.number("chat_per_second", 0.01, 10_000.0),
            r.integer("group_per_minute", 1, 600_000),
            r.integer("overall_per_second", 1, 10_000),
        )
    };
    let (burst, chat, group, overall) = r.table("limits", read).unwrap_or_default();
    let or = |got: Option<i64>, default| got.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    TelegramLimits {
        chat_burst: or(burst, 3),
        chat_per_second: chat.unwrap_or(1.0),
        group_per_minute: or(group, 20),
        overall_per_second: or(overall, 30),
    }
}

fn retry(r: &mut Reader<'_>) -> TelegramRetry {
    let read = |r: &mut Reader<'_>| {
        let first = r.duration("first", LEAST, HOUR).unwrap_or(Duration::from_millis(200));
        let longest = r.duration("longest", LEAST, HOUR).unwrap_or(Duration::from_secs(30));
        if first > longest {
            r.bad(if r.has("longest") { "longest" } else { "first" }, "`longest` must be at least `first`");
        }
        let token = r.duration("token", LEAST, HOUR).unwrap_or(Duration::from_secs(30));
        TelegramRetry { first, longest, token }
    };
    let seconds = Duration::from_secs;
    let default =
        TelegramRetry { first: Duration::from_millis(200), longest: seconds(30), token: seconds(30) };
    r.table("retry", read).unwrap_or(default)
}

fn webhook(r: &mut Reader<'_>, official: bool) -> Option<WebhookConfig> {
    let url = r.parsed("url", |text| webhook_url(text, official));
    let url = r.need("url", url, "write the address that Telegram sends to, as https://bot.example/telegram");
    let shape = "write ADDRESS:PORT such as \"127.0.0.1:8443\"";
    let listen = r.parsed("listen", |text| {
        socket_address(text.trim()).ok_or_else(|| format!("`{text}` is no address; {shape}"))
    });
    let listen = r.need("listen", listen, shape);
    let cure = "{ credential = \"telegram-webhook\" } with 32 random letters and digits";
    let secret = secret(r, "secret", cure, webhook_secret);
    let tls = server_tls(r);
    if let Some(address) = listen
        && !address.ip().is_loopback()
        && !r.has("tls")
    {
        let text = format!(
            "other machines reach {address} and would speak to it in plain text; listen on 127.0.0.1 behind a \
             proxy that does TLS, or add tls = {{ cert = \"FILE\", key = \"FILE\" }}"
        );
        r.bad("listen", text);
    }
    Some(WebhookConfig {
        url: url?,
        listen: listen?,
        secret: secret?,
        tls: tls.map_or(Some(None), |t| t.map(Some))?,
    })
}

/// A needed secret of a certain shape; the fault never repeats it.
fn secret(
    r: &mut Reader<'_>,
    key: &'static str,
    cure: &str,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Option<Secret> {
    let found = r.secret(key);
    let found = r.need(key, found, &format!("write {key} = {cure}"))?;
    if r.page().env.secrets_stay() {
        return Some(found);
    }
    match check(found.expose()) {
        Ok(()) => Some(found),
        Err(text) => {
            r.bad(key, text);
            None
        }
    }
}

/// Telegram's letters for tokens and secrets; all of them stand in a URL as they are.
fn plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn token(text: &str) -> Result<(), &'static str> {
    let good = text
        .split_once(':')
        .is_some_and(|(id, rest)| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && plain(rest));
    if good { Ok(()) } else { Err("is no bot token; BotFather gives one like 123456789:AAF… (all of it)") }
}

fn webhook_secret(text: &str) -> Result<(), &'static str> {
    let good = plain(text) && (16..=256).contains(&text.len());
    if good { Ok(()) } else { Err("is no webhook secret; use 16 to 256 of A-Z, a-z, 0-9, `_` and `-`") }
}

fn api_url(text: &str) -> Result<String, String> {
    let url = http_url(text)?;
    let plain = Url::parse(&url).is_ok_and(|u| u.scheme() == "http" && !is_loopback(&u));
    if plain {
        return Err("would send the token over the network in plain text; use https://, or http:// on \
                    127.0.0.1 only"
            .into());
    }
    Ok(url)
}

fn webhook_url(text: &str, official: bool) -> Result<String, String> {
    let written = http_url(text)?;
    let url = Url::parse(&written).map_err(|e| format!("is no address ({e})"))?;
    if url.scheme() != "https" {
        return Err("must be https://; Telegram sends updates over TLS only".into());
    }
    let port = url.port_or_known_default().unwrap_or(443);
    if official && !WEBHOOK_PORTS.contains(&port) {
        return Err(format!("Telegram sends to no port {port}; use 443, 80, 88 or 8443"));
    }
    Ok(written)
}

fn group(id: i64) -> Result<i64, String> {
    if id < 0 {
        return Ok(id);
    }
    Err(format!(
        "{id} is no group's id: those are negative, as -1001234567890; a positive one is a person, who goes to \
         [[person]] telegram_id"
    ))
}

/// `20MiB`, in bytes.
fn download(text: &str) -> Result<u64, String> {
    let shape = "write a size from \"1KiB\" to \"20MiB\", which is the most that a bot can download";
    let text = filled(text)?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text.strip_prefix(digits).unwrap_or_default().trim() {
        "KiB" => Some(KIB),
        "MiB" => Some(MIB),
        _ => None,
    };
    let bytes = unit.and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
    bytes.filter(|n| (KIB..=LARGEST_DOWNLOAD).contains(n)).ok_or_else(|| format!("`{text}`: {shape}"))
}

fn size<S: serde::Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let (n, unit) = if bytes.is_multiple_of(MIB) { (bytes / MIB, "MiB") } else { (bytes / KIB, "KiB") };
    serializer.collect_str(&format_args!("{n}{unit}"))
}

fn address<S: serde::Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}
