//! Logs with unusual records.

use std::sync::Arc;

use offswitch::plane::Plane;
use offswitch::store::{EmbeddedStore, Request, Store};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_verifier::Feed;

use crate::several_processes::ISSUER;
use crate::support::follower::now;
use crate::support::gated_store::GatedStore;
use crate::support::in_process::{MASTER, plane_on};

// A record that this version cannot read: the records before it on the same page are published, and
// a logout among them stays in force.
#[tokio::test]
async fn the_records_before_a_damaged_one_are_published() {
    let (_folder, store) = store();
    let plane = plane_on(store.clone(), ISSUER, MASTER, now()).await;
    append(&*store, "good", token("good", now() + 60)).await;
    store.append(&request("bad"), b"not a record").await.unwrap();
    assert!(plane.log.catch_up().await.is_err());
    assert_eq!(plane.log.position().seq, 1);
    let known = plane.publisher.snapshot(None).unwrap().position;
    assert_eq!(plane.publisher.snapshot(Some(known)).unwrap().position.seq, 1);
}

// Whether a record ends sessions is known once it is folded: those that end none are not read a second time.
#[tokio::test]
async fn only_records_that_end_sessions_are_read_a_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let inner = EmbeddedStore::open(&folder.path().join("log.redb"), 1).unwrap();
    let store = Arc::new(GatedStore::new(inner));
    let plane = plane_on(store.clone(), ISSUER, MASTER, now()).await;
    plane.sessions.carry_out_endings().await.unwrap();
    let carried_out = async |id: &str, revocation| {
        append(&*store, id, revocation).await;
        plane.log.catch_up().await.unwrap();
        let before = store.reads();
        plane.sessions.carry_out_endings().await.unwrap();
        store.reads() - before
    };
    // One reading, which finds nothing new: what was folded before is the log.
    assert_eq!(carried_out("a", token("a", now() + 60)).await, 1);
    assert!(carried_out("b", user("alice", now() + 60)).await > 1);
    assert_eq!(carried_out("c", token("c", now() + 60)).await, 1);
}

// One token is valid for a year: a week later its record leaves the log with the others, and the
// token stays revoked, also at a process that starts then.
#[tokio::test]
async fn a_long_lived_entry_does_not_prevent_trimming_the_log() {
    let (_folder, store) = store();
    let plane = plane_on(store.clone(), ISSUER, MASTER, now()).await;
    append(&*store, "first", token("first", now() + 60)).await;
    append(&*store, "long", token("long", now() + 366 * DAY)).await;
    append(&*store, "user", user("alice", now() + 366 * DAY)).await;
    append(&*store, "last", token("last", now() + 60)).await;
    plane.sessions.carry_out_endings().await.unwrap();
    plane.trim(now() + 2 * DAY).await.unwrap();
    assert_eq!(store.read(0, 10).await.unwrap().checkpoint.seq, 1, "too early: it is still listed");
    plane.trim(now() + 8 * DAY).await.unwrap();
    assert_eq!(store.read(0, 10).await.unwrap().checkpoint.seq, 4);
    let fresh = plane_on(store.clone(), ISSUER, MASTER, now()).await;
    let feed = followed(&fresh);
    assert!(feed.is_denied(ISSUER, "jti", "long"));
    assert_eq!(feed.cutoff(ISSUER, "sub", "alice").unwrap().minimum_version, 3);
    assert!(!feed.is_denied(ISSUER, "jti", "first"));
    assert_eq!(fresh.log.folded().reached(), plane.log.folded().reached());
    assert!(!fresh.log.folded().lacks(&plane.log.folded(), now() + 8 * DAY));
    // The running process continues, and so does the next trim.
    append(&*store, "more", token("more", now() + 60)).await;
    plane.log.catch_up().await.unwrap();
    assert_eq!((plane.log.position().era, plane.log.position().seq), (1, 5));
    plane.sessions.carry_out_endings().await.unwrap();
    plane.trim(now() + 367 * DAY + 8 * DAY).await.unwrap();
    let fresh = plane_on(store, ISSUER, MASTER, now()).await;
    assert_eq!(fresh.log.folded().entries(), 0);
}

fn store() -> (tempfile::TempDir, Arc<EmbeddedStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&folder.path().join("log.redb"), 1).unwrap());
    (folder, store)
}

async fn append(store: &dyn Store, id: &str, revocation: Revocation) {
    let (by, revocations) = ("test".to_owned(), vec![revocation]);
    let record = Record { at: now(), by, reason: None, revocations };
    store.append(&request(id), &record.encode()).await.unwrap();
}

fn request(id: &str) -> Request {
    Request { id: id.to_owned(), digest: [0; 32], memory: REQUEST_MEMORY }
}

fn token(jti: &str, exp: u64) -> Revocation {
    Revocation::Token { issuer: None, jti: jti.to_owned(), exp }
}

fn user(sub: &str, exp: u64) -> Revocation {
    Revocation::User { issuer: None, sub: sub.to_owned(), issued_before: None, exp }
}

fn followed(plane: &Plane) -> Feed {
    let mut feed = Feed::new(ISSUER.to_owned(), plane.signing.feed_keys());
    feed.apply(plane.publisher.snapshot(None).unwrap().bytes.to_vec(), now()).unwrap();
    feed
}

const DAY: u64 = 24 * 60 * 60;
