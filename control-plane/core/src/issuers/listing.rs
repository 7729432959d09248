//! The feed's rules for one issuer, and how long they are needed.

use std::collections::BTreeMap;

use offswitch_snapshot::{Horizon, Horizons, IssuerRules, MAX_HORIZONS, Selector, Uses};
use serde::{Deserialize, Serialize};

use super::registration::Registration;
use crate::limits::leaves_at;

/// The feed's rules for one issuer, and how long they are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    pub(super) rules: IssuerRules,
    pub(super) roles: Roles,
    pub(super) clock_skew_seconds: u64,
    /// False after the issuer was removed. Its revocations stay until they have expired.
    pub(super) is_registered: bool,
    /// Until when each selector that is not a role is needed, unix seconds.
    pub(super) needed_until: BTreeMap<Selector, u64>,
    /// Until when any of these rules is needed, unix seconds.
    pub(super) until: u64,
    /// Tokens issued up to this instant may have been revoked already, unix seconds: a step of the
    /// horizon that begins before it would change how long their entries must stay.
    pub(super) latest_cutoff: u64,
}

/// The claims that name a token, a session and a user of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// `None` if the issuer's tokens have no id of their own.
    pub token: Option<Selector>,
    /// `None` if they have no id of a session.
    pub session: Option<Selector>,
    /// `None` if they have no id of a user.
    pub user: Option<Selector>,
}

impl Listing {
    pub(super) fn new(
        issuer: &str,
        roles: Roles,
        clock_skew_seconds: u64,
        horizons: Horizons,
    ) -> Self {
        let rules = IssuerRules { horizons, ..IssuerRules::new(issuer) };
        let mut listing = Self {
            rules,
            roles,
            clock_skew_seconds,
            is_registered: true,
            needed_until: BTreeMap::new(),
            until: 0,
            latest_cutoff: 0,
        };
        listing.list_roles();
        listing
    }

    fn list_roles(&mut self) {
        for (selector, uses) in self.roles.uses() {
            self.rules.list(&selector, uses);
            self.needed_until.remove(&selector);
        }
    }

    /// Adds a step that begins at `at`, or after the last revoked token: the entries of tokens that
    /// were revoked before stay as long as it was computed then. Beyond [`MOST_STEPS`] nothing
    /// changes: readers refuse a snapshot with more steps.
    pub(super) fn limit(&mut self, at: u64, seconds: u64) {
        // By the record's time, not by that of the process: all processes count the same steps.
        self.rules.horizons.forget_before(at.saturating_sub(leaves_at(0)));
        let steps = self.rules.horizons.steps();
        let last = steps.last().copied();
        if steps.len() >= MOST_STEPS || last.is_some_and(|step| step.seconds == seconds) {
            return;
        }
        let after_last = last.map_or(0, |step| step.issued_from.saturating_add(1));
        let issued_from = at.max(self.latest_cutoff.saturating_add(1)).max(after_last);
        self.rules.horizons.add(Horizon { issued_from, seconds });
    }

    pub(super) fn need(&mut self, until: u64, cutoff: u64) {
        self.until = self.until.max(until);
        self.latest_cutoff = self.latest_cutoff.max(cutoff);
    }

    /// Lists a selector for as long as an entry needs it. True if that changes the rules.
    pub(super) fn list_until(&mut self, selector: &Selector, until: u64) -> bool {
        if !self.roles.has(selector) && !self.is_configured(selector) {
            let needed = self.needed_until.entry(selector.clone()).or_default();
            *needed = (*needed).max(until);
        }
        self.rules.list(selector, Uses::CUTOFF)
    }

    /// Applies a registration, except for its horizon.
    pub(super) fn adopt(&mut self, registration: &Registration) {
        self.is_registered = true;
        self.clock_skew_seconds = registration.clock_skew_seconds;
        self.roles = Roles::of(registration);
        self.list_roles();
        for selector in &registration.selectors {
            self.rules.list(selector, Uses::CUTOFF);
        }
        self.keep_only(&registration.selectors);
    }

    /// In addition to the roles, only `configured` selectors are listed permanently: others are
    /// removed with their last revocation.
    pub(super) fn keep_only(&mut self, configured: &[Selector]) {
        for listed in &self.rules.selectors {
            if configured.contains(&listed.selector) || self.roles.has(&listed.selector) {
                self.needed_until.remove(&listed.selector);
            } else {
                self.needed_until.entry(listed.selector.clone()).or_insert(self.until);
            }
        }
    }

    /// True if the selector is listed permanently.
    fn is_configured(&self, selector: &Selector) -> bool {
        !self.needed_until.contains_key(selector) && self.rules.uses_of(selector).is_some()
    }

    pub(super) fn forget_before(&mut self, now: u64) {
        let needed = &mut self.needed_until;
        self.rules
            .selectors
            .retain(|listed| needed.get(&listed.selector).is_none_or(|until| *until >= now));
        needed.retain(|_, until| *until >= now);
        self.rules.horizons.forget_before(now.saturating_sub(leaves_at(0)));
    }

    pub(super) fn join(&mut self, other: &Self) {
        let mut needed = BTreeMap::new();
        for (selector, until) in self.needed_until.iter().chain(&other.needed_until) {
            if !self.is_configured(selector) && !other.is_configured(selector) {
                let held: &mut u64 = needed.entry(selector.clone()).or_default();
                *held = (*held).max(*until);
            }
        }
        self.needed_until = needed;
        self.rules.join(&other.rules);
        self.until = self.until.max(other.until);
        self.latest_cutoff = self.latest_cutoff.max(other.latest_cutoff);
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        let mut joined = self.rules.clone();
        joined.join(&other.rules);
        joined == self.rules && self.until >= other.until
    }
}

impl Roles {
    pub(super) fn of(registration: &Registration) -> Self {
        let claim = |claim: &Option<String>| Selector::new([claim.as_ref()?]).ok();
        Self {
            token: claim(&registration.token_claim),
            session: claim(&registration.session_claim),
            user: claim(&registration.user_claim),
        }
    }

    fn uses(&self) -> impl Iterator<Item = (Selector, Uses)> + use<> {
        let uses = [
            (self.token.clone(), Uses::TOKEN.and(Uses::EXACT)),
            (self.session.clone(), Uses::SESSION.and(Uses::EXACT)),
            (self.user.clone(), Uses::USER.and(Uses::CUTOFF)),
        ];
        uses.into_iter().filter_map(|(selector, uses)| Some((selector?, uses)))
    }

    fn has(&self, selector: &Selector) -> bool {
        [&self.token, &self.session, &self.user].into_iter().flatten().any(|one| one == selector)
    }
}

impl Default for Roles {
    fn default() -> Self {
        let claim = |claim| Selector::new([claim]).ok();
        Self { token: claim("jti"), session: claim("sid"), user: claim("sub") }
    }
}

/// The most steps of a horizon; concurrent requests may each add one more.
pub(super) const MOST_STEPS: usize = MAX_HORIZONS / 2;
