//! The HTTP under every dialect: deadlines, bounded bodies, and errors that show neither URL nor token.

use std::{io, time::Duration};

use reqwest::{Client, RequestBuilder, Response, Url, header::CONTENT_TYPE, redirect};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    lines::{LineReader, MAX_LINE},
    settings::{Settings, Token},
};
use crate::{agent::port::ModelError, domain::Untrusted};

/// The longest wait for a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// The longest wait for a plain call (version, loaded models).
pub(super) const PLAIN: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 16 << 20;
const MAX_ERROR: usize = 64 << 10;
/// The most of a server's own words in an error, in bytes.
const MAX_DETAIL: usize = 300;

/// One server, as an HTTP client sees it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    client: Client,
    base: Url,
    token: Option<Token>,
}

/// Why a request brought no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with a status that is no success.
    Status(Refusal),
    /// It did not answer.
    Model(ModelError),
}

/// A refusal in the server's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) code: u16,
    /// Whether the body was JSON with an error.
    pub(super) json: bool,
    /// The server's words, cleaned and cut.
    pub(super) text: String,
}

impl Wire {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let base = base_url(&settings.url)?;
        if settings.token.as_ref().is_some_and(|t| !t.expose().bytes().all(|b| b.is_ascii_graphic())) {
            return Err("[model] token: holds characters that a header cannot carry".into());
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err("TLS has no crypto provider: install one before the first connection".into());
        }
        // Servers close idle connections after seconds, and a request that meets that is lost. An answer takes seconds as
        // well, a new connection none.
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // Spares reading the system's certificates, and a machine without any still starts.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|e| format!("the model's HTTP client: {}", e.without_url()))?;
        Ok(Self { client, base, token: settings.token.clone() })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(|_| Failure::Model(ModelError::Refused("a malformed path".into())))
    }

    /// Posts `body`; the answer's first bytes must come within `first`, the others within `idle` of each other.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        first: Duration,
        idle: Duration,
    ) -> Result<Stream, Failure> {
        let request = self.authorised(self.client.post(self.url(path)?)).json(body);
        let begin = async {
            let mut response = self.success(request).await?;
            let head = response.chunk().await.map_err(|e| Failure::Model(self.lost(&e)))?;
            let mut stream = Stream {
                response,
                lines: LineReader::default(),
                idle,
                size: 0,
                most: MAX_ANSWER,
                ended: head.is_none(),
                any: false,
            };
            stream.take(head.as_deref().unwrap_or_default()).map_err(Failure::Model)?;
            Ok(stream)
        };
        match timeout(first, begin).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Model(ModelError::Silent(first))),
        }
    }

    /// Gets a JSON document within `within`.
    pub(super) async fn get(&self, path: &str, within: Duration) -> Result<Value, Failure> {
        self.document(self.client.get(self.url(path)?), within).await
    }

    /// Posts `body` and reads a JSON document within `within`.
    pub(super) async fn post_for(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> Result<Value, Failure> {
        self.document(self.client.post(self.url(path)?).json(body), within).await
    }

    async fn document(&self, request: RequestBuilder, within: Duration) -> Result<Value, Failure> {
        let request = self.authorised(request);
        let read = async {
            let response = self.success(request).await?;
            let body = self.bounded(response, MAX_ANSWER).await?;
            serde_json::from_slice(&body)
                .map_err(|_| Failure::Model(ModelError::Refused("its answer is not JSON".into())))
        };
        match timeout(within, read).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Model(ModelError::Silent(within))),
        }
    }

    /// Sends; a status that is no success becomes a refusal in the server's words.
    async fn success(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|e| Failure::Model(self.lost(&e)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let html = is_html(&response);
        let body = self.bounded(response, MAX_ERROR).await.unwrap_or_default();
        let (text, json) = error_text(&body);
        let text = if html && !json { "a web page".to_owned() } else { self.scrub(&text) };
        Err(Failure::Status(Refusal { code: status.as_u16(), json, text }))
    }

    async fn bounded(&self, mut response: Response, max: usize) -> Result<Vec<u8>, Failure> {
        let mut body = vec![];
        while let Some(chunk) = response.chunk().await.map_err(|e| Failure::Model(self.lost(&e)))? {
            body.extend_from_slice(&chunk);
            if body.len() > max {
                return Err(Failure::Model(ModelError::Refused("its answer is too long".into())));
            }
        }
        Ok(body)
    }

    /// A server's words, fit to be shown: cleaned, without URLs and the token, one line, cut.
    pub(super) fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(token) = self.token.as_ref().filter(|t| !t.expose().is_empty()) {
            text = text.replace(token.expose(), "…");
        }
        if let Some(host) = self.base.host_str() {
            text = text.replace(host, "the server");
        }
        let words: Vec<_> =
            text.split_whitespace().map(|w| if w.contains("://") { "<url>" } else { w }).collect();
        Untrusted::new(&words.join(" ")).cut(MAX_DETAIL).as_str().to_owned()
    }

    fn lost(&self, error: &reqwest::Error) -> ModelError {
        ModelError::Down(describe(error, error.is_connect(), error.is_timeout()))
    }
}

/// An answer that streams, line by line.
#[derive(Debug)]
pub(super) struct Stream {
    response: Response,
    lines: LineReader,
    idle: Duration,
    size: usize,
    most: usize,
    ended: bool,
    any: bool,
}

impl Stream {
    /// The next line that is not empty; none at the end.
    pub(super) async fn line(&mut self) -> Result<Option<Vec<u8>>, ModelError> {
        loop {
            while let Some(line) = self.lines.next_line() {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.ended {
                return Ok(self.lines.finish());
            }
            match timeout(self.idle, self.response.chunk()).await {
                Err(_) => return Err(ModelError::Silent(self.idle)),
                Ok(Ok(Some(bytes))) => self.take(&bytes)?,
                Ok(Ok(None)) => self.ended = true,
                Ok(Err(_)) if self.any => {
                    return Err(ModelError::Broken("the connection was cut".into()));
                }
                Ok(Err(_)) => return Err(ModelError::Down("the connection was cut".into())),
            }
        }
    }

    /// The same without a bound on its whole length, for a reader that keeps none of it.
    pub(super) fn endless(self) -> Self {
        Self { most: usize::MAX, ..self }
    }

    /// Whether the body calls itself a web page.
    pub(super) fn is_html(&self) -> bool {
        is_html(&self.response)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        self.any |= !bytes.is_empty();
        self.size = self.size.saturating_add(bytes.len());
        if self.size > self.most {
            return Err(ModelError::Broken(format!("it is longer than {} MiB", self.most >> 20)));
        }
        self.lines
            .push(bytes)
            .map_err(|_| ModelError::Broken(format!("a line is longer than {} MiB", MAX_LINE >> 20)))
    }
}

/// The base of all paths: with a slash at its end, without `/v1`, user and query.
fn base_url(text: &str) -> Result<Url, String> {
    let cure = "[model] url: must be like http://127.0.0.1:11434";
    let trimmed = text.trim().trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/v1").unwrap_or(trimmed);
    let url = Url::parse(&format!("{trimmed}/")).map_err(|_| cure.to_owned())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(cure.to_owned());
    }
    if !plain {
        return Err(format!("{cure}; a password belongs into [model] token"));
    }
    Ok(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html")
}

/// What broke, in our own words: the error's text may hold the URL.
pub(super) fn describe(error: &(dyn std::error::Error + 'static), connect: bool, late: bool) -> String {
    let mut source = error.source();
    let mut names = String::new();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return "connection refused".into(),
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    return "host unreachable".into();
                }
                _ => {}
            }
        }
        names.push_str(&inner.to_string().to_lowercase());
        source = inner.source();
    }
    let text = match () {
        () if names.contains("certificate") => "its certificate is not trusted",
        () if names.contains("dns") || names.contains("lookup") => "its host name does not resolve",
        () if late && connect => "no connection in time",
        () if connect => "no connection",
        () => "the connection was cut",
    };
    text.into()
}

/// The message of an error body, unwrapped from JSON in JSON; and whether it was JSON at all.
pub(super) fn error_text(body: &[u8]) -> (String, bool) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return (String::from_utf8_lossy(body).trim().to_owned(), false);
    };
    (error_message(&value).unwrap_or_else(|| "no reason given".into()), true)
}

/// `error` as text, `error.message`, or either of them once more inside that text.
pub(super) fn error_message(value: &Value) -> Option<String> {
    let error = value.get("error")?;
    let text = match error {
        Value::String(text) => text,
        Value::Object(map) => map.get("message")?.as_str()?,
        _ => return Some("no reason given".into()),
    };
    let nested = serde_json::from_str::<Value>(text).ok().and_then(|v| error_message(&v));
    Some(nested.unwrap_or_else(|| text.to_owned()))
}

/// Whether an error's text says that the prompt does not fit.
pub(super) fn says_too_long(text: &str) -> bool {
    let text = text.to_lowercase();
    // Not "context" alone: Go says "context deadline exceeded" of anything that took too long.
    ["context size", "context length", "context window"].iter().any(|part| text.contains(part))
}

/// Whether an error's text says that the server could not parse what the model wrote.
pub(super) fn says_parser(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "pars",
        "tool call",
        "tool_call",
        "syntax error",
        "invalid character",
        "unmarshal",
        "unexpected end of json",
    ]
    .iter()
    .any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Dialect, Settings};

    fn wire(url: &str, token: Option<&str>) -> Result<Wire, String> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut settings = Settings::new(Dialect::Ollama, url, "m");
        settings.token = token.map(Token::new);
        Wire::new(&settings)
    }

    #[test]
    fn a_base_url_is_checked_and_normal() {
        for (given, want) in [
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434/"),
            ("http://h:1/v1/", "http://h:1/"),
            ("https://h/ollama", "https://h/ollama/"),
        ] {
            assert_eq!(wire(given, None).unwrap().base().as_str(), want);
        }
        for bad in ["", "127.0.0.1:11434", "ftp://h", "http://", "http://u:p@h", "http://h?x=1"] {
            assert!(wire(bad, None).unwrap_err().contains("[model] url"), "{bad}");
        }
        let error = wire("http://h", Some("line\nbreak")).unwrap_err();
        assert!(error.contains("token") && !error.contains("break"), "{error}");
    }

    #[test]
    fn words_of_a_server_lose_url_token_and_escapes() {
        let wire = wire("http://secret-host:1", Some("tok123")).unwrap();
        let text = wire.scrub("dial http://x/y with tok123 at secret-host\n\u{1b}[31mfailed");
        assert_eq!(text, "dial <url> with … at the server failed");
        assert!(wire.scrub(&"x".repeat(5000)).len() <= MAX_DETAIL);
        assert!(!format!("{wire:?}").contains("tok123"));
    }

    #[test]
    fn error_bodies_are_unwrapped() {
        let nested =
            br#"{"error":"{\"error\":{\"code\":400,\"message\":\"request (7209 tokens) exceeds\"}}"}"#;
        for (body, want) in [
            (&br#"{"error":"model 'x' not found"}"#[..], ("model 'x' not found", true)),
            (nested, ("request (7209 tokens) exceeds", true)),
            (br#"{"error":{"message":"Loading model"}}"#, ("Loading model", true)),
            (b"404 page not found\n", ("404 page not found", false)),
            (b"{}", ("no reason given", true)),
            (b"\xff", ("\u{fffd}", false)),
        ] {
            assert_eq!(error_text(body), (want.0.to_owned(), want.1));
        }
    }
}
