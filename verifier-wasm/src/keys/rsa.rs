//! Verification of RSA signatures: RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017).
//!
//! Written here instead of using the `rsa` crate. Verification needs no secret and one short
//! exponentiation; the crate includes a signer with an open advisory about its timing
//! (RUSTSEC-2023-0071), takes 16 KB of the zipped wasm file and twice the time. The tests still
//! compare with it, and with Wycheproof.

use super::hash::Hash;
use super::montgomery::{MAX_BITS, Modulus, bits};

/// An RSA public key of 2048 to 8192 bits.
#[derive(Clone)]
pub(super) struct PublicKey {
    modulus: Modulus,
    /// The modulus, big-endian, without zeros in front.
    bytes: Vec<u8>,
    exponent: u64,
}

impl PublicKey {
    /// Reads modulus and exponent, big-endian. None for a key that is short, huge or even, or whose
    /// exponent is below 3, even or longer than 64 bits.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let bytes = modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
        let modulus = Modulus::new(modulus).filter(|modulus| modulus.bits() >= MIN_BITS)?;
        let from = exponent.iter().position(|byte| *byte != 0)?;
        let exponent = exponent.get(from..).filter(|bytes| bytes.len() <= MAX_EXPONENT_BYTES)?;
        let exponent = exponent.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if exponent < 3 || exponent.is_multiple_of(2) {
            return None;
        }
        Some(Self { modulus, bytes, exponent })
    }

    /// RSASSA-PKCS1-v1_5 (section 8.2.2): the encoded message must equal the only valid one.
    pub(super) fn accepts_pkcs1(&self, hash: Hash, signature: &[u8], message: &[u8]) -> bool {
        let ending = [&[0], hash.digest_info, &(hash.digest)(&[message])].concat();
        let Some(encoded) = self.open(signature) else { return false };
        let Some((padding, found)) =
            encoded.len().checked_sub(ending.len()).and_then(|at| encoded.split_at_checked(at))
        else {
            return false;
        };
        let [0, 1, ones @ ..] = padding else { return false };
        ones.len() >= 8 && ones.iter().all(|byte| *byte == 0xff) && found == ending
    }

    /// RSASSA-PSS with MGF1 over the same hash and a salt as long as it (RFC 7518 section 3.5).
    pub(super) fn accepts_pss(&self, hash: Hash, signature: &[u8], message: &[u8]) -> bool {
        self.open(signature)
            .is_some_and(|encoded| is_pss(hash, &encoded, self.modulus.bits(), message).is_some())
    }

    /// True for a number below the modulus that is written in its length (section 5.2.2, step 1).
    /// Some back ends do not check that, and would accept `s + n` for `s`.
    pub(super) fn is_well_formed(&self, signature: &[u8]) -> bool {
        signature.len() == self.bytes.len() && *signature < *self.bytes
    }

    /// The signature to the power of the exponent (RSAVP1, section 5.2.2), as long as the modulus.
    fn open(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let modulus = &self.modulus;
        let base = modulus.enter(&modulus.read(signature)?);
        let power = modulus.power(&base, &bits(&self.exponent.to_be_bytes()));
        Some(modulus.write(&modulus.leave(&power)))
    }
}

/// EMSA-PSS-VERIFY (section 9.1.2), whose steps are numbered here; some if it is consistent.
fn is_pss(hash: Hash, encoded: &[u8], modulus_bits: usize, message: &[u8]) -> Option<()> {
    let hash_bytes = hash.size_bytes;
    let em_bits = modulus_bits.checked_sub(1)?;
    // With a modulus of 8k+1 bits the first byte is unused.
    let em_bytes = em_bits.div_ceil(8);
    let (surplus, encoded) = encoded.split_at_checked(encoded.len().checked_sub(em_bytes)?)?;
    let (0xbc, encoded) = encoded.split_last().map(|(last, rest)| (*last, rest))? else {
        return None; // 4
    };
    let (masked, found) = encoded.split_at_checked(encoded.len().checked_sub(hash_bytes)?)?; // 5
    let unused = em_bytes.checked_mul(8)?.checked_sub(em_bits)?;
    let used = u8::MAX.checked_shr(u32::try_from(unused).ok()?)?;
    if surplus.iter().any(|byte| *byte != 0) || masked.first()? & !used != 0 {
        return None; // 6
    }
    let mut block: Vec<u8> = masked.to_vec();
    mask(hash, &mut block, found); // 7, 8
    *block.first_mut()? &= used; // 9
    let (padding, salt) = block.split_at_checked(block.len().checked_sub(hash_bytes)?)?;
    let (1, zeros) = padding.split_last().map(|(last, rest)| (*last, rest))? else {
        return None; // 10
    };
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let expected = (hash.digest)(&[&[0; 8], &(hash.digest)(&[message]), salt]); // 1 to 3, 11 to 13
    (expected == found).then_some(()) // 14
}

/// Adds MGF1 of `seed` (section B.2.1) to `block`, bit by bit.
fn mask(hash: Hash, block: &mut [u8], seed: &[u8]) {
    for (counter, part) in (0u32..).zip(block.chunks_mut(hash.size_bytes)) {
        let mask = (hash.digest)(&[seed, &counter.to_be_bytes()]);
        for (byte, mask) in part.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

/// Below this a modulus can be factored (RFC 7518 section 3.3).
const MIN_BITS: usize = 2048;
/// The longest accepted modulus.
pub(super) const MAX_MODULUS_BYTES: usize = MAX_BITS / 8;
/// The longest accepted exponent.
pub(super) const MAX_EXPONENT_BYTES: usize = 8;
