//! Verification keys, one JWK (RFC 7517) each; `set.rs` reads the sets that contain them.

pub(crate) mod algorithm;
mod curve;
pub(crate) mod discovery;
mod ecdsa;
mod hash;
mod key_id;
mod material;
mod montgomery;
mod rsa;
mod set;

use self::algorithm::{Algorithm, KeyType, Signed};
use self::material::Material;
use crate::json::{Object, Value};

pub(crate) use hash::sha256;
pub use key_id::KeyId;
pub use set::{KeySet, KeySetError, MAX_KEYS, RefusedKey};

/// One verification key, bound to one algorithm and (in a set of several) one `kid`.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    index: usize,
    kid: Option<String>,
    material: Material,
}

impl VerifyingKey {
    /// Reads one JWK; `alg` must be present, so that the key and never the token chooses it.
    ///
    /// # Errors
    ///
    /// See [`KeyProblem`].
    pub fn from_jwk(text: &[u8]) -> Result<Self, KeyProblem> {
        let text = str::from_utf8(text).map_err(|_| KeyProblem::Malformed)?;
        Self::read(&Value::Object(Object::parse(text).ok_or(KeyProblem::Malformed)?), &[])
    }

    /// Reads one JWK. A key without `alg` gets the only one of the `configured` algorithms that
    /// fits its type. A key that cannot verify is reported as such before any other problem.
    fn read(jwk: &Value<'_>, configured: &[Algorithm]) -> Result<Self, KeyProblem> {
        match jwk {
            Value::Object(object) => Self::read_object(object, configured),
            _ => Err(KeyProblem::Malformed),
        }
    }

    #[inline(never)]
    pub(crate) fn read_object(
        object: &Object<'_>,
        configured: &[Algorithm],
    ) -> Result<Self, KeyProblem> {
        if text(object, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(KeyProblem::NotForVerifying);
        }
        if !may_verify(object.get("key_ops"))? {
            return Err(KeyProblem::NotForVerifying);
        }
        let kty = text(object, "kty")?.ok_or(KeyProblem::Malformed)?;
        let key_type = KeyType::of(kty, text(object, "crv")?).ok_or(KeyProblem::UnsupportedType)?;
        let algorithm = match text(object, "alg")? {
            Some(name) => Algorithm::from_name(name).ok_or(KeyProblem::UnsupportedAlgorithm)?,
            None => only_fitting(key_type, configured)?,
        };
        if algorithm.key_type() != key_type {
            return Err(KeyProblem::AlgorithmMismatch);
        }
        let kid = text(object, "kid")?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(KeyProblem::Malformed);
        }
        let material = Material::from_jwk(algorithm, object)?;
        Ok(Self { algorithm, index: 0, kid: kid.map(str::to_owned), material })
    }

    /// Its place in the set it was read from.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The key's name, compared byte by byte.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// True if `signature` is this key's signature of `message`, in the JOSE form of its algorithm.
    pub fn accepts(&self, signature: &[u8], message: &[u8]) -> bool {
        self.material.accepts(&Signed { algorithm: self.algorithm, signature, message })
    }

    /// False if `signature` cannot be valid for any message: hosts that check signatures for us do
    /// not get signatures on which hosts differ.
    pub fn could_accept(&self, signature: &[u8]) -> bool {
        self.material.could_accept(signature)
    }
}

/// Why a single key does not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// `kty` or `crv` does not fit `alg`.
    #[error("the key's type does not fit its alg")]
    AlgorithmMismatch,
    /// There is no `alg`, and more than one of the issuer's algorithms fits the key's type.
    #[error("the key names no alg, and several of the issuer's algorithms fit it")]
    AmbiguousAlgorithm,
    /// A member is missing, of the wrong type or not decodable.
    #[error("the key is malformed")]
    Malformed,
    /// There is no `alg`, and none of the issuer's algorithms fits the key's type. The token's
    /// header must not choose one.
    #[error("the key names no alg, and none of the issuer's algorithms fits it")]
    NoAlgorithm,
    /// `use` or `key_ops` do not allow verifying.
    #[error("the key is not for verifying signatures")]
    NotForVerifying,
    /// The set was fetched, and every client that can fetch it could sign with this secret.
    #[error("a secret (kty oct) is never taken from a key set that was fetched")]
    PublishedSecret,
    /// It is a private key, but only a public key is needed.
    #[error("the key carries its private part")]
    PrivateKey,
    /// Two keys of the set have this `kid` and the same algorithm, so it is unknown which one a
    /// token means.
    #[error("another key of the set has the same kid and alg")]
    RepeatedKid,
    /// A secret in a set that also has public keys: they could be confused.
    #[error("a secret (kty oct) is not taken from a set that has public keys")]
    SecretBesidePublicKeys,
    /// The set has more keys than are kept.
    #[error("the set has too many keys")]
    TooManyKeys,
    /// This verifier does not support the algorithm.
    #[error("the key's alg is not supported")]
    UnsupportedAlgorithm,
    /// No algorithm of this verifier has keys of this `kty` and `crv`.
    #[error("the key's type is not supported")]
    UnsupportedType,
    /// Too short, off the curve, of small order, or with a weak exponent.
    #[error("the key is weak")]
    Weak,
}

impl KeyProblem {
    /// False for a key that clearly has another purpose.
    fn is_doubt(self) -> bool {
        !matches!(self, Self::NotForVerifying | Self::UnsupportedAlgorithm | Self::UnsupportedType)
    }
}

/// The only one of the `configured` algorithms that has keys of this type.
fn only_fitting(key_type: KeyType, configured: &[Algorithm]) -> Result<Algorithm, KeyProblem> {
    let mut fitting = configured.iter().filter(|one| one.key_type() == key_type);
    let first = fitting.next().ok_or(KeyProblem::NoAlgorithm)?;
    match fitting.all(|other| other == first) {
        true => Ok(*first),
        false => Err(KeyProblem::AmbiguousAlgorithm),
    }
}

fn may_verify(key_ops: Option<&Value<'_>>) -> Result<bool, KeyProblem> {
    match key_ops {
        None => Ok(true),
        Some(Value::Array(operations)) => {
            Ok(operations.iter().any(|operation| operation.as_text() == Some("verify")))
        }
        Some(_) => Err(KeyProblem::Malformed),
    }
}

fn text<'a>(object: &'a Object<'_>, name: &str) -> Result<Option<&'a str>, KeyProblem> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(KeyProblem::Malformed),
    }
}

pub(crate) const MAX_KID_BYTES: usize = 256;
