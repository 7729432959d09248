//! Reads the log, and makes sure that what was published once is never published less.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offswitch_verifier::snapshot::{Position, Salt};

use super::PlaneError;
use crate::fold::{Fold, Validity};
use crate::store::{Page, Store};

/// How what the store holds relates to what was folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// The log continues.
    Continues,
    /// Another process started a new era, or trimmed beyond us: read everything again.
    Moved,
    /// The store lost records that were folded: it came back empty or older.
    Lost,
}

/// Compares a page of the log with the position folded so far.
pub(super) fn judge(held: Position, page: &Page) -> Continuity {
    let head = Position { era: page.era, seq: page.head };
    if head < held {
        return Continuity::Lost;
    }
    if page.era > held.era || page.checkpoint.seq > held.seq {
        return Continuity::Moved;
    }
    Continuity::Continues
}

/// How far a starting process has read the log.
#[derive(Debug, Default)]
pub struct Loading {
    read: AtomicU64,
    head: AtomicU64,
}

impl Loading {
    /// The seq read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The seq to read to; 0 before it is known.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    fn note(&self, read: u64, head: u64) {
        self.read.store(read, Ordering::Relaxed);
        self.head.store(head, Ordering::Relaxed);
        metrics::gauge!("offswitch_log_seq").set(read as f64);
    }
}

/// Folds the whole log from its checkpoint, a page at a time: beside the folded entries, memory
/// holds one page and what came since the last compaction.
pub(super) async fn load(
    store: &dyn Store,
    salt: Salt,
    issuer: &str,
    loading: &Loading,
) -> Result<Fold, PlaneError> {
    let mut told_at = Instant::now();
    'again: loop {
        let first = store.read(0, PAGE_RECORDS).await?;
        let mut fold = Fold::begin(salt, issuer, first.era, &first.checkpoint)?;
        let mut page = first;
        loop {
            for (seq, record) in &page.records {
                fold.push(*seq, record)?;
            }
            if fold.fresh_len() > LOADED_AT_ONCE.max(fold.entries() / 8) {
                // Nothing is past as long as nobody has looked at the stored sessions.
                let (main, ()) = fold.compaction().run(0, Validity::default(), |_| ());
                fold.compacted_to(main, 0);
            }
            let reached = fold.reached().position;
            loading.note(reached.seq, page.head);
            if told_at.elapsed() >= TELL_EVERY {
                told_at = Instant::now();
                tracing::info!(read = reached.seq, of = page.head, "loading the log");
            }
            if reached.seq >= page.head {
                return Ok(fold);
            }
            page = store.read(reached.seq, PAGE_RECORDS).await?;
            if judge(reached, &page) != Continuity::Continues || page.era != reached.era {
                continue 'again;
            }
        }
    }
}

/// Reads the store's log anew after it moved or was lost. Where it lacks anything that `published`
/// holds, a new era is started that contains both: nothing un-revokes.
pub(super) async fn recover(
    store: &dyn Store,
    salt: Salt,
    issuer: &str,
    published: &Fold,
    continuity: Continuity,
    now: u64,
) -> Result<Fold, PlaneError> {
    let held = published.reached().position;
    loop {
        let mut found = load(store, salt, issuer, &Loading::default()).await?;
        let at = found.reached().position;
        // In the same era a position must not get another content than the one that was published.
        let may_continue = continuity == Continuity::Moved || at.era > held.era;
        if may_continue && at >= held && !found.lacks(published, now) {
            return Ok(found);
        }
        tracing::error!(%held, found = %at, "the store lost records; starting a new era");
        found.join(published);
        let era = at.era.max(held.era) + 1;
        let checkpoint = found.compaction().checkpoint(now);
        store.start_era(at.era, era, &checkpoint).await?;
    }
}

/// How many records are read at once: what a script in Redis finds in a few milliseconds.
pub(super) const PAGE_RECORDS: usize = 2048;
const LOADED_AT_ONCE: usize = 200_000;
const TELL_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{Continuity, judge};
    use crate::store::{Checkpoint, Page};
    use offswitch_verifier::snapshot::Position;

    fn page(era: u64, head: u64, checkpoint: u64) -> Page {
        let checkpoint = Checkpoint { seq: checkpoint, bytes: vec![] };
        Page { era, head, checkpoint, records: vec![] }
    }

    #[test]
    fn a_log_that_is_shorter_or_of_an_earlier_era_has_lost_records() {
        let held = Position { era: 5, seq: 10 };
        assert_eq!(judge(held, &page(5, 10, 0)), Continuity::Continues);
        assert_eq!(judge(held, &page(5, 12, 10)), Continuity::Continues);
        assert_eq!(judge(held, &page(5, 12, 11)), Continuity::Moved);
        assert_eq!(judge(held, &page(6, 3, 0)), Continuity::Moved);
        assert_eq!(judge(held, &page(5, 9, 0)), Continuity::Lost);
        assert_eq!(judge(held, &page(4, 99, 0)), Continuity::Lost);
    }
}
