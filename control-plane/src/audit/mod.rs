//! The audit log: who changed what, in files of this process's own, in addition to the lines of the
//! target `offswitch::audit` in its log.
//!
//! The parts of the plane report facts (`facts.rs`: a record was appended, a key was made). HTTP, the
//! commands and the tasks collect the facts of one [`Change`] and write them as one line before they
//! answer. `file.rs` keeps the files, `offswitch_core::audit` has the format and the rules.
//!
//! A line is written to the operating system, not flushed: it survives the death of this process. The
//! files are flushed once a second; docs/decisions/audit.md says why.

mod allowance;
mod change;
mod facts;
mod file;
mod read;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::audit::{End, MAX_LINE_BYTES};

use crate::master_key::random_bytes;
use crate::store::Finding;
use allowance::Allowance;
use writer::Writer;

pub use change::{Change, Origin, Outcome, Word};
pub use facts::{
    api_key, by, collect_own, feed_key, preview, refused_refresh, relying_party, revoked, session,
    signing_key, target,
};
pub use file::{Signer, Writers};
pub use read::{audit_files, page};

/// The settings of the audit log.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// Where the files are; absent if no audit log is kept.
    pub folder: Option<PathBuf>,
    /// What is recorded.
    pub volume: Volume,
    /// What happens to changes that cannot be recorded.
    pub failure: OnFailure,
    /// At this size the next file begins.
    pub file_bytes: u64,
}

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Volume {
    /// Every request that may change something.
    All,
    /// All of them but refreshes that end no session: they change nothing about who has access.
    #[default]
    Changes,
    /// Nothing.
    Off,
}

/// What happens to a change that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// It is made, and counted: a full disk must not prevent a revocation.
    #[default]
    Continue,
    /// It is refused before it is made.
    Refuse,
}

/// The change was refused, because it could not be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written, and audit_failure is refuse")]
pub struct Unrecordable;

/// The audit log of one process.
pub struct AuditLog {
    settings: AuditSettings,
    writer: Mutex<Writer>,
    allowance: Mutex<Allowance>,
    /// Changes of strangers without a line, since the last line.
    left_out: AtomicU64,
    /// Changes in progress: room for the line of each is kept.
    in_progress: AtomicUsize,
    signer: OnceLock<Signer>,
    /// Begins the ids of requests that have none, so that two lives have no id in common.
    life: String,
    requests: AtomicU64,
}

impl AuditLog {
    /// Opens the files of `writers` in the folder. If they cannot be written, that is a finding, and is
    /// tried again.
    pub fn open(settings: AuditSettings, writers: Writers) -> Arc<Self> {
        let folder = settings.folder.clone().filter(|_| settings.volume != Volume::Off);
        let writer = Writer::new(folder, writers, settings.file_bytes);
        Arc::new(Self {
            settings,
            writer: Mutex::new(writer),
            allowance: Mutex::default(),
            left_out: AtomicU64::new(0),
            in_progress: AtomicUsize::new(0),
            signer: OnceLock::new(),
            life: Base64UrlUnpadded::encode_string(&random_bytes::<6>()),
            requests: AtomicU64::new(0),
        })
    }

    /// From now on checkpoints are signed.
    pub fn sign_with(&self, signer: Signer) {
        let _ = self.signer.set(signer);
        self.checkpoint("start");
    }

    /// Begins a change. Absent if nothing is recorded. A `routine` change is recorded only if it turns out
    /// to revoke something, unless everything is to be recorded.
    ///
    /// # Errors
    ///
    /// [`Unrecordable`]; the change must not be made then.
    pub fn begin(
        self: &Arc<Self>,
        operation: &Arc<str>,
        origin: Origin,
        routine: bool,
    ) -> Result<Option<Change>, Unrecordable> {
        if !self.writer().is_on() {
            return Ok(None);
        }
        let if_revoked = routine && self.settings.volume != Volume::All;
        let in_progress = self.in_progress.fetch_add(1, Ordering::Relaxed) + 1;
        let change = Change::new(self.clone(), operation.clone(), origin, if_revoked);
        if self.settings.failure == OnFailure::Refuse && !if_revoked {
            let room = u64::try_from(in_progress.saturating_mul(MAX_LINE_BYTES));
            if !self.writer().has_room(room.unwrap_or(u64::MAX)) {
                change.forget();
                metrics::counter!("offswitch_audit_refused_total").increment(1);
                return Err(Unrecordable);
            }
        }
        Ok(Some(change))
    }

    /// An id for a request that came without one.
    pub fn request_id(&self) -> String {
        format!("{}-{}", self.life, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a checkpoint, if there are lines that the last one does not cover.
    pub fn checkpoint(&self, reason: &str) {
        if let Some(signer) = self.signer.get() {
            self.writer().checkpoint(signer, reason);
        }
    }

    /// Flushes what is written. Blocks.
    pub fn flush(&self) {
        let Some(file) = self.writer().unflushed() else { return };
        // The lock is not held: requests are not to wait for the disk.
        if let Err(error) = file.sync_data() {
            self.writer().failed(&error);
        }
    }

    /// Ends the files as they are: signed and flushed. Blocks.
    pub fn close(&self) {
        self.checkpoint("stop");
        self.flush();
        self.writer().release();
    }

    /// Where its chain ends; absent if no audit log is kept, or it cannot be written.
    pub fn end(&self) -> Option<End> {
        self.writer().end()
    }

    /// True while changes are refused because they cannot be recorded.
    pub fn refuses(&self) -> bool {
        let refuses = self.settings.failure == OnFailure::Refuse;
        refuses && self.writer().is_on() && !self.writer().has_room(MAX_LINE_BYTES as u64)
    }

    /// The folder and the name of its files, if there are any.
    pub fn place(&self) -> Option<(PathBuf, String)> {
        self.writer().place()
    }

    /// What operators must know about it.
    pub fn findings(&self) -> Vec<Finding> {
        self.writer().findings(self.settings.failure == OnFailure::Refuse)
    }

    /// Writes a line. What no known caller did is limited, since anyone can do it.
    fn write(&self, is_by_anyone: bool, members: &[u8]) -> Result<(), Unrecordable> {
        if is_by_anyone && !self.allowance().allows(Instant::now()) {
            metrics::counter!("offswitch_audit_left_out_total").increment(1);
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if self.writer().write(members, left_out, self.signer.get()) {
            return Ok(());
        }
        metrics::counter!("offswitch_audit_lost_total").increment(1);
        Err(Unrecordable)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
