//! A07: the signing key is replaced while tokens are issued and verified, without any failure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offswitch::api_keys::{ApiKeys, Scope};
use offswitch::keyring::{
    DeadKeys, KeyPolicy, Keyring, KeyringError, MAX_PUBLISHED_KEYS, RETIRES_AFTER_SECONDS, Rotated,
    TokenAlgorithm,
};
use offswitch::master_key::MasterKey;
use offswitch::sealing::SealedStore;
use offswitch::store::{RedisOptions, RedisStore, Store};
use serde_json::{Value, json};

use super::several_processes::{ISSUER, MASTER, two_with};
use crate::support::follower::{Follower, kid, now};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

const POLICY: KeyPolicy = KeyPolicy { algorithm: TokenAlgorithm::EdDsa, publish_seconds: 60 };

async fn store(redis: &RedisServer) -> RedisStore {
    RedisStore::connect(RedisOptions { url: redis.url(), ..RedisOptions::default() }).await.unwrap()
}

fn master() -> MasterKey {
    MasterKey::parse(MASTER).unwrap()
}

async fn load(store: &dyn Store, known: Option<&Keyring>, now: u64) -> Keyring {
    Keyring::load(store, &master(), POLICY, known, now, &DeadKeys::default()).await.unwrap()
}

async fn rotate(store: &dyn Store, seen: &str, now: u64) -> Result<Rotated, KeyringError> {
    Keyring::rotate(store, &master(), POLICY, seen, now, &DeadKeys::default()).await
}

fn newest(keyring: &Keyring) -> String {
    keyring.newest(&DeadKeys::default()).unwrap().kid().to_owned()
}

fn published(jwks: &Value) -> Vec<String> {
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn token(plane: &ControlPlane) -> String {
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    session["access_token"].as_str().unwrap().to_owned()
}

// Two processes, one Redis, three rotations through either of them: each of hundreds of tokens is
// accepted immediately, by a verifier that fetches the key set only for an unknown kid, and from
// the process that did not issue the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_under_load_rejects_no_token() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[("OFFSWITCH_KEY_PUBLISH_SECONDS", "10")]).await;
    let mut follower = Follower::start(&one, ISSUER).await;
    let done = AtomicBool::new(false);
    let minting = async {
        let (mut tokens, mut fetched) = (Vec::new(), 0);
        while !done.load(Ordering::Relaxed) {
            for (minter, asked) in [(&one, &other), (&other, &one)] {
                let token = token(minter).await;
                let mut verdict = follower.judge(&token);
                if verdict == "unknown_key" {
                    fetched += 1;
                    follower.fetch_keys(asked, ISSUER).await;
                    verdict = follower.judge(&token);
                }
                assert_eq!(verdict, "valid", "token {} of {}", tokens.len(), kid(&token));
                tokens.push(token);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (tokens, fetched)
    };
    let rotating = async {
        let mut kids = Vec::new();
        for _ in 0..3 {
            let body = json!({});
            let path = "/v1/keys/rotate";
            let (a, b) = tokio::join!(one.posted(path, &body), other.posted(path, &body));
            assert_eq!((&a["kid"], &a["signs_from"]), (&b["kid"], &b["signs_from"]));
            assert_ne!(a["repeated"], b["repeated"]);
            kids.push(a["kid"].as_str().unwrap().to_owned());
            while now() <= a["signs_from"].as_u64().unwrap() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        done.store(true, Ordering::Relaxed);
        kids
    };
    let ((tokens, fetched), rotated) = tokio::join!(minting, rotating);
    assert!(tokens.len() > 100, "{}", tokens.len());
    let signed_by: BTreeSet<String> = tokens.iter().map(|token| kid(token)).collect();
    let jwks = one.got("/.well-known/jwks.json").await;
    assert_eq!(published(&jwks)[1..], rotated);
    assert_eq!(signed_by, published(&jwks).into_iter().collect());
    assert_eq!(jwks, other.got("/.well-known/jwks.json").await);
    assert!((1..=3).contains(&fetched), "{fetched}");
    // Tokens of the first key are valid until they expire.
    assert!(tokens.iter().all(|token| follower.judge(token) == "valid"));
}

/// A Redis whose newest token key is 100 days old, with folders for two processes.
async fn aged(redis: &RedisServer) -> [tempfile::TempDir; 2] {
    let store = store(redis).await;
    load(&store, None, now() - 100 * DAY).await;
    let store = SealedStore::new(Arc::new(store), master());
    let admin = ApiKeys::create(&store, &master(), "admin", &Scope::ALL, None, now()).await;
    let admin = admin.unwrap();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        std::fs::write(folder.path().join("admin.key"), admin.key.as_bytes()).unwrap();
    }
    folders
}

// Both processes find the rotation due at the same time; the schedule adds exactly one key.
#[tokio::test]
async fn a_schedule_that_two_processes_race_on_adds_one_key() {
    let redis = RedisServer::start().await;
    let folders = aged(&redis).await;
    let url = redis.url();
    let environment = [
        ("OFFSWITCH_STORE", url.as_str()),
        ("OFFSWITCH_ISSUER", ISSUER),
        ("OFFSWITCH_MASTER_KEY", MASTER),
    ];
    let (one, other) = tokio::join!(
        ControlPlane::start_in(folders[0].path(), &environment),
        ControlPlane::start_in(folders[1].path(), &environment)
    );
    tokio::time::sleep(Duration::from_secs(11)).await;
    let keys = one.got("/v1/keys").await;
    let states = keys["token_keys"].as_array().unwrap().iter().map(|key| &key["state"]);
    assert_eq!(states.collect::<Vec<_>>(), ["active", "pending"], "{keys}");
    assert_eq!(keys, other.got("/v1/keys").await);
    let added = [&one, &other].map(|plane| plane.log().matches("a new token key").count());
    assert_eq!(added[0] + added[1], 1, "{added:?}");
}

// The same race without processes, many times: only the first write adds a key.
#[tokio::test]
async fn of_racing_rotations_one_adds_a_key() {
    let redis = RedisServer::start().await;
    let (one, other) = (store(&redis).await, store(&redis).await);
    let mut now = 1_000_000;
    let mut keyring = load(&one, None, now).await;
    for _ in 0..20 {
        now += 1000;
        let seen = newest(&keyring);
        let (a, b) = tokio::join!(rotate(&one, &seen, now), rotate(&other, &seen, now));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((&a.kid, a.signs_from), (&b.kid, now + 60));
        assert_ne!(a.repeated, b.repeated);
        // A late writer with an outdated view adds nothing, not even when the new key signs.
        let late = rotate(&other, &seen, now + 61).await.unwrap();
        assert_eq!((late.kid, late.repeated), (a.kid, true));
        let before = keyring.token_keys().len();
        keyring = load(&one, Some(&keyring), now).await;
        assert_eq!(keyring.token_keys().len(), before + 1);
    }
}

// A key leaves the key set with its last token and leaves the store with the next write. A process
// that still remembers it does not bring it back; a key that is still needed does come back.
#[tokio::test]
async fn a_retired_key_leaves_and_is_not_brought_back() {
    let redis = RedisServer::start().await;
    let store = store(&redis).await;
    let begin = 1_000_000;
    let first = load(&store, None, begin).await;
    let old = newest(&first);
    let second = rotate(&store, &old, begin + DAY).await.unwrap();
    let both = load(&store, Some(&first), begin + DAY).await;
    let retired_at = second.signs_from + RETIRES_AFTER_SECONDS;
    let none = DeadKeys::default();
    assert_eq!(published(&both.jwks(retired_at - 1, &none)), [old.clone(), second.kid.clone()]);
    assert_eq!(published(&both.jwks(retired_at, &none)), [second.kid.as_str()]);
    assert_eq!(both.active(second.signs_from - 1, &none).unwrap().kid(), old);
    assert_eq!(both.active(second.signs_from, &none).unwrap().kid(), second.kid);

    let third = rotate(&store, &second.kid, retired_at).await.unwrap();
    let kids = |keyring: &Keyring| {
        keyring.token_keys().iter().map(|key| key.kid().to_owned()).collect::<Vec<_>>()
    };
    for known in [None, Some(&first), Some(&both)] {
        let held = load(&store, known, retired_at + 1).await;
        assert_eq!(kids(&held), [second.kid.clone(), third.kid.clone()]);
    }
    // The store is lost: the keys that are needed are written back with their times, and no others.
    redis.command::<()>(&["FLUSHALL"]).await;
    let all = load(&store, Some(&both), retired_at + 1).await;
    assert_eq!(kids(&all), [second.kid.as_str()]);
    assert_eq!(all.token_keys()[0].signs_from(), second.signs_from);
}

#[tokio::test]
async fn more_keys_than_verifiers_take_are_never_published() {
    let redis = RedisServer::start().await;
    let store = store(&redis).await;
    let mut now = 1_000_000;
    let mut seen = newest(&load(&store, None, now).await);
    for _ in 1..MAX_PUBLISHED_KEYS {
        now += 61;
        seen = rotate(&store, &seen, now).await.unwrap().kid;
    }
    now += 61;
    assert!(matches!(rotate(&store, &seen, now).await, Err(KeyringError::TooManyKeys)));
    now += RETIRES_AFTER_SECONDS;
    assert!(!rotate(&store, &seen, now).await.unwrap().repeated);
    // All others are retired and deleted.
    assert_eq!(load(&store, None, now).await.token_keys().len(), 2);
}

// Processes that are configured with different algorithms do not overrule each other for ever.
#[tokio::test]
async fn only_a_start_changes_the_algorithm() {
    let redis = RedisServer::start().await;
    let store = store(&redis).await;
    let es256 = KeyPolicy { algorithm: TokenAlgorithm::Es256, ..POLICY };
    let none = DeadKeys::default();
    let one = load(&store, None, 1000).await;
    let other = Keyring::load(&store, &master(), es256, None, 2000, &none).await.unwrap();
    assert_eq!(other.active(2059, &none).unwrap().algorithm(), "EdDSA");
    assert_eq!(other.active(2060, &none).unwrap().algorithm(), "ES256");
    let one = load(&store, Some(&one), 3000).await;
    assert!(one.is_same(&other));
    let back = load(&store, None, 4000).await;
    assert_eq!(back.active(4060, &none).unwrap().algorithm(), "EdDSA");
}

// A sealed document is a keyring only if it parses completely.
#[tokio::test]
async fn a_document_that_is_no_keyring_is_refused() {
    let redis = RedisServer::start().await;
    let store = store(&redis).await;
    let seal = |bytes: &[u8]| master().seal("keyring", bytes).unwrap();
    for (bytes, is_keyring) in [
        (&[0, 0, 0, 0][..], true),
        (&[0, 0, 0, 0, 0], false),
        (&[0, 0, 0], false),
        (&[0, 0, 0, 0, 1], false),
    ] {
        let held = store.load("keyring").await.unwrap();
        assert!(store.swap("keyring", &held, &seal(bytes), None).await.unwrap());
        let loaded =
            Keyring::load(&store, &master(), POLICY, None, 1000, &DeadKeys::default()).await;
        assert_eq!(loaded.is_ok(), is_keyring, "{bytes:?}");
    }
}

const DAY: u64 = 86_400;
