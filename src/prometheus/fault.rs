//! What can go wrong with Prometheus, told so that the reader knows what to do; no URL and no secret gets in.

use std::{error::Error, time::Duration};

use reqwest::StatusCode;

use super::MAX_BODY;
use crate::domain::{ToolError, Untrusted};

pub(super) const CHECK_URL: &str = "Check [prometheus] url";
const START: &str = "Start it, or check [prometheus] url";
const CHECK_CREDENTIALS: &str = "Check the credentials in [prometheus]";
const WAIT: &str = "Try again in a moment, or look at its own log";
const NARROW: &str = "Narrow the query in [metrics], or ask for fewer series";

const BACKEND: &str = "Prometheus";
const QUOTE: usize = 300;

pub(super) fn down(detail: impl Into<String>, cure: &'static str) -> ToolError {
    let detail = detail.into();
    ToolError::BackendDown { backend: BACKEND.into(), detail: detail.trim_end_matches('.').into(), cure }
}

pub(super) fn too_large() -> ToolError {
    down(format!("its answer is larger than {} MiB and was not read", MAX_BODY >> 20), NARROW)
}

/// A failure of the client crate's before an answer came.
pub(super) fn from_client(error: prometheus_http_query::Error, timeout: Duration) -> ToolError {
    match error {
        prometheus_http_query::Error::Client(error) => match error.inner() {
            Some(inner) => from_transport(inner, timeout),
            None => down(error.to_string(), CHECK_URL),
        },
        other => down(quote(&other.to_string()), CHECK_URL),
    }
}

/// A failure on the way there or back.
pub(super) fn from_transport(error: &reqwest::Error, timeout: Duration) -> ToolError {
    if error.is_connect() {
        let why = if error.is_timeout() { "the connection timed out".into() } else { root(error) };
        return down(format!("no connection ({why})"), START);
    }
    if error.is_timeout() {
        return down(format!("no complete answer within {} s", timeout.as_secs_f64()), WAIT);
    }
    down(format!("the answer broke off ({})", root(error)), WAIT)
}

/// A status that needs no body to be understood.
pub(super) fn from_status(status: StatusCode) -> Option<ToolError> {
    match status.as_u16() {
        401 | 403 => Some(down(format!("it refuses us (HTTP {})", status.as_u16()), CHECK_CREDENTIALS)),
        300..=399 => Some(down(
            format!("it sends us elsewhere (HTTP {}), perhaps to a login page", status.as_u16()),
            CHECK_URL,
        )),
        _ => None,
    }
}

/// Prometheus' own refusal.
pub(super) fn from_prometheus(kind: &str, message: &str) -> ToolError {
    let message = quote(message);
    match kind {
        "bad_data" | "execution" => ToolError::BadArgs(format!(
            "Prometheus refuses the query: {message}. Check the templates in [metrics]"
        )),
        "timeout" | "canceled" => down(format!("the query took too long ({message})"), NARROW),
        _ => down(format!("it says: {message}"), WAIT),
    }
}

/// Prometheus' refusal of a query that somebody wrote: its words, the place in the query, and what to do.
pub(super) fn from_query(query: &str, kind: &str, message: &str) -> ToolError {
    if !matches!(kind, "bad_data" | "execution") {
        return match kind {
            "timeout" | "canceled" => down(
                format!("the query took too long ({})", quote(message)),
                "Ask for fewer series or a shorter range",
            ),
            _ => from_prometheus(kind, message),
        };
    }
    let message = message.split_once("\"query\": ").map_or(message, |(_, rest)| rest);
    let parsed = message.split_once(": parse error: ").and_then(|(place, words)| {
        let (line, column) = place.rsplit_once(' ').map_or(place, |(_, last)| last).split_once(':')?;
        Some((line.parse::<usize>().ok()?, column.parse::<usize>().ok()?, words))
    });
    let (place, words) = match parsed {
        Some((line, column, words)) => (format!(" at {line}:{column}{}", around(query, line, column)), words),
        None => (String::new(), message),
    };
    ToolError::BadArgs(format!("Prometheus refuses the query{place}: {}. {}", quote(words), hint(words)))
}

/// The query's text up to the place, so that a person finds it.
fn around(query: &str, line: usize, column: usize) -> String {
    const SHOWN: usize = 24;
    let line = query.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let before: Vec<char> = line.chars().take(column.saturating_sub(1)).collect();
    let tail: String = before.iter().skip(before.len().saturating_sub(SHOWN)).collect();
    if tail.is_empty() { String::new() } else { format!(", after `{}`", Untrusted::new(&tail)) }
}

/// What helps against the refusals that people meet.
fn hint(words: &str) -> &'static str {
    const HINTS: [(&str, &str); 12] = [
        ("unclosed left parenthesis", "Close the parenthesis"),
        ("unclosed left", "Close the bracket"),
        ("unterminated quoted string", "Close the quotes"),
        (
            "unknown function",
            "Check the function's name; functions are written in lower case, such as rate()",
        ),
        ("got range vector", "A range such as [5m] needs a function around it, such as rate(metric[5m])"),
        ("expected type range vector", "It needs a range behind the metric, such as rate(metric[5m])"),
        ("at least one non-empty matcher", "Name a metric or a label value"),
        ("many-to-many", "Aggregate both sides first, or say on(label) and group_left"),
        ("found duplicate series", "Aggregate both sides first, or say on(label) and group_left"),
        ("duration", "A span is a number with a unit, such as 5m or 1h"),
        ("too many samples", "Ask for fewer series or a shorter range"),
        ("unexpected end of input", "Something is missing at the end"),
    ];
    let found = HINTS.iter().find(|(part, _)| words.contains(part));
    found.map_or("Check names, quotes and brackets", |(_, hint)| hint)
}

/// Something that is no answer of Prometheus'.
pub(super) fn garbage(status: StatusCode, body: &[u8]) -> ToolError {
    let code = status.as_u16();
    if status.is_server_error() {
        return down(format!("HTTP {code}"), WAIT);
    }
    let head = body.get(..body.len().min(QUOTE)).unwrap_or_default();
    let start = Untrusted::from_bytes(head).as_str().trim_start().to_ascii_lowercase();
    let what = if start.starts_with('<') {
        "a web page"
    } else if start.is_empty() {
        "nothing"
    } else {
        "something else"
    };
    down(format!("it answers with {what} instead of Prometheus' JSON (HTTP {code})"), CHECK_URL)
}

/// The innermost cause in words, which names neither URL nor header.
pub(super) fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if cause.is::<reqwest::Error>() { "unknown cause".into() } else { quote(&cause.to_string()) }
}

fn quote(text: &str) -> String {
    let clean = Untrusted::new(text).cut(QUOTE);
    clean.as_str().split_whitespace().collect::<Vec<_>>().join(" ")
}
