//! Words and packed numbers, read in place from little-endian bytes.

/// The `index`-th 64-bit word of `bytes`, zero beyond the end.
pub(crate) fn word(bytes: &[u8], index: usize) -> u64 {
    let start = index.saturating_mul(8);
    bytes
        .get(start..start.saturating_add(8))
        .and_then(|chunk| chunk.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// The `index`-th number of `width` bits (at most 64), packed without gaps from bit 0 upwards.
pub(crate) fn packed(bytes: &[u8], index: usize, width: u32) -> u64 {
    if width == 0 {
        return 0;
    }
    let bit = wide(index).saturating_mul(u64::from(width));
    let first = narrow(bit >> 6);
    let shift = low_six(bit);
    let low = word(bytes, first) >> shift;
    let high = match shift {
        0 => 0,
        _ => word(bytes, first.saturating_add(1)) << 64u32.saturating_sub(shift),
    };
    (low | high) & mask(width)
}

/// How many bytes `count` packed numbers take: whole 64-bit words.
pub(crate) fn packed_bytes(count: usize, width: u32) -> Option<usize> {
    bitmap_bytes(wide(count).checked_mul(u64::from(width))?)
}

/// How many bytes `bits` bits take: whole 64-bit words.
pub(crate) fn bitmap_bytes(bits: u64) -> Option<usize> {
    usize::try_from(bits.div_ceil(64).checked_mul(8)?).ok()
}

/// The lowest `width` bits set.
pub(crate) fn mask(width: u32) -> u64 {
    match width {
        0 => 0,
        1..=63 => u64::MAX >> 64u32.saturating_sub(width),
        _ => u64::MAX,
    }
}

/// A position inside a 64-bit word.
pub(crate) fn low_six(bit: u64) -> u32 {
    u32::try_from(bit & 63).unwrap_or(0)
}

/// `usize` is at most 64 bits wide.
pub(crate) fn wide(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

/// An index that does not fit is beyond every slice, and is read as such.
pub(crate) fn narrow(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// Writes numbers of `width` bits without gaps; the counterpart of [`packed`].
pub(crate) fn pack(numbers: impl ExactSizeIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mut pending: u128 = 0;
    let mut filled: u32 = 0;
    for number in numbers {
        pending |= u128::from(number & mask(width)) << filled;
        filled = filled.saturating_add(width);
        if filled >= 64 {
            out.extend_from_slice(
                &u64::try_from(pending & u128::from(u64::MAX)).unwrap_or(0).to_le_bytes(),
            );
            pending >>= 64;
            filled = filled.saturating_sub(64);
        }
    }
    if filled > 0 {
        out.extend_from_slice(
            &u64::try_from(pending & u128::from(u64::MAX)).unwrap_or(0).to_le_bytes(),
        );
    }
}
