//! Global Token Revocation (draft-parecki-oauth-global-token-revocation): a command to revoke what a user
//! has.

use std::collections::BTreeMap;

use offswitch_verifier::read_object;
use serde::{Deserialize, Serialize};

use super::subject::{SubjectRules, read};
use super::{Refusal, Sender, Signed, check_names, check_sender};
use crate::issuers::Registration;
use crate::revoking::{Named, Refused, Target};

/// The receiver of global token revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GlobalRevocation {
    /// The `aud` of the JWTs that authenticate requests, mostly the address of this receiver. Without one
    /// only API keys do.
    pub audiences: Vec<String>,
    /// The `iss` of these JWTs, if it is not that of the issuer's tokens.
    pub issuer: Option<String>,
    /// The address of the JWK set that they are signed with, if it is not that of the issuer.
    pub jwks_uri: Option<String>,
    /// The claim of the tokens that has what a subject is named by, for the formats `account`, `did`,
    /// `email`, `phone_number` and `uri`. Without it a subject of the format is refused.
    pub subject_claims: BTreeMap<String, String>,
}

/// A JWT that authenticates one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Its `jti`: it authenticates one request, which may be repeated.
    pub id: String,
    /// Its `iat`, unix seconds.
    pub at: u64,
}

/// Judges the JWT that authenticates a request at `now` (unix seconds), whose signature is checked.
///
/// # Errors
///
/// Why it is refused.
pub fn authentication(
    signed: &Signed,
    issuer: &Registration,
    receiver: &GlobalRevocation,
    now: u64,
) -> Result<Authentication, Refusal> {
    if signed.typ.as_deref() != Some("global-token-revocation+jwt") {
        return Err(Refusal::new("wrong_type", "typ must be global-token-revocation+jwt"));
    }
    signed.check_parties(&receiver.sender(issuer).issuer, &receiver.audiences)?;
    let at = signed.check_times(issuer.clock_skew_seconds, MAX_AGE_SECONDS, now)?;
    // Each receiver sees it: without an end it would be a standing permission.
    signed.time("exp")?.ok_or_else(|| signed.lacks("exp"))?;
    let id = signed.id("jti")?.ok_or_else(|| signed.lacks("jti"))?.to_owned();
    Ok(Authentication { id, at })
}

/// Reads a request. `at` is when it was made by the provider's clock, unix seconds, if that is known.
///
/// # Errors
///
/// If it names no user of the issuer.
pub fn global_revocation(
    body: &[u8],
    at: Option<u64>,
    issuer: &Registration,
    receiver: &GlobalRevocation,
) -> Result<Named, Refusal> {
    let wrong = |detail: &str| Refusal::new("malformed", detail);
    let body = read_object(body).ok_or_else(|| wrong("the body is not one JSON object"))?;
    let subject = body.get("sub_id").ok_or_else(|| wrong("the body has no sub_id"))?;
    let rules = SubjectRules {
        issuer: &issuer.issuer,
        transmitter: receiver.issuer.as_deref(),
        claims: &receiver.subject_claims,
    };
    let user = read(subject, &rules)?.user;
    // A session or a token is not what this command is about.
    let none = || Refusal::new("unsupported_subject", "the subject names no user");
    let target: Target = user.ok_or_else(none)?;
    // A token of the same second may be older than the request.
    let issued_before = at.map(|at| at.saturating_add(1));
    Ok(Named { target, exp: None, issued_before, issuer: Some(issuer.issuer.clone()) })
}

impl GlobalRevocation {
    /// Who signs the JWTs.
    pub fn sender(&self, registration: &Registration) -> Sender {
        Sender::of(registration).or(self.issuer.as_ref(), self.jwks_uri.as_ref())
    }

    pub(super) fn check(&mut self) -> Result<(), Refused> {
        if !self.audiences.is_empty() {
            check_names("global_token_revocation.audiences", &mut self.audiences)?;
        }
        let (issuer, jwks_uri) = (self.issuer.as_ref(), self.jwks_uri.as_ref());
        check_sender("global_token_revocation", issuer, jwks_uri, &mut self.subject_claims)
    }
}

/// How old a JWT may be.
const MAX_AGE_SECONDS: u64 = 600;
