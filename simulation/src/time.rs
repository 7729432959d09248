//! Virtual time: the time of a paused runtime, which goes on only when no task has anything left to do.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The true time of a run. No part of the product sees it; they see a [`Clock`].
#[derive(Debug, Clone, Copy)]
pub struct WorldTime {
    began: Instant,
    unix: u64,
}

/// A clock that may be wrong.
#[derive(Debug)]
pub struct Clock {
    time: WorldTime,
    ahead_seconds: AtomicI64,
}

impl WorldTime {
    /// A world that begins at `unix` (seconds).
    pub fn begin(unix: u64) -> Self {
        Self { began: Instant::now(), unix }
    }

    /// How long it has lasted.
    pub fn elapsed(self) -> Duration {
        self.began.elapsed()
    }

    /// Unix seconds.
    pub fn unix(self) -> u64 {
        self.unix + self.elapsed().as_secs()
    }
}

impl Clock {
    /// A clock that is right.
    pub fn new(time: WorldTime) -> Self {
        Self { time, ahead_seconds: AtomicI64::new(0) }
    }

    /// Sets it, to so many seconds ahead of the true time.
    pub fn set(&self, ahead_seconds: i64) {
        self.ahead_seconds.store(ahead_seconds, Ordering::Relaxed);
    }

    /// By how many seconds it is ahead.
    pub fn ahead_seconds(&self) -> i64 {
        self.ahead_seconds.load(Ordering::Relaxed)
    }

    /// What it shows, unix seconds.
    pub fn now(&self) -> u64 {
        self.time.unix().saturating_add_signed(self.ahead_seconds())
    }
}
