//! What happens when the store dies, hangs or comes back with less.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::Snapshot;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

async fn on_redis(redis: &RedisServer) -> (ControlPlane, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &url)]).await;
    (plane, folder)
}

async fn until_revoking_works(plane: &ControlPlane) {
    let begin = Instant::now();
    while !plane.post("/v1/revocations", &json!({ "sub": "probe" })).await.status().is_success() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", plane.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_503_and_nothing_is_acknowledged_until_it_is_back() {
    let mut redis = RedisServer::start().await;
    let (plane, _folder) = on_redis(&redis).await;
    let before = plane.got("/readyz").await["position"].clone();
    redis.kill();
    for (path, body) in [
        ("/v1/revocations", json!({ "sub": "a" })),
        ("/v1/sessions", json!({ "sub": "a" })),
        ("/v1/red-button", json!({})),
        ("/v1/keys/rotate", json!({})),
    ] {
        let begin = Instant::now();
        let answer = plane.post(path, &body).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.headers()["retry-after"], "1");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "store_unavailable", "{path}");
        assert!(begin.elapsed() < Duration::from_secs(8), "{path}");
    }
    // Followers of the feed are still served from memory; readiness reports the failure.
    let feed = plane.admin(Method::GET, "/v1/feed").send().await.unwrap();
    assert_eq!(feed.status(), StatusCode::OK);
    let ready = plane.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    redis.start_again().await;
    until_revoking_works(&plane).await;
    let listed = plane.got("/v1/revocations").await;
    assert!(listed["requests"].as_array().unwrap().iter().all(|one| {
        one["revocations"].as_array().unwrap().iter().all(|what| what["sub"] == "probe")
    }));
    let ready = plane.got("/readyz").await;
    assert_eq!(ready["ready"], true);
    assert_ne!(ready["position"], before);
}

#[tokio::test]
async fn a_store_that_hangs_is_503_in_time_and_used_again_afterwards() {
    let redis = RedisServer::start().await;
    let (plane, _folder) = on_redis(&redis).await;
    redis.pause();
    let begin = Instant::now();
    let answer = plane.post("/v1/revocations", &json!({ "sub": "a" })).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(begin.elapsed() < Duration::from_secs(8));
    redis.resume();
    until_revoking_works(&plane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_killed_under_load_loses_no_acknowledged_revoke() {
    let mut redis = RedisServer::start().await;
    let (plane, kept) = on_redis(&redis).await;
    let exp = now() + 3600;
    let mut acknowledged: Vec<String> = Vec::new();
    let synced = AtomicUsize::new(0);
    for round in 0..4 {
        let begin = Instant::now();
        let revoke = async |worker: u32| {
            let mut done = Vec::new();
            for number in 0.. {
                if begin.elapsed() > Duration::from_millis(700) {
                    break;
                }
                let jti = format!("t-{round}-{worker}-{number}");
                let answer =
                    plane.post("/v1/revocations", &json!({ "jti": jti, "exp": exp })).await;
                if answer.status().is_success() {
                    let answer: Value = answer.json().await.unwrap();
                    // A server that is still loading reports no append-only file: the reported
                    // level may be lower then, never higher.
                    synced.fetch_add(usize::from(answer["durability"] == "synced"), Relaxed);
                    done.push(jti);
                } else {
                    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                }
            }
            done
        };
        let killing = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            redis.kill();
            tokio::time::sleep(Duration::from_millis(100)).await;
            redis.start_again().await;
        };
        let (one, two, three, ()) = tokio::join!(revoke(1), revoke(2), revoke(3), killing);
        acknowledged.extend([one, two, three].concat());
        until_revoking_works(&plane).await;
    }
    assert!(acknowledged.len() > 100, "only {} revokes went through", acknowledged.len());
    assert!(synced.into_inner() > acknowledged.len() / 2);
    let issuer = plane.issuer();
    let here = Follower::start(&plane, &issuer).await;
    // A process that starts afterwards reads the same from the store.
    let folder = tempfile::tempdir().unwrap();
    for name in ["master.key", "admin.key"] {
        std::fs::copy(kept.path().join(name), folder.path().join(name)).unwrap();
    }
    let url = redis.url();
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_ISSUER", &issuer)];
    let fresh = ControlPlane::start_in(folder.path(), &environment).await;
    let there = Follower::start(&fresh, &issuer).await;
    for jti in &acknowledged {
        for follower in [&here, &there] {
            assert!(follower.verifier().feed().is_denied(&issuer, "jti", jti), "{jti} was lost");
        }
    }
}

#[tokio::test]
async fn a_killed_control_plane_has_kept_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = "https://auth.example";
    let environment = [("OFFSWITCH_ISSUER", issuer)];
    let mut plane = ControlPlane::start_in(folder.path(), &environment).await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "a" })).await;
    let token = session["access_token"].as_str().unwrap();
    let answer = plane.posted("/v1/revocations", &json!({ "token": token })).await;
    plane.kill();
    drop(plane);
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    assert_eq!(plane.got("/readyz").await["position"], answer["position"]);
    let follower = Follower::start(&plane, issuer).await;
    assert_eq!(follower.judge(token), "revoked_token");
}

// Invariant 4: when the store comes back empty, a new era starts with everything that was
// published.
#[tokio::test]
async fn a_store_that_comes_back_empty_gets_everything_published_back_in_a_new_era() {
    let redis = RedisServer::start().await;
    let (plane, _folder) = on_redis(&redis).await;
    let issuer = plane.issuer();
    let mut follower = Follower::start(&plane, &issuer).await;
    let keys = plane.got("/v1/keys").await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "a" })).await;
    let token = session["access_token"].as_str().unwrap();
    plane.posted("/v1/revocations", &json!({ "token": token })).await;
    plane.posted("/v1/revocations", &json!({ "sub": "b" })).await;
    follower.follow(&plane).await;
    let before = follower.verifier().feed().position().unwrap();
    redis.command::<()>(&["FLUSHALL"]).await;
    let begin = Instant::now();
    loop {
        let position = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
        if position.parse::<offswitch_snapshot::Position>().unwrap().era > before.era {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(15), "{}", plane.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    follower.follow(&plane).await;
    let after = follower.verifier().feed().position().unwrap();
    assert!(after.era > before.era && after.seq >= before.seq);
    assert_eq!(follower.judge(token), "revoked_token");
    assert!(follower.verifier().feed().cutoff(&issuer, "sub", "b").is_some());
    let newcomer = Follower::start(&plane, &issuer).await;
    assert!(newcomer.verifier().feed().cutoff(&issuer, "sub", "b").is_some());
    // The API keys and the private keys come back too, with the next check of the documents.
    while redis.command::<Vec<String>>(&["KEYS", "*:doc:*"]).await.len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(40), "{}", plane.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(plane.got("/v1/keys").await, keys);
}

// S04, invariant 4: a log that was rolled back and written to again has another record at a
// published seq; both are kept, in a new era.
#[tokio::test]
async fn a_log_that_was_rolled_back_and_refilled_is_noticed_and_nothing_is_lost() {
    let redis = RedisServer::start().await;
    let (plane, _folder) = on_redis(&redis).await;
    let issuer = plane.issuer();
    plane.posted("/v1/revocations", &json!({ "sub": "a" })).await;
    plane.posted("/v1/revocations", &json!({ "sub": "published" })).await;
    let record = Record {
        at: now(),
        by: "another process".to_owned(),
        reason: None,
        revocations: vec![Revocation::User {
            issuer: None,
            sub: "refilled".to_owned(),
            issued_before: None,
            exp: now() + 600,
        }],
    };
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    // The last record is removed and another one gets its seq, with its own random mark.
    let script = "local last, before = unpack(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 2)) \
                  local seq, mark = string.match(last[1], '(%d+)-(%d+)') \
                  mark = string.format('%.0f', tonumber(mark) + (tonumber(mark) % 2 == 0 and 1 or -1)) \
                  redis.call('XDEL', KEYS[1], last[1]) redis.call('XSETID', KEYS[1], before[1]) \
                  redis.call('XADD', KEYS[1], seq .. '-' .. mark, 'r', ARGV[1]) \
                  redis.call('HSET', KEYS[2], 'mark', mark)";
    let script = redis::Script::new(script);
    let mut filling = script.key("{offswitch}:log");
    filling.key("{offswitch}:meta").arg(record.encode());
    let () = filling.invoke_async(&mut connection).await.unwrap();
    let begin = Instant::now();
    loop {
        let follower = Follower::start(&plane, &issuer).await;
        let feed = follower.verifier().feed();
        let stopped = |sub: &str| feed.cutoff(&issuer, "sub", sub).is_some();
        assert!(stopped("a") && stopped("published"));
        if stopped("refilled") {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{}", plane.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

// S07: a process that is cut off from the log continues to serve, but no longer claims to be fresh.
#[tokio::test]
async fn what_is_published_without_the_store_is_as_old_as_the_last_reading() {
    let mut redis = RedisServer::start().await;
    let (plane, _folder) = on_redis(&redis).await;
    let follower = Follower::start(&plane, &plane.issuer()).await;
    let keys = follower.verifier().feed().trusted();
    redis.kill();
    let killed_at = now();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let position = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
    for query in [String::new(), format!("?since={position}")] {
        let snapshot = Snapshot::open(plane.feed(&query).await, keys).unwrap();
        assert!(snapshot.issued_at() <= killed_at, "{} {killed_at}", snapshot.issued_at());
    }
    redis.start_again().await;
    until_revoking_works(&plane).await;
    let begin = Instant::now();
    loop {
        let bytes = plane.feed(&format!("?since={position}")).await;
        if Snapshot::open(bytes, keys).unwrap().issued_at() > killed_at {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", plane.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
