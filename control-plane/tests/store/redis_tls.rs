//! Redis behind TLS: what is trusted, and why a connection is refused.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch::store::{Append, Onto, RedisOptions, RedisStore, RedisTls, Store, StoreError};

use tokio::task::JoinSet;

use crate::place::{options, request};
use crate::redis_slots::call_everything;
use crate::support::certificates::{Authority, Files};
use crate::support::redis_server::{DURABLE, RedisServer, free_port};

/// A server that shows `shown`, on the port that comes with it.
async fn start(shown: &Files, authority: &Path, demands: bool) -> (RedisServer, u16) {
    let port = free_port();
    let tls = shown.server(port, authority, demands);
    let arguments: Vec<&str> = DURABLE.into_iter().chain(tls.iter().map(String::as_str)).collect();
    (RedisServer::start_with(&arguments).await, port)
}

async fn connect(port: u16, tls: RedisTls) -> Result<RedisStore, StoreError> {
    let url = format!("rediss://127.0.0.1:{port}");
    RedisStore::connect(RedisOptions { tls, ..options(&url) }).await
}

fn trusting(authority: &Path) -> RedisTls {
    RedisTls { ca_file: Some(authority.to_owned()), ..RedisTls::default() }
}

// R22: everything that a store does, encrypted, with a certificate of the client.
#[tokio::test]
async fn a_server_of_an_own_authority_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let file = authority.file("ca.pem");
    let (_server, port) = start(&authority.certificate("127.0.0.1"), &file, true).await;
    let shown = authority.certificate("client");
    let tls =
        RedisTls { client_certificate: Some((shown.certificate, shown.key)), ..trusting(&file) };
    tls.check().unwrap();
    call_everything(&connect(port, tls).await.unwrap()).await;
}

// R22: wrong authority, wrong name, expired, no certificate of the client, one of another
// authority, no TLS on this port: each is refused, with the reason.
#[tokio::test]
async fn each_wrong_certificate_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let other = Authority::new(folder.path(), "other");
    let (file, other_file) = (authority.file("ca.pem"), other.file("other.pem"));
    let refusal = async |port: u16, tls: RedisTls, reason: &str| {
        let error = connect(port, tls).await.expect_err(reason).to_string();
        assert!(error.contains(reason), "{error} has not: {reason}");
    };

    let (_good, port) = start(&authority.certificate("127.0.0.1"), &file, false).await;
    refusal(port, trusting(&other_file), "redis_ca_file").await;
    refusal(port, RedisTls::default(), "redis_ca_file").await;
    let named = RedisTls { server_name: Some("redis.internal".to_owned()), ..trusting(&file) };
    refusal(port, named, "redis_server_name").await;
    assert!(connect(port, trusting(&file)).await.is_ok());

    let (_named, port) = start(&authority.certificate("redis.internal"), &file, false).await;
    refusal(port, trusting(&file), "redis_server_name").await;
    let named = RedisTls { server_name: Some("redis.internal".to_owned()), ..trusting(&file) };
    assert!(connect(port, named).await.is_ok());

    let (_old, port) = start(&authority.expired_certificate("127.0.0.1"), &file, false).await;
    refusal(port, trusting(&file), "expired").await;

    let (demands, port) = start(&authority.certificate("127.0.0.1"), &file, true).await;
    refusal(port, trusting(&file), "requires a client certificate").await;
    let foreign = other.certificate("client");
    let shown = Some((foreign.certificate, foreign.key));
    let foreign = RedisTls { client_certificate: shown, ..trusting(&file) };
    refusal(port, foreign, "does not accept the client certificate").await;
    refusal(demands.port(), trusting(&file), "does not answer with TLS").await;
}

// R22: a file that cannot be used is found before anything is connected.
#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let (file, shown) = (authority.file("ca.pem"), authority.certificate("client"));
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let with = |ca_file: &Path, certificate: &Path, key: &Path| RedisTls {
        ca_file: Some(ca_file.to_owned()),
        client_certificate: Some((certificate.to_owned(), key.to_owned())),
        server_name: None,
    };
    let missing = folder.path().join("missing.pem");
    for (tls, named) in [
        (with(&missing, &shown.certificate, &shown.key), "missing.pem"),
        (with(&empty, &shown.certificate, &shown.key), "empty.pem"),
        (with(&file, &empty, &shown.key), "empty.pem"),
        (with(&file, &shown.certificate, &missing), "missing.pem"),
        (with(&file, &shown.certificate, &file), "ca.pem"),
        (with(&file, &authority.certificate("other").certificate, &shown.key), "other"),
    ] {
        let error = tls.check().unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let name = RedisTls { server_name: Some("not a name".to_owned()), ..RedisTls::default() };
    assert!(name.check().unwrap_err().to_string().contains("not a name"));
    assert!(with(&file, &shown.certificate, &shown.key).check().is_ok());
}

// R22: authority and certificate are replaced under the store: the next connection reads them.
#[tokio::test]
async fn renewed_files_need_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let file = authority.file("ca.pem");
    let shown = authority.certificate("127.0.0.1");
    let (mut server, port) = start(&shown, &file, false).await;
    let store = connect(port, trusting(&file)).await.unwrap();
    call_everything(&store).await;

    let renewed = Authority::new(folder.path(), "ours");
    let fresh = renewed.certificate("127.0.0.1");
    server.kill();
    std::fs::copy(fresh.certificate, shown.certificate).unwrap();
    std::fs::copy(fresh.key, shown.key).unwrap();
    renewed.file("ca.pem");
    server.start_again().await;
    assert!(connect(port, trusting(&file)).await.is_ok());
    let end = store.end().await.unwrap();
    assert_eq!(end.position.seq, 3);
}

// R22: what encryption costs: in one second, at least 80 % of the durable writes without it. Batches of
// appends, one call at a time, as the plane makes them; and documents of many sessions at the same
// time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, for a machine that does nothing else"]
async fn durable_writes_are_nearly_as_fast_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let file = authority.file("ca.pem");
    let (server, port) = start(&authority.certificate("127.0.0.1"), &file, false).await;
    let plain = Arc::new(RedisStore::connect(options(&server.url())).await.unwrap());
    let encrypted = Arc::new(connect(port, trusting(&file)).await.unwrap());
    let mut shares = Vec::new();
    for (kind, callers) in [("appended in batches of 16", 1), ("documents", 64)] {
        let mut counts = [0_usize; 2];
        for round in 0..20 {
            for (place, store) in [&plain, &encrypted].into_iter().enumerate() {
                counts[place] += written_in(store, callers, &format!("{round}-{place}")).await;
            }
        }
        let share = counts[1] * 100 / counts[0];
        println!("{kind}: {} and, encrypted, {} in 10 s: {share} %", counts[0], counts[1]);
        shares.push(share);
    }
    assert!(shares.iter().all(|share| *share >= 80), "{shares:?}");
}

/// How much is written in half a second: sixteen records in each call by one caller, or a document
/// of 2 KB in each call by many.
async fn written_in(store: &Arc<RedisStore>, callers: usize, name: &str) -> usize {
    let end = Instant::now() + Duration::from_millis(500);
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (store, name) = (Arc::clone(store), format!("{name}-{caller}"));
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                let one = |number| Append {
                    request: request(&format!("{name}-{count}-{number}"), 0),
                    record: vec![0; 100],
                };
                if callers == 1 {
                    let batch = (0..16).map(one).collect();
                    store.append_all(batch, Onto::default()).await.unwrap();
                    count += 16;
                } else {
                    let document = format!("{name}-{count}");
                    assert!(store.swap(&document, b"", &[7; 2048], None).await.unwrap());
                    count += 1;
                }
            }
            count
        });
    }
    tasks.join_all().await.into_iter().sum()
}
