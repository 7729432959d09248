//! The age of the feed's newest statement: by the clock, by the times that the feed itself has
//! signed, and by the verifier's own monotonic time.

use std::sync::atomic::Ordering;

use super::Feed;

impl Feed {
    /// Advances the verifier's own monotonic time to `uptime`, in seconds since any moment. The
    /// held state also ages by it: neither a feed dated in the future nor a clock that was set back
    /// makes it look fresh for longer.
    ///
    /// Verdicts may go on meanwhile: it is written once in a second, and never goes back.
    pub fn tick(&self, uptime: u64) {
        if self.uptime() < uptime {
            self.uptime.fetch_max(uptime, Ordering::Relaxed);
        }
    }

    pub(super) fn uptime(&self) -> u64 {
        self.uptime.load(Ordering::Relaxed)
    }

    /// The uptime at which the feed's newest statement arrived.
    pub fn heard_at(&self) -> u64 {
        self.heard_at
    }

    /// `now`, or a later time that the feed has signed: a snapshot from the future shows that our
    /// own clock may be behind, and then the whole held state is older than it looks.
    pub fn proven_time(&self, now: u64) -> u64 {
        now.max(self.witnessed_at)
    }

    /// Like [`proven_time`](Self::proven_time), also by accepted snapshots: within the tolerated
    /// skew, a snapshot may show that our own clock is behind.
    pub fn shown_time(&self, now: u64) -> u64 {
        self.proven_time(now).max(self.issued_at)
    }

    /// Seconds since the feed's newest signed statement in force: by the clock, or since it arrived
    /// by the verifier's own monotonic time, whichever is more.
    pub fn age_seconds(&self, now: u64) -> Option<u64> {
        let by_clock = self.proven_time(now).saturating_sub(self.issued_at);
        self.base.as_ref().map(|_| by_clock.max(self.heard_seconds()))
    }

    fn heard_seconds(&self) -> u64 {
        self.uptime().saturating_sub(self.heard_at)
    }

    /// True if the feed's own statement no longer claims to be fresh.
    pub fn is_past_validity(&self, now: u64) -> bool {
        let validity = self.valid_until.saturating_sub(self.issued_at);
        self.proven_time(now) > self.valid_until.saturating_add(VALIDITY_SKEW_SECONDS)
            || self.heard_seconds() > validity.saturating_add(VALIDITY_SKEW_SECONDS)
    }

    /// For how many seconds the feed's newest statement claims to be fresh.
    pub fn validity_seconds(&self) -> u64 {
        self.valid_until.saturating_add(VALIDITY_SKEW_SECONDS).saturating_sub(self.issued_at)
    }
}

/// How long after `valid_until` a snapshot still counts as fresh, for clocks that differ.
const VALIDITY_SKEW_SECONDS: u64 = 10;
