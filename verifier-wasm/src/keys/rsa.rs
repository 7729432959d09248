//! RSA signatures, checked only: RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017).
//!
//! Written here rather than taken from the `rsa` crate. Checking needs no secret and one short
//! exponentiation; the crate brings a signer with an open advisory about its timing
//! (RUSTSEC-2023-0071), takes 16 KB of the zipped wasm file and twice the time. The tests still
//! compare with it, and with Wycheproof.

use sha2::Digest;

/// An RSA public key of 2048 to 8192 bits.
#[derive(Clone)]
pub(crate) struct PublicKey {
    /// The modulus n, lowest limb first, the highest not zero.
    modulus: Vec<u32>,
    bits: usize,
    exponent: u64,
    /// -1/n modulo 2^32.
    inverse: u32,
    /// R^2 modulo n, where R is 2^32 to the number of limbs: multiplying by it enters Montgomery's
    /// form.
    square: Vec<u32>,
}

impl PublicKey {
    /// Reads modulus and exponent, big-endian. None for a key that is short, huge or even, or whose
    /// exponent is below 3, even or longer than 64 bits.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let modulus = limbs(modulus)?;
        let highest = modulus.last()?;
        let bits = modulus.len().checked_mul(32)?.checked_sub(zeros(*highest))?;
        if !(MIN_BITS..=MAX_BITS).contains(&bits) || is_even(*modulus.first()?) {
            return None;
        }
        let exponent = limbs(exponent).filter(|limbs| limbs.len() <= 2)?;
        let exponent = exponent.iter().rev().fold(0, |sum, limb| sum << 32 | u64::from(*limb));
        if exponent < 3 || exponent.is_multiple_of(2) {
            return None;
        }
        let inverse = negated_inverse(*modulus.first()?);
        let mut key = Self { modulus, bits, exponent, inverse, square: vec![] };
        key.square = key.square_of_r();
        Some(key)
    }

    /// How long the modulus and every signature is.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// RSASSA-PKCS1-v1_5 (section 8.2.2): the encoded message must be the one there is.
    pub(crate) fn accepts_pkcs1(&self, hash: Hash, signature: &[u8], message: &[u8]) -> bool {
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
    pub(crate) fn accepts_pss(&self, hash: Hash, signature: &[u8], message: &[u8]) -> bool {
        self.open(signature)
            .is_some_and(|encoded| is_pss(hash, &encoded, self.bits, message).is_some())
    }

    /// True for a number below the modulus that is written in its length (section 5.2.2, step 1). Not
    /// all back ends ask for that, and would take `s + n` for `s`.
    pub(crate) fn is_well_formed(&self, signature: &[u8]) -> bool {
        self.number(signature).is_some()
    }

    fn number(&self, signature: &[u8]) -> Option<Vec<u32>> {
        if signature.len() != self.size_bytes() {
            return None;
        }
        let mut number = limbs(signature).unwrap_or_default();
        number.resize(self.modulus.len(), 0);
        is_less(&number, &self.modulus).then_some(number)
    }

    /// The signature to the power of the exponent (RSAVP1, section 5.2.2), as long as the modulus.
    fn open(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let size_bytes = self.size_bytes();
        let base = self.number(signature)?;
        let base = self.multiply(&base, &self.square);
        let mut power = base.clone();
        let below_highest = 63u32.saturating_sub(self.exponent.leading_zeros());
        for bit in (0..below_highest).rev() {
            power = self.multiply(&power, &power);
            if self.exponent >> bit & 1 == 1 {
                power = self.multiply(&power, &base);
            }
        }
        let mut one = vec![0; self.modulus.len()];
        *one.first_mut()? = 1;
        let power = self.multiply(&power, &one);
        let bytes: Vec<u8> = power.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
        let surplus = bytes.len().checked_sub(size_bytes)?;
        bytes.get(surplus..).map(<[u8]>::to_vec)
    }

    /// Montgomery's product of two numbers below the modulus: a*b/R modulo n.
    ///
    /// For each limb of `a` both products go through the limbs once, and what was summed moves down
    /// by one limb: m is chosen so that the lowest becomes zero.
    fn multiply(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let n = &self.modulus;
        let mut sum = vec![0; n.len()];
        let mut above = 0;
        let mut next = Vec::with_capacity(n.len());
        for a in a {
            let mut rest = sum.iter().zip(b).zip(n);
            let Some(((lowest, b), n)) = rest.next() else { break };
            let (low, mut carry) = multiply_add(*a, *b, *lowest, 0);
            let m = low.wrapping_mul(self.inverse);
            let (_, mut reduced) = multiply_add(m, *n, low, 0);
            next.clear();
            for ((sum, b), n) in rest {
                let (low, high) = multiply_add(*a, *b, *sum, carry);
                carry = high;
                let (low, high) = multiply_add(m, *n, low, reduced);
                reduced = high;
                next.push(low);
            }
            let (top, first) = carry.overflowing_add(reduced);
            let (top, second) = top.overflowing_add(above);
            next.push(top);
            above = u32::from(first || second);
            std::mem::swap(&mut sum, &mut next);
        }
        if above == 1 || !is_less(&sum, n) {
            subtract(&mut sum, n);
        }
        sum
    }

    /// Twice a number below the modulus, modulo n.
    fn double(&self, value: &mut [u32]) {
        let mut carry = 0;
        for limb in value.iter_mut() {
            let high = *limb >> 31;
            *limb = *limb << 1 | carry;
            carry = high;
        }
        if carry == 1 || !is_less(value, &self.modulus) {
            subtract(value, &self.modulus);
        }
    }

    /// R^2 modulo n, which is 2 to the number of R's bits in Montgomery's form.
    fn square_of_r(&self) -> Vec<u32> {
        let r_bits = self.modulus.len().saturating_mul(32);
        // The highest power of two below the modulus, doubled until it is 2R: 2 in that form.
        let mut value = vec![0; self.modulus.len()];
        if let Some(highest) = value.last_mut() {
            *highest = 1u32.rotate_right(1) >> r_bits.saturating_sub(self.bits);
        }
        for _ in self.bits..=r_bits.saturating_add(1) {
            self.double(&mut value);
        }
        let below_highest = usize::BITS.saturating_sub(r_bits.leading_zeros()).saturating_sub(1);
        for bit in (0..below_highest).rev() {
            value = self.multiply(&value, &value);
            if r_bits >> bit & 1 == 1 {
                self.double(&mut value);
            }
        }
        value
    }
}

/// The hash of a scheme. Passed as a value: code for each of them would be a tenth of the wasm file.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    /// Of all parts after each other.
    digest: fn(&[&[u8]]) -> Vec<u8>,
    /// The DER of its DigestInfo up to the hash itself (RFC 8017 section 9.2, note 1).
    digest_info: &'static [u8],
    size_bytes: usize,
}

impl Hash {
    pub(crate) const SHA256: Self = Self {
        digest: digest::<sha2::Sha256>,
        digest_info:
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        size_bytes: 32,
    };
    pub(crate) const SHA384: Self = Self {
        digest: digest::<sha2::Sha384>,
        digest_info:
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        size_bytes: 48,
    };
    pub(crate) const SHA512: Self = Self {
        digest: digest::<sha2::Sha512>,
        digest_info:
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        size_bytes: 64,
    };
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(D::new(), |hasher, part| hasher.chain_update(part)).finalize().to_vec()
}

/// EMSA-PSS-VERIFY (section 9.1.2), whose steps are numbered here; some if it is consistent.
fn is_pss(hash: Hash, encoded: &[u8], modulus_bits: usize, message: &[u8]) -> Option<()> {
    let hash_bytes = hash.size_bytes;
    let em_bits = modulus_bits.checked_sub(1)?;
    // A modulus of 8k+1 bits leaves the first byte without a bit of its own.
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

/// Big-endian bytes as limbs, lowest first, without zeros above; none for zero and for too many.
fn limbs(bytes: &[u8]) -> Option<Vec<u32>> {
    let from = bytes.iter().position(|byte| *byte != 0)?;
    let bytes = bytes.get(from..).filter(|bytes| bytes.len() <= MAX_MODULUS_BYTES)?;
    let limb = |chunk: &[u8]| chunk.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    Some(bytes.rchunks(4).map(limb).collect())
}

/// a*b + c + d, as its low and its high half.
fn multiply_add(a: u32, b: u32, c: u32, d: u32) -> (u32, u32) {
    #[expect(clippy::arithmetic_side_effects, reason = "(2^32-1)^2 + 2(2^32-1) = 2^64 - 1")]
    let sum = u64::from(a) * u64::from(b) + u64::from(c) + u64::from(d);
    #[expect(clippy::as_conversions, reason = "the two halves")]
    (sum as u32, (sum >> 32) as u32)
}

/// -1/n modulo 2^32 for an odd n: each of Newton's steps doubles the bits that are right, and n is
/// its own inverse modulo 8.
fn negated_inverse(n: u32) -> u32 {
    let step = |inverse: u32| inverse.wrapping_mul(2u32.wrapping_sub(n.wrapping_mul(inverse)));
    (0..4).fold(n, |inverse, _| step(inverse)).wrapping_neg()
}

/// a - b in place of `a`, both of the same length; a borrow beyond the highest limb is dropped.
fn subtract(a: &mut [u32], b: &[u32]) {
    let mut borrow = false;
    for (a, b) in a.iter_mut().zip(b) {
        let (difference, first) = a.overflowing_sub(*b);
        let (difference, second) = difference.overflowing_sub(u32::from(borrow));
        *a = difference;
        borrow = first || second;
    }
}

/// Compares two numbers of the same length.
fn is_less(a: &[u32], b: &[u32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn is_even(limb: u32) -> bool {
    limb.is_multiple_of(2)
}

fn zeros(limb: u32) -> usize {
    usize::try_from(limb.leading_zeros()).unwrap_or(0)
}

/// Below this a modulus can be factored (RFC 7518 section 3.3).
const MIN_BITS: usize = 2048;
/// Above it one check would take milliseconds.
const MAX_BITS: usize = 8192;
/// The longest modulus that is looked at.
pub(crate) const MAX_MODULUS_BYTES: usize = MAX_BITS / 8;
/// The longest exponent.
pub(crate) const MAX_EXPONENT_BYTES: usize = 8;
