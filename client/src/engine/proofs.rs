//! The DPoP proofs that were accepted. A proof names its token (`ath`), so proofs of different tokens can be
//! remembered apart, and requests with different tokens do not wait for each other.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use offswitch_verifier::ProofMemory;

#[derive(Default)]
pub(super) struct Proofs {
    places: [Mutex<ProofMemory>; PLACES],
    hashing: RandomState,
}

impl Proofs {
    /// The memory in which the proofs for this token are.
    pub(super) fn of(&self, token: &str) -> MutexGuard<'_, ProofMemory> {
        let hash = self.hashing.hash_one(token);
        let at = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        self.places[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each remembers up to [`MAX_PROOFS`](offswitch_verifier::MAX_PROOFS) proofs, in 40 bytes each.
const PLACES: usize = 8;
