//! Why a request was not done, as the JSON that Docker's own errors have.

use axum::body::Body;
use hyper::{Response, StatusCode, header::CONTENT_TYPE};

/// Who speaks: a client must not take the helper's words for the engine's.
const WHO: &str = "opsbot-docker-helper";

/// A request that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// One sentence, which also goes to the log.
    pub message: String,
}

impl Refusal {
    /// The helper does not let that through.
    pub(super) fn forbidden(why: impl AsRef<str>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: format!("{WHO} refuses this: {}", why.as_ref()) }
    }

    /// The engine is not there, or answers nonsense.
    pub(super) fn engine(why: impl AsRef<str>) -> Self {
        let message = format!("{WHO}: {}; check that Docker runs on this host", why.as_ref());
        Self { status: StatusCode::BAD_GATEWAY, message }
    }

    /// The engine did not answer in time.
    pub(super) fn slow(seconds: u64) -> Self {
        let message = format!(
            "{WHO}: the Docker engine did not answer within {seconds} s; check the load of this host"
        );
        Self { status: StatusCode::GATEWAY_TIMEOUT, message }
    }

    /// The engine's own refusal, in its own words.
    pub(super) fn of_engine(status: StatusCode, message: String) -> Self {
        Self { status, message }
    }

    pub(super) fn json(&self) -> String {
        serde_json::json!({ "message": self.message }).to_string()
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.json()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, super::gate::JSON);
        response
    }

    /// The same as bytes on the wire, for a peer whose request is not even read.
    pub(super) fn raw(&self) -> Vec<u8> {
        let body = self.json();
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or_default(),
            body.len()
        )
        .into_bytes()
    }
}
