//! The keys that callers of the HTTP API show, and what each may do.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::master_key::{MasterKey, random_bytes};
use crate::store::{Store, StoreError};

/// What a key may do; a route asks for exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Follow the feed.
    #[serde(rename = "feed:read")]
    FeedRead,
    /// Trade handover codes and handles, as the edge worker does.
    #[serde(rename = "handover")]
    Handover,
    /// List the signing keys.
    #[serde(rename = "keys:read")]
    KeysRead,
    /// Read the metrics.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Press the red button.
    #[serde(rename = "red-button")]
    RedButton,
    /// See what was revoked.
    #[serde(rename = "revocations:read")]
    RevocationsRead,
    /// Revoke.
    #[serde(rename = "revocations:write")]
    RevocationsWrite,
    /// List users' sessions.
    #[serde(rename = "sessions:read")]
    SessionsRead,
    /// Open and end sessions.
    #[serde(rename = "sessions:write")]
    SessionsWrite,
    /// Ask what a token is worth.
    #[serde(rename = "tokens:introspect")]
    TokensIntrospect,
}

/// A key as it is stored: its hash, never the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Names the key in the log of revocations.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was created, unix seconds.
    pub created_at: u64,
    hash: String,
}

/// All keys, found by the hash of what a caller shows: no comparison depends on a secret.
#[derive(Debug, Default)]
pub struct ApiKeys {
    by_hash: HashMap<String, ApiKey>,
}

/// A key just made; shown once.
pub struct FreshApiKey {
    /// The secret text, `osk_…`.
    pub key: Zeroizing<String>,
    /// What is stored of it.
    pub stored: ApiKey,
}

impl ApiKeys {
    /// Reads all keys.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let (_, keys) = read(store).await?;
        Ok(Self { by_hash: keys.into_iter().map(|key| (key.hash.clone(), key)).collect() })
    }

    /// The key with this text, if there is one.
    pub fn find(&self, master: &MasterKey, key: &str) -> Option<&ApiKey> {
        self.by_hash.get(&hash(master, key))
    }

    /// True before the first key was made.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Writes all keys to a store that has none.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn restore(&self, store: &dyn Store) -> Result<(), StoreError> {
        let keys: Vec<&ApiKey> = self.by_hash.values().collect();
        let bytes = serde_json::to_vec(&keys).unwrap_or_default();
        store.swap(DOCUMENT, &[], &bytes, None).await.map(drop)
    }

    /// Makes a key and stores its hash.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn create(
        store: &dyn Store,
        master: &MasterKey,
        name: &str,
        scopes: &[Scope],
        now: u64,
    ) -> Result<FreshApiKey, StoreError> {
        let secret = Zeroizing::new(random_bytes::<32>());
        let text = format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(&*secret));
        let key = Zeroizing::new(text);
        let stored = ApiKey {
            id: format!("key_{}", Base64UrlUnpadded::encode_string(&random_bytes::<9>())),
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            created_at: now,
            hash: hash(master, &key),
        };
        loop {
            let (held, mut keys) = read(store).await?;
            keys.push(stored.clone());
            let bytes = serde_json::to_vec(&keys).unwrap_or_default();
            if store.swap(DOCUMENT, &held, &bytes, None).await? {
                return Ok(FreshApiKey { key, stored });
            }
        }
    }
}

impl ApiKey {
    /// True if the key may do what `scope` names.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 10] = [
        Self::FeedRead,
        Self::Handover,
        Self::KeysRead,
        Self::MetricsRead,
        Self::RedButton,
        Self::RevocationsRead,
        Self::RevocationsWrite,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::TokensIntrospect,
    ];

    /// The scope's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::FeedRead => "feed:read",
            Self::Handover => "handover",
            Self::KeysRead => "keys:read",
            Self::MetricsRead => "metrics:read",
            Self::RedButton => "red-button",
            Self::RevocationsRead => "revocations:read",
            Self::RevocationsWrite => "revocations:write",
            Self::SessionsRead => "sessions:read",
            Self::SessionsWrite => "sessions:write",
            Self::TokensIntrospect => "tokens:introspect",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no such scope; there are {names}")
        })
    }
}

/// The document as it stands, and the keys in it.
async fn read(store: &dyn Store) -> Result<(Vec<u8>, Vec<ApiKey>), StoreError> {
    let bytes = store.load(DOCUMENT).await?;
    if bytes.is_empty() {
        return Ok((bytes, Vec::new()));
    }
    let keys = serde_json::from_slice(&bytes)
        .map_err(|_| StoreError::Damaged("the API keys cannot be read".to_owned()))?;
    Ok((bytes, keys))
}

fn hash(master: &MasterKey, key: &str) -> String {
    Base64UrlUnpadded::encode_string(&master.hash_api_key(key))
}

/// Lets secret scanners find a leaked key.
const PREFIX: &str = "osk_";
const DOCUMENT: &str = "api-keys";
