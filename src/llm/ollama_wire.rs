//! What goes to Ollama's `/api/chat` and what comes back, without IO.

use ollama_rs::{
    generation::{
        parameters::{FormatType, JsonStructure, KeepAlive, ThinkType},
        tools::{ToolFunctionInfo, ToolInfo, ToolType},
    },
    models::ModelOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    answer::Answer,
    call::unpacked,
    constrained,
    settings::Settings,
    wire::{Refusal, error_message, says_parser, says_too_long},
};
use crate::{
    agent::port::{CallMode, Message, ModelCall, ModelError, ModelRequest, Reply},
    domain::ToolSpec,
};

/// A request's body. `truncate` and `shift` are false, because the server would silently cut the history otherwise.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<FormatType>,
    options: ModelOptions,
    keep_alive: KeepAlive,
    stream: bool,
    truncate: bool,
    shift: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<ThinkType>,
}

/// Reads `keep_alive` as Ollama does.
pub(super) fn keep_alive(text: &str) -> Result<KeepAlive, String> {
    serde_json::from_value(json!(text.trim()))
        .map_err(|_| "[model] keep_alive: must be -1, 0 or like 30s, 10m, 24h".to_owned())
}

impl<'a> Body<'a> {
    /// The body that only loads the model, with the very options that later requests have.
    pub(super) fn preload(settings: &'a Settings, keep_alive: KeepAlive) -> Self {
        Self {
            model: &settings.name,
            messages: vec![],
            tools: vec![],
            format: None,
            options: options(settings),
            keep_alive,
            stream: false,
            truncate: false,
            shift: false,
            think: None,
        }
    }

    /// The body of a question.
    pub(super) fn chat(
        settings: &'a Settings,
        keep_alive: KeepAlive,
        think: Option<ThinkType>,
        request: &ModelRequest,
    ) -> Self {
        let mut body = Self { stream: true, think, ..Self::preload(settings, keep_alive) };
        match settings.mode(request) {
            CallMode::Native => {
                body.messages = request.messages.iter().map(message).collect();
                body.tools = request.tools.iter().map(tool).collect();
            }
            mode @ (CallMode::Constrained | CallMode::Words) => {
                let messages = constrained::messages(&request.messages, &request.tools);
                body.messages = messages.iter().map(message).collect();
                let schema = schema(constrained::schema_for(mode, request));
                body.format =
                    Some(FormatType::StructuredJson(Box::new(JsonStructure::new_for_schema(schema))));
            }
        }
        body
    }
}

fn options(settings: &Settings) -> ModelOptions {
    ModelOptions::default()
        .num_ctx(settings.num_ctx.into())
        .temperature(settings.temperature)
        .num_predict(i32::try_from(settings.max_tokens).unwrap_or(i32::MAX))
}

fn schema(value: Value) -> schemars::Schema {
    match value {
        Value::Object(map) => map.into(),
        _ => Map::new().into(),
    }
}

fn tool(spec: &ToolSpec) -> ToolInfo {
    ToolInfo {
        tool_type: ToolType::Function,
        function: ToolFunctionInfo {
            name: spec.name.to_owned(),
            description: spec.summary.to_owned(),
            parameters: schema(spec.schema()),
        },
    }
}

/// Not ollama-rs's message: that one has neither call ids nor tool names.
fn message(message: &Message) -> Value {
    match message {
        Message::System { text } => json!({"role": "system", "content": text}),
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Assistant { text, thinking, calls } => {
            let mut out = json!({"role": "assistant", "content": text});
            if !thinking.is_empty() {
                out["thinking"] = thinking.as_str().into();
            }
            if !calls.is_empty() {
                out["tool_calls"] = calls.iter().map(call).collect();
            }
            out
        }
        Message::Tool { id, name, text } => {
            let mut out = json!({"role": "tool", "content": text, "tool_name": name});
            if let Some(id) = id {
                out["tool_call_id"] = id.as_str().into();
            }
            out
        }
    }
}

/// A call as it is echoed: arguments that are no object are a 400 there.
fn call(call: &ModelCall) -> Value {
    let arguments = match unpacked(&call.args) {
        object @ Value::Object(_) => object,
        _ => json!({}),
    };
    let mut out = json!({"function": {"name": call.name, "arguments": arguments}});
    if let Some(id) = &call.id {
        out["id"] = id.as_str().into();
    }
    out
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    message: ChunkMessage,
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChunkMessage {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<ChunkCall>>,
}

#[derive(Debug, Deserialize)]
struct ChunkCall {
    id: Option<String>,
    function: ChunkFunction,
}

#[derive(Debug, Deserialize)]
struct ChunkFunction {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// What a line brought.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What may be shown.
    pub(super) shown: String,
    /// Why the server says it is done, if it is.
    pub(super) done: Option<String>,
}

/// Takes one line of the stream into `answer`.
pub(super) fn take(answer: &mut Answer, line: &[u8]) -> Result<Taken, LineError> {
    let text = std::str::from_utf8(line).map_err(|_| LineError::Utf8)?;
    let value: Value = serde_json::from_str(text).map_err(|_| LineError::NotJson)?;
    if let Some(error) = error_message(&value) {
        return Err(LineError::Server(error));
    }
    if value.get("message").is_none() && value.get("done").is_none() {
        return Err(LineError::NotJson);
    }
    let chunk: Chunk = serde_json::from_value(value).map_err(|_| LineError::NotJson)?;
    answer.thinking(chunk.message.thinking.as_deref().unwrap_or_default());
    let shown = answer.text(chunk.message.content.as_deref().unwrap_or_default());
    for call in chunk.message.tool_calls.unwrap_or_default() {
        let id = call.id.filter(|id| !id.is_empty());
        answer.call(ModelCall { id, name: call.function.name, args: unpacked(&call.function.arguments) });
    }
    answer.tokens(chunk.prompt_eval_count, chunk.eval_count);
    let done = chunk.done.then(|| chunk.done_reason.unwrap_or_default());
    Ok(Taken { shown, done })
}

/// Ends an answer whose last line said `reason`.
pub(super) fn finish(answer: Answer, reason: &str) -> Result<(String, Reply), ModelError> {
    answer.finish(reason == "length")
}

/// Why a line of the stream is no part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// It is not UTF-8.
    Utf8,
    /// It is not JSON, or not of this protocol.
    NotJson,
    /// The server reports an error, in its words.
    Server(String),
}

/// What a refusal means; `name` is the model's.
pub(super) fn refusal(refusal: &Refusal, name: &str) -> ModelError {
    let text = &refusal.text;
    match refusal.code {
        400 if text.contains("does not support tools") => ModelError::NoTools(name.to_owned()),
        400 | 413 | 500 if says_too_long(text) => ModelError::TooLong(text.clone()),
        401 | 403 => ModelError::Refused("not authorised; check [model] token".into()),
        404 if refusal.json && text.contains("not found") => ModelError::Missing(name.to_owned()),
        404 | 405 => ModelError::Refused(
            "there is no Ollama at [model] url; is it another server, or the path wrong?".into(),
        ),
        429 | 503 => ModelError::Busy,
        500 if says_parser(text) => ModelError::Swallowed,
        502 | 504 => ModelError::Down(format!("a gateway answers {}", refusal.code)),
        300..=399 => ModelError::Refused("it redirects; put the final address into [model] url".into()),
        code => ModelError::Refused(format!("{code}: {text}")),
    }
}

#[cfg(test)]
mod tests;
