//! The accepted proofs, remembered while they could be replayed.

use super::wrong;
use crate::verify::refusal::{Objection, Undecided};

/// One verifier's memory of proofs (RFC 9449 section 11.1); nothing in it outlives the process.
///
/// A proof is forgotten once it is too old to be accepted. A key may use only part of the memory,
/// so that a client with one token cannot displace all others.
#[derive(Debug, Default)]
pub struct ProofMemory {
    /// The proofs of one key are in one bucket. Empty before the first proof.
    buckets: Vec<Vec<Entry>>,
    held: usize,
    /// When expired proofs were last removed from all buckets.
    swept_at: u64,
}

/// A proof that has passed all other checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From the key's thumbprint: 128 bits are enough, because two equal ones only refuse a
    /// request.
    pub(super) key: [u8; 16],
    /// From the hash of the proof's `jti`.
    pub(super) id: [u8; 16],
    /// The last second in which the proof could be accepted.
    pub(super) until: u64,
}

impl ProofMemory {
    /// Whether there is room for a proof, and none with its `jti`.
    pub(crate) fn check(&mut self, entry: &Entry, now: u64) -> Result<(), Objection> {
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS, Vec::new);
        }
        let is_full = self.held >= MAX_PROOFS;
        if is_full && self.swept_at != now {
            self.swept_at = now;
            self.buckets.iter_mut().for_each(|bucket| sweep(bucket, &mut self.held, now));
        }
        let Some(bucket) = self.buckets.get_mut(place(entry)) else { return Ok(()) };
        sweep(bucket, &mut self.held, now);
        let mut of_key = 0usize;
        for other in bucket.iter().filter(|other| other.key == entry.key) {
            if other.id == entry.id {
                return Err(wrong("jti", "used before", "a new one for each request").into());
            }
            of_key = of_key.saturating_add(1);
        }
        if of_key >= MAX_PROOFS_OF_A_KEY {
            let expected = "fewer requests, or a shorter dpop.maxAgeSeconds";
            return Err(wrong("key", "in 1024 proofs that are remembered", expected).into());
        }
        if self.held >= MAX_PROOFS {
            return Err(Undecided::ReplayMemoryFull.into());
        }
        Ok(())
    }

    /// Remembers a proof that was just checked.
    pub(crate) fn enter(&mut self, entry: Entry) {
        if let Some(bucket) = self.buckets.get_mut(place(&entry)) {
            bucket.push(entry);
            self.held = self.held.saturating_add(1);
        }
    }
}

/// The bucket of a key: thumbprints are practically random.
fn place(entry: &Entry) -> usize {
    let [low, high, ..] = entry.key;
    usize::from(u16::from_le_bytes([low, high])) % BUCKETS
}

fn sweep(bucket: &mut Vec<Entry>, held: &mut usize, now: u64) {
    let before = bucket.len();
    bucket.retain(|entry| entry.until >= now);
    *held = held.saturating_sub(before.saturating_sub(bucket.len()));
}

/// The most proofs that are remembered, in 40 bytes each.
pub const MAX_PROOFS: usize = 65_536;
/// The most proofs of one key.
pub const MAX_PROOFS_OF_A_KEY: usize = 1_024;
const BUCKETS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Entry, MAX_PROOFS, MAX_PROOFS_OF_A_KEY, ProofMemory};
    use crate::verify::refusal::{Objection, Undecided};

    // I14: a proof that cannot be remembered could be replayed, so the request is undecided.
    #[test]
    fn without_room_for_a_proof_nothing_is_decided_until_others_are_too_old() {
        let mut memory = ProofMemory::default();
        let mut shows = |key: usize, id: usize, until: u64, now: u64| {
            let entry = Entry { key: bytes(key), id: bytes(id), until };
            memory.check(&entry, now)?;
            memory.enter(entry);
            Ok::<(), Objection>(())
        };
        let keys = MAX_PROOFS / MAX_PROOFS_OF_A_KEY;
        for key in 0..keys {
            for id in 0..MAX_PROOFS_OF_A_KEY {
                assert_eq!(shows(key, id, 60, 0), Ok(()));
            }
        }
        let full = Err(Objection::Undecided(Undecided::ReplayMemoryFull));
        assert_eq!(shows(keys, 0, 60, 0), full);
        // In the bucket of the first key.
        assert_eq!(shows(BUCKETS, 0, 120, 60), full);
        // A remembered proof is still refused, not undecided.
        assert!(matches!(shows(0, 0, 60, 0), Err(Objection::Refused(_))));
        assert_eq!(shows(BUCKETS, 0, 121, 61), Ok(()));
        // All of them have expired: there is room for as many again.
        for key in 0..keys {
            for id in 1..MAX_PROOFS_OF_A_KEY {
                assert_eq!(shows(key, id, 121, 61), Ok(()));
            }
        }
        assert!(shows(BUCKETS, 0, 121, 61).is_err());
    }

    fn bytes(number: usize) -> [u8; 16] {
        u128::try_from(number).unwrap_or_default().to_le_bytes()
    }
}
