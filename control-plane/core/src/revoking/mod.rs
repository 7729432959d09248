//! What a caller may revoke, and how long the revocation must be kept. A revocation that no
//! verifier would enforce is refused and not recorded.

mod checks;
mod token_text;

use std::sync::Arc;

use offswitch_snapshot::{ClaimValue, Selector};

use crate::issuers::{Claims, Issuers, Roles};
use crate::record::Revocation;
use checks::{
    check_carried, check_claims, check_exp, check_issued_before, check_selector, invalid, need_id,
};

pub(crate) use checks::alike;
pub use checks::{is_id, known};
pub use token_text::{OwnToken, place_of_held};

/// What applies to revocations.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The issuers whose tokens can be revoked.
    pub issuers: Arc<Issuers>,
    /// How far in the future an `exp` may be.
    pub max_revocation_seconds: u64,
}

/// What to revoke, named by claims or by a key id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The tokens or the key.
    pub target: Target,
    /// An `exp`, unix seconds.
    pub exp: Option<u64>,
    /// Only tokens issued before this instant, unix seconds.
    pub issued_before: Option<u64>,
    /// The `iss` of the tokens; absent for the control plane's own tokens.
    pub issuer: Option<String>,
}

/// The target of a request. A request has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Tokens by claims, by their paths.
    Claims(Claims),
    /// A signing key by its `kid`.
    Key(String),
    /// A session by its id.
    Session(String),
    /// A token by its id.
    Token(String),
    /// A user by their id.
    User(String),
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
    /// No verifier accepts the token any more, so there is nothing to revoke.
    AlreadyExpired,
    /// The value is not valid for this member.
    Invalid,
    /// Verifiers would have to look up by too many different claims.
    TooManySelectors,
    /// The issuer is not registered.
    UnknownIssuer,
}

impl Named {
    /// Checks the request and returns the revocation to record.
    ///
    /// # Errors
    ///
    /// If a member is wrong, or if no verifier would enforce the revocation.
    pub fn check(self, rules: &Rules, now: u64) -> Result<Revocation, Refused> {
        let Self { target, exp, issued_before, issuer } = self;
        let issuers = rules.issuers.as_ref();
        let issuer = known(issuer, issuers)?;
        let of = issuer.as_deref().unwrap_or(issuers.own());
        let roles = issuers.roles_of(of);
        let target = target.plain(&roles);
        check_carried(&target, &roles)?;
        if let Some(issued_before) = issued_before {
            if issuer.is_none() && matches!(target, Target::User(_)) {
                let detail = "leave it out: the sessions of an own user end, with all their tokens";
                return Err(invalid("issued_before", detail.to_owned()));
            }
            check_issued_before(
                issued_before,
                &target,
                issuers.latest_exp(of, issued_before),
                now,
            )?;
        }
        if let Target::Key(kid) = target {
            if exp.is_some() {
                return Err(invalid(
                    "exp",
                    "leave it out: a key is revoked permanently".to_owned(),
                ));
            }
            need_id("kid", &kid)?;
            return Ok(Revocation::Key { issuer, kid });
        }
        if let Some(exp) = exp {
            check_exp(exp, now, rules.max_revocation_seconds)?;
        }
        let exp = exp.unwrap_or(0);
        // A token of this second may be older than the revocation, and the issuer's clock may be fast.
        let until_now = now.saturating_add(1).saturating_add(issuers.clock_skew_of(of));
        match target {
            Target::Claims(claims) => {
                let claims = check_claims(claims)?;
                check_selector(&claims, issuers, of)?;
                let issued_before = issued_before.unwrap_or(until_now);
                Ok(Revocation::Claims { issuer, claims, issued_before, exp })
            }
            Target::Key(kid) => Ok(Revocation::Key { issuer, kid }),
            Target::Session(sid) => {
                need_id("session_id", &sid)?;
                Ok(Revocation::Session { issuer, sid, exp })
            }
            Target::Token(jti) => {
                need_id("jti", &jti)?;
                Ok(Revocation::Token { issuer, jti, exp })
            }
            Target::User(sub) => {
                need_id("sub", &sub)?;
                // Own tokens are compared by their version.
                let foreign = issuer.as_ref().map(|_| until_now);
                let issued_before = issued_before.or(foreign);
                Ok(Revocation::User { issuer, sub, issued_before, exp })
            }
        }
    }
}

impl Target {
    /// Claims that name only a token, a session or a user become that shorthand.
    fn plain(self, roles: &Roles) -> Self {
        let Self::Claims(claims) = &self else { return self };
        let (Ok(selector), [ClaimValue::Text(id)]) =
            (Selector::new(claims.keys()), &claims.values().cloned().collect::<Vec<_>>()[..])
        else {
            return self;
        };
        let (id, selector) = (id.to_string(), Some(selector));
        match selector {
            _ if selector == roles.token => Self::Token(id),
            _ if selector == roles.session => Self::Session(id),
            _ if selector == roles.user => Self::User(id),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use offswitch_snapshot::Salt;

    use super::*;
    use crate::issuers::Definition;
    use crate::record::Record;

    fn issuers() -> Issuers {
        let mut issuers = Issuers::new(OWN);
        let definition = Definition {
            issuer: IDP.to_owned(),
            horizon_seconds: Some(3600),
            token_id_claim: Some("uti".to_owned()),
            user_id_claim: Some("oid".to_owned()),
            ..Definition::default()
        };
        let registration = definition.check("idp", &issuers).unwrap();
        issuers.register("idp", &registration, NOW, 1);
        issuers
    }

    fn rules(issuers: Issuers) -> Rules {
        Rules { issuers: Arc::new(issuers), max_revocation_seconds: 31_536_000 }
    }

    fn check(named: Named) -> Result<Revocation, Refused> {
        named.check(&rules(issuers()), NOW)
    }

    fn named(target: Target) -> Named {
        Named { target, exp: None, issued_before: None, issuer: Some(IDP.to_owned()) }
    }

    fn claims(all: &[(&str, &str)]) -> Target {
        let text = |text: &str| ClaimValue::Text(text.to_owned().into());
        Target::Claims(all.iter().map(|(path, id)| ((*path).to_owned(), text(id))).collect())
    }

    // D33, I05: for a mistyped issuer the refusal names the right one, for an unregistered one all
    // of them.
    #[test]
    fn an_issuer_that_is_not_registered_is_refused() {
        let issuers = issuers();
        assert_eq!(known(None, &issuers), Ok(None));
        assert_eq!(known(Some(OWN.to_owned()), &issuers), Ok(None));
        assert_eq!(known(Some(IDP.to_owned()), &issuers), Ok(Some(IDP.to_owned())));
        for (near, right) in [
            ("https://auth.example/tenant/", OWN),
            ("HTTPS://Auth.example/tenant", OWN),
            (" https://auth.example/tenant", OWN),
            ("https://auth.example:443/tenant", ""),
            ("https://idp.example/realm/", IDP),
            ("https://idp.example/Realm", IDP),
            ("idp", ""),
            ("", ""),
        ] {
            let refused = known(Some(near.to_owned()), &issuers).unwrap_err();
            assert_eq!((refused.kind, refused.field), (RefusedKind::UnknownIssuer, "issuer"));
            let expected = match right {
                "" => format!("registered are {IDP} (idp) and {OWN}"),
                right => format!("did you mean {right}?"),
            };
            assert!(refused.detail.ends_with(&expected), "{near}: {}", refused.detail);
        }
    }

    // Claims that name only a token, a session or a user equal the shorthand, with the issuer's
    // names.
    #[test]
    fn shorthands_follow_the_issuers_claim_names() {
        let issuer = || Some(IDP.to_owned());
        let id = || "x".to_owned();
        let (exp, issued_before) = (0, Some(NOW + 6));
        let user = Revocation::User { issuer: issuer(), sub: id(), issued_before, exp };
        let token = Revocation::Token { issuer: issuer(), jti: id(), exp };
        let session = Revocation::Session { issuer: issuer(), sid: id(), exp };
        assert_eq!(check(named(claims(&[("uti", "x")]))), Ok(token.clone()));
        assert_eq!(check(named(Target::Token(id()))), Ok(token));
        assert_eq!(check(named(claims(&[("/sid", "x")]))), Ok(session));
        assert_eq!(check(named(claims(&[("oid", "x")]))), Ok(user));
        assert!(matches!(check(named(claims(&[("sub", "x")]))), Ok(Revocation::Claims { .. })));
        let own = Named { issuer: None, ..named(Target::User(id())) };
        let own_user = Revocation::User { issuer: None, sub: id(), issued_before: None, exp: 0 };
        assert_eq!(check(own), Ok(own_user));
    }

    // I05: an id that the issuer's tokens do not have names no token.
    #[test]
    fn an_id_that_tokens_of_the_issuer_do_not_have_is_refused() {
        let none = || Some(String::new());
        let definition = Definition {
            issuer: "https://bare.example".to_owned(),
            token_id_claim: none(),
            session_id_claim: none(),
            user_id_claim: none(),
            ..Definition::default()
        };
        let mut issuers = issuers();
        let registration = definition.check("bare", &issuers).unwrap();
        issuers.register("bare", &registration, NOW, 2);
        let rules = rules(issuers);
        let check = |target| {
            let issuer = Some("https://bare.example".to_owned());
            Named { issuer, ..named(target) }.check(&rules, NOW)
        };
        let id = || "x".to_owned();
        for (target, field) in [
            (Target::Token(id()), "jti"),
            (Target::Session(id()), "session_id"),
            (Target::User(id()), "sub"),
        ] {
            let refused = check(target).unwrap_err();
            assert_eq!((refused.kind, refused.field), (RefusedKind::Invalid, field));
        }
        assert!(matches!(check(claims(&[("sub", "x")])), Ok(Revocation::Claims { .. })));
        assert!(rules.issuers.rules_of("https://bare.example").unwrap().selectors.is_empty());
    }

    // I05: a revocation that no verifier would enforce is refused.
    #[test]
    fn claims_that_cannot_be_enforced_are_refused() {
        let long = "x".repeat(257);
        let deep = "/a".repeat(9);
        for (target, part) in [
            (claims(&[]), "1 to 4 claims"),
            (claims(&[("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "x")]), "1 to 4"),
            (claims(&[("a", &long)]), "1 to 256 bytes, found 257"),
            (claims(&[("a", "")]), "found 0"),
            (claims(&[("", "x")]), "claim path"),
            (claims(&[(&deep, "x")]), "at most 8 steps"),
            (claims(&[("iat", "x")]), "issued_before"),
            (claims(&[("/exp", "x")]), "issued_before"),
            (claims(&[("a", "x"), ("/a", "x")]), "named twice"),
        ] {
            let refused = check(named(target.clone())).unwrap_err();
            assert_eq!((refused.kind, refused.field), (RefusedKind::Invalid, "claims"));
            assert!(refused.detail.contains(part), "{target:?}: {}", refused.detail);
        }
    }

    #[test]
    fn the_ninth_selector_is_refused_and_those_in_use_are_named() {
        let mut issuers = issuers();
        let mut take = |path: &str| {
            let revocation = named(claims(&[(path, "x")])).check(&rules(issuers.clone()), NOW)?;
            let record =
                Record { at: NOW, by: String::new(), reason: None, revocations: vec![revocation] };
            record.effects(2, Salt::default(), &mut issuers);
            Ok::<_, Refused>(())
        };
        // Three are the token, the session and the user.
        for path in ["a", "b", "c", "d", "e", "a", "uti"] {
            take(path).unwrap();
        }
        let refused = take("f").unwrap_err();
        assert_eq!(refused.kind, RefusedKind::TooManySelectors);
        assert!(refused.detail.ends_with("in use are: a, b, c, d, e, oid, sid, uti"));
    }

    #[test]
    fn a_cut_off_is_a_time_that_some_token_can_have() {
        let with = |target, issued_before| {
            check(Named { issued_before: Some(issued_before), ..named(target) })
        };
        let user = || Target::User("u".to_owned());
        assert!(with(user(), NOW + 300).is_ok() && with(user(), NOW - 3600 - 600).is_ok());
        for (target, instant, kind) in [
            (user(), NOW + 301, RefusedKind::Invalid),
            (user(), 600, RefusedKind::Invalid),
            (user(), NOW - 3600 - 601, RefusedKind::AlreadyExpired),
            (Target::Token("t".to_owned()), NOW, RefusedKind::Invalid),
            (Target::Session("s".to_owned()), NOW, RefusedKind::Invalid),
            (Target::Key("k".to_owned()), NOW, RefusedKind::Invalid),
        ] {
            let refused = with(target, instant).unwrap_err();
            assert_eq!((refused.kind, refused.field), (kind, "issued_before"), "{instant}");
        }
    }

    const NOW: u64 = 2_000_000_000;
    const OWN: &str = "https://auth.example/tenant";
    const IDP: &str = "https://idp.example/realm";
}
