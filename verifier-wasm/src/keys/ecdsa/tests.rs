//! Our verdicts compared with those of the `p256`, `p384` and `p521` crates, which share no code
//! with us.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::*;

/// SplitMix64: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// a + b, or a - b where `b` is negative, big-endian; what does not fit is lost.
fn shifted(bytes: &[u8], by: i16) -> Vec<u8> {
    let mut carry = by;
    let mut sum: Vec<u8> = bytes
        .iter()
        .rev()
        .map(|byte| {
            carry += i16::from(*byte);
            let low = carry.rem_euclid(256);
            carry = carry.div_euclid(256);
            low as u8
        })
        .collect();
    sum.reverse();
    sum
}

macro_rules! curve_tests {
    ($name:ident, $library:ident, $curve:path, $hash_bytes:literal, $order:literal, $prime:literal) => {
        mod $name {
            use ::$library::ecdsa::signature::hazmat::PrehashVerifier;
            use $library::ecdsa::{Signature, VerifyingKey};
            use $library::elliptic_curve::PrimeField;
            use $library::elliptic_curve::ops::Reduce;
            use $library::elliptic_curve::point::{AffineCoordinates, DecompressPoint};
            use $library::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};

            use super::super::super::curve::Curve;
            use super::{Numbers, PublicKey, shifted};

            const SIZE: usize = $order.len() / 2;

            fn hex(text: &str) -> Vec<u8> {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
                text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
            }

            fn ours(x: &[u8], y: &[u8]) -> Option<PublicKey> {
                PublicKey::new($curve().unwrap(), x, y)
            }

            /// The number modulo n.
            fn scalar(bytes: &[u8]) -> Scalar {
                let mut padded = [0; SIZE];
                padded[SIZE - bytes.len()..].copy_from_slice(bytes);
                <Scalar as Reduce<FieldBytes>>::reduce(&padded.into())
            }

            fn x_of(point: &ProjectivePoint) -> Scalar {
                scalar(&point.to_affine().x())
            }

            /// A key in our form and in the crate's.
            struct Key {
                ours: PublicKey,
                theirs: VerifyingKey,
            }

            impl Key {
                /// None at infinity.
                fn new(point: &ProjectivePoint) -> Option<Self> {
                    let affine = point.to_affine();
                    let theirs = VerifyingKey::from_affine(affine).ok()?;
                    Some(Self { ours: ours(&affine.x(), &affine.y()).unwrap(), theirs })
                }

                /// The verdict on which both agree.
                fn verdict(&self, signature: &[u8], digest: &[u8]) -> bool {
                    let theirs = Signature::from_slice(signature)
                        .is_ok_and(|one| self.theirs.verify_prehash(digest, &one).is_ok());
                    let found = self.ours.check(signature, digest).unwrap_or(false);
                    assert_eq!(found, theirs, "{signature:x?} {digest:x?}");
                    found
                }
            }

            /// The key for which (r, s) is the signature of `e` with the point `nonce`, whose x is
            /// r.
            fn key_for(nonce: &ProjectivePoint, r: &Scalar, s: &Scalar, e: &Scalar) -> Option<Key> {
                let inverse: Option<Scalar> = r.invert().into();
                Key::new(&((*nonce * s - ProjectivePoint::GENERATOR * e) * inverse?))
            }

            fn joined(r: &Scalar, s: &Scalar) -> Vec<u8> {
                [r.to_repr().to_vec(), s.to_repr().to_vec()].concat()
            }

            /// Numbers near 0, n, p and powers of two, and random ones, in their full length.
            fn edge(numbers: &mut Numbers) -> Vec<u8> {
                let small = numbers.below(9) as i16;
                let [order, prime] = [$order, $prime].map(hex);
                match numbers.below(8) {
                    0 => shifted(&[0; SIZE], small),
                    1 => shifted(&order, small - 4),
                    2 => shifted(&prime, small - 4),
                    3 => shifted(&scalar(&prime).to_repr(), small - 4),
                    4 => shifted(&(scalar(&[2]).invert().unwrap()).to_repr(), small - 4),
                    5 => {
                        let mut bytes = vec![0; SIZE];
                        let bit = numbers.below(SIZE * 8);
                        bytes[SIZE - 1 - bit / 8] = 1 << (bit % 8);
                        if numbers.below(2) == 0 { bytes } else { shifted(&bytes, -1) }
                    }
                    6 => vec![0xff; SIZE],
                    _ => numbers.bytes(SIZE),
                }
            }

            fn digest(numbers: &mut Numbers) -> Vec<u8> {
                match numbers.below(3) {
                    0 => edge(numbers)[SIZE - $hash_bytes..].to_vec(),
                    _ => numbers.bytes($hash_bytes),
                }
            }

            /// The point 0 to 8, a power of two, its neighbours or a random number times the base
            /// point, or the opposite.
            fn multiple(numbers: &mut Numbers) -> Scalar {
                let small = Scalar::from(numbers.below(9) as u64);
                let power = (0..numbers.below(SIZE * 8)).fold(Scalar::ONE, |one, _| one + one);
                let found = match numbers.below(4) {
                    0 => small,
                    1 => power,
                    2 => power + small - Scalar::from(4u64),
                    _ => scalar(&numbers.bytes(SIZE)),
                };
                if numbers.below(2) == 0 { found } else { -found }
            }

            /// Signs with a multiple of the base point as key and another one as the nonce's point.
            /// In some cases the message's hash is r: then the key G or -G is added in each column
            /// just after G, to the same point or to the opposite one. True if that made a
            /// signature.
            fn signed_by_a_known_key(numbers: &mut Numbers) -> bool {
                let (secret, nonce) = (multiple(numbers), multiple(numbers));
                let r = x_of(&(ProjectivePoint::GENERATOR * nonce));
                let mut above = r.to_repr().to_vec();
                let below = above.split_off(SIZE - $hash_bytes);
                let is_short = above.iter().all(|byte| *byte == 0);
                let e_bytes =
                    if is_short && numbers.below(2) == 0 { below } else { digest(numbers) };
                let (inverse, e): (Option<Scalar>, _) = (nonce.invert().into(), scalar(&e_bytes));
                let Some(key) = Key::new(&(ProjectivePoint::GENERATOR * secret)) else {
                    return false;
                };
                let Some(inverse) = inverse else { return false };
                let s = (e + r * secret) * inverse;
                key.verdict(&joined(&r, &scalar(&edge(numbers))), &e_bytes);
                let is_good = key.verdict(&joined(&r, &s), &e_bytes);
                assert!(is_good || r == Scalar::ZERO || s == Scalar::ZERO);
                is_good
            }

            /// Returns the number of valid signatures, and the number of all.
            fn compare(count: usize, seed: u64) -> (usize, usize) {
                let mut numbers = Numbers(seed);
                let (mut good, mut judged) = (0, 0);
                while judged < count {
                    let e_bytes = digest(&mut numbers);
                    let e = scalar(&e_bytes);
                    let mut s = scalar(&edge(&mut numbers));
                    if numbers.below(4) == 0 {
                        s = multiple(&mut numbers);
                    }
                    let u1 = e * s.invert().unwrap_or(Scalar::ONE);
                    let generator = ProjectivePoint::GENERATOR;
                    // The sum u1*G + u2*Q: any point; twice u1*G, if both terms are equal; a small
                    // multiple of u1*G; or a multiple of G, if Q is one as well.
                    let nonce = match numbers.below(4) {
                        0 => generator * scalar(&numbers.bytes(SIZE)),
                        1 => generator * (u1 + u1),
                        2 => generator * (u1 * multiple(&mut numbers)),
                        _ => generator * multiple(&mut numbers),
                    };
                    let r = x_of(&nonce);
                    let made = key_for(&nonce, &r, &s, &e);
                    // Both terms are opposite: the sum is infinity, which has no x.
                    let opposite = key_for(&ProjectivePoint::IDENTITY, &r, &s, &e);
                    let known = Key::new(&(generator * multiple(&mut numbers)));
                    for (is_ours, key) in [(true, made), (false, opposite), (false, known)] {
                        let Some(key) = key else { continue };
                        let whole = joined(&r, &s);
                        let is_good = key.verdict(&whole, &e_bytes);
                        // In some cases s is 0, and then nothing is a signature.
                        assert!(!is_ours || is_good || s == Scalar::ZERO || r == Scalar::ZERO);
                        let twin = joined(&r, &-s);
                        assert_eq!(key.verdict(&twin, &e_bytes), is_good, "the twin");
                        good += usize::from(is_good) * 2;
                        // Of another message, with a changed bit, with a part at the limit of its
                        // range.
                        let mut flipped = whole.clone();
                        flipped[numbers.below(2 * SIZE)] ^= 1 << numbers.below(8);
                        let borders = [edge(&mut numbers), edge(&mut numbers)];
                        let others = [
                            flipped,
                            [&borders[0][..], &whole[SIZE..]].concat(),
                            [&whole[..SIZE], &borders[1][..]].concat(),
                            borders.concat(),
                        ];
                        for other in &others {
                            good += usize::from(key.verdict(other, &e_bytes));
                        }
                        good += usize::from(key.verdict(&whole, &digest(&mut numbers)));
                        judged += 7;
                    }
                    good += usize::from(signed_by_a_known_key(&mut numbers));
                    judged += 2;
                }
                (good, judged)
            }

            // V15: edge values, equal and opposite terms, and infinity among them.
            #[test]
            fn signatures_are_judged_as_by_the_crate() {
                let (good, judged) = compare(700, 1);
                assert!(good > judged / 12, "only {good} of {judged} are good");
            }

            // V15: the same for longer; run it after a change of the arithmetic.
            #[test]
            #[ignore = "minutes"]
            fn many_signatures_are_judged_as_by_the_crate() {
                for seed in 2..36 {
                    compare(1000, seed);
                }
            }

            // V15: u1 and u2 differ in few bits, so the same multiples of G and of Q = G or -G are added
            // in nearly all columns: equal points, which must be doubled, or opposite ones.
            #[test]
            fn equal_and_opposite_points_are_added_in_every_column() {
                let mut numbers = Numbers(5);
                let generator = ProjectivePoint::GENERATOR;
                for (key, factor) in [(generator, Scalar::ONE), (-generator, -Scalar::ONE)] {
                    let key = Key::new(&key).unwrap();
                    let mut found = 0;
                    while found < 2 {
                        let u2 = scalar(&numbers.bytes(SIZE));
                        let u1 = u2 + Scalar::from(numbers.below(9) as u64 + 1);
                        let r = x_of(&(generator * (u1 + u2 * factor)));
                        let s = r * u2.invert().unwrap();
                        let mut above = (u1 * s).to_repr().to_vec();
                        let e_bytes = above.split_off(SIZE - $hash_bytes);
                        if above.iter().all(|byte| *byte == 0) {
                            assert!(key.verdict(&joined(&r, &s), &e_bytes));
                            assert!(!key.verdict(&joined(&s, &r), &e_bytes));
                            found += 1;
                        }
                    }
                }
            }

            // V15: the terms are opposite, so the sum is infinity, whose x some implementations
            // read as 0: no r equals it.
            #[test]
            fn a_sum_at_infinity_is_refused() {
                let mut numbers = Numbers(3);
                for _ in 0..8 {
                    let e_bytes = numbers.bytes($hash_bytes);
                    let (e, r) = (scalar(&e_bytes), scalar(&numbers.bytes(SIZE)));
                    let s = scalar(&numbers.bytes(SIZE));
                    let key = key_for(&ProjectivePoint::IDENTITY, &r, &s, &e).unwrap();
                    assert!(!key.verdict(&joined(&r, &s), &e_bytes));
                }
            }

            // V15: x of the nonce's point is in n..p, so r is x - n. With x itself as r it is out
            // of range; a key for the point whose x is r accepts the same r.
            #[test]
            fn an_x_above_the_order_is_reduced() {
                let mut numbers = Numbers(4);
                let mut found = 0;
                for above in 1..60 {
                    let x = shifted(&hex($order), above);
                    let field = FieldBytes::try_from(&x[..]).unwrap();
                    let point: Option<AffinePoint> =
                        AffinePoint::decompress(&field, 1.into()).into();
                    let Some(nonce) = point else { continue };
                    let e_bytes = digest(&mut numbers);
                    let (e, s) = (scalar(&e_bytes), scalar(&numbers.bytes(SIZE)));
                    let r = Scalar::from(above as u64);
                    let key = key_for(&nonce.into(), &r, &s, &e).unwrap();
                    assert!(key.verdict(&joined(&r, &s), &e_bytes), "{above}");
                    let whole = [x, s.to_repr().to_vec()].concat();
                    assert!(!key.verdict(&whole, &e_bytes), "{above}");
                    found += 1;
                }
                assert!(found > 10, "{found}");
            }

            // V04: points of small x load; every other encoding of them does not, nor does a value
            // that is no point.
            #[test]
            fn only_points_of_the_curve_in_their_one_spelling_are_keys() {
                let prime = hex($prime);
                let zero = vec![0; SIZE];
                let mut found = 0;
                for small in 0..40 {
                    let x = shifted(&zero, small);
                    let field = FieldBytes::try_from(&x[..]).unwrap();
                    let point: Option<AffinePoint> =
                        AffinePoint::decompress(&field, 0.into()).into();
                    let Some(point) = point else {
                        for y in [&zero, &x, &prime] {
                            assert!(ours(&x, y).is_none(), "{small}");
                        }
                        continue;
                    };
                    found += 1;
                    let y = point.y().to_vec();
                    assert!(ours(&x, &y).is_some(), "{small}");
                    assert!(Key::new(&point.into()).is_some());
                    assert!(ours(&shifted(&prime, small), &y).is_none(), "x + p");
                    assert!(ours(&x, &shifted(&y, 1)).is_none(), "off the curve");
                    assert!(ours(&y, &x).is_none(), "x and y exchanged");
                    for other in [&x[1..], &[&[0], &x[..]].concat(), &[]] {
                        assert!(ours(other, &y).is_none(), "{} bytes", other.len());
                        assert!(ours(&x, other).is_none(), "{} bytes", other.len());
                    }
                }
                assert!(found > 10, "{found}");
                for x in [&zero, &prime, &vec![0xff; SIZE]] {
                    for y in [&zero, &prime, &vec![0xff; SIZE]] {
                        assert!(ours(x, y).is_none());
                    }
                }
            }

            // X05: signatures of every wrong length.
            #[test]
            fn a_signature_of_another_length_is_refused() {
                let key = Key::new(&ProjectivePoint::GENERATOR).unwrap();
                for length in 0..3 * SIZE {
                    let signature = vec![1; length];
                    assert_eq!(key.ours.is_well_formed(&signature), length == 2 * SIZE);
                    assert!(!key.verdict(&signature, &[1; $hash_bytes]), "{length}");
                }
            }
        }
    };
}

curve_tests!(
    p256,
    p256,
    Curve::p256,
    32,
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
);

curve_tests!(
    p384,
    p384,
    Curve::p384,
    48,
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff"
);

curve_tests!(
    p521,
    p521,
    Curve::p521,
    64,
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
     fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
     ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
);
