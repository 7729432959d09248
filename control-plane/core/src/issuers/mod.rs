//! The issuers whose tokens can be revoked, and the feed's rules for each of them.

mod listing;
mod registration;

use std::collections::{BTreeMap, BTreeSet};

use offswitch_snapshot::{
    ClaimValue, Fingerprint, Fingerprinter, Horizon, Horizons, IssuerRules, MAX_ISSUERS, Salt,
    Selector,
};
use serde::{Deserialize, Serialize};

use crate::limits::{LONGEST_ACCESS_TOKEN_SECONDS, leaves_at};

use listing::{Listing, MOST_STEPS};

pub use listing::Roles;
pub use offswitch_verifier::KeySource;
pub use registration::{Definition, Registration};

/// The claims of one revocation, by their paths.
pub type Claims = BTreeMap<String, ClaimValue<'static>>;

/// All issuers, by their `iss`: the control plane itself, and the registered ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuers {
    own: String,
    /// False until the log has the lifetime of the control plane's own tokens.
    is_own_limited: bool,
    /// By name; with the record of the last change. `None` for an issuer that was removed.
    registered: BTreeMap<String, (u64, Option<Registration>)>,
    listings: BTreeMap<String, Listing>,
}

/// One revocation, reduced to what a snapshot contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The fingerprint of the claims.
    pub id: u64,
    /// When the entry may be removed from the base, unix seconds.
    pub until: u64,
    /// False if its selector was not in use before.
    pub is_listed: bool,
}

impl Issuers {
    /// Only the control plane itself, whose tokens live as long as any can.
    pub fn new(own: &str) -> Self {
        let horizons = Horizons::constant(LONGEST_ACCESS_TOKEN_SECONDS);
        let listing = Listing::new(own, Roles::default(), 0, horizons);
        let listings = BTreeMap::from([(own.to_owned(), listing)]);
        let (own, is_own_limited) = (own.to_owned(), false);
        Self { own, is_own_limited, registered: BTreeMap::new(), listings }
    }

    /// The `iss` of the control plane's own tokens.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The registered issuers, by name.
    pub fn registered(&self) -> impl Iterator<Item = (&str, &Registration)> {
        let all = self.registered.iter();
        all.filter_map(|(name, (_, one))| Some((name.as_str(), one.as_ref()?)))
    }

    /// The issuer that was registered under a name.
    pub fn named(&self, name: &str) -> Option<&Registration> {
        self.registered.get(name)?.1.as_ref()
    }

    /// The registration with this exact `iss`, and its name.
    pub fn with_issuer(&self, issuer: &str) -> Option<(&str, &Registration)> {
        self.registered().find(|(_, one)| one.issuer == issuer)
    }

    /// True if an issuer's horizon can be set to this many seconds: each change is kept until every token
    /// from before it has expired.
    pub fn can_limit(&self, issuer: &str, seconds: u64) -> bool {
        let steps = self.rules_of(issuer).map_or(&[][..], |rules| rules.horizons.steps());
        steps.len() < MOST_STEPS || steps.last().is_some_and(|step| step.seconds == seconds)
    }

    /// True if another issuer can be registered.
    pub fn has_room(&self) -> bool {
        self.listings.len() < MAX_ISSUERS
    }

    /// The rules for all issuers in a base.
    pub fn rules(&self) -> Vec<IssuerRules> {
        self.listings.values().map(|listing| listing.rules.clone()).collect()
    }

    /// The feed's rules for one issuer.
    pub fn rules_of(&self, issuer: &str) -> Option<&IssuerRules> {
        self.listings.get(issuer).map(|listing| &listing.rules)
    }

    /// The epoch of an issuer, unix seconds, or 0.
    pub fn epoch_of(&self, issuer: &str) -> u64 {
        self.rules_of(issuer).map_or(0, |rules| rules.epoch)
    }

    /// How far an issuer's clock may differ from ours, in seconds.
    pub fn clock_skew_of(&self, issuer: &str) -> u64 {
        self.listings.get(issuer).map_or(0, |listing| listing.clock_skew_seconds)
    }

    /// The longest life of a token that the control plane issues at `now`, in seconds.
    pub fn own_limit_at(&self, now: u64) -> u64 {
        let rules = self.rules_of(&self.own);
        let limit = rules.and_then(|rules| rules.horizons.limit_at(now));
        limit.unwrap_or(LONGEST_ACCESS_TOKEN_SECONDS).min(LONGEST_ACCESS_TOKEN_SECONDS)
    }

    /// How many selectors of an issuer would be in use with these in addition.
    pub fn selectors_with<'a>(
        &self,
        issuer: &str,
        added: impl IntoIterator<Item = &'a Selector>,
    ) -> usize {
        let rules = self.rules_of(issuer);
        let mut all: BTreeSet<&Selector> = added.into_iter().collect();
        all.extend(rules.iter().flat_map(|rules| &rules.selectors).map(|listed| &listed.selector));
        all.len()
    }

    /// The claims that name a token, a session and a user of an issuer.
    pub fn roles_of(&self, issuer: &str) -> Roles {
        self.listings.get(issuer).map(|listing| listing.roles.clone()).unwrap_or_default()
    }

    /// The latest `exp` of an acceptable token of `issuer` that was issued up to `cutoff`.
    pub fn latest_exp(&self, issuer: &str, cutoff: u64) -> u64 {
        let rules = self.rules_of(issuer);
        let latest = rules.and_then(|rules| rules.horizons.latest_exp(cutoff));
        latest.unwrap_or(cutoff.saturating_add(UNREGISTERED_SECONDS))
    }

    /// Registers an issuer under a name, or changes it. Its horizon changes for tokens issued from
    /// `at` on, or a little later.
    pub(crate) fn register(&mut self, name: &str, registration: &Registration, at: u64, seq: u64) {
        let before = self.named(name).map(|before| before.issuer.clone());
        if let Some(before) = before.filter(|before| *before != registration.issuer) {
            self.retire(&before);
        }
        self.registered.insert(name.to_owned(), (seq, Some(registration.clone())));
        let Registration { issuer, horizon_seconds, .. } = registration;
        let begin = || {
            let horizons = Horizons::constant(*horizon_seconds);
            Listing::new(issuer, Roles::of(registration), 0, horizons)
        };
        let listing = self.listings.entry(issuer.clone()).or_insert_with(begin);
        listing.limit(at, *horizon_seconds);
        listing.adopt(registration);
    }

    /// Removes the issuer that was registered under a name.
    pub(crate) fn remove(&mut self, name: &str, seq: u64) -> Option<String> {
        let (_, removed) = self.registered.insert(name.to_owned(), (seq, None))?;
        let issuer = removed?.issuer;
        self.retire(&issuer);
        Some(issuer)
    }

    fn retire(&mut self, issuer: &str) {
        if let Some(listing) = self.listings.get_mut(issuer) {
            listing.is_registered = false;
            listing.keep_only(&[]);
        }
    }

    /// Limits the control plane's own tokens issued from `at` on. The first limit of a log applies
    /// to all of them: a process records it before it issues its first token.
    pub(crate) fn limit_own(&mut self, at: u64, seconds: u64) {
        let (own, is_first) = (self.own.clone(), !self.is_own_limited);
        self.is_own_limited = true;
        let listing = self.listing(&own);
        match is_first {
            true => listing.rules.horizons.add(Horizon { issued_from: 0, seconds }),
            false => listing.limit(at, seconds),
        }
    }

    /// True if the current limit of the control plane's own tokens in the log is this one.
    pub fn is_own_limited_to(&self, seconds: u64) -> bool {
        let steps = self.rules_of(&self.own).map_or(&[][..], |rules| rules.horizons.steps());
        self.is_own_limited && steps.last().is_some_and(|step| step.seconds == seconds)
    }

    /// Raises an issuer's epoch. True if that changes the rules.
    pub(crate) fn raise_epoch(&mut self, issuer: &str, epoch: u64) -> bool {
        let until = leaves_at(self.latest_exp(issuer, epoch));
        let listing = self.listing(issuer);
        listing.need(until, epoch);
        let is_new = epoch > listing.rules.epoch;
        listing.rules.epoch = listing.rules.epoch.max(epoch);
        is_new
    }

    /// Notes that a key of this issuer was declared dead at `at`.
    pub(crate) fn need_key(&mut self, issuer: &str, at: u64) {
        let cutoff = at.saturating_add(self.clock_skew_of(issuer));
        let until = self.until(issuer, cutoff, 0);
        self.listing(issuer).need(until, cutoff);
    }

    /// The entry for the tokens of `issuer` with these claims that were issued up to `cutoff`. Lists
    /// their selector, and keeps it for as long as the entry. `exp` is the latest `exp` that the
    /// caller knows of.
    pub(crate) fn enter(
        &mut self,
        salt: Salt,
        issuer: &str,
        claims: &Tokens<'_>,
        cutoff: u64,
        exp: u64,
    ) -> Option<Entry> {
        let until = self.until(issuer, cutoff, exp);
        let listing = self.listing(issuer);
        listing.need(until, cutoff);
        let print = |selector: &Option<Selector>, id: &str| {
            Some(Fingerprinter::new(salt, issuer, selector.as_ref()?).of(&[id.into()]))
        };
        let (id, is_listed) = match claims {
            Tokens::Claims(claims) => {
                let selector = Selector::new(claims.keys()).ok()?;
                let id = Fingerprinter::new(salt, issuer, &selector).of(claims.values());
                (id, !listing.list_until(&selector, until))
            }
            Tokens::Session(id) => (print(&listing.roles.session, id)?, true),
            Tokens::Token(id) => (print(&listing.roles.token, id)?, true),
            Tokens::User(id) => (print(&listing.roles.user, id)?, true),
        };
        Some(Entry { id: id.0, until, is_listed })
    }

    /// The fingerprint of one of the control plane's own sessions.
    pub fn print_own_session(&self, salt: Salt, sid: &str) -> u64 {
        Fingerprint::of_claim(salt, &self.own, "sid", sid).0
    }

    /// The fingerprint of one of the control plane's own users.
    pub fn print_own_user(&self, salt: Salt, sub: &str) -> u64 {
        Fingerprint::of_claim(salt, &self.own, "sub", sub).0
    }

    /// Until when the entry for these tokens stays, unix seconds.
    pub fn until(&self, issuer: &str, cutoff: u64, exp: u64) -> u64 {
        leaves_at(self.latest_exp(issuer, cutoff).max(exp))
    }

    /// Forgets what has expired at `now`. Returns the issuers without any rules left.
    pub fn forget_before(&mut self, now: u64) -> Vec<String> {
        for listing in self.listings.values_mut() {
            listing.forget_before(now);
        }
        let own = self.own.clone();
        let is_needed = |listing: &Listing| listing.is_registered || listing.until >= now;
        let gone = |(issuer, listing): (&String, &Listing)| {
            (*issuer != own && !is_needed(listing)).then(|| issuer.clone())
        };
        let gone: Vec<String> = self.listings.iter().filter_map(gone).collect();
        for issuer in &gone {
            self.listings.remove(issuer);
        }
        gone
    }

    /// Adds all rules of `other`.
    pub(crate) fn join(&mut self, other: &Self) {
        for (name, (seq, registration)) in &other.registered {
            let held = self.registered.entry(name.clone()).or_insert((0, None));
            if *seq > held.0 {
                *held = (*seq, registration.clone());
            }
        }
        self.is_own_limited |= other.is_own_limited;
        for (issuer, theirs) in &other.listings {
            match self.listings.get_mut(issuer) {
                Some(held) => held.join(theirs),
                None => drop(self.listings.insert(issuer.clone(), theirs.clone())),
            }
        }
        for (issuer, listing) in &mut self.listings {
            listing.is_registered = *issuer == self.own;
        }
        for (_, registration) in self.registered.values() {
            if let Some(registration) = registration
                && let Some(listing) = self.listings.get_mut(&registration.issuer)
            {
                listing.adopt(registration);
            }
        }
    }

    /// True if `other` has a rule that is needed at `now` and missing here.
    pub(crate) fn lacks(&self, other: &Self, now: u64) -> bool {
        let registered = other.registered.iter();
        let is_missing = |(name, (seq, _)): (&String, &(u64, _))| {
            self.registered.get(name).is_none_or(|(held, _)| held < seq)
        };
        let mut theirs = other.clone();
        theirs.forget_before(now);
        (other.is_own_limited && !self.is_own_limited)
            || registered.into_iter().any(is_missing)
            || theirs.listings.iter().any(|(issuer, listing)| {
                self.listings.get(issuer).is_none_or(|held| !held.covers(listing))
            })
    }

    fn listing(&mut self, issuer: &str) -> &mut Listing {
        let begin = || {
            let horizons = Horizons::constant(UNREGISTERED_SECONDS);
            let listing = Listing::new(issuer, Roles::default(), 0, horizons);
            Listing { is_registered: false, ..listing }
        };
        self.listings.entry(issuer.to_owned()).or_insert_with(begin)
    }
}

/// The tokens that one revocation names.
#[derive(Debug, Clone, Copy)]
pub enum Tokens<'a> {
    /// Those with these claims.
    Claims(&'a Claims),
    /// Those of one session.
    Session(&'a str),
    /// The one with this id.
    Token(&'a str),
    /// Those of one user.
    User(&'a str),
}

/// The assumed lifetime of tokens of an issuer that was never registered. No revocation of such an
/// issuer is accepted, so this only counts if an issuer is removed during a revocation.
const UNREGISTERED_SECONDS: u64 = 604_800;

#[cfg(test)]
mod tests {
    use offswitch_snapshot::MAX_HORIZONS;

    use super::*;

    fn registration(issuer: &str, horizon_seconds: u64, user_claim: &str) -> Registration {
        let definition = Definition {
            issuer: issuer.to_owned(),
            jwks_uri: Some("https://idp.example/keys".to_owned()),
            horizon_seconds: Some(horizon_seconds),
            user_id_claim: Some(user_claim.to_owned()),
            ..Definition::default()
        };
        definition.check("i", &Issuers::new("own")).unwrap()
    }

    fn names(issuers: &Issuers, issuer: &str) -> Vec<String> {
        let rules = issuers.rules_of(issuer).map(|rules| rules.selectors.clone());
        rules.unwrap_or_default().iter().map(|listed| listed.selector.to_string()).collect()
    }

    fn enter(issuers: &mut Issuers, claim: &str, cutoff: u64) -> u64 {
        let claims = Claims::from([(claim.to_owned(), ClaimValue::from("x"))]);
        let entry = issuers.enter(Salt::default(), "i", &Tokens::Claims(&claims), cutoff, 0);
        entry.map_or(0, |entry| entry.until)
    }

    // I06: a raise that is accepted in the second of a revocation holds for later tokens only.
    #[test]
    fn a_step_begins_after_the_last_revoked_token() {
        let mut issuers = Issuers::new("own");
        issuers.register("i", &registration("i", 60, "sub"), 1000, 1);
        let until = enter(&mut issuers, "c", 1006);
        assert_eq!(until, leaves_at(1006 + 60));
        issuers.register("i", &registration("i", 3600, "sub"), 1000, 2);
        assert_eq!(issuers.latest_exp("i", 1006), 1066);
        assert_eq!(issuers.latest_exp("i", 1007), 1007 + 3600);
    }

    #[test]
    fn a_selector_is_removed_with_its_last_revocation() {
        let mut issuers = Issuers::new("own");
        issuers.register("i", &registration("i", 60, "oid"), 1000, 1);
        let until = enter(&mut issuers, "c", 1001);
        // The user is another claim from now on: the old one stays for its revocations.
        issuers.register("i", &registration("i", 60, "sub"), 1000, 2);
        assert_eq!(names(&issuers, "i"), ["c", "jti", "oid", "sid", "sub"]);
        assert!(issuers.forget_before(until).is_empty());
        assert_eq!(names(&issuers, "i").len(), 5);
        issuers.forget_before(until + 1);
        assert_eq!(names(&issuers, "i"), ["jti", "sid", "sub"]);
    }

    #[test]
    fn a_removed_issuer_is_forgotten_with_its_last_revocation() {
        let mut issuers = Issuers::new("own");
        issuers.register("i", &registration("i", 60, "sub"), 1000, 1);
        let until = enter(&mut issuers, "c", 1001);
        assert_eq!(issuers.remove("i", 2).as_deref(), Some("i"));
        assert!(issuers.forget_before(until).is_empty() && issuers.rules_of("i").is_some());
        assert_eq!(issuers.forget_before(until + 1), ["i"]);
        assert!(issuers.rules_of("i").is_none() && issuers.rules_of("own").is_some());
    }

    // The first limit applies to all own tokens; a later one does not change it for tokens issued
    // before.
    #[test]
    fn the_first_limit_of_a_log_applies_to_all_own_tokens() {
        let mut issuers = Issuers::new("own");
        assert_eq!(issuers.latest_exp("own", 1000), 1000 + 86_400);
        issuers.limit_own(1000, 600);
        assert_eq!(issuers.latest_exp("own", 1000), 1600);
        assert!(issuers.is_own_limited_to(600) && !issuers.is_own_limited_to(60));
        issuers.limit_own(2000, 60);
        assert_eq!((issuers.own_limit_at(1999), issuers.own_limit_at(2000)), (600, 60));
        let mut longest = Issuers::new("own");
        assert!(!longest.is_own_limited_to(86_400));
        longest.limit_own(1000, 86_400);
        longest.limit_own(2000, 600);
        assert_eq!((longest.own_limit_at(1999), longest.own_limit_at(2000)), (86_400, 600));
    }

    // A removed issuer whose key was declared dead is not forgotten while tokens of that key may live: the
    // dead key would be forgotten with it.
    #[test]
    fn a_removed_issuer_with_a_dead_key_stays_until_the_keys_tokens_have_expired() {
        let mut issuers = Issuers::new("own");
        issuers.register("i", &registration("i", 60, "sub"), 1000, 1);
        issuers.need_key("i", 1000);
        issuers.remove("i", 2);
        let last = leaves_at(1000 + 5 + 60);
        assert!(issuers.forget_before(last).is_empty());
        assert_eq!(issuers.forget_before(last + 1), ["i"]);
    }

    // Readers refuse a snapshot with too many steps: no caller and no restart may add them.
    #[test]
    fn a_horizon_that_is_changed_many_times_stays_within_the_limit_of_readers() {
        let mut issuers = Issuers::new("own");
        for change in 0..200 {
            let seconds = 60 + change % 2;
            issuers.limit_own(1000 + change, seconds);
            if issuers.can_limit("i", seconds) {
                issuers.register("i", &registration("i", seconds, "sub"), 1000 + change, change);
            }
        }
        for rules in issuers.rules() {
            assert!(rules.horizons.steps().len() <= MAX_HORIZONS, "{}", rules.issuer);
        }
    }

    // R03: two histories of one log are joined; the later registration counts.
    #[test]
    fn joined_issuers_have_the_rules_of_both() {
        let mut one = Issuers::new("own");
        one.register("i", &registration("i", 60, "sub"), 1000, 1);
        let mut other = one.clone();
        other.register("i", &registration("i", 60, "oid"), 1000, 2);
        enter(&mut other, "c", 1001);
        other.raise_epoch("i", 1500);
        one.register("j", &registration("j", 60, "sub"), 1000, 2);
        assert!(one.lacks(&other, 1000) && other.lacks(&one, 1000));
        let mut joined = one.clone();
        joined.join(&other);
        other.join(&one);
        assert_eq!(joined, other);
        assert!(!joined.lacks(&one, 1000) && !joined.lacks(&other, 1000));
        assert_eq!(joined.named("i").map(|one| one.user_claim.as_deref().unwrap()), Some("oid"));
        assert_eq!(names(&joined, "i"), ["c", "jti", "oid", "sid", "sub"]);
        assert_eq!(joined.epoch_of("i"), 1500);
    }
}
