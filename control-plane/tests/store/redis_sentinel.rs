//! A store behind real sentinels: some are gone, two primaries for a while, users, certificates.

use std::time::{Duration, Instant};

use offswitch::store::{RedisOptions, RedisStore, RedisTls, Store};
use tokio::time::sleep;

use crate::place::{options, request};
use crate::redis_slots::call_everything;
use crate::support::certificates::Authority;
use crate::support::redis_server::{DURABLE, RedisServer, free_port};
use crate::support::redis_user;
use crate::support::sentinels::{Sentinel, Watched};

async fn open(watched: &Watched) -> RedisStore {
    RedisStore::connect(options(&watched.url())).await.unwrap()
}

// R23: one of three sentinels is gone: nothing changes. With two gone, a failover could happen that
// the last one does not hear of: the log is no longer proved fresh, and it is when one is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_most_sentinels_ends_the_proof_of_freshness() {
    let mut watched = Watched::start().await;
    let store = open(&watched).await;
    watched.sentinels[0].kill();
    call_everything(&open(&watched).await).await;
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
    let unproved = open(&watched).await;
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
    let store = open(&watched).await;
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
