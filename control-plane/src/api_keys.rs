//! The keys of the HTTP API's callers, and what each key may do.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::audit;
use crate::master_key::{MasterKey, random_bytes};
use crate::store::{Store, StoreError};

/// What a key may do; a route requires exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Create, list and delete API keys.
    #[serde(rename = "api-keys:write")]
    ApiKeysWrite,
    /// Read the audit log.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Check the control plane and its issuers end to end.
    #[serde(rename = "doctor:run")]
    DoctorRun,
    /// Follow the feed.
    #[serde(rename = "feed:read")]
    FeedRead,
    /// List the followers of the feed.
    #[serde(rename = "followers:read")]
    FollowersRead,
    /// Exchange handover codes and handles, as the edge worker does.
    #[serde(rename = "handover")]
    Handover,
    /// Register and remove the issuers whose tokens can be revoked.
    #[serde(rename = "issuers:write")]
    IssuersWrite,
    /// List the signing keys.
    #[serde(rename = "keys:read")]
    KeysRead,
    /// Rotate the signing key.
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// Read the metrics.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Press the red button.
    #[serde(rename = "red-button")]
    RedButton,
    /// Register and remove the relying parties that are notified of ended sessions.
    #[serde(rename = "relying-parties:write")]
    RelyingPartiesWrite,
    /// List what was revoked.
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
    /// Introspect tokens.
    #[serde(rename = "tokens:introspect")]
    TokensIntrospect,
}

/// A key as it is stored: its hash, never the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Identifies the key in the log of revocations.
    pub id: String,
    /// The operator's name for it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was created, unix seconds.
    pub created_at: u64,
    /// When it expires, unix seconds; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    hash: String,
}

/// All keys, found by the hash of the presented secret: no comparison depends on a secret.
#[derive(Debug, Default)]
pub struct ApiKeys {
    by_hash: HashMap<String, ApiKey>,
}

/// A key that was just made; shown once.
pub struct FreshApiKey {
    /// The secret text, `osk_…`.
    pub key: Zeroizing<String>,
    /// The part that is stored.
    pub stored: ApiKey,
}

/// Why a key was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are already [`MAX_KEYS`].
    #[error("there are {MAX_KEYS} API keys, which is the limit; delete one first")]
    TooMany,
}

/// Why a key was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// Without it no client could call the API, or no client could manage keys.
    #[error(
        "it is the last API key that has not expired, or the last of those with the scope \
         api-keys:write; create another one first"
    )]
    Last,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No key has this id.
    #[error("there is no API key with this id; `offswitch api-keys list` shows them")]
    Unknown,
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

    /// All keys, oldest first.
    pub fn list(&self) -> Vec<&ApiKey> {
        let mut keys: Vec<_> = self.by_hash.values().collect();
        keys.sort_by_key(|key| (key.created_at, &key.id));
        keys
    }

    /// True if no key has been made yet.
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

    /// Makes a key, which expires at `expires_at` (unix seconds), if ever, and stores its hash.
    ///
    /// # Errors
    ///
    /// See [`CreateError`].
    pub async fn create(
        store: &dyn Store,
        master: &MasterKey,
        name: &str,
        scopes: &[Scope],
        expires_at: Option<u64>,
        now: u64,
    ) -> Result<FreshApiKey, CreateError> {
        let secret = Zeroizing::new(random_bytes::<32>());
        let text = format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(&*secret));
        let key = Zeroizing::new(text);
        let stored = ApiKey {
            id: format!("key_{}", Base64UrlUnpadded::encode_string(&random_bytes::<9>())),
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            created_at: now,
            expires_at,
            hash: hash(master, &key),
        };
        loop {
            let (held, mut keys) = read(store).await?;
            if keys.len() >= MAX_KEYS {
                return Err(CreateError::TooMany);
            }
            keys.push(stored.clone());
            let bytes = serde_json::to_vec(&keys).unwrap_or_default();
            if store.swap(DOCUMENT, &held, &bytes, None).await? {
                audit::api_key("api_key_created", &stored.id, &stored.scope_names());
                return Ok(FreshApiKey { key, stored });
            }
        }
    }

    /// Deletes the key with this id, unless no key that is valid at `now` would remain, or none
    /// that may manage keys. A store without API keys counts as one that lost them: processes would
    /// restore all of them.
    ///
    /// # Errors
    ///
    /// See [`DeleteError`].
    pub async fn delete(store: &dyn Store, id: &str, now: u64) -> Result<ApiKey, DeleteError> {
        loop {
            let (held, mut keys) = read(store).await?;
            let place = keys.iter().position(|key| key.id == id).ok_or(DeleteError::Unknown)?;
            let deleted = keys.remove(place);
            let is_good = |key: &ApiKey| !key.is_expired(now);
            let is_admin = |key: &ApiKey| is_good(key) && key.may(Scope::ApiKeysWrite);
            let is_last = keys.is_empty()
                || (is_good(&deleted) && !keys.iter().any(is_good))
                || (is_admin(&deleted) && !keys.iter().any(is_admin));
            if is_last {
                return Err(DeleteError::Last);
            }
            let bytes = serde_json::to_vec(&keys).unwrap_or_default();
            if store.swap(DOCUMENT, &held, &bytes, None).await? {
                audit::api_key("api_key_deleted", &deleted.id, &deleted.scope_names());
                return Ok(deleted);
            }
        }
    }
}

impl ApiKey {
    /// True once the key is not accepted any more.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// The names of its scopes, separated by commas.
    fn scope_names(&self) -> String {
        self.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(",")
    }

    /// True if the key has `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 17] = [
        Self::ApiKeysWrite,
        Self::AuditRead,
        Self::DoctorRun,
        Self::FeedRead,
        Self::FollowersRead,
        Self::Handover,
        Self::IssuersWrite,
        Self::KeysRead,
        Self::KeysWrite,
        Self::MetricsRead,
        Self::RedButton,
        Self::RelyingPartiesWrite,
        Self::RevocationsRead,
        Self::RevocationsWrite,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::TokensIntrospect,
    ];

    /// The scope's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKeysWrite => "api-keys:write",
            Self::AuditRead => "audit:read",
            Self::DoctorRun => "doctor:run",
            Self::FeedRead => "feed:read",
            Self::FollowersRead => "followers:read",
            Self::Handover => "handover",
            Self::IssuersWrite => "issuers:write",
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::MetricsRead => "metrics:read",
            Self::RedButton => "red-button",
            Self::RelyingPartiesWrite => "relying-parties:write",
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

/// The document as it is stored, and the keys in it.
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
/// All keys are one document, which every process reads every few seconds.
pub const MAX_KEYS: usize = 1000;
/// The document's name in the store.
pub(crate) const DOCUMENT: &str = "api-keys";

#[cfg(test)]
mod tests {
    use super::{ApiKey, ApiKeys, DeleteError, Scope};
    use crate::master_key::MasterKey;
    use crate::store::{EmbeddedStore, Store};

    fn store() -> (EmbeddedStore, MasterKey, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store"), 1).unwrap();
        let master = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
        (store, master, folder)
    }

    async fn create(store: &dyn Store, master: &MasterKey, expires_at: Option<u64>) -> ApiKey {
        let scopes = [Scope::FeedRead];
        ApiKeys::create(store, master, "x", &scopes, expires_at, 100).await.unwrap().stored
    }

    #[tokio::test]
    async fn a_key_is_expired_from_its_expiry_on() {
        let (store, master, _folder) = store();
        let key = create(&store, &master, Some(200)).await;
        assert_eq!([100, 199, 200, 201].map(|now| key.is_expired(now)), [false, false, true, true]);
    }

    #[tokio::test]
    async fn the_last_good_key_stays_and_an_unknown_one_is_named_so() {
        let (store, master, _folder) = store();
        let old = create(&store, &master, Some(200)).await;
        let good = create(&store, &master, None).await;
        let refused = ApiKeys::delete(&store, "key_x", 300).await;
        assert!(matches!(refused, Err(DeleteError::Unknown)));
        assert!(matches!(ApiKeys::delete(&store, &good.id, 300).await, Err(DeleteError::Last)));
        assert_eq!(ApiKeys::delete(&store, &old.id, 300).await.unwrap(), old);
        assert!(matches!(ApiKeys::delete(&store, &good.id, 300).await, Err(DeleteError::Last)));
        create(&store, &master, Some(400)).await;
        assert_eq!(ApiKeys::delete(&store, &good.id, 399).await.unwrap(), good);
        // Even an expired key must remain: an empty list would look like a store that was lost.
        let last = ApiKeys::load(&store).await.unwrap().list()[0].id.clone();
        assert!(matches!(ApiKeys::delete(&store, &last, 500).await, Err(DeleteError::Last)));
    }

    // D40: a leaked key that may only read does not count as a remaining key that may manage keys.
    #[tokio::test]
    async fn the_last_key_that_manages_keys_stays() {
        let (store, master, _folder) = store();
        let scopes = [Scope::ApiKeysWrite, Scope::FeedRead];
        let admin = ApiKeys::create(&store, &master, "admin", &scopes, None, 100).await.unwrap();
        let reader = create(&store, &master, None).await;
        let id = &admin.stored.id;
        assert!(matches!(ApiKeys::delete(&store, id, 200).await, Err(DeleteError::Last)));
        ApiKeys::create(&store, &master, "old", &scopes, Some(150), 100).await.unwrap();
        assert!(matches!(ApiKeys::delete(&store, id, 200).await, Err(DeleteError::Last)));
        ApiKeys::create(&store, &master, "next", &scopes, None, 100).await.unwrap();
        assert_eq!(ApiKeys::delete(&store, id, 200).await.unwrap(), admin.stored);
        assert_eq!(ApiKeys::delete(&store, &reader.id, 200).await.unwrap(), reader);
    }

    // A store that came back empty gets every key back with its expiry.
    #[tokio::test]
    async fn keys_are_restored_whole() {
        let (first, master, _folder) = store();
        create(&first, &master, Some(200)).await;
        create(&first, &master, None).await;
        let keys = ApiKeys::load(&first).await.unwrap();
        let (second, _, _other) = store();
        keys.restore(&second).await.unwrap();
        assert_eq!(ApiKeys::load(&second).await.unwrap().list(), keys.list());
    }
}
