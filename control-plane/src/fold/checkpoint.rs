//! What stands for the trimmed beginning of the log.

use offswitch_verifier::snapshot::{ChainHash, DeadKey, Salt};
use serde::{Deserialize, Serialize};

use super::FoldError;
use crate::record::{Denied, Record, RevokedUser};
use crate::store::Checkpoint;

/// The checkpoint's bytes, in postcard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) chain: ChainHash,
    pub(super) epoch: u64,
    pub(super) dead_keys: Vec<DeadKey>,
    pub(super) denied: Vec<Denied>,
    pub(super) users: Vec<RevokedUser>,
    pub(super) sessions_floor: u64,
    pub(super) refresh_denied: Vec<Denied>,
}

impl Kept {
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self, FoldError> {
        match checkpoint.bytes.as_slice() {
            [] => Ok(Self::default()),
            bytes => {
                postcard::from_bytes(bytes).map_err(|_| FoldError::Damaged { seq: checkpoint.seq })
            }
        }
    }

    pub(super) fn checkpoint(&self, seq: u64) -> Checkpoint {
        Checkpoint { seq, bytes: postcard::to_allocvec(self).unwrap_or_default() }
    }
}

/// Follows a log from its checkpoint to find how much of its beginning is past.
#[derive(Debug)]
pub struct Trimming {
    seq: u64,
    kept: Kept,
    issuer: String,
}

impl Trimming {
    /// Begins at the log's present checkpoint.
    ///
    /// # Errors
    ///
    /// [`FoldError::Damaged`] if it cannot be read.
    pub fn begin(issuer: &str, checkpoint: &Checkpoint) -> Result<Self, FoldError> {
        let kept = Kept::read(checkpoint)?;
        Ok(Self { seq: checkpoint.seq, kept, issuer: issuer.to_owned() })
    }

    /// Takes the next record in, if nothing of it must stay at `now`; false ends the walk.
    ///
    /// # Errors
    ///
    /// [`FoldError::Damaged`] if it cannot be read.
    pub fn take(&mut self, seq: u64, bytes: &[u8], now: u64) -> Result<bool, FoldError> {
        let record = Record::decode(bytes).map_err(|_| FoldError::Damaged { seq })?;
        if seq != self.seq + 1 || !record.revocations.iter().all(|one| one.is_past(record.at, now))
        {
            return Ok(false);
        }
        let effects = record.effects(seq, Salt::default(), &self.issuer);
        self.kept.epoch = self.kept.epoch.max(effects.epoch);
        self.kept.sessions_floor = self.kept.sessions_floor.max(effects.sessions_floor);
        for key in effects.dead_keys {
            if !self.kept.dead_keys.contains(&key) {
                self.kept.dead_keys.push(key);
            }
        }
        self.kept.chain = self.kept.chain.then(bytes);
        self.seq = seq;
        Ok(true)
    }

    /// The checkpoint that stands for everything taken in.
    pub fn checkpoint(mut self, now: u64) -> Checkpoint {
        self.kept.denied.retain(|entry| entry.until >= now);
        self.kept.users.retain(|user| user.until >= now);
        self.kept.refresh_denied.retain(|entry| entry.until >= now);
        self.kept.checkpoint(self.seq)
    }
}
