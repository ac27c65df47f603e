//! A Docker engine at the wire that can misbehave.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use opsbot::{
    docker::{DockerHosts, HostConfig},
    domain::{ContainerRef, HostName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the engine does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers properly.
    Answer(u16, Vec<u8>),
    /// Sends a proper head and so much of a longer body, then closes.
    Break(Vec<u8>),
    /// Sends these very bytes, then closes.
    Raw(Vec<u8>),
    /// Sends a head and a body that never ends.
    Endless,
    /// Never answers.
    Hang,
}

impl Act {
    pub fn json(text: impl Into<String>) -> Self {
        Self::Answer(200, text.into().into_bytes())
    }

    pub fn version() -> Self {
        Self::json(r#"{"Version":"20.10.24","ApiVersion":"1.41"}"#)
    }
}

/// An engine on loopback; ends with the value.
#[derive(Debug)]
pub struct Engine {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// `act` decides by method and path (`GET /containers/json?all=true`); `/version` is answered properly unless it says else.
    pub async fn start(act: impl Fn(&str) -> Option<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let act = Arc::new(act);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&act)));
            }
        });
        Self { at, task }
    }

    pub fn config(&self, name: &str, timeout: Duration) -> HostConfig {
        HostConfig { name: HostName::from(name), url: format!("tcp://{}", self.at), tls: None, timeout }
    }

    pub fn hosts(&self, timeout: Duration) -> DockerHosts {
        DockerHosts::connect(vec![self.config("fake", timeout)])
    }
}

async fn serve(mut stream: TcpStream, act: Arc<impl Fn(&str) -> Option<Act>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(b) => head.push(b),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // The client may or may not put the version in front.
    let path = match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => format!("/{rest}"),
        None => path.to_owned(),
    };
    let wanted = act(&format!("{method} {path}"));
    let act = wanted
        .unwrap_or_else(|| if path == "/version" { Act::version() } else { Act::Answer(404, b"{}".into()) });
    let _ended = answer(&mut stream, act).await;
}

/// Does it on any stream, and closes that.
pub async fn answer(stream: &mut (impl AsyncWrite + Unpin), act: Act) -> std::io::Result<()> {
    match act {
        Act::Answer(status, body) => {
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
        }
        Act::Break(body) => {
            stream.write_all(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.write_all(b"\r\n").await?;
        }
        Act::Raw(bytes) => stream.write_all(&bytes).await?,
        Act::Endless => {
            stream.write_all(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n[").await?;
            let piece = vec![b' '; 1 << 16];
            loop {
                stream.write_all(&piece).await?;
            }
        }
        Act::Hang => std::future::pending().await,
    }
    stream.shutdown().await
}

/// A frame of a log stream.
pub fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![stream, 0, 0, 0];
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend_from_slice(payload);
    out
}

pub fn container(service: &str) -> ContainerRef {
    ContainerRef {
        host: HostName::from("fake"),
        id: "f".repeat(64),
        name: format!("c19-{service}"),
        service: service.into(),
    }
}
