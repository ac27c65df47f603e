//! A client over mutual TLS: trusts the authority in configuration and no other, and shows the one certificate.
//!
//! The Docker client's own TLS also trusts every authority of the system, does not start where those cannot be read,
//! and goes without a certificate when its files are wrong. So only its transport is taken.

use std::{io, path::Path, sync::Arc};

use bollard::{BollardRequest, ClientVersion, Docker, errors::Error as ClientError};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    AlertDescription as Alert, CertificateError as Flaw, ClientConfig, Error, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{fs::File, io::AsyncReadExt};

use super::{DockerError, TlsFiles};
use crate::domain::HostName;

/// No bundle of certificates is larger, in bytes.
const MAX_FILE: u64 = 1 << 20;

const CURE_FILES: &str = "Check the files in [[docker]] tls";
const CURE_ISSUER: &str =
    "Check that tls.ca is the authority which signed that host's certificate, and who answers there";
const CURE_RENEW: &str = "Renew that host's certificate";
const CURE_CLOCK: &str = "Check the clocks of both hosts";
const CURE_NAME: &str =
    "Use a name in [[docker]] url that is in that certificate, or make one for it (subjectAltName)";
const CURE_SERVER: &str = "Make that host a new server certificate";
const CURE_CLIENT: &str =
    "Check that [[docker]] tls.cert is signed for clients by the authority that host trusts (tlscacert)";
const CURE_OURS: &str = "Renew the certificate in [[docker]] tls.cert";
const CURE_PORT: &str = "Check that [[docker]] url has the port of Docker's TLS, mostly 2376";
const CURE_TLS: &str = "Check the TLS settings of Docker on that host and its log";

/// A client of the engine at `url` (`tcp://host:port`), which is not contacted yet.
///
/// # Errors
/// [`DockerError::Down`] that names the file which is no use.
pub(super) async fn open(
    host: &HostName,
    url: &str,
    files: &TlsFiles,
    timeout: u64,
    version: &ClientVersion,
) -> Result<Docker, DockerError> {
    let config = configure(files).await.map_err(|detail| DockerError::Down {
        host: host.clone(),
        detail,
        cure: CURE_FILES,
    })?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // As the Docker client has it: an engine that restarted leaves no dead connections behind.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(HttpsConnector::from((tcp, config)));
    let send = move |request: BollardRequest| {
        let answer = client.request(request);
        async move { answer.await.map_err(ClientError::from) }
    };
    let url = url.replacen("tcp://", "https://", 1);
    Docker::connect_with_custom_transport(send, Some(url), timeout, version)
        .map_err(|e| DockerError::from_client(host, true, "", &e))
}

async fn configure(files: &TlsFiles) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("ca", &files.ca).await? {
        roots
            .add(authority)
            .map_err(|_| "the file in [[docker]] tls.ca is no certificate of an authority".to_owned())?;
    }
    let chain = certificates("cert", &files.cert).await?;
    let key = PrivateKeyDer::from_pem_slice(&read("key", &files.key).await?).map_err(|_| {
        "the file in [[docker]] tls.key holds no private key in PEM form without a passphrase".to_owned()
    })?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "this program has no version of TLS".to_owned())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| match e {
            Error::InconsistentKeys(_) => {
                "the key in [[docker]] tls.key does not belong to the certificate in tls.cert".to_owned()
            }
            Error::InvalidCertificate(_) => {
                "the certificate in [[docker]] tls.cert cannot be used".to_owned()
            }
            _ => "the key in [[docker]] tls.key cannot be used".to_owned(),
        })
}

async fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(key, path).await?;
    match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(format!("the file in [[docker]] tls.{key} holds no certificate in PEM form")),
    }
}

/// Reads a small regular file; a pipe would wait for its writer.
async fn read(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| format!("the file in [[docker]] tls.{key} {what}");
    let unread = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => wrong("is not there"),
        io::ErrorKind::PermissionDenied => wrong("cannot be read by the daemon's user"),
        kind => wrong(&format!("cannot be read ({kind})")),
    };
    if !tokio::fs::metadata(path).await.map_err(unread)?.is_file() {
        return Err(wrong("is no file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).await.map_err(unread)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).await.map_err(unread)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong("is too large"));
    }
    Ok(bytes)
}

/// What went wrong between both sides, and what to do.
///
/// The other side's own words, such as the names in its certificate, are left out: nobody vouches for them.
pub(super) fn explain(error: &Error) -> (String, &'static str) {
    let (detail, cure) = match error {
        Error::InvalidCertificate(flaw) => match flaw {
            Flaw::UnknownIssuer | Flaw::BadSignature => {
                ("its certificate is not from the authority in [[docker]] tls.ca", CURE_ISSUER)
            }
            Flaw::Expired | Flaw::ExpiredContext { .. } => ("its certificate has expired", CURE_RENEW),
            Flaw::NotValidYet | Flaw::NotValidYetContext { .. } => {
                ("its certificate is not valid yet", CURE_CLOCK)
            }
            Flaw::NotValidForName | Flaw::NotValidForNameContext { .. } => {
                ("its certificate is for another name", CURE_NAME)
            }
            _ => ("its certificate is not one for a server", CURE_SERVER),
        },
        Error::AlertReceived(Alert::CertificateExpired) => {
            ("it refused our certificate: it has expired", CURE_OURS)
        }
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError,
        ) => ("it refused our certificate", CURE_CLIENT),
        Error::InvalidMessage(_) => ("what answers does not speak TLS", CURE_PORT),
        _ => ("no TLS connection could be agreed on", CURE_TLS),
    };
    (detail.to_owned(), cure)
}
