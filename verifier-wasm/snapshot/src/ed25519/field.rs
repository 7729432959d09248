//! Numbers modulo p = 2^255 - 19, for points of the curve of Ed25519.
//!
//! Only public numbers are used here: both the results and the time depend on them.
//!
//! A number is the sum of its limbs, the n-th times 2 to the power of 25.5 n, rounded up. Limbs have
//! signs: a difference needs no carry. A limb of a product is at most 1.01 times 2^25 (with an even n)
//! or 2^24 (odd) from zero, and a factor may have limbs of up to 1.65 times twice that: the sum or the
//! difference of two products is one, and so is that of twice a product and a product. Then a product
//! of limbs times 19 is below 2^63 by so much that ten of them can be added (Bernstein and others,
//! "High-speed high-security signatures", and the bounds in its implementation ref10).

use std::num::Wrapping;
use std::ops::{Add, Mul, Neg, Sub};

#[derive(Debug, Clone, Copy)]
pub(super) struct Element([i32; 10]);

impl Element {
    pub(super) const ZERO: Self = Self::of(0);
    pub(super) const ONE: Self = Self::of(1);

    /// A number below 2^25.
    pub(super) const fn of(small: i32) -> Self {
        Self([small, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Reads 255 bits, little-endian; the highest bit of the last byte is not one of them.
    pub(super) fn read(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; 10];
        let (mut held, mut bits) = (0_i64, 0);
        let mut bytes = bytes.iter();
        for (limb, width) in limbs.iter_mut().zip(WIDTHS) {
            while bits < width {
                held |= i64::from(*bytes.next().unwrap_or(&0)) << bits;
                bits += 8;
            }
            *limb = held & ((1 << width) - 1);
            held >>= width;
            bits -= width;
        }
        Self::carried(limbs.map(Wrapping))
    }

    /// The one number from 0 to p - 1 that this is, little-endian.
    #[inline(never)]
    pub(super) fn write(&self) -> [u8; 32] {
        let reduced = self.reduced();
        let mut limbs = reduced.0.map(i64::from);
        // How often p has to be added or subtracted: what a carry through all limbs leaves over.
        let [.., highest] = limbs;
        let mut over = (19 * highest + (1 << 24)) >> 25;
        for (limb, width) in limbs.iter().zip(WIDTHS) {
            over = (limb + over) >> width;
        }
        let mut carry = 19 * over;
        for (limb, width) in limbs.iter_mut().zip(WIDTHS) {
            *limb += carry;
            carry = *limb >> width;
            *limb &= (1 << width) - 1;
        }
        let mut bytes = [0; 32];
        let (mut held, mut bits) = (0_i64, 0);
        let mut limbs = limbs.iter().zip(WIDTHS);
        for byte in &mut bytes {
            if bits < 8
                && let Some((limb, width)) = limbs.next()
            {
                held |= limb << bits;
                bits += width;
            }
            *byte = u8::try_from(held & 0xff).unwrap_or(0);
            held >>= 8;
            bits -= 8;
        }
        bytes
    }

    pub(super) fn is_odd(&self) -> bool {
        let [lowest, ..] = self.write();
        lowest & 1 == 1
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        self.write() == other.write()
    }

    /// 1 / self, and 0 for 0: self to the power of p - 2.
    pub(super) fn invert(&self) -> Self {
        let (ones, eleventh) = self.ones();
        &ones.squared(5) * &eleventh
    }

    /// self to the power of (p - 5) / 8, of which square roots are made.
    pub(super) fn root(&self) -> Self {
        let (ones, _) = self.ones();
        &ones.squared(2) * self
    }

    /// self to the power of 2^250 - 1, and of 11.
    fn ones(&self) -> (Self, Self) {
        let two = self.square();
        let nine = self * &two.squared(2);
        let eleven = &two * &nine;
        let to_5 = &eleven.square() * &nine;
        let to_10 = &to_5.squared(5) * &to_5;
        let to_20 = &to_10.squared(10) * &to_10;
        let to_40 = &to_20.squared(20) * &to_20;
        let to_50 = &to_40.squared(10) * &to_10;
        let to_100 = &to_50.squared(50) * &to_50;
        let to_200 = &to_100.squared(100) * &to_100;
        (&to_200.squared(50) * &to_50, eleven)
    }

    #[inline(never)]
    fn squared(&self, times: u32) -> Self {
        (0..times).fold(*self, |number, _| number.square())
    }

    #[rustfmt::skip]
    #[inline(never)]
    pub(super) fn square(&self) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9] = self.0.map(wide);
        let (two, four, nineteen) = (Wrapping(2), Wrapping(4), Wrapping(19));
        let (a0_2, a1_2, a2_2, a3_2, a4_2, a5_2, a6_2, a7_2, a8_2, a9_2) = (two * a0, two * a1, two * a2, two * a3, two * a4, two * a5, two * a6, two * a7, two * a8, two * a9);
        let (a1_4, a3_4, a5_4, a7_4) = (four * a1, four * a3, four * a5, four * a7);
        let (a5_19, a6_19, a7_19, a8_19, a9_19) = (nineteen * a5, nineteen * a6, nineteen * a7, nineteen * a8, nineteen * a9);
        Self::carried([
            a0 * a0 + a1_4 * a9_19 + a2_2 * a8_19 + a3_4 * a7_19 + a4_2 * a6_19 + a5_2 * a5_19,
            a0_2 * a1 + a2_2 * a9_19 + a3_2 * a8_19 + a4_2 * a7_19 + a5_2 * a6_19,
            a0_2 * a2 + a1_2 * a1 + a3_4 * a9_19 + a4_2 * a8_19 + a5_4 * a7_19 + a6 * a6_19,
            a0_2 * a3 + a1_2 * a2 + a4_2 * a9_19 + a5_2 * a8_19 + a6_2 * a7_19,
            a0_2 * a4 + a1_4 * a3 + a2 * a2 + a5_4 * a9_19 + a6_2 * a8_19 + a7_2 * a7_19,
            a0_2 * a5 + a1_2 * a4 + a2_2 * a3 + a6_2 * a9_19 + a7_2 * a8_19,
            a0_2 * a6 + a1_4 * a5 + a2_2 * a4 + a3_2 * a3 + a7_4 * a9_19 + a8 * a8_19,
            a0_2 * a7 + a1_2 * a6 + a2_2 * a5 + a3_2 * a4 + a8_2 * a9_19,
            a0_2 * a8 + a1_4 * a7 + a2_2 * a6 + a3_4 * a5 + a4 * a4 + a9_2 * a9_19,
            a0_2 * a9 + a1_2 * a8 + a2_2 * a7 + a3_2 * a6 + a4_2 * a5,
        ])
    }

    /// The same number with the limbs of a product.
    #[inline(never)]
    pub(super) fn reduced(&self) -> Self {
        Self::carried(self.0.map(wide))
    }

    /// Carries from each limb to the next, so that each is as near to zero as it can be.
    #[inline(always)]
    fn carried(limbs: [Wide; 10]) -> Self {
        let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9] = limbs;
        // Two chains at the same time, which the processor overlaps.
        let (h0, h1) = carry::<26>(h0, h1);
        let (h4, h5) = carry::<26>(h4, h5);
        let (h1, h2) = carry::<25>(h1, h2);
        let (h5, h6) = carry::<25>(h5, h6);
        let (h2, h3) = carry::<26>(h2, h3);
        let (h6, h7) = carry::<26>(h6, h7);
        let (h3, h4) = carry::<25>(h3, h4);
        let (h7, h8) = carry::<25>(h7, h8);
        let (h4, h5) = carry::<26>(h4, h5);
        let (h8, h9) = carry::<26>(h8, h9);
        // 2^255 is 19.
        let over = (h9 + Wrapping(1 << 24)) >> 25;
        let (h9, h0) = (h9 - (over << 25), h0 + Wrapping(19) * over);
        let (h0, h1) = carry::<26>(h0, h1);
        Self([h0, h1, h2, h3, h4, h5, h6, h7, h8, h9].map(low))
    }
}

type Wide = Wrapping<i64>;

/// Wrapping, because a check of each sum would take longer than the sum. The bounds above are the proof
/// that nothing wraps.
#[inline(always)]
fn wide(limb: i32) -> Wide {
    Wrapping(i64::from(limb))
}

#[inline(always)]
fn carry<const WIDTH: usize>(limb: Wide, next: Wide) -> (Wide, Wide) {
    let over = (limb + Wrapping(1 << (WIDTH - 1))) >> WIDTH;
    (limb - (over << WIDTH), next + over)
}

#[inline(always)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a carried limb has at most 27 bits"
)]
fn low(limb: Wide) -> i32 {
    limb.0 as i32
}

impl Mul for &Element {
    type Output = Element;

    // Each copy of it would be half a kilobyte of the wasm file.
    #[rustfmt::skip]
    #[inline(never)]
    fn mul(self, other: Self) -> Element {
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9] = self.0.map(wide);
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9] = other.0.map(wide);
        let (two, nineteen) = (Wrapping(2), Wrapping(19));
        let (a1_2, a3_2, a5_2, a7_2, a9_2) = (two * a1, two * a3, two * a5, two * a7, two * a9);
        let (b1_19, b2_19, b3_19, b4_19, b5_19) = (nineteen * b1, nineteen * b2, nineteen * b3, nineteen * b4, nineteen * b5);
        let (b6_19, b7_19, b8_19, b9_19) = (nineteen * b6, nineteen * b7, nineteen * b8, nineteen * b9);
        Element::carried([
            a0 * b0 + a1_2 * b9_19 + a2 * b8_19 + a3_2 * b7_19 + a4 * b6_19 + a5_2 * b5_19 + a6 * b4_19 + a7_2 * b3_19 + a8 * b2_19 + a9_2 * b1_19,
            a0 * b1 + a1 * b0 + a2 * b9_19 + a3 * b8_19 + a4 * b7_19 + a5 * b6_19 + a6 * b5_19 + a7 * b4_19 + a8 * b3_19 + a9 * b2_19,
            a0 * b2 + a1_2 * b1 + a2 * b0 + a3_2 * b9_19 + a4 * b8_19 + a5_2 * b7_19 + a6 * b6_19 + a7_2 * b5_19 + a8 * b4_19 + a9_2 * b3_19,
            a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + a4 * b9_19 + a5 * b8_19 + a6 * b7_19 + a7 * b6_19 + a8 * b5_19 + a9 * b4_19,
            a0 * b4 + a1_2 * b3 + a2 * b2 + a3_2 * b1 + a4 * b0 + a5_2 * b9_19 + a6 * b8_19 + a7_2 * b7_19 + a8 * b6_19 + a9_2 * b5_19,
            a0 * b5 + a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1 + a5 * b0 + a6 * b9_19 + a7 * b8_19 + a8 * b7_19 + a9 * b6_19,
            a0 * b6 + a1_2 * b5 + a2 * b4 + a3_2 * b3 + a4 * b2 + a5_2 * b1 + a6 * b0 + a7_2 * b9_19 + a8 * b8_19 + a9_2 * b7_19,
            a0 * b7 + a1 * b6 + a2 * b5 + a3 * b4 + a4 * b3 + a5 * b2 + a6 * b1 + a7 * b0 + a8 * b9_19 + a9 * b8_19,
            a0 * b8 + a1_2 * b7 + a2 * b6 + a3_2 * b5 + a4 * b4 + a5_2 * b3 + a6 * b2 + a7_2 * b1 + a8 * b0 + a9_2 * b9_19,
            a0 * b9 + a1 * b8 + a2 * b7 + a3 * b6 + a4 * b5 + a5 * b4 + a6 * b3 + a7 * b2 + a8 * b1 + a9 * b0,
        ])
    }
}

impl Add for &Element {
    type Output = Element;

    #[inline(always)]
    fn add(self, other: Self) -> Element {
        let mut sum = *self;
        for (to, from) in sum.0.iter_mut().zip(other.0) {
            *to = to.wrapping_add(from);
        }
        sum
    }
}

impl Sub for &Element {
    type Output = Element;

    #[inline(always)]
    fn sub(self, other: Self) -> Element {
        let mut difference = *self;
        for (to, from) in difference.0.iter_mut().zip(other.0) {
            *to = to.wrapping_sub(from);
        }
        difference
    }
}

impl Neg for &Element {
    type Output = Element;

    #[inline(always)]
    fn neg(self) -> Element {
        Element(self.0.map(i32::wrapping_neg))
    }
}

/// How many bits each limb has.
const WIDTHS: [i32; 10] = [26, 25, 26, 25, 26, 25, 26, 25, 26, 25];

#[cfg(test)]
mod tests;
