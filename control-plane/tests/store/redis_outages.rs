//! Servers that die, hang and come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch::store::{RedisOptions, RedisStore, Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::place::{options, request};
use crate::support::fault_proxy::FaultProxy;
use crate::support::redis_server::{RedisServer, free_port};

// Without a server there is an error within the deadline.
#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let begin = Instant::now();
    let connected =
        RedisStore::connect(options(&format!("redis://127.0.0.1:{}", free_port()))).await;
    assert!(matches!(connected, Err(StoreError::Unavailable(_))));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

// R09: the server stops and comes back on its port: calls fail fast, then work, without a restart.
#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let (mut server, store) = hasty_store().await;
    store.append(&request("a", 0), b"record").await.unwrap();
    let waiter = Arc::clone(&store);
    let waiting = tokio::spawn(async move { waiter.wait(1, Duration::from_secs(20)).await });
    sleep(Duration::from_millis(100)).await;
    server.kill();
    assert_unavailable(&store).await;
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Unavailable(_))));
    assert!(store.findings().await.is_err());
    server.start_again().await;
    assert_eq!(store.append(&request("b", 0), b"record").await.unwrap().position.seq, 2);
    store.wait(1, Duration::from_secs(20)).await.unwrap();
}

// R09: the server hangs with its connections open; when it continues, the store works again, and a
// request that had reached the server is appended once.
#[tokio::test]
async fn a_server_that_hangs_is_used_again() {
    let (server, store) = hasty_store().await;
    store.append(&request("a", 0), b"record").await.unwrap();
    server.pause();
    assert_unavailable(&store).await;
    let waited = timeout(PATIENCE, store.wait(1, Duration::from_secs(1))).await.unwrap();
    assert!(matches!(waited, Err(StoreError::Unavailable(_))), "{waited:?}");
    server.resume();
    let begin = Instant::now();
    let appended = store.append(&request("b", 0), b"record").await.unwrap();
    assert_eq!(appended.position.seq, 2);
    assert!(begin.elapsed() < Duration::from_secs(5));
    store.wait(2, Duration::from_millis(100)).await.unwrap();
    assert_eq!(store.read(0, 10).await.unwrap().head, 2);
}

// R09: connections go dead without notice, as behind a firewall that dropped their state: one call
// on each fails at its deadline, the next one uses a new connection.
#[tokio::test]
async fn a_dead_connection_is_replaced() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.port()).await;
    let options = RedisOptions { deadline: DEADLINE, ..options(&proxy.url()) };
    let store = Arc::new(RedisStore::connect(options).await.unwrap());
    store.wait(0, Duration::from_millis(10)).await.unwrap();
    proxy.silence_connections();
    assert_unavailable(&store).await;
    assert_eq!(store.append(&request("b", 0), b"record").await.unwrap().position.seq, 1);
    let waited = timeout(PATIENCE, store.wait(1, Duration::from_secs(1))).await.unwrap();
    assert!(matches!(waited, Err(StoreError::Unavailable(_))), "{waited:?}");
    store.wait(0, PATIENCE).await.unwrap();
    proxy.silence_connections();
    assert!(matches!(store.findings().await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.findings().await, Ok(Vec::new()));
}

// R11: the server closes idle connections: the first call after that does not fail.
#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_within_the_call() {
    let (server, store) = hasty_store().await;
    store.wait(0, Duration::from_millis(10)).await.unwrap();
    for id in ["a", "b", "c"] {
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        store.append(&request(id, 0), b"record").await.unwrap();
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        store.wait(0, Duration::from_millis(10)).await.unwrap();
    }
}

// R01: the server is killed several times during concurrent appends: every acknowledged record is
// at its position afterwards, and no request was appended twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_record_is_lost_when_the_server_is_killed() {
    let (mut server, store) = hasty_store().await;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let store = Arc::clone(&store);
            tasks.spawn(async move { append_until_killed(&store, round, task).await });
        }
        sleep(Duration::from_millis(150)).await;
        server.kill();
        acknowledged.extend(tasks.join_all().await.concat());
        server.start_again().await;
    }
    let mut records = Vec::new();
    loop {
        let after = records.len() as u64;
        let page = store.read(after, 1000).await.unwrap();
        records.extend(page.records);
        if records.len() as u64 == page.head {
            break;
        }
    }
    assert!(acknowledged.len() > 100, "only {} appends", acknowledged.len());
    for record in acknowledged {
        let index = usize::try_from(record.0 - 1).unwrap();
        assert_eq!(records.get(index), Some(&record));
    }
    let mut names: Vec<_> = records.into_iter().map(|(_, name)| name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

async fn append_until_killed(store: &RedisStore, round: u32, task: u32) -> Vec<(u64, Vec<u8>)> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("{round}-{task}-{number}");
        match store.append(&request(&name, 0), name.as_bytes()).await {
            Ok(appended) => acknowledged.push((appended.position.seq, name.into_bytes())),
            Err(StoreError::Unavailable(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    acknowledged
}

async fn assert_unavailable(store: &RedisStore) {
    let begin = Instant::now();
    let appended = store.append(&request("b", 0), b"record").await;
    assert!(matches!(appended, Err(StoreError::Unavailable(_))), "{appended:?}");
    assert!(begin.elapsed() < DEADLINE + Duration::from_millis(300), "{:?}", begin.elapsed());
}

async fn hasty_store() -> (RedisServer, Arc<RedisStore>) {
    let server = RedisServer::start().await;
    let options = RedisOptions { deadline: DEADLINE, ..options(&server.url()) };
    let store = RedisStore::connect(options).await.unwrap();
    (server, Arc::new(store))
}

const DEADLINE: Duration = Duration::from_millis(700);
const PATIENCE: Duration = Duration::from_secs(5);
