//! Ed25519 signatures (RFC 8032), checked so strictly that every back end agrees, and faster for
//! keys that are used often.
//!
//! In wasm, points are added by code of our own (`multiples.rs`), natively by curve25519-dalek; tests
//! compare both.

#![expect(clippy::arithmetic_side_effects, reason = "points and scalars do not overflow")]

#[cfg(any(test, target_arch = "wasm32"))]
mod field;
#[cfg(any(test, target_arch = "wasm32"))]
mod multiples;
#[cfg(test)]
mod numbers;
#[cfg(any(test, not(target_arch = "wasm32")))]
mod with_dalek;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};

#[cfg(target_arch = "wasm32")]
use self::multiples as points;
use self::points::{Multiples, Point};
#[cfg(not(target_arch = "wasm32"))]
use self::with_dalek as points;

/// A public key of prime or mixed order, in its one canonical spelling.
#[derive(Debug)]
pub struct PublicKey {
    bytes: [u8; 32],
    negated: Point,
    /// How many good signatures of it were seen, up to [`TABLE_AFTER`].
    uses: AtomicU32,
    multiples: OnceLock<Arc<Multiples>>,
}

impl PublicKey {
    /// Reads a public key. One of small order, or not in its one canonical spelling, would be
    /// judged differently by other implementations (ePrint 2020/1244) and is refused.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let negated = points::negated_key(bytes)?;
        let (uses, multiples) = (AtomicU32::new(0), OnceLock::new());
        Some(Self { bytes: *bytes, negated, uses, multiples })
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// True if `signature` is this key's under `message`: `R = [S]B - [k]A`, without a cofactor.
    pub fn accepts(&self, signature: &[u8], message: &[u8]) -> bool {
        let Some((r, s)) = split(signature) else { return false };
        let hash = Sha512::new().chain_update(r).chain_update(self.bytes).chain_update(message);
        let k = Scalar::from_hash(hash);
        let many = self.multiples.get();
        let found = points::sum(&s, &k, &self.negated, many.map(|many| &**many));
        let is_good = found == *r;
        if is_good && many.is_none() {
            self.count_use();
        }
        is_good
    }

    /// Only good signatures count, so that only the key's owner can make us build tables.
    fn count_use(&self) {
        if self.uses.fetch_add(1, Ordering::Relaxed) >= TABLE_AFTER {
            self.multiples.get_or_init(|| Arc::new(points::table(&self.negated)));
        }
    }
}

impl Clone for PublicKey {
    fn clone(&self) -> Self {
        let uses = AtomicU32::new(self.uses.load(Ordering::Relaxed));
        Self { uses, multiples: self.multiples.clone(), ..*self }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

/// True for 64 bytes that every strict implementation goes on to check: `S` is reduced (RFC 8032
/// section 5.1.7) and `R` is not of small order. Not all back ends refuse the latter themselves.
pub fn is_well_formed(signature: &[u8]) -> bool {
    split(signature).is_some()
}

fn split(signature: &[u8]) -> Option<(&[u8; 32], Scalar)> {
    let (r, s) = signature.split_first_chunk::<32>()?;
    let s = Scalar::from_canonical_bytes(s.try_into().ok()?).into_option()?;
    (!is_small(r)).then_some((r, s))
}

/// True if these bytes encode a point of small order, however they spell the sign of x.
fn is_small([y @ .., last]: &[u8; 32]) -> bool {
    SMALL_ORDER.iter().any(|[of_small @ .., end]| of_small == y && *end == last & 0x7f)
}

/// The y of the eight points of small order. Spellings that are not canonical are never found, since
/// `R` is compared with a canonical one.
#[rustfmt::skip]
const SMALL_ORDER: [[u8; 32]; 5] = [
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
        0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
        0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

/// Counted in multiplications, a table costs as much as eight checks without one, and saves three quarters of each
/// check after that.
const TABLE_AFTER: u32 = 32;

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;

    use super::is_well_formed;

    // In any spelling of the sign of x, which has two where x is 0.
    #[test]
    fn a_signature_whose_r_is_of_small_order_is_refused() {
        let without_sign = |mut bytes: [u8; 32]| {
            let [.., last] = &mut bytes;
            *last &= 0x7f;
            bytes
        };
        let small = EIGHT_TORSION.map(|point| without_sign(point.compress().to_bytes()));
        for point in EIGHT_TORSION {
            for (at, flipped) in (0..32).flat_map(|at| [(at, 0), (at, 1), (at, 0x80)]) {
                let mut r = point.compress().to_bytes();
                if let Some(byte) = r.get_mut(at) {
                    *byte ^= flipped;
                }
                let signature = [r, [0; 32]].concat();
                assert_eq!(is_well_formed(&signature), !small.contains(&without_sign(r)), "{r:?}");
            }
        }
    }
}
