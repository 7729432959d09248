//! What only people look at in a snapshot: who signed it, how its bytes are spent, and the content
//! of one that is not verified.

use crate::envelope::{self, FeedKeyId, OpenError};
use crate::snapshot::Snapshot;

/// How many bytes each part of a snapshot takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSizes {
    /// Magic, version and signatures.
    pub envelope_bytes: usize,
    /// The header of the body.
    pub header_bytes: usize,
    /// The denied ids.
    pub denied_bytes: usize,
    /// The cut-offs.
    pub cutoffs_bytes: usize,
}

impl Snapshot {
    /// Reads a snapshot without asking who signed it: anyone may have made it. To be shown to
    /// people, and never to be judged with; the verifier opens what it applies with [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`OpenError::Malformed`] and [`OpenError::UnknownVersion`].
    pub fn peek_unverified(bytes: Vec<u8>) -> Result<Self, OpenError> {
        let (_, body) = envelope::split(&bytes)?;
        let body_at = bytes.len().saturating_sub(body.len());
        Self::read(bytes, body_at)
    }

    /// The keys that are said to have signed `bytes`; none if they are no snapshot.
    /// [`open`](Self::open) verifies the signatures of those that it trusts, and no others.
    pub fn claimed_signers(bytes: &[u8]) -> impl Iterator<Item = FeedKeyId> {
        let signatures = envelope::split(bytes).map_or(&[][..], |(signatures, _)| signatures);
        envelope::entries(signatures).map(|(id, _)| id)
    }

    /// How its bytes are spent.
    pub fn part_sizes(&self) -> PartSizes {
        let (denied_bytes, cutoffs_bytes) = (self.denied.size_bytes(), self.cutoffs.size_bytes());
        let body_bytes = envelope::split(&self.bytes).map_or(0, |(_, body)| body.len());
        PartSizes {
            envelope_bytes: self.size_bytes().saturating_sub(body_bytes),
            header_bytes: body_bytes.saturating_sub(denied_bytes).saturating_sub(cutoffs_bytes),
            denied_bytes,
            cutoffs_bytes,
        }
    }
}
