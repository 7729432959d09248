//! Key sets that are fetched when something arrives that was signed with one of their keys.
//!
//! What arrives can cause one thing: a fetch of the key set of the issuer that it was sent for, one at a
//! time and once in 10 seconds. A fetch that fails leaves the last good set in force.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use offswitch_verifier::{Algorithm, KeySet, KeySource};

use super::Client;

/// Where a key set is, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySetAddress {
    /// The issuer that the discovery document must be for.
    pub issuer: String,
    /// Where the keys are.
    pub source: KeySource,
    /// The algorithms; a key that names none has the one of these that fits it.
    pub algorithms: Vec<Algorithm>,
}

/// The key sets of all issuers, as this process has them.
pub struct KeySets {
    client: Arc<Client>,
    all: Mutex<HashMap<KeySetAddress, Arc<Source>>>,
}

/// A key set that was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The keys.
    pub keys: KeySet,
    /// When the fetch began.
    pub begun: Instant,
}

/// Why it is not known which keys an issuer has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key set cannot be fetched: {0}")]
pub struct KeysUnavailable(pub String);

/// One key set.
struct Source {
    address: KeySetAddress,
    last: Mutex<Option<Arc<Fetched>>>,
    /// Taken by what fetches: when the last fetch ended, and what came of it.
    fetching: tokio::sync::Mutex<Option<(Instant, Result<(), KeysUnavailable>)>>,
}

impl KeySets {
    /// Without any key set.
    pub fn new() -> Self {
        Self { client: Arc::new(Client::new()), all: Mutex::default() }
    }

    /// The key set at an address. It is fetched if there is none yet; one that is older than
    /// five minutes is still used while a newer one is fetched.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] if it was never fetched.
    pub async fn of(&self, address: &KeySetAddress) -> Result<Arc<Fetched>, KeysUnavailable> {
        let source = self.source(address);
        let Some(held) = source.last() else { return self.fetched(source, None).await };
        if held.begun.elapsed() > REFRESH_AFTER && source.fetching.try_lock().is_ok() {
            // If it fails, that is logged where it happens.
            drop(tokio::spawn(source.fetch(self.client.clone(), Some(held.clone()))));
        }
        Ok(held)
    }

    /// The key set after `known`, in which a key is missing.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] if none can be fetched now.
    pub async fn after(
        &self,
        address: &KeySetAddress,
        known: Arc<Fetched>,
    ) -> Result<Arc<Fetched>, KeysUnavailable> {
        self.fetched(self.source(address), Some(known)).await
    }

    /// A task of its own: a caller that is gone does not cost others the answer.
    async fn fetched(
        &self,
        source: Arc<Source>,
        known: Option<Arc<Fetched>>,
    ) -> Result<Arc<Fetched>, KeysUnavailable> {
        let fetching = tokio::spawn(source.fetch(self.client.clone(), known));
        fetching.await.unwrap_or_else(|error| Err(KeysUnavailable(error.to_string())))
    }

    fn source(&self, address: &KeySetAddress) -> Arc<Source> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get(address) {
            return held.clone();
        }
        // Each change of a registration leaves one behind.
        if all.len() >= MOST_ADDRESSES {
            all.clear();
        }
        let source = Arc::new(Source::new(address.clone()));
        all.insert(address.clone(), source.clone());
        source
    }
}

impl Default for KeySets {
    fn default() -> Self {
        Self::new()
    }
}

impl Source {
    fn new(address: KeySetAddress) -> Self {
        Self { address, last: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    fn last(&self) -> Option<Arc<Fetched>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the set after `known`, unless another caller did so meanwhile or the last fetch was not
    /// long ago.
    async fn fetch(
        self: Arc<Self>,
        client: Arc<Client>,
        known: Option<Arc<Fetched>>,
    ) -> Result<Arc<Fetched>, KeysUnavailable> {
        let mut fetching = self.fetching.lock().await;
        let is_known =
            |last: &Arc<Fetched>| known.as_ref().is_some_and(|one| Arc::ptr_eq(one, last));
        if let Some(last) = self.last().filter(|last| !is_known(last)) {
            return Ok(last);
        }
        if let Some((ended, outcome)) = &*fetching
            && ended.elapsed() < COOL_DOWN
        {
            outcome.clone()?;
            let text = "it was fetched a moment ago, and a key is missing".to_owned();
            return Err(KeysUnavailable(text));
        }
        let begun = Instant::now();
        let outcome = client.key_set(&self.address, &HeaderMap::new()).await;
        // From its end: a slow server would otherwise be asked again without a pause.
        let ended = Instant::now();
        match outcome {
            Ok(keys) => {
                *fetching = Some((ended, Ok(())));
                let fetched = Arc::new(Fetched { keys, begun });
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched.clone());
                Ok(fetched)
            }
            Err(error) => {
                let (issuer, error) = (&self.address.issuer, KeysUnavailable(error));
                tracing::warn!(issuer, %error, "a key set cannot be fetched");
                *fetching = Some((ended, Err(error.clone())));
                Err(error)
            }
        }
    }
}

/// The least time from the end of a fetch to the next fetch of the same key set.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// A key that its issuer has withdrawn is used for not much longer.
const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// Twice as many as can be registered.
const MOST_ADDRESSES: usize = 1024;
