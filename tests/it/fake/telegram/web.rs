//! The page on which a person plays the phone.

use axum::{
    body::Body,
    http::{Response, request::Parts},
};
use bytes::Bytes;

use super::{FakeTelegram, wire};

/// Everything that is not the Bot API.
pub(super) async fn page(_fake: &FakeTelegram, _head: &Parts, _path: &str, _body: Bytes) -> Response<Body> {
    std::future::ready(()).await;
    wire::respond(404, "text/plain", Bytes::from_static(b"there is nothing here"))
}
