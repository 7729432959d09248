//! Outgoing: relying parties are notified of ended sessions. The log is the queue, and each relying party
//! has a cursor in the store.
//!
//! One process at a time sends to a relying party: the one whose lease the cursor's document has. A notice
//! counts as settled once the document says so, so a crash sends some again and loses none.

mod queue;
mod reader;
mod secrets;
mod sending;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use offswitch_core::relying_parties::{Place, Progress, RelyingParty};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PlaneError;
use super::folded::Folded;
use super::publish::Publisher;
use super::sessions::Sessions;
use super::signing::SigningKeys;
use crate::master_key::random_id;
use crate::relying_parties::{Registered, RelyingParties, RelyingPartyError};
use crate::sealing::SealedStore;
use crate::store::{Store, StoreError};
use offswitch_client::http::Client;
use reader::Reader;
use sending::Sending;

pub use secrets::RelyingPartySecrets;

/// The relying parties, and what they are sent.
pub struct Outgoing {
    /// Tells this process from others that send.
    process: String,
    issuer: String,
    store: Arc<SealedStore>,
    folded: Arc<Folded>,
    signing: Arc<SigningKeys>,
    publisher: Arc<Publisher>,
    sessions: Arc<Sessions>,
    secrets: RelyingPartySecrets,
    client: Client,
    reader: Reader,
    registered: ArcSwap<RelyingParties>,
    /// The last known progress, by the id of the registration.
    progress: Mutex<BTreeMap<String, Progress>>,
    changed: Notify,
    stopping: watch::Sender<bool>,
    /// How many leases this process has.
    leases: watch::Sender<usize>,
}

impl Outgoing {
    pub(super) async fn load(
        issuer: String,
        store: Arc<SealedStore>,
        folded: Arc<Folded>,
        publisher: Arc<Publisher>,
        sessions: Arc<Sessions>,
        secrets: RelyingPartySecrets,
    ) -> Result<Self, PlaneError> {
        let registered = ArcSwap::from_pointee(RelyingParties::load(store.as_ref()).await?);
        Ok(Self {
            process: random_id(),
            issuer,
            reader: Reader::new(store.clone()),
            store,
            folded,
            signing: publisher.signing(),
            publisher,
            sessions,
            secrets,
            client: Client::new(),
            registered,
            progress: Mutex::default(),
            changed: Notify::new(),
            stopping: watch::Sender::new(false),
            leases: watch::Sender::new(0),
        })
    }

    /// All relying parties by name, each with what is known about its notices. The process that sends knows
    /// it to the second, others to some seconds.
    pub fn list(&self) -> Vec<(Registered, Progress)> {
        let progress = self.progress();
        let known = |one: &Registered| {
            let begin = || Progress::begin(&one.id, one.since, one.created_at);
            (one.clone(), progress.get(&one.id).cloned().unwrap_or_else(begin))
        };
        self.registered.load().iter().map(known).collect()
    }

    /// Registers a relying party under a name, or changes it, on behalf of `by`. It hears of the sessions
    /// that end from now on. False if nothing changed.
    ///
    /// # Errors
    ///
    /// See [`RelyingPartyError`].
    pub async fn register(
        &self,
        name: &str,
        party: &RelyingParty,
        by: &str,
        now: u64,
    ) -> Result<bool, RelyingPartyError> {
        let end = self.store.end().await?.position;
        let (store, since) = (self.store.as_ref(), Place::after(end.era, end.seq));
        let (_, is_changed) = RelyingParties::register(store, name, party, by, since, now).await?;
        self.reload().await?;
        Ok(is_changed)
    }

    /// Removes a relying party on behalf of `by`. What it was not sent yet is dropped.
    ///
    /// # Errors
    ///
    /// See [`RelyingPartyError`].
    pub async fn remove(&self, name: &str, by: &str) -> Result<(), RelyingPartyError> {
        let removed = RelyingParties::remove(self.store.as_ref(), name, by).await?;
        self.reload().await?;
        Ok(self.forget(&removed.id).await?)
    }

    /// Ends the lease of this process as soon as what it is sending is answered, so that another one need
    /// not wait for its end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until this process has no lease any more, for `longest` at most.
    pub async fn until_released(&self, longest: Duration) {
        let mut leases = self.leases.subscribe();
        // It otherwise ends only when the time is over: go on.
        let _ = timeout(longest, leases.wait_for(|leases| *leases == 0)).await;
    }

    /// The first place of the log that a relying party has not settled yet, if there is one.
    pub(super) async fn settled_up_to(&self) -> Result<Option<Place>, PlaneError> {
        let mut first: Option<Place> = None;
        for one in RelyingParties::load(self.store.as_ref()).await?.iter() {
            let place = self.load_progress(one).await?.1.place;
            first = Some(first.map_or(place, |first| first.min(place)));
        }
        Ok(first)
    }

    /// Keeps one task for each relying party.
    pub(super) async fn keep_notifying(self: Arc<Self>) {
        let mut tasks: HashMap<String, JoinHandle<()>> = HashMap::new();
        loop {
            if let Err(error) = self.reload().await {
                tracing::warn!(%error, "the relying parties cannot be read");
            }
            tasks.retain(|_, task| !task.is_finished());
            for one in self.registered.load().iter() {
                tasks
                    .entry(one.id.clone())
                    .or_insert_with(|| tokio::spawn(self.clone().notify(one.clone())));
            }
            // It otherwise ends only when the time is over: look now.
            let _ = timeout(LOOK_EVERY, self.changed.notified()).await;
        }
    }

    /// Sends to one relying party whenever this process has the lease, until the registration is gone.
    async fn notify(self: Arc<Self>, one: Registered) {
        while self.is_registered(&one.id) && !self.is_stopping() {
            let sent = match Sending::begin(&self, &one).await {
                Ok(Some(sending)) => sending.run().await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::warn!(%error, relying_party = one.name, "the queue cannot be read");
            }
            let mut stopping = self.stopping.subscribe();
            // It otherwise ends only when the time is over: look now.
            let _ = timeout(LOOK_EVERY, stopping.wait_for(|is_stopping| *is_stopping)).await;
        }
        self.progress().remove(&one.id);
        // It may have written the progress once more after that was deleted.
        if !self.is_registered(&one.id)
            && let Err(error) = self.forget(&one.id).await
        {
            tracing::warn!(%error, "the progress of a removed relying party stays stored");
        }
    }

    /// Reads the relying parties and their progress, and restores the former in a store that lost them.
    async fn reload(&self) -> Result<(), StoreError> {
        let found = RelyingParties::load(self.store.as_ref()).await?;
        let known = self.registered.load_full();
        if found.has_lost(&known) {
            return known.restore(self.store.as_ref()).await;
        }
        for one in found.iter() {
            let (_, read) = self.load_progress(one).await?;
            let mut progress = self.progress();
            // This process knows better what it sends itself.
            if read.sender.id != self.process {
                progress.insert(one.id.clone(), read);
            }
        }
        if found != *known {
            self.registered.store(Arc::new(found));
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The stored progress of a relying party, with its bytes. If it was altered or cannot be read, it
    /// begins again: some notices are then sent twice.
    async fn load_progress(&self, one: &Registered) -> Result<(Vec<u8>, Progress), StoreError> {
        let name = document(&one.id);
        let held = match self.store.load(&name).await {
            Err(StoreError::Altered(_)) => {
                self.store.discard_altered(&name).await?;
                self.store.load(&name).await?
            }
            loaded => loaded?,
        };
        let begin = || Progress::begin(&one.id, one.since, one.created_at);
        let progress = serde_json::from_slice(&held).unwrap_or_else(|_| begin());
        Ok((held, progress))
    }

    /// Deletes the progress of a registration that is gone.
    async fn forget(&self, id: &str) -> Result<(), StoreError> {
        let name = document(id);
        let held = self.store.load(&name).await?;
        self.store.swap(&name, &held, &[], None).await.map(drop)
    }

    fn is_registered(&self, id: &str) -> bool {
        self.registered.load().find(id).is_some()
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn progress(&self) -> MutexGuard<'_, BTreeMap<String, Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the document with the progress of a registration.
fn document(id: &str) -> String {
    format!("relying-party:{id}")
}

/// How often a process looks for changes by others, and for leases that have ended.
const LOOK_EVERY: Duration = Duration::from_secs(2);
