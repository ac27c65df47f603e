//! The exact table of what goes through: method, path and query of a request to a route, or a refusal. No IO.

use std::collections::BTreeMap;

use super::{Verb, refusal::Refusal};

/// Older versions of the API change containers by a body at their start.
const OLDEST_MINOR: u8 = 24;
/// The longest that a container may take to end, in seconds.
const LONGEST_GRACE: u64 = 600;
const MOST_LINES: u64 = 1_000_000;
const LONGEST_NAME: usize = 128;
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_FILTERS: usize = 4096;

/// What is asked of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ping,
    Version,
    List,
    Events,
    Inspect,
    Logs,
    Stats,
    /// What is on the disk.
    Measure,
    /// The images that the engine has.
    Images,
    /// What a registry has under a tag: the engine asks it, and pulls nothing.
    Distribution,
    Write(Verb),
}

/// A request that has a place in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub action: Action,
    /// The container's name, id or part of an id; none where no container is meant.
    pub container: Option<String>,
    /// The repository and the tag of the image that is meant.
    pub image: Option<(String, String)>,
    /// `/v1.41`, or nothing.
    version: String,
    /// The allowed parameters, written anew.
    query: String,
    /// How long the container may take to end, in seconds, where the request says so.
    pub grace: Option<u64>,
}

impl Route {
    /// Finds the request's place in the table.
    pub(super) fn read(method: &str, path: &str, query: Option<&str>) -> Result<Self, Refusal> {
        let segments = segments(path)?;
        let (version, rest) = match segments.split_first() {
            Some((first, rest)) if is_version(first) => (format!("/{first}"), rest),
            _ => (String::new(), segments.as_slice()),
        };
        let (action, object) = action(method, rest).ok_or_else(|| {
            Refusal::forbidden(format!("{method} on this path is not in its table of routes"))
        })?;
        let (container, image) = match object {
            Object::None => (None, None),
            Object::Container(name) => (Some(container(name)?), None),
            Object::Image(parts) => (None, Some(image(parts)?)),
        };
        let (query, grace) = read_query(action, query.unwrap_or_default())?;
        Ok(Self { action, container, image, version, query, grace })
    }

    /// Where the engine is asked, for the container with that full id.
    pub(super) fn target(&self, id: &str) -> String {
        let path = match self.action {
            Action::Ping => "/_ping".to_owned(),
            Action::Version => "/version".to_owned(),
            Action::List => "/containers/json".to_owned(),
            Action::Events => "/events".to_owned(),
            Action::Inspect => format!("/containers/{id}/json"),
            Action::Logs => format!("/containers/{id}/logs"),
            Action::Stats => format!("/containers/{id}/stats"),
            Action::Measure => "/system/df".to_owned(),
            Action::Images => "/images/json".to_owned(),
            Action::Distribution => {
                let (repository, tag) = self.image.clone().unwrap_or_default();
                format!("/distribution/{repository}:{tag}/json")
            }
            Action::Write(verb) => format!("/containers/{id}/{}", verb.word()),
        };
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{}", self.version, self.query)
    }

    /// Where the engine is asked for all containers, or for all images.
    pub(super) fn beside(&self, path: &str) -> String {
        format!("{}{path}", self.version)
    }

    /// Where the engine is asked which container is meant.
    pub(super) fn lookup(&self) -> Option<String> {
        self.container.as_ref().map(|name| format!("{}/containers/{name}/json", self.version))
    }
}

/// What a path names.
enum Object<'p> {
    None,
    Container(&'p str),
    /// The parts of an image's name.
    Image(&'p [&'p str]),
}

/// The table.
fn action<'p>(method: &str, path: &'p [&'p str]) -> Option<(Action, Object<'p>)> {
    use Object::{Container, Image, None as Nothing};
    Some(match (method, path) {
        ("GET" | "HEAD", ["_ping"]) => (Action::Ping, Nothing),
        ("GET", ["version"]) => (Action::Version, Nothing),
        ("GET", ["events"]) => (Action::Events, Nothing),
        ("GET", ["system", "df"]) => (Action::Measure, Nothing),
        ("GET", ["images", "json"]) => (Action::Images, Nothing),
        ("GET", ["distribution", name @ .., "json"]) => (Action::Distribution, Image(name)),
        ("GET", ["containers", "json"]) => (Action::List, Nothing),
        ("GET", ["containers", name, "json"]) => (Action::Inspect, Container(name)),
        ("GET", ["containers", name, "logs"]) => (Action::Logs, Container(name)),
        ("GET", ["containers", name, "stats"]) => (Action::Stats, Container(name)),
        ("POST", ["containers", name, "start"]) => (Action::Write(Verb::Start), Container(name)),
        ("POST", ["containers", name, "stop"]) => (Action::Write(Verb::Stop), Container(name)),
        ("POST", ["containers", name, "restart"]) => (Action::Write(Verb::Restart), Container(name)),
        _ => return None,
    })
}

/// The parts between slashes; a path that could be read in two ways has none.
fn segments(path: &str) -> Result<Vec<&str>, Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b':');
    if !path.bytes().all(plain) {
        return Err(Refusal::forbidden("a path holds letters, digits, `_`, `.`, `-`, `:` and `/` only"));
    }
    let rest = path.strip_prefix('/').ok_or_else(|| Refusal::forbidden("a path begins with `/`"))?;
    let segments: Vec<_> = rest.split('/').collect();
    if segments.iter().any(|s| matches!(*s, "" | "." | "..")) {
        return Err(Refusal::forbidden("a path has no empty part, `.` or `..`"));
    }
    Ok(segments)
}

fn is_version(segment: &str) -> bool {
    let minor = segment.strip_prefix("v1.").filter(|m| m.len() == 2 && m.bytes().all(|b| b.is_ascii_digit()));
    minor.and_then(|m| m.parse::<u8>().ok()).is_some_and(|m| m >= OLDEST_MINOR)
}

fn container(name: &str) -> Result<String, Refusal> {
    // The path's characters are a name's characters already, but for the colon.
    let fine = name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.contains(':');
    if fine { Ok(name.to_owned()) } else { Err(Refusal::forbidden("this is no container's name or id")) }
}

/// Repository and tag of `registry:5000/acme/shop:v1`. The tag must be there: nothing is left to the engine to guess.
fn image(parts: &[&str]) -> Result<(String, String), Refusal> {
    let no = || Refusal::forbidden("this is no image's name with its tag");
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
    let (last, before) = parts.split_last().ok_or_else(no)?;
    let (name, tag) = last.split_once(':').ok_or_else(no)?;
    // Only a registry, which comes first, has a port.
    let port = |part: &str| part.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let ports = before.iter().enumerate().all(|(n, part)| !part.contains(':') || (n == 0 && port(part)));
    let repository = before.iter().copied().chain([name]).collect::<Vec<_>>().join("/");
    let tag_fine =
        (1..=LONGEST_NAME).contains(&tag.len()) && !tag.contains(':') && !tag.starts_with(['.', '-']);
    let fine =
        ports && tag_fine && repository.len() <= LONGEST_REPOSITORY && repository.split('/').all(begins);
    if fine { Ok((repository, tag.to_owned())) } else { Err(no()) }
}

/// What a parameter may hold.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    /// Only "no": the other is costly, or more than is needed.
    No,
    Number(u64),
    /// Seconds since 1970, with up to nine decimals.
    Time,
    /// A number of lines, or `all`.
    Lines,
    /// Docker's JSON of lists, under these names only.
    Filters(&'static [&'static str]),
}

fn parameters(action: Action) -> &'static [(&'static str, Kind)] {
    match action {
        Action::Ping
        | Action::Version
        | Action::Measure
        | Action::Images
        | Action::Distribution
        | Action::Write(Verb::Start) => &[],
        Action::List => &[
            ("all", Kind::Bool),
            ("limit", Kind::Number(10_000)),
            ("size", Kind::No),
            ("filters", Kind::Filters(&["health", "id", "name", "status"])),
        ],
        Action::Events => &[
            ("since", Kind::Time),
            ("until", Kind::Time),
            ("filters", Kind::Filters(&["container", "event", "type"])),
        ],
        Action::Inspect => &[("size", Kind::No)],
        Action::Logs => &[
            ("follow", Kind::Bool),
            ("stdout", Kind::Bool),
            ("stderr", Kind::Bool),
            ("since", Kind::Time),
            ("until", Kind::Time),
            ("timestamps", Kind::Bool),
            ("tail", Kind::Lines),
        ],
        Action::Stats => &[("stream", Kind::Bool), ("one-shot", Kind::Bool)],
        Action::Write(Verb::Stop | Verb::Restart) => &[("t", Kind::Number(LONGEST_GRACE))],
    }
}

/// The parameters written anew, and the grace among them.
fn read_query(action: Action, query: &str) -> Result<(String, Option<u64>), Refusal> {
    let mut seen = BTreeMap::new();
    for pair in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Refusal::forbidden("a parameter has the form name=value"))?;
        let Some((name, kind)) = parameters(action).iter().find(|(known, _)| *known == name) else {
            return Err(Refusal::forbidden("this route does not take one of these parameters"));
        };
        let value = kind.check(value).ok_or_else(|| {
            Refusal::forbidden(format!("the parameter `{name}` has a value that is not allowed"))
        })?;
        if seen.insert(*name, value).is_some() {
            return Err(Refusal::forbidden(format!("the parameter `{name}` is there twice")));
        }
    }
    let grace = seen.get("t").and_then(|t| t.parse().ok());
    let pairs: Vec<_> = seen.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok((pairs.join("&"), grace))
}

impl Kind {
    /// The value as it may go on; none if it may not.
    fn check(self, value: &str) -> Option<String> {
        let fine = match self {
            Self::Bool => matches!(value, "true" | "false" | "1" | "0"),
            Self::No => matches!(value, "false" | "0"),
            Self::Number(most) => number(value).is_some_and(|n| n <= most),
            Self::Time => is_time(value),
            Self::Lines => value == "all" || number(value).is_some_and(|n| n <= MOST_LINES),
            Self::Filters(names) => return filters(value, names),
        };
        fine.then(|| value.to_owned())
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn is_time(text: &str) -> bool {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str, most| (1..=most).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    digits(seconds, 12) && digits(fraction, 9)
}

fn filters(value: &str, names: &[&str]) -> Option<String> {
    let text = decoded(value).filter(|t| t.len() <= LONGEST_FILTERS)?;
    let wanted: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).ok()?;
    let known = wanted.keys().all(|name| names.contains(&name.as_str()));
    known.then(|| serde_json::to_string(&wanted).ok().map(|json| encoded(&json))).flatten()
}

/// A form's encoding undone, or none where it is broken.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(b) = rest.next() {
        bytes.push(match b {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' => b' ',
            b => b,
        });
    }
    String::from_utf8(bytes).ok()
}

fn encoded(text: &str) -> String {
    let byte =
        |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(method: &str, target: &str) -> Result<Route, Refusal> {
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        Route::read(method, path, query)
    }

    #[test]
    fn the_table_goes_through_with_and_without_a_version() {
        let table = [
            ("GET", "/_ping", "/_ping"),
            ("HEAD", "/_ping", "/_ping"),
            ("GET", "/version", "/version"),
            ("GET", "/containers/json", "/containers/json"),
            (
                "GET",
                "/containers/json?all=true&size=false&limit=7",
                "/containers/json?all=true&limit=7&size=false",
            ),
            ("GET", "/containers/web_1/json", "/containers/ID/json"),
            ("GET", "/containers/web/json?size=0", "/containers/ID/json?size=0"),
            (
                "GET",
                "/containers/web.a-b/logs?stdout=1&stderr=0&tail=all&since=1.000000009",
                "/containers/ID/logs?since=1.000000009&stderr=0&stdout=1&tail=all",
            ),
            (
                "GET",
                "/containers/web/stats?stream=false&one-shot=true",
                "/containers/ID/stats?one-shot=true&stream=false",
            ),
            (
                "GET",
                "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D",
                "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D",
            ),
            ("GET", "/containers/json?", "/containers/json"),
            ("GET", "/system/df", "/system/df"),
            ("GET", "/images/json", "/images/json"),
            ("GET", "/distribution/nginx:1.27/json", "/distribution/nginx:1.27/json"),
            (
                "GET",
                "/distribution/127.0.0.1:5000/acme/shop:v1_2/json",
                "/distribution/127.0.0.1:5000/acme/shop:v1_2/json",
            ),
            ("POST", "/containers/web/start", "/containers/ID/start"),
            ("POST", "/containers/web/stop?t=600", "/containers/ID/stop?t=600"),
            ("POST", "/containers/web/restart?t=0", "/containers/ID/restart?t=0"),
        ];
        for (method, target, want) in table {
            for version in ["", "/v1.24", "/v1.41", "/v1.53"] {
                let route = read(method, &format!("{version}{target}")).unwrap();
                assert_eq!(route.target("ID"), format!("{version}{want}"), "{method} {target}");
            }
        }
        let route = read("POST", "/v1.41/containers/web/restart?t=12").unwrap();
        assert_eq!((route.grace, route.lookup().as_deref()), (Some(12), Some("/v1.41/containers/web/json")));
    }

    #[test]
    fn parameters_are_counted_and_bounded() {
        let refused = [
            "GET /_ping?x=1",
            "GET /version?all=1",
            "GET /containers/json?all=yes",
            "GET /containers/json?all",
            "GET /containers/json?all=1&all=1",
            "GET /containers/json?all=1&all=0",
            "GET /containers/json?all=1&",
            "GET /containers/json?&all=1",
            "GET /containers/json?ALL=1",
            "GET /containers/json?all=1;size=1",
            "GET /containers/json?%61ll=1",
            "GET /containers/json?limit=-1",
            "GET /containers/json?limit=+1",
            "GET /containers/json?limit=10001",
            "GET /containers/json?size=true",
            "GET /containers/json?filters=",
            "GET /containers/json?filters=%7B%22label%22%3A%5B%22a%22%5D%7D",
            "GET /containers/json?filters=%7B%22name%22%3A%22a%22%7D",
            "GET /containers/json?filters=%7",
            "GET /containers/json?filters=%+1",
            "GET /containers/json?filters=%FF",
            "GET /events?since=now",
            "GET /events?until=1.",
            "GET /events?until=1.0000000001",
            "GET /containers/web/logs?tail=1000001",
            "GET /containers/web/logs?tail=99999999999999999999",
            "GET /containers/web/logs?details=1",
            "GET /containers/web/stats?stream=%74rue",
            "GET /system/df?type=volume",
            "GET /images/json?all=1",
            "GET /distribution/nginx:1/json?x=1",
            "GET /distribution/json",
            "GET /distribution/nginx/json",
            "GET /distribution/nginx:/json",
            "GET /distribution/nginx:1:2/json",
            "GET /distribution/nginx:.1/json",
            "GET /distribution/-nginx:1/json",
            "GET /distribution/.hidden/nginx:1/json",
            "GET /distribution/host:x/nginx:1/json",
            "GET /distribution/host:99999/nginx:1/json",
            "GET /distribution/host/acme:5000/nginx:1/json",
            "GET /distribution/nginx@sha256:1/json",
            "GET /containers/web:1/json",
            "POST /containers/web/start?detachKeys=a",
            "POST /containers/web/start?t=1",
            "POST /containers/web/stop?signal=KILL",
            "POST /containers/web/restart?t=601",
            "POST /containers/web/restart?t=-1",
            "POST /containers/web/restart?t=1&signal=KILL",
        ];
        for line in refused {
            let (method, target) = line.split_once(' ').unwrap();
            assert!(read(method, target).is_err(), "{line}");
        }
        let long = format!("/containers/json?filters=%7B%22name%22%3A%5B%22{}%22%5D%7D", "a".repeat(4096));
        assert!(read("GET", &long).is_err());
        assert!(read("GET", &format!("/containers/{}/json", "a".repeat(129))).is_err());
        assert!(read("GET", &format!("/distribution/{}:1/json", "a".repeat(256))).is_err());
        assert!(read("GET", &format!("/distribution/a:{}/json", "1".repeat(129))).is_err());
    }

    proptest! {
        /// Whatever comes in, what goes on is a path of the table with one full id in it.
        #[test]
        fn nothing_but_the_table_comes_out(
            method in "GET|HEAD|POST|PUT|DELETE|get",
            path in "(/v1\\.[0-9]{1,3})?(/(containers|json|web|\\.\\.|%2e|start|exec|logs|images|[a-zA-Z0-9_.%-]{0,9})){0,4}/?",
            query in proptest::option::of("[a-z=&0-9%.-]{0,20}"),
        ) {
            if let Ok(route) = Route::read(&method, &path, query.as_deref()) {
                let target = route.target("ID");
                let (path, _) = target.split_once('?').unwrap_or((&target, ""));
                let path = path.strip_prefix(&route.version).unwrap();
                let table = ["/_ping", "/version", "/events", "/containers/json", "/containers/ID/json",
                    "/containers/ID/logs", "/containers/ID/stats", "/containers/ID/start", "/containers/ID/stop",
                    "/containers/ID/restart", "/system/df", "/images/json"];
                let name = path.strip_prefix("/distribution/").and_then(|rest| rest.strip_suffix("/json"));
                let is_image = name.and_then(|n| n.rsplit_once(':')).is_some_and(|(repository, tag)| {
                    !tag.is_empty() && repository.split('/').all(|p| p.starts_with(|c: char| c.is_ascii_alphanumeric()))
                });
                prop_assert!(table.contains(&path) || is_image, "{target}");
                prop_assert_eq!(method == "POST", matches!(route.action, Action::Write(_)));
            }
        }
    }
}
