//! HTTPS by certificate files: HTTP/1 and HTTP/2, a renewed certificate, and clients that do not finish.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use offswitch::server::Limits;
use offswitch::server::tls::{Tls, certificates};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::{Authority, Files};
use crate::support::local_server::{LocalServer, short_limits};
use crate::support::process::run;
use crate::support::redis_server::free_port;

fn read(files: &Files) -> Tls {
    Tls::read(&files.certificate, &files.key).unwrap()
}

/// A client that trusts the authority in `roots`, and speaks one version of HTTP.
async fn connect(server: &LocalServer, roots: &Path, protocol: &str) -> TlsStream<TcpStream> {
    let mut trusted = RootCertStore::empty();
    trusted.add(certificates(roots).unwrap().remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await.unwrap()
}

async fn asked(stream: &mut TlsStream<TcpStream>) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn both_versions_of_http_are_served_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "the authority");
    let (roots, files) = (authority.file("roots.pem"), authority.certificate("localhost"));
    let server = LocalServer::serve_https(Limits::default(), hello(), read(&files)).await;
    let mut http1 = connect(&server, &roots, "http/1.1").await;
    assert!(asked(&mut http1).await.ends_with("hello"));
    let mut http2 = connect(&server, &roots, "h2").await;
    assert_eq!(http2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // The preface of a client, and its empty SETTINGS; the server answers with its own (RFC 9113 section 6.5).
    http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    http2.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_damaged_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "the authority");
    let (roots, files) = (authority.file("roots.pem"), authority.certificate("localhost"));
    let tls = read(&files);
    let following = tokio::spawn(tls.clone().follow(Duration::from_millis(10)));
    let server = LocalServer::serve_https(Limits::default(), hello(), tls).await;
    let shown = async || {
        let stream = connect(&server, &roots, "http/1.1").await;
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let first = shown().await;
    std::fs::write(&files.certificate, "not a certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(shown().await, first);
    let next = authority.certificate("localhost");
    // The files do not change in one moment: meanwhile the key is not the certificate's.
    std::fs::copy(&next.certificate, &files.certificate).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(shown().await, first);
    std::fs::copy(&next.key, &files.key).unwrap();
    let expected = certificates(&next.certificate).unwrap().remove(0);
    let begin = Instant::now();
    while shown().await != expected {
        assert!(begin.elapsed() < Duration::from_secs(20), "the renewed certificate is shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    following.abort();
}

// A01
#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_cut_off_and_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "the authority");
    let (roots, files) = (authority.file("roots.pem"), authority.certificate("localhost"));
    let server = LocalServer::serve_https(short_limits(), hello(), read(&files)).await;
    let mut silent = server.connect().await;
    let mut plain = server.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut honest = connect(&server, &roots, "http/1.1").await;
    assert!(asked(&mut honest).await.ends_with("hello"));
    let begin = Instant::now();
    for stream in [&mut plain, &mut silent] {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP"), "nothing is answered without TLS");
    }
    assert!(begin.elapsed() < Duration::from_secs(20));
}

// A01: bytes that TLS has taken, and its peer has not, count as not read.
#[tokio::test]
async fn a_client_that_does_not_read_an_answer_over_tls_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "the authority");
    let (roots, files) = (authority.file("roots.pem"), authority.certificate("localhost"));
    let large = Router::new().route("/", get(async || vec![0_u8; 32 << 20]));
    let server = LocalServer::serve_https(short_limits(), large, read(&files)).await;
    let mut silent = connect(&server, &roots, "http/1.1").await;
    silent.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut honest = connect(&server, &roots, "http/1.1").await;
    assert!(asked(&mut honest).await.len() > 32 << 20);
    tokio::time::sleep(short_limits().write_timeout * 4).await;
    let mut rest = Vec::new();
    let ended = silent.read_to_end(&mut rest).await;
    assert!(rest.len() < 32 << 20, "it was served to its end: {ended:?}");
}

#[test]
fn files_that_cannot_be_used_are_named_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "the authority");
    let (good, other) = (authority.certificate("localhost"), authority.certificate("localhost"));
    let missing = folder.path().join("missing.pem");
    let listen = format!("127.0.0.1:{}", free_port());
    let data = folder.path().join("data");
    let check = |certificate: &Path, key: &Path| {
        let output = run(
            &["serve", "--check"],
            &[
                ("OFFSWITCH_LISTEN", &listen),
                ("OFFSWITCH_DATA_DIR", data.to_str().unwrap()),
                ("OFFSWITCH_TLS_CERTIFICATE_FILE", certificate.to_str().unwrap()),
                ("OFFSWITCH_TLS_KEY_FILE", key.to_str().unwrap()),
            ],
        );
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (is_good, text) = check(&good.certificate, &good.key);
    assert!(is_good && text.contains("tls"), "{text}");
    for (certificate, key, named) in [
        (&missing, &good.key, &missing),
        (&good.key, &good.key, &good.key),
        (&good.certificate, &good.certificate, &good.certificate),
        (&good.certificate, &other.key, &other.key),
    ] {
        let (is_good, text) = check(certificate, key);
        assert!(!is_good && text.contains(named.to_str().unwrap()), "{text}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }
}
