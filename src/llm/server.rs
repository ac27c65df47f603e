//! A model server besides its answers: whether it is there, which models it has, and how it brings one.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    ollama_wire::refusal,
    settings::{Dialect, Settings},
    wire::{Failure, PLAIN, Wire, error_message},
};
use crate::agent::{
    models::{ModelEntry, Pulled},
    port::ModelError,
};

/// The most models that are listed.
const MOST: usize = 100;
/// How many models are looked at side by side.
const SIDE_BY_SIDE: usize = 4;
/// The longest silence of a pull; Ollama itself tries again for a while.
const PULL_IDLE: Duration = Duration::from_secs(300);

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    dialect: Dialect,
    wire: Wire,
}

impl Server {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self { dialect: settings.dialect, wire: Wire::new(settings)? })
    }

    /// Whether it brings models.
    pub(super) fn pulls(&self) -> bool {
        self.dialect == Dialect::Ollama
    }

    /// Whether somebody answers who speaks this dialect.
    pub(super) async fn probe(&self) -> Result<(), ModelError> {
        let path = match self.dialect {
            Dialect::Ollama => "api/version",
            Dialect::OpenAi => "v1/models",
        };
        match self.wire.get(path, PLAIN).await {
            Ok(_) => Ok(()),
            // It speaks, if only to say no.
            Err(Failure::Status(r)) if r.code < 500 => Ok(()),
            Err(failure) => Err(named(failure)),
        }
    }

    /// Its models in its own order.
    pub(super) async fn models(&self) -> Result<Vec<ModelEntry>, ModelError> {
        match self.dialect {
            Dialect::Ollama => self.ollama_models().await,
            Dialect::OpenAi => {
                let answer = self.wire.get("v1/models", PLAIN).await.map_err(named)?;
                let names = names(&answer, "data", "id").into_iter();
                Ok(names
                    .map(|(name, _)| ModelEntry { name, size: None, tools: None, loaded: None })
                    .collect())
            }
        }
    }

    async fn ollama_models(&self) -> Result<Vec<ModelEntry>, ModelError> {
        let tags = self.wire.get("api/tags", PLAIN).await.map_err(named)?;
        let loaded = match self.wire.get("api/ps", PLAIN).await {
            Ok(answer) => {
                let loaded = names(&answer, "models", "name").into_iter();
                Some(loaded.map(|(name, _)| name).collect::<Vec<_>>())
            }
            Err(_) => None,
        };
        let entry = async |(name, entry): (String, &Value)| {
            // A listing may claim what the model's template does not hold.
            let shown = self.wire.post_for("api/show", &json!({"model": name}), PLAIN).await;
            let claims = shown.ok().unwrap_or_else(|| entry.clone());
            let capabilities = claims.get("capabilities").and_then(Value::as_array);
            ModelEntry {
                size: entry.get("size").and_then(Value::as_u64),
                tools: capabilities.map(|all| all.iter().any(|c| c.as_str() == Some("tools"))),
                loaded: loaded.as_ref().map(|all| all.contains(&name)),
                name,
            }
        };
        let all = stream::iter(names(&tags, "models", "name")).map(entry);
        Ok(all.buffered(SIDE_BY_SIDE).collect().await)
    }

    /// Brings the model `name`.
    pub(super) async fn pull(
        &self,
        name: &str,
        on_progress: &(dyn Fn(Pulled) + Send + Sync),
    ) -> Result<(), ModelError> {
        let body = json!({"model": name, "stream": true});
        let stream = self.wire.post("api/pull", &body, PULL_IDLE, PULL_IDLE).await;
        let mut stream = stream.map_err(|f| self.unpulled(f, name))?.endless();
        let mut status = String::new();
        while let Some(line) = stream.line().await? {
            let line: Value = serde_json::from_slice(&line)
                .map_err(|_| ModelError::Broken("a line of the pull is not JSON".into()))?;
            // A failed pull is a success by its status, with the error in its stream.
            if let Some(error) = error_message(&line) {
                return Err(ModelError::Refused(self.wire.scrub(&error)));
            }
            let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or(0);
            status = self.wire.scrub(line.get("status").and_then(Value::as_str).unwrap_or_default());
            on_progress(Pulled { status: status.clone(), done: number("completed"), total: number("total") });
        }
        if status == "success" { Ok(()) } else { Err(ModelError::Broken("the pull ended early".into())) }
    }

    fn unpulled(&self, failure: Failure, name: &str) -> ModelError {
        match failure {
            Failure::Status(r) => refusal(&r, name),
            Failure::Model(error) => error,
        }
    }
}

fn named(failure: Failure) -> ModelError {
    match failure {
        Failure::Status(r) => refusal(&r, "model"),
        Failure::Model(error) => error,
    }
}

/// Whether `text` can be a model's name; whatever else a server lists is nobody's.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    (1..=200).contains(&text.len())
        && text.bytes().all(plain)
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// The well-formed names of a listing with their entries.
fn names<'a>(answer: &'a Value, list: &str, key: &str) -> Vec<(String, &'a Value)> {
    let all = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    let named = all.filter_map(|entry| Some((entry.get(key)?.as_str()?.to_owned(), entry)));
    named.filter(|(name, _)| is_name(name)).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_names() {
        for good in ["qwen3:0.6b", "mistral", "hf.co/org/repo-GGUF:Q4_K_M", "a@b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", " ", "a b", "../x", "-x", "a\n", "ä", &"x".repeat(201)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        let listing =
            json!({"models": [{"name": "a:1", "size": 5}, {"name": "b\u{1b}[31m"}, {"model": "c"}]});
        let names: Vec<_> = names(&listing, "models", "name").into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["a:1"]);
    }
}
