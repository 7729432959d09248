//! When a token key is published, signs and is removed: rules over all keys, the dead ones and a
//! clock.
//!
//! A key is published as soon as it exists, signs from `signs_from` until its successor does, and
//! verifies until the last token it signed has expired.

use offswitch_core::limits::{LONGEST_ACCESS_TOKEN_SECONDS, MARGIN_SECONDS};
use offswitch_verifier::MAX_LEEWAY_SECONDS;
use serde::Serialize;

use super::{DeadKeys, TokenKey};

/// All token keys at one instant.
#[derive(Clone, Copy)]
pub(super) struct Lifetimes<'k, 'd> {
    keys: &'k [TokenKey],
    now: u64,
    dead: &'d DeadKeys,
}

/// What a token key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Signs new tokens.
    Active,
    /// Switched off by a revocation or the red button.
    Dead,
    /// Published, so that verifiers know it before it signs.
    Pending,
    /// Does not sign any more; its tokens are still valid.
    Verifying,
}

impl<'k, 'd> Lifetimes<'k, 'd> {
    pub(super) fn new(keys: &'k [TokenKey], now: u64, dead: &'d DeadKeys) -> Self {
        Self { keys, now, dead }
    }

    /// The key that signs: the last in order among those that may sign by now, of any
    /// algorithm. So every process replaces a key by its successor at the same time, even if the
    /// processes are configured with different algorithms. If no key may sign yet, the newest one
    /// signs immediately.
    pub(super) fn active(&self) -> Option<&'k TokenKey> {
        let started = self.living().filter(|key| key.signs_from() <= self.now);
        started.max_by_key(|key| order(key)).or_else(|| self.newest())
    }

    /// The last in order that is not dead.
    pub(super) fn newest(&self) -> Option<&'k TokenKey> {
        self.living().max_by_key(|key| order(key))
    }

    /// When a key made now starts to sign: after every other one; immediately if there is none.
    pub(super) fn next_start(&self, publish_seconds: u64) -> u64 {
        self.newest().map_or(self.now, |newest| {
            let published = self.now.saturating_add(publish_seconds);
            published.max(newest.signs_from().saturating_add(1))
        })
    }

    /// True if the schedule requires a new key; never while one is pending.
    pub(super) fn is_due(&self, rotation_seconds: u64) -> bool {
        rotation_seconds > 0
            && self.newest().is_some_and(|newest| {
                newest.signs_from() <= self.now
                    && newest.created_at().saturating_add(rotation_seconds) <= self.now
            })
    }

    /// When `key` is removed, if it has a successor that is not dead.
    pub(super) fn retires_at(&self, key: &TokenKey) -> Option<u64> {
        let successors = self.living().filter(|other| order(other) > order(key));
        let began = successors.map(TokenKey::signs_from).min()?;
        Some(began.saturating_add(RETIRES_AFTER_SECONDS))
    }

    /// True if no token that `key` signed can still be valid.
    pub(super) fn is_retired(&self, key: &TokenKey) -> bool {
        self.retires_at(key).is_some_and(|retires_at| retires_at <= self.now)
    }

    /// The keys whose tokens are accepted, oldest first: the content of the JWK set.
    pub(super) fn published(&self) -> Vec<&'k TokenKey> {
        let mut keys: Vec<_> = self.living().filter(|key| !self.is_retired(key)).collect();
        keys.sort_by_key(|key| order(key));
        keys
    }

    /// What `key` is used for; nothing once it is retired.
    pub(super) fn state(&self, key: &TokenKey) -> Option<KeyState> {
        let is_active = self.active().is_some_and(|active| active.kid() == key.kid());
        if self.is_retired(key) {
            None
        } else if self.dead.contains(key.kid()) {
            Some(KeyState::Dead)
        } else if is_active {
            Some(KeyState::Active)
        } else if key.signs_from() > self.now {
            Some(KeyState::Pending)
        } else {
            Some(KeyState::Verifying)
        }
    }

    fn living(&self) -> impl Iterator<Item = &'k TokenKey> {
        self.keys.iter().filter(|key| !self.dead.contains(key.kid()))
    }
}

/// The same in every process, also for keys that start in the same second.
pub(super) fn order(key: &TokenKey) -> (u64, u64, &str) {
    (key.signs_from(), key.created_at(), key.kid())
}

/// How long a key stays after its successor began to sign. A key is removed only after its last
/// token expired. It signed that token no later than when its successor began to sign, or, in a
/// process that had not read the successor yet, within the margin. The token lives at most
/// [`LONGEST_ACCESS_TOKEN_SECONDS`], and a verifier accepts it for [`MAX_LEEWAY_SECONDS`] more.
/// With a shorter time, a rotation would make verifiers reject valid tokens.
pub const RETIRES_AFTER_SECONDS: u64 =
    LONGEST_ACCESS_TOKEN_SECONDS + MAX_LEEWAY_SECONDS + MARGIN_SECONDS;

/// Rotations make no more keys than this at the same time: verifiers keep 256 of a JWK set, other
/// readers fewer, and there must be room for the red button and for changes of the algorithm.
pub const MAX_PUBLISHED_KEYS: usize = 32;

#[cfg(test)]
mod tests {
    use super::{KeyState, Lifetimes, RETIRES_AFTER_SECONDS as R};
    use crate::keyring::{DeadKeys, TokenAlgorithm, TokenKey};

    /// Keys named by their index, created and signing at these times.
    fn keys(times: &[(u64, u64)]) -> Vec<TokenKey> {
        let named = |(place, &(created_at, signs_from)): (usize, &(u64, u64))| {
            let key = TokenKey::create(TokenAlgorithm::EdDsa, created_at, signs_from);
            key.named(&place.to_string())
        };
        times.iter().enumerate().map(named).collect()
    }

    /// The dead keys with these letters as names.
    fn named(letters: &str) -> DeadKeys {
        letters.chars().map(String::from).collect()
    }

    /// The states as letters in the keys' order; a dot for a retired one.
    fn states(keys: &[TokenKey], dead: &str, now: u64) -> String {
        let dead = named(dead);
        let lifetimes = Lifetimes::new(keys, now, &dead);
        let letter = |key| match lifetimes.state(key) {
            Some(KeyState::Active) => 'a',
            Some(KeyState::Dead) => 'd',
            Some(KeyState::Pending) => 'p',
            Some(KeyState::Verifying) => 'v',
            None => '.',
        };
        keys.iter().map(letter).collect()
    }

    // A rotation over time: published first, then signing; the old key stays for its tokens.
    #[test]
    fn each_key_is_pending_then_active_then_verifying_then_gone() {
        let keys = keys(&[(100, 100), (1000, 1060), (900_000, 900_060)]);
        for (now, expected) in [
            (100, "app"),
            (1000, "app"),
            (1059, "app"),
            (1060, "vap"),
            (1060 + R - 1, "vap"),
            (1060 + R, ".ap"),
            (900_060, ".va"),
            (900_060 + R - 1, ".va"),
            (900_060 + R, "..a"),
            (u64::MAX, "..a"),
        ] {
            assert_eq!(states(&keys, "", now), expected, "at {now}");
        }
    }

    #[test]
    fn dead_keys_neither_sign_nor_retire_others() {
        let keys = keys(&[(100, 100), (1000, 1060), (2000, 2060)]);
        for (dead, now, expected) in [
            // The active one is dead: the previous one signs again, the pending one keeps waiting.
            ("1", 1500, "adp"),
            ("1", 2060, "vda"),
            ("1", 1060 + R, "vda"),
            ("1", 2060 + R, "..a"),
            // Only a pending one is left: it signs immediately.
            ("01", 1500, "dda"),
            ("0", 500, "dpa"),
            ("012", 1500, "ddd"),
            ("012", 2060 + R, "ddd"),
        ] {
            assert_eq!(states(&keys, dead, now), expected, "{dead} dead at {now}");
        }
    }

    #[test]
    fn keys_that_start_together_have_one_order_everywhere() {
        let mut keys = keys(&[(100, 200), (101, 200), (101, 200)]);
        assert_eq!(states(&keys, "", 200), "vva");
        keys.reverse();
        assert_eq!(states(&keys, "", 200), "avv");
    }

    #[test]
    fn a_new_key_starts_after_every_other_one() {
        for (times, now, publish_seconds, expected) in [
            (&[][..], 50, 60, 50),
            (&[(10, 10)], 50, 60, 110),
            (&[(10, 10)], 50, 0, 50),
            (&[(50, 50)], 50, 0, 51),
            (&[(10, 10), (20, 9000)], 50, 60, 9001),
        ] {
            let keys = keys(times);
            let dead = DeadKeys::default();
            let lifetimes = Lifetimes::new(&keys, now, &dead);
            assert_eq!(lifetimes.next_start(publish_seconds), expected, "{times:?}");
        }
    }

    #[test]
    fn the_schedule_counts_from_the_newest_key_that_is_not_dead() {
        let keys = keys(&[(100, 100), (1000, 1060)]);
        for (dead, now, rotation_seconds, expected) in [
            ("", 4599, 3600, false),
            ("", 4600, 3600, true),
            ("", 1059, 10, false),
            ("", u64::MAX, 0, false),
            ("1", 3699, 3600, false),
            ("1", 3700, 3600, true),
            ("01", 9000, 3600, false),
        ] {
            let dead_keys = named(dead);
            let lifetimes = Lifetimes::new(&keys, now, &dead_keys);
            assert_eq!(lifetimes.is_due(rotation_seconds), expected, "{dead} dead at {now}");
        }
    }
}
