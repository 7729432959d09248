//! Merges the fresh entries into the sorted ones and encodes them as a base, off the request path.

use std::sync::Arc;

use offswitch_snapshot::{ChainHash, Content, DeadKey, Floor, Position, Salt, UserFloor};

use super::checkpoint::Kept;
use super::{DeniedSet, Validity};
use crate::log::Checkpoint;
use crate::record::{Denied, RevokedUser};

/// All entries up to a position, sorted by fingerprint; shared with the task that builds a base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Main {
    pub(super) reached: Floor,
    pub(super) denied: DeniedSet,
    pub(super) users: Vec<RevokedUser>,
}

/// The input of a compaction. Taking it out of the fold takes a time that does not grow with
/// `main`.
#[derive(Debug)]
pub struct Compaction {
    pub(super) salt: Salt,
    pub(super) issuer: String,
    pub(super) reached: Floor,
    pub(super) main: Arc<Main>,
    pub(super) fresh_denied: Vec<Denied>,
    pub(super) fresh_users: Vec<RevokedUser>,
    pub(super) dead_keys: Vec<DeadKey>,
    pub(super) epoch: u64,
    pub(super) sessions_floor: u64,
    pub(super) refresh_denied: Vec<Denied>,
    pub(super) lost_at: u64,
}

impl Compaction {
    /// Merges, drops entries that are past at `now`, and encodes the base. Runs off the request
    /// path.
    pub fn run<T>(
        self,
        now: u64,
        validity: Validity,
        sign: impl FnOnce(&Content<'_>) -> T,
    ) -> (Arc<Main>, T) {
        let main = Main {
            reached: self.reached,
            denied: self.main.denied.merged(self.fresh_denied, now),
            users: merge_users(self.main.users.iter().copied().chain(self.fresh_users))
                .into_iter()
                .filter(|user| user.until >= now)
                .collect(),
        };
        let position = Position { era: self.reached.position.era, seq: 0 };
        let signed = sign(&Content {
            from: Floor { position, chain: ChainHash::default() },
            to: self.reached,
            issued_at: validity.issued_at,
            valid_until: validity.valid_until,
            salt: self.salt,
            epoch: self.epoch,
            dead_keys: self.dead_keys,
            denied: main.denied.ids(),
            users: &floors(&main.users),
        });
        (Arc::new(main), signed)
    }

    /// The inputs of its fingerprints, see [`Fold::names`](super::Fold::names).
    pub fn names(&self) -> (Salt, &str) {
        (self.salt, &self.issuer)
    }

    /// Returns a checkpoint that replaces everything folded, for an era of its own.
    pub fn checkpoint(self, now: u64) -> Checkpoint {
        let (dead_keys, refresh_denied) = (self.dead_keys.clone(), self.refresh_denied.clone());
        let (epoch, sessions_floor, reached) = (self.epoch, self.sessions_floor, self.reached);
        let lost_at = self.lost_at;
        let validity = Validity { issued_at: now, valid_until: now };
        let (main, ()) = self.run(now, validity, |_| ());
        Kept {
            chain: reached.chain,
            epoch,
            dead_keys,
            denied: main.denied.iter().collect(),
            users: main.users.clone(),
            sessions_floor,
            refresh_denied: refresh_denied.into_iter().filter(|one| one.until >= now).collect(),
            lost_at,
        }
        .checkpoint(reached.position.seq)
    }
}

/// Sorts users by fingerprint and merges duplicates.
pub(super) fn merge_users(users: impl IntoIterator<Item = RevokedUser>) -> Vec<RevokedUser> {
    let mut users: Vec<RevokedUser> = users.into_iter().collect();
    users.sort_unstable_by_key(|user| user.id);
    users.dedup_by(|next, kept| {
        let same = next.id == kept.id;
        if same {
            *kept = kept.join(next);
        }
        same
    });
    users
}

pub(super) fn floors(users: &[RevokedUser]) -> Vec<(u64, UserFloor)> {
    users.iter().map(|user| (user.id, user.floor)).collect()
}
