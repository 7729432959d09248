//! What a caller may revoke, and how long the revocation must be kept. A revocation that no
//! verifier would enforce is refused and not recorded.

use offswitch_verifier::MAX_ID_BYTES;
use serde::Deserialize;

use crate::limits::{LONGEST_ACCESS_TOKEN_SECONDS, leaves_at};
use crate::record::Revocation;

/// The configuration that applies to revocations.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The `iss` of the control plane's own tokens.
    pub issuer: &'a str,
    /// How long its access tokens live.
    pub access_token_seconds: u64,
    /// How long tokens of other issuers may live, for revocations that name no `exp`.
    pub foreign_token_seconds: u64,
    /// How far in the future an `exp` may be.
    pub max_revocation_seconds: u64,
}

/// What to revoke, named by a claim or by a key id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The token, session, user or key.
    pub target: Target,
    /// An `exp`, unix seconds.
    pub exp: Option<u64>,
    /// The `iss` of the tokens; absent for the control plane's own tokens.
    pub issuer: Option<String>,
}

/// The target of a request. A request has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A token by its `jti`.
    Token(String),
    /// A session by its `sid`.
    Session(String),
    /// A user by their `sub`.
    User(String),
    /// A signing key by its `kid`.
    Key(String),
}

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

/// Why a member of a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The kind of error.
    pub kind: RefusedKind,
    /// The member's name.
    pub field: &'static str,
    /// What is wrong with it, in words.
    pub detail: String,
}

/// How a member is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// The value is not valid for this member.
    Invalid,
    /// No verifier accepts the token any more, so there is nothing to revoke.
    AlreadyExpired,
    /// No token has this `iss`.
    UnknownIssuer,
}

impl Named {
    /// Checks the request and returns the revocation to record.
    ///
    /// # Errors
    ///
    /// If a member is wrong, or if no verifier would enforce the revocation.
    pub fn check(self, rules: &Rules<'_>, now: u64) -> Result<Revocation, Refused> {
        let Self { target, exp, issuer } = self;
        let issuer = foreign(issuer, rules.issuer)?;
        if let Target::Key(kid) = target {
            if exp.is_some() {
                return Err(invalid("exp", "leave it out: a key is dead for good".to_owned()));
            }
            need_id("kid", &kid)?;
            return Ok(Revocation::Key { issuer, kid });
        }
        if let Some(exp) = exp {
            check_exp(exp, now, rules.max_revocation_seconds)?;
        }
        let longest = match issuer {
            None => LONGEST_ACCESS_TOKEN_SECONDS,
            Some(_) => rules.foreign_token_seconds,
        };
        // The exp of one token says nothing about the other tokens of its session or user.
        let all = now.saturating_add(longest).max(exp.unwrap_or_default());
        match target {
            Target::Token(jti) => {
                need_id("jti", &jti)?;
                let Some(exp) = exp else {
                    let detail = "is missing: give the exp of the token, unix seconds";
                    return Err(invalid("exp", detail.to_owned()));
                };
                // A wrong exp must not end the revocation while the token can still be valid.
                let own = now.saturating_add(rules.access_token_seconds);
                let exp = if issuer.is_none() { exp.max(own) } else { exp };
                Ok(Revocation::Token { issuer, jti, exp })
            }
            Target::Session(sid) => {
                need_id("session_id", &sid)?;
                Ok(Revocation::Session { issuer, sid, exp: all })
            }
            Target::User(sub) => {
                need_id("sub", &sub)?;
                Ok(Revocation::User { issuer, sub, exp: all })
            }
            Target::Key(kid) => Ok(Revocation::Key { issuer, kid }),
        }
    }
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

/// True if verifiers accept `id` as a `jti`, `sid`, `sub` or `kid` of this length.
pub fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

/// Refuses an `exp` at which no verifier accepts the token any more, even with the largest leeway
/// and a slow clock, and an `exp` that is too far in the future.
fn check_exp(exp: u64, now: u64, longest: u64) -> Result<(), Refused> {
    let expired = |detail| Refused { kind: RefusedKind::AlreadyExpired, field: "exp", detail };
    if exp < EARLIEST_INSTANT {
        return Err(expired(format!(
            "{exp} is not an instant in unix seconds, now is {now}; for a lifetime of {exp} s give \
             the token's exp"
        )));
    }
    if leaves_at(exp) < now {
        let detail = format!("{exp} has passed, now is {now}: no verifier accepts the token");
        return Err(expired(detail));
    }
    let latest = now.saturating_add(longest);
    if exp > latest {
        let unit = if exp / 1000 <= latest { "; it seems to be in milliseconds" } else { "" };
        let detail = format!("{exp} is too far in the future, at most {latest} is allowed{unit}");
        return Err(invalid("exp", detail));
    }
    Ok(())
}

/// Returns the issuer if it is not the control plane itself.
fn foreign(issuer: Option<String>, own: &str) -> Result<Option<String>, Refused> {
    let Some(issuer) = issuer.filter(|issuer| issuer != own) else { return Ok(None) };
    let unknown = |detail| Refused { kind: RefusedKind::UnknownIssuer, field: "issuer", detail };
    if !(1..=MAX_ISSUER_BYTES).contains(&issuer.len()) {
        return Err(invalid("issuer", format!("must have 1 to {MAX_ISSUER_BYTES} bytes")));
    }
    if issuer.chars().any(|one| one.is_whitespace() || one.is_control()) {
        return Err(unknown("has white space; give the exact `iss` of the tokens".to_owned()));
    }
    if alike(&issuer) == alike(own) {
        return Err(unknown(format!(
            "no token has this `iss`; those of this control plane have {own}"
        )));
    }
    Ok(Some(issuer))
}

/// Normalizes an address, so that two spellings which a person reads as the same are equal.
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

fn need_id(field: &'static str, id: &str) -> Result<(), Refused> {
    if is_id(id) {
        return Ok(());
    }
    let detail = format!("must have 1 to {MAX_ID_BYTES} bytes, found {}", id.len());
    Err(invalid(field, detail))
}

fn invalid(field: &'static str, detail: String) -> Refused {
    Refused { kind: RefusedKind::Invalid, field, detail }
}

const TOKENS_OF_A_SESSION: u8 = 4;
/// The unix time reached 10^9 in 2001: a smaller value is a lifetime, or a mistake.
const EARLIEST_INSTANT: u64 = 1_000_000_000;
const MAX_ISSUER_BYTES: usize = 512;
/// The epoch of a red button is one second ahead and becomes the `iat` of tokens; in addition, the
/// clocks of two processes may differ.
const CLOCK_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    // D06: an exp that no verifier accepts any more is refused; one that some may accept is taken.
    #[test]
    fn an_instant_is_judged_with_leeway_and_margin() {
        let now = 2_000_000_000;
        for (exp, kind) in [
            (0, Some(RefusedKind::AlreadyExpired)),
            (600, Some(RefusedKind::AlreadyExpired)),
            (999_999_999, Some(RefusedKind::AlreadyExpired)),
            (now - 601, Some(RefusedKind::AlreadyExpired)),
            (now - 600, None),
            (now, None),
            (now + 86_400, None),
            (now + 86_401, Some(RefusedKind::Invalid)),
            (now * 1000, Some(RefusedKind::Invalid)),
            (u64::MAX, Some(RefusedKind::Invalid)),
        ] {
            let checked = check_exp(exp, now, 86_400);
            assert_eq!(checked.err().map(|refused| refused.kind), kind, "{exp}");
        }
        let lifetime = check_exp(600, now, 86_400).unwrap_err();
        assert!(lifetime.detail.contains("for a lifetime of 600 s"));
        let milliseconds = check_exp(now * 1000, now, 86_400).unwrap_err();
        assert!(milliseconds.detail.contains("milliseconds"));
    }

    // D33: an extra slash does not make another issuer.
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
            let refused = foreign(Some(near.to_owned()), own).unwrap_err();
            assert_eq!(refused.kind, RefusedKind::UnknownIssuer, "{near}");
        }
        let near = foreign(Some(format!("{own}/")), own).unwrap_err();
        assert!(near.detail.ends_with(own));
        assert!(foreign(Some("https://a.example:443".to_owned()), "https://a.example").is_err());
    }

    // D100: a revocation is kept as long as the longest-lived token that it may match.
    #[test]
    fn an_exp_only_prolongs_the_revocation_of_a_session_or_user_and_of_an_own_token() {
        let now = 2_000_000_000;
        let rules = Rules {
            issuer: "https://auth.example",
            access_token_seconds: 600,
            foreign_token_seconds: 604_800,
            max_revocation_seconds: 31_536_000,
        };
        let exp = |target: Target, exp: Option<u64>, issuer: Option<&str>| {
            let named = Named { target, exp, issuer: issuer.map(str::to_owned) };
            match named.check(&rules, now).unwrap() {
                Revocation::Session { exp, .. }
                | Revocation::Token { exp, .. }
                | Revocation::User { exp, .. } => exp - now,
                other => panic!("{other:?}"),
            }
        };
        let (token, user) = (|| Target::Token("t".to_owned()), || Target::User("u".to_owned()));
        assert_eq!(exp(token(), Some(now + 5), None), 600);
        assert_eq!(exp(token(), Some(now + 700), None), 700);
        assert_eq!(exp(token(), Some(now + 5), Some("idp")), 5);
        assert_eq!(exp(user(), Some(now + 5), None), LONGEST_ACCESS_TOKEN_SECONDS);
        assert_eq!(exp(user(), None, Some("idp")), 604_800);
        assert_eq!(exp(user(), Some(now + 700_000), Some("idp")), 700_000);
        let without = Named { target: token(), exp: None, issuer: None };
        assert_eq!(without.check(&rules, now).unwrap_err().field, "exp");
    }
}
