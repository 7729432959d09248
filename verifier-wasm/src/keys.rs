//! Verification keys and the JWK sets (RFC 7517) that carry them.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::KeyInit as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Map, Value};
use sha2::{Sha256, Sha384, Sha512};

use crate::algorithm::{Algorithm, Ed25519, Es256, Hmac, Rsa, check};
use crate::json;

/// The keys of one issuer: at most [`MAX_KEYS`], every `kid` once, all asymmetric or all symmetric.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    refused: Vec<RefusedKey>,
}

impl KeySet {
    /// Reads a JWK set (RFC 7517 section 5), or a single JWK.
    ///
    /// A key that cannot or must not verify is left out and listed by [`refused`](Self::refused);
    /// a set whose keys could be mistaken for each other is refused as a whole.
    ///
    /// # Errors
    ///
    /// See [`KeySetError`].
    pub fn from_jwks(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let object = json::parse_object(text).ok_or(KeySetError::NotJson)?;
        let members = match object.get("keys") {
            Some(Value::Array(keys)) => keys.clone(),
            Some(_) => return Err(KeySetError::NotJson),
            None => vec![Value::Object(object)],
        };
        if members.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        Self::refuse_ambiguity(&members)?;
        let mut set = Self::default();
        for member in members {
            match VerifyingKey::from_jwk(&member) {
                Ok(key) => set.keys.push(key),
                Err(problem) => {
                    let kid = member.get("kid").and_then(Value::as_str).map(str::to_owned);
                    set.refused.push(RefusedKey { kid, problem });
                }
            }
        }
        if set.keys.is_empty() { Err(KeySetError::NoUsableKey(set.refused)) } else { Ok(set) }
    }

    /// The keys that load.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// The keys that do not load, each with the reason.
    pub fn refused(&self) -> &[RefusedKey] {
        &self.refused
    }

    /// The key named `kid`; a token without `kid` finds only a key without one.
    pub fn find(&self, kid: Option<&str>) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    fn refuse_ambiguity(members: &[Value]) -> Result<(), KeySetError> {
        let kid = |member| Value::get(member, "kid").and_then(Value::as_str);
        let mut kids: Vec<_> = members.iter().map(kid).collect();
        kids.sort_unstable();
        if kids.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err(KeySetError::DuplicateKid);
        }
        let (mut symmetric, mut asymmetric) = (false, false);
        for member in members {
            match member.get("kty").and_then(Value::as_str) {
                Some("oct") => symmetric = true,
                _ => asymmetric = true,
            }
        }
        if symmetric && asymmetric { Err(KeySetError::MixedKinds) } else { Ok(()) }
    }
}

/// One verification key, bound to one algorithm and (in a set of several) one `kid`.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    kid: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

impl VerifyingKey {
    /// Reads one JWK; `alg` must be present, so that the key and never the token chooses it.
    ///
    /// # Errors
    ///
    /// See [`KeyProblem`].
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyProblem> {
        let object = jwk.as_object().ok_or(KeyProblem::Malformed)?;
        let kid = text(object, "kid")?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(KeyProblem::Malformed);
        }
        let name = text(object, "alg")?.ok_or(KeyProblem::NoAlgorithm)?;
        let algorithm = Algorithm::from_name(name).ok_or(KeyProblem::UnsupportedAlgorithm)?;
        if text(object, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(KeyProblem::NotForVerifying);
        }
        if !may_verify(object.get("key_ops"))? {
            return Err(KeyProblem::NotForVerifying);
        }
        let material = Material::from_jwk(algorithm, object)?;
        Ok(Self { kid: kid.map(str::to_owned), algorithm, material })
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
        match &self.material {
            Material::EdDsa(key) => check(&Ed25519, key, signature, message),
            Material::Es256(key) => check(&Es256, key, signature, message),
            Material::Hs256(key) => check(&Hmac::NEW, key, signature, message),
            Material::Hs384(key) => check(&Hmac::NEW, key, signature, message),
            Material::Hs512(key) => check(&Hmac::NEW, key, signature, message),
            Material::Ps256(key) => check(&Rsa::NEW, key, signature, message),
            Material::Ps384(key) => check(&Rsa::NEW, key, signature, message),
            Material::Ps512(key) => check(&Rsa::NEW, key, signature, message),
            Material::Rs256(key) => check(&Rsa::NEW, key, signature, message),
            Material::Rs384(key) => check(&Rsa::NEW, key, signature, message),
            Material::Rs512(key) => check(&Rsa::NEW, key, signature, message),
        }
    }
}

/// A key that was left out of its set, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedKey {
    /// The key's name, where it has one.
    pub kid: Option<String>,
    /// What is wrong with it.
    pub problem: KeyProblem,
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
    /// A private key stands where only a public key is needed.
    #[error("the key carries its private part")]
    PrivateKey,
    /// The algorithm is not one this verifier checks.
    #[error("the key's alg is not supported")]
    UnsupportedAlgorithm,
    /// Too short, off the curve, of small order, or with a weak exponent.
    #[error("the key is weak")]
    Weak,
}

/// Why a key set does not load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Two keys have the same `kid` (or both have none).
    #[error("two keys of the set have the same kid")]
    DuplicateKid,
    /// Symmetric and asymmetric keys are mixed.
    #[error("the set mixes symmetric and asymmetric keys")]
    MixedKinds,
    /// No key can be used.
    #[error("the set has no usable key")]
    NoUsableKey(Vec<RefusedKey>),
    /// Not a JSON object of the right shape, or a member name is repeated.
    #[error("the set is not a JWK set")]
    NotJson,
    /// More than 256 KiB.
    #[error("the set is too large")]
    TooLarge,
    /// More than [`MAX_KEYS`].
    #[error("the set has too many keys")]
    TooManyKeys,
}

#[derive(Clone)]
enum Material {
    EdDsa(ed25519_dalek::VerifyingKey),
    Es256(p256::ecdsa::VerifyingKey),
    Hs256(hmac::Hmac<Sha256>),
    Hs384(hmac::Hmac<Sha384>),
    Hs512(hmac::Hmac<Sha512>),
    Ps256(rsa::pss::VerifyingKey<Sha256>),
    Ps384(rsa::pss::VerifyingKey<Sha384>),
    Ps512(rsa::pss::VerifyingKey<Sha512>),
    Rs256(rsa::pkcs1v15::VerifyingKey<Sha256>),
    Rs384(rsa::pkcs1v15::VerifyingKey<Sha384>),
    Rs512(rsa::pkcs1v15::VerifyingKey<Sha512>),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Material(…)")
    }
}

impl Material {
    fn from_jwk(algorithm: Algorithm, jwk: &Map<String, Value>) -> Result<Self, KeyProblem> {
        let field = |name| decode(jwk, name);
        if jwk.contains_key("d") && !algorithm.is_symmetric() {
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
        let key = || rsa_key(modulus, exponent);
        Ok(match algorithm {
            Algorithm::Ps256 => Self::Ps256(rsa::pss::VerifyingKey::new(key()?)),
            Algorithm::Ps384 => Self::Ps384(rsa::pss::VerifyingKey::new(key()?)),
            Algorithm::Ps512 => Self::Ps512(rsa::pss::VerifyingKey::new(key()?)),
            Algorithm::Rs256 => Self::Rs256(rsa::pkcs1v15::VerifyingKey::new(key()?)),
            Algorithm::Rs384 => Self::Rs384(rsa::pkcs1v15::VerifyingKey::new(key()?)),
            Algorithm::Rs512 => Self::Rs512(rsa::pkcs1v15::VerifyingKey::new(key()?)),
            _ => return Err(KeyProblem::AlgorithmMismatch),
        })
    }
}

/// Reads an Ed25519 public key; one of small order, or not in its one canonical spelling, would be
/// judged differently by other implementations (ePrint 2020/1244) and is refused.
pub(crate) fn ed25519_key(bytes: &[u8]) -> Result<ed25519_dalek::VerifyingKey, KeyProblem> {
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyProblem::Malformed)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyProblem::Weak)?;
    if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
        return Err(KeyProblem::Weak);
    }
    Ok(key)
}

fn p256_key(x: &[u8], y: &[u8]) -> Result<p256::ecdsa::VerifyingKey, KeyProblem> {
    if x.len() != 32 || y.len() != 32 {
        return Err(KeyProblem::Malformed);
    }
    let point = [&[4], x, y].concat();
    p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyProblem::Weak)
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<rsa::PublicKey, KeyProblem> {
    if modulus.len() > MAX_RSA_BYTES || exponent.len() > 8 {
        return Err(KeyProblem::Malformed);
    }
    let key = rsa::PublicKey::new_with_size_limits(
        rsa::BoxedUint::from_be_slice_vartime(modulus),
        rsa::BoxedUint::from_be_slice_vartime(exponent),
        MIN_RSA_BITS..=MAX_RSA_BITS,
    )
    .map_err(|_| KeyProblem::Weak)?;
    if *key.e() < rsa::BoxedUint::from(3u8) {
        return Err(KeyProblem::Weak);
    }
    Ok(key)
}

fn may_verify(key_ops: Option<&Value>) -> Result<bool, KeyProblem> {
    match key_ops {
        None => Ok(true),
        Some(Value::Array(operations)) => {
            Ok(operations.iter().any(|operation| operation == "verify"))
        }
        Some(_) => Err(KeyProblem::Malformed),
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyProblem> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyProblem::Malformed),
    }
}

fn decode(object: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let text = text(object, name)?.ok_or(KeyProblem::Malformed)?;
    Base64UrlUnpadded::decode_vec(text).map_err(|_| KeyProblem::Malformed)
}

/// The most keys one set may hold.
pub const MAX_KEYS: usize = 64;
pub(crate) const MAX_KID_BYTES: usize = 256;
const MAX_KEY_SET_BYTES: usize = 256 * 1024;
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;
const MAX_RSA_BYTES: usize = MAX_RSA_BITS / 8;
