//! Sessions under bad conditions: a red button in between, a store that lost a second, a damaged
//! document, a repeated request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch::credential::{Credential, CredentialKind};
use offswitch::plane::{
    Landing, Opened, Plane, PlaneError, Refreshed, SessionRequest, Sessions, TokenPair,
};
use offswitch::store::{EmbeddedStore, Request, Store};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_core::session::Opening;
use tokio::time::sleep;

use crate::support::follower::now;
use crate::support::gated_store::GatedStore;
use crate::support::in_process::{MASTER, plane_at, plane_on};
use crate::support::redis_server::RedisServer;

const ISSUER: &str = "https://auth.example";
const DAY: u64 = 86_400;

fn login(sub: &str, handover: bool) -> SessionRequest {
    let mut name = [0; 16];
    name[..sub.len()].copy_from_slice(sub.as_bytes());
    let opening = Opening { name, ..Opening::default() };
    SessionRequest { sub: sub.to_owned(), handover, opening, ..SessionRequest::default() }
}

async fn open(plane: &Plane, sub: &str, at: u64) -> TokenPair {
    match plane.sessions.open(login(sub, false), at).await.unwrap() {
        Opened::Tokens(issued) => issued,
        Opened::Code { .. } => panic!("expected tokens"),
    }
}

/// Opens a session for the edge and redeems its code; `between` runs between the two steps.
async fn hand_over(plane: &Plane, between: impl AsyncFnOnce()) -> Credential {
    let opened = plane.sessions.open(login("alice", true), now()).await.unwrap();
    let Opened::Code { code, .. } = opened else { panic!("expected a code") };
    let code = plane.sessions.credential(&code, CredentialKind::HandoverCode).unwrap();
    between().await;
    let issued = plane.sessions.redeem_code(code, now()).await.unwrap().unwrap();
    let handle = issued.credential;
    plane.sessions.credential(&handle, CredentialKind::HandoverHandle).unwrap()
}

fn token(plane: &Plane, issued: &TokenPair) -> Credential {
    let text = &issued.credential;
    plane.sessions.credential(text, CredentialKind::RefreshToken).unwrap()
}

async fn refreshes(plane: &Plane, token: Credential, at: u64) -> Option<TokenPair> {
    match plane.sessions.refresh(token, None, None, at).await.unwrap() {
        Refreshed::Issued(issued) => Some(issued),
        Refreshed::Refused(_) => None,
    }
}

async fn revoke(plane: &Plane, revocation: Revocation) {
    append(plane, revocation).await;
    plane.log.catch_up().await.unwrap();
}

async fn append(plane: &Plane, revocation: Revocation) {
    let revocations = vec![revocation];
    let record = Record { at: now(), by: "test".to_owned(), reason: None, revocations };
    let id = format!("{:?}", offswitch::master_key::random_bytes::<8>());
    plane
        .log
        .revoke(&Request { id, digest: [0; 32], memory: REQUEST_MEMORY }, &record)
        .await
        .unwrap();
}

// A refresh waits for the store's answer; in the meantime a hard red button kills keys and
// sessions, and a new key signs. One of them must stop the tokens that the refresh returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_in_flight_does_not_survive_the_red_button() {
    let folder = tempfile::tempdir().unwrap();
    let inner = EmbeddedStore::open(&folder.path().join("store"), 1).unwrap();
    let store = Arc::new(GatedStore::new(inner));
    let plane = plane_on(store.clone(), ISSUER, MASTER, now()).await;
    let spent = token(&plane, &open(&plane, "alice", now()).await);
    store.hold_sessions();
    let refreshing = {
        let plane = plane.clone();
        tokio::spawn(async move { refreshes(&plane, spent, now()).await })
    };
    store.until_reached().await;
    let record = Record { at: now(), by: "test".to_owned(), reason: None, revocations: vec![] };
    let request = Request { id: "button".to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
    plane.press_red_button(&request, record, Landing::End).await.unwrap();
    store.open();
    if let Some(issued) = refreshing.await.unwrap() {
        let verdict = plane.introspection.judge(&issued.access_token, now() + 2).await.unwrap();
        assert_ne!(verdict.code(), "valid");
    }
    assert!(refreshes(&plane, spent, now()).await.is_none());
}

// R03, D89: the store executes an append, but its answer arrives after another process began an era
// without the record. A revocation that is acknowledged after that must hold in the new era too,
// also if the store fails once more in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_acknowledged_after_another_era_began_without_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let inner = EmbeddedStore::open(&folder.path().join("store"), 1).unwrap();
    let store = Arc::new(GatedStore::new(inner));
    let plane = plane_on(store.clone(), ISSUER, MASTER, now()).await;
    let alice = open(&plane, "alice", now()).await;
    let without = plane.log.folded().compaction().checkpoint(now());
    store.hold_append();
    let revoking = {
        let plane = plane.clone();
        let user = Revocation::User {
            issuer: None,
            sub: "alice".to_owned(),
            issued_before: None,
            exp: now() + DAY,
        };
        tokio::spawn(async move { append(&plane, user).await })
    };
    store.until_reached().await;
    let end = store.end().await.unwrap();
    assert!(store.start_era(end, end.position.era + 1, &without).await.unwrap());
    plane.log.catch_up().await.unwrap();
    plane.spawn_tasks();
    store.fail_end();
    store.open();
    revoking.await.unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while plane.introspection.judge(&alice.access_token, now() + 1).await.unwrap().code()
        != "revoked_user"
    {
        assert!(Instant::now() < patience, "the revocation was acknowledged");
        sleep(Duration::from_millis(20)).await;
    }
}

// F05: a session expires, and its login's idempotency key is used again: that opens another
// session.
#[tokio::test]
async fn a_spent_token_of_an_expired_session_stays_dead() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let begun = now() - 20 * DAY;
    let session = open(&plane, "alice", begun).await;
    let spent = token(&plane, &session);
    assert!(refreshes(&plane, spent, begun + 10).await.is_some());
    assert!(refreshes(&plane, spent, now()).await.is_none(), "idle for too long");
    let fresh = open(&plane, "alice", now()).await;
    assert_ne!(fresh.session, session.session);
    assert!(refreshes(&plane, spent, now()).await.is_none());
}

// A11: a client that repeats a login for the edge gets no token, before and after the code is
// redeemed; if the session has ended since, the answer says so immediately.
#[tokio::test]
async fn a_repeated_login_returns_nothing_that_the_first_did_not() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    hand_over(&plane, async || {
        let again = plane.sessions.open(login("alice", true), now()).await;
        assert!(matches!(again, Ok(Opened::Code { .. })));
    })
    .await;
    let again = plane.sessions.open(login("alice", true), now()).await;
    assert!(matches!(again, Err(PlaneError::SessionOver)));

    let bob = open(&plane, "bob", now()).await;
    revoke(&plane, Sessions::revocation(bob.session, now())).await;
    for _ in 0..2 {
        let again = plane.sessions.open(login("bob", false), now()).await;
        assert!(matches!(again, Err(PlaneError::SessionOver)));
        plane.sessions.carry_out_endings().await.unwrap();
    }
}

// F12: one process acknowledges a logout; another one, which has not read it yet, refuses the
// refresh, and a login there counts as later.
#[tokio::test]
async fn a_logout_at_one_process_holds_at_another_immediately() {
    let redis = RedisServer::start().await;
    let one = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let other = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let session = open(&one, "alice", now()).await;
    revoke(&other, Sessions::revocation(session.session, now())).await;
    assert!(refreshes(&one, token(&one, &session), now()).await.is_none());
    let everything = Revocation::User {
        issuer: None,
        sub: "bob".to_owned(),
        issued_before: None,
        exp: now() + DAY,
    };
    revoke(&other, everything).await;
    let fresh = open(&one, "bob", now()).await;
    let verdict = other.introspection.judge(&fresh.access_token, now()).await.unwrap();
    assert_eq!(verdict.code(), "valid");
    assert!(refreshes(&other, token(&other, &fresh), now()).await.is_some());
}

/// Saves the store's content, or restores it: all later writes are lost.
async fn copy(redis: &RedisServer, from: &str, to: &str) {
    for key in redis.command::<Vec<String>>(&["KEYS", &format!("{to}{{offswitch}}*")]).await {
        redis.command::<i64>(&["DEL", &key]).await;
    }
    for key in redis.command::<Vec<String>>(&["KEYS", &format!("{from}{{offswitch}}*")]).await {
        let name = format!("{to}{}", key.strip_prefix(from).unwrap());
        redis.command::<i64>(&["COPY", &key, &name]).await;
    }
}

// R02, R13: Redis comes back without its last writes: ended sessions stay ended, by whichever
// request.
#[tokio::test]
async fn an_ended_session_stays_ended_when_the_store_has_lost_it() {
    let ways: [fn(&TokenPair) -> Revocation; 3] = [
        |one| Sessions::revocation(one.session, now()),
        |one| Revocation::Refresh { sid: one.session.to_string(), exp: now() + DAY },
        |_| Revocation::User {
            issuer: None,
            sub: "alice".to_owned(),
            issued_before: None,
            exp: now() + DAY,
        },
    ];
    for way in ways {
        let redis = RedisServer::start().await;
        let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
        let session = open(&plane, "alice", now()).await;
        copy(&redis, "", "kept:").await;
        revoke(&plane, way(&session)).await;
        plane.sessions.carry_out_endings().await.unwrap();
        copy(&redis, "kept:", "").await;
        let answered = refreshes(&plane, token(&plane, &session), now()).await;
        assert!(answered.is_none(), "{:?}", way(&session));
    }
}

// The write that redeemed the code is lost: the handle in the cookie proves that the code was
// redeemed.
#[tokio::test]
async fn a_handle_is_accepted_when_the_store_has_lost_its_login() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let handle = hand_over(&plane, async || copy(&redis, "", "kept:").await).await;
    copy(&redis, "kept:", "").await;
    assert!(plane.sessions.handover_token(handle, now()).await.unwrap().is_some());
    assert!(plane.sessions.handover_token(handle, now()).await.unwrap().is_some());
}

// R13: a document that cannot be read delays no logout of other users; its own logout does not need
// it.
#[tokio::test]
async fn a_damaged_document_does_not_undo_the_logouts_of_others() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let (alice, bob) = (open(&plane, "alice", now()).await, open(&plane, "bob", now()).await);
    let broken = format!("{{offswitch}}:doc:user:{}", alice.session.user());
    redis.command::<()>(&["SET", &broken, "broken"]).await;
    for session in [&alice, &bob] {
        revoke(&plane, Sessions::revocation(session.session, now())).await;
    }
    plane.sessions.carry_out_endings().await.unwrap();
    let later = plane_at(&redis.url(), ISSUER, MASTER, now() + 2 * DAY).await;
    assert!(refreshes(&later, token(&later, &bob), now() + 2 * DAY).await.is_none());
    let damaged = later.sessions.refresh(token(&later, &alice), None, None, now()).await;
    assert!(matches!(damaged, Err(PlaneError::Store(_))));
}

// R13: a logout was acknowledged, and the store failed for days before the stored session was
// marked as ended: the process still knows it.
#[tokio::test]
async fn a_logout_is_not_forgotten_before_it_is_carried_out() {
    let redis = RedisServer::start().await;
    let plane = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let session = open(&plane, "bob", now()).await;
    revoke(&plane, Sessions::revocation(session.session, now())).await;
    plane.publisher.rebuild_base(now() + 2 * DAY).await;
    let later = now() + 2 * DAY;
    assert!(refreshes(&plane, token(&plane, &session), later).await.is_none());
    plane.sessions.carry_out_endings().await.unwrap();
    assert!(refreshes(&plane, token(&plane, &session), later).await.is_none());
}
