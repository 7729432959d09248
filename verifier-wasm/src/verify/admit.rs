//! The part of a verdict that neither time nor the feed can change: the signature and the claims.

use std::rc::Rc;

use crate::json::{Object, Value};
use crate::keys::{KeyId, VerifyingKey};
use crate::token::claims::{Claims, NOT_AN_OBJECT, VerifiedClaims};
use crate::token::jws::{self, Header, Jws};
use crate::verify::Verifier;
use crate::verify::config::IssuerConfig;
use crate::verify::defect::Part;
use crate::verify::refusal::Refusal;
use crate::verify::rules;
use crate::verify::standing::Standing;

/// A token whose signature is being checked elsewhere.
#[derive(Debug, Clone)]
pub struct Pending {
    generation: u32,
    header: Rc<Header>,
    is_shared: bool,
    key: KeyId,
    payload: String,
}

impl Verifier {
    /// Checks everything that neither time nor the feed can change: the signature and the claims.
    /// The rest is checked by [`judge`](Self::judge).
    ///
    /// # Errors
    ///
    /// Why the token is permanently refused.
    pub fn admit(&self, jws: &Jws<'_>) -> Result<(Standing, VerifiedClaims), Refusal> {
        let (key, payload) = self.authenticate(jws)?;
        self.read_claims(jws.header(), key, payload)
    }

    /// Finds the key that has signed the token, and returns the payload. If keys of several issuers
    /// fit, the rules of the issuer in the payload apply; the signature comes first.
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
                // Its signature is valid: no other key can change its other problems.
                Err(error) => return Err(error),
            }
        }
        fitting.ok_or_else(|| self.why_no_key(jws))
    }

    /// True if keys of several issuers may fit the token.
    fn is_shared(&self, jws: &Jws<'_>) -> bool {
        self.candidates(jws).nth(1).is_some()
    }

    /// The state to keep of a token while its signature is checked elsewhere with `key`.
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

    /// Like [`admit`](Self::admit), for a caller that has checked the pending token's signature
    /// with its key: it is not checked again. `None` if the keys have changed in the meantime, or
    /// if the token names another issuer, which may have the same key: the token must be read
    /// again.
    ///
    /// # Errors
    ///
    /// Why the token is permanently refused.
    pub fn admit_vouched_for(
        &self,
        pending: &Pending,
    ) -> Option<Result<(Standing, VerifiedClaims), Refusal>> {
        let Pending { generation, header, is_shared, key, payload } = pending;
        if *generation != self.generation {
            return None;
        }
        let text = match jws::decode(Part::Payload, payload) {
            Ok(text) => text,
            Err(refusal) => return Some(Err(refusal)),
        };
        let (rules, _) = self.key(*key)?;
        // Before any rule of this issuer is applied: the token may belong to another issuer.
        if *is_shared && !names_issuer(&text, rules) {
            return None;
        }
        Some(self.read_claims(header, *key, text))
    }

    /// The `nth` key that may have signed the token: keys are looked up by the header's `kid` among
    /// all issuers, and the matching key determines the issuer. An unverified `iss` decides
    /// nothing.
    pub fn candidate(&self, jws: &Jws<'_>, nth: usize) -> Option<KeyId> {
        let could_accept =
            |id: &KeyId| self.key(*id).is_some_and(|(_, key)| key.could_accept(jws.signature()));
        self.candidates(jws).filter(could_accept).nth(nth)
    }

    /// One of the keys and the rules of its issuer.
    pub fn key(&self, id: KeyId) -> Option<(&IssuerConfig, &VerifyingKey)> {
        let issuer = self.issuers.get(id.issuer)?;
        Some((&issuer.rules, issuer.keys.keys().get(id.key)?))
    }

    pub(super) fn candidates(&self, jws: &Jws<'_>) -> impl Iterator<Item = KeyId> {
        self.issuers.iter().enumerate().filter_map(move |(at, issuer)| {
            let (key, found) = issuer.keys.find(jws.kid(), jws.algorithm())?;
            let is_allowed = issuer.rules.algorithms.contains(&found.algorithm());
            is_allowed.then_some(KeyId { issuer: at, key })
        })
    }

    /// Checks the claims of a token with a valid signature.
    fn read_claims(
        &self,
        header: &Header,
        key: KeyId,
        payload: Vec<u8>,
    ) -> Result<(Standing, VerifiedClaims), Refusal> {
        let rules = self.rules(key, header)?;
        let text = String::from_utf8(payload).map_err(|_| NOT_AN_OBJECT)?;
        let claims = Claims::parse(&text, rules, self.listed_of(key))?;
        rules::check_type(rules, header.typ())?;
        self.check_issuer(rules, header, &claims)?;
        rules::check_audience(rules, &claims)?;
        self.check_required(key, &claims)?;
        rules::check_lifetime(rules, &claims)?;
        let standing = Standing::new(key, rules, claims, self.generation);
        Ok((standing, VerifiedClaims::new(text)))
    }

    pub(crate) fn rules(&self, key: KeyId, header: &Header) -> Result<&IssuerConfig, Refusal> {
        let unknown = || self.unknown_key(header.kid(), header.algorithm());
        self.key(key).map(|(rules, _)| rules).ok_or_else(unknown)
    }
}

/// True if the `iss` of the payload, whose signature was checked, is that of the issuer.
fn names_issuer(payload: &[u8], rules: &IssuerConfig) -> bool {
    issuer_in(payload).as_deref() == Some(rules.issuer.as_str())
}

/// The `iss` of a payload, if it is a string.
pub(super) fn issuer_in(payload: &[u8]) -> Option<String> {
    let claims = Object::parse(str::from_utf8(payload).ok()?)?;
    claims.get("iss").and_then(Value::as_text).map(str::to_owned)
}
