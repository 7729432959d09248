//! How many lines strangers may cause: anyone can send a request without a key, and must not be able to
//! fill the disk.

use std::time::{Duration, Instant};

/// A bucket of lines that fills up with time.
#[derive(Debug)]
pub(super) struct Allowance {
    lines: u32,
    since: Instant,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { lines: BURST, since: Instant::now() }
    }
}

impl Allowance {
    /// True if one more line may be written.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.since).as_millis() / EACH.as_millis();
        if let Ok(earned) = u32::try_from(earned)
            && earned > 0
        {
            self.lines = self.lines.saturating_add(earned).min(BURST);
            self.since = now;
        }
        let allowed = self.lines.checked_sub(1);
        self.lines = allowed.unwrap_or(0);
        allowed.is_some()
    }
}

const BURST: u32 = 200;
const EACH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    // A08: at most ten lines a second in the long run.
    #[test]
    fn strangers_cause_few_lines() {
        let mut allowance = Allowance::default();
        let begin = Instant::now();
        let allowed = |allowance: &mut Allowance, at: Instant| {
            (0..1000).filter(|_| allowance.allows(at)).count()
        };
        assert_eq!(allowed(&mut allowance, begin), 200);
        assert_eq!(allowed(&mut allowance, begin + Duration::from_secs(1)), 10);
        assert_eq!(allowed(&mut allowance, begin + Duration::from_secs(1000)), 200);
    }
}
