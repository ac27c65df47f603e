//! Ollama: preloads and keeps the model warm, asks, and reads the NDJSON stream.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures::{FutureExt, future::BoxFuture, future::Shared};
use ollama_rs::{
    Ollama,
    error::OllamaError,
    generation::parameters::{KeepAlive, ThinkType},
    headers::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use tokio::time::timeout;

use super::{
    answer::Answer,
    ollama_wire::{Body, LineError, finish, keep_alive, refusal, take},
    settings::Settings,
    wire::{
        CONNECT, Failure, PLAIN, Stream, Wire, describe, error_text, is_loopback, says_parser, says_too_long,
    },
};
use crate::agent::port::{CallMode, Model, ModelError, ModelInfo, ModelRequest, Reply};

type Load = Shared<BoxFuture<'static, Result<(), ModelError>>>;

/// A model behind Ollama.
pub(super) struct OllamaModel {
    settings: Settings,
    keep_alive: KeepAlive,
    wire: Wire,
    plain: Ollama,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The load under way; its task outlives whoever waits, because a dropped connection aborts a load.
    load: Mutex<Option<Load>>,
    /// The model has answered and nothing has failed since.
    warm: AtomicBool,
    /// `/api/show`'s capabilities, until an error.
    capabilities: Mutex<Option<Vec<String>>>,
    /// The server has refused `think` though `show` lists it.
    no_think: AtomicBool,
}

impl fmt::Debug for OllamaModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OllamaModel").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OllamaModel {
    pub(super) fn new(settings: Settings) -> Result<Self, String> {
        let keep_alive = keep_alive(&settings.keep_alive)?;
        let wire = Wire::new(&settings)?;
        let plain = plain_client(&wire, &settings)?;
        Ok(Self { settings, keep_alive, wire, plain, state: Arc::default() })
    }

    /// Waits until the model is loaded, for which one task at a time asks.
    async fn load(&self) -> Result<(), ModelError> {
        let load = {
            let mut slot = lock(&self.state.load);
            match slot.as_ref().filter(|load| load.peek().is_none()) {
                Some(load) => load.clone(),
                None => slot.insert(self.start_load()).clone(),
            }
        };
        load.await
    }

    fn start_load(&self) -> Load {
        let (wire, settings) = (self.wire.clone(), self.settings.clone());
        let (keep_alive, state) = (self.keep_alive.clone(), Arc::clone(&self.state));
        let task = tokio::spawn(async move {
            let body = Body::preload(&settings, keep_alive);
            let limit = settings.load_timeout;
            let answered = async {
                let mut stream = wire.post("api/chat", &body, limit, limit).await?;
                read_load(&mut stream).await.map_err(Failure::Model)
            };
            let result = answered.await.map_err(|failure| named(failure, &settings.name));
            state.warm.store(result.is_ok(), Ordering::Release);
            result
        });
        let ended = || Err(ModelError::Broken("the loading task ended".into()));
        task.map(move |result| result.unwrap_or_else(|_| ended())).boxed().shared()
    }

    /// Loads the model unless it is known to be there, so that a short deadline cannot abort a load.
    async fn ensure_loaded(&self) -> Result<(), ModelError> {
        if self.unloads() {
            return Ok(());
        }
        if self.state.warm.load(Ordering::Acquire) && self.loaded().await?.is_none_or(|(there, _)| there) {
            return Ok(());
        }
        self.load().await
    }

    /// With `keep_alive = 0` there is nothing to load ahead: a preload would be an unload.
    fn unloads(&self) -> bool {
        self.keep_alive == KeepAlive::UnloadOnCompletion
    }

    /// Whether `/api/ps` lists the model, and its context length; none when the server does not tell.
    async fn loaded(&self) -> Result<Option<(bool, Option<u64>)>, ModelError> {
        let answer = match self.wire.get("api/ps", PLAIN).await {
            Ok(answer) => answer,
            Err(Failure::Model(error @ ModelError::Down(_))) => return Err(error),
            Err(_) => return Ok(None),
        };
        let Some(models) = answer.get("models").and_then(|m| m.as_array()) else { return Ok(None) };
        let ours = models.iter().find(|m| {
            ["name", "model"].iter().filter_map(|k| m.get(*k)?.as_str()).any(|n| same(n, &self.settings.name))
        });
        let context = ours.and_then(|m| m.get("context_length")?.as_u64());
        Ok(Some((ours.is_some(), context)))
    }

    /// What `/api/show` claims of the model, asked once and again after an error.
    async fn capabilities(&self) -> Result<Vec<String>, ModelError> {
        if let Some(known) = lock(&self.state.capabilities).clone() {
            return Ok(known);
        }
        let name = &self.settings.name;
        let answer = timeout(PLAIN, self.plain.show_model_info(name.clone())).await;
        let info = match answer {
            Err(_) => return Err(ModelError::Silent(PLAIN)),
            Ok(Ok(info)) => info,
            Ok(Err(OllamaError::ReqwestError(e))) => {
                return Err(ModelError::Down(describe(&e, e.is_connect(), e.is_timeout())));
            }
            Ok(Err(OllamaError::Other(body))) => {
                let (text, json) = error_text(body.as_bytes());
                let missing = json && text.contains("not found");
                let refused = ModelError::Refused(format!("show: {}", self.wire.scrub(&text)));
                return Err(if missing { ModelError::Missing(name.clone()) } else { refused });
            }
            Ok(Err(_)) => return Err(ModelError::Refused("show: its answer is not JSON".into())),
        };
        *lock(&self.state.capabilities) = Some(info.capabilities.clone());
        Ok(info.capabilities)
    }

    /// Omitted means true to a model that thinks, and is the only thing that others take.
    async fn think(&self) -> Option<ThinkType> {
        let can = self.capabilities().await.unwrap_or_default().iter().any(|c| c == "thinking");
        let wanted = if self.settings.think { ThinkType::True } else { ThinkType::False };
        (can && !self.state.no_think.load(Ordering::Acquire)).then_some(wanted)
    }

    async fn ask(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
    ) -> Result<Reply, Failure> {
        let think = self.think().await;
        let mode = self.settings.mode(request);
        let body = Body::chat(&self.settings, self.keep_alive.clone(), think, request);
        let settings = &self.settings;
        let first = if self.unloads() { settings.load_timeout } else { settings.first_token };
        // A call is sent whole once it is complete, so the silence before it is as long as it takes to write.
        let parses = mode == CallMode::Native && !request.tools.is_empty();
        let idle = if parses { settings.idle.max(settings.first_token) } else { settings.idle };
        let mut stream = self.wire.post("api/chat", &body, first, idle).await?;
        let mut answer = Answer::new(mode, &request.tools);
        loop {
            let line = stream.line().await.map_err(Failure::Model)?;
            let Some(line) = line else {
                return Err(Failure::Model(ModelError::Broken("it ended before it was done".into())));
            };
            let taken = take(&mut answer, &line)
                .map_err(|e| Failure::Model(line_error(&self.wire, &e, stream.is_html())))?;
            if !taken.shown.is_empty() {
                on_text(&taken.shown);
            }
            if let Some(reason) = taken.done {
                let (shown, reply) = finish(answer, &reason).map_err(Failure::Model)?;
                if !shown.is_empty() {
                    on_text(&shown);
                }
                return Ok(reply);
            }
        }
    }

    fn failed(&self, error: &ModelError) {
        *lock(&self.state.capabilities) = None;
        if !matches!(error, ModelError::Swallowed | ModelError::TooLong(_) | ModelError::NoTools(_)) {
            self.state.warm.store(false, Ordering::Release);
        }
    }
}

#[async_trait]
impl Model for OllamaModel {
    async fn chat(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
    ) -> Result<Reply, ModelError> {
        let mut result = match self.ensure_loaded().await {
            Ok(()) => self.ask(request, on_text).await,
            Err(error) => Err(Failure::Model(error)),
        };
        if matches!(&result, Err(Failure::Status(r)) if r.text.contains("does not support thinking")) {
            self.state.no_think.store(true, Ordering::Release);
            result = self.ask(request, on_text).await;
        }
        let result = result.map_err(|failure| named(failure, &self.settings.name));
        if let Err(error) = &result {
            self.failed(error);
        }
        result
    }

    async fn warm(&self) -> Result<ModelInfo, ModelError> {
        let found = async {
            if !self.unloads() {
                self.load().await?;
            }
            let capabilities = self.capabilities().await?;
            let context = self.loaded().await?.and_then(|(_, context)| context);
            let version = self.wire.get("api/version", PLAIN).await.ok();
            let version = version.and_then(|v| Some(v.get("version")?.as_str()?.to_owned()));
            let version = self.wire.scrub(&version.unwrap_or_default());
            Ok(ModelInfo { version, capabilities, context })
        };
        let result: Result<_, ModelError> = found.await;
        if let Err(error) = &result {
            self.failed(error);
        }
        result
    }

    fn name(&self) -> &str {
        &self.settings.name
    }
}

/// ollama-rs, for the plain calls; its client keeps our rules for proxies and certificates.
fn plain_client(wire: &Wire, settings: &Settings) -> Result<Ollama, String> {
    let mut builder = reqwest_012::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(reqwest_012::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .tls_built_in_root_certs(wire.base().scheme() == "https");
    if is_loopback(wire.base()) {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(|e| format!("the model's HTTP client: {}", e.without_url()))?;
    let mut headers = HeaderMap::new();
    if let Some(token) = &settings.token {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| "[model] token: holds characters that a header cannot carry")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(Ollama::builder().url(wire.base().clone()).reqwest_client(client).request_headers(headers).build())
}

/// Reads the answer to a preload to its `done`.
async fn read_load(stream: &mut Stream) -> Result<(), ModelError> {
    let mut answer = Answer::new(CallMode::Native, &[]);
    while let Some(line) = stream.line().await? {
        match take(&mut answer, &line) {
            Ok(taken) if taken.done.is_some() => return Ok(()),
            Ok(_) => {}
            Err(LineError::Server(_)) => {
                return Err(ModelError::Broken("loading failed on the server".into()));
            }
            Err(_) => return Err(not_ollama()),
        }
    }
    Err(ModelError::Broken("loading ended before it was done".into()))
}

fn not_ollama() -> ModelError {
    ModelError::Refused("what answers at [model] url is no Ollama".into())
}

fn named(failure: Failure, name: &str) -> ModelError {
    match failure {
        Failure::Status(status) => refusal(&status, name),
        Failure::Model(error) => error,
    }
}

fn line_error(wire: &Wire, error: &LineError, html: bool) -> ModelError {
    match error {
        LineError::NotJson | LineError::Utf8 if html => not_ollama(),
        LineError::NotJson => ModelError::Broken("a line is not Ollama's JSON".into()),
        LineError::Utf8 => ModelError::Broken("a line is not UTF-8".into()),
        LineError::Server(text) if says_too_long(text) => ModelError::TooLong(wire.scrub(text)),
        LineError::Server(text) if says_parser(text) => ModelError::Swallowed,
        LineError::Server(text) => ModelError::Broken(wire.scrub(text)),
    }
}

/// Whether two names mean one model: `:latest` is implied.
fn same(a: &str, b: &str) -> bool {
    let full = |n: &str| if n.contains(':') { n.to_owned() } else { format!("{n}:latest") };
    full(a).eq_ignore_ascii_case(&full(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_with_and_without_latest() {
        assert!(same("mistral", "mistral:latest") && same("Mistral:7b", "mistral:7b"));
        assert!(!same("mistral:7b", "mistral"));
    }
}
