//! Ed25519 signatures (RFC 8032), checked so strictly that every back end agrees, and faster for
//! keys that are used often.
//!
//! curve25519-dalek does the arithmetic. The equation is here because ed25519-dalek has no way
//! to keep a table of a public key's multiples, which makes it almost twice as fast (BENCHMARKS.md).

#![expect(clippy::arithmetic_side_effects, reason = "points and scalars do not overflow")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, OnceLock};

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{BasepointTable, VartimeMultiscalarMul};
use sha2::{Digest, Sha512};

/// A public key of prime or mixed order, in its one canonical spelling.
#[derive(Debug)]
pub struct PublicKey {
    bytes: [u8; 32],
    negated: EdwardsPoint,
    /// How many good signatures of it were seen, up to [`TABLE_AFTER`].
    uses: AtomicU32,
    multiples: OnceLock<Multiples>,
}

/// A point's multiples; 30 KiB, so they are kept off the stack.
type Multiples = Box<EdwardsBasepointTable>;

impl PublicKey {
    /// Reads a public key. One of small order, or not in its one canonical spelling, would be
    /// judged differently by other implementations (ePrint 2020/1244) and is refused.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let point = CompressedEdwardsY(*bytes).decompress()?;
        if point.is_small_order() || point.compress().as_bytes() != bytes {
            return None;
        }
        let (uses, multiples) = (AtomicU32::new(0), OnceLock::new());
        Some(Self { bytes: *bytes, negated: -point, uses, multiples })
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
        let found = match self.multiples.get() {
            Some(multiples) => &s * &**BASE + &k * &**multiples,
            None => EdwardsPoint::vartime_multiscalar_mul(
                [s, k],
                [ED25519_BASEPOINT_POINT, self.negated],
            ),
        };
        let is_good = found.compress().as_bytes() == r;
        if is_good && self.multiples.get().is_none() {
            self.count_use();
        }
        is_good
    }

    /// Only good signatures count, so that only the key's owner can make us build tables.
    fn count_use(&self) {
        if self.uses.fetch_add(1, Ordering::Relaxed) >= TABLE_AFTER {
            self.multiples.get_or_init(|| multiples(&self.negated));
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
    let is_small = SMALL_ORDER.iter().any(|point| point == r);
    (!is_small).then_some((r, s))
}

fn multiples(point: &EdwardsPoint) -> Multiples {
    Box::new(EdwardsBasepointTable::create(point))
}

/// Of the curve's base point; made when the first key gets its table.
static BASE: LazyLock<Multiples> = LazyLock::new(|| multiples(&ED25519_BASEPOINT_POINT));

/// The points of small order; other spellings of them are never found, since `R` is compared with a
/// canonical one.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// A table costs as much as forty checks, and saves half of each check after that.
const TABLE_AFTER: u32 = 32;
