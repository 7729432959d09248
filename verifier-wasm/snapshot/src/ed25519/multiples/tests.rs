//! Our points and sums compared with those of curve25519-dalek, which shares no code with us.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};

use super::super::numbers::Numbers;
use super::super::with_dalek;
use super::*;

/// Scalars at the ends of their range, with digits of one kind, and others.
fn scalars(numbers: &mut Numbers) -> Vec<Scalar> {
    let power = |bits: usize| {
        let mut bytes = [0; 32];
        if let Some(byte) = bytes.get_mut(bits / 8) {
            *byte = 1 << (bits % 8);
        }
        Scalar::from_bytes_mod_order(bytes)
    };
    let mut scalars = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(2_u8)];
    for bits in 0..253 {
        // Where a digit is as large as it can be, and a carry goes through several digits.
        scalars.extend([power(bits), power(bits) - Scalar::ONE, -power(bits)]);
    }
    scalars.extend((0..100).map(|_| Scalar::from_bytes_mod_order(numbers.bytes())));
    scalars
}

fn ours(point: &EdwardsPoint) -> Point {
    Point::decode(point.compress().as_bytes()).unwrap()
}

#[test]
fn a_sum_of_multiples_is_that_of_dalek() {
    let mut numbers = Numbers(1);
    let base = ours(&ED25519_BASEPOINT_POINT);
    let bases = [Multiples::few(base), Multiples::many(base)];
    let mut random = || Scalar::from_bytes_mod_order(numbers.bytes());
    let mut points: Vec<EdwardsPoint> =
        [1_u64, 2, 1 << 40].map(|times| ED25519_BASEPOINT_POINT * Scalar::from(times)).into();
    points.extend((0..3).map(|_| ED25519_BASEPOINT_POINT * random()));
    // Keys of mixed order are accepted.
    points.extend(EIGHT_TORSION.map(|small| ED25519_BASEPOINT_POINT * random() + small));
    points.extend(EIGHT_TORSION);
    for (at, point) in points.iter().enumerate() {
        let point = if at % 2 == 0 { *point } else { -point };
        let its = ours(&point);
        let all = [Multiples::few(its), Multiples::many(its)];
        let scalars = scalars(&mut numbers);
        let pairs = scalars.iter().zip(scalars.iter().rev());
        // Each pair for one of the points.
        for (one, other) in pairs.skip(at).step_by(points.len()) {
            let expected = (ED25519_BASEPOINT_POINT * one + point * other).compress().to_bytes();
            for (base, multiples) in bases.iter().zip(&all) {
                let found = base.sum(one.as_bytes(), multiples, other.as_bytes());
                assert_eq!(found, expected, "{point:?} {one:?} {other:?}");
            }
        }
    }
}

// The sum may be the neutral element, or that of equal points or of opposite ones.
#[test]
fn equal_and_opposite_points_are_added_like_others() {
    let base = ours(&ED25519_BASEPOINT_POINT);
    let (few, many) = (Multiples::few(base), Multiples::many(base));
    for times in (0_u64..130).chain([1 << 12, 1 << 20, u64::MAX]) {
        let scalar = Scalar::from(times);
        for other in [scalar, -scalar, scalar + Scalar::ONE, Scalar::ZERO] {
            let expected = (ED25519_BASEPOINT_POINT * (scalar + other)).compress().to_bytes();
            for multiples in [&few, &many] {
                let found = multiples.sum(scalar.as_bytes(), multiples, other.as_bytes());
                assert_eq!(found, expected, "{times} {other:?}");
            }
        }
    }
}

// K05: small order, a y that is not reduced, no point at all: none is a key, as dalek sees it.
#[test]
fn the_same_bytes_are_a_key_as_with_dalek() {
    let mut numbers = Numbers(2);
    let mut all: Vec<[u8; 32]> = EIGHT_TORSION.map(|point| point.compress().to_bytes()).into();
    all.extend((0..2000).map(|_| numbers.bytes()));
    all.extend((0..100).map(|_| {
        (ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(numbers.bytes()))
            .compress()
            .to_bytes()
    }));
    for low in 0..=255 {
        // Near 0, near p and near 2^255.
        for (middle, high) in [(0, 0), (0xff, 0x7f)] {
            let mut bytes = [middle; 32];
            let [first, .., last] = &mut bytes;
            (*first, *last) = (low, high);
            all.push(bytes);
        }
    }
    let (mut keys, mut others) = (0, 0);
    for bytes in all {
        for sign in [0, 0x80] {
            let mut bytes = bytes;
            let [.., last] = &mut bytes;
            *last ^= sign;
            let theirs = CompressedEdwardsY(bytes).decompress();
            let theirs = theirs.filter(|point| point.compress().to_bytes() == bytes);
            let is_key = theirs.is_some_and(|point| !point.is_small_order());
            assert_eq!(negated_key(&bytes).is_some(), is_key, "{bytes:?}");
            assert_eq!(with_dalek::negated_key(&bytes).is_some(), is_key, "{bytes:?}");
            match theirs {
                None => others += 1,
                Some(_) => {
                    assert_eq!(Point::decode(&bytes).unwrap().encode(), bytes);
                    keys += 1;
                }
            }
        }
    }
    assert!(keys > 1000 && others > 1000, "{keys} {others}");
}

#[test]
fn digits_add_up_to_their_number() {
    let mut numbers = Numbers(3);
    let shapes = [4, 7].map(|digit_bits| Shape {
        digit_bits,
        digits: if digit_bits == 4 { 64 } else { 37 },
        every: 1,
    });
    for (scalar, shape) in
        scalars(&mut numbers).iter().flat_map(|one| shapes.map(|shape| (one, shape)))
    {
        let most = shape.multiples() as i32;
        let base = Scalar::from(2 * most as u32);
        let digits = shape.digits_of(scalar.as_bytes());
        assert_eq!(digits.len(), shape.digits);
        let sum = digits.iter().rev().fold(Scalar::ZERO, |sum, digit| {
            assert!(-most < *digit && *digit <= most);
            let size = Scalar::from(digit.unsigned_abs());
            sum * base + if *digit < 0 { -size } else { size }
        });
        assert_eq!(sum, *scalar);
    }
}

// As both are called: with a table and without, for keys of prime and of mixed order.
#[test]
fn the_sum_of_a_check_is_that_of_dalek() {
    let mut numbers = Numbers(4);
    for small in EIGHT_TORSION {
        let key = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(numbers.bytes()) + small;
        let bytes = key.compress().to_bytes();
        let (ours, theirs) =
            (negated_key(&bytes).unwrap(), with_dalek::negated_key(&bytes).unwrap());
        let tables = (table(&ours), with_dalek::table(&theirs));
        for _ in 0..20 {
            let [s, k] = [0, 1].map(|_| Scalar::from_bytes_mod_order(numbers.bytes()));
            let expected = with_dalek::sum(&s, &k, &theirs, None);
            assert_eq!(with_dalek::sum(&s, &k, &theirs, Some(&tables.1)), expected);
            assert_eq!(sum(&s, &k, &ours, None), expected);
            assert_eq!(sum(&s, &k, &ours, Some(&tables.0)), expected);
        }
    }
}
