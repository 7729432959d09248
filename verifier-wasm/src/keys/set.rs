//! JWK sets (RFC 7517 section 5) as issuers publish them: a key that must not be used is left out
//! and reported, and affects none of the others.

use std::fmt;

use super::{KeyProblem, VerifyingKey};
use crate::json::{Object, Value};
use crate::keys::algorithm::{Algorithm, KeyType};
use crate::shown::Shown;

/// The keys of one issuer: at most [`MAX_KEYS`], every `kid` once for an algorithm, all asymmetric or all
/// symmetric.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    refused: Vec<RefusedKey>,
}

impl KeySet {
    /// Reads a JWK set, or a single JWK, that the operator configured for an issuer of these
    /// `algorithms`.
    ///
    /// A key without `alg` is bound to the one of the `algorithms` that fits its type. A key that
    /// cannot or must not verify is left out and listed by [`refused`](Self::refused).
    ///
    /// # Errors
    ///
    /// See [`KeySetError`]. A set without a usable key is an error in the configuration.
    pub fn from_jwks(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        let set = Self::from_configured_jwks(text, algorithms)?;
        set.check_usable()?;
        Ok(set)
    }

    /// As [`from_jwks`](Self::from_jwks), for a caller that calls
    /// [`check_usable`](Self::check_usable) itself.
    ///
    /// # Errors
    ///
    /// [`KeySetError::NotJson`] and [`KeySetError::TooLarge`].
    pub fn from_configured_jwks(
        text: &[u8],
        algorithms: &[Algorithm],
    ) -> Result<Self, KeySetError> {
        Self::read(text, algorithms, Origin::Configured)
    }

    /// Like [`from_jwks`](Self::from_jwks), for a set that was fetched from the issuer. A set
    /// without usable keys is the issuer's current one, so it replaces the previous set. Secrets
    /// are left out.
    ///
    /// # Errors
    ///
    /// [`KeySetError::NotJson`], [`KeySetError::TooLarge`], and [`KeySetError::NoUsableKey`] for a
    /// single JWK, which says nothing about the issuer's other keys.
    pub fn from_fetched_jwks(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        Self::read(text, algorithms, Origin::Fetched)
    }

    /// Checks that there is a key to verify with.
    ///
    /// # Errors
    ///
    /// [`KeySetError::NoUsableKey`].
    pub fn check_usable(&self) -> Result<(), KeySetError> {
        match self.keys.is_empty() {
            true => Err(KeySetError::NoUsableKey(self.refused.clone())),
            false => Ok(()),
        }
    }

    /// The keys that load.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// The keys that do not load, each with the reason.
    pub fn refused(&self) -> &[RefusedKey] {
        &self.refused
    }

    /// The key of `algorithm` named `kid`, with its place among [`keys`](Self::keys). A token
    /// without `kid` uses a key without one, or the only key of its algorithm.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<(usize, &VerifyingKey)> {
        let mut fitting =
            self.keys.iter().enumerate().filter(|(_, key)| key.algorithm() == algorithm);
        if let Some(named) = fitting.clone().find(|(_, key)| key.kid() == kid) {
            return Some(named);
        }
        let only = fitting.next().filter(|_| kid.is_none())?;
        fitting.next().is_none().then_some(only)
    }

    /// The first key with this `kid`, of any algorithm.
    pub(crate) fn of_kid(&self, kid: Option<&str>) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    fn read(text: &[u8], algorithms: &[Algorithm], origin: Origin) -> Result<Self, KeySetError> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let text = str::from_utf8(text).map_err(|_| KeySetError::NotJson)?;
        let mut object = Object::parse(text).ok_or(KeySetError::NotJson)?;
        let (members, is_set) = match object.remove("keys") {
            Some(Value::Array(keys)) => (keys, true),
            Some(_) => return Err(KeySetError::NotJson),
            None => (vec![Value::Object(object)], false),
        };
        // An error page in JSON withdraws no keys.
        if !members.is_empty() && !members.iter().any(|one| member_text(one, "kty").is_some()) {
            return Err(KeySetError::NotJson);
        }
        let set = Self::of_members(&members, algorithms, origin);
        // Only a set withdraws keys: another object may be anything.
        if !is_set {
            set.check_usable()?;
        }
        Ok(set)
    }

    fn of_members(members: &[Value<'_>], algorithms: &[Algorithm], origin: Origin) -> Self {
        let read = |(index, member)| {
            let key = VerifyingKey::read(member, algorithms)?;
            Ok(VerifyingKey { index, ..key })
        };
        let looked_at = members.iter().take(MAX_MEMBERS).enumerate();
        let mut found: Vec<Result<VerifyingKey, KeyProblem>> = looked_at.map(read).collect();
        let is_public = |kty: &str| kty != "oct";
        let has_public = members.iter().any(|one| member_text(one, "kty").is_some_and(is_public));
        for (one, member) in found.iter_mut().zip(members) {
            if one.is_ok() && is_secret(member) {
                match origin {
                    Origin::Fetched => *one = Err(KeyProblem::PublishedSecret),
                    Origin::Configured if has_public => {
                        *one = Err(KeyProblem::SecretBesidePublicKeys);
                    }
                    Origin::Configured => {}
                }
            }
        }
        refuse_ambiguity(&mut found, members);
        let mut set = Self::default();
        for ((index, one), member) in found.into_iter().enumerate().zip(members) {
            match one {
                Ok(key) if set.keys.len() < MAX_KEYS => set.keys.push(key),
                Ok(_) => set.refuse(index, member, KeyProblem::TooManyKeys),
                Err(problem) => set.refuse(index, member, problem),
            }
        }
        for (index, member) in members.iter().enumerate().skip(MAX_MEMBERS).take(1) {
            set.refuse(index, member, KeyProblem::TooManyKeys);
        }
        set
    }

    fn refuse(&mut self, index: usize, member: &Value<'_>, problem: KeyProblem) {
        let kid = member_text(member, "kid").map(Shown::new);
        let found = what_was_found(member, problem);
        self.refused.push(RefusedKey { index, kid, problem, found });
    }
}

/// A key that was left out of its set, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedKey {
    /// Its place in the set, counted from 0.
    pub index: usize,
    /// The key's name, if it has one, shortened for messages.
    pub kid: Option<Shown>,
    /// The problem.
    pub problem: KeyProblem,
    /// The members that are the reason, never key material.
    pub found: Option<String>,
}

impl fmt::Display for RefusedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "keys[{}]", self.index)?;
        if let Some(kid) = &self.kid {
            write!(formatter, " (kid {kid})")?;
        }
        write!(formatter, ": {}", self.problem)?;
        if let Some(found) = &self.found {
            write!(formatter, " (found {found}{})", expected(self.problem))?;
        }
        Ok(())
    }
}

/// Why a key set does not load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// No key can be used.
    #[error("the set has no usable key{}", listed(.0))]
    NoUsableKey(Vec<RefusedKey>),
    /// Not a JSON object of the right shape, or a member name is repeated.
    #[error(
        "the text is not a JWK set: expected one JSON object with an array `keys` of JWKs, and no \
         member name twice"
    )]
    NotJson,
    /// More than 256 KiB.
    #[error("the set has more than 256 KiB")]
    TooLarge,
}

/// The origin of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Configured,
    Fetched,
}

/// A `kid` that two keys of one algorithm have identifies neither of them: the choice would depend
/// on the order. That includes a broken neighbour, but not one that clearly cannot verify.
fn refuse_ambiguity(found: &mut [Result<VerifyingKey, KeyProblem>], members: &[Value<'_>]) {
    let is_doubtful = |key: &VerifyingKey| {
        let rivals = found.iter().zip(members).filter(|(one, member)| match one {
            Ok(other) => other.kid() == key.kid() && other.algorithm() == key.algorithm(),
            // No token could select a broken key without a name.
            Err(problem) => key.kid().is_some() && problem.is_doubt() && could_be(member, key),
        });
        rivals.count() > 1
    };
    let doubtful: Vec<bool> = found.iter().map(|one| one.as_ref().is_ok_and(is_doubtful)).collect();
    for (one, _) in found.iter_mut().zip(doubtful).filter(|(_, is_doubtful)| *is_doubtful) {
        *one = Err(KeyProblem::RepeatedKid);
    }
}

/// True if a broken `member` may be meant by the name and the algorithm of `key`.
fn could_be(member: &Value<'_>, key: &VerifyingKey) -> bool {
    member_text(member, "kid") == key.kid()
        && match member_text(member, "alg") {
            Some(name) => Algorithm::from_name(name) == Some(key.algorithm()),
            None => member_text(member, "kty")
                .and_then(|kty| KeyType::of(kty, member_text(member, "crv")))
                .is_some_and(|key_type| key_type == key.algorithm().key_type()),
        }
}

fn is_secret(member: &Value<'_>) -> bool {
    member_text(member, "kty") == Some("oct")
}

fn member_text<'a>(value: &'a Value<'_>, name: &str) -> Option<&'a str> {
    match value {
        Value::Object(object) => object.get(name).and_then(Value::as_text),
        _ => None,
    }
}

fn what_was_found(member: &Value<'_>, problem: KeyProblem) -> Option<String> {
    let names: &[&str] = match problem {
        KeyProblem::AlgorithmMismatch => &["alg", "kty", "crv"],
        KeyProblem::NotForVerifying => &["use"],
        KeyProblem::UnsupportedAlgorithm => &["alg"],
        KeyProblem::AmbiguousAlgorithm | KeyProblem::NoAlgorithm | KeyProblem::UnsupportedType => {
            &["kty", "crv"]
        }
        _ => return None,
    };
    let one = |name: &&str| Some(format!("{name} {}", Shown::new(member_text(member, name)?)));
    let found: Vec<String> = names.iter().filter_map(one).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

fn expected(problem: KeyProblem) -> &'static str {
    match problem {
        KeyProblem::AmbiguousAlgorithm => "; keep one that fits it in the option algorithms",
        KeyProblem::NotForVerifying => "; expected use \"sig\" or none",
        KeyProblem::NoAlgorithm => {
            "; add the one that the issuer signs with to the option algorithms"
        }
        KeyProblem::UnsupportedAlgorithm => SUPPORTED_HERE,
        KeyProblem::UnsupportedType => {
            "; expected RSA, EC with P-256, P-384 or P-521, OKP with Ed25519, or oct"
        }
        _ => "",
    }
}

const SUPPORTED_HERE: &str =
    "; expected EdDSA, ES256 to ES512, RS256 to RS512, PS256 to PS512 or HS256 to HS512";

/// The first few of them, for messages.
fn listed(refused: &[RefusedKey]) -> String {
    let shown: Vec<String> =
        refused.iter().take(MAX_LISTED).map(|one| format!("; {one}")).collect();
    let rest = refused.len().saturating_sub(MAX_LISTED);
    let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    shown.concat() + &more
}

/// The most keys of one set.
pub const MAX_KEYS: usize = 256;
/// The most members of a set that are read: comparing their names takes quadratic time.
const MAX_MEMBERS: usize = 1024;
const MAX_KEY_SET_BYTES: usize = 256 * 1024;
const MAX_LISTED: usize = 5;
