//! Tokens that are revoked by their text.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_verifier::{Jws, read_object};
use serde::Deserialize;
use serde_json::Value;

use super::checks::is_id;
use super::{Named, Refused, RefusedKind, Target};
use crate::issuers::{Issuers, Registration};
use crate::limits::{LONGEST_ACCESS_TOKEN_SECONDS, leaves_at};
use crate::record::Revocation;

/// The claims of one of our own access tokens that a revocation needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OwnToken {
    iss: String,
    /// Its id.
    pub jti: String,
    /// The id of its session.
    pub sid: String,
    /// When it expires, unix seconds.
    pub exp: u64,
}

impl OwnToken {
    /// True if the control plane `issuer` can have signed the token: no token lives longer than
    /// [`LONGEST_ACCESS_TOKEN_SECONDS`], and its ids have a length that verifiers accept.
    pub fn is_possible(&self, issuer: &str, now: u64) -> bool {
        let latest = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS + CLOCK_SECONDS);
        self.iss == issuer && is_id(&self.jti) && is_id(&self.sid) && self.exp <= latest
    }

    /// Returns the revocation of the token.
    ///
    /// # Errors
    ///
    /// If the token has expired at every verifier.
    pub fn check(self, now: u64) -> Result<Revocation, Refused> {
        if leaves_at(self.exp) < now {
            let exp = self.exp;
            let detail = format!("expired at {exp}, now is {now}: no verifier accepts it");
            return Err(Refused { kind: RefusedKind::AlreadyExpired, field: "token", detail });
        }
        Ok(Revocation::Token { issuer: None, jti: self.jti, exp: self.exp })
    }
}

/// The slot that a token takes when its holder revokes it. A session has only a few slots. If a
/// second token hits a used slot, the session is ended instead (RFC 7009 section 2.1 allows it):
/// otherwise the holder of one refresh token could fill the log.
pub fn place_of_held(digest: &[u8; 32]) -> u8 {
    digest[0] % TOKENS_OF_A_SESSION
}

impl Named {
    /// A JWT of a registered issuer, by its id; none for any other text. Nothing proves its signature: the
    /// caller may revoke by any claims, so a made-up token gives them nothing more.
    ///
    /// # Errors
    ///
    /// If the token has no id by which tokens of this issuer are revoked.
    pub fn of_foreign_token(token: &str, issuers: &Issuers) -> Option<Result<Self, Refused>> {
        let jws = Jws::parse(token).ok()?;
        let payload = Base64UrlUnpadded::decode_vec(jws.unverified_payload()).ok()?;
        let claims = Value::Object(read_object(&payload)?);
        let iss = claims.get("iss").and_then(Value::as_str)?;
        let (_, registration) = issuers.with_issuer(iss)?;
        Some(Self::of_claims(&claims, registration))
    }

    fn of_claims(claims: &Value, registration: &Registration) -> Result<Self, Refused> {
        let refused = |detail| Refused { kind: RefusedKind::Invalid, field: "token", detail };
        let Some(path) = &registration.token_claim else {
            let detail = "tokens of this issuer have no id, by its registration (token_id_claim); \
                          revoke by claims";
            return Err(refused(detail.to_owned()));
        };
        let id = if path.starts_with('/') { claims.pointer(path) } else { claims.get(path) };
        let Some(id) = id.and_then(Value::as_str) else {
            let detail = format!("has no text at {path}, the id of this issuer's tokens");
            return Err(refused(detail));
        };
        let exp = match claims.get("exp") {
            None => None,
            // Seconds beyond what a float holds exactly are no time.
            Some(exp) => match exp.as_f64().filter(|exp| (0.0..9e15).contains(exp)) {
                Some(exp) => Some(exp as u64),
                None => return Err(refused("exp must be unix seconds".to_owned())),
            },
        };
        let (target, issuer) = (Target::Token(id.to_owned()), Some(registration.issuer.clone()));
        Ok(Self { target, exp, issued_before: None, issuer })
    }
}

const TOKENS_OF_A_SESSION: u8 = 4;
/// The epoch of a red button is one second ahead and becomes the `iat` of tokens; in addition, the
/// clocks of two processes may differ.
const CLOCK_SECONDS: u64 = 60;
