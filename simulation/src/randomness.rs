//! The operating system's random numbers, replaced by numbers that follow from the seed.
//!
//! Everything random in the process comes through here: keys, marks, the order of hash maps, and the order in
//! which tokio wakes tasks that wait for the same thing. So the same seed gives the same run, without a switch
//! in any product code. It is part of this program only.

#![expect(unsafe_code, reason = "takes the place of a function of the C library")]

use std::sync::atomic::{AtomicU64, Ordering};

/// From now on the numbers follow from `seed`.
pub(crate) fn begin(seed: u64) {
    STATE.store(seed, Ordering::Relaxed);
}

/// The function of this name in the C library, which the standard library and `getrandom` call.
///
/// # Safety
///
/// `buffer` has `length` bytes that may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller promises it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for piece in bytes.chunks_mut(8) {
        let next = next().to_le_bytes();
        piece.copy_from_slice(&next[..piece.len()]);
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}

/// SplitMix64: it needs neither memory nor a lock, so it works this early in a process.
fn next() -> u64 {
    let mut mixed = STATE.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

static STATE: AtomicU64 = AtomicU64::new(0);
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
