//! What every store guarantees, of every kind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch::store::{
    Append, Appended, Durability, Older, Onto, Page, Store, StoreError, Swapped,
};
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use tokio::task::JoinSet;

use crate::place::{FIRST_ERA, Place, request};

// Without any write there is the first era and nothing else.
pub(crate) async fn a_new_log_is_empty(place: &Place) {
    let store = place.open("tokens").await;
    let expected = Page { era: FIRST_ERA, after_mark: Some(0), ..Page::default() };
    assert_eq!(store.read(0, 10).await, Ok(expected));
    assert_eq!(store.load("keys").await, Ok(vec![]));
    assert_eq!(store.findings().await, Ok(Vec::new()));
}

// Three records with any bytes: positions count up, the same bytes come back.
pub(crate) async fn records_come_back_in_order(place: &Place) {
    let store = place.open("tokens").await;
    let records = [b"".to_vec(), (0..=255).collect(), b"\r\n$-1\r\n".to_vec()];
    for (seq, record) in (1..).zip(&records) {
        let appended = store.append(&request(&seq.to_string(), 0), record).await.unwrap();
        let position = Position { era: FIRST_ERA, seq };
        let durability = Durability::Synced;
        assert_eq!(appended, Appended { position, durability, repeated: false });
    }
    let page = store.read(0, 10).await.unwrap();
    assert_eq!((page.era, page.head), (FIRST_ERA, 3));
    assert_eq!(page.records, (1..).zip(records).collect::<Vec<_>>());
}

// A page of two, then the rest, then nothing; a limit of zero; a reader ahead of the log.
pub(crate) async fn pages_continue_where_they_ended(place: &Place) {
    let store = place.open("tokens").await;
    fill(&*store, 5).await;
    assert_eq!(seqs(&store.read(0, 2).await.unwrap()), [1, 2]);
    assert_eq!(seqs(&store.read(2, 10).await.unwrap()), [3, 4, 5]);
    for (after, limit) in [(5, 10), (0, 0), (9, 10), (u64::MAX, 10)] {
        let page = store.read(after, limit).await.unwrap();
        assert_eq!((seqs(&page), page.head), (vec![], 5));
    }
}

// The same id and digest again: nothing is appended, the answer names the first position.
pub(crate) async fn a_repeated_request_answers_as_before(place: &Place) {
    let store = place.open("tokens").await;
    let first = store.append(&request("a", 1), b"one").await.unwrap();
    store.append(&request("b", 1), b"two").await.unwrap();
    let again = store.append(&request("a", 1), b"one").await.unwrap();
    assert_eq!(again, Appended { repeated: true, ..first });
    assert_eq!(store.read(0, 10).await.unwrap().head, 2);
}

// A request is only looked up: the result is the first answer, nothing, or that the id belongs to
// another request.
pub(crate) async fn a_request_is_recalled_and_nothing_is_appended(place: &Place) {
    let store = place.open("tokens").await;
    assert_eq!(store.recall(&request("a", 1)).await, Ok(None));
    let first = store.append(&request("a", 1), b"one").await.unwrap();
    let expected = Appended { repeated: true, ..first };
    assert_eq!(store.recall(&request("a", 1)).await, Ok(Some(expected)));
    assert_eq!(store.recall(&request("a", 2)).await, Err(StoreError::RequestReused));
    assert_eq!(store.recall(&request("b", 1)).await, Ok(None));
    assert_eq!(store.read(0, 10).await.unwrap().head, 1);
}

// A batch with an executed request, one whose id is taken, and the same one twice: new records are
// appended in order, each of the others gets its own answer.
pub(crate) async fn records_that_come_together_are_judged_one_by_one(place: &Place) {
    let store = place.open("tokens").await;
    store.append(&request("old", 1), b"old").await.unwrap();
    let append = |id: &str, content, record: &[u8]| Append {
        request: request(id, content),
        record: record.to_vec(),
    };
    let batch = vec![
        append("a", 1, b"a"),
        append("old", 1, b"old"),
        append("old", 2, b"other"),
        append("b", 1, b"b"),
        append("a", 1, b"a"),
    ];
    let answers = store.append_all(batch.clone(), Onto::default()).await.unwrap().answers;
    let seqs = |answers: &[Option<Appended>]| {
        let one = |answer: &Option<Appended>| answer.map(|one| (one.position.seq, one.repeated));
        answers.iter().map(one).collect::<Vec<_>>()
    };
    let repeated = |seq| Some((seq, true));
    let expected = [Some((2, false)), repeated(1), None, Some((3, false)), repeated(2)];
    assert_eq!(seqs(&answers), expected);
    let again = store.append_all(batch, Onto::default()).await.unwrap().answers;
    assert_eq!(seqs(&again), [repeated(2), repeated(1), None, repeated(3), repeated(2)]);
    let nothing = store.append_all(vec![], Onto::default()).await.unwrap();
    assert_eq!((nothing.answers, nothing.from), (vec![], nothing.to));
    let records = store.read(0, 10).await.unwrap().records;
    let expected: Vec<(u64, &[u8])> = vec![(1, b"old"), (2, b"a"), (3, b"b")];
    assert_eq!(records.iter().map(|(seq, one)| (*seq, &one[..])).collect::<Vec<_>>(), expected);
}

// The same id with another digest: refused, nothing is appended.
pub(crate) async fn a_request_id_for_something_else_is_refused(place: &Place) {
    let store = place.open("tokens").await;
    store.append(&request("a", 1), b"one").await.unwrap();
    let reused = store.append(&request("a", 2), b"two").await;
    assert_eq!(reused, Err(StoreError::RequestReused));
    assert_eq!(store.read(0, 10).await.unwrap().head, 1);
}

// 16 tasks on two stores, each request sent twice: every seq exactly once, without gaps.
pub(crate) async fn no_seq_is_shared_or_skipped_among_appenders(place: &Place) {
    let stores = place.open_twice("tokens").await;
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let stores = stores.clone();
        tasks.spawn(async move {
            let mut seqs = Vec::new();
            for number in 0..25 {
                let name = format!("{task}-{number}");
                let request = request(&name, 0);
                let (one, other) = tokio::join!(
                    stores[0].append(&request, name.as_bytes()),
                    stores[1].append(&request, name.as_bytes()),
                );
                let (one, other) = (one.unwrap(), other.unwrap());
                assert_eq!(one.position, other.position);
                assert_ne!(one.repeated, other.repeated);
                seqs.push((one.position.seq, name.into_bytes()));
            }
            seqs
        });
    }
    let mut records = tasks.join_all().await.concat();
    records.sort();
    assert!(records.iter().map(|(seq, _)| *seq).eq(1..=400));
    assert_eq!(stores[0].read(0, 1000).await.unwrap().records, records);
}

// A reader waits, another task appends: the wait ends long before its timeout. A reader that is
// behind does not wait.
pub(crate) async fn a_wait_ends_with_the_next_record(place: &Place) {
    let [store, other] = place.open_twice("tokens").await;
    fill(&*store, 1).await;
    let begin = Instant::now();
    store.wait(0, Duration::from_secs(30)).await.unwrap();
    assert!(begin.elapsed() < PROMPTLY);
    let waiting = tokio::spawn(async move {
        store.wait(1, Duration::from_secs(30)).await.unwrap();
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(!waiting.is_finished());
    let begin = Instant::now();
    other.append(&request("news", 0), b"").await.unwrap();
    assert!(waiting.await.unwrap().duration_since(begin) < PROMPTLY);
}

// Without news, the wait ends at its timeout.
pub(crate) async fn a_wait_ends_at_its_timeout(place: &Place) {
    let store = place.open("tokens").await;
    let begin = Instant::now();
    store.wait(0, Duration::from_millis(300)).await.unwrap();
    assert!((Duration::from_millis(290)..Duration::from_secs(2)).contains(&begin.elapsed()));
    store.wait(0, Duration::ZERO).await.unwrap();
}

// The log is replaced while a reader waits for a record that will not come.
pub(crate) async fn a_wait_ends_with_a_new_era(place: &Place) {
    let [store, other] = place.open_twice("tokens").await;
    fill(&*store, 2).await;
    let waiting =
        tokio::spawn(async move { store.wait(100, Duration::from_secs(30)).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let end = other.end().await.unwrap();
    assert!(other.start_era(end, 8, &checkpoint(2, b"")).await.unwrap());
    let begin = Instant::now();
    waiting.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3));
}

// Five records, three of them trimmed: readers before the checkpoint get it and the rest.
pub(crate) async fn a_reader_behind_the_checkpoint_gets_it(place: &Place) {
    let store = place.open("tokens").await;
    fill(&*store, 5).await;
    store.trim(FIRST_ERA, &checkpoint(3, b"\0three")).await.unwrap();
    for after in 0..=4 {
        let page = store.read(after, 10).await.unwrap();
        assert_eq!((page.head, &page.checkpoint), (5, &checkpoint(3, b"\0three")));
        assert!(seqs(&page).into_iter().eq(after.max(3) + 1..=5));
    }
    store.trim(FIRST_ERA, &checkpoint(5, b"five")).await.unwrap();
    let page = store.read(0, 10).await.unwrap();
    assert_eq!((page.head, page.checkpoint, page.records), (5, checkpoint(5, b"five"), vec![]));
    let next = store.append(&request("next", 0), b"six").await.unwrap();
    assert_eq!(next.position.seq, 6);
}

// The same checkpoint again, an older one, one of another era, one beyond the head.
pub(crate) async fn a_checkpoint_that_is_not_newer_changes_nothing(place: &Place) {
    let store = place.open("tokens").await;
    fill(&*store, 5).await;
    store.trim(FIRST_ERA, &checkpoint(3, b"three")).await.unwrap();
    let before = store.read(0, 10).await.unwrap();
    for (era, seq) in
        [(FIRST_ERA, 3), (FIRST_ERA, 2), (FIRST_ERA, 0), (6, 4), (8, 4), (FIRST_ERA, 6)]
    {
        store.trim(era, &checkpoint(seq, b"other")).await.unwrap();
        assert_eq!(store.read(0, 10).await.as_ref(), Ok(&before));
    }
}

// The log is deleted, its checkpoint stays, seqs continue after it; requests are still remembered.
pub(crate) async fn a_new_era_replaces_the_log(place: &Place) {
    let store = place.open("tokens").await;
    fill(&*store, 3).await;
    let end = store.end().await.unwrap();
    assert!(store.start_era(end, 20, &checkpoint(5, b"all")).await.unwrap());
    let page = store.read(0, 10).await.unwrap();
    let found = (page.era, page.head, page.checkpoint, page.records);
    assert_eq!(found, (20, 5, checkpoint(5, b"all"), vec![]));
    let appended = store.append(&request("new", 0), b"six").await.unwrap();
    assert_eq!(appended.position, Position { era: 20, seq: 6 });
    let repeated = store.append(&request("1", 0), b"1").await.unwrap();
    assert_eq!((repeated.position.era, repeated.repeated), (FIRST_ERA, true));
    assert_eq!(seqs(&store.read(0, 10).await.unwrap()), [6]);
}

// Another process was faster, the era is not greater, or the log does not end where the caller saw
// its end: acknowledged records that no process has folded would be lost.
pub(crate) async fn a_new_era_begins_only_if_nothing_is_lost(place: &Place) {
    let store = place.open("tokens").await;
    fill(&*store, 3).await;
    let (before, end) = (store.read(0, 10).await.unwrap(), store.end().await.unwrap());
    let at = |era, seq| End { position: Position { era, seq }, ..end };
    let other_mark = End { mark: end.mark ^ 1, ..end };
    for (expected, era) in [
        (at(6, 3), 9),
        (at(8, 3), 9),
        (end, FIRST_ERA),
        (at(FIRST_ERA, 2), 9),
        (at(FIRST_ERA, 4), 9),
        (other_mark, 9),
    ] {
        let started = store.start_era(expected, era, &checkpoint(9, b"new")).await;
        assert_eq!((started, store.read(0, 10).await.as_ref()), (Ok(false), Ok(&before)));
    }
}

// D85, D89: an append is refused as a whole if the log lacks records that its caller has read: it
// would reuse a seq, or continue after a gap.
pub(crate) async fn an_append_demands_the_log_that_its_caller_has_read(place: &Place) {
    let store = place.open("tokens").await;
    let append = |name: &str| vec![Append { request: request(name, 0), record: b"x".to_vec() }];
    let onto = |end| Onto { end: Some(end), least_seq: 0 };
    let empty = store.end().await.unwrap();
    let first = store.append_all(append("1"), onto(empty)).await.unwrap();
    assert_eq!((first.from, first.to), (empty, store.end().await.unwrap()));
    fill_from(&*store, 2..6).await;
    let end = store.end().await.unwrap();
    // An earlier record is still in the log: other processes may have appended since.
    for held in [empty, first.to, end] {
        let name = format!("{held:?}").bytes().map(|byte| format!("{byte:x}")).collect::<String>();
        store.append_all(append(&name[name.len() - 100..]), onto(held)).await.unwrap();
    }
    let before = store.read(0, 100).await.unwrap();
    let at = |era, seq, mark| End { position: Position { era, seq }, mark };
    for lost in [
        at(FIRST_ERA, 3, first.to.mark),
        at(FIRST_ERA, 99, end.mark),
        at(FIRST_ERA + 1, 1, first.to.mark),
        at(FIRST_ERA, 1, first.to.mark ^ 1),
    ] {
        let refused = store.append_all(append("lost"), onto(lost)).await;
        assert_eq!(refused, Err(StoreError::Moved), "{lost:?}");
    }
    assert_eq!(store.read(0, 100).await.as_ref(), Ok(&before));
    // A checkpoint contains the record at its end, and no other.
    store.trim(FIRST_ERA, &checkpoint(end.position.seq, b"")).await.unwrap();
    assert!(store.append_all(append("after"), onto(end)).await.is_ok());
    assert_eq!(store.append_all(append("late"), onto(first.to)).await, Err(StoreError::Moved));
}

// D81: seqs follow the caller's clock and never decrease.
pub(crate) async fn a_seq_is_at_least_what_is_demanded(place: &Place) {
    let store = place.open("tokens").await;
    let append = |name: &str| Append { request: request(name, 0), record: name.into() };
    let onto = |least_seq| Onto { end: None, least_seq };
    let far = 1 << 52;
    store.append_all(vec![append("a"), append("b")], onto(far)).await.unwrap();
    store.append_all(vec![append("c")], onto(5)).await.unwrap();
    store.append_all(vec![append("d")], onto(far + 1000)).await.unwrap();
    let page = store.read(0, 10).await.unwrap();
    assert_eq!(seqs(&page), [far, far + 1, far + 2, far + 1000]);
    assert_eq!(seqs(&store.read(far + 2, 10).await.unwrap()), [far + 1000]);
    assert_eq!(seqs(&store.read(far + 500, 10).await.unwrap()), [far + 1000]);
    store.trim(FIRST_ERA, &checkpoint(far + 2, b"")).await.unwrap();
    assert_eq!(seqs(&store.read(0, 10).await.unwrap()), [far + 1000]);
    let waited = store.wait(far + 1000, Duration::from_millis(200));
    let begin = Instant::now();
    waited.await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(190), "the wait ended without a new record");
}

// The newest records before a seq, for a reader that reads from the end of the log.
pub(crate) async fn a_log_is_read_backwards(place: &Place) {
    let store = place.open("tokens").await;
    assert_eq!(
        store.read_back(u64::MAX, 5).await,
        Ok(Older { era: FIRST_ERA, ..Older::default() })
    );
    fill(&*store, 20).await;
    store.trim(FIRST_ERA, &checkpoint(2, b"")).await.unwrap();
    let seqs = |older: Older| older.records.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
    for (before, limit, expected) in [
        (u64::MAX, 3, vec![18, 19, 20]),
        (18, 3, vec![15, 16, 17]),
        (19, 12, (7..19).collect()),
        (5, 10, vec![3, 4]),
        (3, 10, vec![]),
        (9, 0, vec![]),
    ] {
        let older = store.read_back(before, limit).await.unwrap();
        assert_eq!((older.era, older.oldest), (FIRST_ERA, 3));
        assert_eq!(seqs(older), expected, "{before} {limit}");
    }
}

// Eight tasks count in one document, each count with its writer's name: no count is lost, and each
// has exactly one winner.
pub(crate) async fn a_document_is_written_by_one_of_many(place: &Place) {
    let stores = place.open_twice("tokens").await;
    let mut tasks = JoinSet::new();
    for task in 0..8_u8 {
        let store = Arc::clone(&stores[usize::from(task) % 2]);
        tasks.spawn(async move {
            let mut won = 0;
            while won < 5 {
                let held = store.load("count").await.unwrap();
                let next = [held.first().copied().unwrap_or(0) + 1, task];
                won += u32::from(store.swap("count", &held, &next, None).await.unwrap());
            }
        });
    }
    tasks.join_all().await;
    let last = stores[0].load("count").await.unwrap();
    assert_eq!(last[0], 40);
    for wrong in [&b""[..], b"other", &[39, last[1]]] {
        assert_eq!(stores[0].swap("count", wrong, b"new", None).await, Ok(false));
    }
    assert_eq!(stores[0].swap("absent", b"other", b"new", None).await, Ok(false));
    assert_eq!(stores[1].load("count").await, Ok(last));
}

// A deleted document is like one that never existed; an expired one may be gone or still there.
pub(crate) async fn a_document_can_be_taken_away(place: &Place) {
    let store = place.open("tokens").await;
    let (now, far) = (offswitch::clock::unix_seconds(), 1 << 33);
    assert_eq!(store.swap("a", b"", b"one", Some(far)).await, Ok(true));
    assert_eq!(store.swap("a", b"one", b"", None).await, Ok(true));
    assert_eq!(store.load("a").await, Ok(vec![]));
    assert_eq!(store.swap("a", b"one", b"", None).await, Ok(true), "it is deleted already");
    assert_eq!(store.swap("a", b"one", b"two", None).await, Ok(false));
    assert_eq!(store.swap("a", b"", b"two", Some(now - 1000)).await, Ok(true));
    for kept in [Some(far), None] {
        assert_eq!(store.swap("b", b"", b"one", Some(now - 1000)).await, Ok(true));
        let held = store.load("b").await.unwrap();
        assert_eq!(store.swap("b", &held, b"two", kept).await, Ok(true));
        store.append(&request(&format!("{kept:?}"), 0), b"").await.unwrap();
        assert_eq!(store.load("b").await, Ok(b"two".to_vec()), "its time was moved");
        assert_eq!(store.swap("b", b"two", b"", None).await, Ok(true));
    }
    store.append(&request("last", 0), b"").await.unwrap();
    assert_eq!(store.load("a").await, Ok(vec![]), "its time is over");
}

// A write that depends on the end of the log: it succeeds while the log ends there, and fails after
// an append.
pub(crate) async fn a_document_is_written_only_where_the_log_ends(place: &Place) {
    let store = place.open("tokens").await;
    let at = |seq| Some(Position { era: FIRST_ERA, seq });
    assert_eq!(store.swap_at(at(0), "a", b"", b"one", None).await, Ok(Swapped::Written));
    fill(&*store, 1).await;
    for wrong in [at(0), at(2), Some(Position { era: FIRST_ERA + 1, seq: 1 })] {
        assert_eq!(store.swap_at(wrong, "a", b"one", b"two", None).await, Ok(Swapped::Moved));
        assert_eq!(store.swap_at(wrong, "a", b"else", b"two", None).await, Ok(Swapped::Changed));
        // As after a lost answer.
        assert_eq!(store.swap_at(wrong, "a", b"", b"one", None).await, Ok(Swapped::Written));
    }
    assert_eq!(store.load("a").await, Ok(b"one".to_vec()));
    assert_eq!(store.swap_at(at(1), "a", b"one", b"two", None).await, Ok(Swapped::Written));
    assert_eq!(store.load("a").await, Ok(b"two".to_vec()));
}

// The store's clock is the server's, as of the last read; here both are this machine's.
pub(crate) async fn the_time_is_the_stores(place: &Place) {
    let store = place.open("tokens").await;
    store.read(0, 1).await.unwrap();
    assert!(store.now().abs_diff(offswitch::clock::unix_seconds()) <= 2);
}

// 2,500 documents among others, of this feed and of another one: the scan returns each of them and
// nothing else.
pub(crate) async fn a_scan_meets_every_document_of_its_prefix(place: &Place) {
    let (store, other) = (place.open("tok?[e]*ns").await, place.open("tokXens").await);
    let mut writes = JoinSet::new();
    for number in 0..2500 {
        let store = Arc::clone(&store);
        writes.spawn(async move {
            let name = format!("user:{number}");
            store.swap(&name, b"", name.as_bytes(), None).await.unwrap()
        });
    }
    assert!(writes.join_all().await.into_iter().all(|written| written));
    assert!(store.swap("users", b"", b"no", None).await.unwrap());
    assert!(store.swap("keys", b"", b"no", None).await.unwrap());
    assert!(other.swap("user:other", b"", b"no", None).await.unwrap());
    let (mut met, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let stretch = store.scan("user:", &cursor).await.unwrap();
        assert!(stretch.documents.len() < 5000);
        for (name, bytes) in stretch.documents {
            assert_eq!(name.as_bytes(), bytes);
            met.insert(name);
        }
        let Some(next) = stretch.next else { break };
        cursor = next;
    }
    assert_eq!(met.len(), 2500);
}

// Closed and opened again with another first era: log, checkpoint, requests and documents are
// there.
pub(crate) async fn everything_is_there_after_opening_again(place: &Place) {
    let store = place.open("tokens").await;
    fill(&*store, 4).await;
    store.trim(FIRST_ERA, &checkpoint(2, b"two")).await.unwrap();
    assert!(store.swap("keys", b"", b"sealed", None).await.unwrap());
    let before = store.read(0, 10).await.unwrap();
    drop(store);
    let store = place.open("tokens").await;
    assert_eq!(store.read(0, 10).await, Ok(before));
    assert_eq!(store.load("keys").await, Ok(b"sealed".to_vec()));
    let repeated = store.append(&request("3", 0), b"3").await.unwrap();
    assert_eq!((repeated.position.seq, repeated.repeated), (3, true));
    assert_eq!(store.append(&request("5", 0), b"5").await.unwrap().position.seq, 5);
}

// A bulk of revocations is one record.
pub(crate) async fn a_record_of_12_megabytes_comes_back(place: &Place) {
    let store = place.open("tokens").await;
    let record: Vec<u8> = (0..12_u32 << 20).map(|index| (index % 251).to_le_bytes()[0]).collect();
    store.append(&request("large", 0), &record).await.unwrap();
    let page = store.read(0, 10).await.unwrap();
    assert!(page.records == [(1, record.clone())]);
    store.trim(FIRST_ERA, &checkpoint(1, &record)).await.unwrap();
    assert!(store.read(0, 10).await.unwrap().checkpoint.bytes == record);
}

// Six records of 6 MiB take three pages, whichever the limit, and each page continues the last.
pub(crate) async fn a_page_with_large_records_ends_early(place: &Place) {
    let store = place.open("tokens").await;
    for number in 0..6 {
        store.append(&request(&number.to_string(), 0), &vec![number; 6 << 20]).await.unwrap();
    }
    assert_eq!(seqs(&store.read(0, 100).await.unwrap()), [1, 2, 3]);
    assert_eq!(seqs(&store.read(3, 100).await.unwrap()), [4, 5, 6]);
    assert_eq!(seqs(&store.read(5, 100).await.unwrap()), [6]);
}

async fn fill(store: &dyn Store, count: u64) {
    fill_from(store, 1..count + 1).await;
}

async fn fill_from(store: &dyn Store, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        let name = seq.to_string();
        store.append(&request(&name, 0), name.as_bytes()).await.unwrap();
    }
}

fn seqs(page: &Page) -> Vec<u64> {
    page.records.iter().map(|(seq, _)| *seq).collect()
}

fn checkpoint(seq: u64, bytes: &[u8]) -> Checkpoint {
    Checkpoint { seq, bytes: bytes.to_vec() }
}

const PROMPTLY: Duration = Duration::from_millis(500);
