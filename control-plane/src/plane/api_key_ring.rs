//! The keys of the API's callers, as this process knows them.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::PlaneError;
use crate::api_keys::{ApiKey, ApiKeys, CreateError, DeleteError, FreshApiKey, Scope};
use crate::master_key::MasterKey;
use crate::store::Store;

/// The API keys: those in the store, and those last read from it.
pub struct ApiKeyRing {
    store: Arc<dyn Store>,
    master: MasterKey,
    keys: ArcSwap<ApiKeys>,
}

impl ApiKeyRing {
    pub(super) async fn load(store: Arc<dyn Store>, master: MasterKey) -> Result<Self, PlaneError> {
        let keys = ArcSwap::from_pointee(ApiKeys::load(store.as_ref()).await?);
        Ok(Self { store, master, keys })
    }

    /// The key with this secret.
    pub fn find(&self, secret: &str) -> Option<ApiKey> {
        self.keys.load().find(&self.master, secret).cloned()
    }

    /// The key with this id.
    pub fn named(&self, id: &str) -> Option<ApiKey> {
        self.keys.load().list().into_iter().find(|key| key.id == id).cloned()
    }

    /// All keys, oldest first.
    pub fn list(&self) -> Vec<ApiKey> {
        self.keys.load().list().into_iter().cloned().collect()
    }

    /// Reads the keys from the store, and restores them in a store that lost them.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn reload(&self) -> Result<(), PlaneError> {
        let found = ApiKeys::load(self.store.as_ref()).await?;
        let known = self.keys.load_full();
        if found.is_empty() && !known.is_empty() {
            // API keys are never all revoked: the store came back empty, so restore them.
            return Ok(known.restore(self.store.as_ref()).await?);
        }
        self.keys.store(Arc::new(found));
        Ok(())
    }

    /// Creates a key, which this process accepts after the next [`reload`](Self::reload).
    ///
    /// # Errors
    ///
    /// See [`CreateError`].
    pub async fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        expires_at: Option<u64>,
        now: u64,
    ) -> Result<FreshApiKey, CreateError> {
        ApiKeys::create(self.store.as_ref(), &self.master, name, scopes, expires_at, now).await
    }

    /// Deletes a key, which this process accepts until the next [`reload`](Self::reload).
    ///
    /// # Errors
    ///
    /// See [`DeleteError`].
    pub async fn delete(&self, id: &str, now: u64) -> Result<ApiKey, DeleteError> {
        ApiKeys::delete(self.store.as_ref(), id, now).await
    }
}
