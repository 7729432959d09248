//! What one process knows of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Kind, Listed, Listing, MOST_PROCESSES, Other, ProcessId, Watch};

/// What one process knows of the others: all that it has read in lists. A list that was deleted or is an older one, after
/// a failover for example, takes none of them away.
///
/// A process is forgotten only when its time is over by the clock of the store and by that of this process: either may
/// be set.
#[derive(Debug, Clone, Default)]
pub struct Known {
    all: BTreeMap<ProcessId, (Listed, Duration)>,
    more: Until,
    older: Until,
}

/// The time, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// By the clock of the store, unix seconds.
    pub unix: u64,
    /// Since this process has started.
    pub own: Duration,
}

/// Until when something is possible.
#[derive(Debug, Clone, Copy, Default)]
struct Until {
    unix: u64,
    own: Duration,
}

impl Known {
    /// Adds what the store has now.
    pub fn read(&mut self, listing: &Listing, now: Time) {
        self.all.retain(|id, (one, own)| now.is_within(one.until, *own) || listing.has(*id));
        for one in &listing.processes {
            let Some((known, own)) = self.all.get_mut(&one.id) else {
                // One that has left some time ago may have been listed since then.
                let left = Duration::from_secs(one.until.saturating_sub(now.unix));
                let stay = if one.has_left { left.min(one.stay()) } else { one.stay() };
                self.all.insert(one.id, (*one, now.own.saturating_add(stay)));
                continue;
            };
            if (one.has_left, one.renewed_at) > (known.has_left, known.renewed_at) {
                (*known, *own) = (*one, now.own.saturating_add(one.stay()));
            } else if !known.has_left {
                // The list is an older one, or the clock was set back: then this is newer.
                known.refuses &= one.refuses;
            }
        }
        while self.all.len() > MOST_KNOWN {
            // Never so many are read from a list that has room for fewer; the oldest is the least likely to be there.
            let oldest = self.all.values().min_by_key(|(one, _)| one.until).map(|(one, _)| one.id);
            if let Some((one, own)) = oldest.and_then(|id| self.all.remove(&id)) {
                self.more.extend(Until { unix: one.until, own });
            }
        }
        self.more.expect(listing.more_until, now);
    }

    /// Until `unix` there may be followers of a process of an older version.
    pub fn expect_older(&mut self, unix: u64, now: Time) {
        self.older.expect(unix, now);
    }

    /// No process can write: each goes on with what it publishes, although its entry is not renewed.
    pub fn note_quiet(&mut self, now: Time) {
        for (one, own) in self.all.values_mut().filter(|(one, _)| !one.has_left) {
            *own = (*own).max(now.own.saturating_add(one.stay()));
        }
    }

    /// The processes other than `own` whose followers may decide at `now`, as far as this process can `watch` them.
    pub fn others(&self, own: ProcessId, watch: &Watch, now: Time) -> Vec<Other> {
        let listed = self.all.values().filter(|(one, _)| one.id != own);
        // One that has not left counts until it is forgotten: its entry may be late.
        let listed = listed.filter(|(one, own)| !one.has_left || now.is_within(one.until, *own));
        let mut others: Vec<Other> = listed
            .map(|(one, own)| Other {
                id: Some(one.id),
                kind: Kind::Listed,
                refuse_at: one.refuses.then(|| {
                    let watched = if one.has_left { None } else { watch.left(one, now.own) };
                    let left = own.saturating_sub(now.own).max(watched.unwrap_or_default());
                    one.until.max(now.unix.saturating_add(seconds(left)))
                }),
            })
            .collect();
        let possible = [(Kind::Unlisted, self.more), (Kind::Older, self.older)];
        let possible =
            possible.into_iter().filter(|(_, until)| now.is_within(until.unix, until.own));
        others.extend(possible.map(|(kind, _)| Other {
            id: None,
            kind,
            // An older process may have followers that never refuse.
            refuse_at: None,
        }));
        others
    }
}

impl Time {
    /// True unless that time is over by both clocks.
    fn is_within(&self, unix: u64, own: Duration) -> bool {
        self.unix <= unix || self.own < own
    }
}

impl Until {
    /// It is possible until `unix`, as is known since `now`.
    fn expect(&mut self, unix: u64, now: Time) {
        if unix > self.unix {
            let left = Duration::from_secs(unix.saturating_sub(now.unix));
            self.extend(Self { unix, own: now.own.saturating_add(left) });
        }
    }

    fn extend(&mut self, other: Self) {
        (self.unix, self.own) = (self.unix.max(other.unix), self.own.max(other.own));
    }
}

/// Rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

const MOST_KNOWN: usize = 4 * MOST_PROCESSES;
