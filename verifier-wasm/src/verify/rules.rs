//! The requirements of an issuer's configuration on a token's type and claims.

use crate::json::Value;
use crate::keys::KeyId;
use crate::shown::Shown;
use crate::token::claims::Claims;
use crate::token::jws::Header;
use crate::verify::Verifier;
use crate::verify::config::{AudienceRule, IssuerConfig, RequiredValue};
use crate::verify::refusal::{Mismatch, Refusal};

impl Verifier {
    pub(crate) fn check_issuer(
        &self,
        rules: &IssuerConfig,
        header: &Header,
        claims: &Claims<'_>,
    ) -> Result<(), Refusal> {
        let name = claims.issuer.as_deref();
        if name == Some(rules.issuer.as_str()) {
            return Ok(());
        }
        // Its own issuer may have this key too, after another fetch: two names of one service.
        let (kid, algorithm) = (header.kid(), header.algorithm());
        if self.lacks_key(name, kid, algorithm) {
            return Err(self.unknown_key(kid, algorithm));
        }
        let found = name.map_or("missing".to_owned(), |name| Shown::new(name).into());
        Err(Refusal::WrongIssuer(Mismatch::new("iss", found, Shown::new(&rules.issuer))))
    }

    pub(crate) fn check_required(&self, key: KeyId, claims: &Claims<'_>) -> Result<(), Refusal> {
        let Some(issuer) = self.issuers.get(key.issuer) else { return Ok(()) };
        if let Some(name) = issuer.required.first_beyond(claims.present) {
            return Err(Refusal::MissingClaim(name.into()));
        }
        for (at, RequiredValue { claim, any_of }) in issuer.rules.required_values.iter().enumerate()
        {
            let value = claims.values.iter().find(|(of, _)| *of == at).map(|(_, value)| value);
            match value.ok_or_else(|| Refusal::MissingClaim(claim.clone().into()))? {
                Value::Text(text) if any_of.iter().any(|one| one == text) => {}
                value => {
                    let found = match value {
                        Value::Text(text) => Shown::new(text).to_string(),
                        value => value.kind().to_owned(),
                    };
                    let expected = names(any_of);
                    return Err(Refusal::WrongClaim(Mismatch::new(claim.clone(), found, expected)));
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn check_type(rules: &IssuerConfig, typ: Option<&str>) -> Result<(), Refusal> {
    if rules.types.iter().any(|expected| same_type(expected.as_deref(), typ)) {
        return Ok(());
    }
    let found = typ.map_or("missing".to_owned(), |typ| Shown::new(typ).into());
    let shown = |typ: &Option<String>| match typ {
        Some(typ) => Shown::new(typ).to_string(),
        None => "none".to_owned(),
    };
    let expected: Vec<String> = rules.types.iter().take(MAX_SHOWN).map(shown).collect();
    let expected = format!("{} (option types)", expected.join(" or "));
    Err(Refusal::WrongType(Mismatch::new("typ", found, expected)))
}

pub(crate) fn check_audience(rules: &IssuerConfig, claims: &Claims<'_>) -> Result<(), Refusal> {
    match &rules.audience {
        AudienceRule::AnyOf(known) if !known.iter().any(|name| claims.audience.contains(name)) => {
            let found = claims.audience.shown();
            Err(Refusal::WrongAudience(Mismatch::new("aud", found, names(known))))
        }
        AudienceRule::AnyOf(_) | AudienceRule::Unchecked => Ok(()),
    }
}

/// A token without `iat` is judged by its remaining time; see [`Standing`].
pub(crate) fn check_lifetime(rules: &IssuerConfig, claims: &Claims<'_>) -> Result<(), Refusal> {
    let (Some(exp), Some(iat)) = (claims.expires_at, claims.issued_at) else { return Ok(()) };
    let (seconds, limit_seconds) = (exp.saturating_sub(iat), rules.max_lifetime_seconds);
    if seconds > limit_seconds {
        return Err(Refusal::LifetimeTooLong { seconds, limit_seconds });
    }
    Ok(())
}

/// The first of several acceptable values.
#[cold]
fn names(known: &[String]) -> String {
    let shown: Vec<String> =
        known.iter().take(MAX_SHOWN).map(|name| Shown::new(name).into()).collect();
    let more = if known.len() > MAX_SHOWN { " or another" } else { "" };
    shown.join(" or ") + more
}

/// Media types compare without case, and the prefix `application/` is optional (RFC 7515 section
/// 4.1.9).
pub(crate) fn same_type(expected: Option<&str>, found: Option<&str>) -> bool {
    match (expected, found) {
        (Some(expected), Some(found)) => {
            short_type(expected).eq_ignore_ascii_case(short_type(found))
        }
        (None, None) => true,
        _ => false,
    }
}

fn short_type(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, short))
            if prefix.eq_ignore_ascii_case("application/") && !short.contains('/') =>
        {
            short
        }
        _ => typ,
    }
}

/// How many of several names a message shows.
const MAX_SHOWN: usize = 3;
