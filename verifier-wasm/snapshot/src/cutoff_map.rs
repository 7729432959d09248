//! For each cut-off, the values that a matching token must have to be newer than the revocation.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::bits::{packed, packed_bytes};
use crate::sorted_set::SortedSet;

/// The minimum that a token must have to be accepted, in both respects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cutoff {
    /// The lowest `ver` that is accepted; 0 if no `ver` is required.
    pub minimum_version: u64,
    /// The earliest `iat` that is accepted, unix seconds.
    pub not_before: u64,
}

impl Cutoff {
    /// The stricter of both: the join by which cut-offs merge.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            minimum_version: self.minimum_version.max(other.minimum_version),
            not_before: self.not_before.max(other.not_before),
        }
    }
}

/// How the two columns of a map are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Columns {
    pub(crate) version_base: u64,
    pub(crate) version_width: u8,
    pub(crate) not_before_base: u64,
    pub(crate) not_before_width: u8,
}

/// The place of one map in a snapshot's body: sorted fingerprints, then one column per number.
#[derive(Debug, Clone)]
pub(crate) struct CutoffMap {
    fingerprints: SortedSet,
    columns: Columns,
    versions: Range<usize>,
    not_befores: Range<usize>,
}

impl CutoffMap {
    /// Reads a map of `count` cut-offs from the front of `bytes[at..]`; returns where it ends.
    pub(crate) fn read(
        bytes: &[u8],
        at: usize,
        count: usize,
        columns: Columns,
    ) -> Option<(Self, usize)> {
        if columns.version_width > 64 || columns.not_before_width > 64 {
            return None;
        }
        let (fingerprints, at) = SortedSet::read(bytes, at, count)?;
        let versions = at..at.checked_add(packed_bytes(count, columns.version_width.into())?)?;
        let end =
            versions.end.checked_add(packed_bytes(count, columns.not_before_width.into())?)?;
        bytes.get(at..end)?;
        let not_befores = versions.end..end;
        Some((Self { fingerprints, columns, versions, not_befores }, end))
    }

    pub(crate) fn len(&self) -> usize {
        self.fingerprints.len()
    }

    /// How many bytes of the snapshot it takes.
    pub(crate) fn size_bytes(&self) -> usize {
        let columns = self.versions.len().saturating_add(self.not_befores.len());
        self.fingerprints.size_bytes().saturating_add(columns)
    }

    /// The cut-off of this fingerprint.
    pub(crate) fn find(&self, bytes: &[u8], fingerprint: u64) -> Option<Cutoff> {
        self.fingerprints.rank(bytes, fingerprint).map(|rank| self.cutoff(bytes, rank))
    }

    /// All of them, by ascending fingerprint.
    pub(crate) fn iter<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (u64, Cutoff)> + 'a {
        self.fingerprints.iter(bytes).enumerate().map(|(rank, id)| (id, self.cutoff(bytes, rank)))
    }

    /// True if every version and every time is below `limit`. The numbers are read only where the
    /// columns are wide enough to hold another one.
    pub(crate) fn is_below(&self, bytes: &[u8], limit: u64) -> bool {
        let Columns { version_base, version_width, not_before_base, not_before_width } =
            self.columns;
        let fits = |base: u64, width: u8| {
            let span = 1u64.checked_shl(width.into()).map_or(u64::MAX, |end| end.saturating_sub(1));
            base.saturating_add(span) < limit
        };
        let is_narrow =
            fits(version_base, version_width) && fits(not_before_base, not_before_width);
        let numbers = |cutoff: Cutoff| [cutoff.minimum_version, cutoff.not_before];
        is_narrow
            || self.iter(bytes).flat_map(|(_, cutoff)| numbers(cutoff)).all(|number| number < limit)
    }

    fn cutoff(&self, bytes: &[u8], rank: usize) -> Cutoff {
        let column = |range: &Range<usize>, base: u64, width: u8| {
            let bytes = bytes.get(range.clone()).unwrap_or_default();
            base.saturating_add(packed(bytes, rank, width.into()))
        };
        let columns = self.columns;
        Cutoff {
            minimum_version: column(&self.versions, columns.version_base, columns.version_width),
            not_before: column(
                &self.not_befores,
                columns.not_before_base,
                columns.not_before_width,
            ),
        }
    }
}

/// Writes the map of `cutoffs`, whose fingerprints must ascend strictly.
pub(crate) fn write(cutoffs: &[(u64, Cutoff)], out: &mut Vec<u8>) -> Columns {
    let fingerprints: Vec<u64> = cutoffs.iter().map(|(id, _)| *id).collect();
    crate::sorted_set::write(&fingerprints, out);
    let mut column = |value: fn(&Cutoff) -> u64| {
        let values = || cutoffs.iter().map(move |(_, cutoff)| value(cutoff));
        let base = values().min().unwrap_or(0);
        let span = values().max().unwrap_or(0).saturating_sub(base);
        let width = 64u32.saturating_sub(span.leading_zeros());
        let relative = cutoffs.iter().map(|(_, cutoff)| value(cutoff).saturating_sub(base));
        crate::bits::pack(relative, width, out);
        (base, u8::try_from(width).unwrap_or(64))
    };
    let (version_base, version_width) = column(|cutoff| cutoff.minimum_version);
    let (not_before_base, not_before_width) = column(|cutoff| cutoff.not_before);
    Columns { version_base, version_width, not_before_base, not_before_width }
}
