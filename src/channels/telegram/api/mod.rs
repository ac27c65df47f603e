//! The Bot API's caller: one bounded request per call, and faults that say what may have happened.

mod fields;
mod methods;
mod token;

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use reqwest::{Client, RequestBuilder, Response, Url, redirect, retry};
use serde::{Deserialize, de::DeserializeOwned};

use self::fields::Fields;
pub use self::token::Token;
use super::fault::Fault;

/// Telegram's own server.
pub const TELEGRAM: &str = "https://api.telegram.org";
/// The largest answer that is read, in bytes; files have their own bound.
pub const MAX_ANSWER: usize = 16 << 20;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Address, connection and TLS; shorter than `call`, because what it ends was surely not processed.
    pub connect: Duration,
    /// A call without a file, answer included.
    pub call: Duration,
    /// A call with a file, or a download.
    pub transfer: Duration,
    /// How much longer than asked for a poll may be silent.
    pub poll_margin: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(20),
            transfer: Duration::from_secs(120),
            poll_margin: Duration::from_secs(10),
        }
    }
}

/// A client; cheap to clone. Every call in flight has a connection of its own, so a long poll never delays a send.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    http: Client,
    base: Url,
    token: Token,
    timeouts: Timeouts,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = &self.0.base;
        let port = base.port_or_known_default().unwrap_or_default();
        write!(f, "Api({}:{port})", base.host_str().unwrap_or_default())
    }
}

impl Api {
    /// Makes a client of the bot with this token at `base_url` ([`TELEGRAM`], or somebody's own server); it does not
    /// connect yet. The process must have installed rustls' crypto provider before.
    ///
    /// # Errors
    /// One sentence for whoever wrote the configuration: the URL or the token make no sense.
    pub fn new(base_url: &str, token: &str, timeouts: Timeouts) -> Result<Self, String> {
        let token = Token::new(token)?;
        let base = parse_base(base_url)?;
        let mut builder = Client::builder()
            .user_agent(concat!("opsbot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .tcp_keepalive(Duration::from_secs(30))
            // Shorter than servers keep a connection: a request written into a closed one has an unknown outcome.
            .pool_idle_timeout(Duration::from_secs(25));
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // Without TLS no roots are read: it saves time, and a machine without CA certificates works.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|e| {
            format!("no HTTP client for Telegram: {}", Fault::from_transport(&e.without_url(), &token))
        })?;
        Ok(Self(Arc::new(Inner { http, base, token, timeouts })))
    }

    /// Calls a method and reads its result.
    async fn call<T: DeserializeOwned>(&self, method: &'static str, fields: Fields) -> Result<T, Fault> {
        let Timeouts { call, transfer, .. } = self.0.timeouts;
        let limit = if fields.has_upload() { transfer } else { call };
        self.call_within(method, fields, limit).await
    }

    async fn call_within<T: DeserializeOwned>(
        &self,
        method: &'static str,
        fields: Fields,
        limit: Duration,
    ) -> Result<T, Fault> {
        let request = self.0.http.post(self.url(&[], method)).timeout(limit);
        let response = self.execute(fields.into_request(request)).await?;
        let status = response.status().as_u16();
        let body = match self.read(response, MAX_ANSWER, huge()).await {
            Ok(body) => body,
            Err(_) if status >= 500 => return Err(Fault::Server(status)),
            Err(fault) => return Err(fault),
        };
        match serde_json::from_slice::<Success<T>>(&body) {
            Ok(Success { ok: true, result }) => Ok(result),
            Ok(Success { ok: false, .. }) | Err(_) => Err(Fault::from_answer(status, &body, &self.0.token)),
        }
    }

    async fn execute(&self, request: RequestBuilder) -> Result<Response, Fault> {
        request.send().await.map_err(|e| Fault::from_transport(&e.without_url(), &self.0.token))
    }

    async fn read(&self, mut response: Response, max: usize, over: Fault) -> Result<Vec<u8>, Fault> {
        let announced = response.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let mut body = Vec::with_capacity(announced.min(max).min(1 << 20));
        let lost = |e: reqwest::Error| Fault::from_transport(&e.without_url(), &self.0.token);
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > max {
                return Err(over);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// `base`/`before…`/bot`token`/`after`, where `after` may be a path.
    fn url(&self, before: &[&str], after: &str) -> Url {
        let mut url = self.0.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(before).push(&format!("bot{}", self.0.token.expose()));
            path.extend(after.split('/'));
        }
        url
    }
}

#[derive(Deserialize)]
struct Success<T> {
    ok: bool,
    result: T,
}

fn huge() -> Fault {
    Fault::Unknown("the answer is too large to be Telegram's".into())
}

fn parse_base(text: &str) -> Result<Url, String> {
    let mut base = Url::parse(text.trim())
        .map_err(|e| format!("the Telegram API's URL makes no sense ({e}); e.g. {TELEGRAM}"))?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err("the Telegram API's URL must begin with http:// or https:// and name a host".into());
    }
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
