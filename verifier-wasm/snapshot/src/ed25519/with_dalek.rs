//! The points of curve25519-dalek: natively it uses the processor's vectors, which no code of ours
//! does.

use std::sync::LazyLock;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{BasepointTable, VartimeMultiscalarMul};

/// A point's multiples; 30 KiB, so they are kept off the stack.
pub(super) type Multiples = Box<EdwardsBasepointTable>;
pub(super) type Point = EdwardsPoint;

/// As in `multiples.rs`.
pub(super) fn negated_key(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*bytes).decompress()?;
    (!point.is_small_order() && point.compress().as_bytes() == bytes).then(|| -point)
}

pub(super) fn table(negated: &EdwardsPoint) -> Multiples {
    Box::new(EdwardsBasepointTable::create(negated))
}

pub(super) fn sum(
    s: &Scalar,
    k: &Scalar,
    negated: &EdwardsPoint,
    table: Option<&Multiples>,
) -> [u8; 32] {
    let sum = match table {
        Some(multiples) => s * &**BASE + k * &**multiples,
        None => {
            let points = [ED25519_BASEPOINT_POINT, *negated];
            EdwardsPoint::vartime_multiscalar_mul([s, k], points)
        }
    };
    sum.compress().to_bytes()
}

/// Of the curve's base point; made when the first key gets its table.
static BASE: LazyLock<Multiples> = LazyLock::new(|| table(&ED25519_BASEPOINT_POINT));
