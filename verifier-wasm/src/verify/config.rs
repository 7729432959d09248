//! The trusted issuers and feed of a verifier, and its rules; in Rust, and as JSON with the names
//! of the npm package's options.

use serde::{Serialize, Serializer};

use crate::keys::algorithm::Algorithm;
use crate::snapshot::FeedKey;
use crate::snapshot::base64url;

/// Everything a [`Verifier`](crate::Verifier) needs in addition to keys and snapshots.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifierConfig {
    /// The issuers whose tokens are accepted, each with its own rules.
    pub issuers: Vec<IssuerConfig>,
    /// The feed with the revocations.
    pub feed: FeedConfig,
    /// The rules for DPoP proofs.
    pub dpop: DpopConfig,
}

/// The rules for DPoP proofs (RFC 9449).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DpopConfig {
    /// How old a proof may be, in seconds, 1 to 300. Each is remembered for that long.
    pub max_age_seconds: u64,
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self { max_age_seconds: 60 }
    }
}

/// The rules for the tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerConfig {
    /// The exact `iss`.
    pub issuer: String,
    /// Which `aud` is accepted.
    pub audience: AudienceRule,
    /// The accepted algorithms; any other is refused, also if a key allows it.
    pub algorithms: Vec<Algorithm>,
    /// The claims that make a token revocable; a token without one is refused.
    pub required_claims: Vec<String>,
    /// Claims with required values, such as the `client_id` that tokens are made for.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_object")]
    pub required_values: Vec<RequiredValue>,
    /// Accepted header types; `null` accepts a token without `typ`, as some providers issue them.
    pub types: Vec<Option<String>>,
    /// How far clocks may differ, in seconds, at most [`MAX_LEEWAY_SECONDS`].
    pub leeway_seconds: u64,
    /// The longest life of a token, from `iat` to `exp`, in seconds. It must not be longer than the
    /// control plane keeps the revocation of a session or user of this issuer: a token that
    /// outlives its revocation would be accepted again.
    #[serde(rename = "maxLifetime")]
    pub max_lifetime_seconds: u64,
    /// How a revoked user's tokens are distinguished from newer ones.
    pub user_rule: UserRule,
}

/// A claim that must be one of some strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredValue {
    /// The claim's name.
    pub claim: String,
    /// The allowed values.
    pub any_of: Vec<String>,
}

/// Which audiences an issuer's tokens must name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AudienceRule {
    /// `"unchecked"`: for providers whose access tokens have no `aud`.
    Unchecked,
    /// At least one of these.
    #[serde(untagged)]
    AnyOf(Vec<String>),
}

/// How a token of a revoked user is distinguished from one that was issued after the revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRule {
    /// By `iat`; another issuer's `ver` has another meaning and must not be compared.
    #[default]
    IssuedAt,
    /// By `ver` if the token has it, otherwise by `iat`: for tokens of the feed's control plane.
    VersionElseIssuedAt,
}

/// Which feed is trusted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedConfig {
    /// The feed's id, signed into every snapshot.
    pub id: String,
    /// Ed25519 public keys, base64url; several while the feed's key rotates.
    pub public_keys: Vec<String>,
    /// How old the newest statement of the feed may be, in seconds.
    #[serde(rename = "maxStaleness")]
    pub max_staleness_seconds: u64,
    /// The policy for otherwise valid tokens when the feed is stale.
    pub on_stale: OnStale,
}

/// The policy for a feed that has sent nothing for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStale {
    /// Accept tokens that the last snapshot does not revoke.
    Allow,
    /// Decide nothing: the verdict is undecided.
    #[default]
    Deny,
}

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigProblem {
    /// The field's path, such as `issuers[0].leewaySeconds`.
    pub field: String,
    /// The problem in words.
    pub problem: String,
}

impl VerifierConfig {
    /// The problems of the configuration; empty if there are none.
    pub fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = self.feed.problems();
        if !(1..=MAX_PROOF_SECONDS).contains(&self.dpop.max_age_seconds) {
            problems.push(ConfigProblem::new("dpop.maxAgeSeconds", "must be between 1 and 300"));
        }
        if self.issuers.is_empty() || self.issuers.len() > MAX_ISSUERS {
            problems.push(ConfigProblem::new("issuers", "must name 1 to 16 issuers"));
        }
        for (index, issuer) in self.issuers.iter().enumerate() {
            if self.issuers.iter().take(index).any(|other| other.issuer == issuer.issuer) {
                problems.push(ConfigProblem::new(
                    &format!("issuers[{index}].issuer"),
                    "is named twice",
                ));
            }
            issuer.check(&format!("issuers[{index}]"), &mut problems);
        }
        problems
    }
}

impl IssuerConfig {
    /// The rules for tokens of an Offswitch control plane.
    #[cold]
    pub fn offswitch(issuer: &str, audience: &str) -> Self {
        let claims = ["exp", "iat", "sub", "jti", "sid", "ver"];
        Self {
            issuer: issuer.to_owned(),
            audience: AudienceRule::AnyOf(vec![audience.to_owned()]),
            algorithms: default_algorithms(),
            required_claims: claims.map(str::to_owned).to_vec(),
            types: default_types(),
            leeway_seconds: default_leeway_seconds(),
            max_lifetime_seconds: OWN_LIFETIME_SECONDS,
            required_values: vec![],
            user_rule: UserRule::VersionElseIssuedAt,
        }
    }

    fn check(&self, path: &str, problems: &mut Vec<ConfigProblem>) {
        for (holds, field, text) in self.rules() {
            if !holds {
                problems.push(ConfigProblem::new(&[path, ".", field].concat(), text));
            }
        }
    }

    /// A condition, its field, and the condition in words.
    fn rules(&self) -> [(bool, &'static str, &'static str); 12] {
        let audience = match &self.audience {
            AudienceRule::AnyOf(names) => {
                !names.is_empty() && names.iter().all(|name| !name.is_empty())
            }
            AudienceRule::Unchecked => true,
        };
        let (algorithms, claims) = (&self.algorithms, &self.required_claims);
        let symmetric = algorithms.iter().filter(|one| one.is_symmetric()).count();
        let (types, values) = (&self.types, &self.required_values);
        let is_known = |claim: &String| KNOWN_CLAIMS.contains(&claim.as_str());
        let is_odd = |one: &RequiredValue| {
            one.claim.is_empty() || one.claim.contains(char::is_control) || one.any_of.is_empty()
        };
        let has_name = (1..=MAX_ISSUER_BYTES).contains(&self.issuer.len());
        let has_types = !types.is_empty() && !types.iter().flatten().any(String::is_empty);
        let is_pure = symmetric == 0 || symmetric == algorithms.len();
        let has_lifetime = (1..=MAX_LIFETIME_SECONDS).contains(&self.max_lifetime_seconds);
        [
            (has_name, "issuer", "must have 1 to 512 bytes"),
            (audience, "audience", "must name at least one audience, none of them empty"),
            (!algorithms.is_empty(), "algorithms", "must name at least one algorithm"),
            (is_pure, "algorithms", "must not mix HMAC with signatures"),
            (has_types, "types", "must name at least one type, none of them empty"),
            (
                claims.iter().all(is_known),
                "requiredClaims",
                "may name aud, exp, iat, iss, jti, nbf, sid, sub and ver",
            ),
            (
                claims.iter().any(|claim| claim == "exp"),
                "requiredClaims",
                "must name exp: a token without an end could never leave the denylist",
            ),
            (values.len() <= MAX_REQUIRED_VALUES, "requiredValues", "must name at most 16 claims"),
            (
                !values.iter().any(|one| is_known(&one.claim)),
                "requiredValues",
                "must not name aud, exp, iat, iss, jti, nbf, sid, sub or ver",
            ),
            (
                !values.iter().any(is_odd),
                "requiredValues",
                "must name claims without control characters, each with at least one value",
            ),
            (self.leeway_seconds <= MAX_LEEWAY_SECONDS, "leewaySeconds", "must be at most 300"),
            (has_lifetime, "maxLifetime", "must be between 1 and 31536000 seconds"),
        ]
    }
}

impl FeedConfig {
    /// The configured public keys, or the problem with them.
    pub(crate) fn keys(&self) -> Result<Vec<FeedKey>, ConfigProblem> {
        let wrong =
            || ConfigProblem::new("feed.publicKeys", "must be Ed25519 public keys in base64url");
        self.public_keys
            .iter()
            .map(|text| {
                let bytes = base64url::decode(text).ok_or_else(wrong)?;
                let bytes = bytes.try_into().map_err(|_| wrong())?;
                FeedKey::from_bytes(&bytes).map_err(|_| wrong())
            })
            .collect()
    }

    fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if self.id.is_empty() {
            problems.push(ConfigProblem::new("feed.id", "must not be empty"));
        }
        if self.public_keys.is_empty() || self.public_keys.len() > MAX_FEED_KEYS {
            problems.push(ConfigProblem::new("feed.publicKeys", "must name 1 to 8 keys"));
        }
        problems.extend(self.keys().err());
        if self.max_staleness_seconds == 0 || self.max_staleness_seconds > MAX_STALENESS_SECONDS {
            problems.push(ConfigProblem::new("feed.maxStaleness", "must be between 1 and 86400"));
        }
        problems
    }
}

impl ConfigProblem {
    #[cold]
    pub(crate) fn new(field: &str, problem: &str) -> Self {
        Self { field: field.to_owned(), problem: problem.to_owned() }
    }
}

fn as_object<S: Serializer>(values: &[RequiredValue], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|one| (&one.claim, &one.any_of)))
}

pub(crate) fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::EdDsa, Algorithm::Es256]
}

pub(crate) fn default_required_claims() -> Vec<String> {
    ["exp", "iat", "sub", "jti"].map(str::to_owned).to_vec()
}

pub(crate) fn default_types() -> Vec<Option<String>> {
    vec![Some("at+jwt".to_owned())]
}

pub(crate) fn default_leeway_seconds() -> u64 {
    30
}

pub(crate) fn default_max_staleness_seconds() -> u64 {
    60
}

/// "A few minutes" of RFC 7519 section 4.1.4. A revoked entry stays in the base until `exp` plus
/// this: a verifier with a larger leeway would accept tokens whose entry the base has already
/// dropped.
pub const MAX_LEEWAY_SECONDS: u64 = 300;
/// How long the feed's own control plane keeps a revoked session or user at least: none of its own
/// tokens lives longer.
pub const OWN_LIFETIME_SECONDS: u64 = 86_400;
/// The default for other issuers. The horizon that the feed has for an issuer limits its tokens too.
pub const FOREIGN_LIFETIME_SECONDS: u64 = 604_800;
/// The longest name of an issuer, in bytes; a control plane registers none with a longer one.
pub const MAX_ISSUER_BYTES: usize = 512;
/// The longest horizon that an issuer can be registered with.
const MAX_LIFETIME_SECONDS: u64 = 31_536_000;
const MAX_REQUIRED_VALUES: usize = 16;
const MAX_STALENESS_SECONDS: u64 = 86_400;
const MAX_PROOF_SECONDS: u64 = 300;
const MAX_ISSUERS: usize = 16;
const MAX_FEED_KEYS: usize = 8;
const KNOWN_CLAIMS: [&str; 9] = ["aud", "exp", "iat", "iss", "jti", "nbf", "sid", "sub", "ver"];
