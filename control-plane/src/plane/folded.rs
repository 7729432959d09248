//! What this process has folded of the log. Every owner reads it; only the log adds to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offswitch_core::fold::Fold;
use offswitch_core::session::Session;
use offswitch_snapshot::Position;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::keyring::DeadKeys;

/// The folded log, and how current it is.
///
/// **Lock order.** Locks of several owners are taken together in this order only:
///
/// 1. the pass over the ended sessions (`Sessions`), or the turn to change issuers (`Log`),
/// 2. the reading of the log (`Log`),
/// 3. the reading of the keyring (`SigningKeys`),
/// 4. this fold,
/// 5. the files of the memory (`Memory`).
///
/// Those of 1 to 3 are asynchronous and may be held while the store is asked. The fold is locked
/// for a look-up or a change, never across an `await`; under it, only the memory's files are locked.
/// The introspection locks its verifier before 4. Every other lock belongs to one owner, which asks
/// no other owner while it holds it.
pub(super) struct Folded {
    fold: Mutex<Fold>,
    head: watch::Sender<Position>,
    /// When the log was last read to its end, unix seconds: signed snapshots are as fresh as that.
    current_at: AtomicU64,
    /// Until when other processes count on this one, unix seconds: what is published is not dated later.
    counted_until: AtomicU64,
    /// When the last complete pass over the ended sessions began, unix seconds.
    carried_out_at: AtomicU64,
}

impl Folded {
    /// A log that was read to its end at `current_at`.
    pub(super) fn new(fold: Fold, current_at: u64) -> Self {
        Self {
            head: watch::Sender::new(fold.reached().position),
            fold: Mutex::new(fold),
            current_at: AtomicU64::new(current_at),
            counted_until: AtomicU64::new(u64::MAX),
            carried_out_at: AtomicU64::new(0),
        }
    }

    /// Locks the folded log; hold it only for one look-up.
    pub(super) fn lock(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position folded so far.
    pub(super) fn position(&self) -> Position {
        *self.head.borrow()
    }

    /// Changes of the position.
    pub(super) fn positions(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// Reports that the log is folded up to `position`.
    pub(super) fn note_position(&self, position: Position) {
        self.head.send_replace(position);
        metrics::gauge!("offswitch_log_seq").set(position.seq as f64);
    }

    /// Waits until there is something beyond `position`, for `longest` at most.
    pub(super) async fn wait_beyond(&self, position: Position, longest: Duration) {
        // It otherwise ends only when the channel is closed or the time is over: answer now.
        let _ = timeout(longest, self.positions().wait_for(|head| *head > position)).await;
    }

    /// Waits until the record at `position` is folded here, for `longest` at most.
    pub(super) async fn wait_for(&self, position: Position, longest: Duration) {
        let _ = timeout(longest, self.positions().wait_for(|head| *head >= position)).await;
    }

    /// The dead token keys.
    pub(super) fn dead_keys(&self) -> DeadKeys {
        DeadKeys::from(&*self.lock())
    }

    /// True if the log has ended the session.
    pub(super) fn is_over(&self, session: &Session) -> bool {
        let Session { id, sub, version, .. } = session;
        self.lock().is_session_over(&id.to_string(), sub, *version)
    }

    /// When the log was last read to its end, unix seconds; not later than others count on this process.
    pub(super) fn current_at(&self) -> u64 {
        let counted_until = self.counted_until.load(Ordering::Acquire);
        self.current_at.load(Ordering::Acquire).min(counted_until)
    }

    /// Notes that other processes count on this one until then, as the store has it, unix seconds.
    pub(super) fn note_counted_until(&self, until: u64) {
        self.counted_until.store(until, Ordering::Release);
    }

    /// Notes that the log was read to its end at `read_at`. If the store's clock `was_set_back`,
    /// snapshots must no longer carry a time in its future: verifiers would consider them fresh for
    /// too long.
    pub(super) fn note_current(&self, read_at: u64, was_set_back: bool) {
        if was_set_back {
            self.current_at.store(read_at, Ordering::Release);
        }
        self.current_at.fetch_max(read_at, Ordering::AcqRel);
    }

    /// Until when entries may count as past. No entry is removed before the stored sessions are
    /// known to record the same: otherwise a logout would be undone.
    pub(super) fn prunable_until(&self, now: u64) -> u64 {
        now.min(self.carried_out_at.load(Ordering::Acquire))
    }

    /// Notes that the stored sessions record everything that the log had ended at `began_at`.
    pub(super) fn note_carried_out(&self, began_at: u64) {
        self.carried_out_at.fetch_max(began_at, Ordering::AcqRel);
    }
}
