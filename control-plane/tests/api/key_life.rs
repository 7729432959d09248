//! The lives of API keys and of signing keys, as an operator sees them.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch::api_keys::{ApiKeys, Scope};
use offswitch::keyring::RETIRES_AFTER_SECONDS;
use offswitch::master_key::MasterKey;
use offswitch::sealing::SealedStore;
use offswitch::store::{RedisOptions, RedisStore};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::follower::{Follower, kid, now};
use crate::support::process::{ControlPlane, run};
use crate::support::redis_server::RedisServer;

async fn with_publishing(seconds: &str) -> (ControlPlane, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("OFFSWITCH_KEY_PUBLISH_SECONDS", seconds)];
    (ControlPlane::start_in(folder.path(), &environment).await, folder)
}

fn states(keys: &Value) -> Vec<(&str, &str)> {
    let keys = keys["token_keys"].as_array().unwrap().iter();
    keys.map(|key| (key["kid"].as_str().unwrap(), key["state"].as_str().unwrap())).collect()
}

// A03: an expired key is refused in every way of authentication.
#[tokio::test]
async fn an_expired_api_key_is_refused_with_its_own_code() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = RedisOptions { url: redis.url(), ..RedisOptions::default() };
    let store = RedisStore::connect(store).await.unwrap();
    let master = MasterKey::parse(MASTER).unwrap();
    let store = SealedStore::new(std::sync::Arc::new(store), master.clone());
    let create = async |expires_at| {
        ApiKeys::create(&store, &master, "x", &[Scope::KeysRead], expires_at, 100).await.unwrap()
    };
    let (expired, soon) = (create(Some(now())).await, create(Some(now() + 600)).await);
    let url = redis.url();
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_MASTER_KEY", MASTER)];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let request = || plane.request(Method::GET, "/v1/keys");
    let answer = request().bearer_auth(soon.key.as_str()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    for request in [
        request().bearer_auth(expired.key.as_str()),
        request().basic_auth(&expired.stored.id, Some(expired.key.as_str())),
        // The refusal does not even name the scope that the key lacks.
        plane.request(Method::GET, "/metrics").bearer_auth(expired.key.as_str()),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "expired_api_key");
    }
}

// A07: when no API key is left that manages the others, the store itself gets a new one. Neither the key nor
// its hash is in the document.
#[tokio::test]
async fn an_api_key_is_created_in_the_store_while_the_control_plane_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("OFFSWITCH_DATA_DIR", folder.path().to_str().unwrap())];
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let new = ["store", "create-api-key", "--scope", "api-keys:write", "--name", "rescue"];
    let busy = run(&new, &environment);
    assert_eq!(busy.status.code(), Some(3), "{}", String::from_utf8_lossy(&busy.stderr));
    plane.kill();
    let made = run(&new, &environment);
    let key = String::from_utf8(made.stdout).unwrap();
    let key = key.strip_suffix('\n').unwrap();
    assert!(key.starts_with("osk_"), "{}", String::from_utf8_lossy(&made.stderr));
    let store = std::fs::read(folder.path().join("offswitch.redb")).unwrap();
    let master = std::fs::read_to_string(folder.path().join("master.key")).unwrap();
    let master = MasterKey::parse(master.trim()).unwrap();
    let hash = Base64UrlUnpadded::encode_string(&master.hash_api_key(key));
    for secret in [key, &hash] {
        assert!(!store.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    let listed = plane.request(Method::GET, "/v1/api-keys").bearer_auth(key).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    let mut names = listed["api_keys"].as_array().unwrap().iter().map(|key| &key["name"]);
    assert!(names.any(|name| name == "rescue"), "{listed}");
    for days in ["0", "-1", "36501", "soon"] {
        let wrong = run(&[&new[..], &["--expires-in-days", days]].concat(), &environment);
        assert_eq!(wrong.status.code(), Some(2), "{days}");
    }
}

// A07: a rotated key is published before it signs; repeating the call returns it; tokens of the old
// key stay valid.
#[tokio::test]
async fn a_rotation_publishes_a_key_before_it_signs() {
    let (plane, _folder) = with_publishing("3600").await;
    let issuer = plane.issuer();
    let first = kid(&token(&plane).await);
    let begin = now();
    let made = plane.posted("/v1/keys/rotate", &json!({})).await;
    let second = made["kid"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    assert_eq!((&made["alg"], &made["repeated"]), (&json!("EdDSA"), &json!(false)));
    let signs_from = made["signs_from"].as_u64().unwrap();
    assert!((begin + 3600..=now() + 3600).contains(&signs_from));
    let again = plane.posted("/v1/keys/rotate", &json!({})).await;
    let expected =
        json!({ "kid": second, "alg": "EdDSA", "signs_from": signs_from, "repeated": true });
    assert_eq!(again, expected);

    let keys = plane.got("/v1/keys").await;
    assert_eq!(states(&keys), [(first.as_str(), "active"), (second.as_str(), "pending")]);
    assert_eq!(keys["token_keys"][0]["retires_at"], signs_from + RETIRES_AFTER_SECONDS);
    assert_eq!(keys["token_keys"][1]["retires_at"], Value::Null);
    assert_eq!(keys["token_keys"][1]["signs_from"], signs_from);
    let jwks = plane.got("/.well-known/jwks.json").await;
    assert_eq!((&jwks["keys"][0]["kid"], &jwks["keys"][1]["kid"]), (&json!(first), &json!(second)));
    let before = token(&plane).await;
    assert_eq!(kid(&before), first);
    let follower = Follower::start(&plane, &issuer).await;
    assert_eq!(follower.judge(&before), "valid");

    // The active key dies: the pending one signs immediately, and verifiers already know it.
    plane.posted("/v1/revocations", &json!({ "kid": first })).await;
    let after = token(&plane).await;
    assert_eq!((kid(&after), follower.judge(&after)), (second.clone(), "valid"));
    assert_eq!(states(&plane.got("/v1/keys").await), [(&*first, "dead"), (&*second, "active")]);

    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "offswitch_key_rotations_total 1"), "{metrics}");
    let log = plane.log();
    let published = log.lines().filter(|line| line.contains("a new token key is published"));
    assert_eq!(published.filter(|line| line.contains(&second)).count(), 1, "{log}");
}

// The red button kills the pending key too: an attacker who has the keyring has both.
#[tokio::test]
async fn the_red_button_kills_the_active_and_the_pending_key() {
    let (plane, _folder) = with_publishing("60").await;
    plane.posted("/v1/keys/rotate", &json!({})).await;
    let pressed = plane.posted("/v1/red-button", &json!({})).await;
    assert_eq!(pressed["dead_kids"].as_array().unwrap().len(), 2);
    let keys = plane.got("/v1/keys").await;
    let states: Vec<&str> = states(&keys).iter().map(|(_, state)| *state).collect();
    assert_eq!(states.iter().filter(|state| **state == "dead").count(), 2, "{keys}");
    assert_eq!(states.iter().filter(|state| **state == "active").count(), 1, "{keys}");
    assert_eq!(kid(&token(&plane).await), pressed["active_kid"]);
    let jwks = plane.got("/.well-known/jwks.json").await;
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_without_overlap_signs_immediately() {
    let (plane, _folder) = with_publishing("0").await;
    let before = token(&plane).await;
    let made = plane.posted("/v1/keys/rotate", &json!({})).await;
    assert!(made["signs_from"].as_u64().unwrap() <= now() + 1);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let after = token(&plane).await;
    assert_eq!(kid(&after), made["kid"]);
    let follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!([&before, &after].map(|token| follower.judge(token)), ["valid", "valid"]);
}

#[tokio::test]
async fn a_changed_algorithm_makes_a_new_key_with_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let first = kid(&token(&plane).await);
    plane.kill();
    let environment = [("OFFSWITCH_TOKEN_ALGORITHM", "ES256")];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let keys = plane.got("/v1/keys").await;
    let algorithms = [0, 1].map(|place| keys["token_keys"][place]["alg"].clone());
    assert_eq!(algorithms, ["EdDSA", "ES256"]);
    assert_eq!(
        states(&keys).iter().map(|(_, state)| *state).collect::<Vec<_>>(),
        ["active", "pending"]
    );
    assert_eq!(kid(&token(&plane).await), first);
}

#[tokio::test]
async fn a_wrong_rotation_request_is_refused_and_creates_no_key() {
    let plane = ControlPlane::start().await;
    for body in [
        json!({ "reason": "quarterly" }),
        json!({ "force": true }),
        json!([[]]),
        json!(null),
        json!("now"),
    ] {
        let answer = plane.post("/v1/keys/rotate", &body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "invalid_body", "{body}");
    }
    // D43: a request without a body is a valid request; one with a body of another type is not.
    let text = plane.admin(Method::POST, "/v1/keys/rotate").header("content-type", "text/plain");
    assert_eq!(text.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(states(&plane.got("/v1/keys").await).len(), 1);
}

async fn token(plane: &ControlPlane) -> String {
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    session["access_token"].as_str().unwrap().to_owned()
}

const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
