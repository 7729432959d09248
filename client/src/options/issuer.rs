//! The rules for the tokens of one issuer.

use std::collections::BTreeMap;
use std::fmt;

use offswitch_presets::{Audience, Parameters, Preset, PresetError};
use offswitch_verifier::{KeySource, UserRule, is_protected_address};
use serde::Serialize;

use super::is_url;

/// An issuer whose tokens are accepted. What is left out has the default that the npm package has.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    pub(crate) issuer: String,
    audience: Audience,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithms: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_claims: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    required_values: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<Vec<Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leeway_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "maxLifetime")]
    max_lifetime_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_rule: Option<UserRule>,
    #[serde(skip)]
    pub(crate) keys: Keys,
}

/// Where the keys of an issuer come from.
#[derive(Clone)]
pub struct Keys {
    pub(crate) given: KeysGiven,
    /// Sent with each request for them, and nowhere else.
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Clone)]
pub(crate) enum KeysGiven {
    Fetched(KeySource),
    /// A JWK set as JSON text.
    Jwks(String),
    /// The discovery document below the issuer's own address.
    OfIssuer,
}

impl Keys {
    /// From the discovery document below the issuer's own address (OpenID Connect Discovery 1.0 section 4).
    pub fn of_issuer() -> Self {
        Self::new(KeysGiven::OfIssuer)
    }

    /// From the discovery document at this address.
    pub fn discovery(address: &str) -> Self {
        Self::new(KeysGiven::Fetched(KeySource::Discovery(address.to_owned())))
    }

    /// From the JWK set (RFC 7517) at this address. Redirects are not followed.
    pub fn url(address: &str) -> Self {
        Self::new(KeysGiven::Fetched(KeySource::Jwks(address.to_owned())))
    }

    /// A JWK set as JSON text. It is never fetched again.
    pub fn jwks(text: &str) -> Self {
        Self::new(KeysGiven::Jwks(text.to_owned()))
    }

    /// Sends a header with each request for the keys.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn new(given: KeysGiven) -> Self {
        Self { given, headers: vec![] }
    }

    /// Where to fetch them from, for an issuer of that name.
    pub(crate) fn source(&self, issuer: &str) -> Option<KeySource> {
        match &self.given {
            KeysGiven::Fetched(source) => Some(source.clone()),
            KeysGiven::Jwks(_) => None,
            KeysGiven::OfIssuer => {
                let base = issuer.trim_end_matches('/');
                let address = format!("{base}/.well-known/openid-configuration");
                Some(KeySource::Discovery(address))
            }
        }
    }
}

/// A key set may have secrets, and so may headers.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = match &self.given {
            KeysGiven::Fetched(KeySource::Discovery(address) | KeySource::Jwks(address)) => address,
            KeysGiven::Jwks(_) => "a JWK set",
            KeysGiven::OfIssuer => "discovery",
        };
        write!(formatter, "Keys({given})")
    }
}

impl Issuer {
    /// An issuer by its exact `iss`, and one accepted `aud`. Its keys come from its discovery document.
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self::with_audience(issuer, Audience::AnyOf(vec![audience.to_owned()]))
    }

    /// An issuer of whose tokens `aud` is not checked: for providers whose access tokens have none.
    pub fn without_audience(issuer: &str) -> Self {
        Self::with_audience(issuer, Audience::Unchecked)
    }

    fn with_audience(issuer: &str, audience: Audience) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience,
            algorithms: None,
            required_claims: None,
            required_values: BTreeMap::new(),
            types: None,
            leeway_seconds: None,
            max_lifetime_seconds: None,
            user_rule: None,
            keys: Keys::of_issuer(),
        }
    }

    /// The issuer that a preset makes of its parameters (`docs/reference/presets.md`).
    ///
    /// # Errors
    ///
    /// [`PresetError`], with all parameters that are wrong.
    pub fn preset(name: &str, parameters: &Parameters) -> Result<Self, PresetError> {
        let rules = Preset::rules(name, parameters)?;
        let address = Preset::address(name, parameters)?;
        Ok(Self {
            algorithms: Some(rules.algorithms),
            required_claims: Some(rules.required_claims),
            required_values: rules.required_values,
            types: Some(rules.types),
            keys: Keys::url(&address.jwks_uri),
            ..Self::with_audience(&rules.issuer, rules.audience)
        })
    }

    /// Its exact `iss`.
    pub fn name(&self) -> &str {
        &self.issuer
    }

    /// Where its keys come from.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Which `aud` are accepted: at least one of these must be in the token.
    #[must_use]
    pub fn audiences(mut self, audiences: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.audience = Audience::AnyOf(texts(audiences));
        self
    }

    /// The accepted algorithms by their JWA names. Default `EdDSA` and `ES256`.
    #[must_use]
    pub fn algorithms(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.algorithms = Some(texts(names));
        self
    }

    /// The claims without which a token is refused. Default `exp`, `iat`, `sub` and `jti`.
    #[must_use]
    pub fn required_claims(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.required_claims = Some(texts(names));
        self
    }

    /// A claim that must have one of these values.
    #[must_use]
    pub fn required_value(
        mut self,
        claim: &str,
        any_of: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.required_values.insert(claim.to_owned(), texts(any_of));
        self
    }

    /// Accepted header types; `None` accepts a token without `typ`. Default `at+jwt`.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = Option<String>>) -> Self {
        self.types = Some(types.into_iter().collect());
        self
    }

    /// By how many seconds clocks may differ, at most 300. Default 30.
    #[must_use]
    pub fn leeway_seconds(mut self, seconds: u64) -> Self {
        self.leeway_seconds = Some(seconds);
        self
    }

    /// The longest life of a token, from `iat` to `exp`, in seconds. Default: a day for the issuer that the feed
    /// is named after, a week for others.
    #[must_use]
    pub fn max_lifetime_seconds(mut self, seconds: u64) -> Self {
        self.max_lifetime_seconds = Some(seconds);
        self
    }

    /// With what of a token the revocation of its user is compared. Default: its `ver` for the issuer that the feed
    /// is named after, `iat` for others.
    #[must_use]
    pub fn user_rule(mut self, rule: UserRule) -> Self {
        self.user_rule = Some(rule);
        self
    }

    /// What is wrong with where the keys come from, each with its path below `path`.
    pub(crate) fn problems(&self, path: &str, problems: &mut Vec<String>) {
        match self.keys.source(&self.issuer) {
            // What the document names is held against the same rule.
            Some(KeySource::Discovery(address)) if !is_protected_address(&address) => {
                let text =
                    "must be a discovery document at an https address, or http on this machine";
                problems.push(format!("{path}.keys {text}"));
            }
            Some(KeySource::Jwks(address)) if !is_url(&address) => {
                let text = "must be the http(s) URL of a JWK set, without user and password";
                problems.push(format!("{path}.keys {text}"));
            }
            _ => {}
        }
        for (name, value) in &self.keys.headers {
            let is_name = http::HeaderName::try_from(name).is_ok();
            if !is_name || http::HeaderValue::try_from(value).is_err() {
                let text = "must be header names with values that a header may have";
                problems.push(format!("{path}.keys.headers {text}"));
            }
        }
    }
}

fn texts(given: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    given.into_iter().map(Into::into).collect()
}
