//! What becomes of a snapshot's bytes: they are opened, put into force, and kept as they came.

use std::sync::{Arc, Mutex, PoisonError};

use offswitch_verifier::snapshot::Snapshot;
use offswitch_verifier::{Applied, ApplyError};
use tokio::task::JoinError;

use super::snapshots::{Change, Shelf, SignedSnapshot};
use crate::engine::{Engine, Taken};
use crate::events::{Event, Events};
use crate::metrics::SNAPSHOTS;

/// The one way by which snapshots come into force.
pub(crate) struct Intake {
    pub(super) engine: Arc<Engine>,
    pub(super) shelf: Arc<Shelf>,
    events: Arc<Events>,
    /// One snapshot at a time, so that the shelf has them in the order in which they came into force.
    turn: Mutex<()>,
}

impl Intake {
    pub(crate) fn new(engine: Arc<Engine>, shelf: Arc<Shelf>, events: Arc<Events>) -> Self {
        Self { engine, shelf, events, turn: Mutex::default() }
    }

    /// Applies one snapshot; on an error the last good state stays in force. One that is large is checked on a
    /// thread that may block.
    pub(crate) async fn apply(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Taken, ApplyError> {
        if bytes.len() < LARGE_BYTES {
            return self.apply_here(bytes);
        }
        let intake = Arc::clone(self);
        let applying = tokio::task::spawn_blocking(move || intake.apply_here(bytes));
        match applying.await.map_err(JoinError::try_into_panic) {
            Ok(applied) => applied,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it what waits here.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    fn apply_here(&self, bytes: Vec<u8>) -> Result<Taken, ApplyError> {
        let size = bytes.len();
        let applied = self.engine.trust().open(bytes).and_then(|snapshot| self.put(snapshot));
        let result = match &applied {
            Ok(taken) => {
                self.events.report(Event::Snapshot { bytes: size, applied: taken.applied });
                taken.applied.code()
            }
            Err(error) => error.code(),
        };
        self.events.label().counter(SNAPSHOTS, &[("result", result)]).increment(1);
        applied
    }

    fn put(&self, snapshot: Snapshot) -> Result<Taken, ApplyError> {
        let signed = SignedSnapshot::of(&snapshot);
        let is_base = snapshot.is_base();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.engine.take(snapshot)?;
        let change = match taken.applied {
            Applied::Replaced => Change::Base,
            Applied::Refreshed if is_base => Change::Base,
            Applied::Refreshed => Change::Statement,
            Applied::Extended => Change::Delta,
            Applied::Ignored => return Ok(taken),
        };
        self.shelf.put(signed, change);
        Ok(taken)
    }
}

/// From this size on, hashing takes longer than other tasks of the thread should wait.
const LARGE_BYTES: usize = 128 * 1024;
