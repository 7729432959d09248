//! A request to stop, in the middle of work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::several_processes::ISSUER;
use crate::support::process::ControlPlane;
use crate::support::raw_http2::{
    END_HEADERS, END_STREAM, HEADERS, RawHttp2, authorize, frame, head,
};
use crate::support::redis_server::RedisServer;

// A10: acknowledged revocations are there after the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_completes_what_it_acknowledges() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Arc::new(ControlPlane::start_in(folder.path(), &[]).await);
    let mut stalled = TcpStream::connect(("127.0.0.1", plane.port())).await.unwrap();
    stalled.write_all(b"POST /v1/revocations HTTP/1.1\r\nhost: a\r\ncont").await.unwrap();
    let stream = plane.admin(Method::GET, "/v1/feed/stream").send().await.unwrap();
    let mut lanes = JoinSet::new();
    for lane in 0..16 {
        let plane = Arc::clone(&plane);
        lanes.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let sub = format!("user-{lane}-{number}");
                let request = plane.admin(Method::POST, "/v1/revocations");
                match request.json(&json!({ "sub": sub })).send().await {
                    Ok(answer) if answer.status().is_success() => acknowledged.push(sub),
                    Ok(answer) => panic!("{}", answer.status()),
                    Err(_) => return acknowledged,
                }
            }
            acknowledged
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begin = Instant::now();
    plane.ask_to_stop();
    let acknowledged = lanes.join_all().await.concat();
    let mut plane = Arc::into_inner(plane).unwrap();
    plane.until_stopped().await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    drop((stalled, stream, plane));
    assert!(acknowledged.len() > 10, "there was load");

    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    let mut listed = std::collections::HashSet::new();
    let mut query = "?limit=100".to_owned();
    loop {
        let page = plane.got(&format!("/v1/revocations{query}")).await;
        for request in page["requests"].as_array().unwrap() {
            listed.insert(request["revocations"][0]["sub"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_u64() else { break };
        query = format!("?limit=100&before={next}");
    }
    let lost: Vec<_> = acknowledged.iter().filter(|sub| !listed.contains(*sub)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

// A10, D82: followers are disconnected immediately, idle clients do not delay the stop, and a
// running revocation is finished, as is one that arrives on a new connection in the meantime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_are_disconnected_at_a_stop_and_revocations_are_finished() {
    let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let environment = [("OFFSWITCH_STORE", redis.url()), ("OFFSWITCH_ISSUER", ISSUER.to_owned())];
    let environment = environment.each_ref().map(|(name, text)| (*name, text.as_str()));
    let mut plane = ControlPlane::start_in(folder.path(), &environment).await;
    let position = plane.posted("/v1/revocations", &json!({ "sub": "first" })).await["position"]
        .as_str()
        .unwrap()
        .to_owned();
    let get = |path: &str| plane.admin(Method::GET, path).send();
    let mut stream = get("/v1/feed/stream").await.unwrap();
    assert_eq!(stream.headers()["connection"], "close", "its client sends no other request by it");
    // Connected, but without a request: accepted before the stop, read after it.
    let mut early = TcpStream::connect(("127.0.0.1", plane.port())).await.unwrap();
    let polled = format!("/v1/feed?since={position}&wait=60");
    let long_poll = tokio::spawn(get(&polled));
    let mut stalled = Vec::new();
    let key = plane.admin_key();
    let authorization = format!("host: a\r\nauthorization: Bearer {key}\r\n");
    for request in [
        "POST /v1/revocations HTTP/1.1\r\nhost: a\r\ncont".to_owned(),
        format!(
            "POST /v1/revocations HTTP/1.1\r\n{authorization}content-type: application/json\r\n\
             content-length: 50\r\n\r\n{{"
        ),
        format!(
            "POST /v1/revocations HTTP/1.1\r\n{authorization}\
             content-type: application/x-ndjson\r\ncontent-length: 50\r\n\r\n{{"
        ),
        format!("GET /v1/feed/stream HTTP/1.1\r\n{authorization}\r\n"),
        String::new(),
    ] {
        let mut connection = TcpStream::connect(("127.0.0.1", plane.port())).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        stalled.push(connection);
    }
    // An HTTP/2 follower, as through a proxy, that reads nothing of its stream.
    let connection = TcpStream::connect(("127.0.0.1", plane.port())).await.unwrap();
    let mut multiplexed = RawHttp2::begin_with_window(connection, 0).await;
    let mut asked = head(0x82, "/v1/feed/stream");
    authorize(&mut asked, &key);
    let asked = frame(HEADERS, END_HEADERS | END_STREAM, 1, &asked);
    multiplexed.0.write_all(&asked).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let revoke =
        |sub: &str| plane.admin(Method::POST, "/v1/revocations").json(&json!({ "sub": sub }));
    redis.pause();
    let under_way = tokio::spawn(revoke("under-way").send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begin = Instant::now();
    plane.ask_to_stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    early.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut received = Vec::new();
    while let Some(piece) = stream.chunk().await.unwrap() {
        received.extend_from_slice(&piece);
    }
    assert!(String::from_utf8(received).unwrap().ends_with("retry: 1000\n\n"));
    assert_eq!(long_poll.await.unwrap().unwrap().status(), 200);
    assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    let late = tokio::spawn(revoke("late").send());
    let ready = get("/readyz").await.unwrap();
    assert_eq!(ready.status(), 503, "load balancers use another process");
    redis.resume();
    for answer in [under_way, late] {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    plane.until_stopped().await;
    // Two seconds, and some more for a busy machine.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(!plane.log().contains("still open at the end"), "{}", plane.log());
}
