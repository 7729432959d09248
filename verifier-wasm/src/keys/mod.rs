//! Verification keys, one JWK (RFC 7517) each; `set.rs` reads the sets that carry them.

pub(crate) mod algorithm;
mod key_id;
mod rsa;
mod set;

use hmac::KeyInit as _;
use p256::elliptic_curve::point::AffineCoordinates as _;
use sha2::{Sha256, Sha384, Sha512};

use self::algorithm::{Algorithm, Signed, accepts_es256, accepts_hmac};
use self::rsa::Hash;
use crate::json::{Object, Value};
use crate::snapshot::{base64url, ed25519};

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
        Self::read(&Value::Object(Object::parse(text).ok_or(KeyProblem::Malformed)?))
    }

    fn read(jwk: &Value<'_>) -> Result<Self, KeyProblem> {
        let Value::Object(object) = jwk else { return Err(KeyProblem::Malformed) };
        let kid = text(object, "kid")?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(KeyProblem::Malformed);
        }
        if text(object, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(KeyProblem::NotForVerifying);
        }
        if !may_verify(object.get("key_ops"))? {
            return Err(KeyProblem::NotForVerifying);
        }
        let name = text(object, "alg")?.ok_or(KeyProblem::NoAlgorithm)?;
        let algorithm = Algorithm::from_name(name).ok_or(KeyProblem::UnsupportedAlgorithm)?;
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

    /// True if `signature` is this key's under `message`, in the JOSE form of its algorithm.
    pub fn accepts(&self, signature: &[u8], message: &[u8]) -> bool {
        let signed = Signed { algorithm: self.algorithm, signature, message };
        match &self.material {
            Material::EdDsa(key) => signed.is_by(key, ed25519::PublicKey::accepts),
            Material::Es256(key) => signed.is_by(key, accepts_es256),
            Material::Hs256(key) => signed.is_by(key, accepts_hmac),
            Material::Hs384(key) => signed.is_by(key, accepts_hmac),
            Material::Hs512(key) => signed.is_by(key, accepts_hmac),
            Material::Ps256(key) => {
                signed.is_by(key, |key, tag, text| key.accepts_pss(Hash::SHA256, tag, text))
            }
            Material::Ps384(key) => {
                signed.is_by(key, |key, tag, text| key.accepts_pss(Hash::SHA384, tag, text))
            }
            Material::Ps512(key) => {
                signed.is_by(key, |key, tag, text| key.accepts_pss(Hash::SHA512, tag, text))
            }
            Material::Rs256(key) => {
                signed.is_by(key, |key, tag, text| key.accepts_pkcs1(Hash::SHA256, tag, text))
            }
            Material::Rs384(key) => {
                signed.is_by(key, |key, tag, text| key.accepts_pkcs1(Hash::SHA384, tag, text))
            }
            Material::Rs512(key) => {
                signed.is_by(key, |key, tag, text| key.accepts_pkcs1(Hash::SHA512, tag, text))
            }
        }
    }

    /// False where `signature` cannot be this key's under any message: a host that checks
    /// signatures in our place is not asked about those that hosts disagree on.
    pub fn could_accept(&self, signature: &[u8]) -> bool {
        match &self.material {
            Material::EdDsa(_) => ed25519::is_well_formed(signature),
            Material::Es256(_) => signature.len() == 64,
            Material::Hs256(_) | Material::Hs384(_) | Material::Hs512(_) => true,
            Material::Ps256(key)
            | Material::Ps384(key)
            | Material::Ps512(key)
            | Material::Rs256(key)
            | Material::Rs384(key)
            | Material::Rs512(key) => key.is_well_formed(signature),
        }
    }
}

/// Why a single key does not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// `kty` or `crv` does not fit `alg`.
    #[error("the key's type does not fit its alg")]
    AlgorithmMismatch,
    /// A member is missing, of the wrong type or not decodable.
    #[error("the key is malformed")]
    Malformed,
    /// There is no `alg`; the token's header must not choose in its place.
    #[error("the key names no alg")]
    NoAlgorithm,
    /// `use` or `key_ops` do not allow verifying.
    #[error("the key is not for verifying signatures")]
    NotForVerifying,
    /// A set was fetched, and everyone who can fetch it could sign with this secret.
    #[error("a secret (kty oct) is never taken from a key set that was fetched")]
    PublishedSecret,
    /// It is a private key, where only a public key is needed.
    #[error("the key carries its private part")]
    PrivateKey,
    /// Two keys of the set have this `kid`, so that it does not say which one is meant.
    #[error("another key of the set has the same kid")]
    RepeatedKid,
    /// A secret in a set that has public keys as well: one could be taken for the other.
    #[error("a secret (kty oct) is not taken from a set that has public keys")]
    SecretBesidePublicKeys,
    /// The set has more keys than are kept.
    #[error("the set has too many keys")]
    TooManyKeys,
    /// The algorithm is not one this verifier checks.
    #[error("the key's alg is not supported")]
    UnsupportedAlgorithm,
    /// Too short, off the curve, of small order, or with a weak exponent.
    #[error("the key is weak")]
    Weak,
}

#[derive(Clone)]
enum Material {
    EdDsa(ed25519::PublicKey),
    Es256(p256::ecdsa::VerifyingKey),
    Hs256(hmac::Hmac<Sha256>),
    Hs384(hmac::Hmac<Sha384>),
    Hs512(hmac::Hmac<Sha512>),
    Ps256(rsa::PublicKey),
    Ps384(rsa::PublicKey),
    Ps512(rsa::PublicKey),
    Rs256(rsa::PublicKey),
    Rs384(rsa::PublicKey),
    Rs512(rsa::PublicKey),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Material(…)")
    }
}

impl Material {
    fn from_jwk(algorithm: Algorithm, jwk: &Object<'_>) -> Result<Self, KeyProblem> {
        let field = |name| decode(jwk, name);
        if jwk.contains("d") && !algorithm.is_symmetric() {
            return Err(KeyProblem::PrivateKey);
        }
        match (algorithm, text(jwk, "kty")?, text(jwk, "crv")?) {
            (Algorithm::EdDsa, Some("OKP"), Some("Ed25519")) => {
                ed25519_key(&field("x")?).map(Self::EdDsa)
            }
            (Algorithm::Es256, Some("EC"), Some("P-256")) => {
                p256_key(&field("x")?, &field("y")?).map(Self::Es256)
            }
            (_, Some("oct"), None) => Self::hmac(algorithm, &field("k")?),
            (_, Some("RSA"), None) => Self::rsa(algorithm, &field("n")?, &field("e")?),
            _ => Err(KeyProblem::AlgorithmMismatch),
        }
    }

    /// A secret must be as long as the hash's output (RFC 7518 section 3.2).
    fn hmac(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyProblem> {
        let (minimum_bytes, material) = match algorithm {
            Algorithm::Hs256 => (32, hmac::Hmac::new_from_slice(secret).map(Self::Hs256)),
            Algorithm::Hs384 => (48, hmac::Hmac::new_from_slice(secret).map(Self::Hs384)),
            Algorithm::Hs512 => (64, hmac::Hmac::new_from_slice(secret).map(Self::Hs512)),
            _ => return Err(KeyProblem::AlgorithmMismatch),
        };
        if secret.len() < minimum_bytes {
            return Err(KeyProblem::Weak);
        }
        material.map_err(|_| KeyProblem::Weak)
    }

    fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyProblem> {
        let variant = match algorithm {
            Algorithm::Ps256 => Self::Ps256,
            Algorithm::Ps384 => Self::Ps384,
            Algorithm::Ps512 => Self::Ps512,
            Algorithm::Rs256 => Self::Rs256,
            Algorithm::Rs384 => Self::Rs384,
            Algorithm::Rs512 => Self::Rs512,
            _ => return Err(KeyProblem::AlgorithmMismatch),
        };
        if modulus.len() > rsa::MAX_MODULUS_BYTES || exponent.len() > rsa::MAX_EXPONENT_BYTES {
            return Err(KeyProblem::Malformed);
        }
        rsa::PublicKey::new(modulus, exponent).map(variant).ok_or(KeyProblem::Weak)
    }
}

/// Reads an Ed25519 public key, which must not be weak.
fn ed25519_key(bytes: &[u8]) -> Result<ed25519::PublicKey, KeyProblem> {
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyProblem::Malformed)?;
    ed25519::PublicKey::from_bytes(bytes).ok_or(KeyProblem::Weak)
}

fn p256_key(x: &[u8], y: &[u8]) -> Result<p256::ecdsa::VerifyingKey, KeyProblem> {
    let coordinate = |bytes| p256::FieldBytes::try_from(bytes).map_err(|_| KeyProblem::Malformed);
    let point = p256::AffinePoint::from_coordinates(&coordinate(x)?, &coordinate(y)?);
    let point = point.into_option().ok_or(KeyProblem::Weak)?;
    p256::ecdsa::VerifyingKey::from_affine(point).map_err(|_| KeyProblem::Weak)
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

fn decode(object: &Object<'_>, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let text = text(object, name)?.ok_or(KeyProblem::Malformed)?;
    base64url::decode(text).ok_or(KeyProblem::Malformed)
}

pub(crate) const MAX_KID_BYTES: usize = 256;
