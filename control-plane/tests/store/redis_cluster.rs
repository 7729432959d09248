//! A store in one slot of a real cluster: migrations, failovers, seeds that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use offswitch::store::{Durability, RedisOptions, RedisStore, Store, StoreError};
use offswitch_core::log::Checkpoint;
use tokio::time::sleep;

use crate::place::{FIRST_ERA, options, request};
use crate::redis_slots::call_everything;
use crate::support::cluster::Cluster;
use crate::support::redis_server::free_port;
use crate::support::redis_user;

async fn open(url: &str, wait_replicas: u32) -> RedisStore {
    RedisStore::connect(RedisOptions { wait_replicas, ..options(url) }).await.unwrap()
}

/// Appends until `stop` is set; what was acknowledged, and how many calls failed.
async fn append_until(
    store: Arc<RedisStore>,
    stop: Arc<AtomicBool>,
) -> (BTreeMap<u64, String>, u32) {
    let (mut acknowledged, mut failed) = (BTreeMap::new(), 0);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("record {number}");
        match store.append(&request(&name, 0), name.as_bytes()).await {
            Ok(appended) => drop(acknowledged.insert(appended.position.seq, name)),
            Err(StoreError::Unavailable(_)) => failed += 1,
            Err(error) => panic!("{error}"),
        }
        sleep(Duration::from_millis(1)).await;
    }
    (acknowledged, failed)
}

// R24, R18: one seed is gone, one is a replica of another slot: the node with the slot is found, with
// the user of the guide.
#[tokio::test]
async fn any_node_leads_to_the_slot() {
    let cluster = Cluster::start().await;
    let gone = format!("redis+cluster://few:secret@127.0.0.1:{}", free_port());
    let (_, holder) = cluster.slot_of("{offswitch}:meta").await;
    let more = ["+cluster|slots", "+cluster|keyslot", "+asking", "+config|get"];
    for node in &cluster.nodes {
        node.command::<()>(&redis_user::command("few", ">secret", &more)).await;
    }
    let url = cluster.url(&[(holder + 1) % 3 + 3]).replace("redis+cluster://", &format!("{gone},"));
    let store = open(&url, 1).await;
    call_everything(&store).await;
    let appended = store.append(&request("a", 0), b"a").await.unwrap();
    assert_eq!(appended.durability, Durability::Replicated(1));
    assert_eq!(store.findings().await, Ok(vec![]));
}

// R24: the slot moves under load, key by key, and back again: nothing that was acknowledged is
// lost, nothing is there twice, and appending works as soon as the slot has moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_under_load_loses_nothing() {
    let cluster = Cluster::start().await;
    let store = Arc::new(open(&cluster.url(&[0, 1, 2]), 0).await);
    let (slot, holder) = cluster.slot_of("{offswitch}:meta").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(append_until(Arc::clone(&store), Arc::clone(&stop)));
    for (from, to) in [(holder, (holder + 1) % 3), ((holder + 1) % 3, holder)] {
        sleep(Duration::from_millis(300)).await;
        cluster.begin_move(&slot, from, to).await;
        while cluster.move_keys(&slot, from, to, 20).await > 0 {}
        cluster.end_move(&slot, from, to).await;
        let begin = Instant::now();
        let name = format!("after the move to {to}");
        while store.append(&request(&name, 0), name.as_bytes()).await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "not available again");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (acknowledged, failed) = writer.await.unwrap();
    let mut log = BTreeMap::new();
    loop {
        let after = log.last_key_value().map_or(0, |(seq, _)| *seq);
        let page = store.read(after, 1000).await.unwrap();
        let texts = page.records.into_iter().map(|(seq, bytes)| (seq, String::from_utf8(bytes)));
        log.extend(texts.map(|(seq, text)| (seq, text.unwrap())));
        if log.last_key_value().map_or(0, |(seq, _)| *seq) == page.head {
            break;
        }
    }
    println!("{} acknowledged, {failed} refused", acknowledged.len());
    assert!(acknowledged.len() > 50, "only {} appends", acknowledged.len());
    for (seq, name) in acknowledged {
        assert_eq!(log.get(&seq), Some(&name));
    }
    let names: std::collections::BTreeSet<_> = log.values().collect();
    assert_eq!(names.len(), log.len());
}

// R24: all keys have moved, the slot has not: what exists is read from the other node (ASK), and
// nothing is appended twice once it has.
#[tokio::test]
async fn a_slot_on_its_way_is_read_where_its_keys_are() {
    let cluster = Cluster::start().await;
    let store = open(&cluster.url(&[0]), 0).await;
    let (slot, holder) = cluster.slot_of("{offswitch}:meta").await;
    let to = (holder + 1) % 3;
    for id in ["a", "b"] {
        store.append(&request(id, 0), id.as_bytes()).await.unwrap();
    }
    let checkpoint = Checkpoint { seq: 1, bytes: b"one".to_vec() };
    store.trim(FIRST_ERA, &checkpoint).await.unwrap();
    store.swap("keys", b"", b"content", None).await.unwrap();
    cluster.begin_move(&slot, holder, to).await;
    while cluster.move_keys(&slot, holder, to, 100).await > 0 {}
    let page = store.read(0, 10).await.unwrap();
    assert_eq!((page.head, page.checkpoint), (2, checkpoint));
    assert_eq!(store.load("keys").await.unwrap(), b"content");
    assert!(store.append(&request("a", 0), b"a").await.unwrap().repeated);
    let begin = Instant::now();
    store.wait(2, Duration::from_secs(1)).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    let late = store.append(&request("c", 0), b"c").await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    cluster.end_move(&slot, holder, to).await;
    assert_eq!(store.append(&request("c", 0), b"c").await.unwrap().position.seq, 3);
}

// R24: the primary of the slot is killed, and it was the only seed: the store finds its replica
// through what it has learned of the cluster, and loses nothing that this replica had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_of_the_only_seed_is_survived() {
    let mut cluster = Cluster::start().await;
    let (_, holder) = cluster.slot_of("{offswitch}:meta").await;
    let store = Arc::new(open(&cluster.url(&[holder]), 1).await);
    for number in 0..50 {
        let name = format!("before {number}");
        store.append(&request(&name, 0), name.as_bytes()).await.unwrap();
    }
    cluster.nodes[holder].kill();
    let begin = Instant::now();
    // The new primary has no replica of its own, so only its own word can be had.
    while store.read(0, 1).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "not available again");
        sleep(Duration::from_millis(50)).await;
    }
    println!("read again after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(store.read(0, 100).await.unwrap().head, 50);
    let without = open(&cluster.url(&[holder, holder + 3]), 0).await;
    let after = without.append(&request("after", 0), b"after").await.unwrap();
    assert_eq!((after.position.seq, after.repeated), (51, false));
    cluster.nodes[holder].start_again().await;
    let begin = Instant::now();
    while store.append(&request("replicated", 0), b"again").await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "no replica again");
    }
}
