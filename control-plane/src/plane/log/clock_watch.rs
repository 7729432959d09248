//! Detects that the store's clock is set forward or back, or differs from this process's clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::unix_seconds;
use crate::store::Finding;

/// The readings of the store's clock, compared with a monotonic clock.
#[derive(Debug, Default)]
pub(super) struct ClockWatch(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    last: Option<(Instant, u64)>,
    /// The last step, and when it was noticed.
    step: Option<(Instant, i64)>,
    /// By how much the store's clock is ahead of this process's, seconds.
    ahead_seconds: i64,
}

/// How the store's clock moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It was set back.
    Back,
    /// It was set forward.
    Forward,
    /// It moved like the monotonic clock.
    None,
}

impl ClockWatch {
    /// Notes a reading of the store's clock, `store_now` in unix seconds.
    pub(super) fn note(&self, store_now: u64) -> Step {
        let own = unix_seconds();
        self.watched().note(Instant::now(), store_now, own)
    }

    /// What an operator must know about the clocks.
    pub(super) fn finding(&self) -> Option<Finding> {
        self.watched().finding(Instant::now())
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn note(&mut self, at: Instant, store_now: u64, own_now: u64) -> Step {
        let difference = |one: u64, other: u64| {
            i64::try_from(one.abs_diff(other))
                .map_or(i64::MAX, |size| if one < other { -size } else { size })
        };
        self.ahead_seconds = difference(store_now, own_now);
        let last = self.last.replace((at, store_now));
        let Some((last_at, last_now)) = last else { return Step::None };
        let passed = at.saturating_duration_since(last_at).as_secs();
        let step = difference(store_now, last_now.saturating_add(passed));
        if step.unsigned_abs() < STEP_SECONDS {
            return Step::None;
        }
        tracing::error!(step, "the store's clock was set (seconds)");
        self.step = Some((at, step));
        if step < 0 { Step::Back } else { Step::Forward }
    }

    fn finding(&self, at: Instant) -> Option<Finding> {
        let found = |code, detail| Some(Finding { code, detail, fatal: false });
        let recent =
            self.step.filter(|(then, _)| at.saturating_duration_since(*then) < REPORTED_FOR);
        if let Some((_, step)) = recent {
            let detail = format!(
                "the store's clock was set by {step} s; tokens and snapshots are dated by it: keep \
                 it in step with NTP"
            );
            return found("store_clock_was_set", detail);
        }
        if self.ahead_seconds.unsigned_abs() > DIFFERENCE_SECONDS {
            let detail = format!(
                "the store's clock is {} s ahead of this process's (negative: behind); one of them \
                 is wrong: keep both in step with NTP",
                self.ahead_seconds
            );
            return found("clocks_differ", detail);
        }
        None
    }
}

/// More than a slow answer and rounding to seconds can explain.
const STEP_SECONDS: u64 = 5;
const DIFFERENCE_SECONDS: u64 = 30;
const REPORTED_FOR: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    // D87: set forward by 200 s, four seconds later set back.
    #[test]
    fn a_clock_that_is_set_is_noticed_and_reported_for_a_while() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut watched = Watched::default();
        assert_eq!(watched.note(begin, 1000, 1000), Step::None);
        assert_eq!(watched.note(after(10), 1012, 1010), Step::None, "a slow answer");
        assert_eq!(watched.finding(after(10)), None);
        assert_eq!(watched.note(after(11), 1211, 1011), Step::Forward);
        assert_eq!(watched.note(after(15), 1015, 1015), Step::Back);
        assert_eq!(watched.note(after(16), 1016, 1016), Step::None);
        assert_eq!(watched.finding(after(17)).unwrap().code, "store_clock_was_set");
        assert_eq!(watched.finding(after(15 + 600)), None);
    }

    // D88: only the operator can say which of two clocks is wrong.
    #[test]
    fn clocks_that_differ_are_reported() {
        let mut watched = Watched::default();
        let begin = Instant::now();
        for (store_now, own_now, differ) in
            [(1000, 1030, false), (1000, 1031, true), (1031, 1000, true), (u64::MAX, 0, true)]
        {
            watched.last = None;
            watched.note(begin, store_now, own_now);
            let found = watched.finding(begin).map(|finding| finding.code);
            assert_eq!(found, differ.then_some("clocks_differ"), "{store_now} {own_now}");
        }
    }
}
