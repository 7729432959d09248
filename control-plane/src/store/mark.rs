//! Marks: they distinguish a record from any other that may ever get the same seq.
//!
//! A store that fails over, or that is restored from a backup, may continue from an earlier record
//! and assign a seq a second time. A mark is 12 bits that count the records and 40 random bits that
//! are drawn for each append, so that the record of one history is never mistaken for that of
//! another, and a missing record between two others is detected. 52 bits are exact as a Lua number.

use super::StoreError;

/// The mark of the record that follows the one marked `before`.
pub(super) fn next(before: u64, nonce: u64) -> u64 {
    let ordinal = ((before >> NONCE_BITS) + 1) % ORDINALS;
    (ordinal << NONCE_BITS) | (nonce & MAX_NONCE)
}

/// The marks of `count` records that were appended together, after one marked `before`; the last
/// mark is `last`.
pub fn marks_after(before: u64, last: u64, count: usize) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(next(before, last)), move |mark| Some(next(*mark, last))).take(count)
}

/// True if no record is missing between those marked `before` and `mark`.
pub(super) fn follows(before: u64, mark: u64) -> bool {
    next(before, mark) == mark
}

/// The random part of the marks of one append.
pub(super) fn nonce() -> Result<u64, StoreError> {
    let nonce = getrandom::u64().map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(nonce & MAX_NONCE)
}

const NONCE_BITS: u32 = 40;
const MAX_NONCE: u64 = (1 << NONCE_BITS) - 1;
const ORDINALS: u64 = 1 << 12;

#[cfg(test)]
mod tests {
    use super::{follows, next};

    #[test]
    fn a_mark_counts_one_record_and_carries_its_chance() {
        let first = next(0, 7);
        assert_eq!(first, (1 << 40) | 7);
        assert!(follows(0, first) && follows(first, next(first, 9)));
        assert!(!follows(first, first) && !follows(0, next(first, 9)));
        let last = (4095 << 40) | 1;
        assert_eq!(next(last, 5), 5, "the count begins again");
    }
}
