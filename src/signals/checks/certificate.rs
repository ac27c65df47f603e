//! A TLS server's certificate as a client meets it: how long it is valid, and whether it would be accepted.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// Connecting and the handshake may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The last second of the year 9999, after which no certificate is valid.
const END_OF_TIME: u64 = 253_402_300_799;

/// Whose certificates are trusted.
#[derive(Clone, Default)]
pub enum Trust {
    /// The authorities of this machine.
    #[default]
    System,
    /// These alone.
    Only(Arc<RootCertStore>),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Only(_) => "Only(…)",
        })
    }
}

/// What was found at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The certificate would be accepted until then.
    Valid(Timestamp),
    /// It would not be accepted, for this reason; until when it is valid, if it can be read.
    Broken(String, Option<Timestamp>),
    /// Nobody there speaks TLS, for this reason.
    Unreached(String),
}

/// Makes handshakes.
pub(super) struct Handshakes {
    judge: Arc<WebPkiServerVerifier>,
}

impl Handshakes {
    pub(super) fn new(trust: &Trust) -> Result<Self, String> {
        let roots = match trust {
            Trust::Only(roots) => Arc::clone(roots),
            Trust::System => Arc::new(system_roots()),
        };
        WebPkiServerVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()))
            .build()
            .map(|judge| Self { judge })
            .map_err(|_| {
                "this machine has no authorities to judge certificates by; install ca-certificates".into()
            })
    }

    /// Looks at the certificate at `HOST:PORT`.
    pub(super) async fn look(&self, address: &str, now: Timestamp) -> Found {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            return Found::Unreached(format!("`{host}` is no name of a server"));
        };
        let seen = Arc::new(Sees { judge: Arc::clone(&self.judge), now, found: Mutex::default() });
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| {
                let verifier = Arc::clone(&seen) as Arc<dyn ServerCertVerifier>;
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            });
        let Ok(config) = config else { return Found::Unreached("this program has no version of TLS".into()) };
        let shaking = async {
            let stream = TcpStream::connect(address).await.map_err(|e| e.kind().to_string())?;
            let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            shaken.map(drop).map_err(|e| format!("no TLS is spoken ({})", e.kind()))
        };
        let shaken = timeout(PATIENCE, shaking).await;
        let found = seen.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A server may want a certificate of ours and close: its own was seen all the same.
        match (found, shaken) {
            (Some(found), _) => found,
            (None, Ok(Err(why))) => Found::Unreached(why),
            (None, Ok(Ok(())) | Err(_)) => {
                Found::Unreached(format!("no answer within {} s", PATIENCE.as_secs()))
            }
        }
    }
}

/// The machine's authorities; what cannot be read is left out.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Notes what it sees and lets the handshake go on: nothing is ever sent over it.
#[derive(Debug)]
struct Sees {
    judge: Arc<WebPkiServerVerifier>,
    now: Timestamp,
    found: Mutex<Option<Found>>,
}

impl ServerCertVerifier for Sees {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judge =
            |at| self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
        // The end of its time is only told when it is over, and before anything else is looked at.
        let until = match judge(UnixTime::since_unix_epoch(Duration::from_secs(END_OF_TIME))) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                i64::try_from(not_after.as_secs()).ok().and_then(|s| Timestamp::from_second(s).ok())
            }
            _ => None,
        };
        let asked = u64::try_from(self.now.as_second()).map(Duration::from_secs);
        let asked = asked.map_or(now, UnixTime::since_unix_epoch);
        let found = match (judge(asked), until) {
            (Ok(_), until) => Found::Valid(until.unwrap_or(Timestamp::MAX)),
            (Err(error), until) => Found::Broken(why(&error), until),
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Why a certificate is not accepted, for whoever has to mend it.
fn why(error: &Error) -> String {
    use CertificateError as E;
    let Error::InvalidCertificate(flaw) = error else { return "it cannot be read".into() };
    match flaw {
        E::Expired | E::ExpiredContext { .. } => "it has expired; renew it",
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet; check the clocks",
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is made for another name; make one for this",
        E::UnknownIssuer => {
            "no trusted authority signed it, or the server does not send the certificates in between; check its chain"
        }
        E::Revoked => "it is revoked; renew it",
        E::BadSignature => "its signature is wrong; make a new one",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not made for servers; make one that is",
        _ => "it cannot be used as it is made; make a new one",
    }
    .to_owned()
}
