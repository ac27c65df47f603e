//! The wire: connections, routes, and answers, those that break off too.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, Response, header},
};
use bytes::Bytes;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

pub(super) use super::params::Params;
use super::{FakeTelegram, faults::Fault, methods, web};

/// The largest request: 50 MB of file, and what is around it.
const BODY_LIMIT: usize = 52 * 1024 * 1024;

/// What a method answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// `{"ok":true,"result":…}`
    Ok(Value),
    /// `{"ok":false,…}`
    Refused(Refusal),
    /// A proxy's page.
    Html(u16, &'static str),
}

/// A method's error.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub code: u16,
    pub description: String,
    pub parameters: Option<Value>,
}

impl Refusal {
    pub(super) fn new(code: u16, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), parameters: None }
    }

    /// 400 `Bad Request: …`.
    pub(super) fn bad(text: impl fmt::Display) -> Self {
        Self::new(400, format!("Bad Request: {text}"))
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Result<Value, Refusal>> for Answer {
    fn from(result: Result<Value, Refusal>) -> Self {
        result.map_or_else(Self::Refused, Self::Ok)
    }
}

impl Answer {
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Ok(_) => 200,
            Self::Refused(refusal) => refusal.code,
            Self::Html(code, _) => *code,
        }
    }

    pub(super) fn error(&self) -> &str {
        match self {
            Self::Ok(_) => "",
            Self::Refused(refusal) => &refusal.description,
            Self::Html(..) => "an HTML page",
        }
    }

    fn bytes(&self) -> (&'static str, Bytes) {
        match self {
            Self::Html(_, page) => ("text/html", Bytes::from_static(page.as_bytes())),
            Self::Ok(result) => {
                ("application/json", json!({"ok": true, "result": result}).to_string().into())
            }
            Self::Refused(r) => {
                let mut body = json!({"ok": false, "error_code": r.code, "description": r.description});
                if let Some(parameters) = &r.parameters {
                    body["parameters"] = parameters.clone();
                }
                ("application/json", body.to_string().into())
            }
        }
    }
}

/// How the answer travels.
#[derive(Debug)]
pub(super) enum Delivery {
    Whole(Answer),
    /// No answer, the connection closes.
    Drop,
    /// No answer, the connection stays.
    Hang,
    Garbage,
    Drip(Answer, Duration),
}

impl Delivery {
    pub(super) fn of(fault: Option<&Fault>, answer: Answer) -> Self {
        match fault {
            Some(Fault::LandThenDrop) => Self::Drop,
            Some(Fault::LandThenHang) => Self::Hang,
            Some(Fault::Garbage) => Self::Garbage,
            Some(Fault::SlowDrip(pause)) => Self::Drip(answer, *pause),
            _ => Self::Whole(answer),
        }
    }

    /// The status that the client sees; 0 for none.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Whole(answer) | Self::Drip(answer, _) => answer.code(),
            Self::Garbage => 200,
            Self::Drop | Self::Hang => 0,
        }
    }
}

/// The connection is to close without an answer.
#[derive(Debug)]
pub(super) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped on command")
    }
}

impl std::error::Error for Dropped {}

/// Accepts until the task ends; connections end with it.
pub(super) async fn serve(fake: FakeTelegram, listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let fake = fake.clone();
        connections.spawn(async move {
            let service = service_fn(|request| route(fake.clone(), request));
            let http = hyper::server::conn::http1::Builder::new();
            // A client that goes away, and a drop on command, are no errors of the server.
            http.serve_connection(TokioIo::new(stream), service).await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn route(fake: FakeTelegram, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let (head, body) = request.into_parts();
    let path = percent_decoded(head.uri.path());
    let Ok(body) = axum::body::to_bytes(Body::new(body), BODY_LIMIT).await else {
        return Ok(response(&Refusal::new(413, "Request Entity Too Large").into()));
    };
    if let Some(rest) = path.strip_prefix("/file/bot") {
        return Ok(file(&fake, rest));
    }
    let Some(rest) = path.strip_prefix("/bot") else {
        return Ok(web::page(&fake, &head, &path, body).await);
    };
    let Some((token, method)) = rest.split_once('/') else {
        return Ok(response(&Refusal::new(404, "Not Found").into()));
    };
    if let Err(refusal) = check_token(&fake, token) {
        return Ok(response(&refusal.into()));
    }
    if head.method != Method::GET && head.method != Method::POST {
        return Ok(response(&Refusal::new(405, "Method Not Allowed").into()));
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let params = match Params::parse(head.uri.query().unwrap_or_default(), kind, &body) {
        Ok(params) => params,
        Err(refusal) => return Ok(response(&refusal.into())),
    };
    match methods::call(&fake, method, params).await {
        Delivery::Whole(answer) => Ok(response(&answer)),
        Delivery::Drop => Err(Dropped),
        Delivery::Hang => std::future::pending().await,
        Delivery::Garbage => {
            Ok(respond(200, "application/json", Bytes::from_static(b"{\"ok\":tru\xff\xfe<")))
        }
        Delivery::Drip(answer, pause) => Ok(drip(&answer, pause)),
    }
}

/// A token that was never one is not found; one of another bot is unauthorized.
fn check_token(fake: &FakeTelegram, token: &str) -> Result<(), Refusal> {
    if token == fake.token() {
        return Ok(());
    }
    let formed = token.split_once(':').is_some_and(|(id, secret)| {
        id.parse::<u64>().is_ok()
            && !secret.is_empty()
            && secret.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    });
    Err(if formed { Refusal::new(401, "Unauthorized") } else { Refusal::new(404, "Not Found") })
}

fn file(fake: &FakeTelegram, rest: &str) -> Response<Body> {
    let Some((token, path)) = rest.split_once('/') else {
        return response(&Refusal::new(404, "Not Found").into());
    };
    if let Err(refusal) = check_token(fake, token) {
        return response(&refusal.into());
    }
    let found = fake.look(|w| w.files.values().find(|f| f.path == path).map(|f| f.media.clone()));
    match found {
        Some(media) => respond(200, "application/octet-stream", media.bytes),
        None => response(&Refusal::new(404, "Not Found").into()),
    }
}

fn response(answer: &Answer) -> Response<Body> {
    let (kind, bytes) = answer.bytes();
    respond(answer.code(), kind, bytes)
}

/// A response with this status, type and body.
pub(super) fn respond(code: u16, kind: &str, body: Bytes) -> Response<Body> {
    let built = Response::builder().status(code).header(header::CONTENT_TYPE, kind).body(Body::from(body));
    built.unwrap_or_default()
}

fn drip(answer: &Answer, pause: Duration) -> Response<Body> {
    let (kind, bytes) = answer.bytes();
    let bytes: Arc<[u8]> = bytes.to_vec().into();
    let stream = futures::stream::unfold(0, move |at| {
        let bytes = Arc::clone(&bytes);
        async move {
            let byte = *bytes.get(at)?;
            tokio::time::sleep(pause).await;
            Some((Ok::<_, Infallible>(Bytes::copy_from_slice(&[byte])), at + 1))
        }
    });
    let built = Response::builder()
        .status(answer.code())
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from_stream(stream));
    built.unwrap_or_default()
}

/// `%2F` is `/`, and so on; what is no code stays.
pub(super) fn percent_decoded(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
