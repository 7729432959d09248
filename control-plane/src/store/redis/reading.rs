//! Reading the log forwards, a page at a time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use offswitch_core::log::Checkpoint;

use super::super::{Page, StoreError};
use super::scripts::digest;
use super::{Entries, RedisStore};
use crate::clock::unix_seconds;

/// A log, by what changes when another one takes its place or when it is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    era: u64,
    checkpoint: u64,
    /// The seq of the last large record; there may have been none.
    last_large: u64,
}

/// A checkpoint's bytes and their digest.
#[derive(Default)]
pub(super) struct Known {
    digest: String,
    bytes: Vec<u8>,
}

/// The result of `read.lua`: era, seq, mark, the checkpoint's seq, digest and bytes, the mark of
/// the record before the page, the seq of the last large record, ids, records, time.
type Read = (
    Option<u64>,
    u64,
    u64,
    u64,
    String,
    Option<Vec<u8>>,
    Option<u64>,
    Option<u64>,
    Vec<String>,
    Vec<Vec<u8>>,
    i64,
);

/// Of records their ids and contents.
type Contents = (Vec<String>, Vec<Vec<u8>>);

impl RedisStore {
    /// A page of the records after `after`.
    pub(super) async fn read_page(&self, after: u64, limit: usize) -> Result<Page, StoreError> {
        let small = self.read_small(after, limit).await?;
        let of_view = if small.is_some() { 0 } else { limit };
        let (mut answer, mut checkpoint, mut now) = self.view(after, of_view).await?;
        if let Some((before, contents)) = small {
            // What was read before this view of the log is a part of it, unless another log has begun in between or
            // this one was trimmed.
            let names = |seen: Seen| (seen.era, seen.checkpoint);
            if now.map(names) == Some(names(before)) {
                (answer.8, answer.9) = contents;
            } else {
                (answer, checkpoint, now) = self.view(after, limit).await?;
            }
        }
        let (era, head, head_mark, _, _, _, after_mark, _, ids, records, time) = answer;
        // Only for a reader that has far to go another call is worth it.
        *self.seen() = now.filter(|_| records.len() >= MANY_RECORDS);
        let ahead = time.saturating_sub_unsigned(unix_seconds());
        self.clock_ahead_seconds.store(ahead, Ordering::Relaxed);
        let ids = ids.iter().map(|id| {
            let (seq, mark) = id.split_once('-')?;
            Some((seq.parse().ok()?, mark.parse().ok()?))
        });
        let ids: Option<Vec<(u64, u64)>> = ids.collect();
        let ids = ids.ok_or_else(|| StoreError::Damaged("a foreign entry".to_owned()))?;
        let (seqs, marks): (Vec<_>, Vec<_>) = ids.into_iter().unzip();
        let page = Page {
            era: era.unwrap_or(self.first_era),
            head,
            head_mark,
            checkpoint,
            after_mark,
            records: seqs.into_iter().zip(records).collect(),
            marks,
        };
        page.without_gaps(after, limit)
    }

    /// The log as it is at one moment, and up to `limit` records after `after`.
    async fn view(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(Read, Checkpoint, Option<Seen>), StoreError> {
        let known = Arc::clone(&self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner));
        let call = self.keys.read(after, limit, &known.digest, self.may_be_replica);
        let (mut answer, _) = self.link.call::<Read>(&call).await?;
        self.link.confirmed()?;
        let checkpoint = self.checkpoint(&mut answer, &known)?;
        let seen = |(era, last_large)| Seen { era, checkpoint: checkpoint.seq, last_large };
        let seen = answer.0.zip(answer.7).map(seen);
        Ok((answer, checkpoint, seen))
    }

    /// The ids and contents of the records after `after`, by a command that is several times as fast as the script,
    /// and the log that they were expected in. None if there may be large records among them, of which the script
    /// returns as many as fit into a page, or if there are few.
    async fn read_small(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Option<(Seen, Contents)>, StoreError> {
        let seen = *self.seen();
        let Some(seen) = seen.filter(|seen| limit >= MANY_RECORDS && after >= seen.last_large)
        else {
            return Ok(None);
        };
        let (found, _) = self.link.call::<Entries>(&self.keys.records(after, limit)).await?;
        if found.len() < MANY_RECORDS {
            return Ok(None);
        }
        let record = |(id, fields): (String, Vec<Vec<u8>>)| Some((id, fields.into_iter().nth(1)?));
        let found: Option<Contents> = found.into_iter().map(record).collect();
        let found = found.ok_or_else(|| StoreError::Damaged("a foreign entry".to_owned()))?;
        Ok(Some((seen, found)))
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The checkpoint in the answer, completed with the bytes that are `known`.
    fn checkpoint(&self, answer: &mut Read, known: &Known) -> Result<Checkpoint, StoreError> {
        let (_, _, _, seq, named, bytes, ..) = answer;
        let seq = *seq;
        let Some(bytes) = bytes.take() else {
            if named.is_empty() {
                // The log has no checkpoint, and may have lost the one that was known.
                return Ok(Checkpoint { seq, bytes: vec![] });
            }
            if *named != known.digest {
                return Err(StoreError::Damaged("the checkpoint is missing".to_owned()));
            }
            return Ok(Checkpoint { seq, bytes: known.bytes.clone() });
        };
        if *named != digest(&bytes) {
            return Err(StoreError::Damaged("the checkpoint was altered".to_owned()));
        }
        let known = Known { digest: named.clone(), bytes: bytes.clone() };
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(Checkpoint { seq, bytes })
    }
}

/// More records than this are likely to follow a page that had as many.
const MANY_RECORDS: usize = 256;
