//! S13: the feed key and the master key are replaced, in a planned change and after a theft.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use offswitch::master_key::MasterKey;
use offswitch::store::{RedisOptions, RedisStore, Store};
use offswitch_snapshot::{
    ChainHash, Content, FeedKey, Floor, OpenError, Position, Snapshot, SnapshotSigner,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::several_processes::{ISSUER, MASTER, two_with};
use crate::support::follower::{Follower, now};
use crate::support::oauth::{answer, text};
use crate::support::process::{ControlPlane, run};
use crate::support::redis_server::RedisServer;

const NEW: &str = "__________________________________________8";

/// The keyring's plain form, as far as a thief needs it: token keys, then feed keys.
type Stolen = (Vec<(String, u32, [u8; 32], u64, u64)>, Vec<([u8; 32], u64, [u8; 16])>);

async fn store(redis: &RedisServer) -> RedisStore {
    RedisStore::connect(RedisOptions { url: redis.url(), ..RedisOptions::default() }).await.unwrap()
}

async fn steal(redis: &RedisServer) -> Stolen {
    let sealed = store(redis).await.load("keyring").await.unwrap();
    let plain = MasterKey::parse(MASTER).unwrap().open("keyring", &sealed).unwrap();
    postcard::take_from_bytes(&plain).unwrap().0
}

async fn stolen_feed_key(redis: &RedisServer) -> SigningKey {
    SigningKey::from_bytes(&steal(redis).await.1[0].0)
}

/// A token that the thief signs with the first stolen token key.
fn forged(stolen: &Stolen, claims: &Value) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use ed25519_dalek::Signer;
    let (kid, _, secret, ..) = &stolen.0[0];
    let header = json!({ "alg": "EdDSA", "kid": kid, "typ": "at+jwt" }).to_string();
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = SigningKey::from_bytes(secret).sign(signed.as_bytes());
    format!("{signed}.{}", encode(&signature.to_bytes()))
}

/// A base with the latest possible time that revokes nothing.
fn hostile(key: SigningKey) -> Vec<u8> {
    let position = Position { era: u64::MAX, seq: u64::MAX };
    let to = Floor { position, chain: ChainHash::default() };
    let content = Content { to, issued_at: now(), valid_until: now() + 60, ..Content::default() };
    SnapshotSigner::new(ISSUER, vec![key]).sign(&content)
}

fn public(keys: &Value, place: usize) -> FeedKey {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let key = Base64UrlUnpadded::decode_vec(text(&keys["feed_keys"][place], "public_key")).unwrap();
    FeedKey::from_bytes(key.as_slice().try_into().unwrap()).unwrap()
}

/// Waits until `plane` shows this many feed keys.
async fn until_feed_keys(plane: &ControlPlane, count: usize) -> Value {
    let begin = Instant::now();
    loop {
        let keys = plane.got("/v1/keys").await;
        if keys["feed_keys"].as_array().unwrap().len() == count {
            return keys;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{keys}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

// S13, D04: the drill of docs/guides/key-life.md. A thief has the feed key and signs the latest
// possible time. After it is rotated and dropped, every verifier with the new key gets the real
// feed from every process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_feed_key_is_replaced_and_verifiers_recover() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    let session = one.login("alice").await;
    let token = text(&session, "access_token");
    one.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let thief = stolen_feed_key(&redis).await;
    let lie = hostile(thief);
    let old = public(&one.got("/v1/keys").await, 0);
    let opened = Snapshot::open(lie.clone(), std::slice::from_ref(&old));
    let is_forged = matches!(opened, Err(OpenError::UnknownKey | OpenError::BadSignature));
    assert!(!is_forged, "the signature is valid, even if a verifier refuses such an era");

    let rotated = one.posted("/v1/feed-keys/rotate", &json!({})).await;
    assert_eq!((&rotated["state"], &rotated["repeated"]), (&json!("current"), &json!(false)));
    let keys = until_feed_keys(&other, 2).await;
    assert_eq!(keys, one.got("/v1/keys").await);
    let states = [0, 1].map(|place| text(&keys["feed_keys"][place], "state"));
    assert_eq!(states, ["overlapping", "current"]);
    let new = public(&keys, 1);
    for plane in [&one, &other] {
        let base = plane.feed("").await;
        for key in [&old, &new] {
            assert!(Snapshot::open(base.clone(), std::slice::from_ref(key)).is_ok());
        }
    }

    let id = text(&keys["feed_keys"][0], "id");
    let dropped = other.posted(&format!("/v1/feed-keys/{id}/drop"), &json!({})).await;
    assert_eq!(dropped, json!({ "id": id, "dropped": true }));
    until_feed_keys(&one, 1).await;
    let again = one.posted(&format!("/v1/feed-keys/{id}/drop"), &json!({})).await;
    assert_eq!(again["dropped"], false);
    for plane in [&one, &other] {
        let base = plane.feed("").await;
        let opened = Snapshot::open(base, std::slice::from_ref(&old));
        assert!(matches!(opened, Err(OpenError::UnknownKey)));
        // Configured with the keys that are trusted now, a verifier follows the log and refuses the
        // thief's base.
        let mut follower = Follower::start(plane, ISSUER).await;
        assert_eq!(follower.judge(token), "revoked_user");
        assert!(follower.apply(lie.clone()).is_err());
        follower.follow(plane).await;
        assert_eq!(follower.judge(token), "revoked_user");
    }
    // A process that still remembers the key does not bring it back.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(one.got("/v1/keys").await["feed_keys"].as_array().unwrap().len(), 1);
}

// S13: a verifier that is three rotations behind works until its key is dropped, and gets nothing
// after that.
#[tokio::test]
async fn a_client_three_rotations_behind_is_served_until_its_key_is_dropped() {
    let plane = ControlPlane::start().await;
    let old = public(&plane.got("/v1/keys").await, 0);
    let rotate = async |name: &str| {
        let request = plane.admin(Method::POST, "/v1/feed-keys/rotate");
        answer(request.header("idempotency-key", name).send().await.unwrap()).await
    };
    for name in ["a", "b", "c"] {
        let (status, first) = rotate(name).await;
        let (_, again) = rotate(name).await;
        assert_eq!((status, &first["id"]), (StatusCode::OK, &again["id"]));
        assert_eq!(again["repeated"], true);
        assert!(Snapshot::open(plane.feed("").await, std::slice::from_ref(&old)).is_ok());
    }
    let (status, problem) = rotate("d").await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("too_many_feed_keys")));
    let keys = plane.got("/v1/keys").await;
    let keys = keys["feed_keys"].as_array().unwrap();
    for (place, key) in keys.iter().enumerate() {
        let path = format!("/v1/feed-keys/{}/drop", text(key, "id"));
        let (status, body) = answer(plane.post(&path, &json!({})).await).await;
        if place < 3 {
            assert_eq!(status, StatusCode::OK, "{body}");
            let opened = Snapshot::open(plane.feed("").await, std::slice::from_ref(&old));
            assert!(matches!(opened, Err(OpenError::UnknownKey)));
        } else {
            assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("last_feed_key")));
        }
    }
    let (status, body) = answer(plane.post("/v1/feed-keys/0/drop", &json!({})).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("unknown_feed_key")));
}

/// Refreshes one session again and again at both processes, and insists that every answer is a
/// success.
async fn traffic(planes: [&ControlPlane; 2], sub: &str, done: &AtomicBool) -> (String, usize) {
    let session = planes[0].login(sub).await;
    let (mut token, mut count) = (text(&session, "refresh_token").to_owned(), 0);
    while !done.load(Ordering::Relaxed) {
        let refreshed = planes[count % 2].refreshed(&token).await;
        token = text(&refreshed, "refresh_token").to_owned();
        count += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (token, count)
}

// S13: both processes accept both master keys and serve while the keyring and every document are
// sealed again under the new one. Afterwards the new key alone opens everything, and ids are found
// and hashed as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_is_replaced_under_load() {
    let redis = RedisServer::start().await;
    let both = [("OFFSWITCH_OTHER_MASTER_KEY", NEW)];
    let (one, other, folders) = two_with(&redis, &both).await;
    let idle = one.login("idle").await;
    let mut follower = Follower::start(&one, ISSUER).await;
    let url = redis.url();
    let done = AtomicBool::new(false);
    let replacing = async {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap().to_owned();
        let replaced = tokio::task::spawn_blocking(move || {
            let environment = [
                ("OFFSWITCH_STORE", url.as_str()),
                ("OFFSWITCH_MASTER_KEY", NEW),
                ("OFFSWITCH_OTHER_MASTER_KEY", MASTER),
                ("OFFSWITCH_DATA_DIR", &data),
            ];
            run(&["store", "replace-master-key"], &environment)
        });
        let output = replaced.await.unwrap();
        done.store(true, Ordering::Relaxed);
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let (output, busy, other_busy) = tokio::join!(
        replacing,
        traffic([&one, &other], "busy", &done),
        traffic([&other, &one], "other", &done)
    );
    assert!(output.contains("none is left under the old master key"), "{output}");
    assert!(busy.1 > 20 && other_busy.1 > 20, "{} and {}", busy.1, other_busy.1);
    let (store, new) = (store(&redis).await, MasterKey::parse(NEW).unwrap());
    let stretch = store.scan("", "").await.unwrap();
    assert!(stretch.documents.len() >= 5, "{}", stretch.documents.len());
    for (name, sealed) in stretch.documents {
        assert!(new.open(&name, &sealed).is_ok(), "{name} is sealed under the old key");
    }
    let keys = one.got("/v1/keys").await;
    drop((one, other));

    let start = async |more: &[(&str, &str)]| {
        let url = redis.url();
        let environment = [
            ("OFFSWITCH_STORE", url.as_str()),
            ("OFFSWITCH_ISSUER", ISSUER),
            ("OFFSWITCH_MASTER_KEY", NEW),
        ];
        ControlPlane::start_in(folders[0].path(), &[&environment, more].concat()).await
    };
    // The new key alone: API keys, token and feed keys, users and the feed's salt are as before.
    let alone = start(&[]).await;
    assert_eq!(alone.got("/v1/keys").await, keys);
    assert_eq!(alone.devices("idle").await.len(), 1);
    alone.posted("/v1/revocations", &json!({ "sub": "idle" })).await;
    follower.follow(&alone).await;
    assert_eq!(follower.judge(text(&idle, "access_token")), "revoked_user");
    alone.refreshed(&busy.0).await;
    alone.not_refreshed(text(&idle, "refresh_token"), "unknown_refresh_token").await;
    drop(alone);
    let both = start(&[("OFFSWITCH_OTHER_MASTER_KEY", MASTER)]).await;
    both.not_refreshed(text(&idle, "refresh_token"), "session_ended").await;
    both.refreshed(&other_busy.0).await;
}

// A07: the output of the command is the key; it is neither printed nor logged.
#[tokio::test]
async fn the_master_key_may_come_from_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("echo {MASTER}");
    let environment = [("OFFSWITCH_MASTER_KEY_COMMAND", line.as_str())];
    let mut plane = ControlPlane::start_in(folder.path(), &environment).await;
    let session = plane.login("alice").await;
    assert!(!plane.log().contains(MASTER), "the key is in the log");
    assert!(!folder.path().join("master.key").exists());
    plane.kill();
    let environment = [("OFFSWITCH_MASTER_KEY", MASTER)];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    plane.refreshed(text(&session, "refresh_token")).await;
    drop(plane);
    let data = folder.path().to_str().unwrap();
    for wrong in ["/nonexistent/program", "false", "echo short"] {
        let environment = [("OFFSWITCH_MASTER_KEY_COMMAND", wrong), ("OFFSWITCH_DATA_DIR", data)];
        let output = run(&["store", "replace-master-key"], &environment);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("master key"), "{wrong}");
    }
}

// D102: when one process signs with a new key, every other process publishes it: a verifier that
// fetches the keys because of an unknown kid finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_published_by_every_process_before_its_first_token_is_used() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    for round in 0..5 {
        let (presser, asked) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let pressed = presser.posted("/v1/red-button", &json!({ "sessions": "keep" })).await;
        let jwks = asked.got("/.well-known/jwks.json").await;
        let kids: Vec<&str> =
            jwks["keys"].as_array().unwrap().iter().map(|key| text(key, "kid")).collect();
        assert!(kids.contains(&text(&pressed, "active_kid")), "round {round}: {jwks}");
        let rotated = asked.posted("/v1/keys/rotate", &json!({})).await;
        let jwks = presser.got("/.well-known/jwks.json").await;
        assert!(jwks.to_string().contains(text(&rotated, "kid")), "round {round}: {jwks}");
    }
}

// I14: a caller that introspects or revokes a token does not use it: no proof of its key is needed
// (RFC 9449 section 6.2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_token_is_introspected_and_revoked_without_a_proof() {
    let redis = RedisServer::start().await;
    let (plane, _other, _folders) = two_with(&redis, &[]).await;
    let session = plane.login("alice").await;
    let key = steal(&redis).await;
    let token = |jti: &str, cnf: Value| {
        let claims = json!({
            "iss": ISSUER, "sub": "alice", "aud": "api", "client_id": "x", "jti": jti,
            "sid": session["session_id"], "ver": 1, "iat": now(), "exp": now() + 600, "cnf": cnf,
        });
        forged(&key, &claims)
    };
    let mut follower = Follower::start(&plane, ISSUER).await;
    for (jti, cnf, token_type) in [
        ("by-proof", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }), "DPoP"),
        ("by-certificate", json!({ "x5t#S256": "AAAA" }), "Bearer"),
    ] {
        let token = token(jti, cnf.clone());
        follower.follow(&plane).await;
        assert_eq!(follower.judge(&token), "sender_constrained");
        let (code, found) = plane.introspected(&token).await;
        assert_eq!((code.as_str(), &found["active"]), ("valid", &json!(true)));
        assert_eq!((&found["cnf"], &found["token_type"]), (&cnf, &json!(token_type)));
        plane.posted("/v1/revocations", &json!({ "token": token })).await;
        assert_eq!(plane.introspected(&token).await.0, "revoked_token");
        follower.follow(&plane).await;
        assert_eq!(follower.judge(&token), "revoked_token");
    }
}

// A07, D13: a thief can do nothing with a token key after the red button: no token is accepted,
// introspected or revoked, at either process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_token_key_is_powerless_after_the_red_button() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    let session = one.login("alice").await;
    let stolen = steal(&redis).await;
    let token = forged(
        &stolen,
        &json!({
            "iss": ISSUER, "sub": "alice", "aud": "api", "client_id": "x", "jti": "forged",
            "sid": session["session_id"], "ver": 1_u64 << 52, "iat": now() + 2, "exp": now() + 600,
        }),
    );
    one.posted("/v1/red-button", &json!({ "sessions": "keep" })).await;
    let log = one.got("/v1/revocations").await;
    // The token is dated after the button's epoch: the dead key alone must stop it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for plane in [&one, &other] {
        let (code, found) = plane.introspected(&token).await;
        assert_ne!(code, "valid");
        assert_eq!(found, json!({ "active": false }));
        let revoked = plane.form("/oauth/revoke", &[("token", &token)]).await;
        assert_eq!(revoked.status(), StatusCode::OK, "as for any token that is not valid");
        let named = answer(plane.post("/v1/revocations", &json!({ "token": token })).await).await;
        assert_eq!(named.0, StatusCode::BAD_REQUEST, "{}", named.1);
        let mut follower = Follower::start(plane, ISSUER).await;
        follower.follow(plane).await;
        assert_eq!(follower.judge(&token), "unknown_key");
        assert_eq!(plane.got("/v1/revocations").await, log, "the thief wrote something");
    }
    one.refreshed(text(&session, "refresh_token")).await;
}
