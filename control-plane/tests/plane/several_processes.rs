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
    let mut all = several(redis, 2, more).await;
    let (other, second) = all.pop().unwrap();
    let (one, first) = all.pop().unwrap();
    (one, other, [first, second])
}

/// That many such processes, each with its folder.
pub(crate) async fn several(
    redis: &RedisServer,
    count: usize,
    more: &[(&str, &str)],
) -> Vec<(ControlPlane, TempDir)> {
    let url = redis.url();
    let variables = [
        ("OFFSWITCH_STORE", &*url),
        ("OFFSWITCH_ISSUER", ISSUER),
        ("OFFSWITCH_MASTER_KEY", MASTER),
    ];
    let variables = [&variables, more].concat();
    let mut all: Vec<(ControlPlane, TempDir)> = Vec::new();
    for _ in 0..count {
        let folder = tempfile::tempdir().unwrap();
        if let Some((first, _)) = all.first() {
            // Only the first start makes an API key; all processes know it.
            std::fs::copy(first.data_dir().join("admin.key"), folder.path().join("admin.key"))
                .unwrap();
        }
        all.push((ControlPlane::start_in(folder.path(), &variables).await, folder));
    }
    all
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
