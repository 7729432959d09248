//! TLS to the server: which certificates are trusted, what is shown to the server, and why a
//! handshake failed.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redis::RedisError;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::server::tls::{certificates, check_access, private_key};

/// How TLS is used where the URL asks for it. The files are read again for each connection, so that
/// a renewed certificate needs no restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisTls {
    /// PEM file with the authorities that are trusted, and no others; by default those of the
    /// system.
    pub ca_file: Option<PathBuf>,
    /// PEM files with the certificate (and its chain) that is shown to the server, and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must have; by default the host that is connected to.
    pub server_name: Option<String>,
}

impl RedisTls {
    /// Reads everything once, so that a wrong file is found at the start.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, and why.
    pub fn check(&self) -> io::Result<()> {
        if let Some((_, key)) = &self.client_certificate {
            check_access(key)?;
        }
        if let Some(name) = &self.server_name {
            self.name_for(name)?;
        }
        self.connector().map(drop)
    }

    /// What opens TLS connections, with the files as they are now.
    pub(super) fn connector(&self) -> io::Result<TlsConnector> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(self.roots()?);
        let config = match &self.client_certificate {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let (shown, secret) = (certificates(certificate)?, private_key(key)?);
                let config = config.with_client_auth_cert(shown, secret);
                config.map_err(|error| about(certificate, &error))?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// The name that the certificate of a server at `host` must have.
    pub(super) fn name_for(&self, host: &str) -> io::Result<ServerName<'static>> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let wrong = |_| io::Error::other(format!("{name:?} is not a name that TLS can check"));
        ServerName::try_from(name.to_owned()).map_err(wrong)
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.ca_file else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| about(path, &error))?;
        }
        Ok(roots)
    }
}

/// What an operator should know about a failure of TLS; nothing if TLS is not the reason.
pub(super) fn reason(error: &RedisError) -> Option<String> {
    let shared = error.source()?.downcast_ref::<Arc<dyn StdError + Send + Sync>>()?;
    explained(shared.downcast_ref::<io::Error>()?)
}

/// The same for an error of the connection.
pub(super) fn explained(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let hint = match error {
        // An authority of the same name has another key.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "no trusted authority has signed the server's certificate (redis_ca_file)",
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate has another name (redis_server_name)",
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the server's certificate has expired",
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server requires a client certificate (redis_client_cert_file)"
        }
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate,
        ) => "the server does not accept the client certificate (redis_client_cert_file)",
        Error::InvalidMessage(_) => "the server does not answer with TLS on this port",
        _ => "TLS failed",
    };
    Some(format!("{hint}: {error}"))
}

fn about(path: &Path, problem: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{} cannot be used: {problem}", path.display()))
}
