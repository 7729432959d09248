//! When to ask again after a failure: exponential, with jitter, and never sooner than the server asks for.

use std::time::{Duration, Instant};

/// The pauses after failures of one address.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// True while the other side is being spared.
    pub(crate) fn is_waiting(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|end| now < end)
    }

    /// How long the other side is still to be spared.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    /// True from a failure to the next success.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Marks a try after a failure, so that no other tries within that time. It is a time, not a promise: a try
    /// that is given up half-way cannot hold others up for longer.
    pub(crate) fn begin(&mut self, now: Instant, time: Duration) {
        if self.failures > 0 {
            self.not_before = Some(now + time);
        }
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// `asked_for` is what the server asked for, `longest` where a long pause would cost more than it spares, and
    /// `chance` is in [0, 1).
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        asked_for: Duration,
        longest: Duration,
        chance: f64,
    ) {
        let most = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST).min(longest);
        self.failures = self.failures.saturating_add(1);
        let jittered = most.mul_f64(0.5 + chance / 2.0);
        self.not_before = Some(now + jittered.max(asked_for.min(LONGEST_ASKED)));
    }
}

const FIRST: Duration = Duration::from_millis(500);
/// A sixth of the time that a snapshot is good for by default: by that much less may a server be away before
/// verifiers are undecided (docs/scale.md).
const LONGEST: Duration = Duration::from_secs(10);
/// The longest pause that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    // S14: the pauses after failures grow to ten seconds, and end with the first success.
    #[test]
    fn pauses_grow_to_ten_seconds_and_end_with_the_first_success() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let mut pauses = vec![];
        for _ in 0..12 {
            backoff.failed(now, Duration::ZERO, Duration::MAX, 0.999_999);
            pauses.push(backoff.left(now).as_secs_f64());
        }
        assert!(pauses[0] > 0.49 && pauses[0] <= 0.5, "{pauses:?}");
        assert!(pauses.is_sorted() && pauses[11] > 9.9 && pauses[11] <= 10.0, "{pauses:?}");
        backoff.succeeded();
        assert!(!backoff.is_failing() && !backoff.is_waiting(now));
    }

    // S14: a server that asks for peace gets it, within reason; and what is held must not get too old meanwhile.
    #[test]
    fn what_a_server_asks_for_is_honoured_up_to_half_a_minute() {
        let now = Instant::now();
        let pause = |asked: u64, longest: u64| {
            let mut backoff = Backoff::default();
            for _ in 0..9 {
                let longest = Duration::from_secs(longest);
                backoff.failed(now, Duration::from_secs(asked), longest, 0.0);
            }
            backoff.left(now).as_secs()
        };
        assert_eq!([pause(9, 100), pause(99_999, 100), pause(0, 100), pause(0, 2)], [9, 30, 5, 1]);
    }
}
