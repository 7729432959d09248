//! Several processes on one Redis: one feed, no leader.

use std::collections::HashMap;

use offswitch_snapshot::{FeedKey, Position, Snapshot};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::follower::Follower;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

pub(crate) const ISSUER: &str = "https://auth.example";

/// Two processes with one master key on one Redis.
async fn two(redis: &RedisServer) -> (ControlPlane, ControlPlane, [TempDir; 2]) {
    two_with(redis, &[]).await
}

/// Two such processes with more of the environment.
pub(crate) async fn two_with(
    redis: &RedisServer,
    more: &[(&str, &str)],
) -> (ControlPlane, ControlPlane, [TempDir; 2]) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let url = redis.url();
    let environment = |key: &'static str| {
        [("OFFSWITCH_STORE", url.clone()), ("OFFSWITCH_ISSUER", ISSUER.to_owned())]
            .map(|(name, value)| (name, value))
            .into_iter()
            .chain([("OFFSWITCH_MASTER_KEY", key.to_owned())])
            .collect::<Vec<_>>()
    };
    let variables = environment(MASTER);
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let variables = [&variables, more].concat();
    let one = ControlPlane::start_in(folders[0].path(), &variables).await;
    // Only the first start makes an API key; both processes know it.
    std::fs::copy(folders[0].path().join("admin.key"), folders[1].path().join("admin.key"))
        .unwrap();
    let other = ControlPlane::start_in(folders[1].path(), &variables).await;
    (one, other, folders)
}

async fn token(plane: &ControlPlane) -> String {
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    session["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_revoke_on_one_process_reaches_feed_readers_on_all() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two(&redis).await;
    assert_eq!(one.got("/v1/keys").await, other.got("/v1/keys").await);
    let mut follower = Follower::start(&other, ISSUER).await;
    let token = token(&one).await;
    assert_eq!(follower.judge(&token), "valid");

    let since = follower.verifier().feed().since().unwrap();
    let query = format!("?since={since}&wait=20");
    let waiting = other.feed(&query);
    let revoked = json!({ "token": token });
    let revoking = one.posted("/v1/revocations", &revoked);
    let begin = std::time::Instant::now();
    let (_, answer) = tokio::join!(waiting, revoking);
    assert!(begin.elapsed().as_secs() < 10, "the long poll waited in vain");
    follower.follow(&other).await;
    assert_eq!(follower.judge(&token), "revoked_token");
    let position = other.got("/readyz").await["position"].clone();
    assert_eq!(position, answer["position"]);
}

#[tokio::test]
async fn the_red_button_on_one_process_holds_for_all() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two(&redis).await;
    let before = token(&other).await;
    one.posted("/v1/red-button", &json!({})).await;
    // Immediately: the other process must not sign with a dead key, and both sign with the same
    // one.
    let after = token(&other).await;
    let follower = Follower::start(&other, ISSUER).await;
    assert_eq!(follower.judge(&before), "unknown_key");
    assert_eq!(follower.judge(&after), "valid");
    let kid = |keys: Value| keys["keys"][0]["kid"].clone();
    assert_eq!(
        kid(one.got("/.well-known/jwks.json").await),
        kid(other.got("/.well-known/jwks.json").await)
    );
}

// P01: a process knows only the followers that it serves itself, and never says that all of the feed's hold something.
#[tokio::test]
async fn a_count_of_one_of_several_processes_is_never_complete() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two(&redis).await;
    let introduction = format!("{};staleness=60;name=elsewhere", "ab".repeat(16));
    let poll = other.admin(reqwest::Method::GET, "/v1/feed");
    assert!(
        poll.header("offswitch-follower", introduction).send().await.unwrap().status().is_success()
    );
    for (plane, silent) in [(&one, json!(null)), (&other, json!("elsewhere"))] {
        let body = json!({ "sub": "alice" });
        let applied =
            plane.posted("/v1/revocations?wait=applied&timeout=1", &body).await["applied"].clone();
        assert_eq!(
            (&applied["complete"], &applied["counted"]),
            (&json!(false), &json!("this_process"))
        );
        assert_eq!(applied["silent"][0]["name"], silent, "{applied}");
        assert!(applied.get("refuse_within_seconds").is_none(), "others are not known: {applied}");
    }
    assert_eq!(one.got("/v1/followers").await["counted"], "this_process");
}

// S04: whichever process signs, a position has one chain hash and leads to one state.
#[tokio::test]
async fn both_processes_publish_one_content_for_each_position() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two(&redis).await;
    let keys: Vec<FeedKey> =
        Follower::start(&one, ISSUER).await.verifier().feed().trusted().to_vec();
    let mut chains: HashMap<Position, [u8; 32]> = HashMap::new();
    let mut since: Option<Position> = None;
    for round in 0..30 {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        writer.posted("/v1/revocations", &json!({ "sub": format!("user{round}") })).await;
        let query = since.map(|since| format!("?since={since}&wait=5")).unwrap_or_default();
        for plane in [reader, writer] {
            let snapshot = Snapshot::open(plane.feed(&query).await, &keys).unwrap();
            for (position, chain) in
                [(snapshot.from(), snapshot.chain_from()), (snapshot.to(), snapshot.chain_to())]
            {
                assert_eq!(*chains.entry(position).or_insert(chain.0), chain.0, "{position}");
            }
            since = since.max(Some(snapshot.to()));
        }
    }
    assert!(chains.len() > 20, "{}", chains.len());
}

pub(crate) const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
