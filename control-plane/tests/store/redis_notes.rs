//! What processes leave for each other, and since when no older one can use the store. P10.

use std::time::{Duration, Instant};

use offswitch::store::{NotePlace, RedisStore, Store, StoreError};

use crate::place::options;
use crate::support::redis_server::RedisServer;

const NOTES: &str = "{offswitch}:notes";

async fn connected(server: &RedisServer) -> RedisStore {
    RedisStore::connect(options(&server.url())).await.unwrap()
}

// P10: every process gets every note, in order, also one that asked before it was left.
#[tokio::test]
async fn notes_reach_every_process_in_order() {
    let server = RedisServer::start().await;
    let (one, other) = (connected(&server).await, connected(&server).await);
    let begin = Instant::now();
    let none = one.notes(NotePlace::default(), Duration::from_millis(200)).await;
    assert_eq!((none, begin.elapsed() >= Duration::from_millis(200)), (Ok(vec![]), true));
    let waiting = other.notes(NotePlace::default(), Duration::from_secs(10));
    let (heard, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        one.leave_note(b"first").await.unwrap();
    });
    let heard = heard.unwrap();
    assert_eq!((heard.len(), heard[0].1.as_slice()), (1, &b"first"[..]));
    assert!(begin.elapsed() < Duration::from_secs(8), "it was woken");
    for note in [b"second", b"third\n"] {
        other.leave_note(note).await.unwrap();
    }
    let texts = async |after| {
        let notes = one.notes(after, Duration::from_secs(1)).await.unwrap();
        assert!(notes.is_sorted_by(|one, next| one.0 < next.0));
        notes.into_iter().map(|(_, note)| String::from_utf8(note).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(NotePlace::default()).await, ["first", "second", "third\n"]);
    assert_eq!(texts(heard[0].0).await, ["second", "third\n"]);
}

// P10: their number and their time are bounded, and the key goes with them.
#[tokio::test]
async fn notes_are_forgotten() {
    let server = RedisServer::start().await;
    let store = connected(&server).await;
    for number in 0..1500_u32 {
        store.leave_note(&number.to_be_bytes()).await.unwrap();
    }
    let length: u64 = server.command(&["XLEN", NOTES]).await;
    assert!((1000..1200).contains(&length), "{length}");
    let lasts: i64 = server.command(&["TTL", NOTES]).await;
    assert!((55..=60).contains(&lasts), "{lasts}");
    server.command::<()>(&["DEL", NOTES]).await;
    let (seconds, _): (u64, u64) = server.command(&["TIME"]).await;
    let old = format!("{}-0", (seconds - 90) * 1000);
    server.command::<String>(&["XADD", NOTES, &old, "n", "old"]).await;
    store.leave_note(b"new").await.unwrap();
    assert_eq!(server.command::<u64>(&["XLEN", NOTES]).await, 1, "that one is too old");
}

// P10, O09: a store says since when processes of an earlier format cannot use it, and raises what they have begun.
#[tokio::test]
async fn a_store_says_since_when_older_processes_are_shut_out() {
    let server = RedisServer::start().await;
    let store = connected(&server).await;
    let meta = "{offswitch}:meta";
    assert_eq!(store.format_since().await, Ok(0), "it has had no other");
    for earlier in [Some("1"), None] {
        match earlier {
            Some(format) => server.command::<()>(&["HSET", meta, "format", format]).await,
            None => server.command::<()>(&["HDEL", meta, "format"]).await,
        }
        let (seconds, _): (u64, u64) = server.command(&["TIME"]).await;
        let since = store.format_since().await.unwrap();
        assert!((seconds..seconds + 5).contains(&since), "{since}, {seconds}");
        assert_eq!(server.command::<String>(&["HGET", meta, "format"]).await, "2");
        assert_eq!(store.format_since().await, Ok(since), "it stays");
        assert_eq!(connected(&server).await.format_since().await, Ok(since), "for all");
    }
    server.command::<()>(&["HSET", meta, "format", "3"]).await;
    assert_eq!(store.format_since().await, Err(StoreError::Newer { found: 3 }));
    assert_eq!(store.leave_note(b"note").await, Err(StoreError::Newer { found: 3 }));
    // A log that is gone is healed by those who read it, and not begun by a question.
    server.command::<()>(&["FLUSHALL"]).await;
    assert!(matches!(store.format_since().await, Err(StoreError::Damaged(_))));
    assert_eq!(server.command::<u64>(&["EXISTS", meta]).await, 0);
}
