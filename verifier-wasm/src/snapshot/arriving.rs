//! A snapshot that is checked while it arrives, piece by piece.

use super::envelope::{self, FeedKey, OpenError};

/// What is remembered of a snapshot of which not all is there yet: its signatures, and the hash of
/// the body so far. It takes the same few kilobytes however large the snapshot is.
#[derive(Debug)]
pub struct Arriving {
    signatures: Vec<u8>,
    body: blake3::Hasher,
}

impl Arriving {
    pub(super) fn new(signatures: &[u8], body: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(body);
        Self { signatures: signatures.to_vec(), body: hasher }
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.body.update(piece);
    }

    /// Whether the signatures are right, once all has arrived.
    ///
    /// # Errors
    ///
    /// [`OpenError::BadSignature`].
    pub fn finish(&self, trusted: &[FeedKey]) -> Result<(), OpenError> {
        envelope::check(&self.signatures, trusted, &self.body.finalize())
    }
}
