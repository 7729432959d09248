//! The end of a log, and the checkpoint that replaces its beginning.

use offswitch_snapshot::Position;

/// One record of one log. No other record has the same end, in this log or in one that forked from
/// it, so a log that contains this record contains everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// The record's position; seq 0 before the first record.
    pub position: Position,
    /// Its mark: part of it counts the records, the rest is random; 0 before the first record.
    pub mark: u64,
}

/// Replaces all records up to `seq`; seq 0 and no bytes at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The last record that it replaces.
    pub seq: u64,
    /// Opaque to a store.
    pub bytes: Vec<u8>,
}
