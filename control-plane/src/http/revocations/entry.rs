//! One entry of a revocation: which one thing it names, and whether any verifier would enforce it.
//!
//! A revocation without an effect is refused, never acknowledged.

use std::fmt::Display;

use axum::http::StatusCode;
use offswitch_core::issuers::Claims;
use offswitch_core::limits::LONGEST_ACCESS_TOKEN_SECONDS;
use offswitch_core::record::Revocation;
use offswitch_core::revoking::{Named, Refused, RefusedKind, Target};
use offswitch_snapshot::ClaimValue;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api_keys::Scope;
use crate::credential::CredentialKind;
use crate::http::access::Caller;
use crate::plane::Plane;
use crate::problem::Problem;

/// One of `token`, `jti`, `session_id`, `sub`, `claims`, `refresh_token` or `kid`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RevocationEntry)]
pub(super) struct Entry {
    /// An access token of this control plane, or a JWT of a registered issuer, which names itself by
    /// its issuer's claim for token ids.
    pub(super) token: Option<String>,
    /// A token's id, in the issuer's claim for it.
    pub(super) jti: Option<String>,
    /// The latest `exp` of the tokens, unix seconds, if it is known.
    pub(super) exp: Option<u64>,
    /// A session, with all its tokens.
    pub(super) session_id: Option<String>,
    /// A user, with all tokens that the user has now.
    pub(super) sub: Option<String>,
    /// Tokens with all of these claims: by names or JSON Pointers, strings, whole numbers or booleans.
    #[schema(value_type = Option<Object>)]
    pub(super) claims: Option<Map<String, Value>>,
    /// With `claims`, or with `sub` of another issuer: only tokens issued before this instant, unix
    /// seconds; by default now.
    pub(super) issued_before: Option<u64>,
    /// A refresh token: its session cannot be refreshed any more, but its access tokens stay valid
    /// until they expire.
    pub(super) refresh_token: Option<String>,
    /// A signing key.
    pub(super) kid: Option<String>,
    /// The `iss` of what is revoked; by default this control plane.
    pub(super) issuer: Option<String>,
}

impl Entry {
    pub(super) fn is_empty(&self) -> bool {
        let is_bare = self.exp.is_none() && self.issuer.is_none() && self.issued_before.is_none();
        is_bare && self.named().iter().all(|name| !name)
    }

    fn named(&self) -> [bool; 7] {
        let Self { token, jti, session_id, sub, refresh_token, kid, claims, .. } = self;
        let texts = [token, jti, session_id, sub, refresh_token, kid].map(Option::is_some);
        let [token, jti, session_id, sub, refresh_token, kid] = texts;
        [token, jti, session_id, sub, refresh_token, kid, claims.is_some()]
    }

    /// The one thing that the entry names.
    ///
    /// # Errors
    ///
    /// `invalid_revocation` if it names none or several, or an id that no verifier accepts;
    /// `already_expired`, `unknown_issuer` and `unknown_session` if no verifier would enforce it;
    /// `missing_scope` for a key of this control plane.
    pub(super) fn check(
        self,
        plane: &Plane,
        caller: &Caller,
        now: u64,
    ) -> Result<Revocation, Problem> {
        if self.named().iter().filter(|name| **name).count() != 1 {
            let names = "token, jti, session_id, sub, claims, refresh_token, kid";
            let detail = format!("give exactly one of {names}");
            return Err(Problem::bad_request("invalid_revocation", detail));
        }
        if let Some(token) = &self.token {
            self.need_alone("token")?;
            let rules = plane.revocation_rules();
            if let Some(named) = Named::of_foreign_token(token, &rules.issuers) {
                return named
                    .and_then(|named| named.check(&rules, now))
                    .map_err(|problem| Refused { field: "token", ..problem })
                    .map_err(refused);
            }
            let Some(own) = plane.signing.own_token(token, now) else {
                let detail = "is neither an access token of this control plane that is signed by a \
                              living key, nor a JWT of a registered issuer";
                return Err(invalid("token", detail));
            };
            return own.check(now).map_err(refused);
        }
        if let Some(token) = &self.refresh_token {
            self.need_alone("refresh_token")?;
            let own = plane.sessions.credential(token, CredentialKind::RefreshToken);
            let Some(own) = own else {
                let detail = "is not a refresh token of this control plane";
                return Err(invalid("refresh_token", detail));
            };
            let exp = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
            return Ok(Revocation::Refresh { sid: own.session.to_string(), exp });
        }
        let Self { jti, session_id, sub, kid, claims, exp, issuer, issued_before, .. } = self;
        let target = match (jti, session_id, kid, claims) {
            (Some(jti), ..) => Target::Token(jti),
            (_, Some(sid), ..) => Target::Session(sid),
            (_, _, Some(kid), _) => Target::Key(kid),
            (.., Some(claims)) => Target::Claims(read_claims(claims)?),
            _ => Target::User(sub.unwrap_or_default()),
        };
        let named = Named { target, exp, issued_before, issuer };
        let revocation = named.check(&plane.revocation_rules(), now).map_err(refused)?;
        if let Revocation::Key { issuer: None, kid } = &revocation {
            // This revokes all tokens of the key, as the red button does.
            caller.need(Scope::KeysWrite, "kid: a signing key of this control plane")?;
            if !plane.signing.has_token_key(kid) {
                return Err(invalid("kid", "this control plane has no such key; see GET /v1/keys"));
            }
        }
        Ok(revocation)
    }

    /// A token already contains its issuer and its expiry.
    fn need_alone(&self, name: &str) -> Result<(), Problem> {
        if self.issuer.is_some() || self.exp.is_some() || self.issued_before.is_some() {
            return Err(invalid(name, "takes neither exp, issuer nor issued_before"));
        }
        Ok(())
    }
}

/// The problem for a session of this control plane that does not exist.
pub(super) fn unknown_session() -> Problem {
    let detail = "this control plane has no session with this id; if a token that names it is in \
                  use, revoke it by `token`, or its user by `sub`";
    without_effect("unknown_session", "session_id", detail)
}

fn read_claims(claims: Map<String, Value>) -> Result<Claims, Problem> {
    let read = |(path, value): (String, Value)| {
        let value = match value {
            Value::Bool(value) => ClaimValue::Bool(value),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                ClaimValue::Integer(number.as_i128().unwrap_or_default())
            }
            Value::String(text) => ClaimValue::Text(text.into()),
            _ => {
                let detail = "each must be a string, a whole number of 64 bits, true or false";
                return Err(invalid("claims", detail));
            }
        };
        Ok((path, value))
    };
    claims.into_iter().map(read).collect()
}

pub(in crate::http) fn refused(refused: Refused) -> Problem {
    let Refused { kind, field, detail } = refused;
    match kind {
        RefusedKind::Invalid => invalid(field, detail),
        RefusedKind::AlreadyExpired => without_effect("already_expired", field, detail),
        RefusedKind::TooManySelectors => without_effect("too_many_selectors", field, detail),
        RefusedKind::UnknownIssuer => without_effect("unknown_issuer", field, detail),
    }
}

fn invalid(field: &str, detail: impl Display) -> Problem {
    Problem::of_field("invalid_revocation", field, detail)
}

/// 422: the request is well-formed, but no verifier would enforce the revocation.
fn without_effect(code: &'static str, field: &str, detail: impl Display) -> Problem {
    Problem::of_field(code, field, detail).with_status(StatusCode::UNPROCESSABLE_ENTITY)
}
