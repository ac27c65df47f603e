//! A registry at the wire: takes what an engine pushes, answers for tags, and refuses on demand.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{Method, StatusCode, Uri, header},
    response::Response,
};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};

/// A registry on loopback; ends with the value.
pub struct Registry {
    pub at: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    task: JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Shelf {
    /// By digest.
    blobs: HashMap<String, Vec<u8>>,
    uploads: HashMap<String, Vec<u8>>,
    /// By `repository/tag` and `repository/digest`.
    manifests: HashMap<String, (String, Vec<u8>)>,
    asked: Vec<String>,
    refusal: Option<(u16, &'static str)>,
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

impl Registry {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, shelf) = (listener.local_addr().unwrap(), Arc::<Mutex<Shelf>>::default());
        let app =
            Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&shelf));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { at, shelf, task }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    /// Somebody else pushes another image under each tag.
    pub fn renew(&self) {
        for (_, manifest) in self.shelf().manifests.values_mut() {
            // Another text is another digest.
            manifest.push(b'\n');
        }
    }

    /// From now on manifests are refused with that status and error code.
    pub fn refuse(&self, refusal: Option<(u16, &'static str)>) {
        self.shelf().refusal = refusal;
    }

    /// Method and path of every request so far.
    pub fn asked(&self) -> Vec<String> {
        self.shelf().asked.clone()
    }
}

fn reply(status: u16, headers: &[(&str, String)], body: Vec<u8>) -> Response {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(body)).unwrap()
}

fn refusal(status: u16, code: &str) -> Response {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"refused by the test"}}]}}"#);
    reply(status, &[("content-type", "application/json".into())], body.into_bytes())
}

async fn answer(
    State(shelf): State<Arc<Mutex<Shelf>>>,
    method: Method,
    uri: Uri,
    headers: header::HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let mut shelf = shelf.lock().unwrap();
    shelf.asked.push(format!("{method} {}", uri.path()));
    let path = uri.path().trim_start_matches("/v2/").to_owned();
    if let Some((repository, wanted)) = path.split_once("/manifests/") {
        let kind = headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        return manifest(&mut shelf, &method, repository, wanted, kind, &body);
    }
    if let Some((repository, upload)) = path.split_once("/blobs/uploads/") {
        return uploaded(&mut shelf, &method, repository, upload, uri.query().unwrap_or_default(), &body);
    }
    match path.split_once("/blobs/").and_then(|(_, digest)| Some((digest, shelf.blobs.get(digest)?))) {
        Some((digest, blob)) => reply(200, &[("docker-content-digest", digest.to_owned())], blob.clone()),
        None if path.contains("/blobs/") => refusal(404, "BLOB_UNKNOWN"),
        None => reply(200, &[], vec![]),
    }
}

fn manifest(
    shelf: &mut Shelf,
    method: &Method,
    repository: &str,
    wanted: &str,
    kind: Option<String>,
    body: &[u8],
) -> Response {
    if *method == Method::PUT {
        let name = digest(body);
        for reference in [wanted, &name] {
            let stored = (kind.clone().unwrap_or_default(), body.to_vec());
            shelf.manifests.insert(format!("{repository}/{reference}"), stored);
        }
        return reply(201, &[("docker-content-digest", name)], vec![]);
    }
    if let Some((status, code)) = shelf.refusal {
        return refusal(status, code);
    }
    // After a renewal the digest leads to the new text, too.
    let by_digest = || shelf.manifests.values().find(|(_, text)| digest(text) == wanted);
    match shelf.manifests.get(&format!("{repository}/{wanted}")).or_else(by_digest) {
        Some((kind, text)) => {
            let headers = [("content-type", kind.clone()), ("docker-content-digest", digest(text))];
            reply(200, &headers, text.clone())
        }
        None => refusal(404, "MANIFEST_UNKNOWN"),
    }
}

fn uploaded(
    shelf: &mut Shelf,
    method: &Method,
    repository: &str,
    upload: &str,
    query: &str,
    body: &[u8],
) -> Response {
    let upload = if upload.is_empty() { format!("u{}", shelf.uploads.len()) } else { upload.to_owned() };
    let bytes = shelf.uploads.entry(upload.clone()).or_default();
    bytes.extend_from_slice(body);
    let location = ("location", format!("/v2/{repository}/blobs/uploads/{upload}"));
    if *method != Method::PUT {
        let range = ("range", format!("0-{}", bytes.len().saturating_sub(1)));
        return reply(202, &[location, range, ("docker-upload-uuid", upload)], vec![]);
    }
    let bytes = std::mem::take(bytes);
    let name = digest(&bytes);
    assert!(query.contains(&name.replace(':', "%3A")) || query.contains(&name), "{query}: {name}");
    shelf.blobs.insert(name.clone(), bytes);
    reply(
        201,
        &[("location", format!("/v2/{repository}/blobs/{name}")), ("docker-content-digest", name)],
        vec![],
    )
}
