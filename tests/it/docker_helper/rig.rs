//! A helper in this process before an engine that notes what reaches it; both end with the value.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use opsbot::docker_gate::{Config, Limits, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::docker::fake::{Act, answer};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// An engine on a Unix socket; remembers the head of every request.
pub struct Engine {
    dir: TempDir,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// `act` decides by method and target (`GET /containers/json?all=true`).
    pub fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (act, noted) = (Arc::new(act), Arc::clone(&heads));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(one(stream, Arc::clone(&act), Arc::clone(&noted)));
            }
        });
        Self { dir, heads, task }
    }

    /// One container `web` with that label, which answers every route of the table.
    pub fn of_web(labels: Value) -> Self {
        Self::start(move |asked| {
            match asked {
            a if a.contains("/containers/json") => Act::json(json!([summary("web", &labels)]).to_string()),
            a if a.contains("/images/json") => Act::json(json!([image("web"), image("vault")]).to_string()),
            a if a.contains("/distribution/") => {
                Act::json(json!({"Descriptor": {"digest": "sha256:1"}, "Platforms": ["SEEN"]}).to_string())
            }
            a if a.contains("/system/df") => Act::json(
                json!({"Containers": [summary("web", &labels)], "Images": [image("web"), image("vault")], "SEEN": 1})
                    .to_string(),
            ),
            a if a.contains("/json") => Act::json(inspect("web", &labels).to_string()),
            a if a.contains("/logs") => Act::Answer(200, b"a log".into()),
            a if a.contains("/stats") => Act::json("{}"),
            a if a.contains("/events") => Act::json(""),
            a if a.starts_with("POST ") => Act::Answer(204, vec![]),
            a if a.contains("/_ping") => Act::Answer(200, b"OK".into()),
            _ => Act::version(),
        }
        })
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// `METHOD target` of every request so far.
    pub fn asked(&self) -> Vec<String> {
        let line = |head: &String| head.lines().next().unwrap().rsplit_once(' ').unwrap().0.to_owned();
        self.heads().iter().map(line).collect()
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn one(mut stream: UnixStream, act: Arc<impl Fn(&str) -> Act>, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(b) => head.push(b),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let asked = head.lines().next().unwrap().rsplit_once(' ').unwrap().0.to_owned();
    heads.lock().unwrap().push(head);
    let _gone = answer(&mut stream, act(&asked)).await;
}

/// The full id of the container with that name.
pub fn id_of(name: &str) -> String {
    name.bytes().map(|b| format!("{b:02x}")).collect::<String>().repeat(64).chars().take(64).collect()
}

pub fn summary(name: &str, labels: &Value) -> Value {
    json!({"Id": id_of(name), "Names": [format!("/{name}")], "Image": "i", "Command": "SEEN", "State": "running",
        "ImageID": format!("image-{name}"), "Status": "Up", "Labels": labels, "Mounts": [{"Source": "SEEN"}]})
}

/// The image that the container with that name runs.
pub fn image(name: &str) -> Value {
    json!({"Id": format!("image-{name}"), "RepoDigests": [format!("127.0.0.1:5000/{name}@sha256:1")], "Labels": {"SEEN": "1"}})
}

pub fn inspect(name: &str, labels: &Value) -> Value {
    json!({"Id": id_of(name), "Name": format!("/{name}"), "State": {"Status": "running"}, "Path": "SEEN",
        "Config": {"Image": "i", "Env": ["A=SEEN"], "Labels": labels}, "HostConfig": {"Binds": ["SEEN"]}})
}

/// The label that the helper asks for.
pub fn ours() -> Value {
    json!({"opsbot.customer": "19"})
}

/// A helper in this process.
pub struct Helper {
    dir: TempDir,
    stop: CancellationToken,
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Helper {
    /// Before that engine, for the calling user, with `more` configuration.
    pub fn before(engine: &Path, more: &str) -> Self {
        Self::with(engine, &format!("users = [{}]\n{more}", nix::unistd::geteuid()), Limits::default())
    }

    pub fn with(engine: &Path, config: &str, limits: Limits) -> Self {
        let config = Config::parse(&format!("socket = \"{}\"\n{config}", engine.display())).unwrap();
        let helper = Self { dir: tempfile::tempdir().unwrap(), stop: CancellationToken::new() };
        let listener = UnixListener::bind(helper.socket()).unwrap();
        let stop = helper.stop.clone();
        tokio::spawn(async move { serve(&listener, config, limits, stop).await });
        helper
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Sends these bytes and reads to the end.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        raw(&self.socket(), bytes).await
    }

    /// One request without a body.
    pub async fn ask(&self, line: &str) -> Answer {
        Answer(self.raw(format!("{line} HTTP/1.1\r\nHost: docker\r\n\r\n").as_bytes()).await)
    }
}

pub async fn raw(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let mut got = Vec::new();
    // The helper may have answered and gone before all is written.
    let _gone = stream.write_all(bytes).await;
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("the helper hangs");
    String::from_utf8_lossy(&got).into_owned()
}

/// What came back, head and body.
#[derive(Debug)]
pub struct Answer(pub String);

impl Answer {
    pub fn status(&self) -> u16 {
        self.0
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| panic!("no answer: {:?}", self.0))
    }

    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default()
    }

    /// The sentence of an error, in Docker's form.
    #[track_caller]
    pub fn message(&self) -> String {
        let json: Value = serde_json::from_str(self.body()).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        json["message"].as_str().unwrap().to_owned()
    }
}
