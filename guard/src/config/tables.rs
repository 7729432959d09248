//! The tables of the file: issuers, routes and headers. Each is checked member by member, and a
//! problem names the table by its place.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderName, header};
use offswitch_client::{Anonymous, Issuer, Keys, WhenUndecided};
use offswitch_presets::Parameters;
use serde::Deserialize;
use serde_json::Value;

use crate::claim_headers::{ClaimHeader, Encoding};
use crate::claims::ClaimPath;
use crate::routes::{Access, Pattern, Policy, RequiredClaim, Route, bare_host, is_clear_method};

/// `[[issuers]]`: what is left out has the default that the npm package has.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct IssuerTable {
    issuer: String,
    preset: Option<String>,
    parameters: Parameters,
    audience: Option<OneOrMany<String>>,
    algorithms: Option<Vec<String>>,
    types: Option<Vec<String>>,
    required_claims: Option<Vec<String>>,
    required_values: BTreeMap<String, OneOrMany<String>>,
    leeway_seconds: Option<u64>,
    max_lifetime_seconds: Option<u64>,
    discovery_uri: Option<String>,
    jwks_uri: Option<String>,
}

/// `[[routes]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RouteTable {
    paths: Vec<String>,
    methods: Vec<String>,
    hosts: Vec<String>,
    access: AccessName,
    scopes: Vec<String>,
    claims: BTreeMap<String, OneOrMany<toml::Value>>,
    max_staleness_seconds: Option<u64>,
    on_stale: OnStale,
    undecided: UndecidedName,
    watch_seconds: Option<u64>,
}

/// `[[headers]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderTable {
    name: String,
    claim: String,
    #[serde(default)]
    encoding: EncodingName,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AccessName {
    Anonymous,
    Optional,
    #[default]
    Token,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnStale {
    Allow,
    #[default]
    Deny,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UndecidedName {
    Anonymous,
    #[default]
    Unavailable,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EncodingName {
    Base64url,
    Percent,
    #[default]
    Plain,
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(all) => all,
            Self::One(one) => vec![one],
        }
    }
}

impl IssuerTable {
    /// The issuer; its values are checked with those of all others.
    pub(super) fn read(self) -> Result<Issuer, String> {
        let mut issuer = match (&self.preset, self.issuer.is_empty()) {
            (Some(_), false) => return Err("issuer: leave it out: the preset has it".to_owned()),
            (Some(name), true) => {
                Issuer::preset(name, &self.parameters).map_err(|error| error.to_string())?
            }
            (None, _) if !self.parameters.is_empty() => {
                return Err("parameters: belong to a preset; name it".to_owned());
            }
            (None, _) => match self.audience.clone().map(OneOrMany::into_vec) {
                None => {
                    return Err("audience: is missing; \"unchecked\" for tokens without".to_owned());
                }
                Some(names) if names == [UNCHECKED] => Issuer::without_audience(&self.issuer),
                Some(names) => Issuer::without_audience(&self.issuer).audiences(names),
            },
        };
        if self.preset.is_some() && self.audience.is_some() {
            return Err("audience: is a parameter of the preset".to_owned());
        }
        match (self.discovery_uri, self.jwks_uri) {
            (Some(_), Some(_)) => {
                return Err("jwks_uri: cannot be set together with discovery_uri".to_owned());
            }
            (Some(address), None) => issuer = issuer.keys(Keys::discovery(&address)),
            (None, Some(address)) => issuer = issuer.keys(Keys::url(&address)),
            (None, None) => {}
        }
        if let Some(names) = self.algorithms {
            issuer = issuer.algorithms(names);
        }
        if let Some(types) = self.types {
            // TOML has no null: a token without a type is accepted by the empty text.
            issuer = issuer.types(types.into_iter().map(|one| (!one.is_empty()).then_some(one)));
        }
        if let Some(names) = self.required_claims {
            issuer = issuer.required_claims(names);
        }
        for (claim, values) in self.required_values {
            issuer = issuer.required_value(&claim, values.into_vec());
        }
        if let Some(seconds) = self.leeway_seconds {
            issuer = issuer.leeway_seconds(seconds);
        }
        if let Some(seconds) = self.max_lifetime_seconds {
            issuer = issuer.max_lifetime_seconds(seconds);
        }
        Ok(issuer)
    }
}

impl RouteTable {
    /// The route, or everything that is wrong with it.
    pub(super) fn read(self) -> Result<Route, Vec<String>> {
        let mut problems = Vec::new();
        let mut paths = Vec::new();
        for text in &self.paths {
            match text.parse::<Pattern>() {
                Ok(pattern) => paths.push(pattern),
                Err(wrong) => problems.push(format!("paths: {text:?} {wrong}")),
            }
        }
        if self.paths.is_empty() {
            problems.push("paths: must name at least one; /** for every path".to_owned());
        }
        if !self.methods.iter().all(|method| is_clear_method(method)) {
            problems.push("methods: must be methods in capital letters".to_owned());
        }
        if self.hosts.iter().any(|host| host.is_empty() || bare_host(host) != *host) {
            problems.push("hosts: must be names in lower case, without a port".to_owned());
        }
        let is_scope = |scope: &String| !scope.is_empty() && scope.bytes().all(is_of_scope);
        if !self.scopes.iter().all(is_scope) {
            problems.push("scopes: must be scope names (RFC 6749 section 3.3)".to_owned());
        }
        if !self.max_staleness_seconds.is_none_or(|seconds| (1..=86_400).contains(&seconds)) {
            problems.push("max_staleness_seconds: must be from 1 to 86400".to_owned());
        }
        if !self.watch_seconds.is_none_or(|seconds| (1..=604_800).contains(&seconds)) {
            problems.push("watch_seconds: must be from 1 to 604800".to_owned());
        }
        if self.max_staleness_seconds.is_some() && self.on_stale == OnStale::Allow {
            problems
                .push("on_stale: allow and max_staleness_seconds exclude each other".to_owned());
        }
        let access = self.access();
        if self.undecided == UndecidedName::Anonymous && access != Access::Optional {
            problems.push("undecided: anonymous needs access = \"optional\"".to_owned());
        }
        let needs_token =
            !self.scopes.is_empty() || !self.claims.is_empty() || self.watch_seconds.is_some();
        if access == Access::Anonymous && needs_token {
            problems.push(
                "access: anonymous has no token for scopes, claims and watch_seconds".to_owned(),
            );
        }
        let claims = self.claims(&mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let watch = self.watch_seconds.map(Duration::from_secs);
        let policy = Policy { access, token: self.token(access), claims, watch };
        Ok(Route { hosts: self.hosts, paths, methods: self.methods, policy })
    }

    /// What the token must be.
    fn token(&self, access: Access) -> offswitch_client::Policy {
        let policy = offswitch_client::Policy::new();
        let mut policy = self.scopes.iter().fold(policy, |policy, scope| policy.scope(scope));
        if access == Access::Optional {
            policy = policy.anonymous(Anonymous::Allow);
        }
        if self.undecided == UndecidedName::Anonymous {
            policy = policy.when_undecided(WhenUndecided::Pass);
        }
        match (self.on_stale, self.max_staleness_seconds) {
            (OnStale::Allow, _) => policy.any_staleness(),
            (OnStale::Deny, Some(seconds)) => policy.max_staleness_seconds(seconds),
            (OnStale::Deny, None) => policy,
        }
    }

    fn access(&self) -> Access {
        match self.access {
            AccessName::Anonymous => Access::Anonymous,
            AccessName::Optional => Access::Optional,
            AccessName::Token => Access::Token,
        }
    }

    fn claims(&self, problems: &mut Vec<String>) -> Vec<RequiredClaim> {
        let mut claims = Vec::new();
        for (name, values) in &self.claims {
            let path = match name.parse::<ClaimPath>() {
                Ok(path) if path != ClaimPath::All => path,
                _ => {
                    problems.push(format!("claims: {name:?} {}", crate::claims::WrongClaimPath));
                    continue;
                }
            };
            let any_of: Option<Vec<Value>> =
                values.clone().into_vec().into_iter().map(scalar).collect();
            match any_of {
                Some(any_of) if !any_of.is_empty() => claims.push(RequiredClaim { path, any_of }),
                _ => problems.push(format!(
                    "claims: {name:?} must have strings, whole numbers or booleans, at least one"
                )),
            }
        }
        claims
    }
}

impl HeaderTable {
    /// The header.
    pub(super) fn read(self) -> Result<ClaimHeader, String> {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let name = match HeaderName::try_from(&self.name) {
            Ok(name) if self.name.bytes().all(is_of_name) => name,
            // What has other characters, some servers read as another name.
            _ => return Err("name: must have letters, digits and hyphens".to_owned()),
        };
        if RESERVED.contains(&name) || name.as_str().starts_with("x-forwarded-") {
            return Err("name: has a meaning of its own between gateway and upstream".to_owned());
        }
        let claim: ClaimPath =
            self.claim.parse().map_err(|wrong| format!("claim: {wrong}, or * for all claims"))?;
        let encoding = match self.encoding {
            EncodingName::Base64url => Encoding::Base64url,
            EncodingName::Percent => Encoding::Percent,
            EncodingName::Plain => Encoding::Plain,
        };
        if claim == ClaimPath::All && encoding != Encoding::Base64url {
            return Err("encoding: all claims need base64url".to_owned());
        }
        Ok(ClaimHeader { name, claim, encoding })
    }
}

fn scalar(value: toml::Value) -> Option<Value> {
    match value {
        toml::Value::Boolean(is_so) => Some(is_so.into()),
        toml::Value::Integer(number) => Some(number.into()),
        toml::Value::String(text) => Some(text.into()),
        _ => None,
    }
}

/// RFC 6749 section 3.3.
fn is_of_scope(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

/// The word for an audience that is not checked, as in the presets.
const UNCHECKED: &str = "unchecked";
/// Names that claims cannot have: the gateway, the upstream or HTTP itself would read them.
const RESERVED: [HeaderName; 18] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::HOST,
    header::LOCATION,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::WWW_AUTHENTICATE,
    crate::answer::VERDICT,
];
