//! Products, sums and encodings compared with plain long arithmetic.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::super::numbers::Numbers;
use super::*;

/// A number below 2^256, in words of 32 bits, lowest first.
type Plain = [u64; 8];

const P: Plain = [
    0xffff_ffed,
    0xffff_ffff,
    0xffff_ffff,
    0xffff_ffff,
    0xffff_ffff,
    0xffff_ffff,
    0xffff_ffff,
    0x7fff_ffff,
];

fn plain(bytes: &[u8; 32]) -> Plain {
    std::array::from_fn(|at| (0..4).map(|byte| u64::from(bytes[at * 4 + byte]) << (8 * byte)).sum())
}

fn bytes(number: &Plain) -> [u8; 32] {
    std::array::from_fn(|at| (number[at / 4] >> (8 * (at % 4))) as u8)
}

/// Sixteen words modulo p, bit by bit.
fn modulo(words: &[u64; 16]) -> Plain {
    let mut rest: Plain = [0; 8];
    for bit in (0..512).rev() {
        let mut carry = words[bit / 32] >> (bit % 32) & 1;
        for word in &mut rest {
            carry |= *word << 1;
            *word = carry & 0xffff_ffff;
            carry >>= 32;
        }
        let is_less = rest.iter().rev().lt(P.iter().rev());
        if !is_less {
            let mut borrow = 0;
            for (word, of_p) in rest.iter_mut().zip(P) {
                let difference = *word as i64 - of_p as i64 + borrow;
                borrow = difference >> 32;
                *word = (difference & 0xffff_ffff) as u64;
            }
        }
    }
    rest
}

fn wide(number: &Plain) -> [u64; 16] {
    std::array::from_fn(|at| *number.get(at).unwrap_or(&0))
}

fn product(one: &Plain, other: &Plain) -> Plain {
    let mut words = [0; 16];
    for (at, left) in one.iter().enumerate() {
        let mut carry = 0;
        for (to, right) in other.iter().enumerate() {
            carry += words[at + to] + left * right;
            words[at + to] = carry & 0xffff_ffff;
            carry >>= 32;
        }
        words[at + 8] = carry;
    }
    modulo(&words)
}

fn sum(one: &Plain, other: &Plain) -> Plain {
    let mut words = wide(one);
    let mut carry = 0;
    for (word, more) in words.iter_mut().zip(wide(other)) {
        carry += *word + more;
        *word = carry & 0xffff_ffff;
        carry >>= 32;
    }
    modulo(&words)
}

/// Any 255 bits; some of them just below and above p, which have a second spelling.
fn encodings() -> Vec<[u8; 32]> {
    let mut numbers = Numbers(1);
    let mut all: Vec<[u8; 32]> = (0..300).map(|_| numbers.bytes()).collect();
    for low in 0..=255 {
        let mut near = bytes(&P);
        near[0] = low;
        all.extend([near, [low; 32]]);
        all.push(std::array::from_fn(|at| if at == 0 { low } else { 0 }));
    }
    for one in &mut all {
        one[31] &= 0x7f;
    }
    all
}

fn reduced(encoding: &[u8; 32]) -> Plain {
    modulo(&wide(&plain(encoding)))
}

#[test]
fn every_encoding_is_read_and_written_as_its_number() {
    for encoding in encodings() {
        let element = Element::read(&encoding);
        assert_eq!(element.write(), bytes(&reduced(&encoding)), "{encoding:?}");
        assert_eq!(element.is_odd(), reduced(&encoding)[0] & 1 == 1);
        // The highest bit belongs to x.
        let mut other = encoding;
        other[31] |= 0x80;
        assert!(Element::read(&other).equals(&element));
    }
}

#[test]
fn products_sums_and_differences_are_those_of_plain_arithmetic() {
    let encodings = encodings();
    for (one, other) in encodings.iter().zip(encodings.iter().cycle().skip(7)) {
        let (a, b) = (Element::read(one), Element::read(other));
        let (plain_a, plain_b) = (reduced(one), reduced(other));
        assert_eq!((&a * &b).write(), bytes(&product(&plain_a, &plain_b)), "{one:?} {other:?}");
        assert_eq!(a.square().write(), bytes(&product(&plain_a, &plain_a)), "{one:?}");
        assert_eq!((&a + &b).write(), bytes(&sum(&plain_a, &plain_b)), "{one:?} {other:?}");
        // a - b + b, and -b + b.
        assert_eq!(sum(&plain(&(&a - &b).write()), &plain_b), plain_a, "{one:?} {other:?}");
        assert_eq!(sum(&plain(&(-&b).write()), &plain_b), [0; 8], "{other:?}");
    }
}

// The largest factors that the formulas for points make, with every pattern of signs: no sum of products
// overflows (the product would be another), and every product has the limbs that sums of it may have.
#[test]
fn factors_with_the_largest_limbs_do_not_overflow() {
    let mut numbers = Numbers(2);
    let limb = |at: usize, sign: u64| {
        let largest =
            (1.65 * f64::from(1_i32 << if at.is_multiple_of(2) { 26 } else { 25 })) as i32;
        if sign & 1 == 1 { -largest } else { largest }
    };
    let check = |signs: u64, others: u64| {
        let a = Element(std::array::from_fn(|at| limb(at, signs >> at)));
        let b = Element(std::array::from_fn(|at| limb(at, others >> at)));
        let expected = product(&plain(&a.write()), &plain(&b.write()));
        for (found, expected) in
            [(&a * &b, expected), (a.square(), product(&plain(&a.write()), &plain(&a.write())))]
        {
            assert_eq!(found.write(), bytes(&expected), "{signs:b} {others:b}");
            for (at, limb) in found.0.iter().enumerate() {
                let bound = 1.01 * f64::from(1_i32 << if at % 2 == 0 { 25 } else { 24 });
                assert!(f64::from(limb.unsigned_abs()) <= bound, "{at}: {limb}");
            }
        }
    };
    for signs in [0, 0x3ff, 0x155, 0x2aa] {
        for others in [0, 0x3ff, 0x155, 0x2aa] {
            check(signs, others);
        }
    }
    for _ in 0..2000 {
        check(numbers.next(), numbers.next());
    }
}

#[test]
fn an_inverse_times_its_number_is_one() {
    for encoding in encodings() {
        let element = Element::read(&encoding);
        let expected = if reduced(&encoding) == [0; 8] { Element::ZERO } else { Element::ONE };
        assert!((&element.invert() * &element).equals(&expected), "{encoding:?}");
    }
}
