//! A sorted set of 64-bit numbers, Elias-Fano coded and read in place.
//!
//! `FORMAT.md` describes the layout: the low bits of each number packed, the high bits as a bitmap
//! with one zero per bucket and one one per number. 46 bits a number for a million numbers.

use std::ops::Range;

use crate::bits::{bitmap_bytes, low_six, mask, narrow, packed, packed_bytes, wide, word};

/// The place of one set in a snapshot's body, with an index over its buckets made on loading.
#[derive(Debug, Clone)]
pub(crate) struct SortedSet {
    count: usize,
    low: Range<usize>,
    high: Range<usize>,
    /// The bit at which every [`SAMPLE`]-th bucket begins.
    samples: Vec<u32>,
}

impl SortedSet {
    /// Reads a set of `count` numbers from the front of `bytes[at..]`; returns where it ends.
    ///
    /// Nothing is allocated before the bytes for `count` numbers are known to be there. The bitmap
    /// is walked once: it must hold exactly `count` numbers, none of them beyond the last bucket.
    pub(crate) fn read(bytes: &[u8], at: usize, count: usize) -> Option<(Self, usize)> {
        let low_end = at.checked_add(packed_bytes(count, low_width(count))?)?;
        let high_end = low_end.checked_add(bitmap_bytes(bitmap_bits(count)?)?)?;
        let mut set = Self { count, low: at..low_end, high: low_end..high_end, samples: vec![] };
        set.samples = set.index(bytes.get(low_end..high_end)?)?;
        Some((set, high_end))
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many bytes of the snapshot it takes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.low.len().saturating_add(self.high.len())
    }

    /// The rank of `number`, if the set holds it.
    pub(crate) fn rank(&self, bytes: &[u8], number: u64) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        let width = low_width(self.count);
        let bucket = number >> width;
        let wanted = number & mask(width);
        let (low, high) = (bytes.get(self.low.clone())?, bytes.get(self.high.clone())?);
        let mut bit = self.bucket_start(high, bucket)?;
        let mut rank = narrow(bit.checked_sub(bucket)?);
        while bit_at(high, bit) {
            if packed(low, rank, width) == wanted {
                return Some(rank);
            }
            bit = bit.saturating_add(1);
            rank = rank.saturating_add(1);
        }
        None
    }

    /// All numbers, ascending.
    pub(crate) fn iter<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
        let width = low_width(self.count);
        let low = bytes.get(self.low.clone()).unwrap_or_default();
        let high = bytes.get(self.high.clone()).unwrap_or_default();
        let words = (0..high.len() / 8).flat_map(move |index| ones(word(high, index), index));
        words.zip(0..self.count).map(move |(bit, rank)| {
            let bucket = bit.saturating_sub(wide(rank));
            (bucket.checked_shl(width).unwrap_or(0)) | packed(low, rank, width)
        })
    }

    /// Walks the bitmap: checks the number of ones and remembers where buckets begin. It runs once for each
    /// load, usually before the runtime has optimized it, so a word costs few steps.
    fn index(&self, high: &[u8]) -> Option<Vec<u32>> {
        let bits = bitmap_bits(self.count)?;
        let mut samples = vec![0];
        samples.reserve(high.len() / 64);
        let (mut zeros, mut ones, mut start): (u64, u64, u64) = (0, 0, 0);
        for bytes in high.chunks_exact(8) {
            let content = u64::from_le_bytes(bytes.try_into().ok()?);
            let here = u64::from(content.count_ones());
            ones = ones.wrapping_add(here);
            // A word has at most as many zeros as there are from one sample to the next.
            let before = zeros % SAMPLE;
            zeros = zeros.wrapping_add(64).wrapping_sub(here);
            if before.wrapping_add(64) >= SAMPLE.wrapping_add(here) {
                let bit = nth_one(!content, SAMPLE.wrapping_sub(before).wrapping_sub(1));
                samples.push(u32::try_from(start.wrapping_add(bit).wrapping_add(1)).ok()?);
            }
            start = start.wrapping_add(64);
        }
        // Behind the last bucket there are only zeros, up to the end of the word.
        let beyond = word(high, narrow(bits / 64)) & !mask(low_six(bits));
        let closed = beyond == 0 && !bit_at(high, bits.saturating_sub(1));
        (closed && ones == wide(self.count)).then_some(samples)
    }

    /// The bit at which `bucket` begins: just after the zero that ends the bucket before it.
    fn bucket_start(&self, high: &[u8], bucket: u64) -> Option<u64> {
        let sample = self.samples.get(narrow(bucket / SAMPLE))?;
        let mut start = u64::from(*sample);
        let mut left = bucket % SAMPLE;
        if left == 0 {
            return Some(start);
        }
        let mut index = narrow(start / 64);
        let mut gaps = !word(high, index) & !mask(low_six(start));
        loop {
            let here = u64::from(gaps.count_ones());
            if left <= here {
                break;
            }
            left = left.saturating_sub(here);
            index = index.checked_add(1).filter(|next| *next < high.len() / 8)?;
            gaps = !word(high, index);
        }
        let bit = nth_one(gaps, left.saturating_sub(1));
        start = wide(index).saturating_mul(64).saturating_add(bit);
        Some(start.saturating_add(1))
    }
}

/// How many low bits of each number are packed: 64 less the bits it takes to write `count`.
pub(crate) fn low_width(count: usize) -> u32 {
    wide(count).leading_zeros().min(63)
}

/// One bit per number and one per bucket.
fn bitmap_bits(count: usize) -> Option<u64> {
    if count == 0 {
        return Some(0);
    }
    let buckets = 1u64.checked_shl(64u32.saturating_sub(low_width(count)))?;
    wide(count).checked_add(buckets)
}

fn bit_at(bytes: &[u8], bit: u64) -> bool {
    word(bytes, narrow(bit / 64)) >> low_six(bit) & 1 == 1
}

/// The positions of the ones in the `index`-th word of a bitmap.
fn ones(mut content: u64, index: usize) -> impl Iterator<Item = u64> {
    let start = wide(index).saturating_mul(64);
    std::iter::from_fn(move || {
        if content == 0 {
            return None;
        }
        let bit = start.saturating_add(u64::from(content.trailing_zeros()));
        content &= content.wrapping_sub(1);
        Some(bit)
    })
}

/// Where the `nth` one of `content` is, counted from zero; 63 if there are fewer.
fn nth_one(mut content: u64, mut nth: u64) -> u64 {
    let mut bit: u64 = 0;
    for half in [32, 16, 8, 4, 2, 1] {
        let below = u64::from((content & mask(half)).count_ones());
        if nth >= below {
            nth = nth.saturating_sub(below);
            content >>= half;
            bit = bit.saturating_add(u64::from(half));
        }
    }
    bit
}

/// Writes the set of `numbers`, which must ascend strictly; the counterpart of [`SortedSet::read`].
pub(crate) fn write(numbers: &[u64], out: &mut Vec<u8>) {
    let width = low_width(numbers.len());
    crate::bits::pack(numbers.iter().copied(), width, out);
    let start = out.len();
    let size = bitmap_bits(numbers.len()).and_then(bitmap_bytes).unwrap_or(0);
    out.resize(start.saturating_add(size), 0);
    let Some(high) = out.get_mut(start..) else { return };
    for (rank, number) in numbers.iter().enumerate() {
        let bit = (number >> width).saturating_add(wide(rank));
        if let Some(byte) = high.get_mut(narrow(bit / 8)) {
            *byte |= 1u8.checked_shl(low_six(bit) & 7).unwrap_or(0);
        }
    }
}

/// One sample for this many buckets: a look-up walks about twice as many bits.
const SAMPLE: u64 = 64;
