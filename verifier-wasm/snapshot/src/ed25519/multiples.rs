//! Points of the curve of Ed25519, -x^2 + y^2 = 1 + d x^2 y^2, and a table of a point's multiples.
//!
//! Only public numbers are used here: both the results and the time depend on them. The formulas
//! are those of "Twisted Edwards Curves Revisited" (ePrint 2008/522), which hold for every pair of
//! points: there is no case of equal or opposite ones.

use std::sync::LazyLock;

use curve25519_dalek::scalar::Scalar;

use super::field::Element;
use super::is_small;

/// The opposite of the point that is a public key. None for bytes that are no point in its only
/// spelling, and for a point of small order.
pub(super) fn negated_key(bytes: &[u8; 32]) -> Option<Point> {
    Point::decode(bytes).filter(|_| !is_small(bytes)).map(|key| key.negated())
}

/// What makes the checks with a key fast.
pub(super) fn table(negated: &Point) -> Multiples {
    Multiples::many(*negated)
}

/// The encoding of `[s]B - [k]A`, where B is the base point and A the key.
pub(super) fn sum(s: &Scalar, k: &Scalar, negated: &Point, table: Option<&Multiples>) -> [u8; 32] {
    let (s, k) = (s.as_bytes(), k.as_bytes());
    match table {
        Some(many) => MANY_OF_BASE.sum(s, many, k),
        None => FEW_OF_BASE.sum(s, &Multiples::few(*negated), k),
    }
}

/// Multiples of a point, so many that a check adds one of them for each digit of a number.
#[derive(Debug)]
pub(super) struct Multiples {
    shape: Shape,
    addends: Vec<Addend>,
}

/// Which multiples there are: 1, 2, 3 and so on times the weight of some digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// How many bits a digit has. It may be negative: there are half as many multiples as values.
    digit_bits: usize,
    /// How many digits a number has.
    digits: usize,
    /// The weight of every so manyth digit has multiples; doublings make up for those between.
    every: usize,
}

/// A point in the form in which it is added most cheaply: y + x, y - x, 2 d x y.
#[derive(Debug, Clone, Copy)]
struct Addend {
    sum: Element,
    difference: Element,
    product: Element,
}

/// x = X / Z, y = Y / Z, x y = T / Z.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    x: Element,
    y: Element,
    z: Element,
    t: Element,
}

impl Multiples {
    /// For a few checks: 8 multiples, about 1 KB, which cost less than a tenth of a check.
    fn few(point: Point) -> Self {
        Self::of(point, Shape { digit_bits: 4, digits: 64, every: 64 })
    }

    /// For many checks, each a third as long: 1216 multiples, 143 KB.
    fn many(point: Point) -> Self {
        Self::of(point, Shape { digit_bits: 7, digits: 37, every: 2 })
    }

    fn of(mut point: Point, shape: Shape) -> Self {
        let Shape { digit_bits, digits, every } = shape;
        let mut points = Vec::new();
        for row in 0..digits.div_ceil(every) {
            if row > 0 {
                // It is the last row's last point.
                for _ in digit_bits - 1..digit_bits * every {
                    point = point.doubled();
                }
            }
            let first = point.addend_of_any_z();
            points.push(point);
            for _ in 1..shape.multiples() {
                point = point.plus(&first);
                points.push(point);
            }
        }
        Self { shape, addends: addends(&points) }
    }

    /// The encoding (RFC 8032 section 5.1.2) of one number times the point plus another number times
    /// the `other` point, whose multiples have the same shape. Numbers have 32 bytes, little-endian,
    /// and are below 2^254.
    fn sum(&self, number: &[u8; 32], other: &Self, others: &[u8; 32]) -> [u8; 32] {
        let Shape { digit_bits, every, .. } = self.shape;
        let both = [(self, self.shape.digits_of(number)), (other, other.shape.digits_of(others))];
        let mut sum = Point::NEUTRAL;
        for place in (0..every).rev() {
            if place + 1 < every {
                for _ in 0..digit_bits {
                    sum = sum.doubled();
                }
            }
            for (multiples, digits) in &both {
                let rows = multiples.addends.chunks_exact(multiples.shape.multiples());
                for (row, digit) in rows.zip(digits.iter().skip(place).step_by(every)) {
                    sum = sum.plus_multiple(row, *digit);
                }
            }
        }
        sum.encode()
    }
}

impl Shape {
    fn multiples(self) -> usize {
        1 << (self.digit_bits - 1)
    }

    /// A number's digits, the lowest first. The largest is the number of multiples, the smallest is
    /// one above its opposite.
    fn digits_of(self, number: &[u8; 32]) -> Vec<i32> {
        let base = 1 << self.digit_bits;
        let (mut held, mut bits, mut carry) = (0_i32, 0, 0);
        let mut bytes = number.iter();
        let next = |_| {
            if bits < self.digit_bits {
                held |= i32::from(*bytes.next().unwrap_or(&0)) << bits;
                bits += 8;
            }
            let digit = (held & (base - 1)) + carry;
            held >>= self.digit_bits;
            bits -= self.digit_bits;
            carry = i32::from(digit > base / 2);
            digit - carry * base
        };
        (0..self.digits).map(next).collect()
    }
}

impl Point {
    const NEUTRAL: Self =
        Self { x: Element::ZERO, y: Element::ONE, z: Element::ONE, t: Element::ZERO };

    /// The point with this y, if there is one, with the sign of x in the highest bit (RFC 8032
    /// section 5.1.3). A y of p or more has another spelling, and is not a point here.
    fn decode(bytes: &[u8; 32]) -> Option<Self> {
        let [.., last] = bytes;
        let is_negative = *last >> 7 == 1;
        let y = Element::read(bytes);
        if spelling(&y, is_negative) != *bytes {
            return None;
        }
        let yy = y.square();
        let u = (&yy - &Element::ONE).reduced();
        let v = (&(&yy * &CURVE.d) + &Element::ONE).reduced();
        // A root of u / v is u v^3 (u v^7)^((p - 5) / 8), or that times a root of -1.
        let v3 = &v.square() * &v;
        let v7 = &v3.square() * &v;
        let mut x = &(&u * &v3) * &(&u * &v7).root();
        if !(&x.square() * &v).equals(&u) {
            x = &x * &CURVE.root_of_minus_one;
            if !(&x.square() * &v).equals(&u) {
                return None;
            }
        }
        if x.is_odd() != is_negative {
            x = (-&x).reduced();
        }
        Some(Self { x, y, z: Element::ONE, t: &x * &y })
    }

    fn negated(&self) -> Self {
        Self { x: -&self.x, t: -&self.t, ..*self }
    }

    fn encode(&self) -> [u8; 32] {
        let inverse = self.z.invert();
        spelling(&(&self.y * &inverse), (&self.x * &inverse).is_odd())
    }

    fn plus_multiple(&self, row: &[Addend], digit: i32) -> Self {
        let place = usize::try_from(digit.unsigned_abs()).unwrap_or(0);
        let Some(addend) = place.checked_sub(1).and_then(|place| row.get(place)) else {
            return *self;
        };
        let Addend { sum, difference, product } = addend;
        let (first, second, third) = match digit < 0 {
            true => (difference, sum, &-product),
            false => (sum, difference, product),
        };
        let twice_z = &self.z + &self.z;
        self.plus_parts(first, second, third, &twice_z)
    }

    fn plus(&self, (addend, z): &(Addend, Element)) -> Self {
        let z = &self.z * z;
        self.plus_parts(&addend.sum, &addend.difference, &addend.product, &(&z + &z))
    }

    #[inline(never)]
    fn plus_parts(
        &self,
        sum: &Element,
        difference: &Element,
        product: &Element,
        twice_z: &Element,
    ) -> Self {
        let a = &(&self.y + &self.x) * sum;
        let b = &(&self.y - &self.x) * difference;
        let c = product * &self.t;
        Self::completed(&(&a - &b), &(&a + &b), &(twice_z + &c), &(twice_z - &c))
    }

    fn doubled(&self) -> Self {
        let (xx, yy, zz) = (self.x.square(), self.y.square(), self.z.square());
        let (y, z) = (&yy + &xx, &yy - &xx);
        let x = &(&self.x + &self.y).square() - &y;
        let t = (&(&zz + &zz) - &z).reduced();
        Self::completed(&x, &y, &z, &t)
    }

    /// Of x = X / Z and y = Y / T, which the formulas lead to.
    #[inline(never)]
    fn completed(x: &Element, y: &Element, z: &Element, t: &Element) -> Self {
        Self { x: x * t, y: y * z, z: z * t, t: x * y }
    }

    /// For points whose Z is not 1.
    fn addend_of_any_z(&self) -> (Addend, Element) {
        let (sum, difference) = (&self.y + &self.x, &self.y - &self.x);
        (Addend { sum, difference, product: &self.t * &CURVE.twice_d }, self.z)
    }
}

/// The points with their Z divided out, with one inversion for all of them.
fn addends(points: &[Point]) -> Vec<Addend> {
    let mut product = Element::ONE;
    let before = |point: &Point| {
        let next = &product * &point.z;
        std::mem::replace(&mut product, next)
    };
    let before: Vec<Element> = points.iter().map(before).collect();
    let mut inverse = product.invert();
    let divide = |(point, before): (&Point, &Element)| {
        let divisor = &inverse * before;
        inverse = &inverse * &point.z;
        let (x, y) = (&point.x * &divisor, &point.y * &divisor);
        Addend { sum: &y + &x, difference: &y - &x, product: &(&x * &y) * &CURVE.twice_d }
    };
    let mut addends: Vec<Addend> = points.iter().zip(&before).rev().map(divide).collect();
    addends.reverse();
    addends
}

fn spelling(y: &Element, is_negative: bool) -> [u8; 32] {
    let mut bytes = y.write();
    let [.., last] = &mut bytes;
    *last |= u8::from(is_negative) << 7;
    bytes
}

fn base_point() -> Point {
    Point::decode(&BASE).unwrap_or(Point::NEUTRAL)
}

/// Multiples of the curve's base point; the many are made when the first key gets its table.
static FEW_OF_BASE: LazyLock<Multiples> = LazyLock::new(|| Multiples::few(base_point()));
static MANY_OF_BASE: LazyLock<Multiples> = LazyLock::new(|| Multiples::many(base_point()));

/// y = 4 / 5.
const BASE: [u8; 32] = {
    let mut bytes = [0x66; 32];
    bytes[0] = 0x58;
    bytes
};

struct Constants {
    d: Element,
    twice_d: Element,
    root_of_minus_one: Element,
}

static CURVE: LazyLock<Constants> = LazyLock::new(|| {
    let d = &Element::of(-121_665) * &Element::of(121_666).invert();
    let two = Element::of(2);
    let root_of_minus_one = &two.root().square() * &two;
    Constants { d, twice_d: (&d + &d).reduced(), root_of_minus_one }
});

#[cfg(test)]
mod tests;
