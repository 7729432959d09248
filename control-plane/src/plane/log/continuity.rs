//! Reads the log, and makes sure that nothing that was published is ever lost again.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offswitch_core::fold::{Fold, FoldError, Validity};
use offswitch_core::log::End;
use offswitch_snapshot::{Floor, Position, Salt};

use super::PlaneError;
use crate::blocking;
use crate::store::{Page, Store, StoreError};

/// True if `page`, read from the end `held` on, continues it: the log is of the same era, still has
/// the last record folded, and was not trimmed beyond it.
pub(super) fn continues(held: End, page: &Page) -> bool {
    page.era == held.position.era
        && page.checkpoint.seq <= held.position.seq
        && page.after_mark == Some(held.mark)
}

/// How far a starting process has read the log.
#[derive(Debug, Default)]
pub struct Loading {
    read: AtomicU64,
    head: AtomicU64,
}

impl Loading {
    /// The seq up to which the log was read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The seq to read up to; 0 until it is known.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    fn note(&self, read: u64, head: u64) {
        self.read.store(read, Ordering::Relaxed);
        self.head.store(head, Ordering::Relaxed);
        metrics::gauge!("offswitch_log_seq").set(read as f64);
    }
}

/// A log, read from its beginning.
pub(super) struct Loaded {
    pub(super) fold: Fold,
    /// False if the log was found to lack what had been folded up to the position that was held.
    continues: bool,
}

/// Folds the whole log from its checkpoint, a page at a time. In addition to the folded entries,
/// memory holds two pages and what came since the last compaction. Compares the log with `held`.
pub(super) async fn load(
    store: &dyn Store,
    salt: Salt,
    issuer: &str,
    held: Option<Floor>,
    loading: &Loading,
) -> Result<Loaded, PlaneError> {
    let mut reported_at = Instant::now();
    'again: loop {
        let mut page = store.read(0, PAGE_RECORDS).await?;
        let mut fold = Fold::begin(salt, issuer, page.era, &page.checkpoint)?;
        fold.set_mark(page.after_mark.unwrap_or_default());
        let mut continues = begins_after(held, &fold);
        loop {
            let (last, head) = (page.records.last().map(|(seq, _)| *seq), page.head);
            let last = last.unwrap_or(fold.end().position.seq);
            // The store answers while this page is folded.
            let reading = async {
                match last < head {
                    true => Some(store.read(last, PAGE_RECORDS).await),
                    false => None,
                }
            };
            let folding = blocking::run(move || fold_page(fold, &page, held));
            let (folded, next) = tokio::join!(folding, reading);
            let contains_held;
            (fold, contains_held) =
                folded.unwrap_or_else(|failed| resume_unwind(failed.into_panic()))?;
            continues |= contains_held;
            let end = fold.end();
            loading.note(end.position.seq, head);
            if reported_at.elapsed() >= REPORT_EVERY {
                reported_at = Instant::now();
                tracing::info!(read = end.position.seq, of = head, "loading the log");
            }
            page = match next {
                None => return Ok(Loaded { fold, continues }),
                Some(Err(StoreError::Damaged(error))) if held.is_some() => {
                    tracing::error!(error, at = %end.position, "the log is damaged from here on");
                    return Ok(Loaded { fold, continues: false });
                }
                Some(page) => page?,
            };
            if !self::continues(end, &page) {
                continue 'again;
            }
        }
    }
}

/// Folds a page; also returns true if the log was at `held` in it.
fn fold_page(mut fold: Fold, page: &Page, held: Option<Floor>) -> Result<(Fold, bool), FoldError> {
    let mut contains_held = false;
    for ((seq, record), mark) in page.records.iter().zip(&page.marks) {
        fold.push(*seq, record)?;
        fold.set_mark(*mark);
        contains_held |= held == Some(fold.reached());
    }
    if fold.fresh_len() > LOADED_AT_ONCE.max(fold.entries() / 8) {
        // Nothing counts as past until the stored sessions have been checked.
        let (main, ()) = fold.compaction().run(0, Validity::default(), |_| ());
        fold.compacted_to(main, 0);
    }
    Ok((fold, contains_held))
}

/// True if a log that begins like `fold` need not be compared with what was `held`: it is of a
/// later era, which another process began, or it begins at or after that position.
fn begins_after(held: Option<Floor>, fold: &Fold) -> bool {
    let begin = fold.reached();
    held.is_none_or(|held| {
        begin.position.era > held.position.era
            || begin.position.era == held.position.era && begin.position.seq > held.position.seq
            || begin == held
    })
}

/// Reads the store's log after it moved or was lost. `held` is the end up to which this process had
/// folded it, `published` everything that the process knows. Entries that were past at `needed_at`,
/// or are now, need not be in the log. If anything else is missing or damaged, this begins a new
/// era that contains both: no revocation is undone, and no position gets a second content.
pub(super) async fn recover(
    store: &dyn Store,
    held: Floor,
    published: &Fold,
    needed_at: Option<u64>,
    loading: &Loading,
) -> Result<Fold, PlaneError> {
    loop {
        let (salt, issuer) = published.names();
        // Before reading: records that arrive meanwhile must not be dropped with the old log.
        let expected = store.end().await?;
        let found = match load(store, salt, issuer, Some(held), loading).await {
            Ok(found) => Ok(found),
            Err(PlaneError::Store(StoreError::Damaged(error))) => Err(error),
            Err(error) => return Err(error),
        };
        // By the store's clock, which is known after the reading.
        let now = store.now();
        let needed_at = needed_at.unwrap_or(now);
        let joined = match found {
            Ok(Loaded { fold, continues: true }) if !fold.lacks(published, needed_at) => {
                return Ok(fold);
            }
            Ok(Loaded { mut fold, .. }) => {
                tracing::error!(held = %held.position, found = %expected.position,
                    "the store lost records; a new era begins");
                fold.join_fork(published, needed_at);
                fold
            }
            Err(error) => {
                tracing::error!(error, "the log is damaged; a new era begins with what is known");
                let mut known = published.clone();
                known.join_fork(published, needed_at);
                known
            }
        };
        begin_era(store, (expected, held.position.era), joined, needed_at, now).await?;
    }
}

/// Begins a new era of the store's log that contains what it has and what `fold` has; returns where it
/// begins. For a backup that is restored into a store with content.
///
/// # Errors
///
/// As the store; [`PlaneError::Fold`] if the log is damaged.
pub async fn join_into(store: &dyn Store, fold: &Fold) -> Result<Position, PlaneError> {
    let (salt, issuer) = fold.names();
    loop {
        let expected = store.end().await?;
        let mut joined = load(store, salt, issuer, None, &Loading::default()).await?.fold;
        joined.join(fold);
        let (era, now) = (fold.reached().position.era, store.now());
        if let Some(begin) = begin_era(store, (expected, era), joined, now, now).await? {
            return Ok(begin);
        }
    }
}

/// Begins an era that contains `joined`, later than that of the log that ends at `expected` and than
/// the era `held`. None if the log does not end there any more.
async fn begin_era(
    store: &dyn Store,
    (expected, held): (End, u64),
    mut joined: Fold,
    needed_at: u64,
    now: u64,
) -> Result<Option<Position>, StoreError> {
    joined.note_loss(now);
    // Eras grow with the clock, so that a forgotten one is not assigned again, and no
    // faster than the clock, so that verifiers can refuse an era far ahead of theirs.
    let era = (expected.position.era.max(held) + 1).max(now);
    let checkpoint = joined.compaction().checkpoint(needed_at);
    let has_begun = store.start_era(expected, era, &checkpoint).await?;
    Ok(has_begun.then_some(Position { era, seq: checkpoint.seq }))
}

/// How many records are read in one call: a script in Redis finds these in a few milliseconds.
pub(in crate::plane) const PAGE_RECORDS: usize = 2048;
const LOADED_AT_ONCE: usize = 200_000;
const REPORT_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::continues;
    use crate::store::Page;
    use offswitch_core::log::{Checkpoint, End};
    use offswitch_snapshot::Position;

    // D85, D86: the seq alone is not enough: after a lossy failover the log may contain more
    // records than were folded, and different ones.
    #[test]
    fn a_page_continues_only_the_record_that_was_folded() {
        let held = End { position: Position { era: 5, seq: 10 }, mark: 7 };
        let page = |era, trimmed, after_mark| {
            let checkpoint = Checkpoint { seq: trimmed, bytes: vec![] };
            Page { era, head: 12, checkpoint, after_mark, ..Page::default() }
        };
        assert!(continues(held, &page(5, 0, Some(7))));
        assert!(continues(held, &page(5, 10, Some(7))));
        assert!(!continues(held, &page(5, 0, Some(8))), "another record has this seq");
        assert!(!continues(held, &page(5, 0, None)), "no record has this seq");
        assert!(!continues(held, &page(5, 11, Some(7))), "trimmed beyond it");
        assert!(!continues(held, &page(6, 0, Some(7))), "a later era");
        assert!(!continues(held, &page(4, 0, Some(7))), "an earlier era");
    }
}
