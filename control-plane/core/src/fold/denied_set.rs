//! Denied tokens and sessions, sorted, in two columns: 12 bytes per entry.

use crate::record::Denied;

/// Unique fingerprints in ascending order, each with the time when it may be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeniedSet {
    ids: Vec<u64>,
    /// Unix seconds; [`FOR_EVER`] means any later time.
    until: Vec<u32>,
}

impl DeniedSet {
    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The fingerprints, in the form that a snapshot needs.
    pub(super) fn ids(&self) -> &[u64] {
        &self.ids
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Denied> + '_ {
        let entries = self.ids.iter().zip(&self.until);
        entries.map(|(id, until)| Denied { id: *id, until: widened(*until) })
    }

    /// When `id` may be removed, if it is in the set.
    pub(super) fn until(&self, id: u64) -> Option<u64> {
        let rank = self.ids.binary_search(&id).ok()?;
        self.until.get(rank).map(|until| widened(*until))
    }

    /// Returns this set merged with the unsorted `fresh`, without entries that are past at `now`.
    pub(super) fn merged(&self, mut fresh: Vec<Denied>, now: u64) -> Self {
        fresh.sort_unstable();
        let room = self.len() + fresh.len();
        let mut merged = Self { ids: Vec::with_capacity(room), until: Vec::with_capacity(room) };
        let mut fresh = fresh.into_iter().peekable();
        for held in self.iter() {
            while let Some(next) = fresh.next_if(|next| next.id < held.id) {
                merged.push(next, now);
            }
            merged.push(held, now);
        }
        fresh.for_each(|next| merged.push(next, now));
        merged
    }

    /// Appends an entry that is not smaller than the last one.
    fn push(&mut self, next: Denied, now: u64) {
        if next.until < now {
            return;
        }
        let until = u32::try_from(next.until).unwrap_or(FOR_EVER);
        match (self.ids.last(), self.until.last_mut()) {
            (Some(last), Some(held)) if *last == next.id => *held = (*held).max(until),
            _ => {
                self.ids.push(next.id);
                self.until.push(until);
            }
        }
    }
}

impl FromIterator<Denied> for DeniedSet {
    fn from_iter<T: IntoIterator<Item = Denied>>(entries: T) -> Self {
        Self::default().merged(entries.into_iter().collect(), 0)
    }
}

/// An entry must never be removed too early: if its time does not fit, it is kept for ever.
fn widened(until: u32) -> u64 {
    if until == FOR_EVER { u64::MAX } else { u64::from(until) }
}

const FOR_EVER: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    // An entry whose time does not fit into its column is never removed.
    #[test]
    fn an_entry_with_a_time_beyond_its_column_stays_for_ever() {
        let late = u64::from(u32::MAX) + 5;
        let set: DeniedSet =
            [Denied { id: 1, until: late }, Denied { id: 2, until: 7 }].into_iter().collect();
        assert_eq!(set.until(1), Some(u64::MAX));
        assert_eq!(set.merged(vec![], late * 2).ids(), [1]);
    }

    // An entry that is in both sets is stored once, with the later of its two times.
    #[test]
    fn an_entry_that_is_added_twice_stays_until_the_later_time() {
        let entry = |id, until| Denied { id, until };
        let set: DeniedSet = [entry(5, 10), entry(3, 10)].into_iter().collect();
        let merged = set.merged(vec![entry(3, 30), entry(9, 1), entry(4, 20), entry(3, 2)], 10);
        let expected = [entry(3, 30), entry(4, 20), entry(5, 10)];
        assert_eq!(merged.iter().collect::<Vec<_>>(), expected);
    }
}
