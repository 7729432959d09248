//! The tables in the file, and the operations on them; each runs in a transaction of its caller.

use std::io::ErrorKind;

use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::super::{
    FORMAT, Older, Onto, PAGE_SIZE_BYTES, Page, Request, StoreError, Stretch, Swapped, mark,
};

/// The outcome of an append.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Appended(Position),
    Repeated(Position),
    Reused,
}

/// Creates what is missing in a new file; returns where the log ends.
pub(super) fn begin(
    transaction: &WriteTransaction,
    first_era: u64,
) -> Result<Position, StoreError> {
    agree_on_format(transaction)?;
    transaction.open_table(LOG).map_err(failed)?;
    transaction.open_table(CHECKPOINT).map_err(failed)?;
    transaction.open_table(DOCUMENTS).map_err(failed)?;
    transaction.open_table(EXPIRIES).map_err(failed)?;
    transaction.open_table(REQUESTS).map_err(failed)?;
    transaction.open_table(REQUEST_EXPIRIES).map_err(failed)?;
    take_over_request_times(transaction)?;
    let mut meta = transaction.open_table(META).map_err(failed)?;
    if meta.get(ERA).map_err(failed)?.is_none() {
        meta.insert(ERA, first_era.max(1)).map_err(failed)?;
        for name in [SEQ, MARK, CHECKPOINT_MARK] {
            meta.insert(name, 0).map_err(failed)?;
        }
    }
    Ok(stand(&meta)?.position)
}

/// Refuses a file that a newer version has written, before anything in it is read or changed. An older one,
/// and a new one, becomes one of this version.
fn agree_on_format(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    let found = meta.get(FORMAT_NAME).map_err(failed)?.map(|entry| entry.value());
    match found {
        Some(found) if found > FORMAT => Err(StoreError::Newer { found }),
        Some(FORMAT) => Ok(()),
        _ => meta.insert(FORMAT_NAME, FORMAT).map(drop).map_err(failed),
    }
}

/// True if the log satisfies `onto`.
pub(super) fn continues(transaction: &WriteTransaction, onto: Onto) -> Result<bool, StoreError> {
    let Some(demanded) = onto.end else { return Ok(true) };
    let meta = transaction.open_table(META).map_err(failed)?;
    if stand(&meta)?.position.era != demanded.position.era {
        return Ok(false);
    }
    let checkpoint = transaction.open_table(CHECKPOINT).map_err(failed)?;
    let trimmed = checkpoint.get(()).map_err(failed)?.map_or(0, |entry| entry.value().0);
    let log = transaction.open_table(LOG).map_err(failed)?;
    let held = match demanded.position.seq {
        seq if seq == trimmed => Some(number(&meta, CHECKPOINT_MARK)?),
        seq => log.get(seq).map_err(failed)?.map(|entry| entry.value().0),
    };
    Ok(held == Some(demanded.mark))
}

/// Appends `record` with a seq of at least `least_seq`, unless `request` was executed before;
/// `chance` is the random part of its mark. `now` is in unix seconds.
pub(super) fn append(
    transaction: &WriteTransaction,
    (request, record): (&Request, &[u8]),
    (least_seq, chance): (u64, u64),
    now: u64,
) -> Result<Outcome, StoreError> {
    let mut requests = transaction.open_table(REQUESTS).map_err(failed)?;
    if let Some(known) = known(&requests, request)? {
        return Ok(known);
    }
    let mut meta = transaction.open_table(META).map_err(failed)?;
    let End { position: Position { era, seq }, mark } = stand(&meta)?;
    let seq = seq.checked_add(1).ok_or_else(|| StoreError::Damaged("the log is full".into()))?;
    let (seq, mark) = (seq.max(least_seq), mark::next(mark, chance));
    let mut log = transaction.open_table(LOG).map_err(failed)?;
    log.insert(seq, (mark, record)).map_err(failed)?;
    meta.insert(SEQ, seq).map_err(failed)?;
    meta.insert(MARK, mark).map_err(failed)?;
    requests.insert(request.id.as_str(), (era, seq, request.digest, now)).map_err(failed)?;
    let mut expiries = transaction.open_table(REQUEST_EXPIRIES).map_err(failed)?;
    let expires_at = now.saturating_add(request.memory.as_secs());
    expiries.insert((expires_at, request.id.as_str()), ()).map_err(failed)?;
    Ok(Outcome::Appended(Position { era, seq }))
}

/// See [`Store::recall`](super::super::Store::recall).
pub(super) fn recall(
    transaction: &ReadTransaction,
    request: &Request,
) -> Result<Option<Outcome>, StoreError> {
    known(&transaction.open_table(REQUESTS).map_err(failed)?, request)
}

/// The outcome of `request`, if it was executed before.
fn known(
    requests: &impl ReadableTable<&'static str, (u64, u64, [u8; 32], u64)>,
    request: &Request,
) -> Result<Option<Outcome>, StoreError> {
    let known = requests.get(request.id.as_str()).map_err(failed)?.map(|entry| entry.value());
    Ok(known.map(|(era, seq, digest, _)| match digest == request.digest {
        true => Outcome::Repeated(Position { era, seq }),
        false => Outcome::Reused,
    }))
}

/// Removes requests that have expired, a few at a time. `now` is in unix seconds.
pub(super) fn forget_requests(transaction: &WriteTransaction, now: u64) -> Result<(), StoreError> {
    let mut expiries = transaction.open_table(REQUEST_EXPIRIES).map_err(failed)?;
    let mut requests = transaction.open_table(REQUESTS).map_err(failed)?;
    for _ in 0..FORGOTTEN_AT_ONCE {
        let first = expiries.first().map_err(failed)?;
        let Some((at, id)) = first.map(|(key, _)| (key.value().0, key.value().1.to_owned())) else {
            break;
        };
        if at >= now {
            break;
        }
        expiries.remove((at, id.as_str())).map_err(failed)?;
        requests.remove(id.as_str()).map_err(failed)?;
    }
    Ok(())
}

/// Migrates a file of the first version, which has the times of requests and kept all for a day.
fn take_over_request_times(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut expiries = transaction.open_table(REQUEST_EXPIRIES).map_err(failed)?;
    let times = transaction.open_table(REQUEST_TIMES).map_err(failed)?;
    for entry in times.iter().map_err(failed)? {
        let (key, ()) = entry.map(|(key, value)| (key, value.value())).map_err(failed)?;
        let (seen_at, id) = key.value();
        let expires_at = seen_at.saturating_add(REQUEST_MEMORY.as_secs());
        expiries.insert((expires_at, id), ()).map_err(failed)?;
    }
    drop(times);
    transaction.delete_table(REQUEST_TIMES).map(drop).map_err(failed)
}

/// See [`Store::read`](super::super::Store::read).
pub(super) fn page(
    transaction: &ReadTransaction,
    after: u64,
    limit: usize,
) -> Result<Page, StoreError> {
    let meta = transaction.open_table(META).map_err(failed)?;
    let End { position: Position { era, seq: head }, mark: head_mark } = stand(&meta)?;
    let checkpoint = transaction.open_table(CHECKPOINT).map_err(failed)?;
    let checkpoint = checkpoint.get(()).map_err(failed)?.map(|entry| {
        let (seq, bytes) = entry.value();
        Checkpoint { seq, bytes: bytes.to_vec() }
    });
    let checkpoint = checkpoint.unwrap_or_default();
    let log = transaction.open_table(LOG).map_err(failed)?;
    let after = after.max(checkpoint.seq);
    let after_mark = if after == checkpoint.seq {
        Some(number(&meta, CHECKPOINT_MARK)?)
    } else {
        log.get(after).map_err(failed)?.map(|entry| entry.value().0)
    };
    let mut page = Page { era, head, head_mark, checkpoint, after_mark, ..Page::default() };
    let mut size_bytes = 0;
    let first = after.saturating_add(1);
    for entry in log.range(first..).map_err(failed)?.take(limit) {
        let (seq, entry) = entry.map_err(failed)?;
        let (mark, record) = entry.value();
        page.records.push((seq.value(), record.to_vec()));
        page.marks.push(mark);
        size_bytes += record.len();
        if size_bytes >= PAGE_SIZE_BYTES {
            break;
        }
    }
    page.without_gaps(after, limit)
}

/// See [`Store::read_back`](super::super::Store::read_back).
pub(super) fn older(
    transaction: &ReadTransaction,
    before: u64,
    limit: usize,
) -> Result<Older, StoreError> {
    let era = end(transaction)?.position.era;
    let log = transaction.open_table(LOG).map_err(failed)?;
    let oldest = log.first().map_err(failed)?.map_or(0, |(seq, _)| seq.value());
    let (mut records, mut size_bytes) = (Vec::new(), 0);
    for entry in log.range(..before).map_err(failed)?.rev().take(limit) {
        let (seq, entry) = entry.map_err(failed)?;
        let record = entry.value().1.to_vec();
        size_bytes += record.len();
        records.push((seq.value(), record));
        if size_bytes >= PAGE_SIZE_BYTES {
            break;
        }
    }
    records.reverse();
    Ok(Older { era, oldest, records })
}

/// Where the log ends.
pub(super) fn end(transaction: &ReadTransaction) -> Result<End, StoreError> {
    stand(&transaction.open_table(META).map_err(failed)?)
}

/// Where the log ends, including what the transaction wrote.
pub(super) fn end_written(transaction: &WriteTransaction) -> Result<End, StoreError> {
    stand(&transaction.open_table(META).map_err(failed)?)
}

/// See [`Store::trim`](super::super::Store::trim).
pub(super) fn trim(
    transaction: &WriteTransaction,
    era: u64,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    let position = stand(&meta)?.position;
    let mut present = transaction.open_table(CHECKPOINT).map_err(failed)?;
    let trimmed = present.get(()).map_err(failed)?.map_or(0, |entry| entry.value().0);
    if position.era != era || checkpoint.seq <= trimmed || checkpoint.seq > position.seq {
        return Ok(());
    }
    let mut log = transaction.open_table(LOG).map_err(failed)?;
    let mark = log.get(checkpoint.seq).map_err(failed)?.map(|entry| entry.value().0);
    let Some(mark) = mark else { return Ok(()) };
    meta.insert(CHECKPOINT_MARK, mark).map_err(failed)?;
    present.insert((), (checkpoint.seq, checkpoint.bytes.as_slice())).map_err(failed)?;
    log.retain_in(..=checkpoint.seq, |_, _| false).map_err(failed)
}

/// See [`Store::start_era`](super::super::Store::start_era).
pub(super) fn start_era(
    transaction: &WriteTransaction,
    expected: End,
    (era, mark): (u64, u64),
    checkpoint: &Checkpoint,
) -> Result<bool, StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    if stand(&meta)? != expected || era <= expected.position.era {
        return Ok(false);
    }
    for (name, value) in [(ERA, era), (SEQ, checkpoint.seq), (MARK, mark), (CHECKPOINT_MARK, mark)]
    {
        meta.insert(name, value).map_err(failed)?;
    }
    let mut present = transaction.open_table(CHECKPOINT).map_err(failed)?;
    present.insert((), (checkpoint.seq, checkpoint.bytes.as_slice())).map_err(failed)?;
    let mut log = transaction.open_table(LOG).map_err(failed)?;
    log.retain(|_, _| false).map_err(failed)?;
    Ok(true)
}

/// See [`Store::load`](super::super::Store::load).
pub(super) fn load(transaction: &ReadTransaction, name: &str) -> Result<Vec<u8>, StoreError> {
    let documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
    let document = documents.get(name).map_err(failed)?;
    Ok(document.map(|entry| entry.value().1.to_vec()).unwrap_or_default())
}

/// See [`Store::swap_at`](super::super::Store::swap_at).
pub(super) fn swap(
    transaction: &WriteTransaction,
    at: Option<Position>,
    name: &str,
    (from, to): (&[u8], &[u8]),
    expires_at: u64,
) -> Result<Swapped, StoreError> {
    let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
    let mut expiries = transaction.open_table(EXPIRIES).map_err(failed)?;
    let held = documents.get(name).map_err(failed)?;
    let (held_until, is_current, is_known) =
        held.map_or((NEVER, to.is_empty(), from.is_empty()), |entry| {
            let (until, bytes) = entry.value();
            (until, bytes == to, bytes == from)
        });
    if is_current {
        return Ok(Swapped::Written);
    }
    if !is_known {
        return Ok(Swapped::Changed);
    }
    if let Some(at) = at
        && end_written(transaction)?.position != at
    {
        return Ok(Swapped::Moved);
    }
    if held_until != NEVER {
        expiries.remove((held_until, name)).map_err(failed)?;
    }
    if to.is_empty() {
        documents.remove(name).map_err(failed)?;
        return Ok(Swapped::Written);
    }
    if expires_at != NEVER {
        expiries.insert((expires_at, name), ()).map_err(failed)?;
    }
    documents.insert(name, (expires_at, to)).map_err(failed)?;
    Ok(Swapped::Written)
}

/// Removes documents that have expired, a few at a time. `now` is in unix seconds.
pub(super) fn forget_documents(transaction: &WriteTransaction, now: u64) -> Result<(), StoreError> {
    let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
    let mut expiries = transaction.open_table(EXPIRIES).map_err(failed)?;
    for _ in 0..FORGOTTEN_AT_ONCE {
        let first = expiries.first().map_err(failed)?;
        let Some((at, name)) = first.map(|(key, _)| (key.value().0, key.value().1.to_owned()))
        else {
            break;
        };
        if at >= now {
            break;
        }
        expiries.remove((at, name.as_str())).map_err(failed)?;
        documents.remove(name.as_str()).map_err(failed)?;
    }
    Ok(())
}

/// See [`Store::scan`](super::super::Store::scan). The cursor is the last name that was read.
pub(super) fn scan(
    transaction: &ReadTransaction,
    prefix: &str,
    cursor: &str,
) -> Result<Stretch, StoreError> {
    let documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
    let mut stretch = Stretch::default();
    let begin = if cursor.is_empty() { prefix } else { cursor };
    for entry in documents.range(begin..).map_err(failed)? {
        let (name, document) = entry.map_err(failed)?;
        if !name.value().starts_with(prefix) {
            break;
        }
        if !cursor.is_empty() && name.value() == cursor {
            continue;
        }
        if stretch.documents.len() == SCANNED_AT_ONCE {
            stretch.next = stretch.documents.last().map(|(name, _)| name.clone());
            break;
        }
        stretch.documents.push((name.value().to_owned(), document.value().1.to_vec()));
    }
    Ok(stretch)
}

/// Converts an error of the database into one of the store.
pub(super) fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => {
            StoreError::Unavailable("another process has the file open".to_owned())
        }
        redb::Error::Io(error) => match error.kind() {
            ErrorKind::InvalidData => StoreError::Damaged(error.to_string()),
            ErrorKind::QuotaExceeded | ErrorKind::StorageFull => {
                StoreError::Full(error.to_string())
            }
            _ => StoreError::Unavailable(error.to_string()),
        },
        error @ (redb::Error::Corrupted(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::UpgradeRequired(_)) => StoreError::Damaged(error.to_string()),
        error => StoreError::Unavailable(error.to_string()),
    }
}

fn stand(meta: &impl ReadableTable<&'static str, u64>) -> Result<End, StoreError> {
    let position = Position { era: number(meta, ERA)?, seq: number(meta, SEQ)? };
    Ok(End { position, mark: number(meta, MARK)? })
}

fn number(
    meta: &impl ReadableTable<&'static str, u64>,
    name: &'static str,
) -> Result<u64, StoreError> {
    let entry = meta.get(name).map_err(failed)?.map(|entry| entry.value());
    entry.ok_or_else(|| StoreError::Damaged(format!("{name} is missing")))
}

/// seq → mark, record
const LOG: TableDefinition<'_, u64, (u64, &[u8])> = TableDefinition::new("log");
/// One entry: seq, bytes
const CHECKPOINT: TableDefinition<'_, (), (u64, &[u8])> = TableDefinition::new("checkpoint");
/// name → number, for [`FORMAT_NAME`], [`ERA`], [`SEQ`] and the marks of the last record and of the checkpoint's
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_NAME: &str = "format";
const ERA: &str = "era";
const SEQ: &str = "seq";
const MARK: &str = "mark";
const CHECKPOINT_MARK: &str = "checkpoint_mark";
/// name → when it may be forgotten (unix seconds, [`NEVER`] for never), bytes
const DOCUMENTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("documents");
/// (when it may be forgotten, name), to find expired documents first
const EXPIRIES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("expiries");
/// When a document without an expiry may be forgotten.
pub(super) const NEVER: u64 = u64::MAX;
/// request id → era, seq, digest, when it was seen (unix seconds)
const REQUESTS: TableDefinition<'_, &str, (u64, u64, [u8; 32], u64)> =
    TableDefinition::new("requests");
/// (when it may be forgotten, request id), to find expired requests first
const REQUEST_EXPIRIES: TableDefinition<'_, (u64, &str), ()> =
    TableDefinition::new("request_expiries");
/// (when it was seen, request id), in files of the first version
const REQUEST_TIMES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("request_times");
/// Keeps each commit short, even after a long pause. It must not be less than what a commit adds
/// under load, or the table would grow.
const FORGOTTEN_AT_ONCE: usize = 2048;
const SCANNED_AT_ONCE: usize = 1000;

/// Moves the requests' expiries to where the first version looked for their times.
#[cfg(test)]
pub(super) fn as_the_first_version_had_it(
    transaction: &WriteTransaction,
) -> Result<(), StoreError> {
    let expiries = transaction.open_table(REQUEST_EXPIRIES).map_err(failed)?;
    let mut times = transaction.open_table(REQUEST_TIMES).map_err(failed)?;
    for entry in expiries.iter().map_err(failed)? {
        let (key, _) = entry.map_err(failed)?;
        let (expires_at, id) = key.value();
        times.insert((expires_at - REQUEST_MEMORY.as_secs(), id), ()).map_err(failed)?;
    }
    drop((expiries, times));
    transaction.delete_table(REQUEST_EXPIRIES).map(drop).map_err(failed)
}
