//! The entries that deltas have added to the base.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::OWN_LIFETIME_SECONDS;
use crate::snapshot::{Cutoff, Fingerprint, IssuerRules, Position, Snapshot};

/// The entries of deltas, each with the delta after which it is certain.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) denied: ByFingerprint<Seen>,
    pub(super) cutoffs: ByFingerprint<(Cutoff, Seen)>,
    /// Issuer and key id. Few: red buttons and retired keys.
    pub(super) dead_keys: Vec<((String, String), Seen)>,
    /// Few: one for each issuer with a change.
    pub(super) rules: Vec<(IssuerRules, Seen)>,
}

/// The delta that last brought an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    /// Where it ends.
    pub(super) to: Position,
    /// Unix seconds.
    issued_at: u64,
    /// True once a base lacked the entry although it cannot have expired.
    is_lost: bool,
}

pub(super) type ByFingerprint<T> = HashMap<Fingerprint, T, BuildHasherDefault<Ready>>;

/// A fingerprint is already a hash, keyed with the feed's salt.
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
        self.denied.len().saturating_add(self.cutoffs.len())
    }

    pub(super) fn add(&mut self, snapshot: &Snapshot) {
        let now = Seen { to: snapshot.to(), issued_at: snapshot.issued_at(), is_lost: false };
        for id in snapshot.denied() {
            let seen = self.denied.entry(id).or_insert(now);
            *seen = (*seen).max(now);
        }
        for (id, cutoff) in snapshot.cutoffs() {
            let (held, seen) = self.cutoffs.entry(id).or_insert((cutoff, now));
            *held = held.join(cutoff);
            *seen = (*seen).max(now);
        }
        for (issuer, kid) in snapshot.dead_keys() {
            let key = (issuer.to_owned(), kid.to_owned());
            match self.dead_keys.iter_mut().find(|(held, _)| *held == key) {
                Some((_, seen)) => *seen = (*seen).max(now),
                None => self.dead_keys.push((key, now)),
            }
        }
        for rules in snapshot.issuers() {
            match self.rules.iter_mut().find(|(held, _)| held.issuer == rules.issuer) {
                Some((held, seen)) => {
                    held.join(rules);
                    *seen = (*seen).max(now);
                }
                None => self.rules.push((rules.clone(), now)),
            }
        }
    }

    /// `base` has everything that was certain by its end and has not expired. An entry that it
    /// lacks although a delta brought it recently is kept: the log has lost it, and no revocation
    /// is undone.
    pub(super) fn forget_what_is_in(&mut self, base: &Snapshot) {
        self.denied.retain(|id, seen| seen.is_needed(base, |base| base.is_denied(*id)));
        self.cutoffs.retain(|id, (cutoff, seen)| {
            let has = |held: Cutoff| held.join(*cutoff) == held;
            seen.is_needed(base, |base| base.cutoff(*id).is_some_and(has))
        });
        self.forget_names_in(base);
    }

    /// `base` has another salt: fingerprints have another meaning, names do not.
    pub(super) fn begin_again(&mut self, base: &Snapshot) {
        self.denied.clear();
        self.cutoffs.clear();
        self.forget_names_in(base);
    }

    fn forget_names_in(&mut self, base: &Snapshot) {
        self.dead_keys.retain_mut(|((issuer, kid), seen)| {
            let is_key = |held: (&str, &str)| held == (issuer.as_str(), kid.as_str());
            seen.is_needed(base, |base| base.dead_keys().any(is_key))
        });
        self.rules.retain_mut(|(rules, seen)| {
            let has = |held: &IssuerRules| {
                let mut joined = held.clone();
                joined.join(rules);
                held.issuer == rules.issuer && joined == *held
            };
            seen.is_needed(base, |base| base.issuers().iter().any(has))
        });
    }
}

impl Seen {
    /// True if the entry must stay when `base` is applied.
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

/// An entry stays in the base for at least the largest leeway of a verifier and a margin of the
/// same length after its token has expired.
const SHORTEST_STAY_SECONDS: u64 = 600;
