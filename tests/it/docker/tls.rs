//! An engine behind mutual TLS: what works on its socket works there, and each wrong certificate is told apart.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command, sync::Arc, time::Duration};

use opsbot::{
    docker::{DockerHosts, HostConfig, LogQuery, State, TlsFiles},
    domain::{HostName, Outcome, ToolError},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
    time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
};

use super::{
    boxes::{Make, until, with_boxes},
    fake::{Act, Engine},
    rig::Rig,
};

const PATIENCE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(400);
const LOCAL: &[&str] = &["127.0.0.1", "localhost"];
const GONE: i32 = 2001;
const LATER: i32 = 4090;

/// Signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `names`, or a client's when there are none, valid from 2000 to the start of `until`.
    fn sign(&self, names: &[&str], until: i32) -> Pair {
        let mut params =
            CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        let purpose = if names.is_empty() {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        };
        params.extended_key_usages = vec![purpose];
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    fn client(&self) -> Pair {
        self.sign(&[], LATER)
    }
}

/// A client's three files.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(ca: &str, own: &Pair) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.write("ca", ca.as_bytes());
        files.write("cert", own.cert.as_bytes());
        files.write("key", own.key.as_bytes());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn hosts(&self, at: SocketAddr, timeout: Duration) -> DockerHosts {
        let tls = TlsFiles { ca: self.path("ca"), cert: self.path("cert"), key: self.path("key") };
        hosts(at, Some(tls), timeout)
    }
}

fn hosts(at: SocketAddr, tls: Option<TlsFiles>, timeout: Duration) -> DockerHosts {
    let url = format!("tcp://{at}");
    DockerHosts::connect(vec![HostConfig { name: HostName::from("local"), url, tls, timeout }])
}

/// Asks for the certificates of `authority`'s clients and pipes to an engine; ends with the value.
struct Front {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    async fn start(authority: &Authority, own: &Pair, engine: &str) -> Self {
        Self::speaking(&[&TLS12, &TLS13], authority, own, engine).await
    }

    async fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        authority: &Authority,
        own: &Pair,
        engine: &str,
    ) -> Self {
        let ring = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&ring)).build().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(ring)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let engine = engine.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pipe(acceptor.clone(), stream, engine.clone()));
            }
        });
        Self { at, task }
    }
}

async fn pipe(acceptor: TlsAcceptor, stream: TcpStream, engine: String) {
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) if engine.starts_with("unix://") => {
            join(stream, UnixStream::connect(engine.trim_start_matches("unix://")).await.unwrap()).await;
        }
        Ok(stream) => {
            join(stream, TcpStream::connect(engine.trim_start_matches("tcp://")).await.unwrap()).await
        }
        Err((_refused, mut stream)) => {
            // Closing with bytes unread would reset the connection and could overtake the alert that says why.
            let _closed = stream.shutdown().await;
            let _drained = time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        }
    }
}

async fn join(mut one: impl AsyncRead + AsyncWrite + Unpin, mut other: impl AsyncRead + AsyncWrite + Unpin) {
    // Either side may go when it has what it wanted.
    let _ended = copy_bidirectional(&mut one, &mut other).await;
}

/// An engine without containers.
async fn empty() -> Engine {
    Engine::start(|path| path.contains("/containers/json").then(|| Act::json("[]"))).await
}

fn url(engine: &Engine) -> String {
    engine.config("fake", SOON).url
}

/// What a person reads when listing fails; it says what to do, and names no address, path or key.
async fn failure(hosts: &DockerHosts, what: &str) -> String {
    let ended = time::timeout(PATIENCE, hosts.list()).await;
    let answer = ended.unwrap_or_else(|_| panic!("{what}: it hangs")).remove(0).1;
    let Err(error) = answer else { panic!("{what}: it worked") };
    let error = ToolError::from(error);
    assert!(matches!(error, ToolError::BackendDown { .. }), "{what}: {error:?}");
    let debug = format!("{error:?}");
    for secret in ["127.0.0.1", "localhost", "/tmp", "-----", "elsewhere.example"] {
        assert!(!debug.contains(secret), "{what}: {secret} in {debug}");
    }
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_engine_behind_mutual_tls_is_read_and_restarted() {
    with_boxes(|boxes| async move {
        let web = Make { service: "web", script: "echo over tls; exec sleep 600", ..Make::default() };
        let web = boxes.make(web).await;
        let authority = Authority::new("ours");
        let front = Front::start(&authority, &authority.sign(LOCAL, LATER), &boxes.url).await;
        let files = Files::new(&authority.pem, &authority.client());
        let hosts = files.hosts(front.at, PATIENCE);
        assert!(!hosts.probe().await.remove(0).1.unwrap().is_empty());
        let listed = hosts.list().await.remove(0).1.unwrap();
        assert!(listed.iter().any(|l| l.id == web.id), "{listed:?}");
        let before = hosts.inspect(&web).await.unwrap();
        assert_eq!(before.state, State::Running);
        until("the log", || async { hosts.logs(&web, &LogQuery::tail(9)).await.unwrap().seen == 1 }).await;
        let read = hosts.logs(&web, &LogQuery::tail(9)).await.unwrap();
        assert_eq!((read.lines[0].text.as_str(), &read.broke), ("over tls", &None));
        assert!(hosts.stats(&web).await.unwrap().unwrap().memory.is_some());
        let id = json!({"customer_id": boxes.customer, "service": "web"});
        let out = Rig::new(hosts.clone()).write("restart_container", id).await.unwrap();
        assert_eq!(out.outcome, Outcome::Ok, "{}", out.text);
        assert!(hosts.inspect(&web).await.unwrap().started_at > before.started_at);
    })
    .await;
}

#[tokio::test]
async fn both_versions_of_tls_work() {
    let (engine, authority) = (empty().await, Authority::new("ours"));
    let files = Files::new(&authority.pem, &authority.client());
    for version in [&TLS12, &TLS13] {
        let own = authority.sign(LOCAL, LATER);
        let front = Front::speaking(&[version], &authority, &own, &url(&engine)).await;
        let answer = files.hosts(front.at, PATIENCE).list().await.remove(0).1;
        assert_eq!(answer.unwrap(), [], "{version:?}");
    }
}

#[tokio::test]
async fn a_host_that_refuses_our_certificate_is_told_what_to_do() {
    let (engine, authority, other) = (empty().await, Authority::new("ours"), Authority::new("ours"));
    for version in [&TLS12, &TLS13] {
        let own = authority.sign(LOCAL, LATER);
        let front = Front::speaking(&[version], &authority, &own, &url(&engine)).await;
        let table = [
            (
                "foreign",
                other.client(),
                "it refused our certificate. Check that [[docker]] tls.cert is signed",
            ),
            ("a server's", authority.sign(&["x"], LATER), "it refused our certificate. Check that"),
            ("expired", authority.sign(&[], GONE), "it refused our certificate: it has expired. Renew"),
        ];
        for (what, own, want) in table {
            let files = Files::new(&authority.pem, &own);
            let error = failure(&files.hosts(front.at, PATIENCE), what).await;
            assert!(error.contains(want), "{what}, {version:?}: {error}");
        }
        let error = failure(&hosts(front.at, None, PATIENCE), "none").await;
        assert!(error.contains("an engine that wants TLS needs [[docker]] tls"), "{version:?}: {error}");
    }
}

#[tokio::test]
async fn a_host_that_closes_without_a_word_leads_to_the_certificate() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.pem, &authority.client());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let closing = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Some of the greeting stays unread: the connection is reset.
            let _read = stream.read_u8().await;
        }
    });
    let error = failure(&files.hosts(at, PATIENCE), "closed").await;
    assert!(error.contains("it trusts who signed our certificate"), "{error}");
    closing.abort();
}

#[tokio::test]
async fn a_host_that_cannot_show_who_it_is_is_refused() {
    let (engine, authority, other) = (empty().await, Authority::new("ours"), Authority::new("ours"));
    let files = Files::new(&authority.pem, &authority.client());
    let table = [
        (
            "foreign",
            other.sign(LOCAL, LATER),
            "its certificate is not from the authority in [[docker]] tls.ca",
        ),
        ("expired", authority.sign(LOCAL, GONE), "its certificate has expired. Renew"),
        ("another's", authority.sign(&["elsewhere.example"], LATER), "its certificate is for another name"),
    ];
    for (what, own, want) in table {
        let front = Front::start(&authority, &own, &url(&engine)).await;
        let error = failure(&files.hosts(front.at, PATIENCE), what).await;
        assert!(error.contains(want), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_speak_tls_is_told_in_time() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.pem, &authority.client());
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = http.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        while let Ok((mut stream, _)) = http.accept().await {
            let _sent = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
            let _closed = stream.shutdown().await;
            let _drained = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let error = failure(&files.hosts(at, PATIENCE), "plain HTTP").await;
    assert!(error.contains("what answers does not speak TLS. Check"), "{error}");
    plain.abort();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = failure(&files.hosts(silent.local_addr().unwrap(), SOON), "silent").await;
    assert!(error.contains("no answer within 0.4 s"), "{error}");
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named_and_read_again() {
    let (engine, authority) = (empty().await, Authority::new("ours"));
    let front = Front::start(&authority, &authority.sign(LOCAL, LATER), &url(&engine)).await;
    let own = authority.client();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let unknown = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let stranger = authority.client().key;
    let huge = vec![b'x'; 20 << 20];
    let table: &[(&str, &[u8], &str)] = &[
        ("ca", b"", "holds no certificate in PEM form"),
        ("ca", b"-----BEGIN CERTIFICATE-----\n\xff\xfe", "holds no certificate in PEM form"),
        ("ca", broken.as_bytes(), "is no certificate of an authority"),
        ("ca", &huge, "is too large"),
        ("cert", b"secret of somebody else\n", "holds no certificate in PEM form"),
        ("cert", own.key.as_bytes(), "holds no certificate in PEM form"),
        ("cert", broken.as_bytes(), "cannot be used"),
        ("key", b"", "holds no private key in PEM form"),
        ("key", own.cert.as_bytes(), "holds no private key in PEM form"),
        ("key", sealed.as_bytes(), "holds no private key in PEM form without a passphrase"),
        ("key", unknown.as_bytes(), "cannot be used"),
        ("key", stranger.as_bytes(), "does not belong to the certificate"),
    ];
    let files = Files::new(&authority.pem, &own);
    for (file, bytes, want) in table {
        let hosts = files.hosts(front.at, PATIENCE);
        let right = fs::read(files.path(file)).unwrap();
        files.write(file, bytes);
        let error = failure(&hosts, want).await;
        assert!(error.contains(want) && error.contains(&format!("[[docker]] tls.{file}")), "{file}: {error}");
        assert!(!error.contains("somebody else"), "{error}");
        files.write(file, &right);
        assert_eq!(hosts.list().await.remove(0).1.unwrap(), [], "{file} is right again");
        // A connected client needs its files no more.
        fs::rename(files.path(file), files.path("away")).unwrap();
        assert_eq!(hosts.list().await.remove(0).1.unwrap(), [], "{file} is not needed");
        fs::rename(files.path("away"), files.path(file)).unwrap();
        let fresh = files.hosts(front.at, PATIENCE);
        fs::remove_file(files.path(file)).unwrap();
        assert!(failure(&fresh, "missing").await.contains("is not there"));
        fs::create_dir(files.path(file)).unwrap();
        assert!(failure(&fresh, "a folder").await.contains("is no file"));
        fs::remove_dir(files.path(file)).unwrap();
        assert!(Command::new("mkfifo").arg(files.path(file)).status().unwrap().success());
        assert!(failure(&fresh, "a pipe").await.contains("is no file"));
        fs::remove_file(files.path(file)).unwrap();
        files.write(file, &right);
    }
}
