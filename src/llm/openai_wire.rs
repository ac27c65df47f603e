//! What goes to `/v1/chat/completions` and what comes back as server-sent events, without IO.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

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

/// A question's body. `quiet` tells a template that can think not to.
pub(super) fn body(settings: &Settings, request: &ModelRequest, quiet: bool) -> Value {
    let mut body = json!({
        "model": settings.name,
        "stream": true,
        "stream_options": {"include_usage": true},
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    });
    if quiet {
        body["chat_template_kwargs"] = json!({"enable_thinking": false});
    }
    match settings.mode(request) {
        CallMode::Native => {
            body["messages"] = messages(&request.messages);
            if !request.tools.is_empty() {
                body["tools"] = request.tools.iter().map(tool).collect();
                body["parallel_tool_calls"] = true.into();
            }
        }
        mode @ (CallMode::Constrained | CallMode::Words) => {
            body["messages"] = messages(&constrained::messages(&request.messages, &request.tools));
            let schema = constrained::schema_for(mode, request);
            body["response_format"] =
                json!({"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}});
            if mode == CallMode::Words {
                // Without it the models that need this mode go round in circles; Ollama has such a penalty by default.
                body["frequency_penalty"] = 0.3.into();
            }
        }
    }
    body
}

fn tool(spec: &ToolSpec) -> Value {
    let function = json!({"name": spec.name, "description": spec.summary, "parameters": spec.schema()});
    json!({"type": "function", "function": function})
}

/// Calls need ids here and results must name them: where the model gave none they are numbered.
fn messages(messages: &[Message]) -> Value {
    let mut open: VecDeque<(String, String)> = VecDeque::new();
    let mut count = 0;
    let mut out = vec![];
    for message in messages {
        out.push(match message {
            Message::System { text } => json!({"role": "system", "content": text}),
            Message::User { text } => json!({"role": "user", "content": text}),
            Message::Assistant { text, calls, .. } if calls.is_empty() => {
                json!({"role": "assistant", "content": text})
            }
            Message::Assistant { text, calls, .. } => {
                let mut list = vec![];
                open.clear();
                for call in calls {
                    count += 1;
                    let id = call.id.clone().unwrap_or_else(|| format!("call_{count}"));
                    open.push_back((id.clone(), call.name.clone()));
                    let arguments = unpacked(&call.args).to_string();
                    list.push(json!({
                        "id": id, "type": "function",
                        "function": {"name": call.name, "arguments": arguments},
                    }));
                }
                json!({"role": "assistant", "content": text, "tool_calls": list})
            }
            Message::Tool { id, name, text } => {
                let at = open.iter().position(|(open_id, open_name)| match id {
                    Some(id) => id == open_id,
                    None => open_name == name,
                });
                let matched = at.and_then(|at| open.remove(at)).map(|(id, _)| id);
                let id = matched.or_else(|| id.clone()).unwrap_or_else(|| "call_0".into());
                json!({"role": "tool", "tool_call_id": id, "name": name, "content": text})
            }
        });
    }
    Value::Array(out)
}

/// An answer's events, put together.
#[derive(Debug)]
pub(super) struct Events {
    answer: Answer,
    calls: BTreeMap<u64, Partial>,
    reason: Option<String>,
    done: bool,
}

#[derive(Debug, Default)]
struct Partial {
    id: Option<String>,
    name: String,
    args: String,
}

/// Why a line is no part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EventError {
    /// It is not of this protocol.
    Garbage,
    /// The server reports an error, in its words.
    Server(String),
}

impl Events {
    pub(super) fn new(mode: CallMode, tools: &[ToolSpec]) -> Self {
        Self { answer: Answer::new(mode, tools), calls: BTreeMap::new(), reason: None, done: false }
    }

    /// Whether the end was announced: nothing that follows is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the answer is whole, though its counts may still follow.
    pub(super) fn is_whole(&self) -> bool {
        self.done || self.reason.is_some()
    }

    /// Takes one line; returns what may be shown.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<String, EventError> {
        let line = std::str::from_utf8(line).map_err(|_| EventError::Garbage)?.trim();
        let data = line.strip_prefix("data:").or_else(|| line.strip_prefix("error:"));
        let data = match data {
            Some(data) => data.trim(),
            None if line.starts_with('{') => line,
            None if line.is_empty() || line.starts_with(':') => return Ok(String::new()),
            None if ["event:", "id:", "retry:"].iter().any(|p| line.starts_with(p)) => {
                return Ok(String::new());
            }
            None => return Err(EventError::Garbage),
        };
        if data == "[DONE]" {
            self.done = true;
            return Ok(String::new());
        }
        let value: Value = serde_json::from_str(data).map_err(|_| EventError::Garbage)?;
        if let Some(error) = error_message(&value) {
            return Err(EventError::Server(error));
        }
        if line.starts_with("error:") {
            let message = value.get("message").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(EventError::Server(message.to_owned()));
        }
        self.event(&value)
    }

    fn event(&mut self, value: &Value) -> Result<String, EventError> {
        let Some(choices) = value.get("choices").and_then(Value::as_array) else {
            return Err(EventError::Garbage);
        };
        if let Some(usage) = value.get("usage") {
            let count = |key| usage.get(key).and_then(Value::as_u64);
            self.answer.tokens(count("prompt_tokens"), count("completion_tokens"));
        }
        let Some(choice) = choices.first() else { return Ok(String::new()) };
        // A server that does not stream sends one `message`.
        let delta = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
        for key in ["reasoning_content", "reasoning"] {
            self.answer.thinking(delta.get(key).and_then(Value::as_str).unwrap_or_default());
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.fragment(call);
        }
        let shown = self.answer.text(delta.get("content").and_then(Value::as_str).unwrap_or_default());
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.reason = Some(reason.to_owned());
        }
        Ok(shown)
    }

    fn fragment(&mut self, call: &Value) {
        let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let last = self.calls.last_key_value().map(|(at, _)| *at);
        let index = call.get("index").and_then(Value::as_u64).unwrap_or(match (last, id) {
            (None, _) => 0,
            (Some(last), Some(_)) => last + 1,
            (Some(last), None) => last,
        });
        let partial = self.calls.entry(index).or_default();
        if let Some(id) = id {
            partial.id = Some(id.to_owned());
        }
        let Some(function) = call.get("function") else { return };
        partial.name.push_str(function.get("name").and_then(Value::as_str).unwrap_or_default());
        match function.get("arguments") {
            Some(Value::String(text)) => partial.args.push_str(text),
            Some(Value::Null) | None => {}
            Some(whole) => partial.args = whole.to_string(),
        }
    }

    /// Ends the answer. Returns what may be shown now, and the reply.
    pub(super) fn finish(mut self) -> Result<(String, Reply), ModelError> {
        if !self.is_whole() {
            return Err(ModelError::Broken("it ended before it was done".into()));
        }
        let cut = self.reason.as_deref() == Some("length");
        for (_, Partial { id, name, args }) in self.calls {
            let args = unpacked(&Value::String(args));
            // A limit cut this one: half a call is none. Otherwise the loop tells the model what is wrong with it.
            if !cut || args.is_object() {
                self.answer.call(ModelCall { id, name, args });
            }
        }
        self.answer.finish(cut)
    }
}

/// What a refusal means; `name` is the model's.
pub(super) fn refusal(refusal: &Refusal, name: &str) -> ModelError {
    let text = &refusal.text;
    let no_tools = ["--jinja", "enable-auto-tool-choice", "not support tool", "support tools"];
    match refusal.code {
        400..=500 if no_tools.iter().any(|part| text.contains(part)) => ModelError::NoTools(name.to_owned()),
        400 | 413 | 500 if says_too_long(text) => ModelError::TooLong(text.clone()),
        401 | 403 => ModelError::Refused("not authorised; check [model] token".into()),
        404 if refusal.json => ModelError::Refused(format!("it has no model `{name}`; check [model] name")),
        404 | 405 => ModelError::Refused("there is no /v1/chat/completions at [model] url".into()),
        429 | 503 => ModelError::Busy,
        500 if says_parser(text) => ModelError::Swallowed,
        502 | 504 => ModelError::Down(format!("a gateway answers {}", refusal.code)),
        300..=399 => ModelError::Refused("it redirects; put the final address into [model] url".into()),
        code => ModelError::Refused(format!("{code}: {text}")),
    }
}

#[cfg(test)]
mod tests;
