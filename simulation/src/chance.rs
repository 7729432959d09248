//! The one generator from which everything that happens in a run is drawn.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Draws from the seed. Clones draw from the same generator.
#[derive(Debug, Clone)]
pub struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// True in one of `count` cases on average.
    pub fn one_in(&self, count: u32) -> bool {
        self.draw().u32(0..count.max(1)) == 0
    }

    /// A number of the range.
    pub fn between(&self, range: Range<u64>) -> u64 {
        self.draw().u64(range)
    }

    /// An index below `count`, which is not 0.
    pub fn below(&self, count: usize) -> usize {
        self.draw().usize(0..count)
    }

    /// So many milliseconds.
    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    /// So many seconds, at any millisecond.
    pub fn seconds(&self, range: Range<u64>) -> Duration {
        self.millis(range.start * 1000..range.end * 1000)
    }

    /// One of them.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }

    fn draw(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
