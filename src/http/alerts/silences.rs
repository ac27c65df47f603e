//! Silences over the API: listed, made, changed and ended as amtool does it.

use axum::{
    body::Bytes,
    extract::{Path, Request, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RECEIVER, Surface, answer, answer::No, intake, kept::cleaned, query::Wanted};
use crate::{
    alerts::{Conditions, Desk, check_regex, is_label_name},
    domain::{Action, Actor, ChannelKind, Matcher, Origin, Role, Silence, SilenceId, Subject},
    runtime::clock,
};

/// The largest silence that is read, in bytes.
const BODY: usize = 1 << 20;
const MOST_MATCHERS: usize = 50;
const LONGEST_VALUE: usize = 1024;
const LONGEST_NAME: usize = 100;
const LONGEST_COMMENT: usize = 500;
/// What every silence's UUID begins with; its number follows.
const PREFIX: &str = "6f707362-6f74-4000-8000-";

/// The UUID that stands for a silence's number.
pub(super) fn uuid(id: SilenceId) -> String {
    format!("{PREFIX}{:012x}", id.0)
}

/// The number that a UUID stands for.
fn number(uuid: &str) -> Option<SilenceId> {
    let digits = uuid.strip_prefix(PREFIX).filter(|digits| digits.len() == 12)?;
    i64::from_str_radix(digits, 16).ok().map(SilenceId)
}

#[derive(Serialize)]
struct Status {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    status: Status,
    updated_at: Timestamp,
    comment: String,
    created_by: String,
    ends_at: Timestamp,
    matchers: Vec<Matcher>,
    starts_at: Timestamp,
}

impl Shown {
    fn new(silence: &Silence, now: Timestamp) -> Self {
        let state = if silence.ends_at <= now {
            "expired"
        } else if silence.starts_at > now {
            "pending"
        } else {
            "active"
        };
        Self {
            id: uuid(silence.id),
            status: Status { state },
            updated_at: silence.starts_at.min(now),
            comment: silence.comment.clone(),
            created_by: silence.by.clone(),
            ends_at: silence.ends_at,
            matchers: silence.matchers.clone(),
            starts_at: silence.starts_at,
        }
    }
}

/// What `POST /api/v2/silences` brings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    id: Option<String>,
    matchers: Vec<Matcher>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
}

#[derive(Serialize)]
struct Made {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

/// `GET /api/v2/silences`.
pub(super) async fn list(State(surface): State<Surface>, uri: Uri) -> Response {
    let wanted = match Wanted::read(&uri, RECEIVER) {
        Ok(wanted) => wanted,
        Err(no) => return no.into_response(),
    };
    let now = clock::now();
    let mut all: Vec<_> = surface.pager().look(|desk| {
        let asked_for = |silence: &&Silence| wanted.matchers.iter().all(|m| mentions(silence, m));
        desk.silences().into_iter().filter(asked_for).map(|silence| Shown::new(silence, now)).collect()
    });
    all.sort_by_key(|shown| (order(shown.status.state), shown.ends_at));
    answer::json(&all)
}

/// Active ones first, as Alertmanager lists them.
fn order(state: &str) -> u8 {
    match state {
        "active" => 0,
        "pending" => 1,
        _ => 2,
    }
}

/// Whether a silence is found by this filter: Alertmanager holds it against what the silence's own matcher wants.
fn mentions(silence: &Silence, filter: &Matcher) -> bool {
    let own = silence.matchers.iter().find(|m| m.name == filter.name);
    let labels = own.map(|m| (m.name.clone(), m.value.clone())).into_iter().collect();
    Conditions::new(std::slice::from_ref(filter)).hold(&labels, &Subject::default())
}

/// `GET /api/v2/silence/{id}`.
pub(super) async fn one(State(surface): State<Surface>, Path(id): Path<String>) -> Response {
    let now = clock::now();
    let found = number(&id).and_then(|id| {
        let shown = |desk: &Desk| {
            desk.silences().into_iter().find(|s| s.id == id).map(|silence| Shown::new(silence, now))
        };
        surface.pager().look(shown)
    });
    found.map_or_else(|| unknown().into_response(), |shown| answer::json(&shown))
}

fn unknown() -> No {
    No::new("silence", StatusCode::NOT_FOUND, "there is no such silence")
}

/// `DELETE /api/v2/silence/{id}`.
pub(super) async fn expire(State(surface): State<Surface>, Path(id): Path<String>) -> Response {
    let known =
        number(&id).filter(|id| surface.pager().look(|desk| desk.silences().iter().any(|s| s.id == *id)));
    let Some(silence) = known else { return unknown().into_response() };
    let by = actor();
    let action = Action::Unsilence { silence, by: by.person.to_string() };
    match surface.pager().act(action, Some(&by)).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => No::from(error).into_response(),
    }
}

/// `POST /api/v2/silences`.
pub(super) async fn make(State(surface): State<Surface>, request: Request) -> Response {
    match silence(&surface, request).await {
        Ok(id) => answer::json(&Made { silence_id: uuid(id) }),
        Err(no) => no.into_response(),
    }
}

async fn silence(surface: &Surface, request: Request) -> Result<SilenceId, No> {
    if !intake::is_json(request.headers()) {
        let text = "a silence is application/json; set the header Content-Type";
        return Err(No::new("silence", StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let (_held, body) = intake::receive(surface, request, BODY).await?;
    let now = clock::now();
    let action = read(&body, now).map_err(|text| No::bad("silence", text))?;
    let changes = surface.pager().act(action, Some(&actor())).await?;
    let lasting = changes.silences.iter().filter(|silence| silence.ends_at > now).map(|silence| silence.id);
    lasting.max().ok_or_else(|| No::later("silence", "the silence was not made; try again"))
}

/// What a body wants.
fn read(body: &Bytes, now: Timestamp) -> Result<Action, String> {
    let wish: Wish = serde_json::from_slice(body).map_err(|error| format!("is no silence: {error}"))?;
    let id = match wish.id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => Some(number(id).ok_or("there is no silence with this id; leave it out for a new one")?),
        None => None,
    };
    if wish.matchers.is_empty() || wish.matchers.len() > MOST_MATCHERS {
        return Err(format!("a silence has 1 to {MOST_MATCHERS} matchers"));
    }
    for matcher in &wish.matchers {
        if !is_label_name(&matcher.name) || matcher.name.len() > LONGEST_VALUE {
            return Err("a matcher's name is no label's name".into());
        }
        if matcher.value.len() > LONGEST_VALUE {
            return Err(format!("a matcher's value is longer than {LONGEST_VALUE} bytes"));
        }
        if matcher.is_regex {
            check_regex(&matcher.value).map_err(|what| format!("the matcher of {} {what}", matcher.name))?;
        }
    }
    Ok(Action::Silence {
        matchers: wish.matchers,
        // Alertmanager begins one at once that should have begun earlier; Go's zero is such a time.
        starts_at: wish.starts_at.max(now),
        ends_at: wish.ends_at,
        by: cleaned(&wish.created_by, LONGEST_NAME),
        comment: cleaned(&wish.comment, LONGEST_COMMENT),
        id,
    })
}

/// Who acts when the API does: whoever holds the token. Who that is in person is only claimed.
fn actor() -> Actor {
    Actor { person: "api".into(), role: Role::Operator, channel: ChannelKind::Web, origin: Origin::Typed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_has_a_uuid_and_back() {
        assert_eq!(uuid(SilenceId(255)), "6f707362-6f74-4000-8000-0000000000ff");
        for id in [1, 255, 0xffff_ffff_ffff] {
            assert_eq!(number(&uuid(SilenceId(id))), Some(SilenceId(id)));
        }
        for bad in [
            "",
            "255",
            "6f707362-6f74-4000-8000-",
            "6f707362-6f74-4000-8000-00000000000g",
            "00000000-0000-4000-8000-0000000000ff",
        ] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_silence_is_read_or_says_what_is_wrong() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let wish = |matchers: &str, more: &str| {
            let text = format!(
                r#"{{"matchers":{matchers},"startsAt":"2026-11-21T08:00:00.000Z","endsAt":"2026-11-21T10:00:00Z",
                "createdBy":"an\u202ena","comment":"c"{more}}}"#
            );
            read(&Bytes::from(text), now)
        };
        let one = r#"[{"name":"a","value":"b","isRegex":false}]"#;
        let Ok(Action::Silence { matchers, starts_at, by, id, .. }) = wish(one, "") else { panic!() };
        assert!(matchers[0].is_equal && starts_at == now && by == "anna" && id.is_none());
        let table = [
            ("[]", "", "1 to 50 matchers"),
            (r#"[{"name":"a b","value":"b","isRegex":false}]"#, "", "no label's name"),
            (r#"[{"name":"a","value":"(","isRegex":true}]"#, "", "no regular expression"),
            (r#"[{"name":"a"}]"#, "", "is no silence: missing field"),
            (one, r#","id":"x""#, "no silence with this id"),
        ];
        for (matchers, more, part) in table {
            let error = wish(matchers, more).unwrap_err();
            assert!(error.contains(part), "{matchers}: {error}");
        }
        assert!(read(&Bytes::from_static(b"nonsense"), now).is_err());
    }
}
