//! One key that signs tokens: its secret, its public half, its signature.

use std::sync::OnceLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::master_key::random_bytes;

/// The algorithm of new token keys. Never RSA: the time of its private-key operations leaks
/// (RUSTSEC-2023-0071).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// Ed25519.
    #[default]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA over P-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// One key that signs tokens.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenKey {
    kid: String,
    algorithm: TokenAlgorithm,
    secret: Secret,
    created_at: u64,
    pub(super) signs_from: u64,
    /// Made from the secret at the first use: that costs as much as a signature.
    #[serde(skip)]
    signer: OnceLock<Signer>,
}

#[derive(Clone)]
enum Signer {
    EdDsa(Box<ed25519_dalek::SigningKey>),
    Es256(Box<p256::ecdsa::SigningKey>),
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secret(pub(super) [u8; 32]);

impl TokenAlgorithm {
    /// Its JOSE name.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

impl TokenKey {
    /// A new key that signs from `signs_from` on.
    pub(super) fn create(algorithm: TokenAlgorithm, created_at: u64, signs_from: u64) -> Self {
        loop {
            let secret = Secret(random_bytes());
            // A P-256 secret must be less than the group's order: nearly every 32 bytes are.
            if algorithm == TokenAlgorithm::Es256 && secret.p256().is_none() {
                continue;
            }
            let kid = Base64UrlUnpadded::encode_string(&random_bytes::<12>());
            let signer = OnceLock::new();
            return Self { kid, algorithm, secret, created_at, signs_from, signer };
        }
    }

    /// The same key under another name.
    #[cfg(test)]
    pub(super) fn named(self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self }
    }

    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// When it was created, unix seconds.
    pub fn created_at(&self) -> u64 {
        self.created_at
    }

    /// When it starts to sign, unix seconds; earlier only if no other key is left.
    pub fn signs_from(&self) -> u64 {
        self.signs_from
    }

    /// Its algorithm.
    pub(super) fn kind(&self) -> TokenAlgorithm {
        self.algorithm
    }

    /// The JOSE name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// Its public half as a JWK.
    pub fn jwk(&self) -> Value {
        let encode = Base64UrlUnpadded::encode_string;
        let (kid, alg) = (&self.kid, self.algorithm());
        match self.signer() {
            Signer::EdDsa(key) => {
                let x = key.verifying_key();
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x.as_bytes()),
                        "kid": kid, "alg": alg, "use": "sig" })
            }
            Signer::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y),
                        "kid": kid, "alg": alg, "use": "sig" })
            }
        }
    }

    /// A compact JWS of type `typ` over `claims`, a JSON object (RFC 7515 section 7.1).
    pub fn sign(&self, typ: &str, claims: &str) -> String {
        // A kid is base64url: nothing of it needs escaping.
        let (alg, kid) = (self.algorithm(), &self.kid);
        let header = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#);
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = match self.signer() {
            Signer::EdDsa(key) => key.sign(signed.as_bytes()).to_bytes().to_vec(),
            Signer::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(signed.as_bytes());
                signature.to_bytes().to_vec()
            }
        };
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
    }

    fn signer(&self) -> &Signer {
        self.signer.get_or_init(|| match self.algorithm {
            TokenAlgorithm::EdDsa => Signer::EdDsa(Box::new(self.secret.ed25519())),
            // A secret that is not valid for P-256 was never made: see `create`.
            TokenAlgorithm::Es256 => self.secret.p256().map_or_else(
                || Signer::EdDsa(Box::new(self.secret.ed25519())),
                |key| Signer::Es256(Box::new(key)),
            ),
        })
    }
}

impl Secret {
    pub(super) fn ed25519(&self) -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(&self.0)
    }

    pub(super) fn p256(&self) -> Option<p256::ecdsa::SigningKey> {
        p256::ecdsa::SigningKey::from_slice(&self.0).ok()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}
