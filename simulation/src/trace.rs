//! What has happened in a run, step by step, as one hash.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::time::WorldTime;

/// The steps of a run. A step is a call that the store executes, an answer that a caller gets, a
/// snapshot that a follower gets, or a fault.
///
/// Nothing random is in a step (keys, marks, chain hashes), only what happened, where and when.
#[derive(Debug)]
pub struct Trace {
    time: WorldTime,
    is_printed: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    hasher: blake3::Hasher,
    steps: u64,
    recent: VecDeque<String>,
}

impl Trace {
    /// An empty trace, whose steps are printed if `is_printed`.
    pub fn new(time: WorldTime, is_printed: bool) -> Self {
        Self { time, is_printed, inner: Mutex::default() }
    }

    /// Notes a step.
    pub fn step(&self, what: impl Display) {
        let text = format!("{:>11} {what}", self.time.elapsed().as_millis());
        if self.is_printed {
            println!("{text}");
        }
        let mut inner = self.inner();
        inner.hasher.update(text.as_bytes()).update(b"\n");
        inner.steps += 1;
        if inner.recent.len() == RECENT {
            inner.recent.pop_front();
        }
        inner.recent.push_back(text);
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.inner().steps
    }

    /// The hash of all steps.
    pub fn hash(&self) -> String {
        self.inner().hasher.finalize().to_hex().as_str()[..32].to_owned()
    }

    /// The last steps, the evidence of a violation.
    pub fn recent(&self) -> Vec<String> {
        self.inner().recent.iter().cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const RECENT: usize = 60;
