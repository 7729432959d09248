//! How many connections are allowed, and how long each of them may be idle.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use offswitch::server::Limits;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::local_server::{LocalServer, counted, short_limits};
use crate::support::raw_http2::{DATA, END_STREAM, GOAWAY, RawHttp2, head, new_field};
use crate::support::redis_server::free_port;

// A01: a connection over the cap gets an answer that says so; it is accepted once there is room.
#[tokio::test]
async fn a_connection_over_the_cap_gets_503_until_there_is_room() {
    let server = LocalServer::start(Limits { max_connections: 10, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut connection = server.connect().await;
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
        held.push(connection);
    }
    let refused = counted("offswitch_connections_refused_total", "too_many_connections");
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let answer = client.get(server.url("/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "too_many_connections");
    // A client that sends a large request gets the answer as well, instead of a reset.
    let large = client.post(server.url("/v1/revocations")).body(vec![b' '; 100_000]);
    assert_eq!(large.send().await.unwrap().status(), 503);
    let refused = counted("offswitch_connections_refused_total", "too_many") - refused;
    assert!(refused >= 2.0);
    held.pop();
    let begin = Instant::now();
    while client.get(server.url("/healthz")).send().await.unwrap().status() != 200 {
        assert!(begin.elapsed() < Duration::from_secs(10), "no connection is accepted again");
    }
}

// A01: a process that may have 400 files open accepts 144 connections, and answers the next one
// with 503.
#[tokio::test]
async fn the_cap_leaves_room_among_the_open_files() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut process = Command::new("sh")
        .args(["-c", "ulimit -n 400 && exec \"$0\" serve", env!("CARGO_BIN_EXE_offswitch")])
        .env("OFFSWITCH_LISTEN", format!("127.0.0.1:{port}"))
        .env("OFFSWITCH_DATA_DIR", folder.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let url = format!("http://127.0.0.1:{port}/healthz");
    let begin = Instant::now();
    while client.get(&url).send().await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it did not start");
        sleep(Duration::from_millis(20)).await;
    }
    let mut held = Vec::new();
    let mut answer = [0; 1024];
    let refused = loop {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let length = connection.read(&mut answer).await.unwrap();
        if answer[..length].starts_with(b"HTTP/1.1 503") {
            break held.len();
        }
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        held.push(connection);
    };
    // The server may still count the connection of the last answer.
    assert!((143..=144).contains(&refused), "{refused}");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("there is no room for max_connections"), "{log}");
    process.kill().unwrap();
    process.wait().unwrap();
}

// A01: the server answers only a few refused connections at the same time, and closes each one
// soon.
#[tokio::test]
async fn a_refused_connection_that_stays_open_is_closed() {
    let server = LocalServer::start(Limits { max_connections: 1, ..Limits::default() }).await;
    let mut only = server.connect().await;
    only.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(only.read(&mut [0; 1024]).await.unwrap() > 0);
    let mut others = Vec::new();
    for _ in 0..200 {
        others.push(server.connect().await);
    }
    for mut other in others {
        let end = timeout(Duration::from_secs(10), other.read(&mut [0; 64])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    only.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(only.read(&mut [0; 1024]).await.unwrap() > 0);
}

// A01: a connection may pause between requests, but not for ever. A header that begins after a
// pause gets the full time for a header.
#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = Limits { idle_timeout: Duration::from_secs(3), ..short_limits() };
    let server = LocalServer::start(limits).await;
    let idle = counted("offswitch_connections_closed_total", "idle");
    let mut connection = server.connect().await;
    for _ in 0..3 {
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
        sleep(Duration::from_millis(2200)).await;
    }
    let end = timeout(Duration::from_secs(10), connection.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(end, Ok(0)), "{end:?}");

    let mut connection = RawHttp2::begin(server.connect().await).await;
    connection.get(1, "/healthz").await;
    let begin = Instant::now();
    timeout(Duration::from_secs(10), async {
        let mut answered = false;
        while let Some(frame) = connection.next().await {
            answered |= frame.kind == DATA && frame.flags & END_STREAM > 0;
        }
        assert!(answered);
    })
    .await
    .unwrap();
    assert!(begin.elapsed() > Duration::from_secs(2));
    assert!(counted("offswitch_connections_closed_total", "idle") - idle >= 2.0);

    let mut connection = server.connect().await;
    connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
    connection.write_all(b"GET /heal").await.unwrap();
    let end = timeout(Duration::from_secs(10), connection.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(end, Ok(0)), "{end:?}");
}

// A01: at the cap, the server soon closes connections that were used and are idle.
#[tokio::test]
async fn idle_connections_are_closed_early_when_the_cap_is_reached() {
    let limits = Limits { header_timeout: Duration::from_secs(2), ..Limits::default() };
    assert!(limits.idle_timeout > Duration::from_secs(60));
    let server = LocalServer::start(Limits { max_connections: 10, ..limits }).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut connection = server.connect().await;
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
        held.push(connection);
    }
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let begin = Instant::now();
    while client.get(server.url("/healthz")).send().await.unwrap().status() != 200 {
        assert!(begin.elapsed() < Duration::from_secs(30), "no connection was closed");
        sleep(Duration::from_millis(50)).await;
    }
}

// A01: the server answers a request that an HTTP/2 peer sends while its idle connection is being
// closed, however long that takes: the peer may not know of the closing yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_during_the_closing_of_an_idle_connection_is_answered() {
    let long_poll = get(async || {
        sleep(Duration::from_secs(8)).await;
        "news"
    });
    let router = Router::new().route("/small", get(async || "small")).route("/poll", long_poll);
    let server = LocalServer::serve(short_limits(), router).await;
    let mut connection = RawHttp2::begin(server.connect().await).await;
    connection.get(1, "/small").await;
    // The test does not answer the next ping: an answer would show the server that the peer knows.
    while connection.next_unacknowledged().await.unwrap().kind != GOAWAY {}
    connection.get(3, "/poll").await;
    let answer = async {
        while let Some(frame) = connection.next_unacknowledged().await {
            if frame.kind == DATA && frame.stream == 3 {
                return frame.payload;
            }
        }
        panic!("the connection ended");
    };
    assert_eq!(timeout(Duration::from_secs(20), answer).await.unwrap(), b"news");
}

// A01: the server works on at most as many requests at the same time as the limit allows, however
// few connections they use; it answers the others with 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_over_the_limit_gets_503_until_there_is_room() {
    let long_poll = get(async || {
        sleep(Duration::from_secs(8)).await;
        "news"
    });
    let router = Router::new().route("/small", get(async || "small")).route("/poll", long_poll);
    let server = LocalServer::serve(Limits { max_requests: 3, ..Limits::default() }, router).await;
    let mut connection = RawHttp2::begin(server.connect().await).await;
    for stream in [1, 3, 5, 7] {
        connection.get(stream, "/poll").await;
    }
    let refused = counted("offswitch_requests_refused_total", "too_many_requests_in_flight");
    // The fourth request gets its answer before the others.
    let (mut streams, mut text) = (Vec::new(), Vec::new());
    while text.is_empty() {
        let frame = connection.next().await.unwrap();
        if frame.kind == DATA {
            streams.push(frame.stream);
            text = frame.payload;
        }
    }
    let problem: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&problem["code"], streams), (&json!("too_many_requests_in_flight"), vec![7]));
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.get(server.url("/small")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let more = counted("offswitch_requests_refused_total", "too_many_requests_in_flight");
    assert!(more - refused >= 1.0);
    let begin = Instant::now();
    while client.get(server.url("/small")).send().await.unwrap().status() != 200 {
        assert!(begin.elapsed() < Duration::from_secs(20), "no request is accepted again");
        sleep(Duration::from_millis(50)).await;
    }
}

// A01, D114: headers that are too long or too many are refused; both HTTP versions have the same
// limits.
#[tokio::test]
async fn headers_beyond_the_limits_are_refused() {
    let server = LocalServer::start(Limits::default()).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let with_fields = |count: usize, length: usize| {
        let value = "x".repeat(length);
        (0..count).map(move |number| (format!("x-field-{number}"), value.clone()))
    };
    for (count, length, status) in [
        (1, 15_000, 200),
        (1, 16_400, 431),
        (1, 33_000, 431),
        (1, 70_000, 431),
        (90, 10, 200),
        (90, 150, 431),
        (120, 1, 431),
    ] {
        let request = with_fields(count, length)
            .fold(client.get(server.url("/healthz")), |request, (name, value)| {
                request.header(name, value)
            });
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "HTTP/1 with {count} of {length} bytes");

        let mut connection = RawHttp2::begin(server.connect().await).await;
        let mut block = head(0x82, "/healthz");
        with_fields(count, length).for_each(|(name, value)| new_field(&mut block, &name, &value));
        connection.request(1, &block).await;
        let answered = timeout(Duration::from_secs(10), connection.status(1)).await.unwrap();
        // A header that is much too large may also end the connection.
        let answered = answered.unwrap_or(431);
        assert_eq!(answered, status, "HTTP/2 with {count} of {length} bytes");
    }
}
