//! `offswitch health`: asks the process on this machine whether it can serve. For container images, which have
//! no other program that could ask. Needs the configuration, and neither an API key nor certificate authorities.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use offswitch::config::{Config, Problem, read_file};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::command_line::{Answer, EXIT_CODES, Exit, Failure, Outcome, plain, scalar};

/// Asks the control plane on this machine whether it can serve, for the health check of a container.
///
/// It asks `/readyz` at the configured `listen`, over HTTPS if that is configured, and exits with 1 if the
/// answer is not 200 or does not come within 3 s.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Health {
    /// Asks the guard instead, at the `admin_listen` of its configuration.
    #[arg(long)]
    guard: bool,
    /// Asks only whether the process runs (`/healthz`), for a check that restarts it.
    #[arg(long)]
    live: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a process is asked.
struct Place {
    address: SocketAddr,
    is_secure: bool,
}

impl Health {
    /// `config` is the configuration file.
    pub(crate) async fn run(self, config: Option<&Path>) -> Outcome {
        let Place { address, is_secure } =
            self.place(config).map_err(|problems| Failure::of_configuration(&problems))?;
        let path = if self.live { "/healthz" } else { "/readyz" };
        let asked = timeout(LONGEST, ask(address, is_secure, path)).await;
        let asked = asked.unwrap_or_else(|_| Err(format!("no answer in {LONGEST:?}").into()));
        let (status, detail) = match asked {
            Ok((status, body)) => (Some(status), reasons(&body)),
            Err(error) => (None, error.to_string()),
        };
        Ok(answer(&format!("{address}{path}"), status, &detail))
    }

    fn place(&self, config: Option<&Path>) -> Result<Place, Vec<Problem>> {
        let file = config.map(read_file).transpose()?;
        let (file, variables) = (file.as_deref(), std::env::vars_os());
        let (listen, is_secure) = match self.guard {
            true => (offswitch_guard::Config::load(file, variables)?.admin_listen, false),
            false => {
                let config = Config::load(file, variables)?;
                (config.listen, config.tls.is_some())
            }
        };
        Ok(Place { address: reachable(listen), is_secure })
    }
}

fn answer(place: &str, status: Option<StatusCode>, detail: &str) -> Answer {
    let healthy = status.is_some_and(|status| status.is_success());
    let status = status.map(|status| status.as_u16());
    let said = status.map(|status| format!(" answers {status}")).unwrap_or_default();
    let detail = if detail.is_empty() { String::new() } else { format!(": {}", plain(detail)) };
    Answer {
        exit: if healthy { Exit::Done } else { Exit::Refused },
        text: format!("{place}{said}{detail}\n"),
        json: json!({
            "healthy": healthy,
            "status": status,
            "detail": detail.trim_start_matches(": "),
        }),
    }
}

/// The address at which a process that listens there answers on this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Why a process is not ready, by the codes that its answer has.
fn reasons(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let findings = body["findings"].as_array().into_iter().flatten();
    let codes = findings.map(|one| &one["code"]).chain([&body["code"]]).filter_map(scalar);
    codes.collect::<Vec<_>>().join(", ")
}

async fn ask(
    address: SocketAddr,
    is_secure: bool,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    if !is_secure {
        return exchange(stream, path).await;
    }
    let connector = TlsConnector::from(Arc::new(AnyCertificate::accepted()?));
    exchange(connector.connect(address.ip().into(), stream).await?, path).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the command.
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, "localhost");
    let (head, body) =
        requests.send_request(request.body(Empty::<Bytes>::new())?).await?.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await?.to_bytes();
    Ok((head.status, body))
}

/// Accepts every certificate: the process is on this machine, nothing secret is sent to it, and its certificate
/// has the name that clients know it by, not the address that is asked here.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    fn accepted() -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let verifier = Arc::new(Self(provider));
        Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Less than container runtimes wait for a check (30 s with Docker).
const LONGEST: Duration = Duration::from_secs(3);
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    // O07: a process that listens on all addresses answers on this machine too.
    #[test]
    fn an_address_of_all_interfaces_is_asked_on_this_machine() {
        for (listen, expected) in [
            ("0.0.0.0:8400", "127.0.0.1:8400"),
            ("[::]:8400", "[::1]:8400"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
