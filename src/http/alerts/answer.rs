//! What is answered when something cannot be done: a sentence, and a counter that says why.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{domain::Untrusted, pager::PagerError};

/// After how many seconds a source should try again.
const RETRY_AFTER: &str = "5";
/// No answer repeats more of a body than this, in bytes.
const LONGEST: usize = 1000;

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) struct No {
    /// The counter's label.
    pub(super) why: &'static str,
    code: StatusCode,
    text: String,
}

impl No {
    pub(super) fn new(why: &'static str, code: StatusCode, text: impl Into<String>) -> Self {
        Self { why, code, text: text.into() }
    }

    /// The body makes no sense.
    pub(super) fn bad(why: &'static str, text: impl Into<String>) -> Self {
        Self::new(why, StatusCode::BAD_REQUEST, text)
    }

    /// Too much at once, or it cannot be written down: try again.
    pub(super) fn later(why: &'static str, text: impl Into<String>) -> Self {
        Self::new(why, StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

impl From<PagerError> for No {
    fn from(error: PagerError) -> Self {
        match error {
            PagerError::Refused(text) => Self::bad("invalid", text),
            PagerError::NotStored(error) => {
                tracing::error!(%error, "alerts could not be written down; their source has to send them again");
                Self::later("not_stored", "it could not be written down; send it again")
            }
            PagerError::Busy => Self::later("busy", error.to_string()),
            PagerError::Stopping => Self::later("stopping", format!("{error}; send it again")),
        }
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let text = Untrusted::new(&self.text).cut(LONGEST).to_string();
        let mut answer = json(&text);
        *answer.status_mut() = self.code;
        if self.code == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER));
        }
        answer
    }
}

/// A value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ready(body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// JSON that is written already.
pub(super) fn ready(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
