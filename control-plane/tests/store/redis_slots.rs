//! Which keys the scripts name and use, as a server in cluster mode sees it.

use std::collections::BTreeSet;
use std::time::Duration;

use offswitch::store::{NotePlace, RedisOptions, RedisStore, Store};
use offswitch_core::log::Checkpoint;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::place::{FIRST_ERA, options, request};
use crate::support::redis_server::RedisServer;

// R12: all scripts run while MONITOR listens: each names keys of one slot, and uses no others.
#[tokio::test]
async fn every_script_declares_its_keys_and_they_share_a_slot() {
    let server = RedisServer::start_cluster().await;
    let options = RedisOptions { prefix: "tokens".to_owned(), ..options(&server.url()) };
    let mut monitor = monitor(&server).await;
    let store = RedisStore::connect(options).await.unwrap();
    call_everything(&store).await;
    server.command::<()>(&["SET", "the end", ""]).await;

    let (mut scripts, mut slots, mut declared) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    loop {
        let mut line = Vec::new();
        timeout(Duration::from_secs(5), monitor.read_until(b'\n', &mut line))
            .await
            .unwrap()
            .unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<_> = line.split('"').skip(1).step_by(2).collect();
        let from_script = line.contains(" lua] ");
        match (from_script, words.as_slice()) {
            (false, ["SET", "the end", ..]) => break,
            (false, ["EVALSHA", script, count, rest @ ..]) => {
                scripts.insert((*script).to_owned());
                let keys = &rest[..count.parse::<usize>().unwrap()];
                declared = keys.iter().map(|&key| key.to_owned()).collect();
                for key in keys {
                    slots.insert(server.command::<u16>(&["CLUSTER", "KEYSLOT", key]).await);
                }
            }
            (true, ["INFO", ..]) => {}
            (true, ["EXISTS", keys @ ..]) => assert!(all_declared(keys, &declared), "{line}"),
            (true, [_, key, ..]) => assert!(all_declared(&[key], &declared), "{line}"),
            _ => {}
        }
    }
    assert_eq!((scripts.len(), slots.len()), (10, 1));
}

// The node in the options does not have the slot: the store follows the redirection to the node
// that has it.
#[tokio::test]
async fn a_slot_on_another_node_is_found() {
    let [asked, holder] =
        [RedisServer::start_cluster_node().await, RedisServer::start_cluster_node().await];
    holder.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let port = asked.port().to_string();
    let bus_port = asked.command::<Vec<String>>(&["CONFIG", "GET", "cluster-port"]).await.remove(1);
    holder.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]).await;
    asked.until_cluster_is_up().await;
    holder.until_cluster_is_up().await;
    let store = RedisStore::connect(options(&asked.url())).await.unwrap();
    call_everything(&store).await;
    assert_eq!(holder.command::<u64>(&["EXISTS", "{offswitch}:meta"]).await, 1);
}

// A feed name with braces would spread its keys over several slots.
#[tokio::test]
async fn a_prefix_with_braces_is_refused() {
    for prefix in ["", "a{b}c", "}"] {
        let options = RedisOptions { prefix: prefix.to_owned(), ..RedisOptions::default() };
        let error = RedisStore::connect(options).await.unwrap_err();
        assert!(error.to_string().contains("prefix"), "{error}");
    }
}

/// Calls every operation of a store, with all branches that write.
pub(crate) async fn call_everything(store: &RedisStore) {
    for id in ["1", "2", "2"] {
        store.append(&request(id, 0), b"record").await.unwrap();
    }
    assert!(store.recall(&request("2", 0)).await.unwrap().is_some());
    let checkpoint = Checkpoint { seq: 1, bytes: b"one".to_vec() };
    store.trim(FIRST_ERA, &checkpoint).await.unwrap();
    let checkpoint = Checkpoint { seq: 2, bytes: b"two".to_vec() };
    let end = store.end().await.unwrap();
    assert!(store.start_era(end, 8, &checkpoint).await.unwrap());
    assert_eq!(store.read_back(9, 9).await.unwrap().records, []);
    store.append(&request("3", 0), b"record").await.unwrap();
    assert_eq!(store.read(0, 10).await.unwrap().records.len(), 1);
    assert!(store.swap("keys", b"", b"a", None).await.unwrap());
    assert!(store.swap("keys", b"a", b"b", Some(1 << 33)).await.unwrap());
    assert_eq!(store.load("keys").await.unwrap(), b"b");
    assert_eq!(store.scan("k", "").await.unwrap().documents.len(), 1);
    assert!(store.swap("keys", b"b", b"", None).await.unwrap());
    store.wait(2, Duration::from_secs(5)).await.unwrap();
    store.wait(3, Duration::from_millis(10)).await.unwrap();
    store.leave_note(b"note").await.unwrap();
    let notes = store.notes(NotePlace::default(), Duration::from_secs(5)).await.unwrap();
    assert!(!notes.is_empty());
}

async fn monitor(server: &RedisServer) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    stream.write_all(b"MONITOR\r\n").await.unwrap();
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first).await.unwrap();
    assert_eq!(first, "+OK\r\n");
    lines
}

fn all_declared(keys: &[&str], declared: &[String]) -> bool {
    keys.iter().all(|key| declared.iter().any(|known| known == key))
}
