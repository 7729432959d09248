//! HTTPS: the certificate that a server shows. Its files are read again while the server runs, so that a
//! renewed certificate needs no restart.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::time::Time;

use crate::secret_file::{Exposure, exposure};

/// What a server needs for TLS 1.2 and 1.3, with HTTP/2 by ALPN (RFC 7301). A clone shows the same certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Shown {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl Tls {
    /// Reads a certificate with its chain, and its key, both in PEM.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, and why: also if the key is not the certificate's.
    pub fn read(certificate: &Path, key: &Path) -> io::Result<Self> {
        let shown = Arc::new(Shown {
            current: ArcSwap::from_pointee(certified(certificate, key)?),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), shown })
    }

    /// Reads the files again after each `pause`, without end. Files that cannot be used change nothing.
    pub async fn follow(self, pause: Duration) {
        let mut last_problem = None;
        loop {
            tokio::time::sleep(pause).await;
            let shown = self.shown.clone();
            let read = tokio::task::spawn_blocking(move || shown.renew()).await;
            let problem = read.map_err(io::Error::other).flatten().err().map(|one| one.to_string());
            if let Some(problem) = problem.as_ref().filter(|_| problem != last_problem) {
                tracing::error!("the last certificate stays in use: {problem}");
            }
            last_problem = problem;
        }
    }

    /// Between which times the certificate that is shown now is valid, unix seconds.
    ///
    /// # Errors
    ///
    /// If it is not a certificate of X.509.
    pub fn validity(&self) -> io::Result<Range<u64>> {
        let shown = self.shown.current.load();
        let first = shown.cert.first().ok_or_else(|| io::Error::other("there is none"))?;
        let certificate = Certificate::from_der(first).map_err(io::Error::other)?;
        let validity = certificate.tbs_certificate().validity();
        let seconds = |time: Time| time.to_unix_duration().as_secs();
        Ok(seconds(validity.not_before)..seconds(validity.not_after))
    }

    /// Opens a connection of TLS.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").field("certificate", &self.shown.certificate).finish()
    }
}

impl Shown {
    fn renew(&self) -> io::Result<()> {
        let read = certified(&self.certificate, &self.key)?;
        if read.cert != self.current.load().cert {
            self.current.store(Arc::new(read));
            let file = self.certificate.display();
            tracing::info!(%file, "the certificate was renewed");
        }
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified(certificate: &Path, key: &Path) -> io::Result<CertifiedKey> {
    let (chain, secret) = (certificates(certificate)?, private_key(key)?);
    CertifiedKey::from_der(chain, secret, &ring::default_provider())
        .map_err(|error| about(key, &error))
}

/// Checks who may use the file of a private key; warns if other users can read it.
///
/// # Errors
///
/// If others can write to it, or it cannot be opened.
pub fn check_access(key: &Path) -> io::Result<()> {
    match exposure(&File::open(key).map_err(|error| about(key, &error))?)? {
        Exposure::Private => {}
        Exposure::Readable => {
            let file = key.display();
            tracing::warn!(%file, "other users can read this private key: chmod 600");
        }
        Exposure::Writable => return Err(about(key, &"others can write to it")),
    }
    Ok(())
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
///
/// Why the file cannot be used.
pub fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| about(path, &error))?;
    if found.is_empty() {
        return Err(about(path, &"it contains no certificate in PEM"));
    }
    Ok(found)
}

/// The private key in a PEM file.
///
/// # Errors
///
/// Why the file cannot be used.
pub fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| about(path, &error))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| about(path, &error))?;
    let read = file.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| about(path, &error))?;
    Ok(bytes)
}

fn about(path: &Path, problem: &dyn Display) -> io::Error {
    io::Error::other(format!("{} cannot be used: {problem}", path.display()))
}

/// The name of HTTP/2 in ALPN (RFC 9113 section 3.2).
pub(crate) const H2: &[u8] = b"h2";
/// The authorities of a whole system have about 200 KB.
const MAX_FILE_BYTES: u64 = 2 << 20;
