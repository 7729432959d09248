//! The head of the feed and its parts, as the control plane serves them.

use std::time::Duration;

use offswitch_snapshot::FeedHead;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::follower::Follower;
use crate::support::head_reader::{Files, Read, head_of, read};
use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

/// Reads below `/v1/feed/`.
struct Served<'a>(&'a ControlPlane);

impl Files for Served<'_> {
    async fn file(&self, name: &str) -> Option<Vec<u8>> {
        let path = format!("/v1/feed/{name}");
        let answer = self.0.admin(Method::GET, &path).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => Some(answer.bytes().await.unwrap().to_vec()),
            StatusCode::NOT_FOUND => None,
            status => panic!("{name}: {status}"),
        }
    }
}

async fn revoke(plane: &ControlPlane, sub: &str) {
    plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
}

// P05: what a reader gets by head and parts is what a follower of the feed has.
#[tokio::test]
async fn a_reader_follows_the_feed_by_its_head_alone() {
    let plane = ControlPlane::start().await;
    let issuer = plane.issuer();
    let session = plane.login("alice").await;
    let token = text(&session, "access_token");
    revoke(&plane, "someone").await;
    let mut reader = Follower::start(&plane, &issuer).await;
    let Read::Current(_) = read(&mut reader, &issuer, &Served(&plane)).await else { panic!() };
    assert_eq!(reader.judge(token), "valid");
    revoke(&plane, "alice").await;
    revoke(&plane, "bob").await;
    let Read::Current(parts) = read(&mut reader, &issuer, &Served(&plane)).await else { panic!() };
    assert_eq!(parts.len(), 1, "one delta, made on demand: {parts:?}");
    assert_eq!(reader.judge(token), "revoked_user");
    assert_eq!(
        read(&mut reader, &issuer, &Served(&plane)).await,
        Read::Current(vec![]),
        "only the heartbeat"
    );
}

// P08: a head is good for a second, a part for ever; and what is missing is kept by no cache.
#[tokio::test]
async fn caches_are_allowed_to_keep_parts_for_ever_and_the_head_for_a_second() {
    let plane = ControlPlane::start().await;
    revoke(&plane, "alice").await;
    let head = head_of(&Served(&plane)).await.unwrap();
    let answer = plane.admin(Method::GET, "/v1/feed/head").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let tag = answer.headers()["etag"].clone();
    let again = plane.admin(Method::GET, "/v1/feed/head").header("if-none-match", &tag);
    let again = again.send().await.unwrap();
    // The heartbeat in it may have been renewed in between.
    let is_renewed = again.headers()["etag"] != tag;
    assert!(again.status() == StatusCode::NOT_MODIFIED || is_renewed, "{}", again.status());
    assert_eq!(again.headers()["cache-control"], "public, max-age=1, stale-if-error=60");
    for answer in [&answer, &again] {
        assert_eq!(answer.headers()["vary"], "authorization", "each key has read its own");
    }
    let base = format!("/v1/feed/{}", head.base.part());
    let delta = format!("/v1/feed/deltas/{}_{}", head.base.position, head.position);
    for path in [base, delta].into_iter().filter(|_| head.base.position < head.position) {
        let answer = plane.admin(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(answer.headers()["vary"], "authorization");
    }
    let [other_base, unknown] = missing(&head);
    for path in [other_base, unknown, "/v1/feed/deltas/x".to_owned(), "/v1/feed/bases/7".to_owned()]
    {
        let answer = plane.admin(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "unknown_part", "{path}");
    }
}

/// Paths of parts that are not there.
fn missing(head: &FeedHead) -> [String; 2] {
    let (base, end) = (head.base.position, head.position);
    let other_base = format!("/v1/feed/bases/{base}-0000000000000000");
    [other_base, format!("/v1/feed/deltas/{}.1_{end}", end.era)]
}

// P05, S07, invariant 14: a caller who asks for any delta gets no fresh statement that an old position is the
// newest: the delta proves nothing about freshness.
#[tokio::test]
async fn a_delta_to_an_old_position_is_no_fresh_statement() {
    let plane = ControlPlane::start().await;
    revoke(&plane, "first").await;
    let old = head_of(&Served(&plane)).await.unwrap().position;
    revoke(&plane, "second").await;
    let newer = head_of(&Served(&plane)).await.unwrap().position;
    let name = format!("deltas/{old}_{newer}");
    let made = Served(&plane).file(&name).await.unwrap();
    revoke(&plane, "third").await;
    let again = Served(&plane).file(&name).await.unwrap();
    assert_eq!(made, again, "the same bytes, whenever it is made");
    let snapshot = offswitch_snapshot::Snapshot::peek_unverified(made).unwrap();
    assert_eq!((snapshot.from(), snapshot.to()), (old, newer));
    assert_eq!((snapshot.issued_at(), snapshot.valid_until()), (0, 0));
}

// P05: a reader that follows the heads of two processes in turn needs a base only once, and each process makes
// the deltas that the other one's head led to.
#[tokio::test]
async fn processes_behind_one_address_answer_for_each_other() {
    let redis = RedisServer::start().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let url = redis.url();
    let environment = [
        ("OFFSWITCH_STORE", url.as_str()),
        ("OFFSWITCH_ISSUER", "https://auth.example"),
        ("OFFSWITCH_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
    ];
    let one = ControlPlane::start_in(folders[0].path(), &environment).await;
    let [from, to] = [&folders[0], &folders[1]].map(|folder| folder.path().join("admin.key"));
    std::fs::copy(from, to).unwrap();
    let other = ControlPlane::start_in(folders[1].path(), &environment).await;
    let issuer = "https://auth.example";
    let session = one.login("alice").await;
    let mut reader = Follower::start(&one, issuer).await;
    for round in 0..4 {
        revoke(&one, &format!("user {round}")).await;
        for plane in [&one, &other] {
            let end = head_of(&Served(&one)).await.unwrap().position;
            let is_there = async || head_of(&Served(plane)).await.unwrap().position >= end;
            while !is_there().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            revoke(plane, "alice").await;
            let came = read(&mut reader, issuer, &Served(plane)).await;
            let Read::Current(parts) = came else { panic!("{came:?}") };
            assert!(parts.iter().all(|part| part.starts_with("deltas/")), "{parts:?}");
        }
    }
    assert_eq!(reader.judge(text(&session, "access_token")), "revoked_user");
    // One makes a delta between positions that the head of the other one names, with the same bytes.
    let base = head_of(&Served(&one)).await.unwrap().base.position;
    let name = format!("deltas/{base}_{}", head_of(&Served(&one)).await.unwrap().position);
    let [made, same] = [Served(&one).file(&name).await, Served(&other).file(&name).await];
    assert!(made.is_some() && made == same, "{name}");
}

// P05: a base of the same position that other keys signed has another name, so that a cache never gives a reader
// the one that its keys do not open.
#[tokio::test]
async fn a_change_of_the_feed_key_changes_the_name_of_the_base() {
    let plane = ControlPlane::start().await;
    revoke(&plane, "alice").await;
    let before = head_of(&Served(&plane)).await.unwrap();
    let old = Served(&plane).file(&before.base.part().to_string()).await.unwrap();
    plane.posted("/v1/feed-keys/rotate", &json!({})).await;
    let after = head_of(&Served(&plane)).await.unwrap();
    assert_eq!(after.position, before.position);
    assert_ne!(after.base.digest, before.base.digest);
    let new = Served(&plane).file(&after.base.part().to_string()).await.unwrap();
    let signers = |bytes: &[u8]| offswitch_snapshot::Snapshot::claimed_signers(bytes).count();
    assert_eq!((signers(&old), signers(&new)), (1, 2));
    // The head before may be in a cache.
    assert_eq!(Served(&plane).file(&before.base.part().to_string()).await, Some(old));
}
