//! The private keys: those that sign tokens and those that sign the feed. All processes share them
//! through one sealed document in the store.

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::Signer as _;
use offswitch_verifier::snapshot::SnapshotSigner;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::master_key::{MasterKey, MasterKeyError, random_bytes};
use crate::store::{Store, StoreError};

/// Every private key, opened. Immutable: a change makes a new one.
pub struct Keyring {
    sealed: Vec<u8>,
    algorithm: TokenAlgorithm,
    tokens: Vec<TokenKey>,
    feeds: Vec<FeedSeed>,
}

/// The algorithm that new token keys get. Never RSA: its private-key operations leak by time
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
}

#[derive(Clone, Serialize, Deserialize)]
struct FeedSeed {
    secret: Secret,
    created_at: u64,
}

/// The document's plain form; it leaves this file only sealed.
#[derive(Default, Serialize, Deserialize)]
struct Plain {
    tokens: Vec<TokenKey>,
    feeds: Vec<FeedSeed>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Secret([u8; 32]);

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The document does not open.
    #[error(transparent)]
    Sealed(#[from] MasterKeyError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document opens, but is not a keyring.
    #[error("the keyring in the store cannot be read")]
    Unreadable,
}

impl Keyring {
    /// Loads the keyring and makes sure that it holds a feed key, a token key of `algorithm` that is
    /// not dead, and every key that is `known` already: a store that comes back empty or older gets
    /// them back. What is missing is created once for all processes.
    ///
    /// # Errors
    ///
    /// See [`KeyringError`].
    pub async fn load(
        store: &dyn Store,
        master: &MasterKey,
        algorithm: TokenAlgorithm,
        known: Option<&Self>,
        now: u64,
        is_dead: impl Fn(&str) -> bool,
    ) -> Result<Self, KeyringError> {
        loop {
            let document = store.load(DOCUMENT).await?;
            let mut plain = Plain::open(&document, master)?;
            let mut is_complete = !known.is_some_and(|known| plain.join(known));
            if plain.feeds.is_empty() {
                plain.feeds.push(FeedSeed { secret: Secret(random_bytes()), created_at: now });
                is_complete = false;
            }
            let live = |key: &TokenKey| !is_dead(&key.kid) && key.algorithm == algorithm;
            if !plain.tokens.iter().any(live) {
                plain.tokens.push(TokenKey::create(algorithm, now));
                is_complete = false;
            }
            if is_complete {
                let Plain { tokens, feeds } = plain;
                return Ok(Self { sealed: document, algorithm, tokens, feeds });
            }
            let bytes = Zeroizing::new(
                postcard::to_allocvec(&plain).map_err(|_| KeyringError::Unreadable)?,
            );
            let bytes = master.seal(DOCUMENT, &bytes, random_bytes())?;
            store.swap(DOCUMENT, &document, &bytes, None).await?;
        }
    }

    /// True if both were read from the same document.
    pub fn is_same(&self, other: &Self) -> bool {
        self.sealed == other.sealed
    }

    /// The key that signs new tokens: the newest of the configured algorithm that is not dead.
    pub fn active(&self, is_dead: impl Fn(&str) -> bool) -> Option<&TokenKey> {
        let mut newest_first = self.tokens.iter().rev();
        newest_first.find(|key| key.algorithm == self.algorithm && !is_dead(&key.kid))
    }

    /// The keys that sign or signed tokens, oldest first.
    pub fn token_keys(&self) -> &[TokenKey] {
        &self.tokens
    }

    /// The public halves of the token keys that are not dead, as a JWK set (RFC 7517).
    pub fn jwks(&self, is_dead: impl Fn(&str) -> bool) -> Value {
        let live = self.tokens.iter().filter(|key| !is_dead(&key.kid));
        json!({ "keys": live.map(TokenKey::jwk).collect::<Vec<_>>() })
    }

    /// Signs the snapshots of `feed` with every feed key.
    pub fn snapshot_signer(&self, feed: &str) -> Arc<SnapshotSigner> {
        let keys = self.feeds.iter().map(|seed| seed.secret.ed25519()).collect();
        Arc::new(SnapshotSigner::new(feed, keys))
    }
}

impl TokenKey {
    fn create(algorithm: TokenAlgorithm, created_at: u64) -> Self {
        loop {
            let secret = Secret(random_bytes());
            // A P-256 secret must lie below the group's order: nearly every 32 bytes do.
            if algorithm == TokenAlgorithm::Es256 && secret.p256().is_none() {
                continue;
            }
            let kid = Base64UrlUnpadded::encode_string(&random_bytes::<12>());
            return Self { kid, algorithm, secret, created_at };
        }
    }

    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// When it was created, unix seconds.
    pub fn created_at(&self) -> u64 {
        self.created_at
    }

    /// The JOSE name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            TokenAlgorithm::EdDsa => "EdDSA",
            TokenAlgorithm::Es256 => "ES256",
        }
    }

    /// Its public half as a JWK.
    pub fn jwk(&self) -> Value {
        let encode = Base64UrlUnpadded::encode_string;
        let (kid, alg) = (&self.kid, self.algorithm());
        match (self.algorithm, self.secret.p256()) {
            (TokenAlgorithm::Es256, Some(key)) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y),
                        "kid": kid, "alg": alg, "use": "sig" })
            }
            _ => {
                let x = self.secret.ed25519().verifying_key();
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x.as_bytes()),
                        "kid": kid, "alg": alg, "use": "sig" })
            }
        }
    }

    /// A compact JWS of type `typ` over `claims` (RFC 7515 section 7.1).
    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "kid": self.kid, "typ": typ });
        let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = match (self.algorithm, self.secret.p256()) {
            (TokenAlgorithm::Es256, Some(key)) => {
                let signature: p256::ecdsa::Signature = key.sign(signed.as_bytes());
                signature.to_bytes().to_vec()
            }
            _ => self.secret.ed25519().sign(signed.as_bytes()).to_bytes().to_vec(),
        };
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
    }
}

impl Plain {
    fn open(document: &[u8], master: &MasterKey) -> Result<Self, KeyringError> {
        if document.is_empty() {
            return Ok(Self::default());
        }
        let bytes = master.open(DOCUMENT, document)?;
        postcard::from_bytes(&bytes).map_err(|_| KeyringError::Unreadable)
    }
}

impl Plain {
    /// Adds the keys that only `known` has; true if there were any.
    fn join(&mut self, known: &Keyring) -> bool {
        let before = self.tokens.len() + self.feeds.len();
        for key in &known.tokens {
            if !self.tokens.iter().any(|held| held.kid == key.kid) {
                self.tokens.push(key.clone());
            }
        }
        for seed in &known.feeds {
            if !self.feeds.iter().any(|held| held.secret.0 == seed.secret.0) {
                self.feeds.push(seed.clone());
            }
        }
        self.tokens.sort_by_key(|key| key.created_at);
        self.tokens.len() + self.feeds.len() > before
    }
}

impl Secret {
    fn ed25519(&self) -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(&self.0)
    }

    fn p256(&self) -> Option<p256::ecdsa::SigningKey> {
        p256::ecdsa::SigningKey::from_slice(&self.0).ok()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

const DOCUMENT: &str = "keyring";
