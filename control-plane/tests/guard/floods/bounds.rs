//! Clients and gateways that ask for too much, or too slowly.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::guard::{Guard, issuer_of, session};
use crate::support::process::ControlPlane;
use crate::support::raw_http2::{CONTINUATION, HEADERS, RawHttp2, frame, head};

const ROUTES: &str = "[[routes]]\npaths = [\"/a\"]\n";

// G06: headers that never end, connections that ask nothing, heads that are too large: each has its bound,
// and an honest gateway is answered meanwhile.
#[tokio::test]
async fn slow_and_empty_connections_are_closed_and_others_answered_meanwhile() {
    let plane = ControlPlane::start().await;
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &(issuer_of(&plane) + ROUTES)).await;
    let token = session(&plane, "ann", "read").await.1;
    let mut slow = Vec::new();
    for index in 0..500 {
        let mut connection = TcpStream::connect(("127.0.0.1", guard.port())).await.unwrap();
        if index % 2 == 0 {
            connection.write_all(b"GET /auth HTTP/1.1\r\nx-a: ").await.unwrap();
        }
        slow.push(connection);
    }
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        for connection in slow.iter_mut().step_by(2) {
            connection.write_all(b"b").await.unwrap();
        }
        let asked = Instant::now();
        assert_eq!(guard.asked("GET", "/a", &token).await.1, "valid");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        sleep(Duration::from_millis(200)).await;
    }
    // The header's time is over after 10 s, although bytes keep coming.
    for mut connection in slow {
        let end = timeout(Duration::from_secs(20), connection.read(&mut [0; 64])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    let text = guard.admin("/metrics").send().await.unwrap().text().await.unwrap();
    let closed = "offswitch_connections_closed_total{reason=\"header_timeout\"}";
    assert!(text.lines().any(|line| line.starts_with(closed)), "{text}");
}

// G06
#[tokio::test]
async fn heads_that_are_too_large_and_connections_too_many_are_refused() {
    let plane = ControlPlane::start().await;
    let settings = "gateway = \"nginx\"\nmax_connections = 20";
    let guard = Guard::start(&plane, settings, &(issuer_of(&plane) + ROUTES)).await;
    let token = session(&plane, "ann", "read").await.1;
    let large = guard.about("GET", "/a").bearer_auth(&token).header("x-pad", "b".repeat(40_000));
    let answer = large.send().await.unwrap();
    assert_eq!(answer.status(), 431);
    let many =
        (0..120).fold(guard.about("GET", "/a"), |about, at| about.header(format!("x-{at}"), "b"));
    assert_eq!(many.send().await.unwrap().status(), 431);

    let mut connection =
        RawHttp2::begin(TcpStream::connect(("127.0.0.1", guard.port())).await.unwrap()).await;
    let flood = async {
        connection.0.write_all(&frame(HEADERS, 0, 1, &head(0x82, "/auth"))).await?;
        for _ in 0..10_000 {
            // Fields with a name and a value of one byte each, without an end.
            let fields = b"\0\x01x\x01y".repeat(3000);
            connection.0.write_all(&frame(CONTINUATION, 0, 1, &fields)).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let ended = timeout(Duration::from_secs(30), flood).await;
    assert!(matches!(ended, Ok(Err(_))), "the flood was read to its end: {ended:?}");

    let mut held = Vec::new();
    loop {
        let mut connection = TcpStream::connect(("127.0.0.1", guard.port())).await.unwrap();
        connection.write_all(b"GET /none HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let length = connection.read(&mut answer).await.unwrap();
        if answer[..length].starts_with(b"HTTP/1.1 503") {
            break;
        }
        assert!(held.len() < 20);
        held.push(connection);
    }
    drop(held);
    // Health is at an address with places of its own.
    assert_eq!(guard.admin("/healthz").send().await.unwrap().status(), 200);
    guard.until_code("/a", &token, "valid").await;
}
