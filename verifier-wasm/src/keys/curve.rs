//! The NIST curves P-256, P-384 and P-521 (SP 800-186 section 3.2.1): y^2 = x^3 - 3x + b over a prime
//! field, of prime order.
//!
//! Points are added in Jacobian coordinates (x/z^2, y/z^3), by the formulas of the Explicit-Formulas
//! Database for a = -3: dbl-2001-b and madd. madd fails for equal points, for opposite ones and for
//! infinity; [`Curve::add`] handles these separately.
//!
//! A scalar times a point is computed with a comb (Lim and Lee, CRYPTO '94): the scalar's bits are
//! written in [`ROWS`] rows, and each column of bits chooses one of the point's [`Multiples`].

use std::sync::LazyLock;

use super::hash::Hash;
use super::montgomery::{FEW_LIMBS, Modulus};

/// A number modulo the field's prime, in Montgomery's form.
type Element = [u32; FEW_LIMBS];

/// A curve with its base point.
pub(super) struct Curve {
    /// Modulo the field's prime p.
    field: Modulus,
    /// Modulo the number n of the curve's points, which is below p and as long.
    pub(super) order: Modulus,
    /// 1 in Montgomery's form.
    one: Element,
    /// Of the base point.
    base: Multiples,
    b: Element,
    /// With which JOSE uses it (RFC 7518 section 3.4). It has at most as many bits as the order.
    pub(super) hash: Hash,
}

/// A point other than infinity; its coordinates are in Montgomery's form.
#[derive(Clone)]
pub(super) struct Affine {
    x: Element,
    y: Element,
}

/// A point; at infinity z is 0.
#[derive(Clone)]
pub(super) struct Point {
    x: Element,
    y: Element,
    z: Element,
}

/// For each number of [`ROWS`] bits but 0: the sum of the points 2^(row * columns) P for which the
/// bit is set.
pub(super) type Multiples = Vec<Affine>;

impl Curve {
    /// The curve that JOSE calls P-256.
    pub(super) fn p256() -> Option<&'static Self> {
        P256.as_ref()
    }

    /// The curve that JOSE calls P-384.
    pub(super) fn p384() -> Option<&'static Self> {
        P384.as_ref()
    }

    /// The curve that JOSE calls P-521.
    pub(super) fn p521() -> Option<&'static Self> {
        P521.as_ref()
    }

    fn new(hash: Hash, [p, n, b, x, y]: [&str; 5]) -> Option<Self> {
        let (field, order) = (Modulus::new(&hex(p))?, Modulus::new(&hex(n))?);
        let b = element(&field.enter(&field.read(&hex(b))?));
        let one = element(field.one());
        let mut curve = Self { field, order, one, base: vec![], b, hash };
        curve.base = curve.multiples(&curve.point(&hex(x), &hex(y))?);
        Some(curve)
    }

    /// How long a coordinate is, and each half of a signature.
    pub(super) fn size_bytes(&self) -> usize {
        self.field.size_bytes()
    }

    /// The point with these coordinates, big-endian and in their full length; `None` if it is not
    /// on the curve.
    pub(super) fn point(&self, x: &[u8], y: &[u8]) -> Option<Affine> {
        let f = self;
        let read = |bytes| Some(element(&f.field.enter(&f.field.read(bytes)?)));
        let (x, y) = (read(x)?, read(y)?);
        // x^3 - 3x + b = (x^2 - 3) x + b
        let three = f.plus(&f.plus(&f.one, &f.one), &f.one);
        let right = f.times(&f.minus(&f.times(&x, &x), &three), &x);
        let right = f.plus(&right, &self.b);
        (f.times(&y, &y) == right).then_some(Affine { x, y })
    }

    /// The base point times `u1` plus the point with these multiples times `u2`.
    pub(super) fn sum(&self, u1: &[u32], u2: &[u32], multiples: &Multiples) -> Point {
        let columns = self.columns();
        let digits = [u1, u2].map(|u| self.order.digits(u));
        let terms = [(digits.first(), &self.base), (digits.last(), multiples)];
        let mut sum = self.infinity();
        for column in (0..columns).rev() {
            sum = self.double(&sum);
            for (digits, multiples) in terms {
                let rows = digits.into_iter().flat_map(|digits| digits.chunks(columns)).take(ROWS);
                let bits = rows.map(|row| usize::from(row.get(column) == Some(&true)));
                let choice = bits.zip(0..).fold(0, |choice: usize, (bit, row)| choice | bit << row);
                if let Some(point) = choice.checked_sub(1).and_then(|at| multiples.get(at)) {
                    sum = self.add(&sum, point);
                }
            }
        }
        sum
    }

    /// True if the point is not infinity, and its x modulo n is `r`, which is below n.
    pub(super) fn has_x(&self, point: &Point, r: &[u32]) -> bool {
        if point.z == ZERO {
            return false;
        }
        let f = self;
        let zz = f.times(&point.z, &point.z);
        // x is r or, as p is below 2n, r + n.
        [r, &self.order.raise(r)]
            .into_iter()
            .any(|x| f.field.contains(x) && f.times(&element(&f.field.enter(x)), &zz) == point.x)
    }

    /// What [`Curve::sum`] reads of a point.
    pub(super) fn multiples(&self, point: &Affine) -> Multiples {
        let doubled =
            |point: &Point| (0..self.columns()).fold(point.clone(), |p, _| self.double(&p));
        let rows = std::iter::successors(Some(self.jacobian(point)), |row| Some(doubled(row)));
        let mut multiples: Vec<Point> = vec![];
        for row in self.affine(&rows.take(ROWS).collect::<Vec<_>>()) {
            let more: Vec<_> = multiples.iter().map(|sum| self.add(sum, &row)).collect();
            multiples.push(self.jacobian(&row));
            multiples.extend(more);
        }
        self.affine(&multiples)
    }

    #[inline(never)]
    fn times(&self, a: &Element, b: &Element) -> Element {
        let mut product = ZERO;
        self.field.multiply(&mut product, a, b);
        product
    }

    #[inline(never)]
    fn plus(&self, a: &Element, b: &Element) -> Element {
        let mut sum = ZERO;
        self.field.add(&mut sum, a, b);
        sum
    }

    #[inline(never)]
    fn minus(&self, a: &Element, b: &Element) -> Element {
        let mut difference = ZERO;
        self.field.subtract(&mut difference, a, b);
        difference
    }

    fn columns(&self) -> usize {
        self.order.bits().div_ceil(ROWS)
    }

    fn infinity(&self) -> Point {
        Point { x: self.one, y: self.one, z: ZERO }
    }

    fn jacobian(&self, Affine { x, y }: &Affine) -> Point {
        Point { x: *x, y: *y, z: self.one }
    }

    /// Divides by z, with one inversion for all points, none of which is infinity.
    fn affine(&self, points: &[Point]) -> Vec<Affine> {
        let f = self;
        let mut product = f.one;
        let before: Vec<_> = points
            .iter()
            .map(|point| {
                let next = f.times(&product, &point.z);
                std::mem::replace(&mut product, next)
            })
            .collect();
        let mut inverse = element(&f.field.invert(&product));
        let divide = |(Point { x, y, z }, before): (&Point, &Element)| {
            let divisor = f.times(&inverse, before);
            inverse = f.times(&inverse, z);
            let squared = f.times(&divisor, &divisor);
            let cubed = f.times(&squared, &divisor);
            Affine { x: f.times(x, &squared), y: f.times(y, &cubed) }
        };
        let mut affine: Vec<_> = points.iter().zip(&before).rev().map(divide).collect();
        affine.reverse();
        affine
    }

    /// dbl-2001-b. Twice infinity is infinity, and there is no point of order two.
    fn double(&self, Point { x, y, z }: &Point) -> Point {
        let f = self;
        let delta = f.times(z, z);
        let gamma = f.times(y, y);
        let beta = f.times(x, &gamma);
        let alpha = f.times(&f.minus(x, &delta), &f.plus(x, &delta));
        let alpha = f.plus(&f.plus(&alpha, &alpha), &alpha);
        let twice = |value: &Element| f.plus(value, value);
        let beta4 = twice(&twice(&beta));
        let x3 = f.minus(&f.times(&alpha, &alpha), &twice(&beta4));
        let yz = f.plus(y, z);
        let z3 = f.minus(&f.minus(&f.times(&yz, &yz), &gamma), &delta);
        let gamma2 = twice(&gamma);
        let gamma8 = twice(&f.times(&gamma2, &gamma2));
        let y3 = f.minus(&f.times(&alpha, &f.minus(&beta4, &x3)), &gamma8);
        Point { x: x3, y: y3, z: z3 }
    }

    /// madd, and the cases in which it fails.
    fn add(&self, first: &Point, second: &Affine) -> Point {
        if first.z == ZERO {
            return self.jacobian(second);
        }
        let f = self;
        let Point { x, y, z } = first;
        let zz = f.times(z, z);
        let h = f.minus(&f.times(&second.x, &zz), x);
        let r = f.minus(&f.times(&second.y, &f.times(&zz, z)), y);
        if h == ZERO {
            // The same x: the points are equal or opposite.
            return if r == ZERO { self.double(first) } else { self.infinity() };
        }
        let hh = f.times(&h, &h);
        let hhh = f.times(&hh, &h);
        let v = f.times(x, &hh);
        let x3 = f.minus(&f.minus(&f.times(&r, &r), &hhh), &f.plus(&v, &v));
        let y3 = f.times(&r, &f.minus(&v, &x3));
        let y3 = f.minus(&y3, &f.times(y, &hhh));
        Point { x: x3, y: y3, z: f.times(z, &h) }
    }
}

#[inline(never)]
fn element(limbs: &[u32]) -> Element {
    let mut element = ZERO;
    for (to, from) in element.iter_mut().zip(limbs) {
        *to = *from;
    }
    element
}

#[inline(never)]
fn hex(text: &str) -> Vec<u8> {
    let digit =
        |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| pair.iter().filter_map(digit).fold(0, |byte, digit| byte << 4 | digit);
    text.as_bytes().chunks(2).map(byte).collect()
}

const ZERO: Element = [0; FEW_LIMBS];
/// 63 multiples of a point are kept, 9 KB.
const ROWS: usize = 6;

// p, n, b and the base point of each. A curve is computed when the first key on it is read.

static P256: LazyLock<Option<Curve>> = LazyLock::new(|| {
    let numbers = [
        "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ];
    Curve::new(Hash::SHA256, numbers)
});

static P384: LazyLock<Option<Curve>> = LazyLock::new(|| {
    let numbers = [
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    ];
    Curve::new(Hash::SHA384, numbers)
});

static P521: LazyLock<Option<Curve>> = LazyLock::new(|| {
    let numbers = [
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
         ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
         51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e1\
         56193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
        "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dba\
         a14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
        "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c\
         97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
    ];
    Curve::new(Hash::SHA512, numbers)
});
