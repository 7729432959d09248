//! The processes that use one store at the same time: which there are, and what they say to each other about their
//! followers while a request waits.
//!
//! They list themselves in one small document of the store. A process stays listed until the followers that it may
//! have served refuse to decide: until then a revocation may not have reached them.

mod note;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use note::{MOST_STATED, Note, NoteError, StatedFollower, Statement};

/// The id of one running process, which it draws at random when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId(pub [u8; 8]);

/// The processes that have listed themselves, as the store has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    processes: Vec<Listed>,
    /// Until when there may be processes that found no room, unix seconds.
    more_until: u64,
}

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id.
    pub id: ProcessId,
    /// When it said so last, by the store's clock, unix seconds.
    pub renewed_at: u64,
    /// When its followers refuse to decide, if it does not say so again: each of them that it may have served by then.
    pub until: u64,
    /// False if one of them never refuses: then it counts for as long as such a follower.
    pub refuses: bool,
    /// True if it has stopped, and does not come back.
    pub has_left: bool,
}

/// A process that has to answer, or whose followers have to be waited out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// Its id; none for processes that are known to be possible only.
    pub id: Option<ProcessId>,
    /// What is known of it.
    pub kind: Kind,
    /// When its followers refuse to decide if they get no news, unix seconds; none if one of them never does.
    pub refuse_at: Option<u64>,
}

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has listed itself.
    Listed,
    /// It is of a version that does not list itself, and could use the store until a while ago.
    Older,
    /// There was no room for it in the list.
    Unlisted,
}

impl Listing {
    /// The list in a document; an empty one if there is none.
    ///
    /// # Errors
    ///
    /// If it is not such a list.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes)
    }

    /// The document.
    #[expect(clippy::missing_panics_doc, reason = "plain data is always encoded")]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data is always encoded")
    }

    /// The list with `own` in it, as of `now`, without those that are over: they have left, or do not renew their entry
    /// although they could, as far as this process can `watch` that.
    #[must_use]
    pub fn with(mut self, own: Listed, watch: &Watch, now: u64) -> Self {
        self.processes.retain(|one| {
            let is_over = now > one.until && (one.has_left || watch.is_dead(one));
            one.id != own.id && !is_over
        });
        if self.processes.len() < MOST_PROCESSES {
            self.processes.push(own);
        } else {
            self.more_until = self.more_until.max(own.until);
        }
        self
    }

    /// True if it has this process.
    pub fn has(&self, id: ProcessId) -> bool {
        self.processes.iter().any(|one| one.id == id)
    }

    /// How many processes it has that serve.
    pub fn serving(&self) -> usize {
        self.processes.iter().filter(|one| !one.has_left).count()
    }
}

/// Since when the entries of others have not changed, as one process sees it while its own writes succeed: then the
/// store takes writes, and a process that serves would have renewed its entry. By the time of this process alone,
/// because the clock of a store may be set.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    unchanged: BTreeMap<ProcessId, (u64, Duration)>,
    looked_at: Option<Duration>,
}

impl Watch {
    /// Notes the entries as they are `at` that time since this process has started.
    pub fn look(&mut self, listing: &Listing, at: Duration) {
        let is_unbroken = |last: Duration| at.saturating_sub(last) <= LONGEST_GAP;
        if !self.looked_at.is_some_and(is_unbroken) {
            self.unchanged.clear();
        }
        self.looked_at = Some(at);
        let before = std::mem::take(&mut self.unchanged);
        for one in &listing.processes {
            let same = before.get(&one.id).filter(|(renewed_at, _)| *renewed_at == one.renewed_at);
            self.unchanged.insert(one.id, same.copied().unwrap_or((one.renewed_at, at)));
        }
    }

    /// A write has failed: entries that do not change show nothing.
    pub fn interrupt(&mut self) {
        self.unchanged.clear();
    }

    fn is_dead(&self, one: &Listed) -> bool {
        let Some((renewed_at, since)) = self.unchanged.get(&one.id) else { return false };
        let time = self.looked_at.unwrap_or_default().saturating_sub(*since);
        *renewed_at == one.renewed_at && time >= DEAD_AFTER
    }
}

/// What one process knows of the others: all that it has read in lists. A list that was deleted or is an older one, after
/// a failover for example, takes none of them away.
#[derive(Debug, Clone, Default)]
pub struct Known {
    all: BTreeMap<ProcessId, Listed>,
    more_until: u64,
}

impl Known {
    /// Adds what the store has now.
    pub fn read(&mut self, listing: &Listing, now: u64) {
        self.all.retain(|id, one| now <= one.until || listing.has(*id));
        for one in &listing.processes {
            let known = self.all.entry(one.id).or_insert(*one);
            if (one.has_left, one.renewed_at) >= (known.has_left, known.renewed_at) {
                *known = *one;
            }
        }
        while self.all.len() > MOST_KNOWN {
            // Never so many are read from a list that has room for fewer; the oldest is the least likely to be there.
            let oldest = self.all.values().min_by_key(|one| one.until).map(|one| one.id);
            self.more_until = self.more_until.max(now.saturating_add(DEAD_AFTER.as_secs()));
            oldest.map(|id| self.all.remove(&id));
        }
        self.more_until = self.more_until.max(listing.more_until);
    }

    /// The processes other than `own` whose followers may decide at `now`. Until `older_until` there may be followers of
    /// a process of an older version.
    pub fn others(&self, own: ProcessId, older_until: u64, now: u64) -> Vec<Other> {
        let listed = self.all.values().filter(|one| one.id != own);
        // One that has not left counts until it is forgotten: its entry may be late.
        let listed = listed.filter(|one| !one.has_left || now <= one.until);
        let mut others: Vec<Other> = listed
            .map(|one| Other {
                id: Some(one.id),
                kind: Kind::Listed,
                refuse_at: one.refuses.then_some(one.until),
            })
            .collect();
        let possible = [(Kind::Unlisted, self.more_until), (Kind::Older, older_until)];
        let possible = possible.into_iter().filter(|(_, until)| now <= *until);
        others.extend(possible.map(|(kind, _)| Other {
            id: None,
            kind,
            // An older process may have followers that never refuse.
            refuse_at: None,
        }));
        others
    }
}

impl Other {
    /// How it is named in answers.
    pub fn name(&self) -> String {
        match (self.kind, self.id) {
            (Kind::Older, _) => "older_version".to_owned(),
            (Kind::Listed, Some(id)) => id.to_string(),
            (Kind::Listed | Kind::Unlisted, _) => "unlisted".to_owned(),
        }
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// How many processes may be listed at the same time.
pub const MOST_PROCESSES: usize = 64;
const MOST_KNOWN: usize = 4 * MOST_PROCESSES;
/// For how long an entry must not have changed: several times as long as the time between two renewals.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);
/// Between two looks at the list, the store may have been unable to take writes.
const LONGEST_GAP: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: u8, renewed_at: u64, until: u64) -> Listed {
        Listed { id: ProcessId([id; 8]), renewed_at, until, refuses: true, has_left: false }
    }

    fn ids(listing: &Listing) -> Vec<u8> {
        listing.processes.iter().map(|one| one.id.0[0]).collect()
    }

    fn waited_for(known: &Known, older_until: u64, now: u64) -> Vec<(String, Option<u64>)> {
        let others = known.others(ProcessId([1; 8]), older_until, now);
        others.iter().map(|one| (one.name(), one.refuse_at)).collect()
    }

    /// The watch of a process that has looked at the list every three seconds, for that long.
    fn watched(listing: &Listing, seconds: u64) -> Watch {
        let mut watch = Watch::default();
        for second in (0..=seconds).step_by(3) {
            watch.look(listing, Duration::from_secs(second));
        }
        watch
    }

    // P10: a process that died is forgotten only once its followers refuse, by one that could write all the time.
    #[test]
    fn a_process_that_died_stays_listed_until_its_followers_refuse() {
        let none = Watch::default();
        let listing = Listing::default().with(listed(2, 100, 180), &none, 100);
        let after =
            |now, watch: &Watch| ids(&listing.clone().with(listed(1, now, now + 80), watch, now));
        let long = watched(&listing, 15);
        assert_eq!(after(180, &long), [2, 1]);
        assert_eq!(after(181, &long), [1]);
        // The clock was set forward: it has had no time to renew its entry.
        assert_eq!(after(9999, &watched(&listing, 12)), [2, 1]);
        // The store took no writes for a while: the other one may serve, and have been unable to say so.
        let mut interrupted = long.clone();
        interrupted.interrupt();
        interrupted.look(&listing, Duration::from_secs(18));
        assert_eq!(after(500, &interrupted), [2, 1]);
        let mut paused = long.clone();
        paused.look(&listing, Duration::from_secs(30));
        assert_eq!(after(500, &paused), [2, 1], "this one was paused");
        let again = listing.clone().with(listed(2, 110, 190), &none, 110);
        assert_eq!((ids(&again), again.processes[0].until), (vec![2], 190));
        let mut renewed = long;
        renewed.look(&again, Duration::from_secs(18));
        assert_eq!(ids(&again.with(listed(1, 500, 580), &renewed, 500)), [2, 1]);
        let left = Listed { has_left: true, ..listed(2, 110, 130) };
        let left = listing.with(left, &none, 110);
        assert_eq!(ids(&left.clone().with(listed(1, 130, 200), &none, 130)), [2, 1]);
        assert_eq!(ids(&left.clone().with(listed(1, 131, 200), &none, 131)), [1]);
        assert_eq!(left.serving(), 0);
        assert_eq!(Listing::decode(&left.encode()).unwrap(), left);
        assert!(Listing::decode(b"{}").is_err() && Listing::decode(b"").is_ok());
    }

    // P10: the number is bounded, and those without room are known to be possible.
    #[test]
    fn processes_without_room_are_never_forgotten_silently() {
        let (mut listing, none) = (Listing::default(), Watch::default());
        for id in 0..64 {
            listing = listing.with(listed(id, 100, 180), &none, 100);
        }
        let full = listing.clone().with(listed(99, 101, 181), &none, 101);
        assert!(!full.has(ProcessId([99; 8])) && full.serving() == 64);
        let mut known = Known::default();
        known.read(&listing, 101);
        assert_eq!(waited_for(&known, 0, 101).len(), 63);
        known.read(&full, 101);
        let others = waited_for(&known, 0, 181);
        assert_eq!(others.last().unwrap(), &("unlisted".to_owned(), None));
    }

    // P10: a list that is lost, or an older one, takes no process away.
    #[test]
    fn a_list_that_is_lost_takes_no_process_away() {
        let mut known = Known::default();
        let listing = Listing::default().with(listed(2, 100, 180), &Watch::default(), 100);
        known.read(&listing, 100);
        let two = ("0202020202020202".to_owned(), Some(180));
        assert_eq!(waited_for(&known, 0, 100), std::slice::from_ref(&two));
        known.read(&Listing::default(), 150);
        assert_eq!(waited_for(&known, 0, 150), std::slice::from_ref(&two));
        known.read(&Listing::default(), 181);
        assert_eq!(waited_for(&known, 0, 181), []);
        // Listed for as long as no process forgets it.
        known.read(&listing, 190);
        assert_eq!(waited_for(&known, 0, 190), [two]);
        // One that has left does not come back with an older list.
        let left = Listed { has_left: true, ..listed(2, 110, 120) };
        known.read(&listing.clone().with(left, &Watch::default(), 110), 110);
        known.read(&listing, 111);
        assert_eq!(waited_for(&known, 0, 120)[0].1, Some(120));
        assert_eq!(waited_for(&known, 0, 121), []);
        let never = Listed { refuses: false, ..listed(3, 120, 200) };
        known.read(&Listing::default().with(never, &Watch::default(), 120), 120);
        assert_eq!(waited_for(&known, 0, 121)[0].1, None);
    }

    // P10: followers of a process that does not list itself may decide until a while after it was shut out.
    #[test]
    fn a_process_of_an_older_version_counts_until_its_followers_refuse() {
        let known = Known::default();
        assert_eq!(waited_for(&known, 180, 180), [("older_version".to_owned(), None)]);
        assert_eq!(waited_for(&known, 180, 181), []);
    }
}
