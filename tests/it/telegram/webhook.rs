//! The webhook over real sockets: who may post, what is kept before it is answered, and TLS.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use opsbot::{
    channels::telegram::webhook::{BODY_LIMIT, BODY_TIME, Deliver, Incoming, router},
    http::{Limits, Server, bind_router},
    runtime::{Counters, clock},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &str = "a-secret_of-27-letters-0123";

/// A webhook that keeps updates in a list.
struct Rig {
    server: Server,
    counters: Counters,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Rig {
    async fn start(deliver: Deliver) -> Self {
        Self::with(deliver, BODY_TIME, Limits::default(), None).await
    }

    async fn with(
        deliver: Deliver,
        body_time: Duration,
        limits: Limits,
        tls: Option<(&Path, &Path)>,
    ) -> Self {
        let counters = Counters::new(clock::now());
        let router = router(SECRET, deliver, counters.clone(), body_time).unwrap();
        let server = bind_router("127.0.0.1:0", limits, router, tls).await.unwrap();
        let stop = CancellationToken::new();
        let (running, token) = (server.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run(token).await });
        Self { server, counters, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    async fn ask(&self, request: &[u8]) -> String {
        talk(self.connect().await, request).await
    }

    fn count(&self, result: &'static str) -> u64 {
        self.counters.count("opsbot_telegram_webhook_total", &[("result", result)])
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("drains in time").unwrap().unwrap();
    }
}

/// All that the server says to `request` until it closes.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    // Who is refused early may find the door closed while still talking.
    stream.write_all(request).await.ok();
    stream.flush().await.ok();
    rest(stream).await
}

async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes in time").ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{head}Host: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn post(secret: &str, body: &[u8]) -> Vec<u8> {
    request(
        &format!(
            "POST /telegram HTTP/1.1\r\nContent-Type: application/json\r\n\
             X-Telegram-Bot-Api-Secret-Token: {secret}\r\n"
        ),
        body,
    )
}

fn update(id: u32) -> Vec<u8> {
    json!({"update_id": id, "message": {"message_id": 5, "date": 1_790_000_000, "text": "hello",
        "from": {"id": 42, "is_bot": false, "first_name": "Anna"},
        "chat": {"id": 42, "type": "private", "first_name": "Anna"}}})
    .to_string()
    .into_bytes()
}

/// Keeps everything.
fn keeper() -> (Deliver, Arc<Mutex<Vec<Incoming>>>) {
    let kept: Arc<Mutex<Vec<Incoming>>> = Arc::default();
    let to = kept.clone();
    let deliver: Deliver = Arc::new(move |incoming| {
        let to = to.clone();
        Box::pin(async move {
            to.lock().unwrap().push(incoming);
            Ok(())
        })
    });
    (deliver, kept)
}

#[track_caller]
fn answered(answer: &str, code: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{code} was wanted: {answer}");
}

#[tokio::test]
async fn an_update_is_answered_once_it_is_kept() {
    let (begun, mut seen) = mpsc::channel(1);
    let go = Arc::new(Notify::new());
    let released = go.clone();
    let deliver: Deliver = Arc::new(move |incoming| {
        let (begun, released) = (begun.clone(), released.clone());
        Box::pin(async move {
            begun.send(incoming).await.unwrap();
            released.notified().await;
            Ok(())
        })
    });
    let rig = Rig::start(deliver).await;
    let mut stream = rig.connect().await;
    stream.write_all(&post(SECRET, &update(7))).await.unwrap();
    let incoming = timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    assert_eq!((incoming.id, incoming.update.is_ok()), (7, true));
    let mut early = [0; 1];
    let silent = timeout(Duration::from_millis(50), stream.read(&mut early)).await;
    assert!(silent.is_err(), "answered before the row was there");
    go.notify_one();
    answered(&rest(stream).await, 200);
    assert_eq!(rig.count("kept"), 1);
    rig.end().await;
}

#[tokio::test]
async fn whoever_is_not_telegram_is_turned_away() {
    let (deliver, kept) = keeper();
    let rig = Rig::start(deliver).await;
    let json = "POST /telegram HTTP/1.1\r\nContent-Type: application/json\r\n";
    let known = format!("X-Telegram-Bot-Api-Secret-Token: {SECRET}\r\n");
    let big = vec![b' '; BODY_LIMIT + 1];
    let mut chunked = format!("{json}{known}Host: x\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    chunked.extend(format!("{:x}\r\n", big.len()).bytes());
    chunked.extend(&big);
    chunked.extend(b"\r\n0\r\n\r\n");
    let table = [
        ("no secret", request(json, &update(1)), 401, "unauthorized"),
        ("an empty secret", post("", &update(1)), 401, "unauthorized"),
        ("a wrong secret", post("a-secret_of-27-letters-0124", &update(1)), 401, "unauthorized"),
        ("a part of it", post(&SECRET[..20], &update(1)), 401, "unauthorized"),
        ("GET", request(&format!("GET /telegram HTTP/1.1\r\n{known}"), b""), 405, ""),
        ("another path", request(&format!("POST / HTTP/1.1\r\n{known}"), &update(1)), 404, ""),
        (
            "no JSON",
            request(&format!("POST /telegram HTTP/1.1\r\nContent-Type: text/plain\r\n{known}"), &update(1)),
            415,
            "garbage",
        ),
        ("too large", post(SECRET, &big), 413, "garbage"),
        ("too large in pieces", chunked, 413, "garbage"),
        ("nothing", post(SECRET, b""), 400, "garbage"),
        ("half of one", post(SECRET, &update(1)[..50]), 400, "garbage"),
        ("no bytes of text", post(SECRET, b"\xff\xfe\x00"), 400, "garbage"),
        ("no update", post(SECRET, b"{\"ok\": true}"), 400, "garbage"),
        ("several", post(SECRET, b"[{\"update_id\": 1}]"), 400, "garbage"),
        ("very deep", post(SECRET, &b"[".repeat(100_000)), 400, "garbage"),
    ];
    for (name, request, code, counted) in table {
        let before = if counted.is_empty() { 0 } else { rig.count(counted) };
        let answer = rig.ask(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{name}: {answer}");
        assert!(!answer.contains(SECRET), "{name}: {answer}");
        if !counted.is_empty() {
            assert_eq!(rig.count(counted), before + 1, "{name}");
        }
    }
    assert!(kept.lock().unwrap().is_empty());
    answered(&rig.ask(&post(SECRET, &update(1))).await, 200);
    rig.end().await;
}

#[tokio::test]
async fn an_unknown_kind_is_taken_so_that_it_does_not_come_for_ever() {
    let (deliver, kept) = keeper();
    let rig = Rig::start(deliver).await;
    let unknown = json!({"update_id": 9, "a_new_kind": {"x": [1]}});
    answered(&rig.ask(&post(SECRET, unknown.to_string().as_bytes())).await, 200);
    assert_eq!(*kept.lock().unwrap(), [Incoming { id: 9, update: Err(unknown) }]);
    rig.end().await;
}

#[tokio::test]
async fn what_could_not_be_kept_is_to_be_sent_again() {
    let deliver: Deliver = Arc::new(|incoming| {
        Box::pin(async move {
            match incoming.id {
                1 => Err("the disk is full".into()),
                2 => panic!("a bug"),
                _ => Ok(()),
            }
        })
    });
    let rig = Rig::start(deliver).await;
    for id in [1, 2] {
        let answer = rig.ask(&post(SECRET, &update(id))).await;
        answered(&answer, 503);
        assert!(!answer.contains("disk") && !answer.contains("bug"), "{answer}");
    }
    answered(&rig.ask(&post(SECRET, &update(3))).await, 200);
    assert_eq!((rig.count("failed"), rig.count("kept")), (2, 1));
    rig.end().await;
}

#[tokio::test]
async fn a_broken_connection_leaves_nothing_half_done() {
    let (step, mut steps) = mpsc::channel(2);
    let go = Arc::new(Notify::new());
    let released = go.clone();
    let deliver: Deliver = Arc::new(move |_| {
        let (step, released) = (step.clone(), released.clone());
        Box::pin(async move {
            step.send("begun").await.unwrap();
            released.notified().await;
            step.send("kept").await.unwrap();
            Ok(())
        })
    });
    let rig = Rig::start(deliver).await;
    let mut stream = rig.connect().await;
    stream.write_all(&post(SECRET, &update(7))).await.unwrap();
    assert_eq!(timeout(PATIENCE, steps.recv()).await.unwrap(), Some("begun"));
    drop(stream);
    rig.end().await;
    go.notify_one();
    assert_eq!(timeout(PATIENCE, steps.recv()).await.unwrap(), Some("kept"));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let (deliver, kept) = keeper();
    let rig = Rig::with(deliver, Duration::from_millis(100), Limits::default(), None).await;
    let whole = post(SECRET, &update(1));
    let answer = rig.ask(&whole[..whole.len() - 5]).await;
    answered(&answer, 408);
    assert_eq!((rig.count("slow"), kept.lock().unwrap().len()), (1, 0));
    rig.end().await;
}

/// A certificate for `localhost` and its key as files.
struct Files {
    dir: tempfile::TempDir,
    made: CertifiedKey<rcgen::KeyPair>,
}

impl Files {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { dir, made }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.made.cert.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

#[tokio::test]
async fn over_tls_updates_come_in_and_nobody_holds_the_door() {
    let files = Files::make();
    let (deliver, kept) = keeper();
    let limits = Limits { head_time: Duration::from_millis(300), connections: 2, ..Limits::default() };
    let tls = (files.path("cert.pem"), files.path("key.pem"));
    let rig = Rig::with(deliver, BODY_TIME, limits, Some((&tls.0, &tls.1))).await;
    // Two that say nothing hold all places until their time is over.
    let (silent, mute) = (rig.connect().await, rig.connect().await);
    let name = ServerName::try_from("localhost").unwrap();
    let stream =
        timeout(PATIENCE, files.connector().connect(name, rig.connect().await)).await.unwrap().unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    answered(&talk(stream, &post(SECRET, &update(1))).await, 200);
    assert_eq!(kept.lock().unwrap().len(), 1);
    assert_eq!((rest(silent).await, rest(mute).await), (String::new(), String::new()));
    let plain = rig.ask(&post(SECRET, &update(2))).await;
    assert!(!plain.contains("HTTP"), "{plain}");
    assert_eq!(kept.lock().unwrap().len(), 1, "nothing is taken in the clear");
    // A stop does not wait for a handshake.
    let waiting = rig.connect().await;
    rig.end().await;
    assert_eq!(rest(waiting).await, "");
}

#[tokio::test]
async fn a_certificate_that_is_no_use_is_named() {
    let (files, other) = (Files::make(), Files::make());
    fs::write(files.path("empty.pem"), "").unwrap();
    fs::write(files.path("large.pem"), vec![b'x'; (1 << 20) + 1]).unwrap();
    fs::create_dir(files.path("folder")).unwrap();
    let at = |name| files.path(name);
    let table = [
        (at("cert.pem"), at("none.pem"), "none.pem is not there"),
        (at("none.pem"), at("key.pem"), "none.pem is not there"),
        (at("folder"), at("key.pem"), "folder is no file"),
        (at("empty.pem"), at("key.pem"), "empty.pem holds no certificate"),
        (at("key.pem"), at("key.pem"), "key.pem holds no certificate"),
        (at("cert.pem"), at("cert.pem"), "cert.pem holds no private key"),
        (at("cert.pem"), at("large.pem"), "large.pem is too large"),
        (at("cert.pem"), other.path("key.pem"), "does not belong to the certificate"),
    ];
    for (cert, key, part) in table {
        let router = router(SECRET, keeper().0, Counters::new(clock::now()), BODY_TIME).unwrap();
        let bound = bind_router("127.0.0.1:0", Limits::default(), router, Some((&cert, &key))).await;
        let error = bound.unwrap_err();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("BEGIN"), "{error}");
    }
    let router = router(SECRET, keeper().0, Counters::new(clock::now()), BODY_TIME).unwrap();
    let error = bind_router("nonsense", Limits::default(), router, None).await.unwrap_err();
    assert!(error.contains("nonsense") && !error.contains("[http]"), "{error}");
}
