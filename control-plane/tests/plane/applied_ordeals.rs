//! `?wait=applied` with several processes on one Redis, while processes come, die and cannot write. P10.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch::store::{RedisOptions, RedisStore};
use serde_json::json;
use tokio::time::sleep;

use super::announcing::revoke;
use super::applied::{applied, id_of, until_complete};
use super::several_processes::{ISSUER, two_with};
use crate::support::follower::{Follower, now};
use crate::support::gated_store::GatedStore;
use crate::support::in_process::{MASTER, plane_at, plane_on};
use crate::support::redis_server::RedisServer;

// P10: a wait does not ask a process that was not listed when it looked. So such a process, which may have read the log
// before, reads it again before it serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_comes_during_a_wait_has_read_what_is_waited_for_before_it_serves() {
    let redis = RedisServer::start().await;
    let one = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    one.spawn_tasks();
    let options = RedisOptions { url: redis.url(), first_era: 1, ..RedisOptions::default() };
    let gate = Arc::new(GatedStore::new(RedisStore::connect(options).await.unwrap()));
    gate.hold_list();
    let store = gate.clone();
    let coming = tokio::spawn(async move { plane_on(store, ISSUER, MASTER, now()).await });
    // It has read the log, and is not listed yet.
    gate.until_reached().await;
    let before = one.log.position();
    revoke(&one, "a").await;
    let revoked = one.log.position();
    let count = one.processes.count(revoked, Duration::from_secs(5)).await;
    assert!(revoked > before && count.is_complete(), "{count:?}");
    assert_eq!(count.asked, Some(1));
    assert!(!coming.is_finished());
    gate.open();
    let other = coming.await.unwrap();
    assert_eq!(other.log.position(), revoked, "it serves what was waited for");
    let base = other.publisher.snapshot(None).unwrap();
    assert_eq!(base.position, revoked);
}

// P10: while no process can write, each goes on with what it publishes, although it cannot renew its entry. One that is
// killed then is named for as long as its followers may decide, and not only until the others can write again.
#[tokio::test]
async fn a_process_that_was_killed_while_the_store_was_full_is_waited_for() {
    let redis = RedisServer::start().await;
    let short =
        [("OFFSWITCH_SNAPSHOT_VALIDITY_SECONDS", "5"), ("OFFSWITCH_HEARTBEAT_SECONDS", "2")];
    let (one, mut other, _folders) = two_with(&redis, &short).await;
    let id = id_of(&other).await;
    assert_eq!(applied(&one, 10).await["complete"], true);
    let session = one.posted("/v1/sessions", &json!({ "sub": "bob" })).await;
    let token = session["access_token"].as_str().unwrap().to_owned();
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    // Longer than an entry lasts: ten seconds without a renewal, five of validity with ten of skew, five of slack.
    sleep(Duration::from_secs(34)).await;
    let follower = Follower::start(&other, ISSUER).await;
    assert_eq!(follower.judge(&token), "valid", "the feed goes on");
    other.kill();
    let killed = Instant::now();
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let count = applied(&one, 1).await;
    assert_eq!(count["complete"], false, "{count}");
    assert_eq!(count["processes"]["silent"][0]["process"], id.as_str(), "{count}");
    until_complete(&one, Duration::from_secs(90)).await;
    // Ten seconds for which it may have dated ahead, and five of validity with ten of skew.
    assert!(killed.elapsed() >= Duration::from_secs(25), "{:?}", killed.elapsed());
}

// P10: a Redis user without the right to leave notes: no process can be asked, and a finding says so before that.
#[tokio::test]
async fn without_the_right_to_leave_notes_nothing_is_complete_and_a_finding_says_why() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    assert_eq!(applied(&one, 10).await["complete"], true);
    redis.command::<()>(&["ACL", "SETUSER", "default", "-expire"]).await;
    let count = applied(&one, 1).await;
    assert_eq!((&count["complete"], &count["counted"]), (&json!(false), &json!("this_process")));
    assert_eq!(count["processes"]["silent"][0]["process"], id_of(&other).await.as_str(), "{count}");
    let begin = Instant::now();
    for plane in [&one, &other] {
        loop {
            let ready = plane.got("/readyz").await;
            if ready.to_string().contains("store_forbids_notes") {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{ready}");
            sleep(Duration::from_millis(200)).await;
        }
    }
    redis.command::<()>(&["ACL", "SETUSER", "default", "+expire"]).await;
    until_complete(&one, Duration::from_secs(20)).await;
}
