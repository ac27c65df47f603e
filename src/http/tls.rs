//! A server's TLS: one certificate and its key from PEM files, HTTP/1.1 alone.

use std::{io, path::Path, sync::Arc};

use rustls::{
    Error, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{fs::File, io::AsyncReadExt};
use tokio_rustls::TlsAcceptor;

/// No chain of certificates is larger, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads both files; what is in the key's file is told to nobody.
///
/// # Errors
/// A sentence that names the file which is no use, and says why.
pub(super) async fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let chain = CertificateDer::pem_slice_iter(&read(certificate).await?).collect::<Result<Vec<_>, _>>();
    let chain = chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| format!("{} holds no certificate in PEM form", certificate.display()))?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key).await?)
        .map_err(|_| format!("{} holds no private key in PEM form without a passphrase", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "this program has no version of TLS".to_owned())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                format!(
                    "the key in {} does not belong to the certificate in {}",
                    key.display(),
                    certificate.display()
                )
            }
            Error::InvalidCertificate(_) => {
                format!("the certificate in {} cannot be used", certificate.display())
            }
            _ => format!("the key in {} cannot be used", key.display()),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Reads a small regular file; a pipe would wait for its writer.
async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| format!("{} {what}", path.display());
    let unread = |error: io::Error| match error.kind() {
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
    if bytes.len() as u64 > MAX_FILE { Err(wrong("is too large")) } else { Ok(bytes) }
}
