//! One request: its place in the table, the container that it means, the label, the way to the engine and back.

use std::{io, time::Duration};

use axum::body::{Body, Bytes};
use futures::StreamExt;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE},
};
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    io::StreamReader,
};

use super::{
    Config, Reads, Verb,
    engine::{Answer, Engine},
    refusal::Refusal,
    route::{Action, Route},
    strip::{self, Covered, Inspect, NotDocker},
};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What of the engine's head goes back: its API's version, and whether it is Linux, tell a client how to speak.
const HEADERS: [HeaderName; 3] =
    [CONTENT_TYPE, HeaderName::from_static("api-version"), HeaderName::from_static("ostype")];
/// No event is longer.
const MAX_EVENT: usize = 1 << 20;
/// So much of a refused request is logged.
const MAX_LOGGED: usize = 200;

/// How long the engine may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it answers a read.
    pub read: Duration,
    /// Until it has done a write, beyond the time that the container has to end.
    pub write: Duration,
    /// Until it has measured its disk.
    pub measure: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            read: Duration::from_secs(30),
            write: Duration::from_secs(60),
            measure: Duration::from_secs(150),
        }
    }
}

/// What every request is judged by.
#[derive(Debug)]
pub(super) struct Gate {
    config: Config,
    engine: Engine,
    patience: Patience,
}

impl Gate {
    pub(super) fn new(config: Config, patience: Patience) -> Self {
        let engine = Engine { socket: config.socket.clone(), patience: patience.read };
        Self { config, engine, patience }
    }

    /// Why this peer may not speak at all.
    pub(super) fn refuses(&self, uid: u32) -> Option<Refusal> {
        let why = || format!("uid {uid} is not among `users` of docker-helper.toml");
        (!self.config.uids.contains(&uid)).then(|| Refusal::forbidden(why()))
    }

    /// Answers one request of an allowed peer; what is refused is logged.
    pub(super) async fn answer(&self, uid: u32, request: Request<Incoming>) -> Response<Body> {
        let asked = format!("{} {}", request.method(), request.uri());
        match self.handle(uid, request).await {
            Ok(response) => {
                tracing::debug!(uid, asked = cut(&asked), "answered");
                response
            }
            Err(refusal) => {
                let (status, why) = (refusal.status.as_u16(), refusal.message.as_str());
                tracing::warn!(uid, asked = ?cut(&asked), status, why, "refused");
                refusal.response()
            }
        }
    }

    async fn handle(&self, uid: u32, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let uri = request.uri();
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(Refusal::forbidden("a request names a path, not a host"));
        }
        let route = Route::read(request.method().as_str(), uri.path(), uri.query())?;
        check_head(&request)?;
        match route.action {
            Action::Ping | Action::Version => {
                let answer = self.get(request.method(), &route, "").await?;
                let head = head(&answer);
                Ok(respond(head, answer.whole().await?))
            }
            Action::List => {
                let answer = self.get(&Method::GET, &route, "").await?;
                let all = self.config.read == Reads::All;
                Ok(json(strip::list(&answer.whole().await?, &self.config, all)?))
            }
            Action::Events => {
                let answer = self.get(&Method::GET, &route, "").await?;
                let head = head(&answer);
                Ok(respond(head, Body::from_stream(self.events(answer))))
            }
            Action::Inspect => Ok(json(self.readable(&route).await?.stripped(&self.config)?)),
            Action::Logs | Action::Stats => {
                let container = self.readable(&route).await?;
                let answer = self.get(&Method::GET, &route, &container.id).await?;
                let head = head(&answer);
                Ok(respond(head, Body::from_stream(answer.stream())))
            }
            Action::Measure => {
                let covered = self.covered(&route).await?;
                let answer = self.engine.send(Method::GET, &route.target(""), self.patience.measure).await?;
                Ok(json(strip::disk(&answer.whole().await?, &self.config, covered.as_ref())?))
            }
            Action::Images => Ok(json(strip::images(&self.images(&route).await?)?)),
            Action::Distribution => self.distribution(&route).await,
            Action::Write(verb) => self.write(uid, verb, &route).await,
        }
    }

    /// The containers that may be read, where not all may.
    async fn covered(&self, route: &Route) -> Result<Option<Covered>, Refusal> {
        if self.config.read == Reads::All {
            return Ok(None);
        }
        let target = route.beside("/containers/json?all=true");
        let answer = self.engine.send(Method::GET, &target, self.patience.read).await?;
        Ok(Some(Covered::read(&answer.whole().await?, &self.config)?))
    }

    /// The images that may be read: all, or those of containers that may.
    async fn images(&self, route: &Route) -> Result<Vec<strip::Image>, Refusal> {
        let covered = self.covered(route).await?;
        let target = route.beside("/images/json");
        let answer = self.engine.send(Method::GET, &target, self.patience.read).await?;
        Ok(strip::readable_images(&answer.whole().await?, covered.as_ref())?)
    }

    /// The engine sends a request to a registry for this one: only to where an image of it came from, so that it
    /// cannot be made to call anywhere else.
    async fn distribution(&self, route: &Route) -> Result<Response<Body>, Refusal> {
        let (repository, _) = route.image.as_ref().ok_or_else(|| Refusal::forbidden("no image is named"))?;
        if !self.images(route).await?.iter().any(|image| image.came_from(repository)) {
            return Err(Refusal::forbidden("the engine has no image of that repository from a registry"));
        }
        let answer = self.get(&Method::GET, route, "").await?;
        Ok(json(strip::distribution(&answer.whole().await?)?))
    }

    async fn get(&self, method: &Method, route: &Route, id: &str) -> Result<Answer, Refusal> {
        self.engine.send(method.clone(), &route.target(id), self.patience.read).await
    }

    /// The container that is meant. Its full id and its labels never change, so what is checked here holds for what
    /// is then done to that id, whatever its name means by then.
    async fn resolve(&self, route: &Route) -> Result<Inspect, Refusal> {
        let target = route.lookup().ok_or_else(|| Refusal::forbidden("no container is named"))?;
        let answer = self.engine.send(Method::GET, &target, self.patience.read).await?;
        Ok(Inspect::read(&answer.whole().await?)?)
    }

    async fn readable(&self, route: &Route) -> Result<Inspect, Refusal> {
        let container = self.resolve(route).await?;
        if self.config.read == Reads::Labelled && !container.is_covered(&self.config) {
            let label = self.config.label_shown();
            return Err(Refusal::forbidden(format!("this container lacks the label {label}")));
        }
        Ok(container)
    }

    async fn write(&self, uid: u32, verb: Verb, route: &Route) -> Result<Response<Body>, Refusal> {
        let word = verb.word();
        if !self.config.write.contains(&verb) {
            return Err(Refusal::forbidden(format!("{word} is not among `write` of docker-helper.toml")));
        }
        let container = self.resolve(route).await?;
        let (id, name) = (container.id.as_str(), container.name());
        if !container.is_covered(&self.config) {
            let label = self.config.label_shown();
            return Err(Refusal::forbidden(format!(
                "to {word} a container, it must carry the label {label}"
            )));
        }
        tracing::info!(uid, verb = word, id, name, "write begins");
        let grace = Duration::from_secs(route.grace.unwrap_or_default());
        let done = self.engine.send(Method::POST, &route.target(id), self.patience.write + grace).await;
        let status = done.as_ref().map_or_else(|e| e.status, |answer| answer.response.status());
        tracing::info!(uid, verb = word, id, name, status = status.as_u16(), "write ended");
        let answer = done?;
        let head = head(&answer);
        Ok(respond(head, answer.whole().await?))
    }

    fn events(&self, answer: Answer) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
        let lines = StreamReader::new(Box::pin(answer.stream()));
        let lines = FramedRead::new(lines, LinesCodec::new_with_max_length(MAX_EVENT));
        let config = self.config.clone();
        let all = config.read == Reads::All;
        lines.filter_map(move |line| {
            let kept = match line {
                Ok(line) => strip::event(&line, &config, all).map(|line| Ok(Bytes::from(line))),
                Err(error) => Some(Err(io::Error::other(error))),
            };
            std::future::ready(kept)
        })
    }
}

/// Refuses what could make the request another one: a body, an upgrade.
fn check_head(request: &Request<Incoming>) -> Result<(), Refusal> {
    let headers = request.headers();
    let upgrades =
        |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().windows(7).any(|w| w == b"upgrade");
    if headers.contains_key(UPGRADE) || headers.get_all(CONNECTION).iter().any(upgrades) {
        return Err(Refusal::forbidden("a connection stays HTTP, it is not upgraded"));
    }
    if headers.contains_key(TRANSFER_ENCODING) || !request.body().is_end_stream() {
        return Err(Refusal::forbidden("a request has no body"));
    }
    Ok(())
}

/// Status and headers of the engine's answer that go back.
fn head(answer: &Answer) -> (StatusCode, HeaderMap) {
    let theirs = answer.response.headers();
    let kept = HEADERS.into_iter().filter_map(|name| theirs.get(&name).cloned().map(|value| (name, value)));
    (answer.response.status(), kept.collect())
}

fn respond((status, headers): (StatusCode, HeaderMap), body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn json(bytes: Vec<u8>) -> Response<Body> {
    respond((StatusCode::OK, HeaderMap::from_iter([(CONTENT_TYPE, JSON)])), bytes)
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_LOGGED)).unwrap_or_default()
}

impl From<NotDocker> for Refusal {
    fn from(_: NotDocker) -> Self {
        Self::engine("the engine's answer is not Docker's")
    }
}
