//! A store behind real sentinels: failovers, sentinels that are gone, two primaries for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch::store::{RedisOptions, RedisStore, RedisTls, Store, StoreError};
use tokio::time::sleep;

use crate::place::{options, request};
use crate::redis_slots::call_everything;
use crate::support::certificates::Authority;
use crate::support::redis_server::{DURABLE, RedisServer, free_port};
use crate::support::redis_user;
use crate::support::sentinels::{Sentinel, Watched};

async fn open(watched: &Watched, wait_replicas: u32) -> RedisStore {
    let options = RedisOptions { wait_replicas, ..options(&watched.url()) };
    RedisStore::connect(options).await.unwrap()
}

/// Appends until it is a success; returns after how long.
async fn until_appended(store: &RedisStore, id: &str) -> Duration {
    let begin = Instant::now();
    loop {
        match store.append(&request(id, 0), id.as_bytes()).await {
            Ok(_) => return begin.elapsed(),
            Err(StoreError::Unavailable(_) | StoreError::TooFewReplicas { .. }) => {
                assert!(begin.elapsed() < Duration::from_secs(20), "not available again");
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn whole_log(store: &RedisStore) -> BTreeMap<u64, Vec<u8>> {
    let mut records = BTreeMap::new();
    loop {
        let after = records.last_key_value().map_or(0, |(seq, _)| *seq);
        let page = store.read(after, 1000).await.unwrap();
        records.extend(page.records);
        if records.last_key_value().map_or(0, |(seq, _)| *seq) == page.head {
            return records;
        }
    }
}

/// Kills the primary that many times while records are appended. Returns the longest time without
/// a success after a kill.
async fn fail_over(rounds: usize) -> Duration {
    let mut watched = Watched::start().await;
    let store = Arc::new(open(&watched, 1).await);
    let mut acknowledged = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let primary = watched.primary().await;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        let name = format!("{round}-{writer}-{number}");
                        let appended = store.append(&request(&name, 0), name.as_bytes()).await;
                        let Ok(appended) = appended else { break };
                        acknowledged.push((appended.position.seq, name.into_bytes()));
                    }
                    acknowledged
                })
            })
            .collect();
        sleep(Duration::from_millis(200)).await;
        watched.servers[primary].kill();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        let took = until_appended(&store, &format!("after {round}")).await;
        longest = longest.max(took);
        watched.until_replaced(primary).await;
        watched.rejoin(primary).await;
    }
    let log = whole_log(&store).await;
    assert!(acknowledged.len() > rounds * 20, "only {} appends", acknowledged.len());
    let lost = acknowledged.iter().filter(|(seq, name)| log.get(seq) != Some(name)).count();
    println!("{rounds} failovers: {} acknowledged, {lost} lost, {longest:?}", acknowledged.len());
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    longest
}

// R23, R11: the primary is killed under load: appending works again within 10 s, and what a replica
// had acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_nothing_that_a_replica_has() {
    let longest = fail_over(2).await;
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

// R23: the same, fifty times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes several minutes"]
async fn fifty_failovers_lose_nothing_that_a_replica_has() {
    let longest = fail_over(50).await;
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

// R23: one of three sentinels is gone: nothing changes. With two gone, a failover could happen that
// the last one does not hear of: the log is no longer proved fresh, and it is when one is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_most_sentinels_ends_the_proof_of_freshness() {
    let mut watched = Watched::start().await;
    let store = open(&watched, 0).await;
    watched.sentinels[0].kill();
    call_everything(&open(&watched, 0).await).await;
    watched.sentinels[1].kill();
    assert!(store.read(0, 10).await.is_ok(), "confirmed a moment ago");
    let begin = Instant::now();
    let error = loop {
        match store.read(0, 10).await {
            Ok(_) => assert!(begin.elapsed() < Duration::from_secs(20), "still fresh"),
            Err(error) => break error,
        }
        sleep(Duration::from_millis(200)).await;
    };
    assert!(error.to_string().contains("majority of the sentinels"), "{error}");
    assert!(begin.elapsed() > Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(store.append(&request("late", 0), b"late").await.is_ok());
    let unproved = open(&watched, 0).await;
    assert!(unproved.read(0, 10).await.is_err(), "a new process cannot prove it either");
    watched.sentinels[0].start_again().await;
    sleep(Duration::from_secs(3)).await;
    assert!(store.read(0, 10).await.is_ok());
    assert!(unproved.read(0, 10).await.is_ok());
}

// R23: the old primary does not learn that it was replaced, and answers as before. The store leaves
// it, although no call fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_does_not_know_that_it_was_replaced_is_left() {
    let watched = Watched::start().await;
    let store = open(&watched, 0).await;
    store.append(&request("a", 0), b"a").await.unwrap();
    let old = &watched.servers[0];
    for command in ["slaveof", "replicaof"] {
        old.command::<()>(&["ACL", "SETUSER", "default", &format!("-{command}")]).await;
    }
    watched.sentinels[0].command::<()>(&["SENTINEL", "FAILOVER", "main"]).await;
    let new = watched.until_replaced(0).await;
    let begin = Instant::now();
    for number in 0.. {
        let appended = store.append(&request(&number.to_string(), 0), b"b").await;
        assert!(appended.is_ok(), "{appended:?}");
        let length = watched.servers[new].command::<u64>(&["XLEN", "{offswitch}:log"]).await;
        if length > 1 {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "it stays at the old primary");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(old.command::<String>(&["INFO", "replication"]).await.contains("role:master"));
    let length = watched.servers[new].command::<usize>(&["XLEN", "{offswitch}:log"]).await;
    assert_eq!(store.read(0, 10).await.unwrap().records.len(), length);
    store.wait(0, Duration::from_secs(5)).await.unwrap();
}

// R22, R23, R18: servers and sentinels encrypted, each with a user that has few rights.
#[tokio::test]
async fn sentinels_and_servers_have_users_and_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let file = authority.file("ca.pem");
    let shown = authority.certificate("127.0.0.1");
    let port = free_port();
    let tls = shown.server(port, &file, false);
    let arguments: Vec<&str> = DURABLE.into_iter().chain(tls.iter().map(String::as_str)).collect();
    let server = RedisServer::start_with(&arguments).await;
    server.command::<()>(&redis_user::command("app", ">p@ss", &[])).await;
    let lines = format!(
        "tls-replication yes\ntls-auth-clients no\ntls-cert-file {}\n\
         tls-key-file {}\ntls-ca-cert-file {}\nuser default off\n\
         user watch on >s/s -@all +sentinel|master",
        shown.certificate.display(),
        shown.key.display(),
        file.display(),
    );
    let sentinel = Sentinel::start(port, 1, &lines).await;
    let url = |sentinel_pass: &str| {
        let port = sentinel.port();
        format!(
            "rediss+sentinel://app:p%40ss@127.0.0.1:{port}/main?sentinel_user=watch\
             &sentinel_pass={sentinel_pass}"
        )
    };
    let tls = RedisTls { ca_file: Some(file), ..RedisTls::default() };
    let connect = async |url: String| {
        RedisStore::connect(RedisOptions { tls: tls.clone(), ..options(&url) }).await
    };
    call_everything(&connect(url("s%2Fs")).await.unwrap()).await;
    let error = connect(url("hunter2")).await.unwrap_err().to_string();
    assert!(error.contains("uthentication") && !error.contains("hunter2"), "{error}");
    let error = connect(url("s%2Fs").replace("/main", "/other")).await.unwrap_err().to_string();
    assert!(error.contains("No such master"), "{error}");
}
