//! How a model is reached and asked.

use std::{fmt, time::Duration};

use crate::agent::port::{CallMode, ModelRequest};

/// Which protocol the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Ollama's `/api/chat`.
    Ollama,
    /// `/v1/chat/completions`: llama-server, vLLM, LM Studio.
    OpenAi,
}

/// When a JSON schema forces the shape of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Constrained {
    /// When the loop asks for it.
    #[default]
    Auto,
    /// Whenever tools are on offer.
    Always,
    /// Never, even if the loop asks.
    Never,
}

/// A bearer token; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the secret's text; surrounding white space goes.
    pub fn new(secret: &str) -> Self {
        Self(secret.trim().to_owned())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// How a model is reached and asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The protocol.
    pub dialect: Dialect,
    /// The server's base URL (`http://127.0.0.1:11434`); a trailing `/v1` is tolerated.
    pub url: String,
    /// The model's name on the server.
    pub name: String,
    /// The context length in tokens; constant, because a change makes Ollama load the model again.
    pub num_ctx: u32,
    /// How long Ollama keeps the model: `-1` for ever, `0` not at all, `30s`, `10m`, `24h`.
    pub keep_alive: String,
    /// Whether a model that can think does.
    pub think: bool,
    /// The sampling temperature; 0 is deterministic.
    pub temperature: f32,
    /// When a schema forces the answer's shape.
    pub constrained: Constrained,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Token>,
    /// The longest wait for an answer's first byte, once the model is loaded.
    pub first_token: Duration,
    /// The longest wait for a load; at least 5 min, because giving up aborts it.
    pub load_timeout: Duration,
    /// The longest silence within an answer.
    pub idle: Duration,
    /// The most tokens of one answer.
    pub max_tokens: u32,
}

/// One host of several.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Its name on screen.
    pub name: String,
    /// How it and the model are asked.
    pub settings: Settings,
    /// How many questions it is asked at once; the others wait.
    pub parallel: usize,
}

impl Settings {
    /// The defaults for a model `name` at `url`: 8192 tokens of context, kept for ever, 60 s to the first byte, 30 s
    /// between two, 10 min to load, 1024 tokens an answer.
    pub fn new(dialect: Dialect, url: &str, name: &str) -> Self {
        Self {
            dialect,
            url: url.to_owned(),
            name: name.to_owned(),
            num_ctx: 8192,
            keep_alive: "-1".into(),
            think: false,
            temperature: 0.0,
            constrained: Constrained::Auto,
            token: None,
            first_token: Duration::from_secs(60),
            load_timeout: Duration::from_secs(600),
            idle: Duration::from_secs(30),
            max_tokens: 1024,
        }
    }

    /// How this request's calls are really asked for.
    pub(super) fn mode(&self, request: &ModelRequest) -> CallMode {
        if request.tools.is_empty() {
            return CallMode::Native;
        }
        match self.constrained {
            Constrained::Auto => request.mode,
            Constrained::Always if request.mode == CallMode::Words => CallMode::Words,
            Constrained::Always => CallMode::Constrained,
            Constrained::Never => CallMode::Native,
        }
    }
}
