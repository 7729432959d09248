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

/// The log at one moment, and records of it.
struct View {
    era: u64,
    head: u64,
    head_mark: u64,
    checkpoint: Checkpoint,
    after_mark: Option<u64>,
    /// Absent if it is not known where the large records end.
    seen: Option<Seen>,
    contents: Contents,
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
        let mut view = self.view(after, of_view).await?;
        match small {
            Some((before, contents)) if before.is_log_of(view.seen) => view.contents = contents,
            Some(_) => view = self.view(after, limit).await?,
            None => {}
        }
        let View { era, head, head_mark, checkpoint, after_mark, seen, contents } = view;
        let (ids, records) = contents;
        // Only for a reader that has far to go another call is worth it.
        *self.seen() = seen.filter(|_| records.len() >= MANY_RECORDS);
        let ids = ids.iter().map(|id| {
            let (seq, mark) = id.split_once('-')?;
            Some((seq.parse().ok()?, mark.parse().ok()?))
        });
        let ids: Option<Vec<(u64, u64)>> = ids.collect();
        let ids = ids.ok_or_else(|| StoreError::Damaged("a foreign entry".to_owned()))?;
        let (seqs, marks): (Vec<_>, Vec<_>) = ids.into_iter().unzip();
        let page = Page {
            era,
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
    async fn view(&self, after: u64, limit: usize) -> Result<View, StoreError> {
        let known = Arc::clone(&self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner));
        let call = self.keys.read(after, limit, &known.digest, self.may_be_replica);
        let (answer, _) = self.link.call::<Read>(&call).await?;
        self.link.confirmed()?;
        let (era, head, head_mark, seq, digest, bytes, after_mark, last_large, ids, records, time) =
            answer;
        let checkpoint = self.checkpoint(seq, digest, bytes, &known)?;
        let ahead = time.saturating_sub_unsigned(unix_seconds());
        self.clock_ahead_seconds.store(ahead, Ordering::Relaxed);
        let seen = |(era, last_large)| Seen { era, checkpoint: seq, last_large };
        Ok(View {
            era: era.unwrap_or(self.first_era),
            head,
            head_mark,
            checkpoint,
            after_mark,
            seen: era.zip(last_large).map(seen),
            contents: (ids, records),
        })
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

    /// The checkpoint up to `seq` with this digest, completed with the bytes that are `known`.
    fn checkpoint(
        &self,
        seq: u64,
        named: String,
        bytes: Option<Vec<u8>>,
        known: &Known,
    ) -> Result<Checkpoint, StoreError> {
        let Some(bytes) = bytes else {
            if named.is_empty() {
                // The log has no checkpoint, and may have lost the one that was known.
                return Ok(Checkpoint { seq, bytes: vec![] });
            }
            if named != known.digest {
                return Err(StoreError::Damaged("the checkpoint is missing".to_owned()));
            }
            return Ok(Checkpoint { seq, bytes: known.bytes.clone() });
        };
        if named != digest(&bytes) {
            return Err(StoreError::Damaged("the checkpoint was altered".to_owned()));
        }
        let known = Known { digest: named, bytes: bytes.clone() };
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(Checkpoint { seq, bytes })
    }
}

impl Seen {
    /// True if records that were read of this log, before it was seen as it is `now`, belong to what is seen now: no
    /// other log has begun in between, and this one was not trimmed.
    fn is_log_of(self, now: Option<Self>) -> bool {
        now.is_some_and(|now| (now.era, now.checkpoint) == (self.era, self.checkpoint))
    }
}

/// More records than this are likely to follow a page that had as many.
const MANY_RECORDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::Seen;

    // R06: records of a log that has ended, or that were trimmed, are not folded as those of the log that is there now.
    #[test]
    fn records_that_were_read_before_belong_only_to_the_same_log() {
        let before = Seen { era: 7, checkpoint: 10, last_large: 3 };
        assert!(before.is_log_of(Some(Seen { last_large: 20, ..before })), "it goes on");
        assert!(!before.is_log_of(Some(Seen { era: 8, ..before })), "another log");
        assert!(!before.is_log_of(Some(Seen { checkpoint: 11, ..before })), "it was trimmed");
        assert!(!before.is_log_of(None), "an older version begins it again");
    }
}
