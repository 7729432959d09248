//! The checks of single members of a request.

use offswitch_snapshot::{ClaimValue, MAX_SELECTORS, Selector, SelectorError};
use offswitch_verifier::MAX_ID_BYTES;

use super::{Refused, RefusedKind, Target};
use crate::issuers::{Claims, Issuers, Roles};
use crate::limits::leaves_at;

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

/// Refuses an id that the issuer's tokens do not have.
pub(super) fn check_carried(target: &Target, roles: &Roles) -> Result<(), Refused> {
    let (field, role, member) = match target {
        Target::Session(_) => ("session_id", &roles.session, "session_id_claim"),
        Target::Token(_) => ("jti", &roles.token, "token_id_claim"),
        Target::User(_) => ("sub", &roles.user, "user_id_claim"),
        Target::Claims(_) | Target::Key(_) => return Ok(()),
    };
    if role.is_some() {
        return Ok(());
    }
    let detail = format!(
        "tokens of this issuer have no such id, by its registration ({member}); revoke by claims"
    );
    Err(invalid(field, detail))
}

/// The claims by their one spelling.
pub(super) fn check_claims(claims: Claims) -> Result<Claims, Refused> {
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

/// Every verifier looks up each selector for every token.
pub(super) fn check_selector(
    claims: &Claims,
    issuers: &Issuers,
    issuer: &str,
) -> Result<(), Refused> {
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

pub(super) fn check_issued_before(
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

/// Refuses an `exp` at which no verifier accepts the token any more, even with the largest leeway
/// and a slow clock, and an `exp` that is too far in the future.
pub(super) fn check_exp(exp: u64, now: u64, longest: u64) -> Result<(), Refused> {
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

/// True if verifiers accept `id` as a `jti`, `sid`, `sub` or `kid` of this length.
pub fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

pub(super) fn need_id(field: &'static str, id: &str) -> Result<(), Refused> {
    if is_id(id) {
        return Ok(());
    }
    let detail = format!("must have 1 to {MAX_ID_BYTES} bytes, found {}", id.len());
    Err(invalid(field, detail))
}

pub(super) fn invalid(field: &'static str, detail: String) -> Refused {
    Refused { kind: RefusedKind::Invalid, field, detail }
}

/// The unix time reached 10^9 in 2001: a smaller value is a lifetime, or a mistake.
const EARLIEST_INSTANT: u64 = 1_000_000_000;
/// How far in the future an `issued_before` may be: clocks differ.
const MAX_LEAD_SECONDS: u64 = 300;
/// How many registered issuers a message names.
const MAX_SHOWN: usize = 10;
/// Claims that say when, and not which.
const TIMES: [&str; 3] = ["exp", "iat", "nbf"];

#[cfg(test)]
mod tests {
    use super::*;

    // D06: an exp that no verifier accepts any more is refused; one that some verifiers may accept
    // is taken.
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
}
