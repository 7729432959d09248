//! Introspection: the edge's verifier, running in this process and following this process's feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_snapshot::Position;
use offswitch_verifier::{
    AudienceRule, DpopConfig, FeedConfig, IssuerConfig, Jws, KeySet, OnStale, Presentation,
    Staleness, Standing, Verdict, VerifiedClaims, Verifier, VerifierConfig,
};

use super::PlaneError;
use super::folded::Folded;
use super::log::Log;
use super::publish::Publisher;
use super::signing::SigningKeys;
use crate::keyring::Keyring;
use crate::store::StoreError;

/// A verifier that follows this process's feed.
pub struct Introspection {
    issuer: String,
    audience: String,
    max_staleness_seconds: u64,
    folded: Arc<Folded>,
    signing: Arc<SigningKeys>,
    publisher: Arc<Publisher>,
    log: Arc<Log>,
    /// None before the first request.
    held: RwLock<Option<Held>>,
}

struct Held {
    verifier: Verifier,
    /// Tokens with a valid signature and valid claims, by the hash of all their bytes, because
    /// callers ask about the same token again. Time and revocation are checked each time.
    remembered: Mutex<HashMap<blake3::Hash, (Standing, VerifiedClaims)>>,
    /// What its keys were made from.
    keys: KeysOf,
}

#[derive(Clone)]
struct KeysOf {
    keyring: Arc<Keyring>,
    dead: usize,
    minute: u64,
}

impl Introspection {
    pub(super) fn new(
        issuer: String,
        audience: String,
        max_staleness_seconds: u64,
        folded: Arc<Folded>,
        log: Arc<Log>,
    ) -> Self {
        let publisher = log.publisher();
        let (signing, held) = (publisher.signing(), RwLock::default());
        Self { issuer, audience, max_staleness_seconds, folded, signing, publisher, log, held }
    }

    /// Judges an access token of this control plane as the edge does, at the log's present end.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn judge(&self, token: &str, now: u64) -> Result<Verdict, PlaneError> {
        self.log.catch_up().await?;
        let keys = KeysOf {
            keyring: Arc::clone(&self.signing.keyring()),
            dead: self.folded.lock().dead_keys().len(),
            minute: now / 60,
        };
        {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(held) =
                held.as_ref().filter(|held| held.is_current(&keys, self.folded.position(), now))
            {
                return Ok(held.judge(token, now));
            }
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let verifier = self.bring_up(held.take(), keys, now)?;
        Ok(held.insert(verifier).judge(token, now))
    }

    /// Gives the verifier the keys and every snapshot that it lacks.
    fn bring_up(&self, held: Option<Held>, keys: KeysOf, now: u64) -> Result<Held, PlaneError> {
        let failed = |text: String| PlaneError::from(StoreError::Damaged(text));
        let mut held = match held {
            Some(held) => held,
            None => {
                let verifier = self.new_verifier().map_err(failed)?;
                Held { verifier, remembered: Mutex::default(), keys: keys.clone() }
            }
        };
        while !held.is_at(self.folded.position()) || held.is_old(now) {
            let since = held.verifier.feed().since();
            let Some(snapshot) = self.publisher.snapshot(since) else { break };
            let applied = held.verifier.apply(snapshot.bytes.to_vec(), now);
            if applied.is_err() && since.is_some() {
                // A new feed key, or a log that was started again: make a new verifier, too.
                held.verifier = self.new_verifier().map_err(failed)?;
                continue;
            }
            if applied.is_err() || held.verifier.feed().since() == since {
                break;
            }
        }
        let jwks = keys.keyring.jwks(now, &self.folded.dead_keys()).to_string();
        let set = KeySet::from_jwks(jwks.as_bytes(), &[]);
        let set = set.map_err(|error| failed(error.to_string()))?;
        held.verifier.set_keys(&self.issuer, set);
        held.keys = keys;
        Ok(held)
    }

    fn new_verifier(&self) -> Result<Verifier, String> {
        let issuer = &self.issuer;
        // The caller knows which audience is meant; a session may have any.
        let rules = IssuerConfig {
            audience: AudienceRule::Unchecked,
            ..IssuerConfig::offswitch(issuer, &self.audience)
        };
        let encode = |key: &[u8]| Base64UrlUnpadded::encode_string(key);
        let feed = FeedConfig {
            id: issuer.clone(),
            public_keys: self
                .signing
                .feed_keys()
                .iter()
                .map(|key| encode(key.public_key()))
                .collect(),
            max_staleness_seconds: self.max_staleness_seconds,
            on_stale: OnStale::Deny,
        };
        let config = VerifierConfig { issuers: vec![rules], feed, dpop: DpopConfig::default() };
        Verifier::new(config).map_err(|problems| format!("{problems:?}"))
    }
}

impl Held {
    fn judge(&self, token: &str, now: u64) -> Verdict {
        let id = blake3::hash(token.as_bytes());
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered().get(&id).cloned();
        let known = known.filter(|(standing, _)| self.verifier.is_current(standing));
        let admitted = match known {
            Some(known) => Ok(known),
            None => {
                Jws::parse(token).and_then(|jws| self.verifier.admit(&jws)).inspect(|admitted| {
                    let mut remembered = remembered();
                    if remembered.len() >= MOST_REMEMBERED {
                        remembered.clear();
                    }
                    remembered.insert(id, admitted.clone());
                })
            }
        };
        // The caller asks about a token that was shown elsewhere (RFC 9449 section 6.2).
        self.verifier.verdict(admitted, Presentation::NotShown, now, Staleness::Configured)
    }

    fn is_current(&self, keys: &KeysOf, position: Position, now: u64) -> bool {
        let same_keys = Arc::ptr_eq(&self.keys.keyring, &keys.keyring)
            && (self.keys.dead, self.keys.minute) == (keys.dead, keys.minute);
        same_keys && self.is_at(position) && !self.is_old(now)
    }

    fn is_at(&self, position: Position) -> bool {
        self.verifier.feed().position() == Some(position)
    }

    /// A freshness statement of the feed is used for one second.
    fn is_old(&self, now: u64) -> bool {
        self.verifier.feed().age_seconds(now).is_none_or(|age| age > 1)
    }
}

/// Each takes a few hundred bytes.
const MOST_REMEMBERED: usize = 20_000;
