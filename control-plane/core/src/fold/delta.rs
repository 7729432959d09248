//! What the log contains between two positions.

use offswitch_snapshot::{
    Content, Cutoff, DeadKey, Fingerprint, Floor, IssuerRules, Position, Salt,
};

use super::compaction::{merged, numbers};
use crate::record::RevokedUpTo;

/// The content of the steps between two positions, not yet sorted.
#[derive(Debug)]
pub struct Taken {
    /// Everything but the entries.
    pub(super) delta: Delta,
    pub(super) denied: Vec<Fingerprint>,
    pub(super) cutoffs: Vec<RevokedUpTo>,
}

impl Taken {
    /// Sorts the entries into the delta.
    pub fn delta(self) -> Delta {
        let Self { mut delta, denied, cutoffs } = self;
        delta.dead_keys.sort();
        delta.dead_keys.dedup();
        delta.denied = Fingerprint::sorted(denied);
        delta.cutoffs = numbers(&merged(cutoffs));
        delta
    }
}

/// What the log contains between two positions, ready to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    pub(super) from: Floor,
    pub(super) to: Floor,
    pub(super) validity: Validity,
    pub(super) salt: Salt,
    pub(super) issuers: Vec<IssuerRules>,
    pub(super) dead_keys: Vec<DeadKey>,
    pub(super) denied: Vec<u64>,
    pub(super) cutoffs: Vec<(u64, Cutoff)>,
}

impl Delta {
    /// The position after this delta.
    pub fn position(&self) -> Position {
        self.to.position
    }

    /// The same content, borrowed for a signer.
    pub fn borrow(&self) -> Content<'_> {
        Content {
            from: self.from,
            to: self.to,
            issued_at: self.validity.issued_at,
            valid_until: self.validity.valid_until,
            salt: self.salt,
            issuers: self.issuers.clone(),
            dead_keys: self.dead_keys.clone(),
            denied: &self.denied,
            cutoffs: &self.cutoffs,
        }
    }
}

/// When a snapshot was signed, and until when it proves that the feed is fresh, unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Validity {
    /// When it was signed.
    pub issued_at: u64,
    /// Until when it is fresh.
    pub valid_until: u64,
}
