//! How many requests a receiver refuses in one second before it stops to look at them.

/// The refused requests of one second. Only these count: a sender whose tokens are good never uses up
/// the budget, but while others have used it up, its requests wait for the next second as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    second: u64,
    refused: u32,
}

impl Budget {
    /// True if a request at `now` (unix seconds) is to be looked at.
    pub fn allows(&self, now: u64) -> bool {
        self.second != now || self.refused < MOST_REFUSED_PER_SECOND
    }

    /// Counts a request that was refused at `now` (unix seconds).
    pub fn note_refused(&mut self, now: u64) {
        if self.second != now {
            *self = Self { second: now, refused: 0 };
        }
        self.refused = self.refused.saturating_add(1);
    }
}

/// A signature costs about 0.1 ms to check: a tenth of a core for each issuer.
const MOST_REFUSED_PER_SECOND: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    // I10
    #[test]
    fn refused_requests_are_limited_and_good_ones_are_not() {
        let mut budget = Budget::default();
        for _ in 0..MOST_REFUSED_PER_SECOND {
            assert!(budget.allows(7));
            budget.note_refused(7);
        }
        assert!(!budget.allows(7));
        assert!(budget.allows(8));
        budget.note_refused(8);
        assert!(budget.allows(8));
    }
}
