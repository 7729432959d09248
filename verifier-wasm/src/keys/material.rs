//! The part of a key that checks signatures.

use hmac::KeyInit as _;
use sha2::{Sha256, Sha384, Sha512};

use super::algorithm::{Accepts, Algorithm, KeyType, Signed, accepts_hmac};
use super::curve::Curve;
use super::hash::Hash;
use super::{KeyProblem, text};
use super::{ecdsa, rsa};
use crate::json::Object;
use crate::snapshot::{base64url, ed25519};

#[derive(Clone)]
pub(super) enum Material {
    Ed25519(ed25519::PublicKey),
    Ecdsa(ecdsa::PublicKey),
    Rsa(rsa::PublicKey),
    Secret256(hmac::Hmac<Sha256>),
    Secret384(hmac::Hmac<Sha384>),
    Secret512(hmac::Hmac<Sha512>),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Material(…)")
    }
}

impl Material {
    /// Reads the members of a JWK that the `algorithm`'s type has.
    pub(super) fn from_jwk(algorithm: Algorithm, jwk: &Object<'_>) -> Result<Self, KeyProblem> {
        let field = |name| decode(jwk, name);
        if jwk.contains("d") && !algorithm.is_symmetric() {
            return Err(KeyProblem::PrivateKey);
        }
        match algorithm.key_type() {
            KeyType::Ed25519 => ed25519_key(&field("x")?).map(Self::Ed25519),
            KeyType::P256 => ecdsa_key(Curve::p256(), &field("x")?, &field("y")?),
            KeyType::P384 => ecdsa_key(Curve::p384(), &field("x")?, &field("y")?),
            KeyType::P521 => ecdsa_key(Curve::p521(), &field("x")?, &field("y")?),
            KeyType::Rsa => rsa_key(&field("n")?, &field("e")?).map(Self::Rsa),
            KeyType::Secret => Self::secret(algorithm, &field("k")?),
        }
    }

    /// A secret must be as long as the hash's output (RFC 7518 section 3.2).
    fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyProblem> {
        let (minimum_bytes, material) = match algorithm {
            Algorithm::Hs256 => (32, hmac::Hmac::new_from_slice(secret).map(Self::Secret256)),
            Algorithm::Hs384 => (48, hmac::Hmac::new_from_slice(secret).map(Self::Secret384)),
            _ => (64, hmac::Hmac::new_from_slice(secret).map(Self::Secret512)),
        };
        if secret.len() < minimum_bytes {
            return Err(KeyProblem::Weak);
        }
        material.map_err(|_| KeyProblem::Weak)
    }

    pub(super) fn accepts(&self, signed: &Signed<'_>) -> bool {
        match self {
            Self::Ed25519(key) => signed.is_by(key, ed25519::PublicKey::accepts),
            Self::Ecdsa(key) => signed.is_by(key, ecdsa::PublicKey::accepts),
            Self::Rsa(key) => signed.is_by(key, rsa_scheme(signed.algorithm)),
            Self::Secret256(key) => signed.is_by(key, accepts_hmac),
            Self::Secret384(key) => signed.is_by(key, accepts_hmac),
            Self::Secret512(key) => signed.is_by(key, accepts_hmac),
        }
    }

    /// False if `signature` is invalid for every message.
    pub(super) fn could_accept(&self, signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(_) => ed25519::is_well_formed(signature),
            Self::Ecdsa(key) => key.is_well_formed(signature),
            Self::Rsa(key) => key.is_well_formed(signature),
            Self::Secret256(_) | Self::Secret384(_) | Self::Secret512(_) => true,
        }
    }
}

/// How an RSA key checks signatures of its algorithm.
fn rsa_scheme(algorithm: Algorithm) -> Accepts<rsa::PublicKey> {
    match algorithm {
        Algorithm::Ps256 => |key, tag, text| key.accepts_pss(Hash::SHA256, tag, text),
        Algorithm::Ps384 => |key, tag, text| key.accepts_pss(Hash::SHA384, tag, text),
        Algorithm::Ps512 => |key, tag, text| key.accepts_pss(Hash::SHA512, tag, text),
        Algorithm::Rs256 => |key, tag, text| key.accepts_pkcs1(Hash::SHA256, tag, text),
        Algorithm::Rs384 => |key, tag, text| key.accepts_pkcs1(Hash::SHA384, tag, text),
        Algorithm::Rs512 => |key, tag, text| key.accepts_pkcs1(Hash::SHA512, tag, text),
        _ => |_, _, _| false,
    }
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<rsa::PublicKey, KeyProblem> {
    if modulus.len() > rsa::MAX_MODULUS_BYTES || exponent.len() > rsa::MAX_EXPONENT_BYTES {
        return Err(KeyProblem::Malformed);
    }
    rsa::PublicKey::new(modulus, exponent).ok_or(KeyProblem::Weak)
}

/// Reads an Ed25519 public key, which must not be weak.
fn ed25519_key(bytes: &[u8]) -> Result<ed25519::PublicKey, KeyProblem> {
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyProblem::Malformed)?;
    ed25519::PublicKey::from_bytes(bytes).ok_or(KeyProblem::Weak)
}

fn ecdsa_key(curve: Option<&'static Curve>, x: &[u8], y: &[u8]) -> Result<Material, KeyProblem> {
    let curve = curve.ok_or(KeyProblem::UnsupportedType)?;
    if [x, y].iter().any(|coordinate| coordinate.len() != curve.size_bytes()) {
        return Err(KeyProblem::Malformed);
    }
    ecdsa::PublicKey::new(curve, x, y).map(Material::Ecdsa).ok_or(KeyProblem::Weak)
}

fn decode(object: &Object<'_>, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let text = text(object, name)?.ok_or(KeyProblem::Malformed)?;
    base64url::decode(text).ok_or(KeyProblem::Malformed)
}
