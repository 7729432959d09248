//! What the log contains between two positions.

use offswitch_snapshot::{
    Content, Cutoff, DeadKey, Fingerprint, Floor, IssuerRules, Position, Salt,
};

use super::Fold;
use super::compaction::{merged, numbers};
use crate::issuers::Issuers;
use crate::record::RevokedUpTo;

impl Fold {
    /// Returns everything after `since` up to `to` as the content of one delta, if the fold still
    /// has the steps between them. If both are the same, the delta is a heartbeat.
    pub fn delta(&self, since: Position, to: Position, validity: Validity) -> Option<Delta> {
        Some(self.taken(since, to, validity)?.delta())
    }

    /// Like [`delta`](Self::delta), but unsorted: the slow part is left to [`Taken::delta`], which
    /// does not need the lock on the fold.
    pub fn taken(&self, since: Position, to: Position, validity: Validity) -> Option<Taken> {
        let (from, to) = (self.floor_at(since)?, self.floor_at(to)?);
        let (mut denied, mut cutoffs, mut dead_keys) = (Vec::new(), Vec::new(), Vec::new());
        // What begins at 0 replaces what a reader holds, so it says all that was so at 0.
        let mut issuers: Vec<IssuerRules> = match since.seq {
            0 => Issuers::new(self.issuers.own()).rules(),
            _ => vec![],
        };
        let up_to = self.steps.iter().rev().skip_while(|step| step.end.position > to.position);
        for step in up_to.take_while(|step| step.end.position > since) {
            denied.extend(step.effects.denied.iter().map(|entry| Fingerprint(entry.id)));
            cutoffs.extend(step.effects.cutoffs.iter().copied());
            dead_keys.extend(step.effects.dead_keys.iter().cloned());
            for rules in &step.effects.rules {
                match issuers.iter_mut().find(|held| held.issuer == rules.issuer) {
                    Some(held) => held.join(rules),
                    None => issuers.push(rules.clone()),
                }
            }
        }
        issuers.sort_unstable_by(|one, other| one.issuer.cmp(&other.issuer));
        let delta = Delta {
            from,
            to,
            validity,
            salt: self.salt,
            issuers,
            dead_keys,
            denied: vec![],
            cutoffs: vec![],
        };
        Some(Taken { delta, denied, cutoffs })
    }
}

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
