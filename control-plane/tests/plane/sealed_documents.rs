//! R19, R26: what an attacker learns who reads the store, and what an attacker achieves who writes
//! to it.

use offswitch::api_keys::Scope;
use offswitch::credential::{Credential, CredentialKind};
use offswitch::master_key::MasterKey;
use offswitch::plane::{Opened, Plane, PlaneError, Refreshed, SessionRequest};
use offswitch::store::StoreError;
use offswitch_core::session::{Device, Grant, Opening};
use serde_json::json;

use crate::support::follower::now;
use crate::support::in_process::{MASTER, plane_at};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

const ISSUER: &str = "https://auth.example";

/// The documents of a store as they are, and a way to change them.
struct Vandal(redis::aio::MultiplexedConnection);

impl Vandal {
    async fn on(redis: &RedisServer) -> Self {
        let client = redis::Client::open(redis.url()).unwrap();
        Self(client.get_multiplexed_async_connection().await.unwrap())
    }

    async fn names(&mut self, pattern: &str) -> Vec<String> {
        redis::cmd("KEYS").arg(pattern).query_async(&mut self.0).await.unwrap()
    }

    async fn get(&mut self, name: &str) -> Vec<u8> {
        let key = format!("{{offswitch}}:doc:{name}");
        redis::cmd("GET").arg(key).query_async(&mut self.0).await.unwrap()
    }

    async fn set(&mut self, name: &str, bytes: &[u8]) {
        let key = format!("{{offswitch}}:doc:{name}");
        redis::cmd("SET").arg(key).arg(bytes).query_async::<()>(&mut self.0).await.unwrap();
    }
}

async fn login(plane: &Plane, sub: &str) -> Credential {
    let request = SessionRequest {
        sub: sub.to_owned(),
        grant: Grant {
            client_id: "the-client".to_owned(),
            scope: Some("the-scope".to_owned()),
            claims: r#"{"tenant":"the-claim"}"#.to_owned(),
            ..Grant::default()
        },
        device: Device { ip: Some("203.0.113.77".to_owned()), ..Device::default() },
        opening: Opening { name: offswitch::master_key::random_bytes(), ..Opening::default() },
        ..SessionRequest::default()
    };
    let opened = plane.sessions.open(request, now()).await.unwrap();
    let Opened::Tokens(issued) = opened else { panic!("expected tokens") };
    let text = issued.credential;
    plane.sessions.credential(&text, CredentialKind::RefreshToken).unwrap()
}

async fn refresh(plane: &Plane, token: Credential) -> Result<Refreshed, PlaneError> {
    plane.sessions.refresh(token, Some("the-client"), None, now()).await
}

fn is_altered<T>(outcome: &Result<T, PlaneError>) -> bool {
    matches!(outcome, Err(PlaneError::Store(StoreError::Altered(_))))
}

// R26, D10: every byte of every field of a user's document; and whole documents in the place of
// others.
#[tokio::test]
async fn no_byte_of_a_stored_session_can_be_changed_without_notice() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let mut vandal = Vandal::on(&redis).await;
    let (alice, bob) = (login(&plane, "alice").await, login(&plane, "bob").await);
    let name = format!("user:{}", alice.session.user());
    let good = vandal.get(&name).await;
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        vandal.set(&name, &changed).await;
        assert!(is_altered(&refresh(&plane, alice).await), "byte {at}");
    }
    let others = vandal.get(&format!("user:{}", bob.session.user())).await;
    let plain = b"\x01plain".to_vec();
    let longer = [good.clone(), vec![0]].concat();
    for changed in [others, plain, good[1..].to_vec(), good[..good.len() - 1].to_vec(), longer] {
        vandal.set(&name, &changed).await;
        assert!(is_altered(&refresh(&plane, alice).await));
        assert!(is_altered(&plane.sessions.of_user("alice", now()).await));
        assert!(is_altered(&plane.sessions.peek_refresh(alice, now()).await));
    }
    // One altered document raises the alarm, and affects no other user.
    let findings = plane.log.findings().await.unwrap();
    let finding = findings.iter().find(|finding| finding.code == "document_altered").unwrap();
    assert!(finding.detail.contains(&name) && !finding.fatal, "{finding:?}");
    assert!(matches!(refresh(&plane, bob).await, Ok(Refreshed::Issued(_))));
    assert_eq!(plane.sessions.stored("").await.unwrap().sessions.len(), 1);
    plane.sessions.carry_out_endings().await.unwrap();
    let later = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    assert!(is_altered(&refresh(&later, alice).await));
    vandal.set(&name, &good).await;
    assert!(matches!(refresh(&later, alice).await, Ok(Refreshed::Issued(_))));
    assert_eq!(later.log.findings().await.unwrap(), []);
}

// R26: the documents that belong to no user. The cursor is created again, a process that knows the
// keyring restores it, and altered API keys are not accepted.
#[tokio::test]
async fn no_other_document_can_be_changed_without_notice_either() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let mut vandal = Vandal::on(&redis).await;
    plane.api_keys.create("edge", &[Scope::FeedRead], None, now()).await.unwrap();
    plane.sessions.carry_out_endings().await.unwrap();
    let kid = plane.signing.active_kid();
    for name in ["api-keys", "keyring", "sessions-ended"] {
        let good = vandal.get(name).await;
        for at in (0..good.len()).step_by(3).chain([good.len() - 1]) {
            let mut changed = good.clone();
            changed[at] ^= 1;
            vandal.set(name, &changed).await;
            match name {
                "api-keys" => {
                    assert!(is_altered(&plane.api_keys.reload().await), "byte {at}");
                    let created = plane.api_keys.create("x", &Scope::ALL, None, 1).await;
                    assert!(created.is_err());
                }
                // Its first bytes name the master key: of another one nothing is known.
                "keyring" if at < 8 => assert!(plane.publisher.reload_keys().await.is_err()),
                "keyring" => {
                    plane.publisher.reload_keys().await.unwrap();
                    let fresh = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
                    assert_eq!(fresh.signing.active_kid(), kid, "byte {at}");
                    assert_eq!(fresh.signing.feed_keys(), plane.signing.feed_keys());
                }
                _ => {
                    plane.sessions.carry_out_endings().await.unwrap();
                    assert_eq!(vandal.get(name).await, good, "byte {at}");
                }
            }
            vandal.set(name, &good).await;
        }
    }
    plane.publisher.reload_keys().await.unwrap();
}

// R19, D09: everything that is in Redis in addition to the log's records.
#[tokio::test]
async fn a_dump_of_the_documents_names_no_user_no_address_and_no_claim() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_MASTER_KEY", MASTER)];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let request = plane.admin(reqwest::Method::POST, "/v1/sessions").json(&json!({
        "sub": "alice-the-user", "device": "the-device", "user_agent": "the-agent",
        "ip": "203.0.113.77", "claims": { "tenant": "the-claim" }, "scope": "the-scope"
    }));
    let opened = request.header("idempotency-key", "for-alice-the-user").send().await.unwrap();
    let session = opened.json::<serde_json::Value>().await.unwrap();
    // The log names the users it revokes; it does not contain the request's own name.
    let revoke = plane.admin(reqwest::Method::POST, "/v1/revocations");
    let revoke = revoke.json(&json!({ "session_id": session["session_id"] }));
    let revoked = revoke.header("idempotency-key", "end-alice-the-user").send().await.unwrap();
    assert!(revoked.status().is_success());
    let mut vandal = Vandal::on(&redis).await;
    let keys = vandal.names("*").await;
    assert!(keys.iter().any(|key| key.contains(":request:")), "{keys:?}");
    let secret = plane.admin_key();
    let words = ["alice-the-user", "the-device", "the-agent", "203.0.113.77", "the-claim"];
    let words = [&words[..], &["the-scope", "for-alice", secret.trim(), "feed:read"]].concat();
    for key in keys {
        assert!(words.iter().all(|word| !key.contains(word)), "{key}");
        if let Some(name) = key.strip_prefix("{offswitch}:doc:") {
            let bytes = vandal.get(name).await;
            for word in &words {
                let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                assert!(!found, "{word} in {name}");
            }
            let master = MasterKey::parse(MASTER).unwrap();
            assert!(master.open(name, &bytes).is_ok(), "{name}");
        }
    }
}

// R26: over HTTP the answer is 503 with a code, never `invalid_grant`, and a metric counts it.
#[tokio::test]
async fn an_altered_session_is_answered_503_and_alarms() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_MASTER_KEY", MASTER)];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let session = plane.login("alice").await;
    let mut vandal = Vandal::on(&redis).await;
    let names = vandal.names("{offswitch}:doc:user:*").await;
    vandal.set(names[0].strip_prefix("{offswitch}:doc:").unwrap(), b"broken").await;
    let (status, body) = plane.refresh(session["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, reqwest::StatusCode::SERVICE_UNAVAILABLE);
    let expected = json!({
        "error": "temporarily_unavailable", "error_description": "document_altered"
    });
    assert_eq!(body, expected);
    let listed = plane.admin(reqwest::Method::GET, "/v1/users/alice/sessions").send().await;
    assert_eq!(listed.unwrap().status(), reqwest::StatusCode::SERVICE_UNAVAILABLE);
    let metrics = plane.admin(reqwest::Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted =
        metrics.lines().find(|line| line.starts_with("offswitch_documents_altered_total "));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}
