//! What a caller may revoke, and how long the revocation must be kept. A revocation that no
//! verifier would enforce is refused and not recorded.

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_snapshot::{ClaimValue, MAX_SELECTORS, Selector, SelectorError};
use offswitch_verifier::{Jws, MAX_ID_BYTES};
use serde::Deserialize;

use crate::issuers::{Claims, Issuers};
use crate::limits::{LONGEST_ACCESS_TOKEN_SECONDS, leaves_at};
use crate::record::Revocation;

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
        let target = target.plain(&issuers.roles_of(of));
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
                return Err(invalid("exp", "leave it out: a key is dead for good".to_owned()));
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
        let path = &registration.token_claim;
        let id = if path.starts_with('/') { claims.pointer(path) } else { claims.get(path) };
        let id = id?.as_str()?.to_owned();
        // Seconds beyond what a float holds exactly are beyond what is accepted.
        let exp = exp.filter(|exp| (0.0..9e15).contains(exp)).map(|exp| exp as u64);
        Some(Self { target: Target::Token(id), exp, issued_before: None, issuer: Some(iss) })
    }
}

impl Target {
    /// Claims that name only a token, a session or a user are that.
    fn plain(self, [token, session, user]: &[Selector; 3]) -> Self {
        let Self::Claims(claims) = &self else { return self };
        let (Ok(selector), [ClaimValue::Text(id)]) =
            (Selector::new(claims.keys()), &claims.values().cloned().collect::<Vec<_>>()[..])
        else {
            return self;
        };
        let id = id.to_string();
        match selector {
            selector if selector == *token => Self::Token(id),
            selector if selector == *session => Self::Session(id),
            selector if selector == *user => Self::User(id),
            _ => self,
        }
    }
}

/// The claims by their one spelling.
fn check_claims(claims: Claims) -> Result<Claims, Refused> {
    let mut checked = Claims::new();
    let count = claims.len();
    for (path, value) in claims {
        let selector = Selector::new([&path]).map_err(|problem| wrong_path(&path, problem))?;
        let [name] = selector.paths() else { continue };
        if TIMES.contains(&name.as_str()) {
            let detail = format!("tokens are not revoked by {name}; give issued_before instead");
            return Err(invalid("claims", detail));
        }
        if let ClaimValue::Text(text) = &value
            && !is_id(text)
        {
            let detail =
                format!("{name} must have 1 to {MAX_ID_BYTES} bytes, found {}", text.len());
            return Err(invalid("claims", detail));
        }
        checked.insert(name.clone(), value);
    }
    if checked.len() < count {
        return Err(wrong_path("", SelectorError::Repeated));
    }
    match Selector::new(checked.keys()) {
        Ok(_) => Ok(checked),
        Err(problem) => Err(wrong_path("", problem)),
    }
}

fn wrong_path(path: &str, problem: SelectorError) -> Refused {
    let of = if path.is_empty() { String::new() } else { format!("`{}`: ", path.escape_debug()) };
    invalid("claims", format!("{of}{problem}"))
}

/// Each selector costs every verifier a look-up for every token.
fn check_selector(claims: &Claims, issuers: &Issuers, issuer: &str) -> Result<(), Refused> {
    let selector = Selector::new(claims.keys());
    let count = issuers.selectors_with(issuer, selector.iter());
    if count <= MAX_SELECTORS {
        return Ok(());
    }
    let in_use = issuers.rules_of(issuer).map_or(&[][..], |rules| &rules.selectors);
    let in_use: Vec<String> = in_use.iter().map(|listed| listed.selector.to_string()).collect();
    let detail = format!(
        "at most {MAX_SELECTORS} combinations of claims can be in use for an issuer; in use are: {}",
        in_use.join(", ")
    );
    Err(Refused { kind: RefusedKind::TooManySelectors, field: "claims", detail })
}

fn check_issued_before(
    issued_before: u64,
    target: &Target,
    latest_exp: u64,
    now: u64,
) -> Result<(), Refused> {
    let refuse = |detail| Err(invalid("issued_before", detail));
    if !matches!(target, Target::Claims(_) | Target::User(_)) {
        let detail =
            "leave it out: a token, a session and a key are revoked regardless of their age";
        return refuse(detail.to_owned());
    }
    let latest = now.saturating_add(MAX_LEAD_SECONDS);
    if !(EARLIEST_INSTANT..=latest).contains(&issued_before) {
        return refuse(format!(
            "{issued_before} must be an instant in unix seconds, at most {latest}"
        ));
    }
    if leaves_at(latest_exp) < now {
        let detail = format!("no token issued before {issued_before} is accepted any more");
        let kind = RefusedKind::AlreadyExpired;
        return Err(Refused { kind, field: "issued_before", detail });
    }
    Ok(())
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

/// Returns the issuer if it is not the control plane itself. One that is not registered is refused: no
/// verifier would enforce the revocation.
///
/// # Errors
///
/// [`RefusedKind::UnknownIssuer`], with the issuers that are registered.
pub fn known(issuer: Option<String>, issuers: &Issuers) -> Result<Option<String>, Refused> {
    let Some(issuer) = issuer.filter(|issuer| issuer != issuers.own()) else { return Ok(None) };
    if issuers.with_issuer(&issuer).is_some() {
        return Ok(Some(issuer));
    }
    let registered: Vec<String> = issuers
        .registered()
        .take(MAX_SHOWN)
        .map(|(name, one)| format!("{} ({name})", one.issuer))
        .collect();
    let own = issuers.own();
    let all: Vec<&str> =
        [own].into_iter().chain(issuers.registered().map(|(_, one)| one.issuer.as_str())).collect();
    let near = all.iter().find(|one| alike(one) == alike(&issuer));
    let detail = match near {
        Some(near) => format!("no token has this `iss`; did you mean {near}?"),
        None if registered.is_empty() => {
            format!("is not registered; the only issuer is this control plane, {own}")
        }
        None => format!("is not registered; registered are {} and {own}", registered.join(", ")),
    };
    Err(Refused { kind: RefusedKind::UnknownIssuer, field: "issuer", detail })
}

/// Normalizes an address, so that two spellings which a person reads as the same are equal.
pub(crate) fn alike(issuer: &str) -> String {
    let issuer = issuer.trim().to_ascii_lowercase();
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
/// How far in the future an `issued_before` may be: clocks differ.
const MAX_LEAD_SECONDS: u64 = 300;
/// How many registered issuers a message names.
const MAX_SHOWN: usize = 10;
/// Claims that say when, and not which.
const TIMES: [&str; 3] = ["exp", "iat", "nbf"];
/// The epoch of a red button is one second ahead and becomes the `iat` of tokens; in addition, the
/// clocks of two processes may differ.
const CLOCK_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use offswitch_snapshot::Salt;

    use super::*;
    use crate::issuers::{KeySource, Registration};
    use crate::record::Record;

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

    fn issuers() -> Issuers {
        let mut issuers = Issuers::new(OWN);
        let registration = Registration {
            issuer: "https://idp.example/realm".to_owned(),
            keys: KeySource::Jwks("https://idp.example/keys".to_owned()),
            algorithms: vec!["RS256".to_owned()],
            horizon_seconds: 3600,
            clock_skew_seconds: 5,
            token_claim: "uti".to_owned(),
            session_claim: "sid".to_owned(),
            user_claim: "oid".to_owned(),
            selectors: vec![],
        };
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

    // D33, I05: a mistyped issuer is refused by the right name, one that is not registered by all names.
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

    // Claims that name only a token, a session or a user are the shorthand, by the issuer's names.
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

    // I05: what no verifier would enforce is refused.
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
    fn a_cut_off_is_an_instant_that_some_token_can_have() {
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
