//! One control-plane process: the folded log, the keys, and what it publishes.
//!
//! Every process on a store runs the same tasks; there is no leader. What one appends, all fold.

mod introspection;
mod log;
mod publish;
mod sessions;
mod signing;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use offswitch_core::fold::{Fold, FoldError};
use offswitch_core::revoking::Rules;
use offswitch_core::session::{Lifetimes, LostSessions, Outage};
use offswitch_snapshot::{Position, SnapshotSigner};
use tokio::sync::{Semaphore, watch};

use crate::api_keys::ApiKeys;
use crate::keyring::{self, KeyPolicy, Keyring, KeyringError, TokenAlgorithm};
use crate::master_key::MasterKey;
use crate::sealing::SealedStore;
use crate::store::{Finding, Store, StoreError};

use introspection::Introspector;
use log::{append, clock_watch, continuity, follow, memory};
use publish::announce;

pub use log::continuity::Loading;
pub use log::memory::published_issuer;
pub use log::revoke::{Landing, MOST_ENTRIES, NamedSessions, Reach, RedButton, Revoked};
pub use publish::Published;
pub use publish::announce::Following;
pub use sessions::issue::{Issued, RESERVED_CLAIMS};
pub use sessions::stored::StoredSessions;
pub use sessions::{Opened, RefreshRefusal, Refreshed, SessionRequest};

/// The state of one process, shared by all requests.
pub struct Plane {
    settings: Settings,
    appender: Arc<append::Appender>,
    /// What this process published, on its own disk; absent if it must not keep anything.
    memory: Option<Arc<memory::Memory>>,
    clock: clock_watch::ClockWatch,
    /// When a follower was last seen ahead of the log, and its position.
    ahead: Mutex<Option<(Instant, Position)>>,
    /// The same store as `sealed`.
    store: Arc<dyn Store>,
    sealed: Arc<SealedStore>,
    master: MasterKey,
    fold: Mutex<Fold>,
    /// One reader of the log at a time; waiting callers share a round.
    following: tokio::sync::Mutex<follow::Round>,
    rounds_begun: AtomicU64,
    /// When the log was last read to its end, unix seconds: signed snapshots are as fresh as that.
    current_at: AtomicU64,
    keyring: ArcSwap<Keyring>,
    /// One reader of the keyring at a time, so that an older reading never replaces a newer one;
    /// contains the number of the last reading.
    reloading: tokio::sync::Mutex<u64>,
    reloads_begun: AtomicU64,
    introspector: Introspector,
    /// When the last complete pass over the ended sessions began, unix seconds.
    carried_out_at: AtomicU64,
    /// One pass over the ended sessions at a time.
    ending: tokio::sync::Mutex<()>,
    signer: ArcSwap<SnapshotSigner>,
    api_keys: ArcSwap<ApiKeys>,
    base: ArcSwapOption<Published>,
    /// True while verifiers would refuse the last base that was built.
    is_base_too_large: AtomicBool,
    deltas: publish::Deltas,
    head: watch::Sender<Position>,
    announced: watch::Sender<announce::Announcement>,
    follower_places: Arc<Semaphore>,
    /// True once the process has been asked to stop.
    stopping: watch::Sender<bool>,
    health: Mutex<Health>,
    outage: Mutex<Outage>,
}

/// The settings of a plane.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `iss` of its tokens, and the id of its feed.
    pub issuer: String,
    /// The `aud` of its tokens, unless a session sets another.
    pub audience: String,
    /// How long an access token lives.
    pub access_token_seconds: u64,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// How to treat sessions that the store has lost.
    pub lost_sessions: LostSessions,
    /// How many sessions a user may have; the next login ends the one that was idle for longest.
    pub sessions_per_user: usize,
    /// The algorithm of new token keys.
    pub token_algorithm: TokenAlgorithm,
    /// The age at which a token key is replaced; 0 means only on request.
    pub key_rotation_seconds: u64,
    /// How long a new token key is published before it signs.
    pub key_publish_seconds: u64,
    /// How long a snapshot proves the feed fresh.
    pub snapshot_validity_seconds: u64,
    /// How often the stream sends an empty delta.
    pub heartbeat_seconds: u64,
    /// The minimum time between two new bases.
    pub base_interval_seconds: u64,
    /// How far in the future the `exp` of a revoked token may be.
    pub max_revocation_seconds: u64,
    /// How long tokens of other issuers may live, for revocations that name no `exp`.
    pub foreign_token_seconds: u64,
    /// How many tokens, sessions and users may be revoked at any time by callers who may revoke
    /// any; at most [`MOST_ENTRIES`].
    pub max_entries: usize,
    /// How many followers may wait for news at this process.
    pub max_followers: usize,
    /// The folder where the process keeps what it published, to restore it in a store that lost it.
    /// No other process may use the folder. If absent, nothing is kept.
    pub memory_folder: Option<PathBuf>,
    /// True if the process has served before: then an empty store is one that lost its content.
    pub has_served: bool,
}

impl Settings {
    /// The rules for what a revocation may name.
    pub fn revocation_rules(&self) -> Rules<'_> {
        Rules {
            issuer: &self.issuer,
            access_token_seconds: self.access_token_seconds,
            foreign_token_seconds: self.foreign_token_seconds,
            max_revocation_seconds: self.max_revocation_seconds,
        }
    }

    /// The policy for new token keys.
    pub fn key_policy(&self) -> KeyPolicy {
        KeyPolicy { algorithm: self.token_algorithm, publish_seconds: self.key_publish_seconds }
    }
}

/// What readiness and metrics report.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The error of the last attempt to read the store, if it failed.
    pub store_error: Option<String>,
    /// What the checks of the store and of the base found.
    pub findings: Vec<Finding>,
}

/// Why the plane did not do what was requested.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The log cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The keys cannot be loaded.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store has lost the session, and an operator may restore it.
    #[error("the store has lost the session")]
    SessionLost,
    /// The session has ended since it was opened.
    #[error("the session has ended")]
    SessionOver,
    /// What this process published before cannot be read from its disk.
    #[error("what this process published (data_dir/published) cannot be used: {0}")]
    Memory(#[from] std::io::Error),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is empty although this process has served before.
    #[error(
        "the store is empty, but this process has served before (data_dir has its admin.key), and \
         nothing is left of what it published: restore the store from a backup, or run `offswitch \
         store new-era` to begin with nothing; revoked tokens that have not expired are then valid \
         again, and verifiers need the new feed key"
    )]
    StoreForgot,
    /// No snapshot has room for one more dead key.
    #[error("too many signing keys are revoked; rotate the keys at their issuer instead")]
    TooManyDeadKeys,
    /// There is no room for that many more tokens, sessions and users.
    #[error("{held} tokens, sessions and users are revoked, of at most {most}")]
    TooManyEntries {
        /// How many are revoked already.
        held: usize,
        /// How many may be.
        most: usize,
    },
}

impl Plane {
    /// Loads the keys and the whole log, reporting the progress to `loading`, and publishes the
    /// first base.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        master: MasterKey,
        now: u64,
        loading: &Loading,
    ) -> Result<Arc<Self>, PlaneError> {
        let sealed = Arc::new(SealedStore::new(store, master.clone()));
        let store: Arc<dyn Store> = sealed.clone();
        let (memory, fold) = Self::open_log(&settings, store.as_ref(), &master, loading).await?;
        let policy = settings.key_policy();
        let is_dead = |kid: &str| fold.is_dead(kid);
        let keyring = Keyring::load(store.as_ref(), &master, policy, None, now, is_dead).await?;
        let api_keys = ApiKeys::load(store.as_ref()).await?;
        let appender = append::Appender::new(store.clone(), fold.end());
        let plane = Arc::new(Self {
            signer: ArcSwap::new(keyring.snapshot_signer(&settings.issuer)),
            keyring: ArcSwap::from_pointee(keyring),
            reloading: tokio::sync::Mutex::new(0),
            reloads_begun: AtomicU64::new(0),
            introspector: Introspector::default(),
            ending: tokio::sync::Mutex::new(()),
            carried_out_at: AtomicU64::new(0),
            outage: Mutex::new(Outage::before(now)),
            api_keys: ArcSwap::from_pointee(api_keys),
            base: ArcSwapOption::empty(),
            is_base_too_large: AtomicBool::new(false),
            deltas: publish::Deltas::default(),
            follower_places: Arc::new(Semaphore::new(settings.max_followers)),
            stopping: watch::Sender::new(false),
            head: watch::Sender::new(fold.reached().position),
            announced: watch::Sender::new(announce::Announcement::at(fold.reached().position)),
            fold: Mutex::new(fold),
            following: tokio::sync::Mutex::default(),
            rounds_begun: AtomicU64::new(0),
            // The log was just read, so the store's clock is known; this process's may be fast.
            current_at: AtomicU64::new(now.min(store.now())),
            health: Mutex::new(Health::default()),
            settings,
            appender,
            memory,
            clock: clock_watch::ClockWatch::default(),
            ahead: Mutex::default(),
            store,
            sealed,
            master,
        });
        metrics::gauge!("offswitch_log_seq").set(plane.position().seq as f64);
        plane.remember(now).await;
        // A logout that a crash interrupted must be complete before any client can refresh.
        plane.end_sessions().await?;
        plane.carried_out_at.fetch_max(now, Ordering::AcqRel);
        plane.rebuild_base(now).await;
        Ok(plane)
    }

    /// Reads the log, and what this process published before it started. If the store lost any of
    /// that, it is restored.
    async fn open_log(
        settings: &Settings,
        store: &dyn Store,
        master: &MasterKey,
        loading: &Loading,
    ) -> Result<(Option<Arc<memory::Memory>>, Fold), PlaneError> {
        let folder = settings.memory_folder.as_deref();
        let opened = match folder.map(memory::Memory::open) {
            Some(Err(error)) if memory::is_read_only(&error) => {
                tracing::warn!(%error, "data_dir cannot be written to: after a restart this process \
                    cannot heal a store that lost records");
                None
            }
            opened => opened.transpose()?,
        };
        let (memory, remembered) = opened.unzip();
        let (memory, remembered) = (memory.map(Arc::new), remembered.flatten());
        match &remembered {
            Some(remembered) => remembered.restore_documents(store).await?,
            None if settings.has_served && Self::is_new(store).await? => {
                return Err(PlaneError::StoreForgot);
            }
            None => {}
        }
        // The master key in use, and how ids are hashed, must be known before the log is read.
        Keyring::settle(store, master).await?;
        let (salt, issuer) = (master.salt(), &settings.issuer);
        let Some(remembered) = remembered else {
            return Ok((memory, continuity::load(store, salt, issuer, None, loading).await?.fold));
        };
        let published = remembered.fold(salt, issuer)?;
        let fold =
            continuity::recover(store, published.reached(), &published, None, loading).await?;
        Ok((memory, fold))
    }

    /// True if nothing was ever written to the store.
    async fn is_new(store: &dyn Store) -> Result<bool, PlaneError> {
        Ok(store.end().await?.position.seq == 0 && store.load(keyring::DOCUMENT).await?.is_empty())
    }

    /// The operator's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The store, with its documents sealed.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The keys of the API's callers.
    pub fn api_keys(&self) -> arc_swap::Guard<Arc<ApiKeys>> {
        self.api_keys.load()
    }

    /// The time, unix seconds; the same for all processes on a store.
    pub fn now(&self) -> u64 {
        self.store.now()
    }

    /// The master key.
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// The private keys.
    pub fn keyring(&self) -> arc_swap::Guard<Arc<Keyring>> {
        self.keyring.load()
    }

    /// The id of the key that signs new tokens, if it is not dead.
    pub fn active_kid(&self) -> Option<String> {
        let fold = self.fold();
        let keyring = self.keyring.load();
        let active = keyring.active(self.now(), |kid| fold.is_dead(kid));
        active.map(|key| key.kid().to_owned())
    }

    /// The public keys that verify the feed.
    pub fn feed_keys(&self) -> Vec<offswitch_snapshot::FeedKey> {
        self.signer.load().feed_keys()
    }

    /// The position folded so far.
    pub fn position(&self) -> Position {
        *self.head.borrow()
    }

    /// A permit for each follower that may wait for news here.
    pub fn follower_places(&self) -> &Arc<Semaphore> {
        &self.follower_places
    }

    /// Locks the folded log; hold it only for one look-up.
    pub fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last known health of the store.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True while no reason is known why this process cannot serve: the store answers, has room,
    /// and has no fatal finding.
    pub fn is_ready(&self) -> bool {
        let health = self.health();
        let stops = |finding: &Finding| finding.fatal || finding.code == "store_full";
        health.store_error.is_none()
            && self.base.load().is_some()
            && !health.findings.iter().any(stops)
    }

    /// When a loss of records in the store was last found, unix seconds, if ever.
    pub fn lost_at(&self) -> Option<u64> {
        self.fold().lost_at()
    }

    /// Notes that a follower has a position beyond the log, which was just read to its end: the
    /// store has lost records that this process does not remember. A follower may be wrong or lie,
    /// so this is reported and changes nothing.
    pub fn note_ahead(&self, since: Position) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::counter!("offswitch_followers_ahead_total").increment(1);
        if ahead.is_none_or(|(at, _)| at.elapsed() >= AHEAD_REPORTED_FOR) {
            tracing::error!(%since, "a follower holds a position beyond the log");
        }
        *ahead = Some((Instant::now(), since));
    }

    fn ahead_finding(&self) -> Option<Finding> {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, since) = ahead.filter(|(at, _)| at.elapsed() < AHEAD_REPORTED_FOR)?;
        let detail = format!(
            "a follower of the feed holds {since}, beyond the log: the store may have lost \
             revocations; look for a restored backup or a lossy failover, and revoke again what was \
             revoked since"
        );
        Some(Finding { code: "follower_ahead", detail, fatal: false })
    }
}

const AHEAD_REPORTED_FOR: Duration = Duration::from_secs(600);
