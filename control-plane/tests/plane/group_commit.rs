//! Revocations that arrive together, and a process that starts on a full store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use offswitch::plane::{Plane, PlaneError};
use offswitch::store::{Append, EmbeddedStore, Request, StoreError};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{Position, Snapshot};
use reqwest::Method;
use serde_json::{Value, json};

use crate::several_processes::ISSUER;
use crate::support::follower::now;
use crate::support::gated_store::GatedStore;
use crate::support::in_process::{MASTER, plane_at, plane_on};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

/// How often Redis has executed `command`.
async fn calls(redis: &RedisServer, command: &str) -> u64 {
    let mut stats = redis::cmd("INFO");
    stats.arg("commandstats");
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let report: String = stats.query_async(&mut connection).await.unwrap();
    let name = format!("cmdstat_{command}:calls=");
    let calls = report.lines().find_map(|line| line.strip_prefix(&name));
    calls.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

// Two hundred at the same time: each has its own position, all are in the log, and far fewer calls
// reach Redis. A single one afterwards is not delayed.
#[tokio::test]
async fn revokes_that_arrive_together_share_calls_of_the_store() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    plane.spawn_tasks();
    let before = calls(&redis, "hset").await;
    let revoke = async |id: String| revoke(&plane, &id, 1).await.unwrap();
    let mut positions = join_all((0..200).map(|number| revoke(number.to_string()))).await;
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 200);
    // Each batch writes the seq once.
    let batches = calls(&redis, "hset").await - before;
    assert!(batches < 50, "{batches} batches");
    let alone = revoke("alone".to_owned()).await;
    let base = plane.publisher.snapshot(None).unwrap();
    let all = plane.publisher.snapshot(Some(base.position)).unwrap();
    let snapshot = Snapshot::open(all.bytes.to_vec(), &plane.signing.feed_keys()).unwrap();
    assert_eq!((snapshot.denied_count(), snapshot.to()), (201, alone));
}

// Two processes append at the same time: between two records of one process are records of the
// other, and both fold the same state.
#[tokio::test]
async fn two_processes_that_append_at_the_same_time_fold_the_same() {
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
            revoke(plane, &number.to_string(), 1).await.unwrap()
        }
    });
    let last = join_all(revokes).await.into_iter().max().unwrap();
    for plane in [&one, &other] {
        plane.log.wait_folded(last, Duration::from_secs(10)).await;
    }
    assert_eq!(one.log.folded().reached(), other.log.folded().reached());
    assert_eq!(one.log.position(), last);
    for plane in [&one, &other] {
        let since = Some(Position { seq: 0, ..last });
        let all = plane.publisher.snapshot(since).unwrap();
        let snapshot = Snapshot::open(all.bytes.to_vec(), &plane.signing.feed_keys()).unwrap();
        assert_eq!((snapshot.denied_count(), snapshot.to()), (400, last));
    }
}

// A refused request in a batch gets no position: the other records of the batch are folded with
// their own positions, and every reader of the log folds the same.
#[tokio::test]
async fn a_refused_request_does_not_shift_the_positions_of_its_batch() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    plane.spawn_tasks();
    revoke(&plane, "used", 1).await.unwrap();
    let reused = async {
        let request = Request { id: "used".to_owned(), digest: [1; 32], memory: REQUEST_MEMORY };
        let token = Revocation::Token { issuer: None, jti: "other".to_owned(), exp: now() + 60 };
        let (by, revocations) = ("test".to_owned(), vec![token]);
        let record = Record { at: now(), by, reason: None, revocations };
        plane.log.revoke(&request, &record).await
    };
    // The first is sent alone, and the other three wait for it together.
    let (first, before, reused, last) = tokio::join!(
        revoke(&plane, "first", 1),
        revoke(&plane, "before", 1),
        reused,
        revoke(&plane, "last", 1)
    );
    assert!(matches!(reused, Err(PlaneError::Store(StoreError::RequestReused))), "{reused:?}");
    assert!(first.is_ok() && before.is_ok());
    let reader = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    assert_eq!(plane.log.folded().reached(), reader.log.folded().reached());
    assert_eq!(plane.log.position(), last.unwrap());
}

// The store panics on one batch: every request in it gets an error, and no later request waits for
// ever.
#[tokio::test]
async fn a_batch_that_makes_the_store_panic_does_not_block_the_next() {
    let panics = |batch: &[Append]| {
        // The store sees a hash of the request's id; the record has the token's.
        let is_bad = |one: &Append| one.record.windows(3).any(|window| window == b"bad");
        assert!(!batch.iter().any(is_bad), "as the test needs it");
        Ok(())
    };
    let (_folder, plane) = plane_before(panics).await;
    let bad = tokio::time::timeout(PATIENCE, revoke(&plane, "bad", 1)).await.unwrap();
    assert!(bad.is_err(), "{bad:?}");
    tokio::time::timeout(PATIENCE, revoke(&plane, "good", 1)).await.unwrap().unwrap();
}

// A record that is too large for the store's deadline fails alone: the records that came with it
// and those that wait behind it succeed.
#[tokio::test]
async fn a_large_record_that_the_store_is_too_slow_for_fails_alone() {
    let (_folder, plane) =
        plane_before(|batch| if large(batch) { too_late() } else { Ok(()) }).await;
    let revokes = [revoke(&plane, "a", 1), revoke(&plane, "large", LARGE), revoke(&plane, "b", 1)];
    let [a, large, b] = join_all(revokes).await.try_into().unwrap();
    assert!(large.is_err() && a.is_ok() && b.is_ok(), "{a:?} {large:?} {b:?}");
}

// A batch that does not fit does not fail the next one.
#[tokio::test]
async fn the_batch_behind_one_that_does_not_fit_is_tried() {
    let full = || Err(StoreError::Full("as the test needs it".to_owned()));
    let (_folder, plane) =
        plane_before(move |batch| if large(batch) { Ok(()) } else { full() }).await;
    let revokes = [revoke(&plane, "a", 1), revoke(&plane, "large", LARGE)];
    let [a, large] = join_all(revokes).await.try_into().unwrap();
    assert!(matches!(a, Err(PlaneError::Store(StoreError::Full(_)))), "{a:?}");
    assert!(large.is_ok(), "{large:?}");
}

// A store that does not answer: each waiting request gets an error after two deadlines at the
// latest, however many there are.
#[tokio::test]
async fn a_store_that_does_not_answer_gets_no_call_for_each_waiting_request() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let (_folder, plane) = plane_before(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        too_late()
    })
    .await;
    let revokes = ["a", "b", "c", "d"].map(|id| revoke(&plane, id, LARGE));
    let outcomes = join_all(revokes.into_iter().chain([revoke(&plane, "e", 1)])).await;
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    // The first two large ones are sent together, and the small one is tried after them.
    assert_eq!(calls.swap(0, Ordering::SeqCst), 3);
    let revokes = [("f", 1), ("g", LARGE), ("h", 1)].map(|(id, size)| revoke(&plane, id, size));
    assert!(join_all(revokes).await.iter().all(Result::is_err));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

// While the store is busy with one batch, the next one is on its way, and no third.
#[tokio::test]
async fn two_batches_are_sent_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("log.redb"), 1).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let store = Arc::new(GatedStore::new(store).before_append(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }));
    let plane = plane_on(store.clone(), ISSUER, MASTER, now()).await;
    plane.spawn_tasks();
    let before = sent.load(Ordering::SeqCst);
    store.hold_append();
    let all = async {
        tokio::join!(
            revoke(&plane, "held", 1),
            async {
                store.until_reached().await;
                revoke(&plane, "behind", 1).await
            },
            async {
                while sent.load(Ordering::SeqCst) < before + 2 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let more = join_all(["a", "b", "c"].map(|id| revoke(&plane, id, 1)));
                let opens = async {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    assert_eq!(sent.load(Ordering::SeqCst), before + 2);
                    store.open();
                };
                tokio::join!(more, opens).0
            }
        )
    };
    let (held, first_behind, more_behind) = tokio::time::timeout(PATIENCE, all).await.unwrap();
    let mut positions = vec![held.unwrap(), first_behind.unwrap()];
    positions.extend(more_behind.into_iter().map(Result::unwrap));
    assert!(positions.is_sorted(), "{positions:?}");
    assert_eq!(sent.load(Ordering::SeqCst), before + 3, "the last three share a batch");
    assert_eq!(plane.log.position(), positions[4]);
}

// Reading the log takes longer than a moment: the process reports that it is alive, not ready, and
// how far it is, and answers all other requests with a retry.
#[tokio::test]
async fn a_starting_process_reports_its_progress() {
    let listener = offswitch::server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = offswitch::http::starting(Arc::default());
    let router = Arc::new(arc_swap::ArcSwap::from_pointee(router));
    let limits = offswitch::server::Limits::default();
    tokio::spawn(offswitch::server::run(listener, router.clone(), limits, std::future::pending()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| client.get(format!("{origin}{path}")).send().await.unwrap();
    assert_eq!(get("/healthz").await.status(), 200);
    let ready = get("/readyz").await;
    assert_eq!(ready.status(), 503);
    let ready: Value = ready.json().await.unwrap();
    let expected = json!({ "ready": false, "code": "starting", "waits_for_store": false,
                           "loading": { "read": 0, "of": 0 } });
    assert_eq!(ready, expected);
    let feed = get("/v1/feed").await;
    assert_eq!(
        (feed.status().as_u16(), &feed.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert_eq!(feed.json::<Value>().await.unwrap()["code"], "starting");
    // The same connection reaches the API once the process serves it.
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
    let inspected = std::process::Command::new(env!("CARGO_BIN_EXE_offswitch"))
        .args(["snapshot", "inspect", file.to_str().unwrap(), "--key", key])
        .output()
        .unwrap();
    let inspected = String::from_utf8(inspected.stdout).unwrap();
    assert!(inspected.contains("denied tokens and sessions: 262500 in "), "{inspected}");
}

/// A plane on an embedded store; `hook` sees every batch first.
async fn plane_before(
    hook: impl Fn(&[Append]) -> Result<(), StoreError> + Send + Sync + 'static,
) -> (tempfile::TempDir, Arc<Plane>) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("log.redb"), 1).unwrap();
    let store = Arc::new(GatedStore::new(store).before_append(hook));
    let plane = plane_on(store, ISSUER, MASTER, now()).await;
    plane.spawn_tasks();
    (folder, plane)
}

/// Revokes a token with a record of about `size_bytes`.
async fn revoke(plane: &Plane, id: &str, size_bytes: usize) -> Result<Position, PlaneError> {
    let request = Request { id: id.to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
    let token = Revocation::Token { issuer: None, jti: id.to_owned(), exp: now() + 60 };
    let reason = Some("x".repeat(size_bytes));
    let record = Record { at: now(), by: "test".to_owned(), reason, revocations: vec![token] };
    Ok(plane.log.revoke(&request, &record).await?.position)
}

fn large(batch: &[Append]) -> bool {
    batch.iter().any(|one| one.record.len() >= LARGE)
}

fn too_late() -> Result<(), StoreError> {
    Err(StoreError::Unavailable("no answer in time".to_owned()))
}

const LARGE: usize = 2 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
