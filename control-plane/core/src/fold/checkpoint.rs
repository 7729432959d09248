//! The checkpoint, which replaces the trimmed beginning of the log.

use std::collections::HashSet;

use offswitch_snapshot::{ChainHash, DeadKey, Salt};
use serde::{Deserialize, Serialize};

use super::compaction::{forget_issuers, merged};
use super::{DeniedSet, FoldError};
use crate::issuers::Issuers;
use crate::log::Checkpoint;
use crate::record::{Denied, Record, Revocation, RevokedUpTo};

/// The checkpoint's bytes, in postcard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) chain: ChainHash,
    pub(super) issuers: Issuers,
    pub(super) dead_keys: Vec<DeadKey>,
    pub(super) denied: Vec<Denied>,
    pub(super) cutoffs: Vec<RevokedUpTo>,
    pub(super) sessions_floor: u64,
    pub(super) refresh_denied: Vec<Denied>,
    /// When a loss of records in the store was last found, unix seconds, or 0.
    pub(super) lost_at: u64,
}

impl Kept {
    /// `own` is the `iss` of the control plane's own tokens.
    pub(super) fn read(own: &str, checkpoint: &Checkpoint) -> Result<Self, FoldError> {
        match checkpoint.bytes.as_slice() {
            [] => Ok(Self::new(own)),
            bytes => {
                postcard::from_bytes(bytes).map_err(|_| FoldError::Damaged { seq: checkpoint.seq })
            }
        }
    }

    fn new(own: &str) -> Self {
        Self {
            chain: ChainHash::default(),
            issuers: Issuers::new(own),
            dead_keys: vec![],
            denied: vec![],
            cutoffs: vec![],
            sessions_floor: 0,
            refresh_denied: vec![],
            lost_at: 0,
        }
    }

    fn entries(&self) -> usize {
        self.denied.len() + self.cutoffs.len() + self.refresh_denied.len()
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
    salt: Salt,
}

impl Trimming {
    /// Starts at the log's present checkpoint.
    ///
    /// # Errors
    ///
    /// [`FoldError::Damaged`] if the checkpoint cannot be read.
    pub fn begin(salt: Salt, issuer: &str, checkpoint: &Checkpoint) -> Result<Self, FoldError> {
        let kept = Kept::read(issuer, checkpoint)?;
        Ok(Self { seq: checkpoint.seq, kept, salt })
    }

    /// Takes in the next record, if none of its entries must stay in the log at `now`. False ends
    /// the walk.
    ///
    /// Some entries of a record older than a week may still have an effect: the checkpoint carries
    /// them, up to 10,000 in total. Otherwise one token that is valid for a year would keep every
    /// later record in the log.
    ///
    /// # Errors
    ///
    /// [`FoldError::Damaged`] if the record cannot be read.
    pub fn take(&mut self, seq: u64, bytes: &[u8], now: u64) -> Result<bool, FoldError> {
        let record = Record::decode(bytes).map_err(|_| FoldError::Damaged { seq })?;
        let issuers = &self.kept.issuers;
        let lives = |one: &&Revocation| one.needed_until(record.at, issuers) >= now;
        let carried = record.revocations.iter().filter(lives).count();
        let is_old = record.at.saturating_add(LISTED_SECONDS) < now;
        let may_go = carried == 0 || is_old && self.kept.entries() + carried <= MOST_CARRIED;
        if seq <= self.seq || !may_go {
            return Ok(false);
        }
        let effects = record.effects(seq, self.salt, &mut self.kept.issuers);
        self.kept.denied.extend(effects.denied.iter().filter(|one| one.until >= now));
        // A later cut-off may be past before an earlier one that is kept: both are
        // merged, so the later one is kept, too.
        let held: HashSet<u64> = self.kept.cutoffs.iter().map(|one| one.id).collect();
        let stays = |one: &&RevokedUpTo| one.until >= now || held.contains(&one.id);
        self.kept.cutoffs.extend(effects.cutoffs.iter().filter(stays));
        self.kept
            .refresh_denied
            .extend(effects.refresh_denied.iter().filter(|one| one.until >= now));
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

    /// Returns the checkpoint that replaces everything taken in.
    pub fn checkpoint(mut self, now: u64) -> Checkpoint {
        self.kept.denied = living(&self.kept.denied, now);
        self.kept.refresh_denied = living(&self.kept.refresh_denied, now);
        // A fold looks cut-offs up by binary search, so they must be sorted.
        self.kept.cutoffs = merged(self.kept.cutoffs);
        self.kept.cutoffs.retain(|one| one.until >= now);
        forget_issuers(&mut self.kept.issuers, &mut self.kept.dead_keys, now);
        self.kept.checkpoint(self.seq)
    }
}

/// The entries that are not past at `now`, each once.
fn living(denied: &[Denied], now: u64) -> Vec<Denied> {
    DeniedSet::default().merged(denied.to_vec(), now).iter().collect()
}

/// The minimum time for which `GET /v1/revocations` shows entries that still have an effect.
const LISTED_SECONDS: u64 = 7 * 24 * 60 * 60;
/// Every reader of the log's beginning gets the checkpoint, 15 bytes per entry.
const MOST_CARRIED: usize = 10_000;
