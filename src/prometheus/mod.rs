//! The client of one Prometheus (or anything that speaks its API): bounded answers, and errors that say what to do.

mod answer;
mod evaluate;
mod fault;

use std::{fmt, net::IpAddr, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde::de::DeserializeOwned;

pub use answer::{AlertRecord, Answer, InstantSeries, Labels, RangeSeries, RuleRecord};
pub use evaluate::{Evaluation, LARGEST, Value};

use crate::domain::ToolError;

/// The largest answer that is read, in bytes.
pub const MAX_BODY: usize = 8 << 20;
/// The most series that are kept of one answer.
pub const MAX_SERIES: usize = 200;
/// The most points a series that a range query may ask for.
pub const MAX_POINTS: u64 = 1000;

/// How to prove who asks. It is never shown, not even by `Debug`.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Bearer …`.
    Bearer(String),
    /// HTTP basic authentication.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer(…)",
            Self::Basic { .. } => "Basic(…)",
        })
    }
}

/// Where Prometheus is and how long it may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// The base URL, with a path when it lives under one; `http` or `https`.
    pub url: String,
    /// How to prove who asks.
    pub credentials: Credentials,
    /// How long one request may take, body included.
    pub timeout: Duration,
}

impl Options {
    /// This URL, no credentials, 10 seconds.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), credentials: Credentials::None, timeout: Duration::from_secs(10) }
    }
}

/// A client; cheap to clone.
#[derive(Clone)]
pub struct Prometheus {
    api: prometheus_http_query::Client,
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.base.host_str().unwrap_or_default();
        write!(f, "Prometheus({host}:{})", self.base.port_or_known_default().unwrap_or_default())
    }
}

impl Prometheus {
    /// Makes a client; it does not connect yet. The process must have installed rustls' crypto provider before.
    ///
    /// # Errors
    /// One sentence for whoever wrote the configuration: the URL or the credentials make no sense.
    pub fn new(options: &Options) -> Result<Self, String> {
        let base = base_url(options)?;
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        if let Credentials::Bearer(token) = &options.credentials {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| {
                "the Prometheus token holds characters that no HTTP header can carry".to_owned()
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("opsbot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.timeout.min(Duration::from_secs(3)))
            .timeout(options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(4);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // Without TLS no roots are read: it saves time, and a machine without CA certificates works.
            builder = builder.tls_certs_only([]);
        }
        let http =
            builder.build().map_err(|e| format!("no HTTP client for Prometheus: {}", fault::root(&e)))?;
        let api = prometheus_http_query::Client::from(http.clone(), base.as_str())
            .map_err(|e| format!("the Prometheus URL makes no sense: {e}"))?;
        Ok(Self { api, http, base, timeout: options.timeout })
    }

    /// Evaluates `promql` at one moment.
    ///
    /// # Errors
    /// [`ToolError::BadArgs`] with Prometheus' own words when it refuses the query, else [`ToolError::BackendDown`].
    pub async fn query(&self, promql: &str, at: Timestamp) -> Result<Answer<InstantSeries>, ToolError> {
        let query = self.api.query(promql).at(at.as_second()).timeout(self.timeout_ms());
        let response = query.post_raw().await.map_err(|e| fault::from_client(e, self.timeout))?;
        answer::instants(self.read(response).await?)
    }

    /// Evaluates `promql` every `step` from `from` to `to`, both included.
    ///
    /// # Errors
    /// As [`Prometheus::query`]; also [`ToolError::BadArgs`] for no step, no span or more than [`MAX_POINTS`] points.
    pub async fn query_range(
        &self,
        promql: &str,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Answer<RangeSeries>, ToolError> {
        let span = u128::try_from(to.duration_since(from).as_millis()).unwrap_or(0);
        if step.is_zero() || span == 0 {
            return Err(ToolError::BadArgs("a range query needs a span and a step above zero".into()));
        }
        let points = span / step.as_millis().max(1) + 1;
        if points > u128::from(MAX_POINTS) {
            let sentence = format!("that would be {points} points a series; at most {MAX_POINTS} are read");
            return Err(ToolError::BadArgs(sentence));
        }
        let query = self.api.query_range(promql, from.as_second(), to.as_second(), step.as_secs_f64());
        let query = query.timeout(self.timeout_ms());
        let response = query.post_raw().await.map_err(|e| fault::from_client(e, self.timeout))?;
        answer::ranges(self.read(response).await?)
    }

    /// All alerts that are pending or firing, as Prometheus lists them.
    ///
    /// # Errors
    /// [`ToolError::BackendDown`].
    pub async fn alerts(&self) -> Result<Vec<AlertRecord>, ToolError> {
        let response = self
            .http
            .get(self.endpoint("alerts"))
            .send()
            .await
            .map_err(|e| fault::from_transport(&e, self.timeout))?;
        let data: answer::Alerts = self.read(response).await?;
        Ok(data.alerts)
    }

    /// The alerting rules of all groups.
    ///
    /// # Errors
    /// [`ToolError::BackendDown`].
    pub async fn alert_rules(&self) -> Result<Vec<RuleRecord>, ToolError> {
        let mut url = self.endpoint("rules");
        url.set_query(Some("type=alert"));
        let sent = self.http.get(url).send().await.map_err(|e| fault::from_transport(&e, self.timeout))?;
        let data: answer::Rules = self.read(sent).await?;
        Ok(data.groups.into_iter().flat_map(|group| group.rules).collect())
    }

    /// Whether it evaluates the simplest query: up, reachable, and the credentials are good.
    ///
    /// # Errors
    /// [`ToolError::BackendDown`].
    pub async fn healthy(&self, now: Timestamp) -> Result<(), ToolError> {
        match self.query("vector(1)", now).await {
            Ok(answer) if answer.series.len() == 1 => Ok(()),
            Ok(_) => Err(fault::down("it cannot evaluate `vector(1)`", fault::CHECK_URL)),
            Err(ToolError::BadArgs(text)) => Err(fault::down(text, fault::CHECK_URL)),
            Err(error) => Err(error),
        }
    }

    async fn read<D: DeserializeOwned>(&self, response: reqwest::Response) -> Result<D, ToolError> {
        Ok(self.read_or(response, fault::from_prometheus).await?.0)
    }

    /// The answer's data and warnings; `refused` makes a failure of Prometheus' own refusal.
    async fn read_or<D: DeserializeOwned>(
        &self,
        response: reqwest::Response,
        refused: impl Fn(&str, &str) -> ToolError,
    ) -> Result<(D, Vec<String>), ToolError> {
        let status = response.status();
        if let Some(refusal) = fault::from_status(status) {
            return Err(refusal);
        }
        let body = self.body(response).await?;
        match serde_json::from_slice::<answer::Envelope<D>>(&body) {
            Ok(answer::Envelope { status, data: Some(data), warnings, .. }) if status == "success" => {
                Ok((data, warnings))
            }
            Ok(answer::Envelope { error: Some(error), error_type, .. }) => {
                Err(refused(&error_type.unwrap_or_default(), &error))
            }
            Ok(_) | Err(_) => Err(fault::garbage(status, &body)),
        }
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ToolError> {
        let announced = response.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let mut body = Vec::with_capacity(announced.min(MAX_BODY));
        if announced > MAX_BODY {
            return Err(fault::too_large());
        }
        while let Some(chunk) = response.chunk().await.map_err(|e| fault::from_transport(&e, self.timeout))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(fault::too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    fn timeout_ms(&self) -> i64 {
        i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX)
    }
}

fn base_url(options: &Options) -> Result<Url, String> {
    let url = options.url.trim().trim_end_matches('/');
    let mut base = Url::parse(url)
        .map_err(|e| format!("the Prometheus URL makes no sense ({e}); e.g. http://127.0.0.1:9090"))?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err("the Prometheus URL must begin with http:// or https:// and name a host".into());
    }
    base.set_query(None);
    base.set_fragment(None);
    if let Credentials::Basic { user, password } = &options.credentials {
        // reqwest takes them out of the URL and makes a header of them.
        let set =
            base.set_username(user).and_then(|()| base.set_password(Some(password.trim_end_matches('\n'))));
        set.map_err(|()| "the Prometheus URL cannot carry a user".to_owned())?;
    }
    Ok(base)
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str, credentials: Credentials) -> Result<Prometheus, String> {
        rustls::crypto::ring::default_provider().install_default().ok();
        Prometheus::new(&Options { credentials, ..Options::new(url) })
    }

    #[test]
    fn a_url_is_checked_and_nothing_secret_is_ever_printed() {
        for (url, want) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090/"),
            ("http://localhost:9090/", "http://localhost:9090/"),
            (" https://h.example/prom/ ", "https://h.example/prom"),
            ("http://h.example/prom?x=1#y", "http://h.example/prom"),
        ] {
            assert_eq!(base_url(&Options::new(url)).unwrap().as_str(), want);
        }
        for url in ["", "127.0.0.1:9090", "ftp://h", "mailto:x", "unix:///run/x", "http://"] {
            let error = client(url, Credentials::None).expect_err(url);
            assert!(error.contains("Prometheus URL"), "{error}");
        }
        let secret = || Credentials::Basic { user: "u".into(), password: "hunter2".into() };
        let shown =
            [format!("{:?}", client("http://h:9", secret()).unwrap()), format!("{:?}", secret())].join(" ");
        assert_eq!(shown, "Prometheus(h:9) Basic(…)");
        let error = client("http://h", Credentials::Bearer("hunter2\nx: y".into())).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(client("http://h", Credentials::Bearer("hunter2\n".into())).is_ok());
    }

    #[tokio::test]
    async fn a_range_without_bounds_is_refused_before_anybody_is_asked() {
        let prom = client("http://127.0.0.1:1", Credentials::None).unwrap();
        let (from, to) = ("2026-11-21T10:00:00Z".parse().unwrap(), "2026-11-21T11:00:00Z".parse().unwrap());
        for (from, to, step) in [(from, to, 0), (to, from, 15), (from, from, 15), (from, to, 1)] {
            let got = prom.query_range("up", from, to, Duration::from_secs(step)).await;
            assert!(matches!(got, Err(ToolError::BadArgs(_))), "{got:?}");
        }
    }
}
