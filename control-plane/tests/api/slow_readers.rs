//! Clients that ask and do not take the answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;
use offswitch::server::Limits;
use reqwest::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::support::local_server::{LocalServer, counted, short_limits};
use crate::support::raw_http2::{DATA, END_STREAM, HEADERS, RST_STREAM, RawHttp2};

// A01: who never reads a large answer is cut off, and the answer's memory is free again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_dropped() {
    let (server, held) = server(short_limits()).await;
    let closed = counted("offswitch_connections_closed_total", "write_timeout");
    let mut connection = server.connect_narrowly().await;
    connection.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| held.load(Ordering::SeqCst) == 1, "it is being answered").await;
    until(|| held.load(Ordering::SeqCst) == 0, "the answer is given up").await;
    assert!(counted("offswitch_connections_closed_total", "write_timeout") - closed >= 1.0);
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest).await;
    assert!(rest.len() < LARGE_BYTES / 2, "{}", rest.len());
}

// A01: a slow reader is not one that stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_slow_gets_everything() {
    let (server, _) = server(short_limits()).await;
    let mut connection = server.connect().await;
    let request = b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let (mut total, mut buffer) = (0, vec![0; 4 << 20]);
    loop {
        let length = connection.read(&mut buffer).await.unwrap();
        total += length;
        if length == 0 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(total > LARGE_BYTES, "{total}");
}

// A01: over HTTP/2 the stream that nobody reads ends, and the connection goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_read_is_reset_and_its_neighbours_are_not() {
    let limits = Limits { idle_timeout: Duration::from_secs(30), ..short_limits() };
    let (server, held) = server(limits).await;
    let before = counted("offswitch_streams_reset_total", "write_timeout");
    let mut connection = RawHttp2::begin(server.connect().await).await;
    connection.get(1, "/large").await;
    let mut taken = 0;
    // 65,535 bytes come, then the window is closed.
    let reset = timeout(Duration::from_secs(20), async {
        while let Some(frame) = connection.next().await {
            match frame.kind {
                DATA => taken += frame.payload.len(),
                RST_STREAM => return frame.stream == 1,
                _ => {}
            }
        }
        false
    });
    assert!(reset.await.unwrap(), "the connection ended");
    assert_eq!((taken, held.load(Ordering::SeqCst)), (65_535, 0));
    assert!(counted("offswitch_streams_reset_total", "write_timeout") - before >= 1.0);
    // Room for the connection again, which the first stream had used up.
    let window = crate::support::raw_http2::frame(8, 0, 0, &65_535_u32.to_be_bytes());
    connection.0.write_all(&window).await.unwrap();
    connection.get(3, "/small").await;
    let mut seen = (false, false);
    while let Some(frame) = connection.next().await {
        seen.0 |= frame.kind == HEADERS && frame.stream == 3;
        seen.1 |= frame.kind == DATA;
        if frame.flags & END_STREAM > 0 {
            break;
        }
    }
    assert_eq!(seen, (true, true));
}

// A01: small events that lie in the kernel's buffers, because the follower takes none of them.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_stops_reading_is_dropped() {
    let (server, held) = server(short_limits()).await;
    let mut connection = server.connect_narrowly().await;
    connection.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| held.load(Ordering::SeqCst) == 1, "it is followed").await;
    until(|| held.load(Ordering::SeqCst) == 0, "the follower is dropped").await;
    drop(connection);
}

// A01: nothing to say is no reason to close, in either version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_nothing_is_written_to_lives_on() {
    let (server, _) = server(short_limits()).await;
    let mut connection = server.connect().await;
    connection.write_all(b"GET /rare HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut http2 = RawHttp2::begin(server.connect().await).await;
    http2.get(1, "/rare").await;
    let first = async {
        let mut text = Vec::new();
        while !text.windows(4).any(|four| four == b"news") {
            assert!(connection.read_buf(&mut text).await.unwrap() > 0);
        }
    };
    let second = async {
        while let Some(frame) = http2.next().await {
            if frame.kind == DATA {
                return;
            }
            assert_ne!(frame.kind, RST_STREAM);
        }
        panic!("the connection ended");
    };
    timeout(Duration::from_secs(20), async { tokio::join!(first, second) }).await.unwrap();
}

// A01: 200 followers of the feed that do not read, beside one that does: it learns of each
// revocation at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_that_do_not_read_delay_nobody() {
    let server = LocalServer::start(Limits::default()).await;
    let request = format!(
        "GET /v1/feed/stream HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
        server.admin_key()
    );
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut connection = server.connect_narrowly().await;
        connection.write_all(request.as_bytes()).await.unwrap();
        silent.push(connection);
    }
    let mut reader = server.connect().await;
    reader.write_all(request.as_bytes()).await.unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let (mut text, mut slowest) = (Vec::new(), Duration::ZERO);
    for number in 1..=30 {
        let begin = Instant::now();
        let revoke = client.post(server.url("/v1/revocations")).bearer_auth(server.admin_key());
        let answer = revoke.json(&json!({ "sub": format!("user-{number}") })).send().await.unwrap();
        assert!(answer.status().is_success());
        let id = format!(".{number}\n");
        timeout(Duration::from_secs(10), async {
            while !text.windows(id.len()).any(|part| part == id.as_bytes()) {
                assert!(reader.read_buf(&mut text).await.unwrap() > 0);
            }
        })
        .await
        .unwrap();
        text.clear();
        slowest = slowest.max(begin.elapsed());
    }
    println!("from the request to the event, with 200 that do not read: at most {slowest:?}");
    assert!(slowest < Duration::from_secs(5));
}

/// A server with large, frequent and rare answers, and how many of them there are now.
async fn server(limits: Limits) -> (LocalServer, Arc<AtomicUsize>) {
    let held = Arc::new(AtomicUsize::new(0));
    let chunks = |held: &Arc<AtomicUsize>, pause: Duration, chunk: Bytes, count: usize| {
        let held = held.clone();
        get(async move || {
            let begin = (Held::new(&held), 0);
            let chunks = stream::unfold(begin, move |(held, sent)| {
                let chunk = chunk.clone();
                async move {
                    if sent == count {
                        return None;
                    }
                    sleep(pause).await;
                    Some((Ok::<_, Infallible>(chunk), (held, sent + 1)))
                }
            });
            Body::from_stream(chunks)
        })
    };
    let megabyte = Bytes::from(vec![b'x'; 1 << 20]);
    let router = Router::new()
        .route("/small", get(async || "small"))
        .route("/large", chunks(&held, Duration::ZERO, megabyte, LARGE_BYTES >> 20))
        .route(
            "/events",
            chunks(&held, Duration::from_millis(10), vec![b'x'; 500].into(), 1_000_000),
        )
        .route("/rare", chunks(&held, Duration::from_secs(7), Bytes::from_static(b"news"), 1));
    (LocalServer::serve(limits, router).await, held)
}

/// Counts the answers that are alive.
struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(held: &Arc<AtomicUsize>) -> Self {
        held.fetch_add(1, Ordering::SeqCst);
        Self(held.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn until(condition: impl Fn() -> bool, what: &str) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

const LARGE_BYTES: usize = 64 << 20;
