//! Ollama's dialect in front of a llama-server, so that a real model is driven through the Ollama client too.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use opsbot::llm::LineReader;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

#[derive(Clone)]
struct Shim {
    client: reqwest::Client,
    url: String,
    name: String,
}

/// Serves a model called `name` on `listener` until dropped; `url` is the llama-server's base.
pub async fn serve(listener: TcpListener, url: &str, name: &str) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let shim = Shim { client, url: url.trim_end_matches('/').to_owned(), name: name.to_owned() };
    let listed = json!({"models": [{"name": name, "model": name, "modified_at": "", "size": 0,
        "context_length": 8192}]});
    let tags = listed.clone();
    let router = Router::new()
        .route("/api/version", get(|| async { Json(json!({"version": "0.33.0-shim"})) }))
        .route("/api/ps", get(|| async { Json(listed) }))
        .route("/api/tags", get(|| async { Json(tags) }))
        .route("/api/show", post(|| async { Json(json!({"capabilities": ["completion", "tools"]})) }))
        .route("/api/chat", post(chat))
        .with_state(shim);
    axum::serve(listener, router).await.unwrap();
}

struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([("content-type", "application/json")], self.0.to_string()).into_response()
    }
}

async fn chat(State(shim): State<Shim>, body: Bytes) -> Response {
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return refused(StatusCode::BAD_REQUEST, "unexpected EOF");
    };
    if asked["messages"].as_array().is_none_or(Vec::is_empty) {
        return Json(shim.line(&json!({"content": ""}), &json!({"done": true, "done_reason": "load"})))
            .into_response();
    }
    let request = shim.client.post(format!("{}/v1/chat/completions", shim.url)).json(&translated(&asked));
    let mut upstream = match request.send().await {
        Ok(upstream) => upstream,
        Err(_) => return refused(StatusCode::INTERNAL_SERVER_ERROR, "the runner is gone"),
    };
    if !upstream.status().is_success() {
        let status = StatusCode::from_u16(upstream.status().as_u16()).unwrap();
        return refused(status, &upstream.text().await.unwrap_or_default());
    }
    let (lines, mut out) = mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        let mut answer = Answer { shim, calls: vec![], reason: "stop".into(), usage: Value::Null };
        let mut reader = LineReader::default();
        // Ends when the client leaves, which ends the upstream's work too.
        while let Ok(Some(bytes)) = upstream.chunk().await {
            reader.push(&bytes).unwrap();
            while let Some(line) = reader.next_line() {
                for value in answer.take(&line) {
                    if lines.send(format!("{value}\n").into()).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let stream =
        futures::stream::poll_fn(move |cx| out.poll_recv(cx).map(|b| b.map(Ok::<_, std::io::Error>)));
    ([("content-type", "application/x-ndjson")], Body::from_stream(stream)).into_response()
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

/// Ollama's request as llama-server takes it.
fn translated(asked: &Value) -> Value {
    let mut messages = asked["messages"].clone();
    for message in messages.as_array_mut().unwrap() {
        for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
            call["type"] = "function".into();
            let arguments = call["function"]["arguments"].to_string();
            call["function"]["arguments"] = arguments.into();
            if call.get("id").is_none() {
                call["id"] = "call_0".into();
            }
        }
        if message["role"] == "tool" && message.get("tool_call_id").is_none() {
            message["tool_call_id"] = "call_0".into();
        }
    }
    let mut body = json!({
        "model": asked["model"], "messages": messages, "stream": true,
        "stream_options": {"include_usage": true},
        "temperature": asked["options"]["temperature"], "max_tokens": asked["options"]["num_predict"],
    });
    if let Some(schema) = asked.get("format") {
        body["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "r", "schema": schema}});
    } else if let Some(tools) = asked.get("tools") {
        body["tools"] = tools.clone();
    }
    body
}

struct Answer {
    shim: Shim,
    calls: Vec<(String, String)>,
    reason: String,
    usage: Value,
}

impl Answer {
    /// The lines that Ollama would send for one event; calls are never partial there.
    fn take(&mut self, line: &[u8]) -> Vec<Value> {
        let Some(data) = std::str::from_utf8(line).unwrap().trim().strip_prefix("data:") else {
            return vec![];
        };
        if data.trim() == "[DONE]" {
            return self.end();
        }
        let event: Value = serde_json::from_str(data).unwrap();
        if let Some(error) = event.get("error") {
            return vec![json!({"error": error["message"]})];
        }
        if event["usage"].is_object() {
            self.usage = event["usage"].clone();
        }
        let choice = &event["choices"][0];
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.reason = if reason == "length" { "length".into() } else { "stop".into() };
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = usize::try_from(call["index"].as_u64().unwrap_or(0)).unwrap();
            while self.calls.len() <= at {
                self.calls.push(Default::default());
            }
            self.calls[at].0 += call["function"]["name"].as_str().unwrap_or_default();
            self.calls[at].1 += call["function"]["arguments"].as_str().unwrap_or_default();
        }
        match choice["delta"]["content"].as_str() {
            Some(text) if !text.is_empty() => {
                vec![self.shim.line(&json!({"content": text}), &json!({"done": false}))]
            }
            _ => vec![],
        }
    }

    fn end(&mut self) -> Vec<Value> {
        let mut lines = vec![];
        if !self.calls.is_empty() {
            let calls: Vec<_> = self
                .calls
                .iter()
                .map(|(name, args)| {
                    let arguments: Value = serde_json::from_str(args).unwrap_or_default();
                    json!({"function": {"name": name, "arguments": arguments}})
                })
                .collect();
            lines.push(self.shim.line(&json!({"content": "", "tool_calls": calls}), &json!({"done": false})));
        }
        let more = json!({
            "done": true, "done_reason": self.reason,
            "prompt_eval_count": self.usage["prompt_tokens"], "eval_count": self.usage["completion_tokens"],
        });
        lines.push(self.shim.line(&json!({"content": ""}), &more));
        lines
    }
}

impl Shim {
    fn line(&self, message: &Value, more: &Value) -> Value {
        let mut line = json!({"model": self.name, "message": message});
        line["message"]["role"] = "assistant".into();
        for (key, value) in more.as_object().unwrap() {
            line[key] = value.clone();
        }
        line
    }
}
