//! Tokens that are revoked by their text.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_verifier::Jws;
use serde::Deserialize;

use super::checks::is_id;
use super::{Named, Refused, RefusedKind, Target};
use crate::issuers::Issuers;
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

/// The claims of a JWT that name its issuer and when it expires.
#[derive(Deserialize)]
struct Foreign {
    iss: String,
    exp: Option<f64>,
}

impl Named {
    /// A JWT of a registered issuer, by its id. Nothing proves its signature: the caller may revoke
    /// by any claims, so a made-up token gives them nothing more.
    pub fn of_foreign_token(token: &str, issuers: &Issuers) -> Option<Self> {
        let payload = Jws::parse(token).ok()?.unverified_payload().to_owned();
        let payload = Base64UrlUnpadded::decode_vec(&payload).ok()?;
        let Foreign { iss, exp } = serde_json::from_slice(&payload).ok()?;
        let (_, registration) = issuers.with_issuer(&iss)?;
        let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
        let path = registration.token_claim.as_ref()?;
        let id = if path.starts_with('/') { claims.pointer(path) } else { claims.get(path) };
        let id = id?.as_str()?.to_owned();
        // Seconds beyond what a float holds exactly are beyond what is accepted.
        let exp = exp.filter(|exp| (0.0..9e15).contains(exp)).map(|exp| exp as u64);
        Some(Self { target: Target::Token(id), exp, issued_before: None, issuer: Some(iss) })
    }
}

const TOKENS_OF_A_SESSION: u8 = 4;
/// The epoch of a red button is one second ahead and becomes the `iat` of tokens; in addition, the
/// clocks of two processes may differ.
const CLOCK_SECONDS: u64 = 60;
