//! The verifier: trusted keys, followed revocations, one verdict.

use crate::claims::VerifiedClaims;
use crate::config::{AudienceRule, ConfigProblem, IssuerConfig, OnStale, VerifierConfig};
use crate::jws::Jws;
use crate::keys::{KeySet, VerifyingKey};
use crate::snapshot::{Applied, ApplyError, Feed, Kind};
use crate::verdict::{Decision, Evidence, Refusal, Undecided, Verdict};

/// Judges tokens of the configured issuers against the revocations of one feed.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    feed: Feed,
    max_staleness_seconds: u64,
    on_stale: OnStale,
}

#[derive(Debug)]
struct Issuer {
    rules: IssuerConfig,
    keys: KeySet,
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
        Ok(Self {
            issuers: config
                .issuers
                .into_iter()
                .map(|rules| Issuer { rules, keys: KeySet::default() })
                .collect(),
            feed: Feed::new(config.feed.id, keys),
            max_staleness_seconds: config.feed.max_staleness_seconds,
            on_stale: config.feed.on_stale,
        })
    }

    /// Replaces the keys of `issuer`; false if no such issuer is configured.
    pub fn set_keys(&mut self, issuer: &str, keys: KeySet) -> bool {
        match self.issuers.iter_mut().find(|known| known.rules.issuer == issuer) {
            Some(known) => {
                known.keys = keys;
                true
            }
            None => false,
        }
    }

    /// Takes one signed snapshot of the feed; on an error the last good state stays in force.
    ///
    /// `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn apply(&mut self, snapshot: Vec<u8>, now: u64) -> Result<Applied, ApplyError> {
        self.feed.apply(snapshot, now)
    }

    /// The feed as far as it was followed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The feed, to resume it at a remembered floor.
    pub fn feed_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }

    /// Judges `token` at `now` (unix seconds): the signature first, the claims second, the
    /// revocations last.
    pub fn verify(&self, token: &str, now: u64) -> Verdict {
        let decision = match self.check(token, now) {
            Err(refusal) => Decision::Refused(refusal),
            Ok(claims) => match self.hesitate(now) {
                Some(undecided) => Decision::Undecided(undecided),
                None => Decision::Valid(Box::new(claims)),
            },
        };
        let evidence =
            Evidence { position: self.feed.position(), age_seconds: self.feed.age_seconds(now) };
        Verdict { decision, evidence }
    }

    fn check(&self, token: &str, now: u64) -> Result<VerifiedClaims, Refusal> {
        let jws = Jws::parse(token)?;
        let (issuer, key, payload) = self.authenticate(&jws)?;
        let claims = VerifiedClaims::parse(payload, issuer.user_rule)?;
        check_claims(issuer, jws.typ.as_deref(), &claims, self.feed.epoch(), now)?;
        self.check_revocations(issuer, key, &claims)?;
        Ok(claims)
    }

    /// Finds the issuer whose key signed the token. Keys are looked up by the header's `kid` among
    /// all issuers, and the key that fits names the issuer: an unverified `iss` chooses nothing.
    fn authenticate<'a>(
        &'a self,
        jws: &Jws<'_>,
    ) -> Result<(&'a IssuerConfig, &'a VerifyingKey, Vec<u8>), Refusal> {
        let mut refusal = Refusal::UnknownKey;
        for issuer in &self.issuers {
            let Some(key) = issuer.keys.find(jws.kid.as_deref()) else {
                continue;
            };
            if !issuer.rules.algorithms.contains(&key.algorithm()) {
                refusal = Refusal::UnsupportedAlgorithm;
                continue;
            }
            match jws.verify(key) {
                Ok(payload) => return Ok((&issuer.rules, key, payload)),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Asks for the key, the epoch, the token, the session and the user, in this order.
    fn check_revocations(
        &self,
        issuer: &IssuerConfig,
        key: &VerifyingKey,
        claims: &VerifiedClaims,
    ) -> Result<(), Refusal> {
        let feed = &self.feed;
        let name = issuer.issuer.as_str();
        if key.kid().is_some_and(|kid| feed.is_dead(name, kid)) {
            return Err(Refusal::RevokedKey);
        }
        let epoch = feed.epoch();
        if epoch > 0 && claims.issued_at.is_none_or(|issued_at| issued_at < epoch) {
            return Err(Refusal::RevokedEpoch { epoch });
        }
        if claims.token_id().is_some_and(|jti| feed.is_denied(Kind::Token, name, jti)) {
            return Err(Refusal::RevokedToken);
        }
        if claims.session_id().is_some_and(|sid| feed.is_denied(Kind::Session, name, sid)) {
            return Err(Refusal::RevokedSession);
        }
        if let Some(floor) = claims.subject().and_then(|sub| feed.user_floor(name, sub)) {
            let stands = match claims.user_version {
                Some(version) => version >= floor.minimum_version,
                None => claims.issued_at.is_some_and(|issued_at| issued_at >= floor.not_before),
            };
            if !stands {
                return Err(Refusal::RevokedUser);
            }
        }
        Ok(())
    }

    /// Why an otherwise good token cannot be called valid.
    fn hesitate(&self, now: u64) -> Option<Undecided> {
        if !self.feed.is_ready() {
            return Some(Undecided::NoSnapshot);
        }
        if self.feed.is_forked() {
            return Some(Undecided::FeedFork);
        }
        let age_seconds = self.feed.age_seconds(now)?;
        let stale = age_seconds > self.max_staleness_seconds || self.feed.is_past_validity(now);
        match self.on_stale {
            OnStale::Deny if stale => Some(Undecided::StaleSnapshot { age_seconds }),
            OnStale::Allow | OnStale::Deny => None,
        }
    }
}

/// Type, issuer, audience, required claims and times, for a payload that is authentic.
fn check_claims(
    rules: &IssuerConfig,
    typ: Option<&str>,
    claims: &VerifiedClaims,
    epoch: u64,
    now: u64,
) -> Result<(), Refusal> {
    if !rules.types.iter().any(|expected| same_type(expected.as_deref(), typ)) {
        return Err(Refusal::WrongType);
    }
    if claims.issuer() != Some(rules.issuer.as_str()) {
        return Err(Refusal::WrongIssuer);
    }
    if let AudienceRule::AnyOf(names) = &rules.audience
        && !names.iter().any(|name| claims.audience.contains(name))
    {
        return Err(Refusal::WrongAudience);
    }
    for name in REVOCABLE_CLAIMS {
        if rules.required_claims.iter().any(|required| required == name) && !claims.has(name) {
            return Err(Refusal::MissingClaim(name));
        }
    }
    if let Some(exp) = claims.expires_at
        && now >= exp.saturating_add(rules.leeway_seconds)
    {
        return Err(Refusal::Expired { exp, now });
    }
    // The feed has signed that its epoch has come: a red button pressed on a clock that is fast
    // must not make every new login wait for ours.
    let issued_at = claims.issued_at.filter(|issued_at| *issued_at > epoch);
    let from = claims.not_before.max(issued_at).unwrap_or(0);
    if now.saturating_add(rules.leeway_seconds) < from {
        return Err(Refusal::NotYetValid { from, now });
    }
    Ok(())
}

/// Media types compare without case, and `application/` may be left out (RFC 7515 section 4.1.9).
fn same_type(expected: Option<&str>, found: Option<&str>) -> bool {
    match (expected, found) {
        (Some(expected), Some(found)) => short_type(expected) == short_type(found),
        (None, None) => true,
        _ => false,
    }
}

fn short_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(short) if !short.contains('/') => short.to_owned(),
        _ => typ,
    }
}

/// The claims a configuration may require, in the order they are asked for.
const REVOCABLE_CLAIMS: [&str; 9] = ["iss", "aud", "exp", "iat", "nbf", "sub", "jti", "sid", "ver"];
