//! The snapshots that are in force, byte for byte as they were signed: for a relay, and to be kept on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use offswitch_verifier::snapshot::{Position, Snapshot};
use tokio::sync::watch;

/// A signed snapshot, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSnapshot {
    /// Its bytes.
    pub bytes: Bytes,
    /// Where it begins; seq 0 for a base.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// When it was signed, unix seconds.
    pub issued_at: u64,
    /// Until when it claims to be fresh, unix seconds.
    pub valid_until: u64,
}

/// The snapshots that are in force: a base, the deltas that follow each other, and the newest statement about
/// their end.
#[derive(Debug, Clone, Default)]
pub struct Snapshots {
    /// The base.
    pub base: Option<SignedSnapshot>,
    /// The newest deltas, each beginning where the one before ends. The oldest may begin before the end of the
    /// base, or after it where too many bytes came since.
    pub deltas: VecDeque<SignedSnapshot>,
    /// The newest statement about the end of all that is held: a heartbeat, a delta or a base.
    pub newest: Option<SignedSnapshot>,
    delta_bytes: usize,
}

/// Where they are put, and from where others take them.
pub(crate) struct Shelf {
    held: Mutex<Arc<Snapshots>>,
    changed: watch::Sender<u64>,
}

impl SignedSnapshot {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            bytes: Bytes::from_owner(Shared(snapshot.shared_bytes())),
            from: snapshot.from(),
            to: snapshot.to(),
            issued_at: snapshot.issued_at(),
            valid_until: snapshot.valid_until(),
        }
    }

    /// True for one that holds everything from the beginning.
    pub fn is_base(&self) -> bool {
        self.from.seq == 0
    }
}

/// Bytes that are shared with the verifier.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Snapshots {
    /// Where what is held ends.
    pub fn end(&self) -> Option<Position> {
        self.newest.as_ref().map(|newest| newest.to)
    }

    /// What leads on from this position: the delta that begins there, or the newest statement for a follower that
    /// has everything. None if only the base can help.
    pub fn after(&self, position: Position) -> Option<&SignedSnapshot> {
        if self.end() == Some(position) {
            return self.newest.as_ref().filter(|newest| !newest.is_base());
        }
        self.deltas.iter().find(|delta| delta.from == position)
    }

    fn put(&mut self, signed: SignedSnapshot, what: Change) {
        match what {
            Change::Base => {
                self.base = Some(signed.clone());
                if self.end().is_none_or(|end| end <= signed.to) {
                    self.newest = Some(signed);
                }
            }
            Change::Delta => {
                self.delta_bytes += signed.bytes.len();
                self.deltas.push_back(signed.clone());
                while self.delta_bytes > MOST_DELTA_BYTES {
                    let Some(oldest) = self.deltas.pop_front() else { break };
                    self.delta_bytes -= oldest.bytes.len();
                }
                self.newest = Some(signed);
            }
            Change::Statement => self.newest = Some(signed),
        }
    }
}

/// What a snapshot is to those that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It takes the place of the base.
    Base,
    /// It goes on top.
    Delta,
    /// It says that nothing was added.
    Statement,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { held: Mutex::default(), changed: watch::Sender::new(0) }
    }

    pub(crate) fn put(&self, signed: SignedSnapshot, what: Change) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut held).put(signed, what);
        drop(held);
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn held(&self) -> Arc<Snapshots> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes with each snapshot that is put here.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Without older ones a follower that is far behind needs the base.
const MOST_DELTA_BYTES: usize = 8 * 1024 * 1024;
