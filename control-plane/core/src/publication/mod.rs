//! The rules of publishing a feed as a head and parts (`HEAD.md` of the snapshot crate): which deltas a
//! head lists, when it names another base, and which parts may be removed.

mod listing;
mod retention;

use offswitch_snapshot::{FeedHead, Position};

pub use listing::Listing;
pub use retention::Retention;

/// What a process finds at a place where it may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is no head of this feed that can be used.
    Nothing,
    /// The newest head says as much as this process knows, and was signed a moment ago.
    Current,
    /// It goes beyond what this process has read.
    Ahead,
    /// It ends where this process does: only its heartbeat is to be renewed.
    Old,
    /// It ends before.
    Behind,
}

impl Found {
    /// What a head with a genuine heartbeat is to a process that has folded the log up to `position`, at
    /// `now` (unix seconds). `every_seconds` is the time between two heartbeats.
    pub fn of(
        head: Option<&FeedHead>,
        issued_at: u64,
        position: Position,
        now: u64,
        every_seconds: u64,
    ) -> Self {
        let Some(head) = head else { return Self::Nothing };
        if head.position > position {
            return Self::Ahead;
        }
        if head.position < position {
            return Self::Behind;
        }
        if issued_at.saturating_add(every_seconds) > now { Self::Current } else { Self::Old }
    }
}

/// True if heads are to name the base at `newest`, having named the one at `named` for `age_seconds`.
/// A base stays for a while: each reader that starts loads it, and caches have it.
pub fn is_other_base_due(named: Position, newest: Position, age_seconds: u64) -> bool {
    newest > named && age_seconds >= BASE_SECONDS
}

/// For how long heads name a base at least.
const BASE_SECONDS: u64 = 60;
/// For how many seconds after the end of its validity a head may be in use: clocks differ by 10 s, and
/// caches keep a head for a second, or for a minute if its origin fails.
pub const AFTER_VALIDITY_SECONDS: u64 = 10 + 1 + 60;
