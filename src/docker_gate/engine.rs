//! The engine behind the helper: one connection a request, everything bounded in time and size.

use std::{io, path::PathBuf, time::Duration};

use axum::body::{Body, Bytes};
use futures::StreamExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::refusal::Refusal;

/// No list and no inspection is larger; an engine that sends more is none.
const MAX_ANSWER: usize = 16 << 20;
const MAX_HEAD: usize = 64 << 10;
/// An error's text is cut to so many characters.
const MAX_MESSAGE: usize = 500;

/// Docker's own socket.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub socket: PathBuf,
    /// How long the engine may take to answer a read.
    pub patience: Duration,
}

/// The engine's answer; its connection ends with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub response: Response<Incoming>,
    connection: AbortOnDropHandle<()>,
    patience: Duration,
}

impl Engine {
    /// Sends a request without a body. An answer of another kind than success, or "it is so already", is a refusal in
    /// the engine's own words.
    pub(super) async fn send(
        &self,
        method: Method,
        target: &str,
        patience: Duration,
    ) -> Result<Answer, Refusal> {
        let sent = timeout(patience, self.exchange(method, target));
        let (response, connection) = sent.await.map_err(|_| Refusal::slow(patience.as_secs()))??;
        let answer = Answer { response, connection, patience: self.patience };
        let status = answer.response.status();
        match status {
            StatusCode::NOT_MODIFIED => Ok(answer),
            s if s.is_success() => Ok(answer),
            s if s.is_client_error() || s.is_server_error() => {
                let message = message(&answer.whole().await?);
                Err(Refusal::of_engine(status, message))
            }
            _ => Err(Refusal::engine("what answers is not Docker")),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), Refusal> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.unreachable(&e))?;
        let broken = |_| Refusal::engine("the Docker engine broke off, or what answers is not Docker");
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the engine ended early");
            }
        }));
        // Nothing of the client's request goes on but what was checked.
        let request =
            Request::builder().method(method).uri(target).header(HOST, "docker").body(Body::empty());
        let request = request.map_err(|e| Refusal::forbidden(format!("this cannot be sent on ({e})")))?;
        Ok((sender.send_request(request).await.map_err(broken)?, connection))
    }

    fn unreachable(&self, error: &io::Error) -> Refusal {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound => Refusal::engine(format!("Docker's socket {socket} is not there")),
            io::ErrorKind::PermissionDenied => {
                Refusal::engine(format!("the helper may not use {socket}, it must be in that socket's group"))
            }
            _ => Refusal::engine(format!("the Docker engine at {socket} does not answer ({error})")),
        }
    }
}

impl Answer {
    /// The whole body, which must be short and come soon.
    pub(super) async fn whole(self) -> Result<Bytes, Refusal> {
        let Self { response, connection, patience } = self;
        let read = axum::body::to_bytes(Body::new(response.into_body()), MAX_ANSWER);
        let bytes = timeout(patience, read).await.map_err(|_| Refusal::slow(patience.as_secs()))?;
        drop(connection);
        bytes.map_err(|_| Refusal::engine("the engine's answer broke off, or is too long"))
    }

    /// The body as it comes.
    pub(super) fn stream(self) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
        let Self { response, connection, .. } = self;
        Body::new(response.into_body()).into_data_stream().map(move |piece| {
            let _alive = &connection;
            piece.map_err(io::Error::other)
        })
    }
}

/// The text of the engine's error, on one line.
fn message(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text =
        json.get("message").and_then(|m| m.as_str()).unwrap_or("the engine refused this without a reason");
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect()
}
