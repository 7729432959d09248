//! What only a store in a file must do.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};

use offswitch::store::{EmbeddedStore, Store, StoreError};

use crate::place::request;

// A second process must not write the same file.
#[tokio::test]
async fn a_file_that_is_open_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let store = EmbeddedStore::open(&path, 1).unwrap();
    let second = EmbeddedStore::open(&path, 1).unwrap_err();
    assert!(matches!(second, StoreError::Unavailable(_)), "{second}");
    drop(store);
    EmbeddedStore::open(&path, 1).unwrap();
}

// Another file, half a file, or a file with altered pages is never accepted as a log.
#[tokio::test]
async fn a_damaged_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let store = EmbeddedStore::open(&path, 1).unwrap();
    for number in 0..200 {
        store.append(&request(&number.to_string(), 0), &[7; 1000]).await.unwrap();
    }
    drop(store);
    let good = fs::read(&path).unwrap();

    fs::write(&path, b"not a log").unwrap();
    assert_damaged(EmbeddedStore::open(&path, 1));
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert_damaged(EmbeddedStore::open(&path, 1));
    let records: Vec<_> =
        (0..good.len() - 4).step_by(512).filter(|&at| good[at..at + 4] == [7; 4]).collect();
    fs::write(&path, &good).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    for at in records {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[8]).unwrap();
    }
    assert_damaged(EmbeddedStore::open(&path, 1));

    fs::write(&path, &good).unwrap();
    let store = EmbeddedStore::open(&path, 1).unwrap();
    assert_eq!(store.read(0, 1000).await.unwrap().head, 200);
}

// Without the directory or the permission there is an error, not a panic.
#[tokio::test]
async fn a_file_that_cannot_be_created_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let opened = EmbeddedStore::open(&directory.path().join("missing/log.redb"), 1);
    assert!(matches!(opened, Err(StoreError::Unavailable(_))));
}

// R01: the process is killed several times during concurrent appends: every acknowledged record is
// at its position afterwards.
#[test]
fn no_acknowledged_record_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded::appends_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FILE, &path)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut pairs = lines.map_while(Result::ok).filter_map(|line| {
            let (seq, name) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
            Some((seq.parse::<u64>().unwrap(), name.as_bytes().to_vec()))
        });
        acknowledged.extend(pairs.by_ref().take(100));
        process.kill().unwrap();
        process.wait().unwrap();
        acknowledged.extend(pairs);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = EmbeddedStore::open(&path, 1).unwrap();
    let records = runtime.block_on(store.read(0, 1_000_000)).unwrap().records;
    assert!(acknowledged.len() >= 500);
    for record in acknowledged {
        assert_eq!(records.get(usize::try_from(record.0 - 1).unwrap()), Some(&record));
    }
}

// The process that the test above kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed"]
async fn appends_until_it_is_killed() {
    let (Ok(path), Ok(round)) = (std::env::var(FILE), std::env::var(ROUND)) else { return };
    let store = EmbeddedStore::open(path.as_ref(), 1).unwrap();
    let append = async |task: u32| {
        for number in 0.. {
            let name = format!("{round}-{task}-{number}");
            let appended = store.append(&request(&name, 0), name.as_bytes()).await.unwrap();
            // One write, so that no line is torn.
            let line = format!("acknowledged {} {name}\n", appended.position.seq);
            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        }
    };
    tokio::join!(append(0), append(1), append(2), append(3));
}

fn assert_damaged(opened: Result<EmbeddedStore, StoreError>) {
    let error = opened.map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

const FILE: &str = "OFFSWITCH_TEST_FILE";
const ROUND: &str = "OFFSWITCH_TEST_ROUND";
