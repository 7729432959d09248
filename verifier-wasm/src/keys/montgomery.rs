//! Arithmetic modulo an odd number, in Montgomery's form, for RSA and ECDSA.
//!
//! Only public numbers are used here: both the results and the time depend on them.
//!
//! A number is kept in limbs of fewer than 32 bits, lowest first. A product of two limbs has then so
//! few bits that all of a column are summed in 64 bits, and a carry is passed on once for each limb
//! of a factor instead of once for each product. A number has as many limbs as n, or more that are 0.

/// An odd modulus n of at most [`MAX_BITS`] bits. R is 2 to the bits of all limbs, more than 2n.
#[derive(Clone)]
pub(super) struct Modulus {
    n: Vec<u32>,
    bits: usize,
    /// How many bits a limb has.
    width: u32,
    /// -1/n modulo 2^32.
    inverse: u32,
    /// R modulo n: 1 in Montgomery's form.
    one: Vec<u32>,
    /// R^2 modulo n: multiplying by it enters Montgomery's form.
    square: Vec<u32>,
}

impl Modulus {
    /// Reads an odd number, big-endian. None for one that is even or has more than [`MAX_BITS`] bits.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(bytes.iter().position(|byte| *byte != 0)?..)?;
        if bytes.len() > MAX_BITS / 8 {
            return None;
        }
        let mut bits = bits(bytes);
        bits.truncate(bits.iter().rposition(|bit| *bit)?.checked_add(1)?);
        if bits.first() == Some(&false) {
            return None;
        }
        let width = if bits.len() <= FEW_BITS { 29 } else { 27 };
        // At least one bit of R is more than n has.
        bits.push(false);
        let n = limbs(&bits, width);
        let inverse = negated_inverse(*n.first()?);
        let bits = bits.len().saturating_sub(1);
        let mut modulus = Self { n, bits, width, inverse, one: vec![], square: vec![] };
        modulus.enter_form();
        Some(modulus)
    }

    /// How many bits n has.
    pub(super) fn bits(&self) -> usize {
        self.bits
    }

    /// How many bytes n has, and every number that is written in its length.
    pub(super) fn size_bytes(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// 1 in Montgomery's form.
    pub(super) fn one(&self) -> &[u32] {
        &self.one
    }

    /// Reads a number below n that is written in the length of n, big-endian.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Vec<u32>> {
        let number = self.fitting(bytes).filter(|_| bytes.len() == self.size_bytes())?;
        self.contains(&number).then_some(number)
    }

    /// Reads a number that has no more bits than n, modulo n.
    pub(super) fn read_reduced(&self, bytes: &[u8]) -> Option<Vec<u32>> {
        let mut number = self.fitting(bytes)?;
        self.reduce(&mut number);
        Some(number)
    }

    /// Reads a number below R.
    fn fitting(&self, bytes: &[u8]) -> Option<Vec<u32>> {
        let mut number = limbs(&bits(bytes), self.width);
        let is_fitting = number.iter().skip(self.n.len()).all(|limb| *limb == 0);
        number.resize(self.n.len(), 0);
        is_fitting.then_some(number)
    }

    /// The number in the length of n, big-endian.
    pub(super) fn write(&self, number: &[u32]) -> Vec<u8> {
        let bytes = limbs(&self.digits(number), 8);
        let bytes = bytes.iter().take(self.size_bytes()).rev();
        bytes.map(|byte| u8::try_from(*byte).unwrap_or(0)).collect()
    }

    /// The number's bits, lowest first.
    pub(super) fn digits(&self, number: &[u32]) -> Vec<bool> {
        digits(number, self.width)
    }

    /// Into Montgomery's form.
    pub(super) fn enter(&self, number: &[u32]) -> Vec<u32> {
        self.product(number, &self.square)
    }

    /// Out of Montgomery's form.
    pub(super) fn leave(&self, number: &[u32]) -> Vec<u32> {
        let mut one = vec![0; self.n.len()];
        if let Some(lowest) = one.first_mut() {
            *lowest = 1;
        }
        self.product(number, &one)
    }

    /// True for a number below n.
    pub(super) fn contains(&self, number: &[u32]) -> bool {
        number.iter().take(self.n.len()).rev().lt(self.n.iter().rev())
    }

    /// [`Modulus::multiply`] into a number of its own.
    pub(super) fn product(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let mut product = vec![0; self.n.len()];
        self.multiply(&mut product, a, b);
        product
    }

    /// Montgomery's product of two numbers below n: a*b/R modulo n.
    ///
    /// For each limb of `a`, b*a and m*n are added, where m is what makes the lowest sum a multiple of
    /// 2^width: its higher bits are passed on, and the next limb begins one higher.
    pub(super) fn multiply(&self, product: &mut [u32], a: &[u32], b: &[u32]) {
        if let Some((product, factors)) = self.nine_limbs(product, [a, b]) {
            return self.multiply_nine(product, factors);
        }
        let (mut few, mut many) = ([0u64; 2 * FEW_LIMBS], vec![]);
        let mut sums = &mut few[..];
        if self.n.len() > FEW_LIMBS {
            many.resize(self.n.len().saturating_mul(2), 0);
            sums = &mut many;
        }
        let [b0, ..] = *b else { return };
        for a in a.iter().take(self.n.len()) {
            let Some(sum) = sums.first() else { return };
            let sum = sum.wrapping_add(times(*a, b0));
            let m = low(sum).wrapping_mul(self.inverse) & self.mask();
            for ((sum, b), n) in sums.iter_mut().zip(b).zip(&self.n) {
                // Each sum gets two such products for each limb of n: see FEW_LIMBS and MAX_BITS.
                *sum = sum.wrapping_add(times(*a, *b)).wrapping_add(times(m, *n));
            }
            let Some((sum, [next, ..])) = sums.split_first_mut() else { return };
            *next = next.wrapping_add(*sum >> self.width);
            let Some((_, above)) = std::mem::take(&mut sums).split_first_mut() else { return };
            sums = above;
        }
        let mut carry = 0;
        for ((limb, sum), _) in product.iter_mut().zip(sums).zip(&self.n) {
            let sum = sum.wrapping_add(carry);
            *limb = low(sum) & self.mask();
            carry = sum >> self.width;
        }
        self.reduce(product);
    }

    /// The product and the factors of a modulus with nine limbs, as those of P-256 are.
    fn nine_limbs<'p, 'f>(
        &self,
        product: &'p mut [u32],
        [a, b]: [&'f [u32]; 2],
    ) -> Option<(&'p mut [u32; 9], [&'f [u32; 9]; 2])> {
        (self.n.len() == 9)
            .then(|| Some((product.first_chunk_mut()?, [a.first_chunk()?, b.first_chunk()?])))?
    }

    /// The same with the sums in variables of their own, which takes half the time.
    fn multiply_nine(&self, product: &mut [u32; 9], [a, b]: [&[u32; 9]; 2]) {
        let Some(n) = self.n.first_chunk::<9>() else { return };
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8] = *b;
        let [n0, n1, n2, n3, n4, n5, n6, n7, n8] = *n;
        let [mut s0, mut s1, mut s2, mut s3, mut s4, mut s5, mut s6, mut s7, mut s8] = [0u64; 9];
        for a in *a {
            let m = low(s0.wrapping_add(times(a, b0))).wrapping_mul(self.inverse) & self.mask();
            let add = |sum: u64, b, n| sum.wrapping_add(times(a, b)).wrapping_add(times(m, n));
            let carry = add(s0, b0, n0) >> self.width;
            s0 = add(s1, b1, n1).wrapping_add(carry);
            (s1, s2, s3) = (add(s2, b2, n2), add(s3, b3, n3), add(s4, b4, n4));
            (s4, s5, s6) = (add(s5, b5, n5), add(s6, b6, n6), add(s7, b7, n7));
            (s7, s8) = (add(s8, b8, n8), 0);
        }
        let mut carry = 0;
        for (limb, sum) in product.iter_mut().zip([s0, s1, s2, s3, s4, s5, s6, s7, s8]) {
            let sum = sum.wrapping_add(carry);
            *limb = low(sum) & self.mask();
            carry = sum >> self.width;
        }
        self.reduce(product);
    }

    /// a + b modulo n.
    pub(super) fn add(&self, sum: &mut [u32], a: &[u32], b: &[u32]) {
        self.add_up(sum, a, b);
        self.reduce(sum);
    }

    /// A number below n, plus n.
    pub(super) fn raise(&self, number: &[u32]) -> Vec<u32> {
        let mut sum = vec![0; self.n.len()];
        self.add_up(&mut sum, number, &self.n);
        sum
    }

    /// a - b modulo n.
    pub(super) fn subtract(&self, difference: &mut [u32], a: &[u32], b: &[u32]) {
        let mut borrow = 0;
        for (((difference, a), b), _) in difference.iter_mut().zip(a).zip(b).zip(&self.n) {
            let limb = a.wrapping_sub(*b).wrapping_sub(borrow);
            *difference = limb & self.mask();
            borrow = limb >> 31;
        }
        if borrow == 1 {
            let mut carry = 0;
            for (limb, n) in difference.iter_mut().zip(&self.n) {
                let sum = limb.wrapping_add(*n).wrapping_add(carry);
                *limb = sum & self.mask();
                carry = sum >> self.width;
            }
        }
    }

    /// The base to the power of a number that is given by its bits, lowest first, all of it in
    /// Montgomery's form.
    pub(super) fn power(&self, base: &[u32], exponent: &[bool]) -> Vec<u32> {
        let mut bits = exponent.iter().rev().skip_while(|bit| !**bit);
        let mut power = if bits.next().is_some() { base.to_vec() } else { self.one.clone() };
        for bit in bits {
            power = self.product(&power, &power);
            if *bit {
                power = self.product(&power, base);
            }
        }
        power
    }

    /// 1/a modulo n in Montgomery's form, for a prime n: a^(n-2). 0 for 0.
    pub(super) fn invert(&self, a: &[u32]) -> Vec<u32> {
        let mut two = vec![0; self.n.len()];
        if let Some(lowest) = two.first_mut() {
            *lowest = 2;
        }
        let mut exponent = two.clone();
        self.subtract(&mut exponent, &self.n, &two);
        self.power(a, &self.digits(&exponent))
    }

    /// a + b, below R.
    fn add_up(&self, sum: &mut [u32], a: &[u32], b: &[u32]) {
        let mut carry = 0;
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b).take(self.n.len()) {
            let limb = a.wrapping_add(*b).wrapping_add(carry);
            *sum = limb & self.mask();
            carry = limb >> self.width;
        }
    }

    /// Brings a number below 2n below n.
    fn reduce(&self, number: &mut [u32]) {
        if self.contains(number) {
            return;
        }
        let mut borrow = 0;
        for (limb, n) in number.iter_mut().zip(&self.n) {
            let difference = limb.wrapping_sub(*n).wrapping_sub(borrow);
            *limb = difference & self.mask();
            borrow = difference >> 31;
        }
    }

    /// Computes R and its square.
    fn enter_form(&mut self) {
        let (mut power, r_bits) = (self.n.clone(), self.r_bits());
        // The highest power of two below n, doubled until it is R.
        let highest = self.bits.saturating_sub(1);
        let mut bits = vec![false; highest];
        bits.push(true);
        bits.resize(r_bits, false);
        let mut half = limbs(&bits, self.width);
        for _ in highest..r_bits {
            self.add(&mut power, &half, &half);
            std::mem::swap(&mut power, &mut half);
        }
        self.one = half;
        // 2 to the bits of R, in Montgomery's form.
        self.add(&mut power, &self.one, &self.one);
        self.square = self.power(&power, &digits(&[u32::try_from(r_bits).unwrap_or(0)], 32));
    }

    fn r_bits(&self) -> usize {
        self.n.len().saturating_mul(usize::try_from(self.width).unwrap_or(0))
    }

    fn mask(&self) -> u32 {
        1u32.wrapping_shl(self.width).wrapping_sub(1)
    }
}

/// Big-endian bytes as bits, lowest first.
pub(super) fn bits(bytes: &[u8]) -> Vec<bool> {
    let limbs: Vec<u32> = bytes.iter().rev().map(|byte| u32::from(*byte)).collect();
    digits(&limbs, 8)
}

/// The bits of limbs, lowest first.
fn digits(limbs: &[u32], width: u32) -> Vec<bool> {
    let mut digits = vec![];
    for limb in limbs {
        for at in 0..width {
            digits.push(limb >> at & 1 == 1);
        }
    }
    digits
}

/// Bits, lowest first, in limbs.
fn limbs(bits: &[bool], width: u32) -> Vec<u32> {
    let limb = |bits: &[bool]| bits.iter().rev().fold(0, |limb, bit| limb << 1 | u32::from(*bit));
    bits.chunks(usize::try_from(width).unwrap_or(usize::MAX)).map(limb).collect()
}

fn times(a: u32, b: u32) -> u64 {
    u64::from(a).wrapping_mul(u64::from(b))
}

#[expect(clippy::as_conversions, reason = "the lower half")]
fn low(sum: u64) -> u32 {
    sum as u32
}

/// -1/n modulo 2^32 for an odd n: each of Newton's steps doubles the bits that are right, and n is
/// its own inverse modulo 8.
fn negated_inverse(n: u32) -> u32 {
    let step = |inverse: u32| inverse.wrapping_mul(2u32.wrapping_sub(n.wrapping_mul(inverse)));
    (0..4).fold(n, |inverse, _| step(inverse)).wrapping_neg()
}

/// With 29 bits per limb, 18 limbs are the most for which the sums fit: 2 * 18 * 2^58 and a carry.
pub(super) const FEW_LIMBS: usize = 18;
const FEW_BITS: usize = 521;
/// With 27 bits per limb there are 304, and the sums have 2 * 304 * 2^54 and a carry. Above that,
/// one RSA check would take milliseconds.
pub(super) const MAX_BITS: usize = 8192;
