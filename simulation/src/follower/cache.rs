//! A cache between followers and the processes, which may serve what is old.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offswitch_snapshot::Position;

/// The answers of the processes, by what was asked.
#[derive(Debug, Default)]
pub struct ResponseCache {
    answers: Mutex<Answers>,
    /// How many seconds an answer is served.
    keeps_seconds: AtomicU64,
}

/// When each answer was given, and the answer, by the position that it continues from.
type Answers = HashMap<Option<Position>, (Duration, Vec<u8>)>;

impl ResponseCache {
    /// From now on each answer is served for that long.
    pub fn keep(&self, seconds: u64) {
        self.keeps_seconds.store(seconds, Ordering::Relaxed);
    }

    /// An answer that is not too old for the cache.
    pub(super) fn find(&self, since: Option<Position>, now: Duration) -> Option<Vec<u8>> {
        let keeps = Duration::from_secs(self.keeps_seconds.load(Ordering::Relaxed));
        let answers = self.answers();
        let (at, bytes) = answers.get(&since)?;
        (now.saturating_sub(*at) < keeps).then(|| bytes.clone())
    }

    /// Keeps an answer, in the place of an older one that is not served any more.
    pub(super) fn put(&self, since: Option<Position>, bytes: &[u8], now: Duration) {
        let mut answers = self.answers();
        if answers.len() > MOST_ANSWERS {
            answers.clear();
        }
        answers.insert(since, (now, bytes.to_vec()));
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MOST_ANSWERS: usize = 200;
