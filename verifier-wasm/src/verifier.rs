//! The verifier: trusted keys, followed revocations, one verdict.

use std::rc::Rc;

use crate::claims::{ClaimSet, Claims, NOT_AN_OBJECT, VerifiedClaims};
use crate::config::{AudienceRule, ConfigProblem, IssuerConfig, OnStale, VerifierConfig};
use crate::jws::{self, Header, Jws};
use crate::keys::{KeySet, MAX_KEYS, VerifyingKey};
use crate::snapshot::{Applied, ApplyError, Feed};
use crate::standing::Standing;
use crate::verdict::{Decision, Evidence, Objection, Refusal, Undecided, Verdict};

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

/// One key of one issuer, as long as nobody replaces the issuer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId {
    pub(crate) issuer: usize,
    pub(crate) key: usize,
}

/// A token whose signature is being checked elsewhere.
#[derive(Debug, Clone)]
pub struct Pending {
    generation: u32,
    header: Rc<Header>,
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

    /// Finds the key that the token's signature is of, and hands out the payload.
    pub(crate) fn authenticate(&self, jws: &Jws<'_>) -> Result<(KeyId, Vec<u8>), Refusal> {
        for key in self.candidates(jws) {
            match self.key(key).map(|(_, key)| jws.verify(key)) {
                Some(Ok(payload)) => return Ok((key, payload)),
                // Its signature is good: what is wrong beside it, no other key can tell.
                Some(Err(error)) if error != Refusal::BadSignature => return Err(error),
                _ => {}
            }
        }
        Err(self.why_no_key(jws))
    }

    /// What to keep of a token while its signature is checked elsewhere with `key`.
    pub fn suspend(&self, jws: &Jws<'_>, key: KeyId) -> Pending {
        let payload = jws.unverified_payload().to_owned();
        Pending { generation: self.generation, header: jws.header().clone(), key, payload }
    }

    /// As [`admit`](Self::admit), for a caller that has checked that the pending token's signature
    /// is its key's: nothing here does so again. None if the keys have changed meanwhile.
    ///
    /// # Errors
    ///
    /// Why the token is refused for good.
    pub fn admit_vouched_for(
        &self,
        pending: &Pending,
    ) -> Option<Result<(Standing, VerifiedClaims), Refusal>> {
        let Pending { generation, header, key, payload } = pending;
        let admit = || self.read_claims(header, *key, jws::decode(payload)?);
        (*generation == self.generation).then(admit)
    }

    /// The `nth` key that the token's signature may be of: keys are looked up by the header's `kid`
    /// among all issuers, and the key that fits names the issuer. An unverified `iss` chooses
    /// nothing.
    pub fn candidate(&self, jws: &Jws<'_>, nth: usize) -> Option<KeyId> {
        let could_accept =
            |id: &KeyId| self.key(*id).is_some_and(|(_, key)| key.could_accept(jws.signature()));
        self.candidates(jws).filter(could_accept).nth(nth)
    }

    /// Among several issuers' keys of one name, a signature that was checked tells the most.
    fn why_no_key(&self, jws: &Jws<'_>) -> Refusal {
        if self.candidates(jws).next().is_some() {
            Refusal::BadSignature
        } else if self.issuers.iter().any(|one| one.keys.find(jws.kid()).is_some()) {
            Refusal::UnsupportedAlgorithm
        } else {
            Refusal::UnknownKey
        }
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
        standing.check_end(self.feed.proven_time(now))?;
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
            let (key, found) = issuer.keys.find(jws.kid())?;
            let is_allowed = issuer.rules.algorithms.contains(&found.algorithm());
            (is_allowed && found.algorithm() == jws.algorithm())
                .then_some(KeyId { issuer: at, key })
        })
    }

    /// Checks the claims of a token whose signature is good.
    fn read_claims(
        &self,
        header: &Header,
        key: KeyId,
        payload: Vec<u8>,
    ) -> Result<(Standing, VerifiedClaims), Refusal> {
        let (rules, _) = self.key(key).ok_or(Refusal::UnknownKey)?;
        let text = String::from_utf8(payload).map_err(|_| NOT_AN_OBJECT)?;
        let claims = Claims::parse(&text, rules.user_rule)?;
        check_type(rules, header.typ())?;
        check_issuer(rules, &claims)?;
        check_audience(rules, &claims)?;
        self.check_required(key, &claims)?;
        let standing = self.stand(key, rules, &claims);
        Ok((standing, VerifiedClaims::new(text)))
    }

    pub(crate) fn stand(&self, key: KeyId, rules: &IssuerConfig, claims: &Claims<'_>) -> Standing {
        Standing::new(key, rules, claims, self.feed.salt().unwrap_or_default(), self.generation)
    }

    pub(crate) fn check_required(&self, key: KeyId, claims: &Claims<'_>) -> Result<(), Refusal> {
        let issuer = self.issuers.get(key.issuer).ok_or(Refusal::UnknownKey)?;
        match issuer.required.first_beyond(claims.present) {
            Some(name) => Err(Refusal::MissingClaim(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn check_start(&self, standing: &Standing, now: u64) -> Result<(), Objection> {
        let feed = &self.feed;
        let Err(refusal) = standing.check_start(feed.epoch(), now) else { return Ok(()) };
        // Our own clock may be behind; the feed may tell us so, but it cannot make a token valid.
        Err(match standing.check_start(feed.epoch(), feed.proven_time(now)) {
            Ok(()) => {
                let age_seconds = feed.age_seconds(now).unwrap_or(0);
                Undecided::StaleSnapshot { age_seconds }.into()
            }
            Err(_) => refusal.into(),
        })
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
        (age_seconds > limit || self.feed.is_past_validity(now))
            .then_some(Undecided::StaleSnapshot { age_seconds })
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

impl KeyId {
    /// Every key has a number of its own.
    pub fn number(self) -> usize {
        self.issuer.saturating_mul(MAX_KEYS).saturating_add(self.key)
    }

    /// The key of that number.
    pub fn of_number(number: usize) -> Self {
        Self { issuer: number / MAX_KEYS, key: number % MAX_KEYS }
    }
}

pub(crate) fn check_type(rules: &IssuerConfig, typ: Option<&str>) -> Result<(), Refusal> {
    let is_expected = rules.types.iter().any(|expected| same_type(expected.as_deref(), typ));
    if is_expected { Ok(()) } else { Err(Refusal::WrongType) }
}

pub(crate) fn check_issuer(rules: &IssuerConfig, claims: &Claims<'_>) -> Result<(), Refusal> {
    let is_expected = claims.issuer.as_deref() == Some(rules.issuer.as_str());
    if is_expected { Ok(()) } else { Err(Refusal::WrongIssuer) }
}

pub(crate) fn check_audience(rules: &IssuerConfig, claims: &Claims<'_>) -> Result<(), Refusal> {
    let is_expected = match &rules.audience {
        AudienceRule::AnyOf(names) => names.iter().any(|name| claims.audience.contains(name)),
        AudienceRule::Unchecked => true,
    };
    if is_expected { Ok(()) } else { Err(Refusal::WrongAudience) }
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
