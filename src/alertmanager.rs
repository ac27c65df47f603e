//! Silences written through to an Alertmanager: what is silenced here is made to hold there, and what ended here ends there.
//! It compares and repeats, so nothing that failed once is lost; pages never wait for it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Matcher, Silence, SilenceId, Untrusted},
    pager::Pager,
    runtime::clock,
};

/// How long one request may take, and how long it is waited after a failure.
const WITHIN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const MAX_BODY: usize = 8 << 20;
/// How a silence of ours is known there, at the end of its comment.
const MARK: &str = "[OpsBot silence ";

/// A silence as Alertmanager has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Theirs {
    id: String,
    status: Status,
    #[serde(default)]
    matchers: Vec<Matcher>,
    ends_at: Timestamp,
    #[serde(default)]
    comment: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Status {
    state: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    matchers: &'a [Matcher],
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: &'a str,
    comment: String,
}

/// One difference to be put right.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Make it there, or change the one that has this id.
    Put(Option<String>, Silence),
    /// End the one that has this id.
    End(String),
}

/// The client and what was last wrong; clones share it.
#[derive(Clone)]
pub struct Alertmanager {
    http: reqwest::Client,
    base: Url,
    trouble: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Alertmanager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Alertmanager({})", self.base.host_str().unwrap_or_default())
    }
}

impl Alertmanager {
    /// A client; it does not connect yet. The process must have installed rustls' crypto provider before.
    ///
    /// # Errors
    /// One sentence for whoever wrote the configuration.
    pub fn new(url: &str) -> Result<Self, String> {
        let base = Url::parse(url.trim().trim_end_matches('/'))
            .map_err(|e| format!("the Alertmanager URL makes no sense ({e}); e.g. http://127.0.0.1:9093"))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("opsbot/", env!("CARGO_PKG_VERSION")))
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none());
        let local =
            base.host_str().is_some_and(|h| h == "localhost" || h.starts_with("127.") || h == "[::1]");
        if local {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|e| format!("no HTTP client for Alertmanager: {e}"))?;
        Ok(Self { http, base, trouble: Arc::default() })
    }

    /// What is wrong with the last attempt, in a sentence.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the silences there as they are here whenever these change, until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn follow(&self, pager: Pager, stop: CancellationToken) -> Result<(), String> {
        let mut changes = pager.changes();
        let mut written: Option<Vec<Silence>> = None;
        loop {
            let ours: Vec<Silence> = pager.look(|desk| desk.silences().into_iter().cloned().collect());
            if written.as_ref() != Some(&ours) {
                let done = self.reconcile(&ours, clock::now()).await;
                if let Err(why) = &done {
                    tracing::warn!(
                        why,
                        "silences could not be written through to Alertmanager; trying again"
                    );
                }
                written = done.is_ok().then_some(ours);
                let trouble = done.err().map(|why| {
                    format!("The Alertmanager at write_silences does not have these silences yet: {why}. It is tried again.")
                });
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            }
            let failed = written.is_none();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(AGAIN), if failed => {}
                changed = changes.changed(), if !failed => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// Puts right whatever differs.
    ///
    /// # Errors
    /// The first request that failed, in words without the URL.
    pub async fn reconcile(&self, ours: &[Silence], now: Timestamp) -> Result<(), String> {
        let answer = self.http.get(self.endpoint("silences")).send().await.map_err(said)?;
        let theirs: Vec<Theirs> = serde_json::from_slice(&body(answer).await?)
            .map_err(|_| "it answers something that is no list of silences".to_owned())?;
        for step in differences(ours, &theirs, now) {
            let sent = match &step {
                Step::Put(id, silence) => {
                    let posted = Posted {
                        id: id.as_deref(),
                        matchers: &silence.matchers,
                        starts_at: silence.starts_at,
                        ends_at: silence.ends_at,
                        created_by: &silence.by,
                        comment: format!("{} {MARK}{}]", silence.comment, silence.id).trim().to_owned(),
                    };
                    self.http.post(self.endpoint("silences")).json(&posted).send().await
                }
                Step::End(id) => self.http.delete(self.endpoint(&format!("silence/{id}"))).send().await,
            };
            body(sent.map_err(said)?).await?;
        }
        Ok(())
    }

    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v2/{path}", self.base.path().trim_end_matches('/')));
        url
    }
}

/// The answer's body, or the refusal in words.
async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(said)? {
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err("its answer is too large".into());
        }
        bytes.extend_from_slice(&chunk);
    }
    match status {
        // What is to be ended is gone already.
        StatusCode::NOT_FOUND => Ok(bytes),
        status if status.is_success() => Ok(bytes),
        status => {
            let why = Untrusted::from_bytes(&bytes).cut(200);
            Err(format!("it answers {}: {}", status.as_u16(), why.as_str().trim()))
        }
    }
}

/// A failure without the URL.
fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error} ({cause})"))
}

/// The number of our silence that a comment names.
fn marked(comment: &str) -> Option<SilenceId> {
    let (_, rest) = comment.rsplit_once(MARK)?;
    rest.strip_suffix(']')?.parse().ok().map(SilenceId)
}

fn differences(ours: &[Silence], theirs: &[Theirs], now: Timestamp) -> Vec<Step> {
    let live: Vec<_> = theirs
        .iter()
        .filter(|t| t.status.state != "expired")
        .filter_map(|t| Some((marked(&t.comment)?, t)))
        .collect();
    let mut steps = Vec::new();
    for silence in ours.iter().filter(|s| s.ends_at > now) {
        match live.iter().find(|(id, _)| *id == silence.id) {
            Some((_, there)) if is_same(silence, there) => {}
            Some((_, there)) => steps.push(Step::Put(Some(there.id.clone()), silence.clone())),
            None => steps.push(Step::Put(None, silence.clone())),
        }
    }
    let over = live.iter().filter(|(id, _)| !ours.iter().any(|s| s.id == *id && s.ends_at > now));
    steps.extend(over.map(|(_, there)| Step::End(there.id.clone())));
    steps
}

/// Alertmanager keeps milliseconds, and sorts the matchers.
fn is_same(ours: &Silence, theirs: &Theirs) -> bool {
    let key = |m: &Matcher| (m.name.clone(), m.value.clone(), m.is_regex, m.is_equal);
    let sorted = |all: &[Matcher]| {
        let mut all: Vec<_> = all.iter().map(key).collect();
        all.sort();
        all
    };
    ours.ends_at.duration_since(theirs.ends_at).as_millis().abs() <= 1000
        && sorted(&ours.matchers) == sorted(&theirs.matchers)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::alerts::silencing::equal;

    fn at(minutes: i64) -> Timestamp {
        let begin: Timestamp = "2026-12-01T02:00:00Z".parse().unwrap();
        begin.checked_add(SignedDuration::from_mins(minutes)).unwrap()
    }

    fn ours(id: i64, ends: i64) -> Silence {
        let matchers = vec![equal("customer", "19"), equal("alertname", "Down")];
        let (starts_at, ends_at) = (at(0), at(ends));
        Silence { id: SilenceId(id), matchers, starts_at, ends_at, by: "anna".into(), comment: "why".into() }
    }

    fn theirs(id: &str, comment: &str, state: &str, ends: i64) -> Theirs {
        let matchers = vec![equal("alertname", "Down"), equal("customer", "19")];
        let (status, ends_at) = (Status { state: state.into() }, at(ends));
        Theirs { id: id.into(), status, matchers, ends_at, comment: comment.into() }
    }

    #[test]
    fn what_differs_is_put_right_and_nothing_of_others_is_touched() {
        let mark = "why [OpsBot silence 3]";
        let table = [
            (vec![ours(3, 60)], vec![], vec![Step::Put(None, ours(3, 60))]),
            (vec![ours(3, 60)], vec![theirs("a", mark, "active", 60)], vec![]),
            (
                vec![ours(3, 90)],
                vec![theirs("a", mark, "active", 60)],
                vec![Step::Put(Some("a".into()), ours(3, 90))],
            ),
            (vec![ours(3, 60)], vec![theirs("a", mark, "expired", 60)], vec![Step::Put(None, ours(3, 60))]),
            (vec![], vec![theirs("a", mark, "active", 60)], vec![Step::End("a".into())]),
            (vec![ours(3, 5)], vec![theirs("a", mark, "active", 60)], vec![Step::End("a".into())]),
            (vec![], vec![theirs("a", mark, "expired", 5), theirs("b", "by hand", "active", 60)], vec![]),
        ];
        for (n, (here, there, want)) in table.into_iter().enumerate() {
            assert_eq!(differences(&here, &there, at(10)), want, "row {n}");
        }
        assert_eq!(marked("x [OpsBot silence 12]"), Some(SilenceId(12)));
        assert_eq!(marked("x [OpsBot silence 12] y"), None);
    }

    #[test]
    fn a_url_that_makes_no_sense_is_refused() {
        rustls::crypto::ring::default_provider().install_default().ok();
        assert!(Alertmanager::new("nonsense").unwrap_err().contains("http://127.0.0.1:9093"));
        assert_eq!(
            Alertmanager::new("http://h:9093/am/").unwrap().endpoint("silences").path(),
            "/am/api/v2/silences"
        );
    }
}
