//! The verifier: trusted keys, followed revocations, one verdict.

pub(crate) mod check;
pub(crate) mod config;
mod config_json;
pub(crate) mod explain;
pub(crate) mod refusal;
pub(crate) mod standing;
pub(crate) mod verdict;

use std::rc::Rc;

use crate::json::{Object, Value};
use crate::keys::algorithm::Algorithm;
use crate::keys::{KeyId, KeySet, VerifyingKey};
use crate::shown::Shown;
use crate::snapshot::{Applied, ApplyError, Feed};
use crate::token::claims::{ClaimSet, Claims, NOT_AN_OBJECT, VerifiedClaims};
use crate::token::jws::{self, Header, Jws};
use crate::verify::config::{
    AudienceRule, ConfigProblem, IssuerConfig, OnStale, RequiredValue, VerifierConfig,
};
use crate::verify::refusal::{Mismatch, Objection, Refusal, Undecided};
use crate::verify::standing::Standing;
use crate::verify::verdict::{Decision, Evidence, Verdict};

/// Judges tokens of the configured issuers against the revocations of one feed.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    feed: Feed,
    max_staleness_seconds: u64,
    on_stale: OnStale,
    /// Grows when what a [`Standing`] was made with changes: the keys, or the feed's salt.
    generation: u32,
}

#[derive(Debug)]
struct Issuer {
    rules: IssuerConfig,
    required: ClaimSet,
    keys: KeySet,
    /// Which of the keys the feed has declared dead.
    dead: Vec<bool>,
}

/// A token whose signature is being checked elsewhere.
#[derive(Debug, Clone)]
pub struct Pending {
    generation: u32,
    header: Rc<Header>,
    is_shared: bool,
    key: KeyId,
    payload: String,
}

/// How old the newest statement of the feed may be for one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Staleness {
    /// Any age: what the last snapshot does not revoke is honoured.
    Any,
    /// So many seconds.
    AtMost(u64),
    /// What the verifier was configured with.
    #[default]
    Configured,
}

impl Verifier {
    /// A verifier without keys and snapshots: it refuses everything until it has both.
    ///
    /// # Errors
    ///
    /// Every problem of the configuration at once.
    pub fn new(config: VerifierConfig) -> Result<Self, Vec<ConfigProblem>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let keys = config.feed.keys().map_err(|problem| vec![problem])?;
        let issuer = |rules: IssuerConfig| {
            let required = ClaimSet::of(rules.required_claims.iter().map(String::as_str));
            Issuer { rules, required, keys: KeySet::default(), dead: vec![] }
        };
        Ok(Self {
            issuers: config.issuers.into_iter().map(issuer).collect(),
            feed: Feed::new(config.feed.id, keys),
            max_staleness_seconds: config.feed.max_staleness_seconds,
            on_stale: config.feed.on_stale,
            generation: 0,
        })
    }

    /// Replaces the keys of `issuer`; false if no such issuer is configured.
    pub fn set_keys(&mut self, issuer: &str, keys: KeySet) -> bool {
        let at = self.issuers.iter().position(|known| known.rules.issuer == issuer);
        at.is_some_and(|at| self.set_keys_of(at, keys))
    }

    /// Replaces the keys of the `issuer`-th issuer that was configured; false if there is none.
    pub fn set_keys_of(&mut self, issuer: usize, keys: KeySet) -> bool {
        let Some(known) = self.issuers.get_mut(issuer) else { return false };
        known.keys = keys;
        self.generation = self.generation.wrapping_add(1);
        self.look_for_dead_keys();
        true
    }

    /// Takes one signed snapshot of the feed; on an error the last good state stays in force.
    ///
    /// `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn apply(&mut self, snapshot: Vec<u8>, now: u64) -> Result<Applied, ApplyError> {
        let salt = self.feed.salt();
        let applied = self.feed.apply(snapshot, now)?;
        if self.feed.salt() != salt {
            self.generation = self.generation.wrapping_add(1);
        }
        self.look_for_dead_keys();
        Ok(applied)
    }

    /// The feed as far as it was followed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The feed, to resume it where it was before a restart.
    pub fn feed_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }

    /// Judges `token` at `now` (unix seconds): the signature first, the claims second, the
    /// revocations last.
    pub fn verify(&self, token: &str, now: u64) -> Verdict {
        let admitted = Jws::parse(token).and_then(|jws| self.admit(&jws));
        let decision = match admitted {
            Err(refusal) => Decision::Refused(refusal),
            Ok((standing, claims)) => match self.judge(&standing, now, Staleness::Configured) {
                Err(objection) => objection.into(),
                Ok(()) => Decision::Valid(Box::new(claims)),
            },
        };
        Verdict { decision, evidence: self.evidence(now) }
    }

    /// Checks all of a token that neither time nor the feed can change: its signature and its
    /// claims. What is left is for [`judge`](Self::judge).
    ///
    /// # Errors
    ///
    /// Why the token is refused for good.
    pub fn admit(&self, jws: &Jws<'_>) -> Result<(Standing, VerifiedClaims), Refusal> {
        let (key, payload) = self.authenticate(jws)?;
        self.read_claims(jws.header(), key, payload)
    }

    /// Finds the key that the token's signature is of, and hands out the payload. Where keys of
    /// several issuers fit, the one whose issuer the payload names judges; the signature comes first.
    pub(crate) fn authenticate(&self, jws: &Jws<'_>) -> Result<(KeyId, Vec<u8>), Refusal> {
        let is_shared = self.is_shared(jws);
        let mut fitting = None;
        for id in self.candidates(jws) {
            let Some((rules, key)) = self.key(id) else { continue };
            match jws.verify(key) {
                Ok(payload) if !is_shared || names_issuer(&payload, rules) => {
                    return Ok((id, payload));
                }
                Ok(payload) => fitting = fitting.or(Some((id, payload))),
                Err(Refusal::BadSignature) => {}
                // Its signature is good: what is wrong beside it, no other key can tell.
                Err(error) => return Err(error),
            }
        }
        fitting.ok_or_else(|| self.why_no_key(jws))
    }

    /// True if keys of several issuers may fit the token.
    fn is_shared(&self, jws: &Jws<'_>) -> bool {
        self.candidates(jws).nth(1).is_some()
    }

    /// What to keep of a token while its signature is checked elsewhere with `key`.
    pub fn suspend(&self, jws: &Jws<'_>, key: KeyId) -> Pending {
        let payload = jws.unverified_payload().to_owned();
        let header = jws.header().clone();
        Pending {
            generation: self.generation,
            header,
            is_shared: self.is_shared(jws),
            key,
            payload,
        }
    }

    /// As [`admit`](Self::admit), for a caller that has checked that the pending token's signature
    /// is its key's: nothing here does so again. None if the keys have changed meanwhile, or if the
    /// token names another issuer, which may have the same key: the token must be read again.
    ///
    /// # Errors
    ///
    /// Why the token is refused for good.
    pub fn admit_vouched_for(
        &self,
        pending: &Pending,
    ) -> Option<Result<(Standing, VerifiedClaims), Refusal>> {
        let Pending { generation, header, is_shared, key, payload } = pending;
        if *generation != self.generation {
            return None;
        }
        let text = match jws::decode(payload) {
            Ok(text) => text,
            Err(refusal) => return Some(Err(refusal)),
        };
        let (rules, _) = self.key(*key)?;
        // Before any rule of this issuer is applied: it may be another's token.
        if *is_shared && !names_issuer(&text, rules) {
            return None;
        }
        Some(self.read_claims(header, *key, text))
    }

    /// The `nth` key that the token's signature may be of: keys are looked up by the header's `kid`
    /// among all issuers, and the key that fits names the issuer. An unverified `iss` chooses
    /// nothing.
    pub fn candidate(&self, jws: &Jws<'_>, nth: usize) -> Option<KeyId> {
        let could_accept =
            |id: &KeyId| self.key(*id).is_some_and(|(_, key)| key.could_accept(jws.signature()));
        self.candidates(jws).filter(could_accept).nth(nth)
    }

    /// Why no key has accepted the token. If the issuer that the payload names has no key of that
    /// name, it may have published one since, whatever the keys of other issuers are called.
    ///
    /// No signature covers that name. It chooses which refusal is reported, and nothing else.
    fn why_no_key(&self, jws: &Jws<'_>) -> Refusal {
        let (kid, algorithm) = (jws.kid(), jws.algorithm());
        let payload = jws::decode(jws.unverified_payload()).unwrap_or_default();
        if self.lacks_key(issuer_in(&payload).as_deref(), kid, algorithm) {
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
        let found = kid.map_or("missing".to_owned(), |kid| Shown::new(kid).to_string());
        Refusal::UnknownKey(Mismatch::new("kid", found, expected))
    }

    /// One of the keys and the rules of its issuer.
    pub fn key(&self, id: KeyId) -> Option<(&IssuerConfig, &VerifyingKey)> {
        let issuer = self.issuers.get(id.issuer)?;
        Some((&issuer.rules, issuer.keys.keys().get(id.key)?))
    }

    /// Judges at `now` (unix seconds) what [`admit`](Self::admit) has left open: the times first,
    /// then what was revoked, then whether the feed is fresh enough to tell.
    ///
    /// # Errors
    ///
    /// Why the token is not valid now.
    pub fn judge(
        &self,
        standing: &Standing,
        now: u64,
        staleness: Staleness,
    ) -> Result<(), Objection> {
        self.check_end(standing, now)?;
        self.check_start(standing, now)?;
        self.check_key(standing)?;
        standing.check_revocations(&self.feed)?;
        match self.hesitate(now, staleness) {
            Some(undecided) => Err(undecided.into()),
            None => Ok(()),
        }
    }

    /// True while `standing` says what the verifier would say of its token anew.
    pub fn is_current(&self, standing: &Standing) -> bool {
        standing.generation == self.generation
    }

    /// True if the token shows that the log has gone on beyond what is held: it belongs to a
    /// session that was opened later.
    pub fn is_behind(&self, standing: &Standing) -> bool {
        let reached = self.feed.position().map_or(0, |position| position.seq);
        standing.user_version.is_some_and(|version| version > reached)
    }

    /// What a verdict at `now` (unix seconds) is based on.
    pub fn evidence(&self, now: u64) -> Evidence {
        Evidence { position: self.feed.position(), age_seconds: self.feed.age_seconds(now) }
    }

    fn candidates(&self, jws: &Jws<'_>) -> impl Iterator<Item = KeyId> {
        self.issuers.iter().enumerate().filter_map(move |(at, issuer)| {
            let (key, found) = issuer.keys.find(jws.kid(), jws.algorithm())?;
            let is_allowed = issuer.rules.algorithms.contains(&found.algorithm());
            is_allowed.then_some(KeyId { issuer: at, key })
        })
    }

    /// Checks the claims of a token whose signature is good.
    fn read_claims(
        &self,
        header: &Header,
        key: KeyId,
        payload: Vec<u8>,
    ) -> Result<(Standing, VerifiedClaims), Refusal> {
        let rules = self.rules(key, header)?;
        let text = String::from_utf8(payload).map_err(|_| NOT_AN_OBJECT)?;
        let claims = Claims::parse(&text, rules)?;
        check_type(rules, header.typ())?;
        self.check_issuer(rules, header, &claims)?;
        check_audience(rules, &claims)?;
        self.check_required(key, &claims)?;
        check_lifetime(rules, &claims)?;
        let standing = self.stand(key, rules, &claims);
        Ok((standing, VerifiedClaims::new(text)))
    }

    pub(crate) fn stand(&self, key: KeyId, rules: &IssuerConfig, claims: &Claims<'_>) -> Standing {
        Standing::new(key, rules, claims, self.feed.salt().unwrap_or_default(), self.generation)
    }

    pub(crate) fn rules(&self, key: KeyId, header: &Header) -> Result<&IssuerConfig, Refusal> {
        let unknown = || self.unknown_key(header.kid(), header.algorithm());
        self.key(key).map(|(rules, _)| rules).ok_or_else(unknown)
    }

    pub(crate) fn check_issuer(
        &self,
        rules: &IssuerConfig,
        header: &Header,
        claims: &Claims<'_>,
    ) -> Result<(), Refusal> {
        let name = claims.issuer.as_deref();
        if name == Some(rules.issuer.as_str()) {
            return Ok(());
        }
        // Its own issuer may have this key too, once it was asked again: two names of one service.
        let (kid, algorithm) = (header.kid(), header.algorithm());
        if self.lacks_key(name, kid, algorithm) {
            return Err(self.unknown_key(kid, algorithm));
        }
        let found = name.map_or("missing".to_owned(), |name| Shown::new(name).to_string());
        Err(Refusal::WrongIssuer(Mismatch::new("iss", found, Shown::new(&rules.issuer))))
    }

    pub(crate) fn check_required(&self, key: KeyId, claims: &Claims<'_>) -> Result<(), Refusal> {
        let Some(issuer) = self.issuers.get(key.issuer) else { return Ok(()) };
        if let Some(name) = issuer.required.first_beyond(claims.present) {
            return Err(Refusal::MissingClaim(name.into()));
        }
        for (at, RequiredValue { claim, any_of }) in issuer.rules.required_values.iter().enumerate()
        {
            let value = claims.values.iter().find(|(of, _)| *of == at).map(|(_, value)| value);
            match value.ok_or_else(|| Refusal::MissingClaim(claim.clone().into()))? {
                Value::Text(text) if any_of.iter().any(|one| one == text) => {}
                value => {
                    let found = match value {
                        Value::Text(text) => Shown::new(text).to_string(),
                        value => value.kind().to_owned(),
                    };
                    let expected = names(any_of);
                    return Err(Refusal::WrongClaim(Mismatch::new(claim.clone(), found, expected)));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check_end(&self, standing: &Standing, now: u64) -> Result<(), Objection> {
        let proven = self.feed.proven_time(now);
        if standing.check_end(proven).is_ok() {
            return Ok(());
        }
        // A snapshot from the future shows that one of the clocks is wrong, not which one: replaying
        // one must not turn good tokens into expired ones.
        standing.check_end(now)?;
        Err(Self::clock_skew(proven, now))
    }

    pub(crate) fn check_start(&self, standing: &Standing, now: u64) -> Result<(), Objection> {
        let feed = &self.feed;
        let Err(refusal) = standing.check_start(feed.epoch(), now) else { return Ok(()) };
        // Our own clock may be behind; the feed may show that, but it cannot make a token valid.
        let shown = feed.shown_time(now);
        Err(match standing.check_start(feed.epoch(), shown) {
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

    /// Why an otherwise good token cannot be called valid.
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

    fn look_for_dead_keys(&mut self) {
        for Issuer { rules, keys, dead, .. } in &mut self.issuers {
            let is_dead = |key: &VerifyingKey| {
                key.kid().is_some_and(|kid| self.feed.is_dead(&rules.issuer, kid))
            };
            *dead = keys.keys().iter().map(is_dead).collect();
        }
    }
}

/// True if the payload, whose signature was checked, is the issuer's own by its `iss`.
fn names_issuer(payload: &[u8], rules: &IssuerConfig) -> bool {
    issuer_in(payload).as_deref() == Some(rules.issuer.as_str())
}

/// The `iss` of a payload, if it is a string.
fn issuer_in(payload: &[u8]) -> Option<String> {
    let claims = Object::parse(str::from_utf8(payload).ok()?)?;
    claims.get("iss").and_then(Value::as_text).map(str::to_owned)
}

pub(crate) fn check_type(rules: &IssuerConfig, typ: Option<&str>) -> Result<(), Refusal> {
    if rules.types.iter().any(|expected| same_type(expected.as_deref(), typ)) {
        return Ok(());
    }
    let found = typ.map_or("missing".to_owned(), |typ| Shown::new(typ).to_string());
    let shown = |typ: &Option<String>| match typ {
        Some(typ) => Shown::new(typ).to_string(),
        None => "none".to_owned(),
    };
    let expected: Vec<String> = rules.types.iter().take(MAX_SHOWN).map(shown).collect();
    let expected = format!("{} (option types)", expected.join(" or "));
    Err(Refusal::WrongType(Mismatch::new("typ", found, expected)))
}

pub(crate) fn check_audience(rules: &IssuerConfig, claims: &Claims<'_>) -> Result<(), Refusal> {
    match &rules.audience {
        AudienceRule::AnyOf(known) if !known.iter().any(|name| claims.audience.contains(name)) => {
            let found = claims.audience.shown();
            Err(Refusal::WrongAudience(Mismatch::new("aud", found, names(known))))
        }
        AudienceRule::AnyOf(_) | AudienceRule::Unchecked => Ok(()),
    }
}

/// A token without `iat` is judged by the time that it has left; see [`Standing`].
pub(crate) fn check_lifetime(rules: &IssuerConfig, claims: &Claims<'_>) -> Result<(), Refusal> {
    let (Some(exp), Some(iat)) = (claims.expires_at, claims.issued_at) else { return Ok(()) };
    let (seconds, limit_seconds) = (exp.saturating_sub(iat), rules.max_lifetime_seconds);
    if seconds > limit_seconds {
        return Err(Refusal::LifetimeTooLong { seconds, limit_seconds });
    }
    Ok(())
}

/// The first of several that would do.
fn names(known: &[String]) -> String {
    let shown: Vec<String> =
        known.iter().take(MAX_SHOWN).map(|name| Shown::new(name).to_string()).collect();
    let more = if known.len() > MAX_SHOWN { " or another" } else { "" };
    shown.join(" or ") + more
}

/// Media types compare without case, and `application/` may be left out (RFC 7515 section 4.1.9).
fn same_type(expected: Option<&str>, found: Option<&str>) -> bool {
    match (expected, found) {
        (Some(expected), Some(found)) => {
            short_type(expected).eq_ignore_ascii_case(short_type(found))
        }
        (None, None) => true,
        _ => false,
    }
}

fn short_type(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, short))
            if prefix.eq_ignore_ascii_case("application/") && !short.contains('/') =>
        {
            short
        }
        _ => typ,
    }
}

/// How many of several names a message shows.
const MAX_SHOWN: usize = 3;
