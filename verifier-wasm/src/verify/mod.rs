//! The verifier: trusted keys, followed revocations, one verdict.

mod admit;
pub(crate) mod caching;
pub(crate) mod check;
pub(crate) mod config;
mod config_json;
pub(crate) mod defect;
pub(crate) mod explain;
pub(crate) mod presentation;
pub(crate) mod refusal;
pub(crate) mod rules;
pub(crate) mod selection;
pub(crate) mod standing;
mod tickets;
pub(crate) mod verdict;

use self::config::{ConfigProblem, DpopConfig, IssuerConfig, OnStale, VerifierConfig};
use self::defect::Part;
use self::presentation::Presentation;
use self::refusal::{Mismatch, Objection, Refusal, Undecided};
use self::selection::Listed;
use self::standing::Standing;
use self::verdict::{Decision, Evidence, Verdict};
use crate::feed::{Applied, ApplyError, Feed};
use crate::keys::algorithm::Algorithm;
use crate::keys::{KeyId, KeySet, VerifyingKey};
use crate::shown::Shown;
use crate::snapshot::{Horizons, Snapshot};
use crate::token::claims::{ClaimSet, VerifiedClaims};
use crate::token::jws::{self, Jws};

pub use self::admit::Pending;

/// Judges tokens of the configured issuers against the revocations of one feed.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    feed: Feed,
    max_staleness_seconds: u64,
    on_stale: OnStale,
    dpop: DpopConfig,
    /// Increases when a basis of a [`Standing`] changes: the keys, the feed's salt, or the claims
    /// that it revokes by.
    generation: u32,
}

#[derive(Debug)]
pub(crate) struct Issuer {
    rules: IssuerConfig,
    required: ClaimSet,
    keys: KeySet,
    /// Which of the keys are dead according to the feed.
    dead: Vec<bool>,
    /// The feed's rules for the issuer.
    listed: Listed,
}

/// The allowed age of the feed for one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Staleness {
    /// Any age: tokens that the last snapshot does not revoke are accepted.
    Any,
    /// This many seconds.
    AtMost(u64),
    /// The configuration of the verifier.
    #[default]
    Configured,
}

impl Verifier {
    /// A verifier without keys and snapshots: it refuses everything until it has both.
    ///
    /// # Errors
    ///
    /// All problems of the configuration.
    pub fn new(config: VerifierConfig) -> Result<Self, Vec<ConfigProblem>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let keys = config.feed.keys().map_err(|problem| vec![problem])?;
        let issuer = |rules: IssuerConfig| {
            let required = ClaimSet::of(rules.required_claims.iter().map(String::as_str));
            let (keys, listed) = (KeySet::default(), Listed::default());
            Issuer { rules, required, keys, dead: vec![], listed }
        };
        Ok(Self {
            issuers: config.issuers.into_iter().map(issuer).collect(),
            feed: Feed::new(config.feed.id, keys),
            max_staleness_seconds: config.feed.max_staleness_seconds,
            on_stale: config.feed.on_stale,
            dpop: config.dpop,
            generation: 0,
        })
    }

    /// The algorithms of the `issuer`-th configured issuer, with which its key set is read.
    pub fn algorithms(&self, issuer: usize) -> &[Algorithm] {
        self.issuers.get(issuer).map_or(&[], |issuer| &issuer.rules.algorithms)
    }

    /// Replaces the keys of `issuer`; false if no such issuer is configured.
    pub fn set_keys(&mut self, issuer: &str, keys: KeySet) -> bool {
        let at = self.issuers.iter().position(|known| known.rules.issuer == issuer);
        at.is_some_and(|at| self.set_keys_of(at, keys))
    }

    /// Replaces the keys of the `issuer`-th configured issuer; false if there is no such issuer.
    pub fn set_keys_of(&mut self, issuer: usize, keys: KeySet) -> bool {
        let Some(known) = self.issuers.get_mut(issuer) else { return false };
        known.keys = keys;
        self.generation = self.generation.wrapping_add(1);
        self.look_for_dead_keys();
        true
    }

    /// Applies one signed snapshot of the feed; on an error the last good state stays in force.
    ///
    /// `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn apply(&mut self, snapshot: Vec<u8>, now: u64) -> Result<Applied, ApplyError> {
        let snapshot = self.feed.trust().open(snapshot)?;
        self.take(snapshot, now)
    }

    /// As [`apply`](Self::apply), for a snapshot that was opened before, as [`FeedTrust`](crate::FeedTrust)
    /// can while verdicts go on.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn take(&mut self, snapshot: Snapshot, now: u64) -> Result<Applied, ApplyError> {
        let before = (self.feed.salt(), self.feed.rules_generation());
        let applied = self.feed.take(snapshot, now)?;
        let salt = self.feed.salt();
        if (salt, self.feed.rules_generation()) != before {
            self.list(salt != before.0);
        }
        self.look_for_dead_keys();
        Ok(applied)
    }

    /// The feed as far as it was followed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The feed, to resume it after a restart.
    pub fn feed_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }

    /// Judges `token`, presented as a bearer token, at `now` (unix seconds): the signature first,
    /// then the claims, then the revocations.
    pub fn verify(&self, token: &str, now: u64) -> Verdict {
        let admitted = Jws::parse(token).and_then(|jws| self.admit(&jws));
        self.verdict(admitted, Presentation::Bearer, now, Staleness::Configured)
    }

    /// The verdict at `now` (unix seconds) on a token for which [`admit`](Self::admit) has returned
    /// `admitted`, now or earlier.
    pub fn verdict(
        &self,
        admitted: Result<(Standing, VerifiedClaims), Refusal>,
        presentation: Presentation<'_>,
        now: u64,
        staleness: Staleness,
    ) -> Verdict {
        let decision = match self.conclude(admitted, presentation, now, staleness) {
            Ok((_, claims)) => Decision::Valid(Box::new(claims)),
            Err(objection) => objection.into(),
        };
        Verdict { decision, evidence: self.evidence(now) }
    }

    /// Returns an admitted token if it is valid now.
    pub(crate) fn conclude(
        &self,
        admitted: Result<(Standing, VerifiedClaims), Refusal>,
        presentation: Presentation<'_>,
        now: u64,
        staleness: Staleness,
    ) -> Result<(Standing, VerifiedClaims), Objection> {
        let (standing, claims) = admitted?;
        self.judge(&standing, presentation, now, staleness)?;
        Ok((standing, claims))
    }

    /// Why no key has accepted the token. If the issuer that the payload names has no key of that
    /// name, it may have published one since, even if another issuer has a key of that name.
    ///
    /// No signature covers that name. It chooses which refusal is reported, and nothing else.
    #[cold]
    fn why_no_key(&self, jws: &Jws<'_>) -> Refusal {
        let (kid, algorithm) = (jws.kid(), jws.algorithm());
        let payload = jws::decode(Part::Payload, jws.unverified_payload()).unwrap_or_default();
        if self.lacks_key(admit::issuer_in(&payload).as_deref(), kid, algorithm) {
            return self.unknown_key(kid, algorithm);
        }
        if self.candidates(jws).next().is_some() {
            return Refusal::BadSignature;
        }
        let named = |issuer: &Issuer| issuer.keys.find(kid, algorithm).is_some();
        if self.issuers.iter().any(named) {
            let expected = "one of the algorithms that the issuer's rules allow";
            return Refusal::unsupported_algorithm(algorithm.name(), expected);
        }
        let other = |issuer: &Issuer| issuer.keys.of_kid(kid).map(VerifyingKey::algorithm);
        match self.issuers.iter().find_map(other) {
            Some(of_key) => {
                let expected = format!("{}, the algorithm of that key", of_key.name());
                Refusal::unsupported_algorithm(algorithm.name(), expected)
            }
            None => self.unknown_key(kid, algorithm),
        }
    }

    /// True if an issuer of this name is configured and none of its keys can be the one meant.
    fn lacks_key(&self, name: Option<&str>, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.issuers.iter().any(|Issuer { rules, keys, .. }| {
            Some(rules.issuer.as_str()) == name
                && keys.of_kid(kid).is_none()
                && keys.find(kid, algorithm).is_none()
        })
    }

    #[cold]
    fn unknown_key(&self, kid: Option<&str>, algorithm: Algorithm) -> Refusal {
        let count: usize = self.issuers.iter().map(|issuer| issuer.keys.keys().len()).sum();
        let expected = match (count, kid) {
            (0, _) => "the name of a key, but no usable key is loaded".to_owned(),
            (_, Some(_)) => format!("the name of one of the {count} keys that are loaded"),
            (_, None) => format!(
                "the name of a key: not exactly one {} key is loaded for an issuer",
                algorithm.name()
            ),
        };
        let found = kid.map_or("missing".to_owned(), |kid| Shown::new(kid).into());
        Refusal::UnknownKey(Mismatch::new("kid", found, expected))
    }

    /// Judges at `now` (unix seconds) what [`admit`](Self::admit) has not checked: the times first,
    /// then the revocations, then the presentation, then whether the feed is fresh enough.
    ///
    /// # Errors
    ///
    /// Why the token is not valid now.
    pub fn judge(
        &self,
        standing: &Standing,
        mut presentation: Presentation<'_>,
        now: u64,
        staleness: Staleness,
    ) -> Result<(), Objection> {
        let listed = self.listed(standing);
        standing.check_horizon(listed)?;
        self.check_end(standing, now)?;
        self.check_start(standing, now)?;
        self.check_key(standing)?;
        standing.check_revocations(&self.feed, listed)?;
        // Before any undecided verdict: a route may serve undecided requests, and must not serve
        // this one.
        let proof = presentation.check(standing, self.dpop.max_age_seconds, now)?;
        match self.hesitate(now, staleness) {
            Some(undecided) => Err(undecided.into()),
            None => {
                presentation.remember(proof);
                Ok(())
            }
        }
    }

    /// True while admitting the token again would give the same `standing`.
    pub fn is_current(&self, standing: &Standing) -> bool {
        standing.generation == self.generation
    }

    /// True if the token shows that the held state is behind the log: it belongs to a session that
    /// was opened later.
    pub fn is_behind(&self, standing: &Standing) -> bool {
        let reached = self.feed.position().map_or(0, |position| position.seq);
        standing.user_version.is_some_and(|version| version > reached)
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The evidence of a verdict at `now` (unix seconds).
    pub fn evidence(&self, now: u64) -> Evidence {
        Evidence { position: self.feed.position(), age_seconds: self.feed.age_seconds(now) }
    }

    pub(crate) fn check_end(&self, standing: &Standing, now: u64) -> Result<(), Objection> {
        let proven = self.feed.proven_time(now);
        if standing.check_end(proven).is_ok() {
            return Ok(());
        }
        // A snapshot from the future shows that one of the clocks is wrong, but not which one:
        // replaying one must not make good tokens expired.
        standing.check_end(now)?;
        Err(Self::clock_skew(proven, now))
    }

    pub(crate) fn check_start(&self, standing: &Standing, now: u64) -> Result<(), Objection> {
        let epoch = self.listed(standing).epoch;
        let Err(refusal) = standing.check_start(epoch, now) else { return Ok(()) };
        // Our own clock may be behind; the feed may show that, but it cannot make a token valid.
        let shown = self.feed.shown_time(now);
        Err(match standing.check_start(epoch, shown) {
            Ok(()) => Self::clock_skew(shown, now),
            Err(_) => refusal.into(),
        })
    }

    fn clock_skew(shown: u64, now: u64) -> Objection {
        Undecided::ClockSkew { behind_seconds: shown.saturating_sub(now), now }.into()
    }

    pub(crate) fn check_key(&self, standing: &Standing) -> Result<(), Refusal> {
        let KeyId { issuer, key } = standing.key;
        match self.issuers.get(issuer).and_then(|issuer| issuer.dead.get(key)) {
            Some(false) => Ok(()),
            _ => Err(Refusal::RevokedKey),
        }
    }

    /// Why an otherwise valid token cannot be called valid.
    pub(crate) fn hesitate(&self, now: u64, staleness: Staleness) -> Option<Undecided> {
        if !self.feed.is_ready() {
            return Some(Undecided::NoSnapshot);
        }
        if self.feed.is_forked() {
            return Some(Undecided::FeedFork);
        }
        let limit = match (staleness, self.on_stale) {
            (Staleness::Any, _) | (Staleness::Configured, OnStale::Allow) => return None,
            (Staleness::AtMost(seconds), _) => seconds,
            (Staleness::Configured, OnStale::Deny) => self.max_staleness_seconds,
        };
        let age_seconds = self.feed.age_seconds(now)?;
        if age_seconds <= limit && !self.feed.is_past_validity(now) {
            return None;
        }
        let limit_seconds = limit.min(self.feed.validity_seconds());
        Some(Undecided::StaleSnapshot { age_seconds, limit_seconds })
    }

    /// The feed's rules for the issuer of an admitted token.
    pub(crate) fn listed(&self, standing: &Standing) -> &Listed {
        self.listed_of(standing.key)
    }

    pub(crate) fn listed_of(&self, key: KeyId) -> &Listed {
        self.issuers.get(key.issuer).map_or(const { &NOT_LISTED }, |issuer| &issuer.listed)
    }

    /// Takes the feed's rules for each issuer. Standings stay usable while they have the required
    /// fingerprints.
    fn list(&mut self, is_salt_new: bool) {
        let salt = self.feed.salt().unwrap_or_default();
        let mut is_current = !is_salt_new;
        for Issuer { rules, listed, .. } in &mut self.issuers {
            let rules = self.feed.rules_of(&rules.issuer);
            let new = rules.map(|rules| Listed::new(rules, salt)).unwrap_or_default();
            is_current &= new.selects_as(listed);
            *listed = new;
        }
        if !is_current {
            self.generation = self.generation.wrapping_add(1);
        }
    }

    fn look_for_dead_keys(&mut self) {
        for Issuer { rules, keys, dead, .. } in &mut self.issuers {
            let is_dead = |key: &VerifyingKey| {
                key.kid().is_some_and(|kid| self.feed.is_dead(&rules.issuer, kid))
            };
            *dead = keys.keys().iter().map(is_dead).collect();
        }
    }
}

const NOT_LISTED: Listed = Listed { epoch: 0, horizons: Horizons::none(), selectors: Vec::new() };
