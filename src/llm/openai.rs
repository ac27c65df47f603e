//! Servers of the dialect that OpenAI began: llama-server, vLLM, LM Studio.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    openai_wire::{EventError, Events, body, refusal},
    settings::Settings,
    wire::{Failure, PLAIN, Wire, says_parser, says_too_long},
};
use crate::agent::port::{CallMode, Model, ModelError, ModelInfo, ModelRequest, Reply};

/// How often a server that loads is asked again.
const POLL: Duration = Duration::from_millis(500);
const CHAT: &str = "v1/chat/completions";

/// A model behind such a server.
pub(super) struct OpenAiModel {
    settings: Settings,
    wire: Wire,
    /// It has answered and nothing has failed since.
    warm: AtomicBool,
    /// The server refuses `chat_template_kwargs`.
    no_kwargs: AtomicBool,
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiModel").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

impl OpenAiModel {
    pub(super) fn new(settings: Settings) -> Result<Self, String> {
        let wire = Wire::new(&settings)?;
        Ok(Self { settings, wire, warm: AtomicBool::new(false), no_kwargs: AtomicBool::new(false) })
    }

    /// Waits while llama-server says that it loads; a server without `/health` counts as ready.
    async fn ready(&self) -> Result<(), ModelError> {
        let limit = self.settings.load_timeout;
        let poll = async {
            loop {
                match self.wire.get("health", PLAIN).await {
                    Err(Failure::Status(r)) if r.code == 503 => sleep(POLL).await,
                    Err(Failure::Model(ModelError::Refused(_)) | Failure::Status(_)) | Ok(_) => return Ok(()),
                    Err(Failure::Model(error)) => return Err(error),
                }
            }
        };
        timeout(limit, poll).await.unwrap_or(Err(ModelError::Silent(limit)))
    }

    async fn ask(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
    ) -> Result<Reply, Failure> {
        let quiet = !self.settings.think && !self.no_kwargs.load(Ordering::Acquire);
        let body = body(&self.settings, request, quiet);
        let events = Events::new(self.settings.mode(request), &request.tools);
        self.stream(&body, events, self.settings.first_token, on_text).await
    }

    async fn stream(
        &self,
        body: &Value,
        mut events: Events,
        first: Duration,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
    ) -> Result<Reply, Failure> {
        let idle = self.settings.idle.max(if body.get("tools").is_some() { first } else { Duration::ZERO });
        let mut stream = self.wire.post(CHAT, body, first, idle).await?;
        while !events.is_done() {
            let line = match stream.line().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                // Only the counts are missing.
                Err(_) if events.is_whole() => break,
                Err(error) => return Err(Failure::Model(error)),
            };
            let shown =
                events.take(&line).map_err(|e| Failure::Model(self.event_error(&e, stream.is_html())))?;
            if !shown.is_empty() {
                on_text(&shown);
            }
        }
        let (shown, reply) = events.finish().map_err(Failure::Model)?;
        if !shown.is_empty() {
            on_text(&shown);
        }
        Ok(reply)
    }

    fn event_error(&self, error: &EventError, html: bool) -> ModelError {
        match error {
            EventError::Garbage if html => {
                ModelError::Refused("what answers at [model] url is no model server".into())
            }
            EventError::Garbage => ModelError::Broken("a line is not a JSON event".into()),
            EventError::Server(text) if says_too_long(text) => ModelError::TooLong(self.wire.scrub(text)),
            EventError::Server(text) if says_parser(text) => ModelError::Swallowed,
            EventError::Server(text) => ModelError::Broken(self.wire.scrub(text)),
        }
    }

    fn named(&self, failure: Failure) -> ModelError {
        match failure {
            Failure::Status(status) => refusal(&status, &self.settings.name),
            Failure::Model(error) => error,
        }
    }

    fn note<T>(&self, result: Result<T, Failure>) -> Result<T, ModelError> {
        let result = result.map_err(|failure| self.named(failure));
        let ours = matches!(
            result,
            Ok(_) | Err(ModelError::Swallowed | ModelError::TooLong(_) | ModelError::NoTools(_))
        );
        self.warm.store(ours, Ordering::Release);
        result
    }

    /// Asks for one token, so that a server that loads at first use has loaded.
    async fn one_token(&self) -> Result<(), Failure> {
        let body = json!({
            "model": self.settings.name, "stream": true, "max_tokens": 1,
            "messages": [{"role": "user", "content": "hi"}],
        });
        let events = Events::new(CallMode::Native, &[]);
        match self.stream(&body, events, self.settings.load_timeout, &mut |_| {}).await {
            // It spoke, if only to end at once.
            Ok(_) | Err(Failure::Model(ModelError::Broken(_))) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn info(&self) -> ModelInfo {
        let props = self.wire.get("props", PLAIN).await.unwrap_or_default();
        let models = self.wire.get("v1/models", PLAIN).await.unwrap_or_default();
        let entry = models.get("data").and_then(|d| d.get(0)).unwrap_or(&Value::Null);
        let context = props
            .pointer("/default_generation_settings/n_ctx")
            .or_else(|| entry.get("max_model_len"))
            .or_else(|| entry.pointer("/meta/n_ctx"));
        let tools = props.pointer("/chat_template_caps/supports_tools").and_then(Value::as_bool);
        ModelInfo {
            version: self.wire.scrub(props.get("build_info").and_then(Value::as_str).unwrap_or_default()),
            capabilities: tools.filter(|t| *t).map(|_| "tools".to_owned()).into_iter().collect(),
            context: context.and_then(Value::as_u64),
        }
    }
}

#[async_trait]
impl Model for OpenAiModel {
    async fn chat(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
    ) -> Result<Reply, ModelError> {
        if !self.warm.load(Ordering::Acquire) {
            self.ready().await?;
        }
        let mut result = self.ask(request, on_text).await;
        if matches!(&result, Err(Failure::Status(r)) if r.text.contains("chat_template_kwargs")) {
            self.no_kwargs.store(true, Ordering::Release);
            result = self.ask(request, on_text).await;
        }
        self.note(result)
    }

    async fn warm(&self) -> Result<ModelInfo, ModelError> {
        self.ready().await?;
        let result = self.one_token().await;
        self.note(result)?;
        Ok(self.info().await)
    }

    fn name(&self) -> &str {
        &self.settings.name
    }
}
