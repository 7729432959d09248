//! The log, newest record first, a block at a time.

use offswitch_core::fold::FoldError;
use offswitch_core::record::Record;
use offswitch_snapshot::Position;

use super::PlaneError;
use crate::store::Store;

/// The state of a walk towards the log's beginning.
pub struct Backwards<'a> {
    store: &'a dyn Store,
    /// Every record from here on was returned.
    end: u64,
    era: u64,
    /// The oldest record that exists.
    oldest: u64,
    /// Records that were read and not returned yet, oldest first.
    block: Vec<(u64, Vec<u8>)>,
}

impl<'a> Backwards<'a> {
    /// Starts with the newest record whose seq is below `end`.
    pub(super) fn new(store: &'a dyn Store, end: u64) -> Self {
        Self { store, end, era: 0, oldest: 0, block: vec![] }
    }

    /// The next record towards the beginning; `wanted` is the approximate number still needed.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn next(&mut self, wanted: usize) -> Result<Option<(Position, Record)>, PlaneError> {
        if self.block.is_empty() {
            let older = self.store.read_back(self.end, wanted.clamp(1, MOST_IN_BLOCK)).await?;
            (self.era, self.oldest, self.block) = (older.era, older.oldest, older.records);
        }
        let Some((seq, bytes)) = self.block.pop() else { return Ok(None) };
        self.end = seq;
        let record = Record::decode(&bytes).map_err(|_| FoldError::Damaged { seq })?;
        Ok(Some((Position { era: self.era, seq }, record)))
    }

    /// Where to continue, if there is more.
    pub fn more(&self) -> Option<u64> {
        (self.oldest > 0 && self.end > self.oldest).then_some(self.end)
    }
}

const MOST_IN_BLOCK: usize = 100;
