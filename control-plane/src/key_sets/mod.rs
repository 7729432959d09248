//! The key sets of registered issuers, fetched when something that they have signed arrives.
//!
//! What arrives can cause one thing: a fetch of the key set of the issuer that it was sent for, one at a
//! time and once in 10 seconds. A fetch that fails leaves the last good set in force.

mod fetch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use offswitch_core::receivers::Sender;
use offswitch_verifier::KeySet;

pub use fetch::{Answer, Client, Limits};

/// The key sets of all issuers, as this process has them.
pub struct KeySets {
    client: Arc<Client>,
    all: Mutex<HashMap<Sender, Arc<Source>>>,
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

/// The key set of one sender.
struct Source {
    sender: Sender,
    last: Mutex<Option<Arc<Fetched>>>,
    /// Taken by what fetches: when the last fetch ended, and what came of it.
    fetching: tokio::sync::Mutex<Option<(Instant, Result<(), KeysUnavailable>)>>,
}

impl KeySets {
    /// Without any key set.
    pub fn new() -> Self {
        Self { client: Arc::new(Client::new()), all: Mutex::default() }
    }

    /// The key set of a sender. It is fetched if there is none yet; one that is older than
    /// five minutes is still used while a newer one is fetched.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] if it was never fetched.
    pub async fn of(&self, sender: &Sender) -> Result<Arc<Fetched>, KeysUnavailable> {
        let source = self.source(sender);
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
        sender: &Sender,
        known: Arc<Fetched>,
    ) -> Result<Arc<Fetched>, KeysUnavailable> {
        self.fetched(self.source(sender), Some(known)).await
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

    fn source(&self, sender: &Sender) -> Arc<Source> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get(sender) {
            return held.clone();
        }
        // Each change of a registration leaves one behind.
        if all.len() >= MOST_SENDERS {
            all.clear();
        }
        let source = Arc::new(Source::new(sender.clone()));
        all.insert(sender.clone(), source.clone());
        source
    }
}

impl Default for KeySets {
    fn default() -> Self {
        Self::new()
    }
}

impl Source {
    fn new(sender: Sender) -> Self {
        Self { sender, last: Mutex::default(), fetching: tokio::sync::Mutex::default() }
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
        let outcome = client.key_set(&self.sender).await;
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
                let (issuer, error) = (&self.sender.issuer, KeysUnavailable(error));
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
const MOST_SENDERS: usize = 1024;
