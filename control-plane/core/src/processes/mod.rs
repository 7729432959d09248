//! The processes that use one store at the same time: which there are, and what they say to each other about their
//! followers while a request waits.
//!
//! They list themselves in one small document of the store. A process stays listed until the followers that it may
//! have served refuse to decide: until then a revocation may not have reached them.

mod known;
mod note;
mod watch;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use known::{Known, Time};
pub use note::{MOST_STATED, Note, NoteError, StatedFollower, Statement};
pub use watch::{DEAD_AFTER, Watch};

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

impl Listed {
    /// For how long its followers may decide, if it does not renew this.
    fn stay(&self) -> Duration {
        Duration::from_secs(self.until.saturating_sub(self.renewed_at))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: u8, renewed_at: u64, until: u64) -> Listed {
        Listed { id: ProcessId([id; 8]), renewed_at, until, refuses: true, has_left: false }
    }

    fn ids(listing: &Listing) -> Vec<u8> {
        listing.processes.iter().map(|one| one.id.0[0]).collect()
    }

    /// By a clock of the store that is in step with that of this process, which has started at 0.
    fn at(unix: u64) -> Time {
        Time { unix, own: Duration::from_secs(unix) }
    }

    fn waited_for(known: &Known, now: Time) -> Vec<(String, Option<u64>)> {
        let others = known.others(ProcessId([1; 8]), &unwatched(), now);
        others.iter().map(|one| (one.name(), one.refuse_at)).collect()
    }

    fn unwatched() -> Watch {
        Watch::new(Duration::from_secs(80))
    }

    fn look(watch: &mut Watch, listing: &Listing, second: u64) {
        let at = Duration::from_secs(second);
        watch.look(listing, (at, at));
    }

    /// The watch of a process that has looked at the list every three seconds in this time, and has written its entry.
    fn watched(
        mut watch: Watch,
        listing: &Listing,
        seconds: std::ops::RangeInclusive<u64>,
    ) -> Watch {
        for second in seconds.step_by(3) {
            look(&mut watch, listing, second);
            watch.wrote();
        }
        watch
    }

    // P10: a process that died is forgotten only once its followers refuse, by one that could write all the time.
    #[test]
    fn a_process_that_died_stays_listed_until_its_followers_refuse() {
        let listing = Listing::default().with(listed(2, 100, 180), &unwatched(), 100);
        let after =
            |now, watch: &Watch| ids(&listing.clone().with(listed(1, now, now + 80), watch, now));
        let long = watched(unwatched(), &listing, 0..=81);
        assert_eq!(after(180, &long), [2, 1]);
        assert_eq!(after(181, &long), [1]);
        // The clock was set forward: its followers may decide for longer than that.
        assert_eq!(after(9999, &watched(unwatched(), &listing, 0..=78)), [2, 1]);
        // A write that fails shows nothing, if the next one does not.
        let mut failed_once = watched(unwatched(), &listing, 0..=30);
        look(&mut failed_once, &listing, 33);
        assert_eq!(after(500, &watched(failed_once, &listing, 34..=82)), [1]);
        let again = listing.clone().with(listed(2, 110, 190), &unwatched(), 110);
        assert_eq!((ids(&again), again.processes[0].until), (vec![2], 190));
        let mut renewed = long;
        look(&mut renewed, &again, 84);
        assert_eq!(ids(&again.with(listed(1, 500, 580), &renewed, 500)), [2, 1]);
        let left = Listed { has_left: true, ..listed(2, 110, 130) };
        let left = listing.with(left, &unwatched(), 110);
        assert_eq!(ids(&left.clone().with(listed(1, 130, 200), &unwatched(), 130)), [2, 1]);
        assert_eq!(ids(&left.clone().with(listed(1, 131, 200), &unwatched(), 131)), [1]);
        assert_eq!(left.serving(), 0);
        assert_eq!(Listing::decode(&left.encode()).unwrap(), left);
        assert!(Listing::decode(b"{}").is_err() && Listing::decode(b"").is_ok());
    }

    // P10: while no process can write, each goes on with what it publishes, although its entry is not renewed. One that
    // dies then has followers that decide for as long after that as those of any other.
    #[test]
    fn a_process_that_died_while_none_could_write_is_waited_for_from_the_next_write_on() {
        let listing = Listing::default().with(listed(2, 100, 180), &unwatched(), 100);
        let is_listed =
            |watch: &Watch| ids(&listing.clone().with(listed(1, 999, 1079), watch, 999)) == [2, 1];
        let mut full = watched(unwatched(), &listing, 0..=81);
        for second in (84..=300).step_by(3) {
            look(&mut full, &listing, second);
            assert!(second < 90 || is_listed(&full), "{second}");
        }
        assert!(full.is_quiet());
        let again = watched(full.clone(), &listing, 303..=381);
        assert!(is_listed(&again), "its followers may have decided until the first write");
        assert!(!is_listed(&watched(again.clone(), &listing, 384..=384)));
        // The answer says so: from the last time on at which it may have gone on.
        let mut known = Known::default();
        known.read(&listing, at(100));
        let refuse_at = |known: &Known, watch: &Watch, own| {
            let others = known.others(ProcessId([1; 8]), watch, Time { unix: 999, ..at(own) });
            others[0].refuse_at
        };
        assert_eq!(refuse_at(&known, &again, 381), Some(999 + 303 + 80 - 381));
        assert_eq!(refuse_at(&known, &again, 999), Some(999), "it only has to be forgotten");
        known.note_quiet(at(300));
        assert_eq!(refuse_at(&known, &unwatched(), 301), Some(999 + 79), "the list was lost then");
        known.read(&Listing::default(), Time { unix: 999, ..at(379) });
        assert_eq!(refuse_at(&known, &unwatched(), 379), Some(999 + 1));
        // The same after this process was paused, and where it has started since then.
        assert!(is_listed(&watched(full, &listing, 390..=468)));
        assert!(is_listed(&watched(unwatched(), &listing, 0..=78)));
        // A day for followers that never refuse is not watched to its end: processes start again in that time.
        let never = Listed { refuses: false, ..listed(2, 100, 86_500) };
        let listing = Listing::default().with(never, &unwatched(), 100);
        let watch = watched(unwatched(), &listing, 0..=81);
        let after = |now| ids(&listing.clone().with(listed(1, now, now + 80), &watch, now));
        assert_eq!((after(86_500), after(86_501)), (vec![2, 1], vec![1]));
    }

    // P10: a process goes on with what it publishes without renewing its entry only while no other process can forget it.
    #[test]
    fn a_list_is_quiet_only_if_no_process_writes() {
        let listing = |renewed_at| {
            let own = Listing::default().with(listed(1, 100, 180), &unwatched(), 100);
            own.with(listed(2, renewed_at, renewed_at + 80), &unwatched(), 100)
        };
        let mut watch = unwatched();
        assert!(!watch.is_quiet());
        for second in 0..60 {
            // The other one renews its entry every three seconds, and this one cannot.
            look(&mut watch, &listing(100 + second / 3 * 3), second);
            assert!(!watch.is_quiet(), "{second}");
        }
        look(&mut watch, &listing(157), 68);
        assert!(!watch.is_quiet());
        // The time of a read that is slow, or after which this process was paused, does not count.
        watch.look(&listing(157), (Duration::from_secs(68), Duration::from_secs(200)));
        assert!(!watch.is_quiet());
        look(&mut watch, &listing(157), 69);
        assert!(watch.is_quiet());
        look(&mut watch, &listing(170), 70);
        assert!(!watch.is_quiet());
    }

    // P10: the number is bounded, and those without room are known to be possible.
    #[test]
    fn processes_without_room_are_never_forgotten_silently() {
        let mut listing = Listing::default();
        for id in 0..64 {
            listing = listing.with(listed(id, 100, 180), &unwatched(), 100);
        }
        let full = listing.clone().with(listed(99, 101, 181), &unwatched(), 101);
        assert!(!full.has(ProcessId([99; 8])) && full.serving() == 64);
        let mut known = Known::default();
        known.read(&listing, at(101));
        assert_eq!(waited_for(&known, at(101)).len(), 63);
        known.read(&full, at(101));
        let unlisted = ("unlisted".to_owned(), None);
        assert_eq!(waited_for(&known, at(181)).last().unwrap(), &unlisted);
        // Its time is over by both clocks.
        let set_forward = Time { unix: 9999, ..at(150) };
        assert_eq!(waited_for(&known, set_forward).last().unwrap(), &unlisted);
        known.read(&Listing::default(), at(182));
        assert_eq!(waited_for(&known, at(182)), []);
    }

    // P10: lists are lost again and again, and more processes come than are remembered: until the last of those that are
    // not remembered must be over, one of them is possible.
    #[test]
    fn processes_that_are_not_remembered_are_possible_until_their_followers_refuse() {
        let mut known = Known::default();
        for lost in 0..5_u8 {
            let mut listing = Listing::default();
            for id in 0..64_u8 {
                let id = ProcessId([lost, id, 9, 9, 9, 9, 9, 9]);
                listing = listing.with(Listed { id, ..listed(0, 100, 180) }, &unwatched(), 100);
            }
            known.read(&listing, at(100));
        }
        let unlisted = ("unlisted".to_owned(), None);
        assert_eq!(waited_for(&known, at(100)).len(), 256 + 1);
        known.read(&Listing::default(), at(180));
        assert_eq!(waited_for(&known, at(180)).last().unwrap(), &unlisted);
        known.read(&Listing::default(), at(181));
        assert_eq!(waited_for(&known, at(181)), []);
    }

    // P10: a list that is lost, or an older one, takes no process away.
    #[test]
    fn a_list_that_is_lost_takes_no_process_away() {
        let mut known = Known::default();
        let listing = Listing::default().with(listed(2, 100, 180), &unwatched(), 100);
        known.read(&listing, at(100));
        let two = ("0202020202020202".to_owned(), Some(180));
        assert_eq!(waited_for(&known, at(100)), std::slice::from_ref(&two));
        known.read(&Listing::default(), at(150));
        assert_eq!(waited_for(&known, at(150)), std::slice::from_ref(&two));
        known.read(&Listing::default(), at(181));
        assert_eq!(waited_for(&known, at(181)), []);
        // Listed for as long as no process forgets it; since when it is over is not known.
        known.read(&listing, at(190));
        assert_eq!(waited_for(&known, at(190)), [(two.0, Some(270))]);
        // One that has left does not come back with an older list.
        let left = Listed { has_left: true, ..listed(2, 110, 120) };
        known.read(&listing.clone().with(left, &unwatched(), 110), at(110));
        known.read(&listing, at(111));
        assert_eq!(waited_for(&known, at(120))[0].1, Some(120));
        assert_eq!(waited_for(&known, at(121)), []);
        let never = Listed { refuses: false, ..listed(3, 120, 200) };
        known.read(&Listing::default().with(never, &unwatched(), 120), at(120));
        assert_eq!(waited_for(&known, at(121))[0].1, None);
    }

    // P10: the clock of the store is set, for example because another server has taken over, which has lost the list.
    #[test]
    fn a_clock_that_is_set_takes_no_process_away() {
        let mut known = Known::default();
        let both = Listing::default().with(listed(2, 100, 180), &unwatched(), 100).with(
            listed(3, 100, 180),
            &unwatched(),
            100,
        );
        known.read(&both, at(100));
        let left = Listed { has_left: true, ..listed(3, 110, 150) };
        known.read(&both.with(left, &unwatched(), 110), at(110));
        let ahead = |own| Time { unix: 9999, ..at(own) };
        known.read(&Listing::default(), ahead(111));
        let names = |known: &Known, now| -> Vec<String> {
            waited_for(known, now).into_iter().map(|(name, _)| name).collect()
        };
        let [two, three] = ["0202020202020202", "0303030303030303"];
        assert_eq!(names(&known, ahead(149)), [two, three]);
        assert_eq!(names(&known, ahead(150)), [two]);
        known.read(&Listing::default(), ahead(179));
        assert_eq!(names(&known, ahead(179)), [two]);
        known.read(&Listing::default(), ahead(180));
        assert_eq!(names(&known, ahead(180)), [""; 0]);
        // The clock was set back: its new entry looks older, and one of its followers never refuses.
        let mut known = Known::default();
        known.read(&Listing::default().with(listed(2, 5000, 5080), &unwatched(), 100), at(5000));
        let never = Listed { refuses: false, ..listed(2, 100, 86_500) };
        known.read(
            &Listing::default().with(never, &unwatched(), 100),
            Time { unix: 100, ..at(5003) },
        );
        assert_eq!(waited_for(&known, Time { unix: 100, ..at(5003) }), [(two.to_owned(), None)]);
        // One that starts now knows only by the clock how long ago another one has left.
        let mut known = Known::default();
        known.read(&Listing::default().with(left, &unwatched(), 110), at(149));
        assert_eq!(names(&known, at(150)), [three]);
        assert_eq!(names(&known, at(151)), [""; 0]);
    }

    // P10: followers of a process that does not list itself may decide until a while after it was shut out.
    #[test]
    fn a_process_of_an_older_version_counts_until_its_followers_refuse() {
        let mut known = Known::default();
        known.expect_older(180, at(100));
        let older = [("older_version".to_owned(), None)];
        assert_eq!(waited_for(&known, at(180)), older);
        assert_eq!(waited_for(&known, at(181)), []);
        assert_eq!(waited_for(&known, Time { unix: 9999, ..at(179) }), older);
        known.expect_older(180, at(190));
        assert_eq!(waited_for(&known, at(190)), []);
    }
}
