//! The registration of an issuer.

use offswitch_presets::{Parameters, Preset};
use offswitch_snapshot::{MAX_SELECTORS, Selector};
use offswitch_verifier::{Algorithm, KeySource, is_protected_address};
use serde::{Deserialize, Serialize};

use super::Issuers;
use crate::receivers::Receivers;
use crate::revoking::{Refused, RefusedKind, alike};

/// An identity provider whose tokens can be revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are: a discovery document or a key set.
    pub keys: KeySource,
    /// The algorithms of its tokens, by their JWA names.
    pub algorithms: Vec<String>,
    /// The longest life of its tokens, from `iat` to `exp`, in seconds.
    pub horizon_seconds: u64,
    /// How far its clock may differ from ours, in seconds.
    pub clock_skew_seconds: u64,
    /// The claim that is the id of a token, if its tokens have one.
    pub token_claim: Option<String>,
    /// The claim that is the id of a session, if its tokens have one.
    pub session_claim: Option<String>,
    /// The claim that is the id of a user, if its tokens have one.
    pub user_claim: Option<String>,
    /// Selectors that verifiers look up even while nothing is revoked by them.
    pub selectors: Vec<Selector>,
    /// Which of its events are accepted.
    pub receivers: Receivers,
}

/// An issuer as an operator describes it; a missing member gets its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Definition {
    /// The exact `iss` of its tokens. A preset defines it.
    pub issuer: String,
    /// The name of the preset that defines the missing members.
    pub preset: Option<String>,
    /// The parameters of the preset.
    pub parameters: Parameters,
    /// The address of its discovery document (OpenID Connect Discovery 1.0, RFC 8414). By default
    /// `/.well-known/openid-configuration` at the issuer.
    pub discovery_uri: Option<String>,
    /// The address of its JWK set, instead of a discovery document.
    pub jwks_uri: Option<String>,
    /// The algorithms of its tokens; by default RS256, ES256 and EdDSA.
    pub algorithms: Option<Vec<String>>,
    /// The longest life of its tokens, from `iat` to `exp`, in seconds, 60 to 31536000; by default
    /// 86400. Verifiers refuse tokens that live longer.
    pub horizon_seconds: Option<u64>,
    /// How far its clock may differ, in seconds, 0 to 300; by default 5.
    pub clock_skew_seconds: Option<u64>,
    /// The claim that is the id of a token; by default `jti`. Empty if its tokens have none.
    pub token_id_claim: Option<String>,
    /// The claim that is the id of a session; by default `sid`. Empty if its tokens have none.
    pub session_id_claim: Option<String>,
    /// The claim that is the id of a user; by default `sub`. Empty if its tokens have none.
    pub user_id_claim: Option<String>,
    /// Further combinations of claims that verifiers look up, each one to four claim paths.
    pub selectors: Vec<Vec<String>>,
    /// Which of its events are accepted, and from whom; by default none.
    pub receivers: Receivers,
}

impl Definition {
    /// Checks the definition of the issuer that is to be registered as `name`.
    ///
    /// # Errors
    ///
    /// If a member is wrong, or if another issuer is in the way.
    pub fn check(self, name: &str, issuers: &Issuers) -> Result<Registration, Refused> {
        self.with_preset()?.check_members(name, issuers)
    }

    /// The definition with the members that its preset adds.
    ///
    /// # Errors
    ///
    /// If there is no such preset, or if a parameter is wrong.
    pub fn with_preset(self) -> Result<Self, Refused> {
        let Some(name) = &self.preset else {
            return match self.parameters.is_empty() {
                true => Ok(self),
                false => Err(invalid("parameters", "belong to a preset; name it".to_owned())),
            };
        };
        if !self.issuer.is_empty() {
            let detail = "leave it out: the preset has it".to_owned();
            return Err(invalid("issuer", detail));
        }
        let (_, preset) =
            Preset::of(name).map_err(|problem| invalid("preset", problem.to_string()))?;
        let address = Preset::address(name, &self.parameters)
            .map_err(|problem| invalid("parameters", problem.to_string()))?;
        let jwks_uri = || self.discovery_uri.is_none().then_some(address.jwks_uri);
        let claim = |name: &Option<String>| Some(name.clone().unwrap_or_default());
        Ok(Self {
            issuer: address.issuer,
            preset: None,
            parameters: Parameters::new(),
            jwks_uri: self.jwks_uri.or_else(jwks_uri),
            algorithms: self.algorithms.or_else(|| Some(preset.algorithms.clone())),
            horizon_seconds: self.horizon_seconds.or(Some(preset.horizon_seconds)),
            token_id_claim: self.token_id_claim.or_else(|| claim(&preset.claims.token)),
            session_id_claim: self.session_id_claim.or_else(|| claim(&preset.claims.session)),
            user_id_claim: self.user_id_claim.or_else(|| claim(&preset.claims.user)),
            ..self
        })
    }

    fn check_members(self, name: &str, issuers: &Issuers) -> Result<Registration, Refused> {
        let is_plain = |one: char| matches!(one, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.chars().all(is_plain) {
            let detail = format!("must have 1 to {MAX_NAME_BYTES} of the characters a-z 0-9 - _ .");
            return Err(invalid("name", detail));
        }
        let issuer = self.issuer.clone();
        check_issuer(&issuer, name, issuers)?;
        let selectors = self.selectors()?;
        let horizon_seconds = self.horizon_seconds.unwrap_or(DEFAULT_HORIZON_SECONDS);
        if !(60..=31_536_000).contains(&horizon_seconds) {
            return Err(invalid("horizon_seconds", "must be from 60 to 31536000".to_owned()));
        }
        if !issuers.can_limit(&issuer, horizon_seconds) {
            let detail =
                "was changed too often; wait until tokens from before the changes have expired";
            return Err(invalid("horizon_seconds", detail.to_owned()));
        }
        let clock_skew_seconds = self.clock_skew_seconds.unwrap_or(DEFAULT_SKEW_SECONDS);
        if clock_skew_seconds > 300 {
            return Err(invalid("clock_skew_seconds", "must be at most 300".to_owned()));
        }
        let registration = Registration {
            keys: self.keys()?,
            algorithms: self.algorithms()?,
            horizon_seconds,
            clock_skew_seconds,
            token_claim: claim("token_id_claim", self.token_id_claim, "jti")?,
            session_claim: claim("session_id_claim", self.session_id_claim, "sid")?,
            user_claim: claim("user_id_claim", self.user_id_claim, "sub")?,
            issuer,
            selectors,
            receivers: self.receivers.check()?,
        };
        let Registration { token_claim, session_claim, user_claim, selectors, issuer, .. } =
            &registration;
        let named: Vec<&String> =
            [token_claim, session_claim, user_claim].into_iter().flatten().collect();
        if named.iter().enumerate().any(|(at, one)| named[..at].contains(one)) {
            let detail = "token, session and user need a claim each";
            return Err(invalid("token_id_claim", detail.to_owned()));
        }
        let roles: Vec<Selector> =
            named.into_iter().filter_map(|one| Selector::new([one]).ok()).collect();
        if issuers.selectors_with(issuer, roles.iter().chain(selectors)) > MAX_SELECTORS {
            let detail = format!(
                "at most {MAX_SELECTORS} combinations of claims can be in use for an issuer, with the \
                 ids of tokens, sessions and users, and with those that something is revoked by"
            );
            let kind = RefusedKind::TooManySelectors;
            return Err(Refused { kind, field: "selectors", detail });
        }
        Ok(registration)
    }

    fn selectors(&self) -> Result<Vec<Selector>, Refused> {
        let read = self.selectors.iter().map(|paths| {
            Selector::new(paths).map_err(|problem| invalid("selectors", problem.to_string()))
        });
        let mut selectors: Vec<Selector> = read.collect::<Result<_, _>>()?;
        selectors.sort();
        selectors.dedup();
        Ok(selectors)
    }

    fn keys(&self) -> Result<KeySource, Refused> {
        let address = |field, address: &String| match is_protected_address(address) {
            true => Ok(address.clone()),
            false => {
                let detail = "must be an https address, or http on this machine".to_owned();
                Err(invalid(field, detail))
            }
        };
        match (&self.jwks_uri, &self.discovery_uri) {
            (Some(_), Some(_)) => {
                Err(invalid("jwks_uri", "give jwks_uri or discovery_uri, not both".to_owned()))
            }
            (Some(jwks), None) => Ok(KeySource::Jwks(address("jwks_uri", jwks)?)),
            (None, Some(discovery)) => {
                Ok(KeySource::Discovery(address("discovery_uri", discovery)?))
            }
            (None, None) if is_protected_address(&self.issuer) => {
                let base = self.issuer.trim_end_matches('/');
                Ok(KeySource::Discovery(format!("{base}/.well-known/openid-configuration")))
            }
            (None, None) => Err(invalid(
                "jwks_uri",
                "is missing: the issuer is not an https address".to_owned(),
            )),
        }
    }

    fn algorithms(&self) -> Result<Vec<String>, Refused> {
        let default = || DEFAULT_ALGORITHMS.map(str::to_owned).to_vec();
        let algorithms = self.algorithms.clone().unwrap_or_else(default);
        if algorithms.is_empty() {
            return Err(invalid("algorithms", "must name at least one".to_owned()));
        }
        // A shared secret must not be in a key set that every client can fetch.
        let is_usable =
            |name: &&String| Algorithm::from_name(name).is_some_and(|one| !one.is_symmetric());
        if let Some(other) = algorithms.iter().find(|name| !is_usable(name)) {
            let detail = format!(
                "verifiers support no signatures of the algorithm {}",
                other.escape_debug()
            );
            return Err(invalid("algorithms", detail));
        }
        Ok(algorithms)
    }
}

fn check_issuer(issuer: &str, name: &str, issuers: &Issuers) -> Result<(), Refused> {
    if !(1..=MAX_ISSUER_BYTES).contains(&issuer.len()) {
        return Err(invalid("issuer", format!("must have 1 to {MAX_ISSUER_BYTES} bytes")));
    }
    if issuer.chars().any(|one| one.is_whitespace() || one.is_control()) {
        let detail = "has white space or a control character; give the exact `iss` of the tokens";
        return Err(invalid("issuer", detail.to_owned()));
    }
    if alike(issuer) == alike(issuers.own()) {
        let detail = format!("is this control plane's own, {}", issuers.own());
        return Err(invalid("issuer", detail));
    }
    if let Some((other, _)) = issuers.with_issuer(issuer).filter(|(other, _)| *other != name) {
        return Err(invalid("issuer", format!("is registered as {other} already")));
    }
    if issuers.rules_of(issuer).is_none() && !issuers.has_room() {
        let detail = "no further issuer can be registered; delete one first".to_owned();
        return Err(Refused { kind: RefusedKind::TooManySelectors, field: "issuer", detail });
    }
    Ok(())
}

/// The path of a claim in its one spelling; none if the issuer's tokens have no such claim.
fn claim(
    field: &'static str,
    path: Option<String>,
    default: &str,
) -> Result<Option<String>, Refused> {
    let path = path.unwrap_or_else(|| default.to_owned());
    if path.is_empty() {
        return Ok(None);
    }
    match Selector::new([&path]) {
        Ok(selector) => Ok(Some(selector.paths().concat())),
        Err(problem) => Err(invalid(field, problem.to_string())),
    }
}

fn invalid(field: &'static str, detail: String) -> Refused {
    Refused { kind: RefusedKind::Invalid, field, detail }
}

const DEFAULT_HORIZON_SECONDS: u64 = 86_400;
const DEFAULT_SKEW_SECONDS: u64 = 5;
/// One for each type of key: a key without `alg` gets the one that fits it.
const DEFAULT_ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];
const MAX_ISSUER_BYTES: usize = 512;
const MAX_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use offswitch_presets::{Kind, Value};

    use super::*;

    fn definition(issuer: &str) -> Definition {
        Definition { issuer: issuer.to_owned(), ..Definition::default() }
    }

    fn parameters(name: &str, value: &str) -> Parameters {
        Parameters::from([(name.to_owned(), Value::One(value.to_owned()))])
    }

    fn issuers() -> Issuers {
        let mut issuers = Issuers::new("https://own.example");
        let registration = definition("https://idp.example").check("idp", &issuers).unwrap();
        issuers.register("idp", &registration, 1, 1);
        issuers
    }

    #[test]
    fn a_missing_member_gets_its_default() {
        let registration = definition("https://idp.example/t/").check("a", &issuers()).unwrap();
        let discovery = "https://idp.example/t/.well-known/openid-configuration".to_owned();
        assert_eq!(registration.keys, KeySource::Discovery(discovery));
        assert_eq!((registration.horizon_seconds, registration.clock_skew_seconds), (86_400, 5));
        assert_eq!(registration.user_claim.as_deref(), Some("sub"));
        assert!(definition("https://idp.example").check("idp", &issuers()).is_ok());
    }

    // I04: the control plane registers a provider with the same table as the verifiers.
    #[test]
    fn a_preset_fills_missing_members() {
        let of = |name: &str, parameters| Definition {
            preset: Some(name.to_owned()),
            parameters,
            ..Definition::default()
        };
        let auth0 = of("auth0", parameters("domain", "tenant.eu.auth0.com"));
        let registration = auth0.clone().check("a", &issuers()).unwrap();
        assert_eq!(registration.issuer, "https://tenant.eu.auth0.com/");
        let jwks = "https://tenant.eu.auth0.com/.well-known/jwks.json";
        assert_eq!(registration.keys, KeySource::Jwks(jwks.to_owned()));
        let Registration { token_claim, session_claim, user_claim, .. } = registration;
        assert_eq!((token_claim.as_deref(), session_claim), (Some("jti"), None));
        assert_eq!(user_claim.as_deref(), Some("sub"));
        let other = Definition {
            horizon_seconds: Some(61),
            session_id_claim: Some("login".to_owned()),
            ..auth0
        };
        let registration = other.check("a", &issuers()).unwrap();
        assert_eq!(registration.horizon_seconds, 61);
        assert_eq!(registration.session_claim.as_deref(), Some("login"));
        for (definition, field) in [
            (of("unlisted", Parameters::new()), "preset"),
            (of("entra", Parameters::new()), "parameters"),
            (of("entra", parameters("tenant", "../x")), "parameters"),
            (of("github-actions", parameters("colour", "x")), "parameters"),
        ] {
            let refused = definition.check("a", &issuers()).unwrap_err();
            assert_eq!(refused.field, field, "{refused:?}");
        }
    }

    // Every preset can be registered.
    #[test]
    fn each_preset_can_be_registered() {
        for (name, preset) in Preset::all() {
            let value = |kind| match kind {
                Kind::Guid => "7f0c2d9e-3b52-4d1a-9c54-2f3f5c1f8a77",
                Kind::Host => "idp.example.com",
                Kind::Issuer | Kind::Url => "https://idp.example.com",
                Kind::Segment | Kind::Text => "main",
            };
            let given = preset.parameters.iter().map(|(name, parameter)| {
                (name.clone(), Value::One(value(parameter.kind).to_owned()))
            });
            let definition = Definition {
                preset: Some(name.to_owned()),
                parameters: given.collect(),
                ..Definition::default()
            };
            let registration = definition.check("a", &issuers());
            assert!(registration.is_ok(), "{name}: {registration:?}");
        }
    }

    // Every member, and its refused values.
    #[test]
    fn each_member_is_checked_by_name() {
        let good = || definition("https://other.example");
        let text = |text: &str| Some(text.to_owned());
        let many = (0..6).map(|one| vec![format!("c{one}")]).collect();
        for (name, definition, field) in [
            ("", good(), "name"),
            ("Idp", good(), "name"),
            ("a/b", good(), "name"),
            ("a", definition(""), "issuer"),
            ("a", definition("https://x y"), "issuer"),
            ("a", definition("https://own.example/"), "issuer"),
            ("a", definition("https://idp.example"), "issuer"),
            ("a", definition("idp"), "jwks_uri"),
            ("a", Definition { jwks_uri: text("http://idp.example/k"), ..good() }, "jwks_uri"),
            ("a", Definition { jwks_uri: text("https://u@h/k"), ..good() }, "jwks_uri"),
            ("a", Definition { discovery_uri: text("file:///k"), ..good() }, "discovery_uri"),
            (
                "a",
                Definition {
                    jwks_uri: text("https://a"),
                    discovery_uri: text("https://a"),
                    ..good()
                },
                "jwks_uri",
            ),
            ("a", Definition { algorithms: Some(vec![]), ..good() }, "algorithms"),
            ("a", Definition { algorithms: Some(vec!["none".into()]), ..good() }, "algorithms"),
            ("a", Definition { horizon_seconds: Some(59), ..good() }, "horizon_seconds"),
            ("a", Definition { horizon_seconds: Some(31_536_001), ..good() }, "horizon_seconds"),
            ("a", Definition { clock_skew_seconds: Some(301), ..good() }, "clock_skew_seconds"),
            ("a", Definition { preset: text("entra"), ..good() }, "issuer"),
            ("a", Definition { parameters: parameters("tenant", "x"), ..good() }, "parameters"),
            ("a", Definition { token_id_claim: text("sid"), ..good() }, "token_id_claim"),
            ("a", Definition { user_id_claim: text("/~"), ..good() }, "user_id_claim"),
            ("a", Definition { selectors: vec![vec![]], ..good() }, "selectors"),
            ("a", Definition { selectors: many, ..good() }, "selectors"),
        ] {
            let refused = definition.check(name, &issuers()).unwrap_err();
            assert_eq!(refused.field, field, "{refused:?}");
        }
        let local = Definition { jwks_uri: text("http://127.0.0.1:9/k"), ..definition("idp2") };
        assert!(local.check("a", &issuers()).is_ok());
    }
}
