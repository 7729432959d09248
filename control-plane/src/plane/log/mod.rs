//! The log: appending to it, following it, and never losing what was published.

mod append;
mod backwards;
mod certificate;
mod clock_watch;
mod continuity;
mod follow;
mod memory;
mod revoke;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use offswitch_core::fold::Fold;
use offswitch_core::issuers::Issuers;
use offswitch_core::revoking::Rules;
use offswitch_core::session::Outage;
use offswitch_server::secret_file::{Exposure, exposure};
use offswitch_server::tls::Tls;
use offswitch_snapshot::Position;
use tokio::time::Instant;

use super::PlaneError;
use super::folded::Folded;
use super::publish::Publisher;
use crate::audit::AuditLog;
use crate::clock::unix_seconds;
use crate::keyring::{self, Keyring};
use crate::master_key::MasterKey;
use crate::store::{Durability, Finding, Store, StoreError};
use append::Appender;
use clock_watch::ClockWatch;
use memory::Memory;

pub use backwards::Backwards;
pub(in crate::plane) use continuity::PAGE_RECORDS;
pub use continuity::{Loading, join_into};
pub use memory::published_issuer;
pub use revoke::{MOST_ENTRIES, Revoked};

/// The settings of the log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How far in the future the `exp` of a revoked token may be.
    pub max_revocation_seconds: u64,
    /// How many tokens, sessions and users may be revoked at any time by callers who may revoke
    /// any; at most [`MOST_ENTRIES`].
    pub max_entries: usize,
    /// The folder where the process keeps what it published, to restore it in a store that lost it.
    /// No other process may use the folder. If absent, nothing is kept.
    pub memory_folder: Option<PathBuf>,
    /// True if the process has served before: then an empty store is one that lost its content.
    pub has_served: bool,
    /// The files with secrets of this process: it is a finding if other users can read one.
    pub secret_files: Vec<PathBuf>,
    /// What this process shows its clients by HTTPS: it is a finding if its certificate expires soon.
    pub tls: Option<Tls>,
}

/// The log in the store, as this process appends to it, follows it and keeps it.
pub struct Log {
    settings: LogSettings,
    issuer: String,
    store: Arc<dyn Store>,
    master: MasterKey,
    folded: Arc<Folded>,
    publisher: Arc<Publisher>,
    appender: Arc<Appender>,
    /// What this process published, on its own disk; absent if it must not keep anything.
    memory: Option<Arc<Memory>>,
    audit: Arc<AuditLog>,
    clock: ClockWatch,
    /// When a follower was last seen ahead of the log, and its position.
    ahead: Mutex<Option<(Instant, Position)>>,
    /// One reader of the log at a time; waiting callers share a round.
    following: tokio::sync::Mutex<follow::Round>,
    rounds_begun: AtomicU64,
    health: Mutex<Health>,
    /// Taken to change what verifiers look up, so that two requests cannot both take the last place.
    changing_issuers: tokio::sync::Mutex<()>,
    /// When the store did not answer: clients that got no response then may ask again.
    outage: Mutex<Outage>,
}

/// What readiness and metrics report.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The error of the last attempt to read the store, if it failed.
    pub store_error: Option<String>,
    /// What the checks of the store and of the base found.
    pub findings: Vec<Finding>,
}

/// A log that was read, and is not followed yet.
pub(super) struct Opened {
    settings: LogSettings,
    issuer: String,
    store: Arc<dyn Store>,
    master: MasterKey,
    memory: Option<Arc<Memory>>,
}

impl Opened {
    /// Follows and extends the log that was read as `folded`.
    pub(super) fn follow(
        self,
        folded: Arc<Folded>,
        publisher: Arc<Publisher>,
        audit: Arc<AuditLog>,
        now: u64,
    ) -> Log {
        let Self { settings, issuer, store, master, memory } = self;
        let end = folded.lock().end();
        metrics::gauge!("offswitch_entries_limit").set(settings.max_entries as f64);
        Log {
            appender: Appender::new(store.clone(), end),
            memory,
            audit,
            clock: ClockWatch::default(),
            ahead: Mutex::default(),
            following: tokio::sync::Mutex::default(),
            changing_issuers: tokio::sync::Mutex::default(),
            rounds_begun: AtomicU64::new(0),
            health: Mutex::default(),
            outage: Mutex::new(Outage::before(now)),
            settings,
            issuer,
            store,
            master,
            folded,
            publisher,
        }
    }
}

impl Log {
    /// Reads the log, and what this process published before it started. If the store lost any of
    /// that, it is restored.
    pub(super) async fn open(
        settings: LogSettings,
        issuer: String,
        store: Arc<dyn Store>,
        master: MasterKey,
        loading: &Loading,
    ) -> Result<(Fold, Opened), PlaneError> {
        let log = store.as_ref();
        let folder = settings.memory_folder.as_deref();
        let opened = match folder.map(Memory::open) {
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
            Some(remembered) => remembered.restore_documents(log).await?,
            None if settings.has_served && is_new(log).await? => {
                return Err(PlaneError::StoreForgot);
            }
            None => {}
        }
        // The master key in use, and how ids are hashed, must be known before the log is read.
        Keyring::settle(log, &master).await?;
        let salt = master.salt();
        let fold = match remembered {
            None => continuity::load(log, salt, &issuer, None, loading).await?.fold,
            Some(remembered) => {
                let published = remembered.fold(salt, &issuer)?;
                continuity::recover(log, published.reached(), &published, None, loading).await?
            }
        };
        Ok((fold, Opened { settings, issuer, store, master, memory }))
    }

    /// The position folded so far.
    pub fn position(&self) -> Position {
        self.folded.position()
    }

    /// A copy of everything folded so far, to compare processes with each other.
    pub fn folded(&self) -> Fold {
        self.folded.lock().clone()
    }

    /// Waits until the record at `position` is folded here, for `longest` at most.
    pub async fn wait_folded(&self, position: Position, longest: Duration) {
        self.folded.wait_for(position, longest).await;
    }

    /// Which failures a record that is acknowledged now survives, if that is known.
    pub fn durability(&self) -> Option<Durability> {
        self.store.durability()
    }

    /// The records before `end`, the newest first.
    pub fn backwards(&self, end: u64) -> Backwards<'_> {
        Backwards::new(self.store.as_ref(), end)
    }

    /// The rules for what a revocation may name.
    pub(super) fn rules(&self) -> Rules {
        let max_revocation_seconds = self.settings.max_revocation_seconds;
        Rules { issuers: self.issuers(), max_revocation_seconds }
    }

    /// The issuers whose tokens can be revoked.
    pub fn issuers(&self) -> Arc<Issuers> {
        self.folded.lock().issuers().clone()
    }

    /// True if the signing key of this name was revoked.
    pub(super) fn is_dead(&self, issuer: &str, kid: &str) -> bool {
        let fold = self.folded.lock();
        fold.dead_keys().iter().any(|key| key.issuer == issuer && key.kid == kid)
    }

    /// Waits for the turn to change issuers and selectors; it lasts until the guard is dropped.
    pub async fn change_issuers(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing_issuers.lock().await
    }

    /// What publishes what is folded.
    pub(super) fn publisher(&self) -> Arc<Publisher> {
        self.publisher.clone()
    }

    /// The last known health of the store.
    pub fn health(&self) -> Health {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Known without a look at the store, so they are never late.
        health.findings.retain(|finding| !finding.code.starts_with("audit_"));
        health.findings.extend(self.audit.findings());
        health
    }

    /// How long ago the log was last read to its end: followers see the feed as that old.
    pub fn age_seconds(&self) -> u64 {
        self.store.now().saturating_sub(self.folded.current_at())
    }

    /// When the store did not answer last.
    pub(super) fn outage(&self) -> Outage {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a loss of records in the store was last found, unix seconds, if ever.
    pub(super) fn lost_at(&self) -> Option<u64> {
        self.folded.lock().lost_at()
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

    fn secrets_finding(&self) -> Option<Finding> {
        let is_exposed = |path: &&PathBuf| {
            let exposure = File::open(path).and_then(|file| exposure(&file));
            exposure.is_ok_and(|exposure| exposure != Exposure::Private)
        };
        let exposed = self.settings.secret_files.iter().filter(is_exposed);
        let exposed: Vec<String> = exposed.map(|path| path.display().to_string()).collect();
        let files = exposed.join(", ");
        let detail = format!("other users of the machine can read or write {files}: chmod 600");
        let finding = Finding { code: "secret_exposed", detail, fatal: false };
        (!exposed.is_empty()).then_some(finding)
    }

    fn certificate_finding(&self) -> Option<Finding> {
        let validity = self.settings.tls.as_ref()?.validity().ok()?;
        certificate::finding(&validity, unix_seconds())
    }

    fn ahead_finding(&self) -> Option<Finding> {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, since) = ahead.filter(|(at, _)| at.elapsed() < AHEAD_REPORTED_FOR)?;
        let detail = format!(
            "a follower of the feed holds {since}, beyond the log: the store may have lost \
             revocations; look for a restored backup or a lossy failover, and repeat the \
             revocations since then"
        );
        Some(Finding { code: "follower_ahead", detail, fatal: false })
    }

    /// What the checks of the store, of the base and of this process find now.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.store.findings().await?;
        findings.extend(self.publisher.findings());
        findings.extend(self.memory.as_ref().and_then(|memory| memory.finding()));
        findings.extend(self.audit.findings());
        findings.extend(self.secrets_finding());
        findings.extend(self.certificate_finding());
        findings.extend(self.clock.finding());
        findings.extend(self.ahead_finding());
        Ok(findings)
    }

    /// Reports what the checks find now; nothing if the store does not answer.
    pub(super) async fn report_findings(&self) {
        let Ok(findings) = self.findings().await else { return };
        for finding in &findings {
            tracing::error!(code = finding.code, detail = finding.detail, "store finding");
        }
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in &health.findings {
            metrics::gauge!("offswitch_store_finding", "code" => gone.code).set(0.0);
        }
        for finding in &findings {
            metrics::gauge!("offswitch_store_finding", "code" => finding.code).set(1.0);
        }
        health.findings = findings;
    }
}

/// True if nothing was ever written to the store.
async fn is_new(store: &dyn Store) -> Result<bool, PlaneError> {
    Ok(store.end().await?.position.seq == 0 && store.load(keyring::DOCUMENT).await?.is_empty())
}

const AHEAD_REPORTED_FOR: Duration = Duration::from_secs(600);
