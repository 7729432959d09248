//! A count in a snapshot allocates nothing before its data is there. The test is alone in its
//! process: the allocator below counts for all threads.

#![expect(unsafe_code, reason = "an allocator that counts")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use offswitch_verifier::snapshot::{OpenError, Snapshot};
use support::body::{FIELDS, Fields, header};
use support::feed::{seal, signer};

// S18: a count is compared with the available bytes before anything is allocated for it.
#[test]
fn a_declared_count_allocates_nothing() {
    let counts = [
        1,
        2,
        63,
        64,
        65,
        1 << 16,
        (1 << 27) - 1,
        1 << 27,
        (1 << 27) + 1,
        (1 << 32) / 16 + 1,
        (1 << 32) / 8 + 1,
        1 << 32,
        (1 << 32) + 1,
        1 << 58,
        (1 << 61) + 1,
        1 << 63,
        u64::MAX / 64,
        u64::MAX - 1,
        u64::MAX,
    ];
    let trusted = signer().feed_keys();
    for count in counts {
        for fields in [
            Fields { denied: count, ..FIELDS },
            Fields { cutoffs: count, ..FIELDS },
            Fields { cutoffs: count, version_width: 64, ..FIELDS },
            Fields { declared_dead_keys: count, ..FIELDS },
            Fields { declared_issuers: count.max(2), ..FIELDS },
        ] {
            let bytes = seal(&header(&fields));
            PEAK.store(0, Ordering::Relaxed);
            let found = Snapshot::open(bytes, &trusted);
            let peak = PEAK.load(Ordering::Relaxed);
            assert!(matches!(found, Err(OpenError::Malformed(_))), "{count}");
            // serde reserves at most 1 MiB for a list with a given length.
            assert!(peak <= 1 << 20, "{count} made an allocation of {peak} bytes");
        }
    }
}

/// Records the largest single allocation.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static PEAK: AtomicUsize = AtomicUsize::new(0);
