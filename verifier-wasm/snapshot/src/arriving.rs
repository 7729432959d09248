//! A snapshot that is checked while it arrives, piece by piece.

use crate::decode::Reader;
use crate::envelope::{self, FeedKey, OpenError};

/// The state of a snapshot that has not arrived completely: its signatures, and the hash of the
/// body so far. It takes the same few kilobytes however large the snapshot is.
#[derive(Debug)]
pub struct Arriving {
    signatures: Vec<u8>,
    body: blake3::Hasher,
}

impl Arriving {
    /// Begins with the first bytes that have arrived.
    pub fn new(head: &Head<'_>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(head.body);
        Self { signatures: head.signatures.to_vec(), body: hasher }
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

/// The first bytes of what may be a snapshot. Nothing in it is proved.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    signatures: &'a [u8],
    body: &'a [u8],
}

impl<'a> Head<'a> {
    /// Parses the first [`HEAD_BYTES`] of a snapshot, or all of it if it is shorter.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if they do not begin a snapshot that a `trusted` key may have signed.
    pub fn read(bytes: &'a [u8], trusted: &[FeedKey]) -> Result<Self, OpenError> {
        let (signatures, body) = envelope::promising(bytes, trusted)?;
        Ok(Self { signatures, body })
    }

    /// The length of the id of its feed in bytes, and the part of the id that is in the head: a
    /// long id may continue after it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Malformed`].
    pub fn feed(&self) -> Result<(usize, &'a [u8]), OpenError> {
        let mut reader = Reader(self.body);
        let length = reader.number().ok_or(OpenError::Malformed("the header"))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok((length, reader.0.get(..length).unwrap_or(reader.0)))
    }
}

/// This many bytes show what a snapshot claims to be: its envelope, and the feed's id unless that
/// is very long.
pub const HEAD_BYTES: usize = 4096;
