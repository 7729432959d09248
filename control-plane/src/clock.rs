//! The one place that reads the clock; rules take the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in unix seconds; 0 for a clock set before 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
