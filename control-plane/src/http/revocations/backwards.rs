//! The log, newest record first. The store reads forward only, and seqs may have gaps.

use offswitch_verifier::snapshot::Position;

use crate::store::{Page, Store, StoreError};

/// Where a walk towards the log's beginning has come.
pub(super) struct Backwards<'a> {
    store: &'a dyn Store,
    /// Everything from here on was given out.
    end: u64,
    era: u64,
    /// The log begins after this one.
    begin: u64,
    /// Read and not given out yet, oldest first.
    block: Vec<(u64, Vec<u8>)>,
}

impl<'a> Backwards<'a> {
    /// Begins with the newest record whose seq is below `end`.
    pub(super) fn new(store: &'a dyn Store, end: u64) -> Self {
        Self { store, end, era: 0, begin: 0, block: vec![] }
    }

    /// The next record towards the beginning; `wanted` is about how many more will be taken.
    pub(super) async fn next(
        &mut self,
        wanted: usize,
    ) -> Result<Option<(Position, Vec<u8>)>, StoreError> {
        if self.block.is_empty() {
            self.block = self.block_before(self.end, wanted.clamp(1, MOST_IN_BLOCK)).await?;
        }
        let Some((seq, bytes)) = self.block.pop() else { return Ok(None) };
        self.end = seq;
        Ok(Some((Position { era: self.era, seq }, bytes)))
    }

    /// Where to begin again, if there may be more.
    pub(super) fn more(&self) -> Option<u64> {
        (!self.block.is_empty() || self.end > self.begin.saturating_add(1)).then_some(self.end)
    }

    /// Records that end directly before `end`, at most `limit`, oldest first; none only if there is
    /// none. Without gaps this is one reading; a gap is searched in steps that grow, then halve.
    async fn block_before(
        &mut self,
        end: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut span = u64::try_from(limit).unwrap_or(u64::MAX);
        let mut empty_after = end.saturating_sub(1);
        let mut low = loop {
            let after = end.saturating_sub(span).saturating_sub(1);
            let mut page = self.read(after, limit).await?;
            let is_whole = cut(&mut page, end);
            match page.records.last() {
                Some(_) if is_whole => return Ok(page.records),
                Some((last, _)) => break *last,
                None if after <= page.checkpoint.seq => return Ok(vec![]),
                None => empty_after = after,
            }
            span = span.saturating_mul(GROWTH);
        };
        // There is a record at or after `low`, and none between `empty_after` and `end`.
        loop {
            let middle = low + empty_after.saturating_sub(low) / 2;
            let mut page = self.read(middle, limit).await?;
            let is_whole = cut(&mut page, end);
            match page.records.last() {
                Some(_) if is_whole => return Ok(page.records),
                Some((last, _)) => low = *last,
                None if middle > low => empty_after = middle,
                // `low` itself is the newest one.
                None => {
                    let mut page = self.read(low.saturating_sub(1), 1).await?;
                    cut(&mut page, end);
                    return Ok(page.records);
                }
            }
        }
    }

    async fn read(&mut self, after: u64, limit: usize) -> Result<Page, StoreError> {
        let page = self.store.read(after, limit).await?;
        self.era = page.era;
        self.begin = page.checkpoint.seq;
        Ok(page)
    }
}

/// Drops what is not before `end`; true if what is left reaches up to it.
fn cut(page: &mut Page, end: u64) -> bool {
    let reaches = match page.records.last() {
        Some((last, _)) => last.saturating_add(1) >= end || *last >= page.head,
        None => true,
    };
    page.records.retain(|(seq, _)| *seq < end);
    reaches
}

const MOST_IN_BLOCK: usize = 100;
const GROWTH: u64 = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::store::{
        Append, Appended, Checkpoint, Durability, Finding, Request, Stretch, Swapped,
    };

    /// A log with records at these seqs, after a checkpoint.
    struct Log(u64, Vec<u64>);

    #[async_trait]
    impl Store for Log {
        async fn read(&self, after: u64, limit: usize) -> Result<Page, StoreError> {
            let after = after.max(self.0);
            let seqs = self.1.iter().filter(|seq| **seq > after).take(limit);
            Ok(Page {
                era: 1,
                head: self.1.last().copied().unwrap_or(self.0),
                checkpoint: Checkpoint { seq: self.0, bytes: vec![] },
                records: seqs.map(|seq| (*seq, vec![])).collect(),
            })
        }

        async fn append_all(&self, _: Vec<Append>) -> Result<Vec<Option<Appended>>, StoreError> {
            unreachable!()
        }

        async fn recall(&self, _: &Request) -> Result<Option<Appended>, StoreError> {
            unreachable!()
        }

        async fn wait(&self, _: u64, _: Duration) -> Result<(), StoreError> {
            unreachable!()
        }

        async fn trim(&self, _: u64, _: &Checkpoint) -> Result<(), StoreError> {
            unreachable!()
        }

        async fn start_era(&self, _: u64, _: u64, _: &Checkpoint) -> Result<bool, StoreError> {
            unreachable!()
        }

        async fn load(&self, _: &str) -> Result<Vec<u8>, StoreError> {
            unreachable!()
        }

        async fn swap_at(
            &self,
            _: Option<Position>,
            _: &str,
            _: &[u8],
            _: &[u8],
            _: Option<u64>,
        ) -> Result<Swapped, StoreError> {
            unreachable!()
        }

        async fn scan(&self, _: &str, _: &str) -> Result<Stretch, StoreError> {
            unreachable!()
        }

        async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
            unreachable!()
        }

        fn now(&self) -> u64 {
            0
        }

        fn durability(&self) -> Option<Durability> {
            None
        }
    }

    async fn walk(log: &Log, end: u64, wanted: usize) -> Vec<u64> {
        let mut walk = Backwards::new(log, end);
        let mut seen = Vec::new();
        while let Some((position, _)) = walk.next(wanted).await.unwrap() {
            seen.push(position.seq);
        }
        assert_eq!(walk.more().filter(|end| *end <= log.0 + 1), None);
        seen
    }

    // D41: seqs are not contiguous and do not begin at 1.
    #[tokio::test]
    async fn every_record_is_met_once_whatever_the_gaps() {
        let gap = 1 << 50;
        let dense: Vec<u64> = (gap..gap + 1000).collect();
        let sparse: Vec<u64> = (1..200).map(|one| one * 1_000_003).collect();
        let mixed = [&sparse[..], &dense, &[gap * 2, gap * 2 + 1, gap * 4 - 1]].concat();
        for (checkpoint, seqs) in [
            (0, vec![]),
            (7, vec![]),
            (0, vec![1]),
            (gap - 1, dense.clone()),
            (3, dense),
            (0, sparse),
            (5, mixed),
        ] {
            let log = Log(checkpoint, seqs.clone());
            let newest_first = |below: u64| -> Vec<u64> {
                seqs.iter().rev().copied().filter(|seq| *seq < below).collect()
            };
            for wanted in [1, 20, usize::MAX] {
                let end = gap * 4;
                assert_eq!(walk(&log, end, wanted).await, newest_first(end), "{wanted}");
            }
            for end in [0, 1, 2, gap, gap + 7, gap + 500, gap * 2 + 1] {
                assert_eq!(walk(&log, end, 20).await, newest_first(end), "{end}");
            }
        }
    }
}
