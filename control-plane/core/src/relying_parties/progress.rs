//! How far a relying party was notified: its cursor in the log, and what operators see.

use serde::{Deserialize, Serialize};

use super::notice::Notice;
use super::window::Settled;

/// A place in the log: everything up to it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Place {
    /// The log's era.
    pub era: u64,
    /// The last record that is settled as a whole.
    pub seq: u64,
    /// How many revocations of the next record are settled.
    pub index: usize,
}

impl Place {
    /// The end of the record at `seq`.
    pub fn after(era: u64, seq: u64) -> Self {
        Self { era, seq, index: 0 }
    }
}

/// What the store has about one relying party. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Which registration this belongs to: another one under the same name begins on its own.
    pub registration: String,
    /// The cursor.
    pub place: Place,
    /// When everything up to the cursor was settled.
    pub settled_at: u64,
    /// The process that sends, and until when no other may.
    pub sender: Sender,
    /// How many notices the relying party has accepted.
    pub delivered: u64,
    /// How many it has refused with 400.
    pub refused: u64,
    /// How many were given up: too old, or failed too often while others were accepted.
    pub given_up: u64,
    /// When it last accepted one.
    pub delivered_at: Option<u64>,
    /// Why the last attempt failed that did.
    pub last_error: Option<Failure>,
    /// When the session ended that waits for longest, if one waits.
    pub waiting_since: Option<u64>,
}

/// The process that sends to a relying party.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sender {
    /// Its random id.
    pub id: String,
    /// Until when it is the only one, unix seconds of the store's clock.
    pub until: u64,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When, unix seconds.
    pub at: u64,
    /// The stable code.
    pub code: String,
    /// What was found and what was expected, in words.
    pub detail: String,
}

impl Progress {
    /// The first one of a registration, which hears of what is recorded after `place`.
    pub fn begin(registration: &str, place: Place, now: u64) -> Self {
        Self { registration: registration.to_owned(), place, settled_at: now, ..Self::default() }
    }

    /// True if the process `id` may send at `now`. A lease that ends later than any that is given now is
    /// from before the clock was set back.
    pub fn is_free_for(&self, id: &str, now: u64) -> bool {
        let latest = now.saturating_add(LEASE_SECONDS);
        self.sender.id == id || !(now + 1..=latest).contains(&self.sender.until)
    }

    /// Makes the process `id` the sender until `LEASE_SECONDS` from `now`.
    pub fn lease(&mut self, id: &str, now: u64) {
        self.sender = Sender { id: id.to_owned(), until: now.saturating_add(LEASE_SECONDS) };
    }

    /// Counts a notice that is settled.
    pub fn count(&mut self, settled: Settled, now: u64) {
        match settled {
            Settled::Delivered => {
                self.delivered += 1;
                self.delivered_at = Some(now);
            }
            Settled::GivenUp => self.given_up += 1,
            Settled::Refused => self.refused += 1,
        }
    }
}

impl Notice {
    /// True if it is not tried any more.
    pub fn is_too_old(&self, now: u64) -> bool {
        self.at.saturating_add(super::MAX_AGE_SECONDS) <= now
    }
}

/// How long a process is the only sender after it wrote the cursor. Another process takes over after
/// that, so a crash delays notices by at most this.
pub(super) const LEASE_SECONDS: u64 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    // L03: one process at a time sends, and a lease always ends.
    #[test]
    fn a_lease_keeps_others_out_until_it_ends_also_if_the_clock_is_set_back() {
        let mut progress = Progress::begin("r", Place::after(1, 5), 1_000);
        assert!(progress.is_free_for("a", 1_000));
        progress.lease("a", 1_000);
        let free = |now| (progress.is_free_for("a", now), progress.is_free_for("b", now));
        assert_eq!(free(1_000), (true, false));
        assert_eq!(free(1_000 + LEASE_SECONDS - 1), (true, false));
        assert_eq!(free(1_000 + LEASE_SECONDS), (true, true));
        assert_eq!(free(999), (true, true), "the clock was set back");
    }
}
