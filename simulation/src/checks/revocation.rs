//! One acknowledged revocation, and the rules for what followers say about its token afterwards.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offswitch_core::record::{Record, Revocation as Recorded};
use offswitch_snapshot::Position;

use super::MAX_STALENESS;

/// A revocation that was acknowledged as durable.
#[derive(Debug)]
pub struct Revocation {
    /// Its number.
    pub number: u64,
    /// A token that it revokes.
    pub token: String,
    /// When the token was issued, unix seconds.
    pub issued_at: u64,
    /// The record, as it was to be appended.
    pub record: Vec<u8>,
    /// Where it was acknowledged.
    pub position: Position,
    /// True if it revokes by the version of the token.
    pub is_by_version: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// From where on followers refuse, and since when they can know.
    holds_from: (Position, Duration),
    /// True while the store does not have it, or not in the log that all processes have read.
    is_lost: bool,
    /// The followers that have refused the token because it is revoked.
    refused_by: HashSet<usize>,
}

/// What a follower says about a token.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The follower.
    pub follower: usize,
    /// The position that it holds.
    pub position: Position,
    /// By how much the server's clock is or was ahead of the follower's.
    pub clock_ahead: Duration,
    /// Its verdict.
    pub said: Said,
}

/// A verdict, as far as the rules need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Refused because of a revocation.
    Revoked,
    /// Undecided, or refused for another reason.
    Other,
    /// Valid.
    Valid,
}

impl Revocation {
    /// A revocation that was acknowledged at `position` and `at`.
    pub fn new(
        number: u64,
        (token, issued_at): (String, u64),
        record: &Record,
        position: Position,
        at: Duration,
    ) -> Self {
        let is_user = |one: &Recorded| matches!(one, Recorded::User { .. });
        let is_by_version = record.revocations.iter().any(is_user);
        let record = record.encode();
        let holds_from = (position, at);
        let state = State { holds_from, is_lost: false, refused_by: HashSet::new() };
        Self { number, token, issued_at, record, position, is_by_version, state: Mutex::new(state) }
    }

    /// The store has lost it, and a process that lives knows it; or some process has read another log than the
    /// one where it is.
    pub fn note_lost(&self) {
        self.state().is_lost = true;
    }

    /// True while the store does not have it.
    pub fn is_lost(&self) -> bool {
        self.state().is_lost
    }

    /// It is in the store again, whose log ends at `end`: joined into an era, or appended once more.
    pub fn note_found(&self, end: Position, at: Duration) {
        let mut state = self.state();
        state.is_lost = false;
        state.holds_from = (self.position.max(end), at);
    }

    pub(super) fn forget(&self, follower: usize) {
        self.state().refused_by.remove(&follower);
    }

    /// The rule that a verdict breaks, if it breaks one.
    pub(super) fn judged(&self, seen: &Seen, now: Duration) -> Option<String> {
        let mut state = self.state();
        let Seen { follower, position, clock_ahead, said } = *seen;
        match said {
            Said::Other => return None,
            Said::Revoked => {
                state.refused_by.insert(follower);
                return None;
            }
            Said::Valid => {}
        }
        let (from, since) = state.holds_from;
        let who = format!("follower {follower} at {position} calls token {} valid", self.number);
        // A base of an era that another process began without it takes the place of the one that had it: a
        // verifier cannot distinguish what was lost from what has expired. Only what came by a delta stays.
        let is_without = position.era > self.position.era && position < from;
        if state.is_lost || is_without {
            return None;
        }
        if state.refused_by.contains(&follower) {
            return Some(format!("{who}, which it has refused as revoked before"));
        }
        if position >= from {
            return Some(format!("{who}, which was revoked at {from}"));
        }
        let known_for = now.saturating_sub(since);
        let bound = MAX_STALENESS + clock_ahead + ROUNDING;
        (known_for > bound).then(|| {
            format!("{who}, {known_for:?} after it was revoked at {from}; the bound is {bound:?}")
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Times in snapshots are whole seconds, a reading of the log is dated when it began, and a step of a clock
/// below five seconds is not noticed.
const ROUNDING: Duration = Duration::from_secs(8);
