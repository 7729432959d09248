//! Which processes do not renew their entries although they could.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Listed, Listing, ProcessId};

/// Since when the entries of others have not changed, as one process sees it while its own writes succeed: then the
/// store takes writes, and a process that serves would have renewed its entry. By the time of this process alone,
/// because the clock of a store may be set.
///
/// While no process can write, each goes on with what it publishes as long as it finds its entry in the list
/// ([`is_quiet`](Self::is_quiet)), so that nothing is known of how long its followers may decide. From the first write
/// that succeeds, it can only do so by renewing its entry.
#[derive(Debug, Clone)]
pub struct Watch {
    /// For how long the followers of a process may decide after its last renewal.
    stay: Duration,
    /// When the look was after which this process has written last.
    wrote_at: Option<Duration>,
    looked_at: Duration,
    /// The entries, and since when they have not changed while this process could write.
    unchanged: BTreeMap<ProcessId, (u64, Duration)>,
    /// The list as it was found last, and since when it has not changed at all.
    same: Option<(Listing, Duration)>,
}

impl Watch {
    /// A watch by a process whose followers may decide for that long after its last renewal.
    pub fn new(stay: Duration) -> Self {
        Self {
            stay,
            wrote_at: None,
            looked_at: Duration::ZERO,
            unchanged: BTreeMap::new(),
            same: None,
        }
    }

    /// Notes the entries as they were read between these times since this process has started, before it writes its own.
    pub fn look(&mut self, listing: &Listing, (began, ended): (Duration, Duration)) {
        self.looked_at = began;
        let could_write = |last: Duration| ended.saturating_sub(last) <= LONGEST_GAP;
        if !self.wrote_at.is_some_and(could_write) {
            self.unchanged.clear();
        }
        let before = std::mem::take(&mut self.unchanged);
        for one in &listing.processes {
            let same = before.get(&one.id).filter(|(renewed_at, _)| *renewed_at == one.renewed_at);
            self.unchanged.insert(one.id, same.copied().unwrap_or((one.renewed_at, ended)));
        }
        if self.same.as_ref().is_none_or(|(same, _)| same != listing) {
            self.same = Some((listing.clone(), ended));
        }
    }

    /// What this process has written after the last look is stored.
    pub fn wrote(&mut self) {
        self.wrote_at = Some(self.looked_at);
    }

    /// True if no process has written for so long that none takes a process that does not renew its entry for dead.
    pub fn is_quiet(&self) -> bool {
        let quiet = |(_, since): &(Listing, Duration)| self.looked_at.saturating_sub(*since);
        self.same.as_ref().is_some_and(|same| quiet(same) >= QUIET_AFTER)
    }

    /// Within what time at most its followers refuse from `now` on, since this process has started, if it does not renew its
    /// entry; none if the entry was not seen while this process could write.
    pub(super) fn left(&self, one: &Listed, now: Duration) -> Option<Duration> {
        let (renewed_at, since) = self.unchanged.get(&one.id)?;
        let end = since.saturating_add(one.stay());
        (*renewed_at == one.renewed_at).then(|| end.saturating_sub(now))
    }

    /// True if it has not renewed its entry for as long as its followers may decide without that, although it could.
    pub(super) fn is_dead(&self, one: &Listed) -> bool {
        let Some((renewed_at, since)) = self.unchanged.get(&one.id) else { return false };
        // The day for followers that never refuse is by the clock of the store.
        let stay = if one.refuses { one.stay() } else { self.stay };
        let time = self.looked_at.saturating_sub(*since);
        *renewed_at == one.renewed_at && time >= stay.max(DEAD_AFTER)
    }
}

/// For how long an entry must not have changed at least: several times as long as the time between two renewals.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);
/// Between two writes that are further apart, the store may have been unable to take writes.
const LONGEST_GAP: Duration = Duration::from_secs(8);
/// A process that watches others writes more often than that, or begins again: see [`LONGEST_GAP`]. The rest is for
/// writes that are slow.
const QUIET_AFTER: Duration = Duration::from_secs(12);
