//! Clients that send a request and do not read the answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::routing::get;
use futures_util::stream;
use offswitch::server::Limits;
use reqwest::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::support::local_server::{LocalServer, counted, short_limits};
use crate::support::raw_http2::{DATA, END_STREAM, HEADERS, RST_STREAM, RawHttp2};

// A01: a client that never reads a large answer is disconnected, and the answer's memory is free
// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_dropped() {
    let (server, held) = server(short_limits()).await;
    let closed = counted("offswitch_connections_closed_total", "write_timeout");
    let mut connection = server.connect_narrowly().await;
    connection.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| held.load(Ordering::SeqCst) == 1, "the answer is being sent").await;
    until(|| held.load(Ordering::SeqCst) == 0, "the answer is dropped").await;
    assert!(counted("offswitch_connections_closed_total", "write_timeout") - closed >= 1.0);
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest).await;
    assert!(rest.len() < LARGE_BYTES / 2, "{}", rest.len());
}

// A01: a slow reader is not a reader that stopped.
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

// A01: over HTTP/2 the server resets a stream that the client does not read, and keeps the
// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_read_is_reset_and_its_neighbours_are_not() {
    let limits = Limits { idle_timeout: Duration::from_secs(30), ..short_limits() };
    let (server, held) = server(limits).await;
    let before = counted("offswitch_streams_reset_total", "write_timeout");
    let mut connection = RawHttp2::begin(server.connect().await).await;
    connection.get(1, "/large").await;
    let mut taken = 0;
    // 65,535 bytes arrive, then the window is closed.
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
    // More room for the connection, because the first stream used it up.
    connection.widen(0, 65_535).await;
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

// A01: a window that is open by one byte takes the first byte of an answer and leaves the rest; the
// rest has a time limit, however small the answer is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_piece_of_a_streams_answer_does_not_wait_for_ever() {
    let limits = Limits { idle_timeout: Duration::from_secs(30), ..short_limits() };
    let (server, held) = server(limits).await;
    let before = counted("offswitch_streams_reset_total", "write_timeout");
    let mut connection = RawHttp2::begin_with_window(server.connect().await, 1).await;
    connection.get(1, "/small").await;
    connection.get(3, "/whole/1000").await;
    connection.get(5, "/rare").await;
    let (mut taken, mut reset) = (0, Vec::new());
    let both = timeout(Duration::from_secs(20), async {
        while reset.len() < 2 {
            let frame = connection.next().await.unwrap();
            match frame.kind {
                DATA => taken += frame.payload.len(),
                RST_STREAM => reset.push(frame.stream),
                _ => {}
            }
        }
    });
    assert!(both.await.is_ok(), "{reset:?}");
    reset.sort_unstable();
    assert_eq!((reset, taken), (vec![1, 3], 2));
    until(|| held.load(Ordering::SeqCst) == 1, "the answer is dropped").await;
    assert!(counted("offswitch_streams_reset_total", "write_timeout") - before >= 2.0);
    // The third stream had no data to send yet.
    connection.widen(5, 10).await;
    let mut news = Vec::new();
    while let Some(frame) = connection.next().await {
        news.extend(frame.payload);
        if frame.stream == 5 && frame.flags & END_STREAM > 0 {
            break;
        }
    }
    assert!(news.ends_with(b"news"));
}

// A01: a client that reads an answer over HTTP/2, in one piece or in small parts, gets all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_read_gets_everything() {
    let (server, _) =
        server(Limits { write_timeout: Duration::from_secs(20), ..short_limits() }).await;
    for (path, window, expected) in [
        ("/small", 65_535, 5),
        ("/whole/0", 65_535, 0),
        ("/whole/65536", 1_000, 65_536),
        ("/whole/200000", 1_000, 200_000),
        ("/large", 1 << 20, LARGE_BYTES),
        ("/whole/67108864", 1 << 20, LARGE_BYTES),
    ] {
        let mut connection = RawHttp2::begin_with_window(server.connect().await, window).await;
        connection.get(1, path).await;
        let (begin, mut taken) = (Instant::now(), 0);
        loop {
            let frame = connection.next().await.unwrap();
            assert_ne!(frame.kind, RST_STREAM, "{path}");
            let length = u32::try_from(frame.payload.len()).unwrap();
            if frame.kind == DATA {
                taken += frame.payload.len();
                if length > 0 {
                    connection.widen(0, length).await;
                    connection.widen(1, length).await;
                }
            }
            if frame.stream == 1 && frame.flags & END_STREAM > 0 {
                break;
            }
        }
        println!("{path} through a window of {window}: {:?}", begin.elapsed());
        assert_eq!(taken, expected, "{path}");
    }
}

// A01: a client that reads a base kilobyte by kilobyte keeps it in memory no longer than the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_too_long_for_one_answer_is_dropped() {
    let limits = Limits { answer_timeout: Duration::from_secs(3), ..short_limits() };
    let (server, held) = server(limits).await;
    let mut connection = server.connect_narrowly().await;
    connection.write_all(b"GET /whole/67108864 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut http2 = RawHttp2::begin(server.connect().await).await;
    http2.get(1, "/whole/67108864").await;
    until(|| held.load(Ordering::SeqCst) == 2, "both answers are being sent").await;
    let (begin, mut buffer) = (Instant::now(), vec![0; 32 << 10]);
    let first = async {
        while connection.read(&mut buffer).await.is_ok_and(|length| length > 0) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let second = async {
        while let Some(frame) = http2.next().await
            && frame.kind != RST_STREAM
        {
            let length = u32::try_from(frame.payload.len()).unwrap();
            if frame.kind == DATA && length > 0 {
                sleep(Duration::from_millis(20)).await;
                http2.widen(0, length).await;
                http2.widen(1, length).await;
            }
        }
    };
    // Data in the kernel's buffers takes no memory of ours, and may take longer.
    let readers = async { tokio::join!(first, second) };
    let freed = until(|| held.load(Ordering::SeqCst) == 0, "the memory is free");
    tokio::select! {
        () = freed => {}
        () = async {
            readers.await;
            std::future::pending().await
        } => {}
    }
    assert!(begin.elapsed() > Duration::from_secs(2), "{:?}", begin.elapsed());
}

// A01: a follower may get any number of small answers, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_reads_is_never_disconnected() {
    let limits = Limits { answer_timeout: Duration::from_secs(2), ..short_limits() };
    let (server, held) = server(limits).await;
    let mut connection = server.connect().await;
    connection.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut http2 = RawHttp2::begin(server.connect().await).await;
    http2.get(1, "/events").await;
    let begin = Instant::now();
    let mut buffer = vec![0; 32 << 10];
    while begin.elapsed() < Duration::from_secs(6) {
        assert!(connection.read(&mut buffer).await.unwrap() > 0);
        let frame = http2.next().await.unwrap();
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == DATA {
            let length = u32::try_from(frame.payload.len()).unwrap();
            http2.widen(0, length).await;
            http2.widen(1, length).await;
        }
    }
    assert_eq!(held.load(Ordering::SeqCst), 2);
}

// A01: small events fill the kernel's buffers, because the follower reads none of them.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_stops_reading_is_dropped() {
    let (server, held) = server(short_limits()).await;
    let mut connection = server.connect_narrowly().await;
    connection.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| held.load(Ordering::SeqCst) == 1, "the follower is connected").await;
    until(|| held.load(Ordering::SeqCst) == 0, "the follower is dropped").await;
    drop(connection);
}

// A01: a connection without pending data stays open, in both HTTP versions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_follower_stays_connected() {
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

// A01: 200 followers of the feed do not read while one does: that one gets each revocation without
// delay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_that_do_not_read_delay_no_other_follower() {
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
        let answer: serde_json::Value = answer.json().await.unwrap();
        let id = format!("id: {}\n", answer["position"].as_str().unwrap());
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

/// A server with large, frequent and rare answers, and the number of answers that are alive.
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
    let whole = |held: &Arc<AtomicUsize>| {
        let held = held.clone();
        get(async move |Path(size_bytes): Path<usize>| {
            Bytes::from_owner(Whole(vec![b'x'; size_bytes], Held::new(&held)))
        })
    };
    let megabyte = Bytes::from(vec![b'x'; 1 << 20]);
    let router = Router::new()
        .route("/small", get(async || "small"))
        .route("/whole/{size_bytes}", whole(&held))
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

/// An answer in one piece.
struct Whole(Vec<u8>, #[expect(dead_code, reason = "counted while it lives")] Held);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.0
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
