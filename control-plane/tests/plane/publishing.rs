//! Static publication: wherever its writers stop, a reader of the files finds what a head names.

use std::sync::Arc;
use std::time::Duration;

use offswitch::plane::{
    Outcome, PlaceError, Plane, Publication, PublicationSecrets, PublicationSettings,
};
use offswitch::store::{EmbeddedStore, Request};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::FeedHead;
use tempfile::TempDir;

use crate::several_processes::ISSUER;
use crate::support::follower::{Follower, now};
use crate::support::head_reader::{Read, head_of, read};
use crate::support::in_process::{MASTER, plane_at, plane_on};
use crate::support::redis_server::RedisServer;
use crate::support::shelf::Shelf;

async fn started() -> (Arc<Plane>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("log.redb"), 1).unwrap();
    let plane = plane_on(Arc::new(store), ISSUER, MASTER, now()).await;
    plane.spawn_tasks();
    (plane, folder)
}

/// A process that publishes there, and has not published before.
fn publication(plane: &Plane, shelf: &Shelf) -> Publication {
    beating(plane, shelf, 5)
}

fn beating(plane: &Plane, shelf: &Shelf, heartbeat_seconds: u64) -> Publication {
    let settings = PublicationSettings {
        to: None,
        secrets: PublicationSecrets::default(),
        interval_seconds: 1,
        heartbeat_seconds,
    };
    Publication::new(&settings, shelf.boxed(), plane.publisher.clone())
}

async fn revoke(plane: &Plane, jti: &str) {
    let request = Request { id: jti.to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
    let exp = now() + 60;
    let revocations = vec![Revocation::Token { issuer: None, jti: jti.to_owned(), exp }];
    let record = Record { at: now(), by: "test".to_owned(), reason: None, revocations };
    let revoked = plane.log.revoke(&request, &record).await.unwrap();
    plane.log.wait_folded(revoked.position, Duration::from_secs(5)).await;
}

fn reader(plane: &Plane) -> Follower {
    Follower::of_feed(ISSUER, &plane.signing.feed_keys())
}

fn has(follower: &Follower, jti: &str) -> bool {
    follower.verifier().feed().is_denied(ISSUER, "jti", jti)
}

async fn current(follower: &mut Follower, shelf: &Shelf) -> Vec<String> {
    match read(follower, ISSUER, shelf).await {
        Read::Current(parts) => parts,
        other => panic!("{other:?}, of {:?}", shelf.names()),
    }
}

// P05: a publisher that is killed between any two of its writes leaves the head before, with all its parts; the next
// one carries on.
#[tokio::test]
async fn a_publisher_that_dies_between_any_two_writes_leaves_a_head_with_all_its_parts() {
    let (plane, _folder) = started().await;
    let mut deaths = 0;
    for writes in 0.. {
        let shelf = Shelf::new(writes % 2 == 0);
        revoke(&plane, &format!("before {writes}")).await;
        // Nothing is there yet, or a first head.
        let first = publication(&plane, &shelf.dying_after(writes)).round(0).await;
        match read(&mut reader(&plane), ISSUER, &shelf).await {
            Read::NoHead => assert!(first.is_err()),
            Read::Current(_) => assert!(first.is_ok()),
            other => panic!("{other:?} after {writes} writes"),
        }
        publication(&plane, &shelf).round(0).await.unwrap();
        let mut follower = reader(&plane);
        current(&mut follower, &shelf).await;
        revoke(&plane, &format!("after {writes}")).await;
        plane.publisher.rebuild_base(now()).await;
        let died = publication(&plane, &shelf.dying_after(writes)).round(1).await;
        current(&mut follower, &shelf).await;
        let mut fresh = reader(&plane);
        current(&mut fresh, &shelf).await;
        for seen in [&follower, &fresh] {
            assert_eq!(has(seen, &format!("after {writes}")), died.is_ok(), "{writes}");
        }
        publication(&plane, &shelf).round(2).await.unwrap();
        for seen in [&mut follower, &mut fresh] {
            current(seen, &shelf).await;
            assert!(has(seen, &format!("after {writes}")));
        }
        deaths += usize::from(died.is_err());
        if died.is_ok() && first.is_ok() {
            break;
        }
    }
    assert!(deaths >= 3, "a delta, a base and the head are written: {deaths}");
}

// P05: processes publish at the same place at the same time, without a leader: no head goes back, none names a part
// that is missing, and readers need no base for it.
#[tokio::test]
async fn several_publishers_share_a_place_without_a_leader() {
    for compares in [true, false] {
        let redis = RedisServer::start().await;
        let one = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
        let other = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
        one.spawn_tasks();
        other.spawn_tasks();
        let shelf = Shelf::new(compares);
        let writers = [publication(&one, &shelf), publication(&other, &shelf)];
        let (mut follower, mut positions) = (reader(&one), vec![]);
        let mut fetched_bases = 0;
        for number in 0..60_u64 {
            let plane = if number % 3 == 0 { &other } else { &one };
            revoke(plane, &format!("token {number}")).await;
            let [a, b] = [&writers[0], &writers[1]];
            let (a, b) = tokio::join!(a.round(number), b.round(number));
            assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
            let head = head_of(&shelf).await.unwrap();
            positions.push(head.position);
            match read(&mut follower, ISSUER, &shelf).await {
                Read::Current(parts) => {
                    fetched_bases += parts.iter().filter(|one| one.starts_with("bases/")).count();
                }
                // A head that is written over by one that does not know it, which the next round makes up for.
                Read::Behind | Read::NoWay => assert!(!compares, "a head went back"),
                other => panic!("{other:?}"),
            }
        }
        assert!(positions.is_sorted() || !compares, "{positions:?}");
        assert!(fetched_bases <= 2, "{fetched_bases} bases");
        let mut tries = 0;
        while tries < 4 || head_of(&shelf).await.unwrap().position < one.log.position() {
            writers[tries % 2].round(60).await.unwrap();
            tries += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut fresh = reader(&one);
        for seen in [&mut follower, &mut fresh] {
            current(seen, &shelf).await;
            assert!((0..60).all(|number| has(seen, &format!("token {number}"))));
        }
    }
}

// P05: a reader that was away for any number of publications, up to those that a head goes back to, needs no base.
#[tokio::test]
async fn a_reader_that_was_away_needs_few_parts() {
    let (plane, _folder) = started().await;
    let (shelf, mut away) = (Shelf::new(true), vec![]);
    let writer = publication(&plane, &shelf);
    for number in 0..60_u64 {
        revoke(&plane, &format!("token {number}")).await;
        assert!(matches!(writer.round(0).await, Ok(Outcome::Published(_))));
        let mut follower = reader(&plane);
        current(&mut follower, &shelf).await;
        away.push(follower);
    }
    for (number, mut follower) in away.into_iter().enumerate() {
        let parts = current(&mut follower, &shelf).await;
        assert!(parts.len() <= 8, "{number}: {parts:?}");
        assert!(parts.iter().all(|part| part.starts_with("deltas/")), "{number}: {parts:?}");
        assert!(has(&follower, "token 59"));
    }
}

// P05: what is at the place already is no head of this feed, or is one that no reader trusts: it is written over, and
// other files are left alone. A head of another feed is not.
#[tokio::test]
async fn old_and_odd_files_do_not_confuse_publishers() {
    let (plane, _folder) = started().await;
    revoke(&plane, "one").await;
    let shelf = Shelf::new(true);
    publication(&plane, &shelf).round(0).await.unwrap();
    let good = head_of(&shelf).await.unwrap();
    let forged = |change: &dyn Fn(&mut FeedHead)| {
        let mut head = good.clone();
        change(&mut head);
        serde_json::to_vec(&head).unwrap()
    };
    let far = forged(&|head| {
        head.position.seq += 1_000;
        head.base.position = head.position;
    });
    let unsigned = forged(&|head| head.heartbeat = FeedHead::heartbeat_text(b"nothing"));
    let backwards = forged(&|head| {
        head.base.position = head.position;
        head.base.position.seq += 1;
    });
    for odd in [b"".to_vec(), b"{}".to_vec(), b"[1".to_vec(), far, unsigned, backwards] {
        shelf.put("head", odd.clone());
        for name in ["README", "bases/junk", "deltas/1.2_1.3x", "bases/../head"] {
            shelf.put(name, b"junk".to_vec());
        }
        let outcome = publication(&plane, &shelf).round(0).await;
        let published = Ok(Outcome::Published(plane.log.position()));
        assert_eq!(outcome, published, "{}", String::from_utf8_lossy(&odd));
        let mut follower = reader(&plane);
        current(&mut follower, &shelf).await;
        assert!(has(&follower, "one"));
    }
    let writer = publication(&plane, &shelf);
    for at in (0..100).map(|one| 20 * one) {
        writer.sweep(at).await.unwrap();
    }
    for name in ["README", "bases/junk", "deltas/1.2_1.3x", "bases/../head"] {
        assert_eq!(shelf.get(name).as_deref(), Some(&b"junk"[..]), "{name}");
    }
    shelf.put("head", forged(&|head| head.feed = "https://other.example".to_owned()));
    let foreign = Err(PlaceError::Foreign("https://other.example".to_owned()));
    assert_eq!(publication(&plane, &shelf).round(0).await, foreign);
}

// P05: parts are removed once no head that a cache may still have names them, and all others stay.
#[tokio::test]
async fn parts_are_removed_when_no_head_in_use_names_them() {
    let (plane, _folder) = started().await;
    let shelf = Shelf::new(true);
    let writers = [publication(&plane, &shelf), publication(&plane, &shelf)];
    let (mut heads, mut most, mut removed) = (vec![], 0, 0);
    for number in 0..120_u64 {
        let at = number * 10;
        revoke(&plane, &format!("token {number}")).await;
        if number % 5 == 0 {
            plane.publisher.rebuild_base(now()).await;
        }
        // Now the one, now the other.
        let writer = &writers[usize::from(number % 7 < 3)];
        writer.round(at).await.unwrap();
        for writer in &writers {
            removed += writer.sweep(at).await.unwrap();
        }
        heads.push((at, head_of(&shelf).await.unwrap()));
        let in_use = heads.iter().filter(|(published, _)| published + 130 >= at);
        for part in in_use.flat_map(|(_, head)| head.parts()) {
            assert!(shelf.get(&part.to_string()).is_some(), "{part} is missing at {at}");
        }
        most = most.max(shelf.names().len());
    }
    assert!(removed > 100 && most < 250, "{removed} removed, at most {most}");
}

// P05: readers get a heartbeat every few seconds, and nothing is written in between.
#[tokio::test]
async fn without_news_only_the_heartbeat_is_renewed() {
    let (plane, _folder) = started().await;
    revoke(&plane, "one").await;
    let shelf = Shelf::new(true);
    let writer = beating(&plane, &shelf, 3);
    let published = Ok(Outcome::Published(plane.log.position()));
    assert_eq!(writer.round(0).await, published);
    let names = shelf.names();
    assert_eq!(writer.round(1).await, Ok(Outcome::Idle));
    // Another process finds a fresh head, too; but its keys may be newer, so its first base is published with
    // the next news.
    assert_eq!(publication(&plane, &shelf).round(1).await, Ok(Outcome::Idle));
    let old = head_of(&shelf).await.unwrap();
    let heartbeat = old.open_heartbeat(&plane.signing.feed_keys()).unwrap();
    assert!(heartbeat.issued_at() + 60 <= heartbeat.valid_until());
    // The time of the heartbeat, a second that is cut off, and the time until the log is read again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(writer.round(6).await, published);
    assert_eq!(shelf.names(), names, "no part is written for a heartbeat");
    let renewed = head_of(&shelf).await.unwrap().open_heartbeat(&plane.signing.feed_keys());
    assert!(renewed.unwrap().issued_at() > heartbeat.issued_at());
}

// P05: what something else removes, such as a rule of the bucket, is replaced: by a base that serves all readers.
#[tokio::test]
async fn parts_that_something_else_removed_are_replaced() {
    let (plane, _folder) = started().await;
    let (shelf, writer_of) = (Shelf::new(true), |shelf: &Shelf| publication(&plane, shelf));
    let (writer, mut follower) = (writer_of(&shelf), reader(&plane));
    revoke(&plane, "one").await;
    writer.round(0).await.unwrap();
    current(&mut follower, &shelf).await;
    revoke(&plane, "two").await;
    writer.round(1).await.unwrap();
    for part in head_of(&shelf).await.unwrap().parts() {
        offswitch::plane::Place::remove(&shelf, part).await.unwrap();
    }
    assert!(matches!(read(&mut follower, ISSUER, &shelf).await, Read::Missing(_)));
    writer.sweep(60).await.unwrap();
    assert_eq!(writer.round(61).await, Ok(Outcome::Idle), "a list may be late");
    writer.sweep(120).await.unwrap();
    assert!(matches!(writer.round(121).await, Ok(Outcome::Published(_))));
    let mut fresh = reader(&plane);
    for seen in [&mut follower, &mut fresh] {
        current(seen, &shelf).await;
        assert!(has(seen, "two"));
    }
}

// P05: a place that does not answer delays no revocation, is reported, and gets everything once it answers.
#[tokio::test]
async fn a_place_that_fails_delays_no_revocation_and_is_made_up_for() {
    let (plane, _folder) = started().await;
    let shelf = Shelf::new(true);
    let dead = shelf.dying_after(0);
    let task = tokio::spawn(Arc::new(publication(&plane, &dead)).keep_published());
    let failed = async || {
        let findings = plane.log.findings().await.unwrap();
        findings.iter().any(|finding| finding.code == "publication_failed")
    };
    while !failed().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..50 {
        revoke(&plane, &format!("token {number}")).await;
    }
    assert!(failed().await && shelf.get("head").is_none());
    dead.revive();
    while failed().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut follower = reader(&plane);
    current(&mut follower, &shelf).await;
    assert!(has(&follower, "token 49"));
    task.abort();
}
