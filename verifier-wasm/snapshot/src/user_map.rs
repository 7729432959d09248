//! For each revoked user, what a token must show to be newer than the revocation.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::bits::{packed, packed_bytes};
use crate::sorted_set::SortedSet;

/// What a user's token must show at least to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserFloor {
    /// The lowest `ver` that is accepted.
    pub minimum_version: u64,
    /// The earliest `iat` that is accepted, unix seconds, for tokens without `ver`.
    pub not_before: u64,
}

impl UserFloor {
    /// The stricter of both: the join by which floors merge.
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
pub(crate) struct UserMap {
    users: SortedSet,
    columns: Columns,
    versions: Range<usize>,
    not_befores: Range<usize>,
}

impl UserMap {
    /// Takes a map of `count` users from the front of `bytes[at..]`; answers with where it ends.
    pub(crate) fn read(
        bytes: &[u8],
        at: usize,
        count: usize,
        columns: Columns,
    ) -> Option<(Self, usize)> {
        if columns.version_width > 64 || columns.not_before_width > 64 {
            return None;
        }
        let (users, at) = SortedSet::read(bytes, at, count)?;
        let versions = at..at.checked_add(packed_bytes(count, columns.version_width.into())?)?;
        let end =
            versions.end.checked_add(packed_bytes(count, columns.not_before_width.into())?)?;
        bytes.get(at..end)?;
        let not_befores = versions.end..end;
        Some((Self { users, columns, versions, not_befores }, end))
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// How many bytes of the snapshot it takes.
    pub(crate) fn size_bytes(&self) -> usize {
        let columns = self.versions.len().saturating_add(self.not_befores.len());
        self.users.size_bytes().saturating_add(columns)
    }

    /// What tokens of the user with this fingerprint must show.
    pub(crate) fn find(&self, bytes: &[u8], user: u64) -> Option<UserFloor> {
        self.users.rank(bytes, user).map(|rank| self.floor(bytes, rank))
    }

    /// All users, by ascending fingerprint.
    pub(crate) fn iter<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (u64, UserFloor)> + 'a {
        self.users.iter(bytes).enumerate().map(|(rank, user)| (user, self.floor(bytes, rank)))
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
        let numbers = |floor: UserFloor| [floor.minimum_version, floor.not_before];
        is_narrow
            || self.iter(bytes).flat_map(|(_, floor)| numbers(floor)).all(|number| number < limit)
    }

    fn floor(&self, bytes: &[u8], rank: usize) -> UserFloor {
        let column = |range: &Range<usize>, base: u64, width: u8| {
            let bytes = bytes.get(range.clone()).unwrap_or_default();
            base.saturating_add(packed(bytes, rank, width.into()))
        };
        let columns = self.columns;
        UserFloor {
            minimum_version: column(&self.versions, columns.version_base, columns.version_width),
            not_before: column(
                &self.not_befores,
                columns.not_before_base,
                columns.not_before_width,
            ),
        }
    }
}

/// Writes the map of `users`, whose fingerprints must ascend strictly.
pub(crate) fn write(users: &[(u64, UserFloor)], out: &mut Vec<u8>) -> Columns {
    let fingerprints: Vec<u64> = users.iter().map(|(user, _)| *user).collect();
    crate::sorted_set::write(&fingerprints, out);
    let mut column = |value: fn(&UserFloor) -> u64| {
        let values = || users.iter().map(move |(_, floor)| value(floor));
        let base = values().min().unwrap_or(0);
        let span = values().max().unwrap_or(0).saturating_sub(base);
        let width = 64u32.saturating_sub(span.leading_zeros());
        let relative = users.iter().map(|(_, floor)| value(floor).saturating_sub(base));
        crate::bits::pack(relative, width, out);
        (base, u8::try_from(width).unwrap_or(64))
    };
    let (version_base, version_width) = column(|floor| floor.minimum_version);
    let (not_before_base, not_before_width) = column(|floor| floor.not_before);
    Columns { version_base, version_width, not_before_base, not_before_width }
}
