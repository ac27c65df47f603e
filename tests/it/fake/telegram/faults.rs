//! Misbehaviour on command: what the next calls of a method meet instead of their answer.

use std::time::Duration;

use serde_json::json;

use super::wire::{Answer, Refusal};

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with `retry_after` in seconds; nothing happens.
    TooManyRequests {
        /// Seconds.
        retry_after: u64,
    },
    /// 502 with a proxy's HTML page; nothing happens.
    BadGateway,
    /// 400 `Bad Request: …` with this text after the colon; nothing happens.
    BadRequest(String),
    /// Any status with any description; nothing happens.
    Refuse(u16, String),
    /// 401 as after a revoked token; nothing happens.
    Unauthorized,
    /// 409 as if another bot polled; nothing happens.
    Conflict,
    /// The call has its effect, then the connection closes without an answer.
    LandThenDrop,
    /// The connection closes at once; nothing happens.
    DropBeforeLanding,
    /// Nothing happens, and no answer ever comes.
    Hang,
    /// The call has its effect, but no answer ever comes.
    LandThenHang,
    /// The call has its effect, but the answer is no JSON.
    Garbage,
    /// The call has its effect; the answer comes byte by byte with this pause between them.
    SlowDrip(Duration),
    /// The call is taken only after this time, then goes as ever.
    Late(Duration),
}

/// A fault that waits for its calls.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    /// The method in lower case; empty for any.
    pub method: String,
    /// The chat; none for any.
    pub chat: Option<i64>,
    /// Calls that pass unharmed before it begins.
    pub skip: usize,
    /// Calls that it still hits.
    pub left: usize,
    /// What it does.
    pub fault: Fault,
}

/// Takes the fault that this call meets, if any; the earliest armed goes first.
pub(super) fn take(armed: &mut Vec<Armed>, method: &str, chat: Option<i64>) -> Option<Fault> {
    let method = method.to_lowercase();
    let fits =
        |a: &Armed| (a.method.is_empty() || a.method == method) && a.chat.is_none_or(|c| Some(c) == chat);
    let at = armed.iter().position(fits)?;
    let entry = armed.get_mut(at)?;
    if entry.skip > 0 {
        entry.skip -= 1;
        return None;
    }
    entry.left = entry.left.saturating_sub(1);
    let fault = entry.fault.clone();
    if entry.left == 0 {
        armed.remove(at);
    }
    Some(fault)
}

impl Fault {
    /// The answer of a fault that keeps the call from landing; `None` for one that does not.
    pub(super) fn refusal(&self) -> Option<Answer> {
        let refuse = |code, text: &str| Some(Answer::Refused(Refusal::new(code, text)));
        match self {
            Self::TooManyRequests { retry_after } => Some(Answer::Refused(too_many(*retry_after))),
            Self::BadGateway => Some(Answer::Html(502, BAD_GATEWAY)),
            Self::BadRequest(text) => refuse(400, &format!("Bad Request: {text}")),
            Self::Refuse(code, text) => refuse(*code, text),
            Self::Unauthorized => refuse(401, "Unauthorized"),
            Self::Conflict => refuse(409, super::updates::EVICTED),
            _ => None,
        }
    }
}

/// Telegram's 429.
pub(super) fn too_many(retry_after: u64) -> Refusal {
    let mut refusal = Refusal::new(429, format!("Too Many Requests: retry after {retry_after}"));
    refusal.parameters = Some(json!({"retry_after": retry_after}));
    refusal
}

const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
Gateway</h1></center>\r\n<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n";
