//! Appends that wait for replicas.

use std::time::{Duration, Instant};

use offswitch::store::{Durability, RedisOptions, RedisStore, Store, StoreError};

use crate::place::{options, request};
use crate::support::fault_proxy::FaultProxy;
use crate::support::redis_server::RedisServer;

async fn waiting(server: &RedisServer, wait_replicas: u32) -> RedisStore {
    let options = RedisOptions { wait_replicas, deadline: DEADLINE, ..options(&server.url()) };
    RedisStore::connect(options).await.unwrap()
}

// R25: two replicas: the level names how many have the record.
#[tokio::test]
async fn an_append_says_how_many_replicas_have_it() {
    let primary = RedisServer::start().await;
    let replicas = [RedisServer::start().await, RedisServer::start().await];
    for replica in &replicas {
        replica.replicate(primary.port()).await;
    }
    let store = waiting(&primary, 2).await;
    let first = store.append(&request("a", 0), b"record").await.unwrap();
    assert_eq!((first.durability, first.repeated), (Durability::Replicated(2), false));
    let again = store.append(&request("a", 0), b"record").await.unwrap();
    assert_eq!((again.durability, again.repeated), (Durability::Replicated(2), true));
    assert_eq!(store.recall(&request("a", 0)).await, Ok(Some(again)));
    assert_eq!(store.recall(&request("b", 0)).await, Ok(None));
    assert_eq!(store.durability(), Some(Durability::Replicated(2)));
    for replica in &replicas {
        let length = replica.command::<u64>(&["XLEN", "{offswitch}:log"]).await;
        assert_eq!(length, 1, "it was there before the answer");
    }
}

// R25: the link to the replica goes dead without a word. Nothing is acknowledged, however often it
// is asked, until the replica has it; reading is not held up in the meantime.
#[tokio::test]
async fn nothing_is_acknowledged_while_the_replica_is_cut_off() {
    let primary = RedisServer::start().await;
    let replica = RedisServer::start().await;
    let link = FaultProxy::start(primary.port()).await;
    replica.replicate(link.port()).await;
    let store = waiting(&primary, 1).await;
    store.append(&request("before", 0), b"record").await.unwrap();

    link.silence_connections();
    let too_few = StoreError::TooFewReplicas { acknowledged: 0, needed: 1 };
    assert_eq!(store.append(&request("a", 0), b"record").await, Err(too_few.clone()));
    assert_eq!(store.append(&request("a", 0), b"record").await, Err(too_few.clone()));
    assert_eq!(store.recall(&request("a", 0)).await, Err(too_few.clone()));
    // A new connection has not written it, and must wait for it all the same.
    let other = waiting(&primary, 1).await;
    assert_eq!(other.append(&request("a", 0), b"record").await, Err(too_few.clone()));
    assert_eq!(waiting(&primary, 1).await.recall(&request("a", 0)).await, Err(too_few));
    let late = request("b", 0);
    let (appended, read) = tokio::join!(store.append(&late, b"record"), async {
        let begin = Instant::now();
        let mut slowest = Duration::ZERO;
        while begin.elapsed() < DEADLINE / 4 {
            let asked = Instant::now();
            store.read(0, 10).await.unwrap();
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    });
    assert!(matches!(appended, Err(StoreError::TooFewReplicas { .. })), "{appended:?}");
    assert!(read < DEADLINE / 4, "a reading took {read:?}");

    replica.replicate(link.port()).await;
    let again = store.append(&request("a", 0), b"record").await.unwrap();
    assert_eq!((again.durability, again.repeated), (Durability::Replicated(1), true));
    assert_eq!((again.position.seq, store.read(0, 10).await.unwrap().head), (2, 3));
}

// A log that has moved is said, and not hidden behind replicas that are missing.
#[tokio::test]
async fn a_log_that_moved_is_said_without_replicas() {
    let server = RedisServer::start().await;
    let store = waiting(&server, 1).await;
    server.command::<()>(&["FLUSHALL"]).await;
    assert_eq!(store.append(&request("a", 0), b"record").await, Err(StoreError::Moved));
}

// A failover may lose what is not demanded of replicas: that is a finding where there are some.
#[tokio::test]
async fn replicas_that_nothing_waits_for_are_a_finding() {
    let primary = RedisServer::start().await;
    let replica = RedisServer::start().await;
    replica.replicate(primary.port()).await;
    let codes = async |store: &RedisStore| {
        let findings = store.findings().await.unwrap();
        findings.into_iter().map(|finding| (finding.code, finding.fatal)).collect::<Vec<_>>()
    };
    let store = waiting(&primary, 0).await;
    assert_eq!(codes(&store).await, [("store_may_lose_writes", false)]);
    assert_eq!(codes(&waiting(&primary, 1).await).await, []);
    primary.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    assert_eq!(codes(&store).await, []);
}

const DEADLINE: Duration = Duration::from_secs(2);
