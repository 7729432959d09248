//! The one place that reads clocks; rules take the time as an argument.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What tells the time in unix seconds.
pub(crate) type UnixClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The wall clock, and the monotonic time since the verifier was made.
#[derive(Clone)]
pub(crate) struct Clock {
    wall: UnixClock,
    began: Instant,
}

/// A moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Unix seconds.
    pub(crate) unix: u64,
    /// Monotonic seconds since the verifier was made.
    pub(crate) uptime: u64,
}

impl Clock {
    pub(crate) fn new(wall: Option<UnixClock>) -> Self {
        Self { wall: wall.unwrap_or_else(|| Arc::new(unix_seconds)), began: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { unix: (self.wall)(), uptime: self.began.elapsed().as_secs() }
    }
}

/// The present time in unix seconds; 0 if the clock is set before 1970.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
