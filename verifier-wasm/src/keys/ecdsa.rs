//! Verification of ECDSA signatures over P-256, P-384 and P-521 (FIPS 186-5 section 6.4.2, SEC 1
//! section 4.1.4), in the form of RFC 7518 section 3.4.
//!
//! Verification needs no secret: key, signature and message are public, so the code need not run in
//! constant time.

use std::sync::OnceLock;

use super::curve::{Affine, Curve, Multiples};

/// A public key: a point of a curve, never infinity.
#[derive(Clone)]
pub(super) struct PublicKey {
    curve: &'static Curve,
    point: Affine,
    /// Made when the first signature is checked, and makes each later check much faster.
    multiples: OnceLock<Multiples>,
}

impl PublicKey {
    /// Reads the coordinates, big-endian and each in its full length (RFC 7518 section 6.2.1);
    /// `None` if they are no point of the curve.
    pub(super) fn new(curve: &'static Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        // Every point of these curves has the order n: there is no smaller subgroup to look for.
        Some(Self { curve, point: curve.point(x, y)?, multiples: OnceLock::new() })
    }

    /// True for a signature of the right length.
    pub(super) fn is_well_formed(&self, signature: &[u8]) -> bool {
        signature.len() == self.curve.size_bytes().saturating_mul(2)
    }

    /// True if `signature` is this key's signature of `message`. A high s is valid JWS.
    pub(super) fn accepts(&self, signature: &[u8], message: &[u8]) -> bool {
        self.check(signature, &(self.curve.hash.digest)(&[message])).unwrap_or(false)
    }

    fn check(&self, signature: &[u8], digest: &[u8]) -> Option<bool> {
        let order = &self.curve.order;
        let (r, s) = signature.split_at_checked(self.curve.size_bytes())?;
        let positive =
            |bytes| order.read(bytes).filter(|number| number.iter().any(|limb| *limb != 0));
        let (r, s) = (positive(r)?, positive(s)?);
        // No hash here has more bits than the order, so all of them count.
        let e = order.read_reduced(digest)?;
        // In Montgomery's form; what it is multiplied by leaves that form.
        let inverse = order.invert(&order.enter(&s));
        let (u1, u2) = (order.product(&e, &inverse), order.product(&r, &inverse));
        let multiples = self.multiples.get_or_init(|| self.curve.multiples(&self.point));
        Some(self.curve.has_x(&self.curve.sum(&u1, &u2, multiples), &r))
    }
}

#[cfg(test)]
mod tests;
