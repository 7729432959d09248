//! What deltas have added to the base.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::snapshot::{DeadKey, Fingerprint, Position, Snapshot, UserFloor};

/// What deltas added, each with the position by which it is certain.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) denied: ByFingerprint<Position>,
    pub(super) users: ByFingerprint<(UserFloor, Position)>,
    /// Few: red buttons and retired keys.
    pub(super) dead_keys: Vec<(DeadKey, Position)>,
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
        let to = snapshot.to();
        for id in snapshot.denied() {
            let seen = self.denied.entry(id).or_insert(to);
            *seen = (*seen).max(to);
        }
        for (user, floor) in snapshot.users() {
            let (held, seen) = self.users.entry(user).or_insert((floor, to));
            *held = held.join(floor);
            *seen = (*seen).max(to);
        }
        for key in snapshot.dead_keys() {
            match self.dead_keys.iter_mut().find(|(held, _)| held == key) {
                Some((_, seen)) => *seen = (*seen).max(to),
                None => self.dead_keys.push((key.clone(), to)),
            }
        }
    }

    /// A base up to `base` holds everything that was certain by then and has not expired.
    pub(super) fn forget_up_to(&mut self, base: Position) {
        self.denied.retain(|_, to| *to > base);
        self.users.retain(|_, (_, to)| *to > base);
        self.dead_keys.retain(|(_, to)| *to > base);
    }
}
