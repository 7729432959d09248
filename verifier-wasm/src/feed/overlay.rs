//! What deltas have added to the base.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::OWN_LIFETIME_SECONDS;
use crate::snapshot::{DeadKey, Fingerprint, Position, Snapshot, UserFloor};

/// What deltas added, each with the delta by which it is certain.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) denied: ByFingerprint<Seen>,
    pub(super) users: ByFingerprint<(UserFloor, Seen)>,
    /// Few: red buttons and retired keys.
    pub(super) dead_keys: Vec<(DeadKey, Seen)>,
}

/// The delta that brought an entry last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    /// Where it ends.
    pub(super) to: Position,
    /// Unix seconds.
    issued_at: u64,
    /// True once a base lacked the entry that cannot have left it by expiring.
    is_lost: bool,
}

pub(super) type ByFingerprint<T> = HashMap<Fingerprint, T, BuildHasherDefault<Ready>>;

/// A fingerprint is a hash already, keyed with the feed's salt.
#[derive(Default)]
pub(super) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Overlay {
    pub(super) fn len(&self) -> usize {
        self.denied.len().saturating_add(self.users.len())
    }

    pub(super) fn add(&mut self, snapshot: &Snapshot) {
        let now = Seen { to: snapshot.to(), issued_at: snapshot.issued_at(), is_lost: false };
        for id in snapshot.denied() {
            let seen = self.denied.entry(id).or_insert(now);
            *seen = (*seen).max(now);
        }
        for (user, floor) in snapshot.users() {
            let (held, seen) = self.users.entry(user).or_insert((floor, now));
            *held = held.join(floor);
            *seen = (*seen).max(now);
        }
        for key in snapshot.dead_keys() {
            match self.dead_keys.iter_mut().find(|(held, _)| held == key) {
                Some((_, seen)) => *seen = (*seen).max(now),
                None => self.dead_keys.push((key.clone(), now)),
            }
        }
    }

    /// `base` holds everything that was certain by its end and has not expired. What it lacks
    /// although a delta brought it a moment ago is kept: the log has lost it, and nothing un-revokes.
    pub(super) fn forget_what_is_in(&mut self, base: &Snapshot) {
        self.denied.retain(|id, seen| seen.is_needed(base, |base| base.is_denied(*id)));
        self.users.retain(|user, (floor, seen)| {
            let has = |held: UserFloor| held.join(*floor) == held;
            seen.is_needed(base, |base| base.user_floor(*user).is_some_and(has))
        });
        self.forget_dead_keys_in(base);
    }

    /// `base` has another salt: fingerprints mean something else, names do not.
    pub(super) fn begin_again(&mut self, base: &Snapshot) {
        self.denied.clear();
        self.users.clear();
        self.forget_dead_keys_in(base);
    }

    fn forget_dead_keys_in(&mut self, base: &Snapshot) {
        self.dead_keys.retain_mut(|(key, seen)| {
            seen.is_needed(base, |base| base.dead_keys().iter().any(|held| held == key))
        });
    }
}

impl Seen {
    /// True if the entry must stay although `base` comes.
    fn is_needed(&mut self, base: &Snapshot, is_in: impl Fn(&Snapshot) -> bool) -> bool {
        if self.to > base.to() {
            return true;
        }
        if is_in(base) {
            return false;
        }
        let seconds = base.issued_at().saturating_sub(self.issued_at);
        self.is_lost |= seconds < SHORTEST_STAY_SECONDS;
        self.is_lost && seconds < OWN_LIFETIME_SECONDS.saturating_add(SHORTEST_STAY_SECONDS)
    }
}

/// An entry stays in the base for at least the largest leeway of a verifier and a margin of the same
/// length after its token has expired.
const SHORTEST_STAY_SECONDS: u64 = 600;
