//! What can go wrong with a cache, told so that the reader knows what to do; no secret gets in.

use std::{fmt, io, time::Duration};

use crate::domain::{ToolError, Untrusted};

pub(super) const START: &str = "Start it, or check `address` in [[cache]]";
pub(super) const ADDRESS: &str = "Check `address` and `kind` in [[cache]]";
pub(super) const WAIT: &str = "Try again in a moment, or look at its own log";

/// So much of a server's own words is quoted, in bytes.
const QUOTE: usize = 200;

/// A cache does not answer, or refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which cache (`redis 127.0.0.1:6379 db 0`).
    pub cache: String,
    /// What was seen.
    pub detail: String,
    /// What to do.
    pub cure: &'static str,
    /// It answers, and does not want to.
    pub refuses: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.cache, self.detail, self.cure)
    }
}

impl From<Fault> for ToolError {
    fn from(fault: Fault) -> Self {
        if fault.refuses {
            return Self::Failed(fault.to_string());
        }
        Self::BackendDown { backend: fault.cache, detail: fault.detail, cure: fault.cure }
    }
}

/// A fault that does not know yet of which cache it is.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) detail: String,
    pub(super) cure: &'static str,
    pub(super) refuses: bool,
}

impl Trouble {
    pub(super) fn down(detail: impl Into<String>, cure: &'static str) -> Self {
        Self { detail: detail.into(), cure, refuses: false }
    }

    pub(super) fn refusal(detail: impl Into<String>, cure: &'static str) -> Self {
        Self { detail: detail.into(), cure, refuses: true }
    }

    pub(super) fn late(timeout: Duration) -> Self {
        Self::down(format!("no answer within {} s", timeout.as_secs_f64()), WAIT)
    }

    pub(super) fn connecting(error: &io::Error) -> Self {
        Self::down(format!("no connection ({})", quote(error.to_string().as_bytes())), START)
    }

    pub(super) fn broken(error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => quote(error.to_string().as_bytes()),
        };
        Self::down(format!("the connection broke off ({why})"), WAIT)
    }

    pub(super) fn of(self, cache: impl fmt::Display) -> Fault {
        let Self { detail, cure, refuses } = self;
        Fault { cache: cache.to_string(), detail, cure, refuses }
    }
}

/// A server's own words: one short, clean line.
pub(super) fn quote(words: &[u8]) -> String {
    let head = words.get(..words.len().min(QUOTE * 4)).unwrap_or_default();
    let line = Untrusted::from_bytes(head).as_str().split_whitespace().collect::<Vec<_>>().join(" ");
    Untrusted::new(&line).cut(QUOTE).as_str().trim_end_matches('.').to_owned()
}
