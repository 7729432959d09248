//! The other processes on the store: which there are, and what their followers hold while a request waits.
//!
//! Every process keeps itself in one small document, [`Listing`], renewed every few seconds. Nothing else is written
//! while no request waits. A request that waits leaves a question in the store ([`asking`]); every other process leaves
//! what it has seen of its followers, until the request has its answer ([`answering`]). What the processes have seen is
//! joined, so that a follower that moves between them counts once.
//!
//! What this process publishes is dated no later than others count on it: they forget a process only when its followers
//! have refused to decide.

mod answering;
mod asking;
mod statement;
mod tokens;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offswitch_core::processes::{Known, Listed, Listing, ProcessId, Time, Watch};
use offswitch_server::roster::{LEAVING_SLACK, LONGEST_STAY};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::folded::Folded;
use super::publish::Publisher;
use crate::master_key::random_bytes;
use crate::sealing::SealedStore;
use crate::store::{Store, StoreError};

pub use asking::{Count, SilentProcess};
pub(super) use tokens::ProvenTokens;

use answering::Questions;
use asking::Asking;
use statement::Heard;

/// What this process knows of the others on its store, and they of it.
pub struct Processes {
    id: ProcessId,
    store: Arc<SealedStore>,
    folded: Arc<Folded>,
    publisher: Arc<Publisher>,
    known: Mutex<Known>,
    /// Which of them do not renew their entries.
    watch: Mutex<Watch>,
    /// Times of its own count from here.
    started: tokio::time::Instant,
    has_left: AtomicBool,
    asking: Asking,
    questions: Questions,
    /// What others have said last, while a request waits here.
    heard: Mutex<BTreeMap<ProcessId, Arc<Heard>>>,
    /// Changes with that.
    changes: watch::Sender<u64>,
    /// The number of the last note with what this process has seen.
    notes: AtomicU64,
}

impl Processes {
    /// Lists this process, before it serves any follower, if others may use the store.
    ///
    /// # Errors
    ///
    /// As the store.
    pub(super) async fn enter(
        store: Arc<SealedStore>,
        folded: Arc<Folded>,
        publisher: Arc<Publisher>,
    ) -> Result<Arc<Self>, StoreError> {
        let watch = Watch::new(stay_after_renewal(publisher.roster().validity()));
        let processes = Arc::new(Self {
            id: ProcessId(random_bytes()),
            store,
            folded,
            publisher,
            known: Mutex::default(),
            watch: Mutex::new(watch),
            started: tokio::time::Instant::now(),
            has_left: AtomicBool::new(false),
            asking: Asking::default(),
            questions: Questions::default(),
            heard: Mutex::default(),
            changes: watch::Sender::new(0),
            notes: AtomicU64::new(0),
        });
        if processes.are_possible() {
            // Raises the format of the store: from here on, this process serves.
            processes.store.format_since().await?;
            processes.renew().await?;
        }
        Ok(processes)
    }

    /// The id of this process.
    pub fn own_id(&self) -> String {
        self.id.to_string()
    }

    /// True if other processes may use the store at the same time.
    pub fn are_possible(&self) -> bool {
        self.store.is_shared()
    }

    /// Keeps this process listed. In a task of its own: a slow store must not delay it.
    pub(super) async fn keep_listed(self: Arc<Self>) {
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        while self.are_possible() {
            ticks.tick().await;
            let renewed = self.renew().await;
            if let Err(error) = &renewed
                && !is_failing
            {
                tracing::warn!(%error, "this process cannot list itself among those of the store");
            }
            is_failing = renewed.is_err();
            if is_failing {
                ticks.reset_after(RETRY_AFTER);
            }
        }
    }

    /// Says that this process does not come back: those that it has served refuse to decide within a known time.
    pub async fn leave(&self) {
        if !self.are_possible() || self.has_left.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.write_own().await {
            tracing::warn!(%error, "this process stays listed until its followers refuse");
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        if self.has_left.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.write_own().await
    }

    /// Writes the entry of this process.
    async fn write_own(&self) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            // From before it is read: this process may be paused while others forget it.
            let (before, began) = (self.store.now(), self.started.elapsed());
            let (held, listing) = self.read().await?;
            let now = self.store.now();
            let own = self.own_entry(now);
            let (next, is_quiet) = {
                let mut watch = lock(&self.watch);
                watch.look(&listing, (began, self.started.elapsed()));
                if watch.is_quiet() {
                    lock(&self.known).note_quiet(self.time());
                }
                let is_quiet = watch.is_quiet() && listing.has(self.id);
                (listing.with(own, &watch, now), is_quiet)
            };
            if is_quiet {
                // The store may take no writes. No process has forgotten this one, or does soon.
                self.folded.note_counted_until(before.saturating_add(COUNTED_AFTER));
            }
            if self.store.swap(DOCUMENT, &held, &next.encode(), None).await? {
                lock(&self.watch).wrote();
                self.folded.note_counted_until(now.saturating_add(COUNTED_AFTER));
                metrics::gauge!("offswitch_processes").set(next.serving() as f64);
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("the list of processes changes all the time".to_owned()))
    }

    /// What this process says about itself.
    fn own_entry(&self, now: u64) -> Listed {
        let roster = self.publisher.roster();
        let longest = roster.refuse_within(Instant::now());
        let has_left = self.has_left.load(Ordering::SeqCst);
        let stay = match longest {
            None => LONGEST_STAY,
            Some(longest) if has_left => longest + LEAVING_SLACK,
            // One may come before the next renewal.
            Some(_) => stay_after_renewal(roster.validity()),
        };
        Listed {
            id: self.id,
            renewed_at: now,
            until: now.saturating_add(stay.as_secs()),
            refuses: longest.is_some(),
            has_left,
        }
    }

    /// Reads the list, as it is stored too.
    async fn read(&self) -> Result<(Vec<u8>, Listing), StoreError> {
        let bytes = match self.store.load(DOCUMENT).await {
            Err(StoreError::Altered(_)) => {
                // Each process lists itself again.
                self.store.discard_altered(DOCUMENT).await?;
                vec![]
            }
            loaded => loaded?,
        };
        let listing = Listing::decode(&bytes)
            .map_err(|_| StoreError::Damaged("the list of processes cannot be read".to_owned()))?;
        lock(&self.known).read(&listing, self.time());
        Ok((bytes, listing))
    }

    fn time(&self) -> Time {
        Time { unix: self.store.now(), own: self.started.elapsed() }
    }

    fn note_change(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For how long the followers of a process may decide after it was listed last: it may date what it publishes later, and
/// what is dated then is valid for a while.
fn stay_after_renewal(validity: Duration) -> Duration {
    Duration::from_secs(COUNTED_AFTER) + validity + LEAVING_SLACK
}

/// The document's name in the store.
const DOCUMENT: &str = "processes";
const RENEW_EVERY: Duration = Duration::from_secs(3);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// For how many seconds after a renewal what this process publishes may be dated: several renewals may fail.
const COUNTED_AFTER: u64 = 10;
/// How often the list is written again that another process has changed meanwhile.
const ATTEMPTS: usize = 20;
