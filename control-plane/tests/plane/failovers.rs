//! Whole processes on a Redis that fails over, or whose replicas are behind.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::follower::Follower;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;
use crate::support::sentinels::Watched;

async fn revoke(plane: &ControlPlane, sub: &str) -> String {
    let revoked = plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
    revoked["position"].as_str().unwrap().to_owned()
}

/// Revokes as soon as that is possible; the position, and after how long.
async fn until_revoked(plane: &ControlPlane, sub: &str) -> (String, Duration) {
    let begin = Instant::now();
    loop {
        let answer = plane.post("/v1/revocations", &json!({ "sub": sub })).await;
        if answer.status() == StatusCode::OK {
            let answer: Value = answer.json().await.unwrap();
            return (answer["position"].as_str().unwrap().to_owned(), begin.elapsed());
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", plane.log());
        sleep(Duration::from_millis(50)).await;
    }
}

fn era(position: &str) -> u64 {
    position.split_once('.').unwrap().0.parse().unwrap()
}

/// Kills the primary that many times while a process revokes, and a replica must have what it
/// acknowledges. Sentinel may promote a replica that lacks some of it: the process puts it back.
/// Returns the longest time from a kill to the next revocation.
async fn fail_over(rounds: usize) -> Duration {
    let mut watched = Watched::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = watched.url();
    let environment = [
        ("OFFSWITCH_STORE", url.as_str()),
        ("OFFSWITCH_ISSUER", ISSUER),
        ("OFFSWITCH_REDIS_WAIT_REPLICAS", "1"),
    ];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let mut acknowledged = Vec::new();
    let mut longest = Duration::ZERO;
    let first_era = era(&revoke(&plane, "first").await);
    let mut position = String::new();
    for round in 0..rounds {
        let primary = watched.primary().await;
        let writers = join_all((0..4).map(|writer| revoke_until_refused(&plane, round, writer)));
        let (revoked, ()) = tokio::join!(writers, async {
            sleep(Duration::from_millis(300)).await;
            watched.servers[primary].kill();
        });
        acknowledged.extend(revoked.concat());
        let (at, took) = until_revoked(&plane, &format!("after-{round}")).await;
        (position, longest) = (at, longest.max(took));
        watched.until_replaced(primary).await;
        watched.rejoin(primary).await;
    }
    let fresh = Follower::start(&plane, ISSUER).await;
    let is_revoked = |sub: &String| fresh.verifier().feed().cutoff(ISSUER, "sub", sub).is_some();
    let lost = acknowledged.iter().filter(|sub| !is_revoked(sub)).count();
    let healed = plane.log().matches("the store lost records").count();
    println!(
        "{rounds} failovers: {} acknowledged, {lost} lost, {healed} healed (era {first_era} to {}), \
         revoking works again after at most {longest:?}",
        acknowledged.len(),
        era(&position),
    );
    assert!(acknowledged.len() > rounds * 10, "only {} revocations", acknowledged.len());
    assert_eq!(lost, 0, "of {}", acknowledged.len());
    longest
}

/// Revokes one user after the other until a revocation fails; those that were acknowledged.
async fn revoke_until_refused(plane: &ControlPlane, round: usize, writer: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let sub = format!("{round}-{writer}-{number}");
        let answer = plane.post("/v1/revocations", &json!({ "sub": sub })).await;
        if answer.status() != StatusCode::OK {
            break;
        }
        acknowledged.push(sub);
    }
    acknowledged
}

// R23, R11: the primary is killed under load: revoking works again within 10 s, and everything that
// was acknowledged is in the feed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_under_load_loses_nothing_that_was_acknowledged() {
    let longest = fail_over(1).await;
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

// R23: the same, fifty times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes several minutes"]
async fn fifty_failovers_lose_nothing_that_was_acknowledged() {
    let longest = fail_over(50).await;
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

// R02, R23: the replica that is promoted lacks an acknowledged revocation, which this process had
// published. Revoking works again within 10 s, and the revocation is in the new era.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossy_failover_loses_nothing_that_was_published() {
    let mut watched = Watched::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = watched.url();
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_ISSUER", ISSUER)];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let mut follower = Follower::start(&plane, ISSUER).await;
    revoke(&plane, "before").await;
    let primary = watched.primary().await;
    watched.cut_replication(primary).await;
    let lost = revoke(&plane, "lost").await;
    follower.follow(&plane).await;
    assert!(follower.verifier().feed().cutoff(ISSUER, "sub", "lost").is_some());
    watched.servers[primary].kill();
    let (after, took) = until_revoked(&plane, "after").await;
    println!("revoking works again after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(era(&after) > era(&lost), "{after} is in the era of {lost}");
    let fresh = Follower::start(&plane, ISSUER).await;
    for sub in ["before", "lost", "after"] {
        assert!(fresh.verifier().feed().cutoff(ISSUER, "sub", sub).is_some(), "{sub}");
    }
    assert!(plane.log().contains("the store lost records"), "{}", plane.log());
}

// R25: the replica does not answer: 503 with a code of its own, and verifiers get the revocation
// all the same. The same request again is a success once the replica has it.
#[tokio::test]
async fn a_revocation_that_no_replica_has_is_answered_when_asked_again() {
    let (primary, replica) = (RedisServer::start().await, RedisServer::start().await);
    replica.replicate(primary.port()).await;
    let folder = tempfile::tempdir().unwrap();
    let url = primary.url();
    let environment = [
        ("OFFSWITCH_STORE", url.as_str()),
        ("OFFSWITCH_ISSUER", ISSUER),
        ("OFFSWITCH_REDIS_WAIT_REPLICAS", "1"),
    ];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let ask = async || {
        let request = plane.admin(Method::POST, "/v1/revocations");
        let request = request.header("Idempotency-Key", "again").json(&json!({ "sub": "alice" }));
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    replica.pause();
    for _ in 0..2 {
        let (status, problem) = ask().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem["code"], "too_few_replicas", "{problem}");
    }
    let follower = Follower::start(&plane, ISSUER).await;
    assert!(follower.verifier().feed().cutoff(ISSUER, "sub", "alice").is_some());
    replica.resume();
    let (status, answer) = ask().await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["durability"], &answer["replicas"]), (&json!("replicated"), &json!(1)));
    assert_eq!(answer["repeated"], true);
    assert_eq!(plane.got("/v1/status").await["replicas"], 1);
}

const ISSUER: &str = "https://auth.example";
