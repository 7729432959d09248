//! Heads that are too large, and connections that are too many.

use std::time::Duration;

use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Place, Target};
use crate::support::guard::session;
use crate::support::process::ControlPlane;
use crate::support::raw_http2::{CONTINUATION, HEADERS, RawHttp2, frame, head};

// G06: each address has its bounds, and places of its own.
#[tokio::test]
async fn heads_that_are_too_large_and_connections_too_many_are_refused_at_each_address() {
    let plane = ControlPlane::start().await;
    let target = Target::start(&plane, "nginx", "max_connections = 20").await;
    let token = session(&plane, "ann", "read").await.1;
    target.until_valid(&token).await;
    for place in target.places() {
        heads_are_bounded(place).await;
        let held = fill(place).await;
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        for other in target.places().into_iter().filter(|other| other.port != place.port) {
            let url = format!("http://127.0.0.1:{}{}", other.port, other.path);
            let text = client.get(url).send().await.unwrap().bytes().await.unwrap();
            let is_full = String::from_utf8_lossy(&text).contains("too_many_connections");
            assert!(!is_full, "{} while {} is full", other.name, place.name);
        }
        drop(held);
    }
    target.until_valid(&token).await;
}

async fn heads_are_bounded(place: Place) {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let url = format!("http://127.0.0.1:{}{}", place.port, place.path);
    let large = client.get(&url).header("x-pad", "b".repeat(40_000));
    assert_eq!(large.send().await.unwrap().status(), 431, "{}", place.name);
    let many =
        (0..120).fold(client.get(&url), |request, at| request.header(format!("x-{at}"), "b"));
    assert_eq!(many.send().await.unwrap().status(), 431, "{}", place.name);

    let connection = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
    let mut connection = RawHttp2::begin(connection).await;
    let flood = async {
        connection.0.write_all(&frame(HEADERS, 0, 1, &head(0x82, place.path))).await?;
        for _ in 0..10_000 {
            // Fields with a name and a value of one byte each, without an end.
            let fields = b"\0\x01x\x01y".repeat(3000);
            connection.0.write_all(&frame(CONTINUATION, 0, 1, &fields)).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let ended = timeout(Duration::from_secs(30), flood).await;
    assert!(matches!(ended, Ok(Err(_))), "{}: read to its end: {ended:?}", place.name);
}

/// Opens connections until one is refused.
async fn fill(place: Place) -> Vec<TcpStream> {
    let mut held = Vec::new();
    loop {
        let mut connection = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
        connection.write_all(b"GET /none HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let length = connection.read(&mut answer).await.unwrap();
        if answer[..length].starts_with(b"HTTP/1.1 503") {
            let text = String::from_utf8_lossy(&answer[..length]);
            assert!(text.contains("too_many_connections"), "{}: {text}", place.name);
            return held;
        }
        assert!(held.len() < 20, "{}", place.name);
        held.push(connection);
    }
}
