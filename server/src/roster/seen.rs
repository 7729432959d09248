//! What a process has seen of a follower, and how what several processes have seen is joined.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch_snapshot::Position;

use super::answer::Behind;
use super::introduction::FollowerId;
use super::member::Entry;
use super::tally::Shown;

/// Identifies a follower among those of all processes: a hash of the API key that introduced it, and of its id. With
/// another API key, the same id is another follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Print(pub [u8; PRINT_BYTES]);

/// What one process has seen of one follower.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which follower it is.
    pub print: Print,
    /// True if it reports for those behind it.
    pub is_relay: bool,
    /// The position that it says it holds.
    pub held: Option<Position>,
    /// When it said that last, or that it holds nothing.
    pub said_at: Instant,
    /// When that grew last.
    pub grew_at: Instant,
    /// Within what time it refuses to decide, if it gets no news; none if it never does.
    pub refuses_within: Option<Duration>,
    /// What a relay reported last.
    pub report: Option<Report>,
    /// How it is shown.
    pub face: Face,
}

/// What a relay reports about those behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The position that this is about.
    pub about: Position,
    /// When it came.
    pub at: Instant,
    /// Those behind it.
    pub behind: Behind,
}

/// How a follower is shown where it is named.
#[derive(Debug, Clone)]
pub enum Face {
    /// This process serves it; as of then, and with that validity of snapshots.
    Here(Arc<Entry>, Instant, Duration),
    /// Another process has said how.
    Stated(Arc<Shown>),
    /// Another process serves it, and has named others.
    Unnamed,
}

impl Print {
    /// The follower that the API key `key` has introduced by this id.
    pub fn of(key: &str, id: FollowerId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(PRINT_CONTEXT);
        hasher.update(&id.bytes());
        hasher.update(key.as_bytes());
        let (mut print, hash) = ([0; PRINT_BYTES], hasher.finalize());
        print.copy_from_slice(&hash.as_bytes()[..PRINT_BYTES]);
        Self(print)
    }
}

/// Joins what several processes have seen, so that a follower counts once, wherever it was served.
///
/// What it has said to one of them holds for all: a follower that has held a position goes on from there. One that has
/// said since then that it holds nothing is believed that. It may decide for as long as any of them must expect.
pub fn join(mut all: Vec<Seen>) -> Vec<Seen> {
    // When each of them has said last that it holds nothing.
    let mut emptied: HashMap<Print, Instant> = HashMap::new();
    for seen in all.iter().filter(|seen| seen.held.is_none()) {
        let at = emptied.entry(seen.print).or_insert(seen.said_at);
        *at = (*at).max(seen.said_at);
    }
    for seen in &mut all {
        if emptied.get(&seen.print).is_some_and(|at| *at >= seen.said_at) {
            seen.held = None;
        }
    }
    let mut joined: Vec<Seen> = Vec::with_capacity(all.len());
    let mut places: HashMap<Print, usize> = HashMap::with_capacity(all.len());
    for seen in all {
        match places.entry(seen.print) {
            Slot::Vacant(place) => {
                place.insert(joined.len());
                joined.push(seen);
            }
            Slot::Occupied(place) => joined[*place.get()].add(seen),
        }
    }
    joined
}

impl Seen {
    /// Within what time all behind a relay refuse to decide, or the follower itself if it is not a relay; none if one of
    /// them never does, or that is not known.
    pub(super) fn theirs(&self) -> Option<Duration> {
        match &self.report {
            Some(report) => report.behind.refuse_within_seconds.map(Duration::from_secs),
            None if self.is_relay => None,
            None => self.refuses_within,
        }
    }

    /// Adds what another process has seen of the same follower.
    fn add(&mut self, other: Self) {
        let Self { is_relay, held, grew_at, refuses_within, report, face, .. } = other;
        self.is_relay |= is_relay;
        self.refuses_within =
            self.refuses_within.zip(refuses_within).map(|(one, other)| one.max(other));
        if held > self.held {
            (self.held, self.grew_at) = (held, grew_at);
        }
        let place = |report: &Option<Report>| report.as_ref().map(|one| (one.about, one.at));
        if place(&report) > place(&self.report) {
            self.report = report;
        }
        if matches!((&self.face, &face), (Face::Unnamed, _) | (Face::Stated(_), Face::Here(..))) {
            self.face = face;
        }
    }
}

/// 96 bits: no client finds a second id with the same one.
pub const PRINT_BYTES: usize = 12;
const PRINT_CONTEXT: &str = "offswitch 2026 follower of an API key";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Option<Position> {
        Some(Position { era: 1, seq })
    }

    fn seen(id: u8, held: Option<Position>, said_at: Instant) -> Seen {
        Seen {
            print: Print([id; PRINT_BYTES]),
            is_relay: false,
            held,
            said_at,
            grew_at: said_at,
            refuses_within: Some(Duration::from_secs(60)),
            report: None,
            face: Face::Unnamed,
        }
    }

    fn held_in(all: &[Seen]) -> Vec<Option<Position>> {
        let joined = |all: Vec<Seen>| -> Vec<_> {
            let mut held: Vec<_> = join(all).iter().map(|one| (one.print, one.held)).collect();
            held.sort_unstable();
            held.into_iter().map(|(_, held)| held).collect()
        };
        let held = joined(all.to_vec());
        assert_eq!(held, joined(all.iter().rev().cloned().collect()), "the order does not matter");
        held
    }

    // P10: a follower that moves is one, and holds what any process has seen it hold.
    #[test]
    fn a_follower_of_several_processes_is_one_and_holds_what_it_has_said_to_any() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let moved = [seen(1, at(6), now), seen(1, at(7), later), seen(2, at(5), now)];
        assert_eq!(held_in(&moved), [at(7), at(5)]);
        assert_eq!(held_in(&[seen(1, at(7), now), seen(1, at(6), later)]), [at(7)], "it goes on");
        // It has begun without anything at one of them, and then said to the other what it holds.
        assert_eq!(held_in(&[seen(1, None, now), seen(1, at(7), later)]), [at(7)]);
        // It has lost what it held.
        assert_eq!(held_in(&[seen(1, at(7), now), seen(1, None, later)]), [None]);
        assert_eq!(held_in(&[seen(1, at(7), now), seen(1, None, now)]), [None], "undecided");
        let last = later + Duration::from_secs(1);
        let regained = [seen(1, at(7), now), seen(1, None, later), seen(1, at(8), last)];
        assert_eq!(held_in(&regained), [at(8)]);
        let fell_back = [seen(1, at(7), now), seen(1, None, later), seen(1, at(6), last)];
        assert_eq!(held_in(&fell_back), [at(6)]);
        let lost = [seen(1, at(7), now), seen(1, at(6), later), seen(1, None, last)];
        assert_eq!(held_in(&lost), [None]);
        assert_eq!(held_in(&[]), [None; 0]);
    }

    // P10: another API key, or another id, is another follower.
    #[test]
    fn a_print_is_of_one_key_and_one_id() {
        let id = |digit: &str| FollowerId::parse(&digit.repeat(32)).unwrap();
        let prints = [("a", "1"), ("b", "1"), ("a", "2")].map(|(key, one)| Print::of(key, id(one)));
        assert!(prints[0] != prints[1] && prints[0] != prints[2] && prints[1] != prints[2]);
        assert_eq!(Print::of("a", id("1")), prints[0]);
        let all = prints.map(|print| Seen { print, ..seen(0, at(1), Instant::now()) });
        assert_eq!(join(all.to_vec()).len(), 3);
    }

    // P02: it may decide for as long as any process must expect, and the newest report of a relay counts.
    #[test]
    fn a_follower_may_decide_for_as_long_as_any_process_must_expect() {
        let now = Instant::now();
        let refuses = |seconds: Option<u64>| Seen {
            refuses_within: seconds.map(Duration::from_secs),
            ..seen(1, at(6), now)
        };
        let within =
            |all: [Seen; 2]| join(all.to_vec())[0].refuses_within.map(|time| time.as_secs());
        assert_eq!(within([refuses(Some(3)), refuses(Some(40))]), Some(40));
        assert_eq!(within([refuses(None), refuses(Some(40))]), None);
        let reports = |seq: u64, holding: u64, seconds: u64| Seen {
            is_relay: true,
            report: Some(Report {
                about: Position { era: 1, seq },
                at: now + Duration::from_secs(seconds),
                behind: Behind { followers: 9, holding, ..Behind::default() },
            }),
            ..seen(1, at(7), now)
        };
        let holding =
            |all: [Seen; 3]| join(all.to_vec())[0].report.as_ref().unwrap().behind.holding;
        assert_eq!(holding([reports(6, 9, 5), reports(7, 2, 1), reports(7, 4, 2)]), 4);
        assert_eq!(holding([reports(7, 4, 2), reports(7, 2, 1), reports(6, 9, 5)]), 4);
    }
}
