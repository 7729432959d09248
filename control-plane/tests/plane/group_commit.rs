//! Revokes that arrive together, and a process that starts on a full store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use offswitch::plane::{Loading, Plane};
use offswitch::record::{Record, Revocation};
use offswitch::store::{REQUEST_MEMORY, Request};
use offswitch_verifier::snapshot::{Position, Snapshot};
use reqwest::Method;
use serde_json::{Value, json};

use crate::several_processes::ISSUER;
use crate::support::follower::now;
use crate::support::in_process::{MASTER, plane_at};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

async fn revoke(plane: &Plane, jti: String) -> Position {
    let request = Request { id: jti.clone(), digest: [0; 32], memory: REQUEST_MEMORY };
    let revocations = vec![Revocation::Token { issuer: None, jti, exp: now() + 60 }];
    let record = Record { at: now(), by: "test".to_owned(), reason: None, revocations };
    plane.revoke(&request, &record).await.unwrap().position
}

/// How often Redis was told to do `command`.
async fn calls(redis: &RedisServer, command: &str) -> u64 {
    let mut stats = redis::cmd("INFO");
    stats.arg("commandstats");
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let told: String = stats.query_async(&mut connection).await.unwrap();
    let name = format!("cmdstat_{command}:calls=");
    let calls = told.lines().find_map(|line| line.strip_prefix(&name));
    calls.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

// Two hundred at once: each has a position of its own, all are in the log, and Redis was asked far
// less often. One that comes alone afterwards is not held up.
#[tokio::test]
async fn revokes_that_arrive_together_share_calls_of_the_store() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    plane.spawn_tasks();
    let before = calls(&redis, "hset").await;
    let mut positions = join_all((0..200).map(|number| revoke(&plane, format!("{number}")))).await;
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 200);
    // Each batch writes the seq once.
    let batches = calls(&redis, "hset").await - before;
    assert!(batches < 50, "{batches} batches");
    assert_eq!(revoke(&plane, "alone".to_owned()).await.seq, 201);
    let base = plane.snapshot(None).unwrap();
    let all = plane.snapshot(Some(base.position)).unwrap();
    let snapshot = Snapshot::open(all.bytes.to_vec(), &plane.feed_keys()).unwrap();
    assert_eq!((snapshot.denied_count(), snapshot.to().seq), (201, 201));
}

// Two processes append at the same time: what one knows by itself has the other's in between, and
// both fold the same.
#[tokio::test]
async fn two_processes_that_append_at_once_fold_the_same() {
    let redis = RedisServer::start().await;
    let one = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let other = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    one.spawn_tasks();
    other.spawn_tasks();
    let revokes = (0..400).map(|number| {
        let plane = if number % 2 == 0 { &one } else { &other };
        let after = Duration::from_millis(number / 8);
        async move {
            tokio::time::sleep(after).await;
            revoke(plane, format!("{number}")).await
        }
    });
    let last = join_all(revokes).await.into_iter().max().unwrap();
    for plane in [&one, &other] {
        plane.wait_folded(last, Duration::from_secs(10)).await;
    }
    assert_eq!(one.fold().reached(), other.fold().reached());
    assert_eq!((last.seq, one.position()), (400, last));
    for plane in [&one, &other] {
        let since = Some(Position { seq: 0, ..last });
        let all = plane.snapshot(since).unwrap();
        let snapshot = Snapshot::open(all.bytes.to_vec(), &plane.feed_keys()).unwrap();
        assert_eq!((snapshot.denied_count(), snapshot.to()), (400, last));
    }
}

// The log cannot be read in a moment: the process says that it is alive, not ready, and how far it
// is, and asks everyone to come back.
#[tokio::test]
async fn a_starting_process_tells_how_far_it_is() {
    let listener = offswitch::server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = offswitch::http::starting(Arc::new(Loading::default()));
    let router = Arc::new(arc_swap::ArcSwap::from_pointee(router));
    let limits = offswitch::server::Limits::default();
    tokio::spawn(offswitch::server::run(listener, router.clone(), limits, std::future::pending()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| client.get(format!("{origin}{path}")).send().await.unwrap();
    assert_eq!(get("/healthz").await.status(), 200);
    let ready = get("/readyz").await;
    assert_eq!(ready.status(), 503);
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready, json!({ "ready": false, "loading": { "read": 0, "of": 0 } }));
    let feed = get("/v1/feed").await;
    assert_eq!(
        (feed.status().as_u16(), &feed.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert_eq!(feed.json::<Value>().await.unwrap()["code"], "starting");
    // The same connection sees the API once it is there.
    router.store(Arc::new(axum::Router::new()));
    assert_eq!(get("/readyz").await.status(), 404);
}

// More records than a page, more entries than are kept unsorted: after a restart all are there.
#[tokio::test]
async fn a_full_store_is_read_page_by_page() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_ISSUER", ISSUER)];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let exp = now() + 3600;
    let lines: String =
        (0..260_000).map(|one| format!("{{\"jti\":\"{one}\",\"exp\":{exp}}}\n")).collect();
    let request = plane.request(Method::POST, "/v1/revocations").bearer_auth(plane.admin_key());
    let request = request.header("content-type", "application/x-ndjson").body(lines);
    assert_eq!(request.send().await.unwrap().status(), 200);
    for number in 0..2500 {
        plane
            .posted("/v1/revocations", &json!({ "jti": format!("single-{number}"), "exp": exp }))
            .await;
    }
    drop(plane);
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let keys = plane.got("/v1/keys").await;
    let file = folder.path().join("base");
    std::fs::write(&file, plane.feed("").await).unwrap();
    let key = keys["feed_public_keys"][0].as_str().unwrap();
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_offswitch"))
        .args(["snapshot", "inspect", file.to_str().unwrap(), "--key", key])
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("denied tokens and sessions: 262500 in "), "{told}");
}
