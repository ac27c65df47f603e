//! What registries have under a tag: asked through the engine, remembered for a while, refusals told in plain words.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    docker::{DockerError, DockerHosts, Tag},
    domain::HostName,
    tools::units,
};

/// Registries limit requests; tags do not move every minute.
const GOOD_FOR: Duration = Duration::from_secs(600);
/// A refusal may be over soon.
const BAD_FOR: Duration = Duration::from_secs(60);
/// Longer explanations of an engine are cut.
const LONGEST: usize = 160;

type Answer = Result<String, String>;

/// The digests of tags, as the engines of the hosts get them.
#[derive(Debug)]
pub(super) struct Registry {
    hosts: DockerHosts,
    known: Mutex<BTreeMap<(HostName, Tag), (Timestamp, Answer)>>,
}

impl Registry {
    pub fn new(hosts: DockerHosts) -> Self {
        Self { hosts, known: Mutex::default() }
    }

    /// The digest that the tag has now, or a sentence that says why it is not known.
    pub async fn digest(&self, host: &HostName, tag: &Tag, now: Timestamp) -> Answer {
        let key = (host.clone(), tag.clone());
        if let Some(answer) = self.remembered(&key, now) {
            return answer;
        }
        let answer = self.hosts.registry_digest(host, tag).await.map_err(|e| plain(&e));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, answer)| is_good(*at, answer, now));
        known.insert(key, (now, answer.clone()));
        answer
    }

    fn remembered(&self, key: &(HostName, Tag), now: Timestamp) -> Option<Answer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = known.get(key)?;
        is_good(*at, answer, now).then(|| answer.clone())
    }
}

fn is_good(at: Timestamp, answer: &Answer, now: Timestamp) -> bool {
    at <= now && units::since(at, now) < if answer.is_ok() { GOOD_FOR } else { BAD_FOR }
}

/// The engine hands the registry's refusal through as text; what it means decides what to do.
fn plain(error: &DockerError) -> String {
    let DockerError::Refused { status, message, .. } = error else { return error.to_string() };
    let lower = message.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if says(&["opsbot-docker-helper"]) {
        return message.clone();
    }
    let sentence = if *status == 429 || says(&["toomanyrequests", "rate limit", "too many requests"]) {
        "the registry limits how often it is asked; ask again later"
    } else if says(&[
        "no such host",
        "dial tcp",
        "connection refused",
        "timeout",
        "unreachable",
        "misbehaving",
        "eof",
    ]) {
        "the engine cannot reach the registry; check that host's network and DNS"
    } else if says(&["certificate", "x509", "gave http response to https"]) {
        "the engine does not trust the registry's certificate"
    } else if matches!(status, 401 | 403)
        || says(&["unauthorized", "denied", "authentication required", "no basic auth"])
    {
        "the registry wants a login, or has no such image; engines keep no logins, look there by hand"
    } else if *status == 404 || says(&["not found", "manifest unknown", "name unknown"]) {
        "the registry no longer has this tag"
    } else {
        // Addresses may carry tokens.
        let words = message.split_whitespace().filter(|word| !word.contains("://"));
        let words: String = words.collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect();
        return format!("the engine answered {status}: {words}");
    };
    sentence.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_by_what_to_do() {
        let table = [
            (
                500,
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host",
                "cannot reach",
            ),
            (500, "Get https://r/v2/: net/http: request canceled (Client.Timeout exceeded)", "cannot reach"),
            (500, "toomanyrequests: You have reached your pull rate limit.", "limits how often"),
            (429, "", "limits how often"),
            (401, "unauthorized: authentication required", "wants a login"),
            (403, "errors:\ndenied: requested access to the resource is denied", "wants a login"),
            (404, "manifest unknown: manifest unknown", "no longer has"),
            (500, "x509: certificate signed by unknown authority", "certificate"),
            (
                403,
                "opsbot-docker-helper refuses this: the engine has no such image",
                "opsbot-docker-helper refuses",
            ),
            (500, "odd https://r/?token=SEEN thing", "answered 500: odd thing"),
        ];
        for (status, message, want) in table {
            let error = DockerError::Refused { host: "h".into(), status, message: message.into() };
            let told = plain(&error);
            assert!(told.contains(want) && !told.contains("SEEN"), "{message}: {told}");
        }
    }

    #[test]
    fn refusals_are_forgotten_sooner_than_answers() {
        let at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let after = |s: i64| Timestamp::from_second(at.as_second() + s).unwrap();
        let (good, bad) = (Ok("d".to_owned()), Err("no".to_owned()));
        for (answer, seconds, want) in
            [(&good, 599, true), (&good, 600, false), (&good, -1, false), (&bad, 59, true), (&bad, 60, false)]
        {
            assert_eq!(is_good(at, answer, after(seconds)), want, "{seconds}");
        }
    }
}
