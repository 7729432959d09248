//! Which parts may be removed.

use std::collections::HashMap;

use offswitch_snapshot::{FeedHead, Part};

/// What one process has seen of a place. Times are seconds of any clock that does not go back.
///
/// A part is removed if this process has seen it for long without a head that names it: longer than a head
/// that named it before can be in use. So neither the clock of the place counts nor what other processes know.
#[derive(Debug)]
pub struct Retention {
    keep_seconds: u64,
    looked_at: u64,
    unnamed: HashMap<Part, u64>,
}

impl Retention {
    /// Heads are in use for `keep_seconds` after another one has taken their place.
    pub fn new(keep_seconds: u64) -> Self {
        Self { keep_seconds, looked_at: 0, unnamed: HashMap::new() }
    }

    /// Notes the head that was found at `at`.
    pub fn note_head(&mut self, head: &FeedHead, at: u64) {
        // What was named in the meantime is unknown.
        if at.saturating_sub(self.looked_at) > LONGEST_GAP_SECONDS {
            self.unnamed.clear();
        }
        self.looked_at = at;
        for part in head.parts() {
            self.unnamed.remove(&part);
        }
    }

    /// Those of the parts found at `at` that can be removed, where `head` was just found.
    pub fn removable(&mut self, head: &FeedHead, parts: &[Part], at: u64) -> Vec<Part> {
        self.note_head(head, at);
        self.unnamed.retain(|part, _| parts.contains(part));
        let named: Vec<Part> = head.parts().collect();
        let mut removable = vec![];
        for part in parts.iter().filter(|part| !named.contains(part) && is_past(part, head)) {
            let since = *self.unnamed.entry(*part).or_insert(at);
            let waited = self.keep_seconds.saturating_add(LONGEST_GAP_SECONDS);
            if at.saturating_sub(since) >= waited {
                removable.push(*part);
            }
        }
        removable
    }
}

/// True if no publisher will ever write this part again: heads and their bases only move forward.
fn is_past(part: &Part, head: &FeedHead) -> bool {
    match part {
        Part::Base { position, .. } => *position <= head.base.position,
        Part::Delta { to, .. } => *to <= head.position,
    }
}

/// The longest time between two looks at the head after which it counts as watched all the time.
const LONGEST_GAP_SECONDS: u64 = 30;

#[cfg(test)]
mod tests {
    use offswitch_snapshot::{BaseDigest, HeadBase, HeadDelta, Position};

    use super::*;

    fn at(seq: u64) -> Position {
        Position { era: 1, seq }
    }

    fn head(base: u64, deltas: &[(u64, u64)], position: u64) -> FeedHead {
        let delta = |(from, to): &(u64, u64)| HeadDelta { from: at(*from), to: at(*to), bytes: 1 };
        FeedHead {
            format: 1,
            feed: "feed".to_owned(),
            position: at(position),
            heartbeat: String::new(),
            base: HeadBase { position: at(base), digest: BaseDigest::of(b"base"), bytes: 1 },
            deltas: deltas.iter().map(delta).collect(),
            on_demand: false,
        }
    }

    fn delta(from: u64, to: u64) -> Part {
        Part::Delta { from: at(from), to: at(to) }
    }

    fn looks(retention: &mut Retention, found: &FeedHead, parts: &[Part], times: &[u64]) -> usize {
        times.iter().map(|time| retention.removable(found, parts, *time).len()).sum()
    }

    // P05: a part is removed once it has not been named for longer than a head can be in use, and not before.
    #[test]
    fn a_part_is_removed_once_no_head_that_may_be_in_use_names_it() {
        let mut retention = Retention::new(100);
        let named = head(1, &[(1, 5)], 5);
        let parts = [named.base.part(), delta(1, 5), delta(1, 4)];
        assert_eq!(looks(&mut retention, &named, &parts, &[1000, 1020, 1040, 1060, 1080]), 0);
        assert_eq!(looks(&mut retention, &named, &parts, &[1100, 1120, 1129]), 0);
        assert_eq!(retention.removable(&named, &parts, 1130), [delta(1, 4)]);
        // The head changes: the delta that it named is kept for as long again.
        let next = head(5, &[], 5);
        assert_eq!(
            looks(&mut retention, &next, &parts[..2], &[1131, 1160, 1190, 1220, 1250, 1260]),
            0
        );
        let removable = retention.removable(&next, &parts[..2], 1261);
        assert_eq!(removable, [named.base.part(), delta(1, 5)]);
    }

    // P05: what another publisher may be about to name is kept, and so is everything after a time without looks.
    #[test]
    fn parts_that_a_head_may_name_next_are_kept() {
        let mut retention = Retention::new(100);
        let found = head(1, &[], 5);
        let newer = Part::Base { position: at(3), digest: BaseDigest::of(b"newer") };
        let parts = [delta(5, 6), newer];
        let times: Vec<u64> = (0..100).map(|one| 1000 + 20 * one).collect();
        assert_eq!(looks(&mut retention, &found, &parts, &times), 0);
        let old = [delta(1, 4)];
        assert_eq!(looks(&mut retention, &found, &old, &[5000, 5025, 5050, 5075, 5100]), 0);
        assert_eq!(looks(&mut retention, &found, &old, &[5131, 5150]), 0, "31 s without a look");
        assert_eq!(looks(&mut retention, &found, &old, &[5175, 5200, 5225, 5250, 5261]), 1);
        // A part that is named again in between begins again.
        let mut retention = Retention::new(100);
        assert_eq!(looks(&mut retention, &found, &old, &[1000, 1025, 1050]), 0);
        retention.note_head(&head(1, &[(1, 4)], 5), 1060);
        assert_eq!(looks(&mut retention, &found, &old, &[1075, 1100, 1125, 1150, 1175, 1204]), 0);
        assert_eq!(looks(&mut retention, &found, &old, &[1205]), 1);
    }
}
