//! The feed, served by guards that follow it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use futures_util::StreamExt;
use reqwest::{Client, Response};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::support::follower::Follower;
use crate::support::guard::{Guard, feed_at, feed_of, issuer_of, revoke, session};
use crate::support::process::ControlPlane;
use crate::support::redis_server::free_port;

/// A relay of the feed at `feed`, and its port.
async fn relay(feed: &str, settings: &str) -> (Guard, u16) {
    let port = free_port();
    let settings = format!("relay_listen = \"127.0.0.1:{port}\"\n{settings}");
    let mut guard = Guard::launch(feed, &settings, "");
    guard.until_ready().await;
    (guard, port)
}

async fn at(port: u16, query: &str) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://127.0.0.1:{port}/v1/feed{query}")).send().await.unwrap()
}

/// The snapshots that a stream brings within `time`.
async fn streamed(answer: Response, time: Duration) -> HashSet<String> {
    let mut text = String::new();
    let mut pieces = answer.bytes_stream();
    let _ = timeout(time, async {
        while let Some(Ok(piece)) = pieces.next().await {
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    })
    .await;
    let data = text.split("\n\n").filter(|event| event.starts_with("event: snapshot"));
    data.filter_map(|event| Some(event.split_once("data: ")?.1.to_owned())).collect()
}

// G07: a chain of two relays serves what its end followed: every byte is signed by the control plane.
#[tokio::test]
async fn a_chain_of_relays_serves_the_feed_byte_for_byte() {
    let plane = ControlPlane::start().await;
    let (first, first_port) = relay(&feed_of(&plane).await, "").await;
    let (second, second_port) = relay(&feed_at(&plane, first_port).await, "").await;
    let base = at(second_port, "").await;
    assert_eq!(base.headers()["content-type"], "application/octet-stream");
    let (tag, position) =
        (base.headers()["etag"].clone(), base.headers()["offswitch-position"].clone());
    let base = base.bytes().await.unwrap();
    assert_eq!(base, at(first_port, "").await.bytes().await.unwrap());
    assert_eq!(base, plane.feed("").await);

    let since = format!("/stream?since={}", position.to_str().unwrap());
    let of_plane = {
        let request = plane.admin(reqwest::Method::GET, &format!("/v1/feed{since}"));
        streamed(request.send().await.unwrap(), Duration::from_secs(9))
    };
    let of_first = streamed(at(first_port, &since).await, Duration::from_secs(9));
    // What the second relay has then, the first one has sent here.
    sleep(Duration::from_secs(3)).await;
    let of_second = streamed(at(second_port, &since).await, Duration::from_secs(8));
    let (session_id, token) = session(&plane, "ann", "read").await;
    let revoking = async {
        sleep(Duration::from_secs(2)).await;
        revoke(&plane, &session_id).await;
    };
    let (of_plane, of_first, of_second, ()) = tokio::join!(of_plane, of_first, of_second, revoking);
    assert!(of_second.len() >= 3, "{of_second:?}");
    assert!(of_second.is_subset(&of_first), "the second relay serves what the first one does");
    // What is announced is signed once for all followers; heartbeats are each follower's own.
    let announced: Vec<_> = of_plane.intersection(&of_second).collect();
    assert!(!announced.is_empty());

    // A poll leads on, and the same snapshot is not sent twice.
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(&token), "revoked_session");
    let delta = at(second_port, &format!("?since={}", position.to_str().unwrap())).await;
    assert_eq!(delta.status(), 200);
    follower.apply(delta.bytes().await.unwrap().to_vec()).unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{second_port}/v1/feed");
    let known = client.get(&url).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    drop((first, second));
}

// A relay that started later has one delta for what others have in two: a follower that comes from them is
// between its ends, and gets a base as soon as there is one.
#[tokio::test]
async fn a_follower_between_the_ends_of_a_relays_deltas_gets_a_base() {
    let plane = ControlPlane::start().await;
    let revoked = async |user: &str| {
        let answer = plane.posted("/v1/revocations", &serde_json::json!({ "sub": user })).await;
        answer["position"].as_str().unwrap().to_owned()
    };
    let (between, last) = (revoked("ann").await, revoked("bob").await);
    let (_relay, port) = relay(&feed_of(&plane).await, "").await;
    let begin = std::time::Instant::now();
    loop {
        let answer = at(port, &format!("?since={between}")).await;
        if answer.headers()["offswitch-position"] == last.as_str() {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", answer.headers());
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_relay_answers_long_polls_when_there_is_news_and_wrong_queries_never() {
    let plane = ControlPlane::start().await;
    let (_relay, port) = relay(&feed_of(&plane).await, "max_followers = 1").await;
    let position = at(port, "").await.headers()["offswitch-position"].clone();
    let query = format!("?since={}&wait=20", position.to_str().unwrap());
    let begin = std::time::Instant::now();
    let waiting = at(port, &query);
    let meanwhile = async {
        sleep(Duration::from_millis(500)).await;
        // One place is taken; asking without waiting goes on.
        assert_eq!(at(port, "/stream").await.status(), 503);
        assert_eq!(at(port, "").await.status(), 200);
        plane.posted("/v1/revocations", &serde_json::json!({ "sub": "ann" })).await;
    };
    let (news, ()) = tokio::join!(waiting, meanwhile);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_ne!(news.headers()["offswitch-position"], position);
    for query in
        ["?since=x", "?since=1.2&wait=61", "?since=1.2&wait=x", "?colour=red", "/stream?since=x"]
    {
        assert_eq!(at(port, query).await.status(), 400, "{query}");
    }
    assert_eq!(at(port, "/none").await.status(), 404);
}

#[tokio::test]
async fn a_relay_with_an_api_key_serves_no_other_client() {
    let plane = ControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "a-key-of-the-relay\n").unwrap();
    let settings = format!("relay_api_key_file = \"{}\"", key_file.display());
    let (_relay, port) = relay(&feed_of(&plane).await, &settings).await;
    let client = Client::builder().no_proxy().build().unwrap();
    for path in ["/v1/feed", "/v1/feed/stream"] {
        let url = format!("http://127.0.0.1:{port}{path}");
        for (value, status) in [
            ("Bearer a-key-of-the-relay", 200),
            ("bearer a-key-of-the-relay", 200),
            ("Bearer a-key-of-the-rela", 401),
            ("Bearer ", 401),
            ("a-key-of-the-relay", 401),
        ] {
            let answer = client.get(&url).header("authorization", value).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path} {value}");
        }
        assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    }
}

/// What lies about a feed: once it is frozen, its answer is always the first one.
#[derive(Clone)]
struct Liar {
    url: String,
    key: String,
    is_frozen: Arc<AtomicBool>,
    kept: Arc<std::sync::Mutex<Option<Bytes>>>,
    alter: fn(Vec<u8>) -> Vec<u8>,
}

async fn lie(
    State(liar): State<Liar>,
    RawQuery(query): RawQuery,
) -> ([(&'static str, &'static str); 1], Bytes) {
    let content_type = [("content-type", "application/octet-stream")];
    if liar.is_frozen.load(Ordering::Relaxed) {
        let kept = liar.kept.lock().unwrap().clone().unwrap();
        return (content_type, (liar.alter)(kept.to_vec()).into());
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.get(liar.url.clone() + &query).bearer_auth(&liar.key).send().await.unwrap();
    let bytes = answer.bytes().await.unwrap();
    liar.kept.lock().unwrap().get_or_insert(bytes.clone());
    (content_type, bytes)
}

// G07: a relay that freezes the feed, shows an old state, or alters what it passes on makes nothing valid
// for longer than the feed may be old, and revokes nothing.
#[tokio::test]
async fn a_relay_that_lies_is_noticed() {
    let plane = ControlPlane::start().await;
    let alterations: [fn(Vec<u8>) -> Vec<u8>; 3] = [
        |bytes| bytes,
        |mut bytes| {
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        },
        |bytes| bytes[..bytes.len() / 2].to_vec(),
    ];
    for alter in alterations {
        let liar = Liar {
            url: format!("http://127.0.0.1:{}/v1/feed", plane.port()),
            key: plane.admin_key(),
            is_frozen: Arc::default(),
            kept: Arc::default(),
            alter,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/v1/feed", get(lie)).with_state(liar.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let settings = "gateway = \"nginx\"\nfeed_follow = \"poll\"\nmax_staleness_seconds = 4";
        let tables = issuer_of(&plane) + "[[routes]]\npaths = [\"/a\"]\n";
        let mut guard = Guard::launch(&feed_at(&plane, port).await, settings, &tables);
        guard.until_ready().await;
        let (session_id, token) = session(&plane, "ann", "read").await;
        guard.until_code("/a", &token, "valid").await;
        liar.is_frozen.store(true, Ordering::Relaxed);
        revoke(&plane, &session_id).await;
        let took = guard.until_code("/a", &token, "stale_snapshot").await;
        assert!(took < Duration::from_secs(10), "{took:?}");
        liar.is_frozen.store(false, Ordering::Relaxed);
        guard.until_code("/a", &token, "revoked_session").await;
    }
}
