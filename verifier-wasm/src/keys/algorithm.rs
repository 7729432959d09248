//! The supported signature algorithms, and how each is checked.

use std::borrow::Cow;
use std::convert::Infallible;

use hmac::Mac;
use jwt_compact::{Algorithm as JwtAlgorithm, AlgorithmSignature};
use serde::{Deserialize, Serialize};

/// A signature algorithm of RFC 7518 section 3.1, RFC 8037 or RFC 9864.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519, named `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864).
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA over P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// ECDSA over P-521 with SHA-512.
    #[serde(rename = "ES512")]
    Es512,
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
}

impl Algorithm {
    /// The algorithm that a JOSE `alg` value names; names are case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "EdDSA" | "Ed25519" => Self::EdDsa,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            _ => return None,
        })
    }

    /// Its JOSE name.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// True where one secret both signs and verifies.
    pub fn is_symmetric(self) -> bool {
        self.key_type() == KeyType::Secret
    }

    /// The type of its keys.
    pub(crate) fn key_type(self) -> KeyType {
        match self {
            Self::EdDsa => KeyType::Ed25519,
            Self::Es256 => KeyType::P256,
            Self::Es384 => KeyType::P384,
            Self::Es512 => KeyType::P521,
            Self::Hs256 | Self::Hs384 | Self::Hs512 => KeyType::Secret,
            Self::Ps256 | Self::Ps384 | Self::Ps512 => KeyType::Rsa,
            Self::Rs256 | Self::Rs384 | Self::Rs512 => KeyType::Rsa,
        }
    }
}

/// The `kty` and, where it has one, the `crv` of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    Ed25519,
    P256,
    P384,
    P521,
    Rsa,
    Secret,
}

impl KeyType {
    /// `None` for a type that no algorithm here uses.
    pub(crate) fn of(kty: &str, crv: Option<&str>) -> Option<Self> {
        Some(match (kty, crv) {
            ("EC", Some("P-256")) => Self::P256,
            ("EC", Some("P-384")) => Self::P384,
            ("EC", Some("P-521")) => Self::P521,
            ("OKP", Some("Ed25519")) => Self::Ed25519,
            ("RSA", None) => Self::Rsa,
            ("oct", None) => Self::Secret,
            _ => return None,
        })
    }
}

/// The names that [`Algorithm::from_name`] knows, for messages.
pub(crate) const SUPPORTED: &str = "one of EdDSA, ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512, HS256, HS384, HS512";

/// A message with its alleged signature.
pub(crate) struct Signed<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) signature: &'a [u8],
    pub(crate) message: &'a [u8],
}

impl Signed<'_> {
    pub(crate) fn is_by<K>(&self, key: &K, accepts: Accepts<K>) -> bool {
        let verify = Verify { algorithm: self.algorithm, accepts };
        RawSignature::try_from_slice(self.signature)
            .is_ok_and(|signature| verify.verify_signature(&signature, key, self.message))
    }
}

/// True if the second argument is the key's signature of the third. A signature of another length
/// than the algorithm's is refused, so that a truncated HMAC tag is never accepted.
pub(crate) type Accepts<K> = fn(&K, &[u8], &[u8]) -> bool;

/// HMAC with one hash; tags are compared in constant time.
pub(crate) fn accepts_hmac<M: Mac + Clone>(key: &M, signature: &[u8], message: &[u8]) -> bool {
    key.clone().chain_update(message).verify_slice(signature).is_ok()
}

/// An algorithm of the `jwt-compact` trait that cannot sign.
struct Verify<K> {
    algorithm: Algorithm,
    accepts: Accepts<K>,
}

/// A signature as bytes.
struct RawSignature(Vec<u8>);

impl AlgorithmSignature for RawSignature {
    fn try_from_slice(slice: &[u8]) -> Result<Self, anyhow::Error> {
        Ok(Self(slice.to_vec()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

impl<K> JwtAlgorithm for Verify<K> {
    type SigningKey = Infallible;
    type VerifyingKey = K;
    type Signature = RawSignature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.algorithm.name())
    }

    fn sign(&self, signing_key: &Infallible, _message: &[u8]) -> RawSignature {
        match *signing_key {}
    }

    fn verify_signature(&self, signature: &RawSignature, key: &K, message: &[u8]) -> bool {
        (self.accepts)(key, &signature.0, message)
    }
}
