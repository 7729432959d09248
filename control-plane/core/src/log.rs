//! Where a log ends, and what stands for its beginning.

use offswitch_snapshot::Position;

/// One record of one log. No other record, of this log or of one that forked from it, has the same
/// end, so a log that holds it holds everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// The record's position; seq 0 before the first record.
    pub position: Position,
    /// Its mark: it counts the records and is otherwise random; 0 before the first record.
    pub mark: u64,
}

/// What stands for all records up to `seq`; seq 0 and no bytes at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The last record it stands for.
    pub seq: u64,
    /// Opaque to a store.
    pub bytes: Vec<u8>,
}
