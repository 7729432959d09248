//! The rules of a feed for the tokens of one issuer, in addition to single revocations.

use serde::{Deserialize, Serialize};

use crate::selector::{Selector, Uses};

/// The rules of a snapshot for one issuer. Rules merge by union and maximum.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IssuerRules {
    /// The exact `iss`.
    pub issuer: String,
    /// Tokens issued before it are revoked, unix seconds; 0 for none.
    pub epoch: u64,
    /// How long its tokens may live. Without a step their lifetime is not limited.
    pub horizons: Horizons,
    /// The selectors in use, ascending.
    pub selectors: Vec<ListedSelector>,
}

/// A selector in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedSelector {
    /// The claims.
    pub selector: Selector,
    /// How its revocations are looked up.
    pub uses: Uses,
}

impl IssuerRules {
    /// Empty rules for `issuer`.
    pub fn new(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), ..Self::default() }
    }

    /// Adds the rules of `other` for the same issuer.
    pub fn join(&mut self, other: &Self) {
        self.epoch = self.epoch.max(other.epoch);
        self.horizons.join(&other.horizons);
        for ListedSelector { selector, uses } in &other.selectors {
            self.list(selector, *uses);
        }
    }

    /// Adds a selector, or further uses of one. True if that changes the rules.
    pub fn list(&mut self, selector: &Selector, uses: Uses) -> bool {
        let found = self.selectors.binary_search_by(|listed| listed.selector.cmp(selector));
        match found.map(|at| self.selectors.get_mut(at)) {
            Ok(Some(listed)) => {
                let is_new = !listed.uses.has(uses);
                listed.uses = listed.uses.and(uses);
                is_new
            }
            Ok(None) => false,
            Err(at) => {
                self.selectors.insert(at, ListedSelector { selector: selector.clone(), uses });
                true
            }
        }
    }

    /// The uses of a selector, if it is listed.
    pub fn uses_of(&self, selector: &Selector) -> Option<Uses> {
        let found = self.selectors.binary_search_by(|listed| listed.selector.cmp(selector));
        self.selectors.get(found.ok()?).map(|listed| listed.uses)
    }

    /// True if the rules are in the order and within the limits that a reader demands.
    pub(crate) fn is_well_formed(&self) -> bool {
        let is_ascending = |pair: &[ListedSelector]| match pair {
            [one, other] => one.selector < other.selector,
            _ => true,
        };
        // Concurrent requests may each add the last one.
        self.selectors.len() <= MAX_SELECTORS.saturating_mul(2)
            && self.selectors.windows(2).all(is_ascending)
            && self.selectors.iter().all(|listed| listed.uses.is_known())
            && self.horizons.is_well_formed()
    }
}

/// The longest life of an issuer's tokens, `exp` - `iat`, as a step function of `iat`.
///
/// A step that was published is never changed: to allow more or less, a step that begins now is
/// added. So the functions of two snapshots merge by union.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Horizons(Vec<Horizon>);

/// One step: the limit for tokens issued from an instant on, until the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Horizon {
    /// Unix seconds; 0 for the first step.
    pub issued_from: u64,
    /// The longest life, seconds.
    pub seconds: u64,
}

impl Horizons {
    /// The steps of a snapshot; the caller must still check
    /// [`is_well_formed`](Self::is_well_formed).
    pub(crate) fn read(steps: Vec<Horizon>) -> Self {
        Self(steps)
    }

    /// No limit.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// One limit for all tokens.
    pub fn constant(seconds: u64) -> Self {
        Self(vec![Horizon { issued_from: 0, seconds }])
    }

    /// The steps, by when they begin.
    pub fn steps(&self) -> &[Horizon] {
        &self.0
    }

    /// True if nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a step. If two begin at the same time the shorter limit applies, in any order.
    pub fn add(&mut self, step: Horizon) {
        match self.0.binary_search_by_key(&step.issued_from, |held| held.issued_from) {
            Ok(at) => {
                if let Some(held) = self.0.get_mut(at) {
                    held.seconds = held.seconds.min(step.seconds);
                }
            }
            Err(at) => self.0.insert(at, step),
        }
    }

    /// Adds the steps of `other`.
    pub fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|step| self.add(*step));
    }

    /// The longest life of a token issued at `issued_at`, in seconds; `None` if nothing is limited.
    pub fn limit_at(&self, issued_at: u64) -> Option<u64> {
        let next = self.0.partition_point(|step| step.issued_from <= issued_at);
        let before = self.0.get(next.checked_sub(1).unwrap_or(usize::MAX)).map(|step| step.seconds);
        // Issued before the first step: that one is left over from a step that nothing needs any more.
        (!self.0.is_empty()).then(|| before.unwrap_or(0))
    }

    /// The latest `exp` that an acceptable token can have which was issued at `issued_at` or before;
    /// none if nothing is limited.
    pub fn latest_exp(&self, issued_at: u64) -> Option<u64> {
        let mut next_begins = u64::MAX;
        let mut latest = None;
        for step in self.0.iter().rev() {
            let last = issued_at.min(next_begins.saturating_sub(1));
            next_begins = step.issued_from;
            if step.issued_from <= issued_at {
                latest = latest.max(Some(last.saturating_add(step.seconds)));
            }
        }
        latest.or(self.0.first().map(|_| issued_at))
    }

    /// Removes the steps of which every acceptable token has expired before `now`, except the last.
    pub fn forget_before(&mut self, now: u64) {
        while let [first, second, ..] = self.0.as_slice() {
            let last = second.issued_from.saturating_sub(1).saturating_add(first.seconds);
            if last >= now {
                return;
            }
            self.0.remove(0);
        }
    }

    fn is_well_formed(&self) -> bool {
        let is_ascending = |pair: &[Horizon]| match pair {
            [one, other] => one.issued_from < other.issued_from,
            _ => true,
        };
        self.0.len() <= MAX_HORIZONS && self.0.windows(2).all(is_ascending)
    }
}

/// The most issuers for which one feed has rules.
pub const MAX_ISSUERS: usize = 256;
/// The most selectors of one issuer: every verdict looks up each of them.
pub const MAX_SELECTORS: usize = 8;
/// The most steps of one issuer's horizon.
pub const MAX_HORIZONS: usize = 64;

#[cfg(test)]
mod tests {
    use super::{Horizon, Horizons, IssuerRules};
    use crate::selector::{Selector, Uses};

    fn steps(all: &[(u64, u64)]) -> Horizons {
        let mut horizons = Horizons::default();
        for (issued_from, seconds) in all {
            horizons.add(Horizon { issued_from: *issued_from, seconds: *seconds });
        }
        horizons
    }

    #[test]
    fn the_last_step_that_has_begun_limits_a_token() {
        let horizons = steps(&[(1000, 60), (0, 600), (2000, 3600)]);
        for (iat, limit) in [(0, 600), (999, 600), (1000, 60), (1999, 60), (2000, 3600)] {
            assert_eq!(horizons.limit_at(iat), Some(limit), "{iat}");
        }
        assert_eq!(Horizons::default().limit_at(5), None);
        assert_eq!(steps(&[(1000, 60)]).limit_at(999), Some(0));
    }

    // I06: by brute force over every iat.
    #[test]
    fn no_acceptable_token_expires_after_the_latest_exp() {
        for all in [&[(0, 9)][..], &[(0, 9), (4, 2)], &[(0, 2), (5, 9), (8, 1)], &[(3, 4)]] {
            let horizons = steps(all);
            for cutoff in 0..20 {
                let latest =
                    (0..=cutoff).map(|iat| iat + horizons.limit_at(iat).unwrap_or(0)).max();
                assert!(horizons.latest_exp(cutoff) >= latest, "{all:?} {cutoff}");
                if all.first().is_some_and(|(issued_from, _)| *issued_from == 0) {
                    assert_eq!(horizons.latest_exp(cutoff), latest, "{all:?} {cutoff}");
                }
            }
        }
    }

    #[test]
    fn a_step_is_forgotten_once_its_last_token_has_expired() {
        let mut horizons = steps(&[(0, 600), (1000, 60)]);
        horizons.forget_before(1599);
        assert_eq!(horizons.steps().len(), 2);
        horizons.forget_before(1600);
        assert_eq!(horizons, steps(&[(1000, 60)]));
        horizons.forget_before(u64::MAX);
        assert_eq!(horizons, steps(&[(1000, 60)]));
    }

    #[test]
    fn rules_join_in_any_order() {
        let rules = |epoch, step, path: &str, uses| {
            let mut rules = IssuerRules { epoch, ..IssuerRules::new("i") };
            rules.horizons.add(step);
            if let Ok(selector) = Selector::new([path]) {
                rules.list(&selector, uses);
            }
            rules
        };
        let step = |issued_from, seconds| Horizon { issued_from, seconds };
        let one = rules(5, step(0, 60), "sub", Uses::USER);
        let other = rules(3, step(0, 50), "jti", Uses::EXACT);
        let third = rules(3, step(9, 50), "sub", Uses::CUTOFF);
        let join = |all: [&IssuerRules; 4]| {
            let mut joined = IssuerRules::new("i");
            all.into_iter().for_each(|rules| joined.join(rules));
            joined
        };
        let joined = join([&one, &other, &third, &one]);
        assert_eq!(joined, join([&third, &third, &one, &other]));
        assert!(joined.is_well_formed() && joined.selectors.len() == 2);
        assert_eq!(joined.horizons, steps(&[(0, 50), (9, 50)]));
    }
}
