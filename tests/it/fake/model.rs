//! A scripted model: an HTTP server that speaks Ollama's dialect and OpenAI's, says exactly what a scenario needs, and
//! can break in every way that real ones do.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What the model says to one request.
#[derive(Clone, Debug)]
pub enum Say {
    /// Plain text, streamed in small pieces.
    Text(String),
    /// The server's own tool calls: (name, arguments).
    Calls(Vec<(String, Value)>),
    /// Text, then calls, as talkative models do.
    TextAndCalls(String, Vec<(String, Value)>),
    /// A call written as text, streamed in small pieces, even under a schema.
    TextAsCall(String),
    /// A status and its body.
    Error {
        /// The HTTP status.
        status: u16,
        /// The body as it is.
        body: String,
    },
    /// A piece of text, then an error line and no end.
    MidStreamError(String),
    /// A piece of text, then the connection breaks.
    Cut,
    /// Nothing at all, until the client leaves.
    Silent,
    /// The start of an answer, then nothing, until the client leaves.
    Stalls(String),
    /// Text with a pause after each piece.
    Slow {
        /// The text.
        text: String,
        /// The pause in milliseconds.
        chunk_ms: u64,
    },
    /// An empty answer that has cost tokens: the server's parser ate a call.
    Swallowed,
    /// Text that a length limit cut.
    Length(String),
    /// Thinking, then text.
    Thinks(String, String),
    /// Bytes as they are: status line and headers, then body chunks.
    Raw {
        /// Status line and headers, without the empty line.
        head: String,
        /// The body's chunks, each sent as one.
        pieces: Vec<Vec<u8>>,
        /// Whether the body ends as HTTP wants it.
        whole: bool,
    },
}

/// What the server claims to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The only model there is; none means every name.
    pub model: Option<String>,
    /// `/api/show`'s capabilities.
    pub capabilities: Vec<String>,
    /// How long a load takes, in milliseconds.
    pub load_ms: u64,
    /// How often `/health` says that it loads.
    pub unhealthy: usize,
    /// Models besides `model`.
    pub others: Vec<String>,
    /// The lines of a pull, and the pause after each in milliseconds.
    pub pull: (Vec<Value>, u64),
}

impl Default for Setup {
    fn default() -> Self {
        let capabilities = vec!["completion".into(), "tools".into()];
        Self { model: None, capabilities, load_ms: 0, unhealthy: 0, others: vec![], pull: (vec![], 0) }
    }
}

type Script = Box<dyn Fn(&Value, usize) -> Say + Send + Sync>;

/// A running server; ends when dropped.
pub struct FakeModel {
    /// Its base URL, `http://127.0.0.1:PORT`.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    setup: Setup,
    script: Script,
    seen: watch::Sender<Seen>,
    order: Mutex<()>,
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The questions' bodies (preloads aside), in order.
    pub requests: Vec<Value>,
    /// The byte counts of those bodies as sent.
    pub sizes: Vec<usize>,
    /// Method and path of every request.
    pub paths: Vec<String>,
    /// The `authorization` header of every request that has one.
    pub tokens: Vec<String>,
    /// Loads that came to their end.
    pub loads: usize,
    /// Connections that the client gave up before their answer was whole.
    pub dropped: usize,
    loaded: bool,
}

impl FakeModel {
    /// Says `steps` one after the other; after the last, a 500 that tells so.
    pub async fn start(steps: Vec<Say>) -> Self {
        let over = Say::Error { status: 500, body: json!({"error": "the script is over"}).to_string() };
        Self::answering(move |_, n| steps.get(n).cloned().unwrap_or_else(|| over.clone())).await
    }

    /// Asks `script` what to say to the n-th request, from 0.
    pub async fn answering(script: impl Fn(&Value, usize) -> Say + Send + Sync + 'static) -> Self {
        Self::with(Setup::default(), script).await
    }

    /// As [`FakeModel::answering`], with `setup`.
    pub async fn with(setup: Setup, script: impl Fn(&Value, usize) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, setup, script)
    }

    /// As [`FakeModel::with`], on a listener that is there already.
    pub fn on(
        listener: TcpListener,
        setup: Setup,
        script: impl Fn(&Value, usize) -> Say + Send + Sync + 'static,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = watch::Sender::new(Seen::default());
        let shared = Arc::new(Shared { setup, script: Box::new(script), seen, order: Mutex::new(()) });
        let inner = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&inner);
                connections.spawn(async move { shared.serve(stream).await });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { url, shared, task }
    }

    /// What happened so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// The questions so far, preloads aside.
    pub fn requests(&self) -> Vec<Value> {
        self.seen().requests
    }

    /// Waits, at most 10 s, until `done` holds of what happened.
    pub async fn until(&self, done: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.shared.seen.subscribe();
        let found = tokio::time::timeout(Duration::from_secs(10), seen.wait_for(done)).await;
        found.expect("the fake model waits in vain").unwrap().clone()
    }

    /// Forgets that the model is loaded, as another model's load or a restart does.
    pub fn evict(&self) {
        self.shared.seen.send_modify(|s| s.loaded = false);
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Request {
    line: String,
    headers: String,
    body: Vec<u8>,
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(change);
    }

    async fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let (mut read, mut write) = stream.into_split();
        let Some(request) = read_request(&mut read).await else { return };
        let mut out = Out { write: &mut write };
        let mut byte = [0];
        let gone = tokio::select! {
            biased;
            () = self.answer(&request, &mut out) => false,
            _ = read.read(&mut byte) => true,
        };
        if gone {
            self.note(|s| s.dropped += 1);
        } else {
            write.shutdown().await.ok();
        }
    }

    async fn answer(&self, request: &Request, out: &mut Out<'_>) {
        self.note(|s| {
            s.paths.push(request.line.clone());
            let token = request.headers.lines().find_map(|l| l.strip_prefix("authorization: "));
            s.tokens.extend(token.map(str::to_owned));
        });
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let named = ["model", "name"].iter().find_map(|k| body[*k].as_str()).unwrap_or_default().to_owned();
        let known = |m: &String| named.is_empty() || *m == named || self.setup.others.contains(&named);
        let missing = self.setup.model.as_ref().is_some_and(|m| !known(m));
        match request.line.as_str() {
            "GET /api/version" => out.json(200, &json!({"version": "0.33.0-fake"})).await,
            "GET /api/tags" => {
                let others = self.setup.others.iter().map(|name| json!({"name": name, "size": 491_401_324}));
                let models: Vec<_> = std::iter::once(self.tag()).chain(others).collect();
                out.json(200, &json!({"models": models})).await;
            }
            "POST /api/pull" => {
                out.head(200, "application/x-ndjson").await;
                let (lines, pause) = &self.setup.pull;
                for line in lines {
                    out.chunk(format!("{line}\n").as_bytes()).await;
                    tokio::time::sleep(Duration::from_millis(*pause)).await;
                }
                out.chunk(b"").await;
            }
            "GET /api/ps" => {
                let loaded = self.seen.borrow().loaded;
                let models: Vec<_> = loaded.then(|| self.tag()).into_iter().collect();
                out.json(200, &json!({"models": models})).await;
            }
            "POST /api/show" | "POST /api/chat" if missing => {
                out.json(404, &json!({"error": format!("model '{named}' not found")})).await;
            }
            "POST /api/show" => out.json(200, &json!({"capabilities": self.setup.capabilities})).await,
            "POST /api/chat" if body["messages"].as_array().is_none_or(Vec::is_empty) => {
                self.load(&named, out).await;
            }
            "POST /api/chat" => self.say(&body, request.body.len(), &Ollama(&named), out).await,
            "POST /v1/chat/completions" => self.say(&body, request.body.len(), &OpenAi, out).await,
            "GET /health" => self.health(out).await,
            "GET /props" => {
                let props = json!({"build_info": "b1-fake", "default_generation_settings": {"n_ctx": 8192}});
                out.json(200, &props).await;
            }
            "GET /v1/models" => out.json(200, &json!({"data": [{"id": self.name()}]})).await,
            _ => out.respond(404, "text/plain", b"404 page not found\n").await,
        }
    }

    fn name(&self) -> String {
        self.setup.model.clone().unwrap_or_else(|| "fake".into())
    }

    fn tag(&self) -> Value {
        json!({"name": self.name(), "model": self.name(), "modified_at": "2026-11-21T08:00:00Z", "size": 1,
            "context_length": 8192})
    }

    async fn load(&self, name: &str, out: &mut Out<'_>) {
        tokio::time::sleep(Duration::from_millis(self.setup.load_ms)).await;
        self.note(|s| {
            s.loads += 1;
            s.loaded = true;
        });
        let done = json!({"model": name, "message": {"role": "assistant", "content": ""}, "done": true,
            "done_reason": "load"});
        out.json(200, &done).await;
    }

    async fn health(&self, out: &mut Out<'_>) {
        let asked = self.seen.borrow().paths.iter().filter(|p| p.ends_with("/health")).count();
        if asked <= self.setup.unhealthy {
            let loading = json!({"error": {"code": 503, "message": "Loading model"}});
            out.json(503, &loading).await;
        } else {
            out.json(200, &json!({"status": "ok"})).await;
        }
    }

    async fn say(&self, body: &Value, size: usize, dialect: &dyn Dialect, out: &mut Out<'_>) {
        let say = {
            let _order = self.order.lock().unwrap();
            let n = self.seen.borrow().requests.len();
            self.note(|s| {
                s.requests.push(body.clone());
                s.sizes.push(size);
                s.loaded = true;
            });
            (self.script)(body, n)
        };
        let forced = body.get("format").is_some() || body.get("response_format").is_some();
        let say = if forced { under_schema(say) } else { say };
        speak(say, dialect, out).await;
    }
}

/// What a schema makes of an answer.
fn under_schema(say: Say) -> Say {
    match say {
        Say::Text(text) => Say::TextAsCall(json!({"name": "none", "params": {"text": text}}).to_string()),
        Say::Calls(calls) | Say::TextAndCalls(_, calls) => {
            let (name, params) = calls.into_iter().next().unwrap_or_default();
            Say::TextAsCall(json!({"name": name, "params": params}).to_string())
        }
        other => other,
    }
}

async fn speak(say: Say, dialect: &dyn Dialect, out: &mut Out<'_>) {
    match &say {
        Say::Error { status, body } => {
            return out.respond(*status, "application/json; charset=utf-8", body.as_bytes()).await;
        }
        Say::Silent => return std::future::pending().await,
        Say::Raw { head, pieces, whole } => {
            out.bytes(
                format!("{head}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
            )
            .await;
            for piece in pieces {
                out.chunk(piece).await;
            }
            if *whole {
                out.chunk(b"").await;
            }
            return;
        }
        _ => {}
    }
    out.head(200, dialect.content_type()).await;
    let mut reason = "stop";
    match say {
        Say::Text(text) | Say::TextAsCall(text) => out.text(dialect, &text, 0).await,
        Say::Slow { text, chunk_ms } => out.text(dialect, &text, chunk_ms).await,
        Say::Length(text) => {
            out.text(dialect, &text, 0).await;
            reason = "length";
        }
        Say::Thinks(thinking, text) => {
            out.chunk(&dialect.thinking(&thinking)).await;
            out.text(dialect, &text, 0).await;
        }
        Say::Calls(calls) => out.chunk(&dialect.calls(&calls)).await,
        Say::TextAndCalls(text, calls) => {
            out.text(dialect, &text, 0).await;
            out.chunk(&dialect.calls(&calls)).await;
        }
        Say::MidStreamError(error) => {
            out.text(dialect, "I began", 0).await;
            out.chunk(&dialect.error(&error)).await;
            return out.chunk(b"").await;
        }
        Say::Cut => return out.text(dialect, "I began", 0).await,
        Say::Stalls(text) => {
            out.text(dialect, &text, 0).await;
            std::future::pending().await
        }
        Say::Swallowed | Say::Error { .. } | Say::Silent | Say::Raw { .. } => {}
    }
    out.chunk(&dialect.end(reason)).await;
    out.chunk(b"").await;
}

/// How an answer is written down.
trait Dialect: Send + Sync {
    fn content_type(&self) -> &'static str;
    fn text(&self, piece: &str) -> Vec<u8>;
    fn thinking(&self, piece: &str) -> Vec<u8>;
    fn calls(&self, calls: &[(String, Value)]) -> Vec<u8>;
    fn error(&self, error: &str) -> Vec<u8>;
    fn end(&self, reason: &str) -> Vec<u8>;
}

struct Ollama<'a>(&'a str);

impl Ollama<'_> {
    fn line(&self, message: &Value, more: &Value) -> Vec<u8> {
        let mut line = json!({"model": self.0, "created_at": "2026-11-21T08:00:00Z", "message": message});
        for (key, value) in more.as_object().unwrap() {
            line[key] = value.clone();
        }
        format!("{line}\n").into_bytes()
    }
}

impl Dialect for Ollama<'_> {
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn text(&self, piece: &str) -> Vec<u8> {
        self.line(&json!({"role": "assistant", "content": piece}), &json!({"done": false}))
    }

    fn thinking(&self, piece: &str) -> Vec<u8> {
        let message = json!({"role": "assistant", "content": "", "thinking": piece});
        self.line(&message, &json!({"done": false}))
    }

    fn calls(&self, calls: &[(String, Value)]) -> Vec<u8> {
        let calls: Vec<_> = calls
            .iter()
            .enumerate()
            .map(|(n, (name, args))| {
                json!({"id": format!("call_{n}"), "function": {"index": n, "name": name, "arguments": args}})
            })
            .collect();
        let message = json!({"role": "assistant", "content": "", "tool_calls": calls});
        self.line(&message, &json!({"done": false}))
    }

    fn error(&self, error: &str) -> Vec<u8> {
        format!("{}\n", json!({"error": error})).into_bytes()
    }

    fn end(&self, reason: &str) -> Vec<u8> {
        let more = json!({"done": true, "done_reason": reason, "prompt_eval_count": 100, "eval_count": 30});
        self.line(&json!({"role": "assistant", "content": ""}), &more)
    }
}

struct OpenAi;

impl OpenAi {
    fn event(delta: &Value, reason: &Value) -> Vec<u8> {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"choices": [choice]})).into_bytes()
    }
}

impl Dialect for OpenAi {
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn text(&self, piece: &str) -> Vec<u8> {
        Self::event(&json!({"content": piece}), &Value::Null)
    }

    fn thinking(&self, piece: &str) -> Vec<u8> {
        Self::event(&json!({"reasoning_content": piece}), &Value::Null)
    }

    fn calls(&self, calls: &[(String, Value)]) -> Vec<u8> {
        let mut out = vec![];
        for (n, (name, args)) in calls.iter().enumerate() {
            let first = json!({"tool_calls": [{"index": n, "id": format!("call_{n}"), "type": "function",
                "function": {"name": name, "arguments": ""}}]});
            out.extend(Self::event(&first, &Value::Null));
            let text = args.to_string();
            let middle = text.floor_char_boundary(text.len() / 2);
            for half in <[&str; 2]>::from(text.split_at(middle)) {
                let delta = json!({"tool_calls": [{"index": n, "function": {"arguments": half}}]});
                out.extend(Self::event(&delta, &Value::Null));
            }
        }
        out
    }

    fn error(&self, error: &str) -> Vec<u8> {
        format!("data: {}\n\n", json!({"error": {"message": error}})).into_bytes()
    }

    fn end(&self, reason: &str) -> Vec<u8> {
        let mut out = Self::event(&json!({}), &reason.into());
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 30}});
        out.extend(format!("data: {usage}\n\ndata: [DONE]\n\n").into_bytes());
        out
    }
}

struct Out<'a> {
    write: &'a mut OwnedWriteHalf,
}

impl Out<'_> {
    async fn bytes(&mut self, bytes: &[u8]) {
        // A client that has left is noticed by the reading half.
        self.write.write_all(bytes).await.ok();
    }

    async fn head(&mut self, status: u16, kind: &str) {
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        self.bytes(head.as_bytes()).await;
    }

    /// One chunk; an empty one ends the body.
    async fn chunk(&mut self, bytes: &[u8]) {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.bytes(&chunk).await;
    }

    async fn text(&mut self, dialect: &dyn Dialect, text: &str, pause_ms: u64) {
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(4) {
            self.chunk(&dialect.text(&piece.iter().collect::<String>())).await;
            if pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        }
    }

    async fn respond(&mut self, status: u16, kind: &str, body: &[u8]) {
        self.head(status, kind).await;
        if !body.is_empty() {
            self.chunk(body).await;
        }
        self.chunk(b"").await;
    }

    async fn json(&mut self, status: u16, body: &Value) {
        self.respond(status, "application/json; charset=utf-8", body.to_string().as_bytes()).await;
    }
}

async fn read_request(read: &mut OwnedReadHalf) -> Option<Request> {
    let mut bytes = vec![];
    let mut buffer = [0; 8192];
    let head_end = loop {
        let n = read.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let (first, headers) = head.split_once("\r\n")?;
    let line = first.rsplit_once(' ')?.0.to_owned();
    let length = headers.lines().find_map(|l| {
        let (key, value) = l.split_once(':')?;
        key.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = bytes[head_end..].to_vec();
    while body.len() < length.unwrap_or(0) {
        let n = read.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        body.extend_from_slice(&buffer[..n]);
    }
    Some(Request { line, headers: headers.to_owned(), body })
}
