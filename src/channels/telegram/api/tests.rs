//! The caller against servers that misbehave at every step of a request.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::channels::telegram::post::{Body, Place, Post, Rich};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const OK: &str = r#"{"ok":true,"result":{"message_id":7}}"#;

/// Whether a fault is the right one.
type Right = fn(&Fault) -> bool;

/// What a server does with each request, by its number from 0.
#[derive(Clone, Debug)]
enum Do {
    /// Answers and keeps the connection.
    Answer(String),
    /// Answers, then closes without a word about it.
    AnswerAndClose(String),
    /// Writes these bytes, then closes.
    Bytes(&'static str),
    /// Closes in good order.
    Close,
    /// Resets the connection.
    Reset,
    /// Says nothing for ever.
    Hang,
    /// Announces nothing and writes for ever.
    Pour,
}

struct Server {
    url: String,
    hits: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

fn http(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn server(script: Vec<Do>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (hits, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let heads = Arc::new(Mutex::new(vec![]));
    let mut task = JoinSet::new();
    let (seen, opened, noted) = (Arc::clone(&hits), Arc::clone(&connections), Arc::clone(&heads));
    task.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            opened.fetch_add(1, Ordering::SeqCst);
            open.spawn(serve(stream, script.clone(), Arc::clone(&seen), Arc::clone(&noted)));
        }
    });
    Server { url, hits, connections, heads, _task: task }
}

async fn serve(
    mut stream: TcpStream,
    script: Vec<Do>,
    seen: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    while let Some(head) = request(&mut stream).await {
        heads.lock().unwrap().push(head);
        let hit = seen.fetch_add(1, Ordering::SeqCst);
        match script.get(hit).or(script.last()).unwrap() {
            Do::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Do::AnswerAndClose(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                return;
            }
            Do::Bytes(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Do::Close => return,
            Do::Reset => return stream.set_zero_linger().unwrap(),
            Do::Hang => std::future::pending().await,
            Do::Pour => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                while stream.write_all(&[b' '; 65536]).await.is_ok() {}
                return;
            }
        }
    }
}

/// Reads a request whole; gives its first line.
async fn request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return head.lines().next().map(str::to_owned);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn api(url: &str) -> Api {
    rustls::crypto::ring::default_provider().install_default().ok();
    let timeouts = Timeouts {
        connect: Duration::from_millis(400),
        call: Duration::from_millis(800),
        transfer: Duration::from_millis(900),
        poll_margin: Duration::from_millis(300),
    };
    Api::new(url, TOKEN, timeouts).unwrap()
}

fn post() -> Post {
    Post::text(Rich::plain("hello"))
}

async fn say(api: &Api) -> Result<i32, Fault> {
    api.send(Place::chat(1), &post(), None).await
}

/// No text about a fault names the token or where it goes.
fn assert_discreet(fault: &Fault) {
    let shown = format!("{fault} {fault:?}");
    for secret in ["AAHdq", "110201543", "/bot", "://"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn what_failed_before_a_connection_stood_was_surely_not_sent() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plain = server(vec![Do::Bytes("nonsense")]).await;
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stranger = tls_stranger().await;
    let table = [
        ("refused", format!("http://{dead}")),
        ("no address", "http://no-such-host.invalid".into()),
        ("no TLS", plain.url.replace("http", "https")),
        ("TLS hangs", format!("https://{}", mute.local_addr().unwrap())),
        ("unknown certificate", format!("https://{}", stranger.0)),
    ];
    for (case, url) in table {
        let fault = say(&api(&url)).await.expect_err(case);
        assert!(matches!(&fault, Fault::NotSent(why) if !why.is_empty()), "{case}: {fault:?}");
        assert_discreet(&fault);
    }
}

/// A TLS server whose certificate nobody signed.
async fn tls_stranger() -> (std::net::SocketAddr, JoinSet<()>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                request(&mut stream).await;
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn what_breaks_after_the_request_went_out_is_told_apart() {
    let json = |status, body| Do::Answer(http(status, body));
    let unknown = |fault: &Fault| matches!(fault, Fault::Unknown(_));
    let table: [(Do, Right); 14] = [
        (Do::Close, unknown),
        (Do::Reset, unknown),
        (Do::Hang, unknown),
        (Do::Pour, unknown),
        (Do::Bytes("rubbish\r\n\r\n"), unknown),
        (Do::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"ok\":true"), unknown),
        (Do::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{"), unknown),
        (json(200, "<html>log in</html>"), unknown),
        (json(200, r#"{"ok":true,"result":"what?"}"#), unknown),
        (Do::Bytes("HTTP/1.1 502 X\r\nContent-Length: 99\r\n\r\n<html"), |f| *f == Fault::Server(502)),
        (json(502, "<html>"), |f| *f == Fault::Server(502)),
        (
            json(429, r#"{"ok":false,"error_code":429,"description":"x","parameters":{"retry_after":3}}"#),
            |f| *f == Fault::RetryAfter(Duration::from_secs(3)),
        ),
        (json(401, r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#), |f| *f == Fault::Token),
        (
            Do::Bytes("HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/steal\r\nContent-Length: 0\r\n\r\n"),
            |f| matches!(f, Fault::NotSent(why) if why.contains("api_url")),
        ),
    ];
    for (how, right) in table {
        let server = server(vec![how.clone()]).await;
        let fault = say(&api(&server.url)).await.expect_err("a fault");
        assert!(right(&fault), "{how:?}: {fault:?}");
        assert_eq!(server.hits.load(Ordering::SeqCst), 1, "{how:?} was repeated in silence");
        assert_discreet(&fault);
    }
}

#[tokio::test]
async fn a_kept_connection_is_reused_and_one_that_was_closed_is_replaced_unnoticed() {
    let kept = server(vec![Do::Answer(http(200, OK))]).await;
    let client = api(&kept.url);
    for _ in 0..3 {
        assert_eq!(say(&client).await, Ok(7));
    }
    assert_eq!(kept.connections.load(Ordering::SeqCst), 1);
    assert_eq!(kept.heads.lock().unwrap()[0], format!("POST /bot{TOKEN}/sendMessage HTTP/1.1"));

    let closing = server(vec![Do::AnswerAndClose(http(200, OK))]).await;
    let client = api(&closing.url);
    for _ in 0..20 {
        assert_eq!(say(&client).await, Ok(7));
        // The close arrives, as it does for a connection that idled.
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(closing.hits.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_kept_connection_that_breaks_after_the_request_is_not_repeated_in_silence() {
    for end in [Do::Close, Do::Reset] {
        let server = server(vec![Do::Answer(http(200, OK)), end]).await;
        let client = api(&server.url);
        assert_eq!(say(&client).await, Ok(7));
        let fault = say(&client).await.expect_err("a fault");
        assert!(matches!(fault, Fault::Unknown(_)), "{fault:?}");
        assert_eq!(server.hits.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn an_update_that_cannot_be_understood_blocks_none() {
    let chat = r#"{"id":5,"type":"private","first_name":"A"}"#;
    let message = format!(r#"{{"message_id":1,"date":1,"chat":{chat},"text":"hi"}}"#);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let updates = [
        format!(r#"{{"update_id":1,"message":{message}}}"#),
        r#"{"update_id":2,"message":{"message_id":"x"}}"#.into(),
        r#"{"update_id":3,"from_the_future":{}}"#.into(),
        format!(r#"{{"update_id":4,"message":{deep}}}"#),
        r#"{"update_id":5,"message":{"text":"\ud800"}}"#.into(),
        r#"{"no_id":1}"#.into(),
        format!(r#"{{"update_id":6,"message":{message}}}"#),
    ];
    let body = format!(r#"{{"ok":true,"result":[{}]}}"#, updates.join(","));
    let server =
        server(vec![Do::Answer(http(200, &body)), Do::Answer(http(200, r#"{"ok":true,"result":[{}]}"#))])
            .await;
    let api = api(&server.url);
    let got = api.get_updates(Some(1), 0, &[]).await.unwrap();
    let good: Vec<_> = got.iter().map(|(id, update)| (*id, update.is_ok())).collect();
    assert_eq!(good, [(1, true), (2, false), (3, false), (4, false), (5, false), (6, true)]);
    assert!(matches!(api.get_updates(None, 0, &[]).await, Err(Fault::Unknown(_))));
}

#[tokio::test]
async fn a_download_is_bounded_and_its_path_stays_inside() {
    let server = server(vec![
        Do::Answer(http(200, "12345")),
        Do::Answer(http(200, "123456")),
        Do::Pour,
        Do::AnswerAndClose(http(404, "Not Found")),
        Do::Answer(http(502, "")),
    ])
    .await;
    let api = api(&server.url);
    assert_eq!(api.download("documents/a b%2f.txt", 5).await, Ok(b"12345".to_vec()));
    assert_eq!(api.download("../x", 5).await, Err(Fault::TooLong));
    assert_eq!(api.download("x", 100_000).await, Err(Fault::TooLong));
    assert!(matches!(api.download("x", 5).await, Err(Fault::Other { code: 404, .. })));
    assert_eq!(api.download("x", 5).await, Err(Fault::Server(502)));
    let heads = server.heads.lock().unwrap();
    assert_eq!(heads[0], format!("GET /file/bot{TOKEN}/documents/a%20b%252f.txt HTTP/1.1"));
    assert_eq!(heads[1], format!("GET /file/bot{TOKEN}/x HTTP/1.1"));
}

#[tokio::test]
async fn a_file_goes_as_multipart_and_an_old_server_still_says_who_we_are() {
    let me = r#"{"ok":true,"result":{"id":1,"is_bot":true,"first_name":"B","username":"b_bot"}}"#;
    let server = server(vec![Do::Answer(http(200, OK)), Do::Answer(http(200, me))]).await;
    let api = api(&server.url);
    let body =
        Body::File { name: "w\"eb.log".into(), content: Arc::from(*b"line"), caption: Rich::default() };
    assert_eq!(api.send(Place::chat(1), &Post { body, ..post() }, None).await, Ok(7));
    assert_eq!(api.get_me().await.unwrap().username(), "b_bot");
    assert!(server.heads.lock().unwrap()[0].contains("/sendDocument"));
}

#[test]
fn a_bad_url_is_explained_and_debug_shows_only_the_host() {
    rustls::crypto::ring::default_provider().install_default().ok();
    for url in ["", "api.telegram.org", "ftp://h", "mailto:x"] {
        let error = Api::new(url, TOKEN, Timeouts::default()).unwrap_err();
        assert!(error.contains("Telegram API's URL") && !error.contains("AAHdq"), "{error}");
    }
    let api = Api::new("https://user:pw@h.example/base/", TOKEN, Timeouts::default()).unwrap();
    assert_eq!(format!("{api:?}"), "Api(h.example:443)");
    assert_eq!(api.url(&[], "getMe").path(), format!("/base/bot{TOKEN}/getMe"));
}
