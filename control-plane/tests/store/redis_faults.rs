//! Redis behind a network that loses and repeats messages, and a server that refuses.

use std::collections::BTreeMap;

use offswitch::store::{RedisStore, Store, StoreError};
use offswitch_core::log::Checkpoint;

use crate::place::{FIRST_ERA, options, request};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::redis_server::RedisServer;

// R05: the answer is lost after the execution, once or more often than the store retries: exactly
// one record exists, and repeating the request returns its position.
#[tokio::test]
async fn a_lost_reply_never_appends_twice() {
    let (_server, proxy, store) = behind_proxy().await;
    for times in [1, 2, 5] {
        let request = request(&times.to_string(), 0);
        proxy.set(Fault::LoseReply(times));
        let first = store.append(&request, b"record").await;
        let expected_success = times < 3;
        assert_eq!(first.is_ok(), expected_success, "{first:?}");
        proxy.set(Fault::None);
        let repeated = store.append(&request, b"record").await.unwrap();
        assert!(repeated.repeated);
        assert!(first.is_err() || first.unwrap().position == repeated.position);
    }
    let page = store.read(0, 10).await.unwrap();
    assert_eq!((page.head, page.records.len()), (3, 3));
}

// R05: every script runs twice, the second answer counts: the same outcome as once.
#[tokio::test]
async fn a_script_that_runs_twice_has_one_effect() {
    let (_server, proxy, store) = behind_proxy().await;
    proxy.set(Fault::Duplicate);
    change_everything(&store).await;
}

// R05: every script runs, its answer is lost, and the store repeats it: the answers are as if
// nothing had happened.
#[tokio::test]
async fn a_write_whose_reply_is_lost_is_answered_truthfully() {
    let (_server, proxy, store) = behind_proxy().await;
    let checkpoint = Checkpoint { seq: 1, bytes: b"one".to_vec() };
    store.append(&request("1", 0), b"one").await.unwrap();
    store.swap("other", b"", b"a", None).await.unwrap();
    proxy.set(Fault::LoseReply(1));
    assert_eq!(store.swap("keys", b"", b"a", None).await, Ok(true));
    proxy.set(Fault::LoseReply(1));
    assert_eq!(store.swap("other", b"", b"b", None).await, Ok(false));
    proxy.set(Fault::LoseReply(1));
    assert_eq!(store.trim(FIRST_ERA, &checkpoint).await, Ok(()));
    let end = store.end().await.unwrap();
    proxy.set(Fault::LoseReply(1));
    assert_eq!(store.start_era(end, 9, &checkpoint).await, Ok(true));
    proxy.set(Fault::LoseReply(1));
    let page = store.read(0, 10).await.unwrap();
    assert_eq!((page.era, page.checkpoint), (9, checkpoint));
}

// R10: no refusal of a server counts as a success, and the store works again afterwards.
#[tokio::test]
async fn an_error_of_the_server_is_never_a_success() {
    let (_server, proxy, store) = behind_proxy().await;
    for error in [
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "MISCONF Errors writing to the AOF file: Input/output error",
        "CLUSTERDOWN The cluster is down",
        "NOREPLICAS Not enough good replicas to write.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "NOSCRIPT No matching script. Please use EVAL.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "BUSY Redis is busy running a script.",
        "MOVED 1 127.0.0.1:1",
    ] {
        proxy.set(Fault::Answer(error));
        let is_full = error.starts_with("OOM") || error.contains("No space left");
        let is_expected = |found: &StoreError| match found {
            StoreError::Full(_) => is_full,
            StoreError::Unavailable(_) => !is_full,
            _ => false,
        };
        let appended = store.append(&request("a", 0), b"record").await;
        assert!(appended.as_ref().is_err_and(is_expected), "{error}: {appended:?}");
        let saved = store.swap("keys", b"", b"a", None).await;
        assert!(saved.as_ref().is_err_and(is_expected), "{error}: {saved:?}");
        proxy.set(Fault::None);
        assert_eq!(store.read(0, 10).await.unwrap().head, 0, "{error}");
    }
    assert!(!store.append(&request("a", 0), b"record").await.unwrap().repeated);
}

// R10, R16: a real server out of memory, and one without its required replicas.
#[tokio::test]
async fn a_server_that_must_not_write_is_unavailable() {
    let server = RedisServer::start().await;
    let store = RedisStore::connect(options(&server.url())).await.unwrap();
    for (name, value, usual) in [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")] {
        server.command::<()>(&["CONFIG", "SET", name, value]).await;
        let appended = store.append(&request("a", 0), b"record").await;
        let is_expected = match &appended {
            Err(StoreError::Full(_)) => name == "maxmemory",
            Err(StoreError::Unavailable(_)) => name != "maxmemory",
            _ => false,
        };
        assert!(is_expected, "{name}: {appended:?}");
        server.command::<()>(&["CONFIG", "SET", name, usual]).await;
    }
    assert!(!store.append(&request("a", 0), b"record").await.unwrap().repeated);
    assert_eq!(store.read(0, 10).await.unwrap().head, 1);
}

// R04: everything that has a TTL expires at the same time; log, checkpoint and documents are
// complete and positions continue.
#[tokio::test]
async fn nothing_but_the_memory_of_requests_expires() {
    let server = RedisServer::start().await;
    let store = RedisStore::connect(options(&server.url())).await.unwrap();
    change_everything(&store).await;
    let before = (store.read(0, 10).await, store.load("keys").await);
    let mut expiring = BTreeMap::new();
    for key in server.command::<Vec<String>>(&["KEYS", "*"]).await {
        let seconds = server.command::<i64>(&["TTL", &key]).await;
        if seconds >= 0 {
            server.command::<()>(&["DEL", &key]).await;
            expiring.insert(key, seconds);
        }
    }
    assert_eq!(expiring.len(), 3);
    for (key, seconds) in expiring {
        assert!(key.starts_with("{offswitch}:request:"), "{key}");
        assert!((86_000..=86_400).contains(&seconds), "{seconds}");
    }
    assert_eq!((store.read(0, 10).await, store.load("keys").await), before);
    assert_eq!(store.append(&request("3", 0), b"again").await.unwrap().position.seq, 4);
}

// R03: the log is deleted under the store, in whole or in part: no position is used a second time,
// and a new era can begin.
#[tokio::test]
async fn a_log_that_is_gone_takes_no_record_before_a_new_era() {
    let server = RedisServer::start().await;
    let store = RedisStore::connect(options(&server.url())).await.unwrap();
    store.append(&request("1", 0), b"one").await.unwrap();
    server.command::<()>(&["DEL", "{offswitch}:log"]).await;
    let appended = store.append(&request("2", 0), b"two").await;
    assert_eq!(appended, Err(StoreError::Moved));
    let read = store.read(0, 10).await;
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");

    server.command::<()>(&["FLUSHALL"]).await;
    let appended = store.append(&request("2", 0), b"two").await;
    assert_eq!(appended, Err(StoreError::Moved));
    let page = store.read(0, 10).await.unwrap();
    assert_eq!((page.era, page.head), (FIRST_ERA, 0));
    let checkpoint = Checkpoint { seq: 1, bytes: b"one".to_vec() };
    let end = store.end().await.unwrap();
    assert_eq!(end, page.end());
    assert_eq!(store.start_era(end, 8, &checkpoint).await, Ok(true));
    assert_eq!(store.append(&request("2", 0), b"two").await.unwrap().position.seq, 2);
    assert_eq!(store.read(0, 10).await.unwrap().checkpoint, checkpoint);
}

// D84: a store that knows a checkpoint comes back empty, several times: each time it is an empty
// log, and a new era can begin.
#[tokio::test]
async fn a_store_that_comes_back_empty_is_empty_any_number_of_times() {
    let server = RedisServer::start().await;
    let store = RedisStore::connect(options(&server.url())).await.unwrap();
    change_everything(&store).await;
    for era in 10..13 {
        server.command::<()>(&["FLUSHALL"]).await;
        let page = store.read(0, 10).await.unwrap();
        assert_eq!((page.head, &page.checkpoint), (0, &Checkpoint::default()));
        let checkpoint = Checkpoint { seq: era, bytes: b"all".to_vec() };
        assert_eq!(store.start_era(page.end(), era, &checkpoint).await, Ok(true));
        assert_eq!(store.read(0, 10).await.unwrap().checkpoint, checkpoint);
    }
}

// D80, R21: a primary becomes a replica under the store, and its new primary cannot be reached. It
// still answers reads, but the store does not accept its answers as the log.
#[tokio::test]
async fn a_primary_that_was_demoted_is_not_read() {
    let server = RedisServer::start().await;
    let store = RedisStore::connect(options(&server.url())).await.unwrap();
    change_everything(&store).await;
    let out_of_reach = crate::support::redis_server::free_port().to_string();
    server.command::<()>(&["REPLICAOF", "127.0.0.1", &out_of_reach]).await;
    for _ in 0..3 {
        let read = store.read(0, 10).await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    }
    let appended = store.append(&request("late", 0), b"late").await;
    assert!(matches!(appended, Err(StoreError::Unavailable(_))), "{appended:?}");
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(store.read(0, 10).await.unwrap().head, 3);
}

// The checkpoint's bytes are not the written ones: that is damage, not a smaller set of
// revocations.
#[tokio::test]
async fn an_altered_checkpoint_is_noticed() {
    let server = RedisServer::start().await;
    let store = RedisStore::connect(options(&server.url())).await.unwrap();
    change_everything(&store).await;
    for command in
        [&["SET", "{offswitch}:checkpoint", "less"][..], &["DEL", "{offswitch}:checkpoint"]]
    {
        server.command::<()>(command).await;
        let fresh = RedisStore::connect(options(&server.url())).await.unwrap();
        let read = fresh.read(0, 10).await;
        assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
    }
}

/// Calls every script; afterwards there is a checkpoint of three records in era 9.
async fn change_everything(store: &RedisStore) {
    for (seq, id) in (1..).zip(["1", "2", "3"]) {
        let appended = store.append(&request(id, 0), id.as_bytes()).await.unwrap();
        assert_eq!(appended.position.seq, seq);
    }
    let checkpoint = Checkpoint { seq: 3, bytes: b"three".to_vec() };
    let end = store.end().await.unwrap();
    assert_eq!(store.start_era(end, 9, &checkpoint).await, Ok(true));
    store.trim(9, &checkpoint).await.unwrap();
    assert_eq!(store.swap("keys", b"", b"a", None).await, Ok(true));
    assert_eq!(store.load("keys").await.unwrap(), b"a");
    let page = store.read(0, 10).await.unwrap();
    assert_eq!((page.era, page.head, page.checkpoint), (9, 3, checkpoint));
}

async fn behind_proxy() -> (RedisServer, FaultProxy, RedisStore) {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.port()).await;
    let store = RedisStore::connect(options(&proxy.url())).await.unwrap();
    (server, proxy, store)
}
