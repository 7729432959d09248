//! Merges the fresh entries into the sorted ones and encodes them as a base, off the request path.

use std::sync::Arc;

use offswitch_snapshot::{ChainHash, Content, Cutoff, DeadKey, Floor, Position, Salt};

use super::checkpoint::Kept;
use super::{DeniedSet, Validity};
use crate::issuers::Issuers;
use crate::log::Checkpoint;
use crate::record::{Denied, RevokedUpTo};

/// All entries up to a position, sorted by fingerprint; shared with the task that builds a base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Main {
    pub(super) reached: Floor,
    pub(super) denied: DeniedSet,
    pub(super) cutoffs: Vec<RevokedUpTo>,
}

/// The input of a compaction. Taking it out of the fold takes a time that does not grow with
/// `main`.
#[derive(Debug)]
pub struct Compaction {
    pub(super) salt: Salt,
    pub(super) reached: Floor,
    pub(super) main: Arc<Main>,
    pub(super) fresh_denied: Vec<Denied>,
    pub(super) fresh_cutoffs: Vec<RevokedUpTo>,
    pub(super) dead_keys: Vec<DeadKey>,
    pub(super) issuers: Issuers,
    pub(super) sessions_floor: u64,
    pub(super) refresh_denied: Vec<Denied>,
    pub(super) lost_at: u64,
}

impl Compaction {
    /// Merges, drops entries that are past at `now`, and encodes the base. Runs off the request
    /// path.
    pub fn run<T>(
        mut self,
        now: u64,
        validity: Validity,
        sign: impl FnOnce(&Content<'_>) -> T,
    ) -> (Arc<Main>, T) {
        forget_issuers(&mut self.issuers, &mut self.dead_keys, now);
        let cutoffs = self.main.cutoffs.iter().copied().chain(self.fresh_cutoffs);
        let main = Main {
            reached: self.reached,
            denied: self.main.denied.merged(self.fresh_denied, now),
            cutoffs: merged(cutoffs).into_iter().filter(|one| one.until >= now).collect(),
        };
        let position = Position { era: self.reached.position.era, seq: 0 };
        let signed = sign(&Content {
            from: Floor { position, chain: ChainHash::default() },
            to: self.reached,
            issued_at: validity.issued_at,
            valid_until: validity.valid_until,
            salt: self.salt,
            issuers: self.issuers.rules(),
            dead_keys: self.dead_keys,
            denied: main.denied.ids(),
            cutoffs: &numbers(&main.cutoffs),
        });
        (Arc::new(main), signed)
    }

    /// The inputs of its fingerprints, see [`Fold::names`](super::Fold::names).
    pub fn names(&self) -> (Salt, &str) {
        (self.salt, self.issuers.own())
    }

    /// Returns a checkpoint that replaces everything folded, for an era of its own.
    pub fn checkpoint(self, now: u64) -> Checkpoint {
        let (mut dead_keys, refresh_denied) = (self.dead_keys.clone(), self.refresh_denied.clone());
        let (mut issuers, sessions_floor) = (self.issuers.clone(), self.sessions_floor);
        let (reached, lost_at) = (self.reached, self.lost_at);
        forget_issuers(&mut issuers, &mut dead_keys, now);
        let validity = Validity { issued_at: now, valid_until: now };
        let (main, ()) = self.run(now, validity, |_| ());
        Kept {
            chain: reached.chain,
            issuers,
            dead_keys,
            denied: main.denied.iter().collect(),
            cutoffs: main.cutoffs.clone(),
            sessions_floor,
            refresh_denied: refresh_denied.into_iter().filter(|one| one.until >= now).collect(),
            lost_at,
        }
        .checkpoint(reached.position.seq)
    }
}

/// Forgets the issuers of which nothing is left, with their dead keys.
pub(super) fn forget_issuers(issuers: &mut Issuers, dead_keys: &mut Vec<DeadKey>, now: u64) {
    let gone = issuers.forget_before(now);
    dead_keys.retain(|key| !gone.contains(&key.issuer));
}

/// Sorts cut-offs by fingerprint and merges duplicates.
pub(super) fn merged(cutoffs: impl IntoIterator<Item = RevokedUpTo>) -> Vec<RevokedUpTo> {
    let mut cutoffs: Vec<RevokedUpTo> = cutoffs.into_iter().collect();
    cutoffs.sort_unstable_by_key(|one| one.id);
    cutoffs.dedup_by(|next, kept| {
        let same = next.id == kept.id;
        if same {
            *kept = kept.join(next);
        }
        same
    });
    cutoffs
}

pub(super) fn numbers(cutoffs: &[RevokedUpTo]) -> Vec<(u64, Cutoff)> {
    cutoffs.iter().map(|one| (one.id, one.cutoff)).collect()
}
