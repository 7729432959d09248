//! How the log is read where records are small, and where some may be large.

use offswitch::store::{Append, Onto, RedisStore, Store};

use crate::place::{options, request};
use crate::support::redis_server::RedisServer;

const META: &str = "{offswitch}:meta";
const PAGE: usize = 2048;

async fn connected(server: &RedisServer) -> RedisStore {
    RedisStore::connect(options(&server.url())).await.unwrap()
}

/// Appends records of these sizes, in batches.
async fn append(store: &RedisStore, from: usize, sizes: &[usize]) {
    let append = |(at, size): (usize, &usize)| {
        let name = (from + at).to_string();
        Append { request: request(&name, 0), record: "x".repeat(*size).into_bytes() }
    };
    let appends: Vec<Append> = sizes.iter().enumerate().map(append).collect();
    for batch in appends.chunks(256) {
        store.append_all(batch.to_vec(), Onto::default()).await.unwrap();
    }
}

/// Reads the log to its end as a process does that starts; returns the sizes of its records, and how often a
/// range of it was asked for.
async fn read(server: &RedisServer, store: &RedisStore) -> (Vec<usize>, u64) {
    let before = ranges(server).await;
    let (mut sizes, mut after) = (vec![], 0);
    loop {
        let page = store.read(after, PAGE).await.unwrap();
        sizes.extend(page.records.iter().map(|(_, record)| record.len()));
        match page.records.last() {
            Some((last, _)) => after = *last,
            None => break,
        }
        let page_bytes: usize = page.records.iter().map(|(_, record)| record.len()).sum();
        assert!(page_bytes < 24 << 20, "{} records, {page_bytes} bytes", page.records.len());
    }
    (sizes, ranges(server).await - before)
}

/// How often Redis has executed XRANGE, by scripts too.
async fn ranges(server: &RedisServer) -> u64 {
    let report: String = server.command(&["INFO", "commandstats"]).await;
    let calls = report.lines().find_map(|line| line.strip_prefix("cmdstat_xrange:calls="));
    calls.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

// A start reads a million records in a moment if they are small.
#[tokio::test]
async fn many_small_records_are_read_in_few_steps() {
    let server = RedisServer::start().await;
    let store = connected(&server).await;
    let sizes = vec![80; 6000];
    append(&store, 0, &sizes).await;
    let (read, steps) = read(&server, &store).await;
    assert!(read == sizes);
    // The first page, of 2048 records, shows that there are many and that none is large. It takes 256 steps.
    assert!(steps < 280, "{steps}");
}

// A few large records must not fill the memory of Redis and of this process: around them the script reads as many as
// fit into a page.
#[tokio::test]
async fn a_large_record_is_read_by_size() {
    let server = RedisServer::start().await;
    let store = connected(&server).await;
    // The page before them has many records, and none of these.
    let mut sizes = vec![80; 2100];
    sizes.extend([2000, 7 << 20, 7 << 20, 7 << 20, 7 << 20]);
    sizes.extend(vec![80; 3000]);
    append(&store, 0, &sizes).await;
    let last_large: u64 = server.command(&["HGET", META, "large"]).await;
    let (first, _) = read(&server, &store).await;
    let (again, steps) = read(&server, &store).await;
    assert!(first == sizes && again == sizes);
    assert!(steps > 100, "up to the last large record: {steps}");
    let after = store.read(last_large, PAGE).await.unwrap();
    let before = ranges(&server).await;
    assert_eq!(
        (after.records.len(), store.read(last_large, PAGE).await.unwrap().records.len()),
        (2048, 2048)
    );
    assert!(ranges(&server).await - before < 5, "after it, in one step");
}

// A process of an earlier format writes no such mark: what it may have written is read by size.
#[tokio::test]
async fn what_an_earlier_version_wrote_may_be_large() {
    let server = RedisServer::start().await;
    let store = connected(&server).await;
    server.command::<u64>(&["HDEL", META, "large"]).await;
    server.command::<u64>(&["HSET", META, "format", "1"]).await;
    append(&store, 0, &[80; 600]).await;
    append(&store, 600, &[5000]).await;
    assert_eq!(server.command::<Option<u64>>(&["HGET", META, "large"]).await, None);
    let (sizes, steps) = read(&server, &store).await;
    assert!(sizes.len() == 601 && steps > 70, "{steps}");
    store.format_since().await.unwrap();
    let (large, seq): (u64, u64) = server.command(&["HMGET", META, "large", "seq"]).await;
    assert_eq!(large, seq, "up to the end of what there was");
    append(&store, 601, &[80; 600]).await;
    let (sizes, _) = read(&server, &store).await;
    assert_eq!(sizes.len(), 1201);
}
