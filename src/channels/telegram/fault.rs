//! What can go wrong with a call, told apart by what may be done next: above all, whether it may have had an effect.

use std::{error::Error, fmt, time::Duration};

use serde::Deserialize;

use super::api::Token;
use crate::domain::Untrusted;

/// What is kept of a foreign text, in bytes.
const QUOTE: usize = 200;
/// The wait when Telegram asks for one without saying how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// The longest wait that is believed.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Why a call failed. Texts are cleaned and cut, and hold neither URL nor token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429: nothing happened; not before this time has passed.
    RetryAfter(Duration),
    /// Surely not processed: no address, refused, no TLS, sent elsewhere.
    NotSent(String),
    /// May have been processed: lost or timed out after it may have been written, or answered with something unreadable.
    Unknown(String),
    /// 5xx: may have been processed.
    Server(u16),
    /// An edit that changes nothing.
    NotModified,
    /// The formatting is refused.
    BadEntities,
    /// Text, caption or file is too large.
    TooLong,
    /// The message to edit, delete or reply to is not there, or cannot be edited any more.
    MessageGone,
    /// A callback query that is too old to be answered.
    QueryTooOld,
    /// We may not write to this chat; Telegram's words.
    Blocked(String),
    /// There is no such chat, or no longer under this id.
    ChatGone {
        /// The supergroup that the group became.
        migrated_to: Option<i64>,
    },
    /// 401 or 404: the token, or the server's address, is wrong.
    Token,
    /// 409: somebody else polls, or a webhook is set; Telegram's words.
    Conflict(String),
    /// Anything else that Telegram refuses.
    Other {
        /// Telegram's code.
        code: u16,
        /// Telegram's words.
        description: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RetryAfter(wait) => write!(f, "Telegram asks to wait {} s", wait.as_secs_f64()),
            Self::NotSent(why) => write!(f, "Telegram cannot be reached ({why})"),
            Self::Unknown(why) => write!(f, "it is unknown whether Telegram took it ({why})"),
            Self::Server(code) => write!(f, "Telegram has a problem of its own (HTTP {code})"),
            Self::NotModified => f.write_str("the message says that already"),
            Self::BadEntities => f.write_str("Telegram refuses the formatting"),
            Self::TooLong => f.write_str("it is too large for Telegram"),
            Self::MessageGone => f.write_str("the message is gone or cannot be changed any more"),
            Self::QueryTooOld => f.write_str("the button's press is too old to be answered"),
            Self::Blocked(why) => write!(f, "we may not write to this chat ({why})"),
            Self::ChatGone { migrated_to: Some(id) } => {
                write!(f, "the group became a supergroup with the id {id}: use that one")
            }
            Self::ChatGone { migrated_to: None } => {
                f.write_str("there is no such chat, or no such topic in it")
            }
            Self::Token => f.write_str("Telegram does not know the token: check it, and telegram.api_url"),
            Self::Conflict(why) => write!(f, "another bot instance uses the token ({why})"),
            Self::Other { code, description } => write!(f, "Telegram refuses it: {description} ({code})"),
        }
    }
}

impl Error for Fault {}

impl Fault {
    /// A short name for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RetryAfter(_) => "retry_after",
            Self::NotSent(_) => "not_sent",
            Self::Unknown(_) => "unknown",
            Self::Server(_) => "server",
            Self::NotModified => "not_modified",
            Self::BadEntities => "bad_entities",
            Self::TooLong => "too_long",
            Self::MessageGone => "message_gone",
            Self::QueryTooOld => "query_too_old",
            Self::Blocked(_) => "blocked",
            Self::ChatGone { .. } => "chat_gone",
            Self::Token => "token",
            Self::Conflict(_) => "conflict",
            Self::Other { .. } => "other",
        }
    }

    /// A failure on the way there or back. Only what failed before a connection stood was surely not processed; a
    /// connection that was kept and had been closed before anything was written is replaced below us.
    pub(super) fn from_transport(error: &reqwest::Error, token: &Token) -> Self {
        let why = clean(&root(error), token);
        if error.is_connect() {
            Self::NotSent(if error.is_timeout() { "no connection in time".into() } else { why })
        } else if error.is_builder() {
            Self::NotSent(why)
        } else if error.is_timeout() {
            Self::Unknown("no answer in time".into())
        } else {
            Self::Unknown(why)
        }
    }

    /// An answer that is not a success: Telegram's refusal, or something that stands in between.
    pub(super) fn from_answer(status: u16, body: &[u8], token: &Token) -> Self {
        let refusal = serde_json::from_slice::<Refusal>(body).ok().filter(|r| !r.ok);
        let code = refusal.as_ref().and_then(|r| r.error_code).unwrap_or(status);
        if let 500..=599 = code {
            return Self::Server(code);
        }
        let Some(refusal) = refusal else { return Self::from_stranger(status) };
        let description = clean(refusal.description.as_deref().unwrap_or("no reason given"), token);
        let parameters = refusal.parameters.unwrap_or_default();
        if let Some(seconds) = parameters.retry_after.filter(|_| code == 429) {
            return Self::RetryAfter(Duration::from_secs(seconds).min(MAX_WAIT));
        }
        if let Some(id) = parameters.migrate_to_chat_id {
            return Self::ChatGone { migrated_to: Some(id) };
        }
        Self::from_description(code, description)
    }

    fn from_description(code: u16, description: String) -> Self {
        let text = description.to_ascii_lowercase();
        let says = |any: &[&str]| any.iter().any(|part| text.contains(part));
        match code {
            401 | 404 => Self::Token,
            403 => Self::Blocked(description),
            409 => Self::Conflict(description),
            413 => Self::TooLong,
            429 => Self::RetryAfter(DEFAULT_WAIT),
            400 if says(NOT_MODIFIED) => Self::NotModified,
            400 if says(TOO_OLD) => Self::QueryTooOld,
            400 if says(TOO_LONG) => Self::TooLong,
            400 if says(BAD_ENTITIES) => Self::BadEntities,
            400 if says(MESSAGE_GONE) => Self::MessageGone,
            400 if says(CHAT_GONE) => Self::ChatGone { migrated_to: None },
            400 if says(NO_RIGHTS) => Self::Blocked(description),
            _ => Self::Other { code, description },
        }
    }

    /// An answer that is not Telegram's: of a proxy, a login page, the wrong server.
    fn from_stranger(status: u16) -> Self {
        match status {
            300..=399 => {
                Self::NotSent(format!("it sends us elsewhere, HTTP {status}; check telegram.api_url"))
            }
            401 | 404 => Self::Token,
            407 => Self::NotSent("the proxy wants a password, HTTP 407".into()),
            413 => Self::TooLong,
            429 => Self::RetryAfter(DEFAULT_WAIT),
            _ => Self::Unknown(format!("the answer is not Telegram's, HTTP {status}")),
        }
    }
}

// Telegram's words are no contract; each is looked for in lower case, anywhere in the description.
const NOT_MODIFIED: &[&str] = &["message is not modified"];
const TOO_OLD: &[&str] = &["query is too old", "query_id_invalid"];
const TOO_LONG: &[&str] = &["is too long", "message_too_long", "caption_too_long", "too big", "too large"];
const BAD_ENTITIES: &[&str] = &[
    "can't parse entit",
    "can't parse message entit",
    "can't parse caption entit",
    "entity_",
    "entity beginning",
    "entities",
];
const MESSAGE_GONE: &[&str] = &[
    "message to edit not found",
    "message can't be edited",
    "message to delete not found",
    "message to be replied not found",
    "message to reply not found",
    "replied message not found",
    "reply message not found",
    "message_id_invalid",
    "there is no text in the message to edit",
    "there is no caption in the message to edit",
    "there is no media in the message to edit",
];
const CHAT_GONE: &[&str] = &[
    "chat not found",
    "peer_id_invalid",
    "chat_id_invalid",
    "upgraded to a supergroup",
    "message thread not found",
    "topic_deleted",
    "topic_closed",
    "chat was deleted",
    "chat is deactivated",
];
const NO_RIGHTS: &[&str] = &[
    "not enough rights to send",
    "have no rights to send",
    "chat_write_forbidden",
    "chat_restricted",
    "user_is_blocked",
    "bot is not a member",
    "bot was kicked",
    "need administrator rights",
];

#[derive(Deserialize)]
struct Refusal {
    ok: bool,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

/// The innermost cause in words, which names neither URL nor header.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if cause.is::<reqwest::Error>() { "unknown cause".into() } else { cause.to_string() }
}

/// Foreign words fit to be shown: without the token and URLs, on one line, cut.
pub(super) fn clean(text: &str, token: &Token) -> String {
    let text = Untrusted::new(&token.hide(text));
    let words: Vec<_> =
        text.as_str().split_whitespace().map(|w| if w.contains("://") { "<url>" } else { w }).collect();
    Untrusted::new(&words.join(" ")).cut(QUOTE).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, body: &str) -> Fault {
        Fault::from_answer(status, body.as_bytes(), &Token::new("1:secret").unwrap())
    }

    fn refused(code: u16, description: &str) -> Fault {
        fault(code, &format!(r#"{{"ok":false,"error_code":{code},"description":"{description}"}}"#))
    }

    #[test]
    fn telegrams_refusals_are_told_apart() {
        let gone = Fault::ChatGone { migrated_to: None };
        let blocked = |words: &str| Fault::Blocked(words.into());
        let other = |code, words: &str| Fault::Other { code, description: words.into() };
        #[rustfmt::skip]
        let table = [
            (400, "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message", Fault::NotModified),
            (400, "Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 3", Fault::BadEntities),
            (400, "Bad Request: ENTITY_BOUNDS_INVALID", Fault::BadEntities),
            (400, "Bad Request: message is too long", Fault::TooLong),
            (400, "Bad Request: MESSAGE_TOO_LONG", Fault::TooLong),
            (400, "Bad Request: message caption is too long", Fault::TooLong),
            (400, "Bad Request: file is too big", Fault::TooLong),
            (413, "Request Entity Too Large", Fault::TooLong),
            (400, "Bad Request: message to edit not found", Fault::MessageGone),
            (400, "Bad Request: message can't be edited", Fault::MessageGone),
            (400, "Bad Request: message to delete not found", Fault::MessageGone),
            (400, "Bad Request: message to be replied not found", Fault::MessageGone),
            (400, "Bad Request: there is no text in the message to edit", Fault::MessageGone),
            (400, "Bad Request: message can't be deleted", other(400, "Bad Request: message can't be deleted")),
            (400, "Bad Request: query is too old and response timeout expired or query ID is invalid", Fault::QueryTooOld),
            (400, "Bad Request: chat not found", gone.clone()),
            (400, "Bad Request: message thread not found", gone),
            (400, "Bad Request: not enough rights to send text messages to the chat", blocked("Bad Request: not enough rights to send text messages to the chat")),
            (403, "Forbidden: bot was blocked by the user", blocked("Forbidden: bot was blocked by the user")),
            (403, "Forbidden: user is deactivated", blocked("Forbidden: user is deactivated")),
            (403, "Forbidden: bot can't initiate conversation with a user", blocked("Forbidden: bot can't initiate conversation with a user")),
            (403, "Forbidden: bot was kicked from the supergroup chat", blocked("Forbidden: bot was kicked from the supergroup chat")),
            (401, "Unauthorized", Fault::Token),
            (404, "Not Found", Fault::Token),
            (409, "Conflict: terminated by other getUpdates request", Fault::Conflict("Conflict: terminated by other getUpdates request".into())),
            (500, "Internal Server Error", Fault::Server(500)),
            (502, "Bad Gateway", Fault::Server(502)),
            (429, "Too Many Requests", Fault::RetryAfter(DEFAULT_WAIT)),
            (400, "Bad Request: BUTTON_DATA_INVALID", other(400, "Bad Request: BUTTON_DATA_INVALID")),
        ];
        for (code, description, want) in table {
            assert_eq!(refused(code, description), want, "{description}");
        }
    }

    #[test]
    fn parameters_count_and_are_bounded() {
        for (seconds, want) in [("3", 3), ("0", 0), ("99999999", 24 * 3600)] {
            let body = format!(
                r#"{{"ok":false,"error_code":429,"description":"Too Many Requests: retry after {seconds}","parameters":{{"retry_after":{seconds}}}}}"#
            );
            assert_eq!(fault(429, &body), Fault::RetryAfter(Duration::from_secs(want)));
        }
        let body = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001}}"#;
        let moved = fault(400, body);
        assert_eq!(moved, Fault::ChatGone { migrated_to: Some(-1001) });
        assert!(moved.to_string().contains("-1001"));
    }

    #[test]
    fn strangers_answers_never_look_like_success_or_refusal() {
        let unknown = |status| Fault::Unknown(format!("the answer is not Telegram's, HTTP {status}"));
        let table = [
            (502, "<html>Bad Gateway</html>", Fault::Server(502)),
            (504, "", Fault::Server(504)),
            (200, "<html>log in</html>", unknown(200)),
            (200, r#"{"ok":"#, unknown(200)),
            (403, "<html>blocked by policy</html>", unknown(403)),
            (404, "<html>nginx</html>", Fault::Token),
            (413, "<html>", Fault::TooLong),
            (429, "<html>", Fault::RetryAfter(DEFAULT_WAIT)),
            (400, "[1,2]", unknown(400)),
        ];
        for (status, body, want) in table {
            assert_eq!(fault(status, body), want, "{status} {body}");
        }
        assert!(matches!(fault(302, ""), Fault::NotSent(why) if why.contains("telegram.api_url")));
        assert!(matches!(fault(407, ""), Fault::NotSent(_)));
    }

    #[test]
    fn foreign_words_are_cut_cleaned_and_hold_no_secret() {
        let long = "x".repeat(5000);
        let evil = format!("a \\u001b[31mred\\u202e 1:secret https://h/bot1:secret/getMe {long}");
        let Fault::Other { description, .. } = refused(418, &evil) else { panic!() };
        assert!(description.starts_with("a red … <url> x"), "{description}");
        assert!(description.len() <= QUOTE, "{}", description.len());
        assert!(!description.contains("secret"));
    }
}
