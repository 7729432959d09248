//! One entry of a revocation: which one thing it names, and whether any verifier would enforce it.
//!
//! A revocation without an effect is refused, never acknowledged.

use std::fmt::Display;

use axum::http::StatusCode;
use offswitch_verifier::{Jws, VerifyingKey};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api_keys::Scope;
use crate::credential::{Credential, CredentialKind};
use crate::http::MAX_ID_BYTES;
use crate::http::access::Caller;
use crate::http::json;
use crate::keyring::KeyState;
use crate::plane::Plane;
use crate::problem::Problem;
use offswitch_core::limits::LONGEST_ACCESS_TOKEN_SECONDS;
use offswitch_core::limits::leaves_at;
use offswitch_core::record::Revocation;

/// One of `token`, `jti` with `exp`, `session_id`, `sub`, `refresh_token` or `kid`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RevocationEntry)]
pub(super) struct Entry {
    /// An access token of this control plane; its claims are what is revoked.
    pub(super) token: Option<String>,
    /// A token's id; needs `exp`.
    pub(super) jti: Option<String>,
    /// The token's `exp`, unix seconds.
    pub(super) exp: Option<u64>,
    /// A session, with all its tokens.
    pub(super) session_id: Option<String>,
    /// A user, with all tokens held now.
    pub(super) sub: Option<String>,
    /// A refresh token: its session cannot be refreshed any more, but its access tokens stay valid
    /// until they expire.
    pub(super) refresh_token: Option<String>,
    /// A signing key.
    pub(super) kid: Option<String>,
    /// Whose; this control plane by default.
    pub(super) issuer: Option<String>,
}

/// What a revocation needs of an own token.
#[derive(Deserialize)]
pub(in crate::http) struct Claims {
    iss: String,
    pub(in crate::http) jti: String,
    pub(in crate::http) sid: String,
    pub(in crate::http) exp: u64,
}

/// The claims of a token that this control plane can have signed. It may have expired.
///
/// A key that is dead or retired signs no credential: whoever stole it could fill the log. No token
/// lives longer than [`LONGEST_ACCESS_TOKEN_SECONDS`], and its ids are as short as verifiers take
/// them.
pub(in crate::http) fn own_token(plane: &Plane, token: &str, now: u64) -> Option<Claims> {
    let jws = Jws::parse(token).ok()?;
    let keyring = plane.keyring();
    let states = {
        let fold = plane.fold();
        keyring.states(now, |kid| fold.is_dead(kid))
    };
    let (key, ..) = states
        .into_iter()
        .find(|(key, state, _)| *state != KeyState::Dead && Some(key.kid()) == jws.kid())?;
    let key = VerifyingKey::from_jwk(key.jwk().to_string().as_bytes()).ok()?;
    let claims: Claims = json::read(&jws.verify(&key).ok()?).ok()?;
    let is_id = |id: &str| (1..=MAX_ID_BYTES).contains(&id.len());
    let latest = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS + CLOCK_SECONDS);
    let is_own = claims.iss == plane.settings().issuer
        && is_id(&claims.jti)
        && is_id(&claims.sid)
        && claims.exp <= latest;
    is_own.then_some(claims)
}

impl Entry {
    pub(super) fn is_empty(&self) -> bool {
        self.exp.is_none() && self.issuer.is_none() && self.named().iter().all(|name| !name)
    }

    fn named(&self) -> [bool; 6] {
        let Self { token, jti, session_id, sub, refresh_token, kid, .. } = self;
        [token, jti, session_id, sub, refresh_token, kid].map(Option::is_some)
    }

    /// The one thing that the entry names.
    ///
    /// # Errors
    ///
    /// `invalid_revocation` where it names none or several, or an id that no verifier takes;
    /// `already_expired`, `unknown_issuer` and `unknown_session` where no verifier would enforce it;
    /// `missing_scope` for a key of this control plane.
    pub(super) fn check(
        self,
        plane: &Plane,
        caller: &Caller,
        now: u64,
    ) -> Result<Revocation, Problem> {
        if self.named().iter().filter(|name| **name).count() != 1 {
            let names = "token, jti, session_id, sub, refresh_token, kid";
            let detail = format!("give exactly one of {names}");
            return Err(Problem::bad_request("invalid_revocation", detail));
        }
        if let Some(token) = &self.token {
            self.need_alone("token")?;
            return check_token(plane, token, now);
        }
        if let Some(token) = &self.refresh_token {
            self.need_alone("refresh_token")?;
            return check_refresh_token(plane, token, now);
        }
        let settings = plane.settings();
        let issuer = foreign(self.issuer, &settings.issuer)?;
        if let Some(kid) = self.kid {
            if self.exp.is_some() {
                return Err(invalid("exp", "leave it out: a key is dead for good"));
            }
            return check_key(plane, caller, issuer, kid);
        }
        if let Some(exp) = self.exp {
            check_exp(exp, now, settings.max_revocation_seconds)?;
        }
        let longest = match issuer {
            None => LONGEST_ACCESS_TOKEN_SECONDS,
            Some(_) => settings.foreign_token_seconds,
        };
        // One token's exp says nothing of the others of its session or user.
        let all = now.saturating_add(longest).max(self.exp.unwrap_or_default());
        if let Some(jti) = self.jti {
            need_id("jti", &jti)?;
            let Some(exp) = self.exp else {
                let detail = "is missing: give the exp of the token, unix seconds";
                return Err(invalid("exp", detail));
            };
            // A wrong exp must not end the revocation of a token that can still be valid.
            let own = now.saturating_add(settings.access_token_seconds);
            let exp = if issuer.is_none() { exp.max(own) } else { exp };
            return Ok(Revocation::Token { issuer, jti, exp });
        }
        if let Some(sid) = self.session_id {
            need_id("session_id", &sid)?;
            return Ok(Revocation::Session { issuer, sid, exp: all });
        }
        let sub = self.sub.unwrap_or_default();
        need_id("sub", &sub)?;
        Ok(Revocation::User { issuer, sub, exp: all })
    }

    /// A token says by itself whose it is and until when.
    fn need_alone(&self, name: &str) -> Result<(), Problem> {
        if self.issuer.is_some() || self.exp.is_some() {
            return Err(invalid(name, "takes neither exp nor issuer"));
        }
        Ok(())
    }
}

/// The problem of a session of this control plane that does not exist.
pub(super) fn unknown_session() -> Problem {
    let detail = "this control plane has no session with this id; if a token that names it is in \
                  use, revoke it by `token`, or its user by `sub`";
    without_effect("unknown_session", "session_id", detail)
}

fn check_token(plane: &Plane, token: &str, now: u64) -> Result<Revocation, Problem> {
    let Some(own) = own_token(plane, token, now) else {
        let detail = "is not an access token of this control plane that is signed by a living key";
        return Err(invalid("token", detail));
    };
    if leaves_at(own.exp) < now {
        let detail = format!("expired at {}, now is {now}: no verifier accepts it", own.exp);
        return Err(without_effect("already_expired", "token", detail));
    }
    Ok(Revocation::Token { issuer: None, jti: own.jti, exp: own.exp })
}

fn check_refresh_token(plane: &Plane, token: &str, now: u64) -> Result<Revocation, Problem> {
    let own = Credential::parse(token, CredentialKind::RefreshToken, plane.master());
    let Some(own) = own else {
        return Err(invalid("refresh_token", "is not a refresh token of this control plane"));
    };
    let exp = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
    Ok(Revocation::Refresh { sid: own.session.to_string(), exp })
}

fn check_key(
    plane: &Plane,
    caller: &Caller,
    issuer: Option<String>,
    kid: String,
) -> Result<Revocation, Problem> {
    need_id("kid", &kid)?;
    if issuer.is_none() {
        // It switches off all tokens of the key, as the red button does.
        caller.need(Scope::KeysWrite, "kid: a signing key of this control plane")?;
        if !plane.keyring().token_keys().iter().any(|key| key.kid() == kid) {
            return Err(invalid("kid", "this control plane has no such key; see GET /v1/keys"));
        }
    }
    Ok(Revocation::Key { issuer, kid })
}

/// Refuses an instant at which no verifier accepts the token any more, whatever its leeway and its
/// clock, and one that is too far away.
fn check_exp(exp: u64, now: u64, longest: u64) -> Result<(), Problem> {
    if exp < EARLIEST_INSTANT {
        let detail = format!(
            "{exp} is not an instant in unix seconds, now is {now}; for a lifetime of {exp} s give \
             the token's exp"
        );
        return Err(without_effect("already_expired", "exp", detail));
    }
    if leaves_at(exp) < now {
        let detail = format!("{exp} has passed, now is {now}: no verifier accepts the token");
        return Err(without_effect("already_expired", "exp", detail));
    }
    let latest = now.saturating_add(longest);
    if exp > latest {
        let unit = if exp / 1000 <= latest { "; it seems to be in milliseconds" } else { "" };
        let detail = format!("{exp} is too far in the future, at most {latest} is allowed{unit}");
        return Err(invalid("exp", detail));
    }
    Ok(())
}

/// The issuer, if it is not this control plane.
fn foreign(issuer: Option<String>, own: &str) -> Result<Option<String>, Problem> {
    let Some(issuer) = issuer.filter(|issuer| issuer != own) else { return Ok(None) };
    if !(1..=MAX_ISSUER_BYTES).contains(&issuer.len()) {
        return Err(invalid("issuer", format!("must have 1 to {MAX_ISSUER_BYTES} bytes")));
    }
    if issuer.chars().any(|one| one.is_whitespace() || one.is_control()) {
        let detail = "has white space; give the exact `iss` of the tokens";
        return Err(without_effect("unknown_issuer", "issuer", detail));
    }
    if alike(&issuer) == alike(own) {
        let detail = format!("no token has this `iss`; those of this control plane have {own}");
        return Err(without_effect("unknown_issuer", "issuer", detail));
    }
    Ok(Some(issuer))
}

/// What two addresses have in common that a person takes for the same.
fn alike(issuer: &str) -> String {
    let issuer = issuer.to_ascii_lowercase();
    let address = issuer.trim_end_matches('/');
    let without_port = match address.split_once("://") {
        Some(("https", _)) => address.strip_suffix(":443"),
        Some(("http", _)) => address.strip_suffix(":80"),
        _ => None,
    };
    without_port.unwrap_or(address).to_owned()
}

fn need_id(field: &str, id: &str) -> Result<(), Problem> {
    if (1..=MAX_ID_BYTES).contains(&id.len()) {
        return Ok(());
    }
    Err(invalid(field, format!("must have 1 to {MAX_ID_BYTES} bytes, found {}", id.len())))
}

fn invalid(field: &str, detail: impl Display) -> Problem {
    Problem::of_field("invalid_revocation", field, detail)
}

/// 422: the request is well-formed, and no verifier would enforce what it asks for.
fn without_effect(code: &'static str, field: &str, detail: impl Display) -> Problem {
    Problem::of_field(code, field, detail).with_status(StatusCode::UNPROCESSABLE_ENTITY)
}

/// The second 10^9 was in 2001: less is a lifetime, or a mistake.
const EARLIEST_INSTANT: u64 = 1_000_000_000;
const MAX_ISSUER_BYTES: usize = 512;
/// The epoch of a red button, which dates tokens, is one second ahead, and the clocks of two
/// processes may differ.
const CLOCK_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::ProblemDocument;

    // D06: what no verifier accepts any more is refused; what one still may accept is taken.
    #[test]
    fn an_instant_is_judged_with_leeway_and_margin() {
        let now = 2_000_000_000;
        for (exp, code) in [
            (0, Some("already_expired")),
            (600, Some("already_expired")),
            (999_999_999, Some("already_expired")),
            (now - 601, Some("already_expired")),
            (now - 600, None),
            (now, None),
            (now + 86_400, None),
            (now + 86_401, Some("invalid_revocation")),
            (now * 1000, Some("invalid_revocation")),
            (u64::MAX, Some("invalid_revocation")),
        ] {
            let checked = check_exp(exp, now, 86_400);
            assert_eq!(checked.err().map(|problem| problem.code()), code, "{exp}");
        }
        let lifetime = check_exp(600, now, 86_400).unwrap_err();
        assert!(ProblemDocument::from(lifetime).detail().contains("for a lifetime of 600 s"));
        let milliseconds = check_exp(now * 1000, now, 86_400).unwrap_err();
        assert!(ProblemDocument::from(milliseconds).detail().contains("milliseconds"));
    }

    // D33: a slash too many is not another issuer.
    #[test]
    fn an_issuer_that_is_nearly_our_own_is_refused_by_its_right_name() {
        let own = "https://auth.example/tenant";
        assert_eq!(foreign(None, own), Ok(None));
        assert_eq!(foreign(Some(own.to_owned()), own), Ok(None));
        for other in ["https://idp.example", "https://auth.example/tenant2", "idp"] {
            assert_eq!(foreign(Some(other.to_owned()), own), Ok(Some(other.to_owned())));
        }
        for near in [
            "https://auth.example/tenant/",
            "https://auth.example/tenant//",
            "HTTPS://Auth.example/tenant",
            " https://auth.example/tenant",
            "https://idp.example\n",
        ] {
            let problem = foreign(Some(near.to_owned()), own).unwrap_err();
            assert_eq!(problem.code(), "unknown_issuer", "{near}");
        }
        let near = foreign(Some(format!("{own}/")), own).unwrap_err();
        assert!(ProblemDocument::from(near).detail().ends_with(own));
        assert!(foreign(Some("https://a.example:443".to_owned()), "https://a.example").is_err());
    }
}
