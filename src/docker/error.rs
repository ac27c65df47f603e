//! Why a Docker host did not do what was asked, told without URLs and raw client errors.

use std::{error::Error, io, time::Duration};

use super::tls;
use crate::domain::{HostName, ToolError, Untrusted};

const CURE_RUNS: &str = "Check that Docker runs there and that [[docker]] url is right";
const CURE_RIGHTS: &str = "Give the daemon's user access to that socket, best through opsbot-docker-helper";
const CURE_SLOW: &str = "Check the load of that host, or raise [[docker]] timeout";
const CURE_GARBAGE: &str =
    "Check that [[docker]] url leads to a Docker engine; an engine that wants TLS needs [[docker]] tls";
const CURE_CLOSED: &str =
    "Check that Docker runs there and that it trusts who signed our certificate ([[docker]] tls.cert)";
const CURE_READER: &str = "Look into OpsBot's own log, and at the limits of its open files and threads";
const CURE_NAME: &str = "Add that host to [[docker]], or ask again";

/// A failed call of a Docker host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerError {
    /// The engine does not know that container id.
    #[error("container {container} is gone from Docker host {host}: it was removed or replaced")]
    Gone {
        /// The host that was asked.
        host: HostName,
        /// The container's name.
        container: String,
    },
    /// The engine answered with an error.
    #[error("Docker host {host} answered {status}: {message}")]
    Refused {
        /// The host that was asked.
        host: HostName,
        /// The HTTP status.
        status: u16,
        /// The engine's own words, cleaned and cut.
        message: String,
    },
    /// Nobody answers, or the answer makes no sense.
    #[error("Docker host {host} is not answering: {detail}")]
    Down {
        /// The host that was asked.
        host: HostName,
        /// What was seen.
        detail: String,
        /// What to do.
        cure: &'static str,
    },
}

impl DockerError {
    pub(super) fn unknown_host(host: &HostName) -> Self {
        Self::Down { host: host.clone(), detail: "it is not configured".into(), cure: CURE_NAME }
    }

    pub(super) fn timeout(host: &HostName, limit: Duration) -> Self {
        let detail = format!("no answer within {} s", limit.as_secs_f32());
        Self::Down { host: host.clone(), detail, cure: CURE_SLOW }
    }

    pub(super) fn no_reader(host: &HostName) -> Self {
        let detail = "this program could not read its log".into();
        Self::Down { host: host.clone(), detail, cure: CURE_READER }
    }

    pub(super) fn garbage(host: &HostName, what: &str) -> Self {
        let detail = format!("its answer is not Docker's ({what})");
        Self::Down { host: host.clone(), detail, cure: CURE_GARBAGE }
    }

    pub(super) fn bad_url(host: &HostName) -> Self {
        let detail = "its url is neither unix:///path nor tcp://host:port".to_owned();
        Self::Down { host: host.clone(), detail, cure: CURE_GARBAGE }
    }

    /// `secured`: TLS is spoken with that host, which may close without a word when it refuses a certificate.
    pub(super) fn from_client(
        host: &HostName,
        secured: bool,
        container: &str,
        error: &bollard::errors::Error,
    ) -> Self {
        use bollard::errors::Error as E;
        let down = |detail: String, cure| Self::Down { host: host.clone(), detail, cure };
        match error {
            E::DockerResponseServerError { status_code: 404, .. } if !container.is_empty() => {
                Self::Gone { host: host.clone(), container: container.to_owned() }
            }
            E::DockerResponseServerError { status_code, message } => {
                let message = Untrusted::new(message.trim()).cut(300).to_string().replace('\n', " ");
                Self::Refused { host: host.clone(), status: *status_code, message }
            }
            E::SocketNotFoundError(_) => down("its socket is not there".into(), CURE_RUNS),
            E::RequestTimeoutError => down("no answer in time".into(), CURE_SLOW),
            E::JsonDataError { .. } | E::JsonSerdeError { .. } | E::APIVersionParseError {} => {
                Self::garbage(host, "unreadable version")
            }
            other => {
                let (detail, cure) = transport(other, secured);
                down(detail, cure)
            }
        }
    }
}

/// Finds the cause that a person can act on in a chain of client errors.
fn transport(error: &bollard::errors::Error, secured: bool) -> (String, &'static str) {
    let (closed, garbage) = if secured { (CURE_CLOSED, CURE_CLOSED) } else { (CURE_RUNS, CURE_GARBAGE) };
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = next {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            let io = innermost(io);
            if let Some(error) = io.get_ref().and_then(|inner| inner.downcast_ref()) {
                return tls::explain(error);
            }
            return match io.kind() {
                io::ErrorKind::NotFound => ("its socket is not there".into(), CURE_RUNS),
                io::ErrorKind::PermissionDenied => ("permission denied".into(), CURE_RIGHTS),
                io::ErrorKind::ConnectionRefused => ("connection refused".into(), CURE_RUNS),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    ("the connection was closed".into(), closed)
                }
                io::ErrorKind::UnexpectedEof => ("the answer broke off".into(), closed),
                kind => (format!("the connection failed ({kind})"), CURE_RUNS),
            };
        }
        next = e.source();
    }
    ("the connection broke, or the answer is not HTTP".into(), garbage)
}

/// The input error that started it: a failed TLS handshake is wrapped in a second one.
fn innermost(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref()) {
        error = inner;
    }
    error
}

impl From<DockerError> for ToolError {
    fn from(error: DockerError) -> Self {
        match error {
            DockerError::Gone { .. } => Self::NothingFound(error.to_string()),
            DockerError::Refused { host, status, message } => Self::BackendDown {
                backend: format!("Docker host {host}"),
                detail: format!("it answered {status}: {message}"),
                cure: "Look at the engine's own log on that host",
            },
            DockerError::Down { host, detail, cure } => {
                Self::BackendDown { backend: format!("Docker host {host}"), detail, cure }
            }
        }
    }
}
