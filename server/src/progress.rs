//! The progress of a response: the piece that its peer has to take now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::{Instant, sleep_until};

use super::stopping::{LAST_PATIENCE, Stopping};

/// The progress of a stream over HTTP/2, or of a connection over HTTP/1.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The deadline for taking the piece that was handed out, if there is one.
    due: Option<Instant>,
    waiting: Option<Waker>,
}

/// A piece that counts as taken once its bytes are dropped.
pub(super) struct Piece {
    bytes: Bytes,
    progress: Arc<Progress>,
}

impl Progress {
    /// The progress of the stream that the current task answers; none over HTTP/1.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        OF_STREAM.try_with(Clone::clone).ok()
    }

    /// Runs the task that answers a stream until it completes or its peer is too late. True if it
    /// completed; dropping it ends the stream.
    pub(super) async fn watch(
        answering: impl Future<Output = ()>,
        look_every: Duration,
        stopping: Stopping,
    ) -> bool {
        let progress = Arc::new(Self::default());
        OF_STREAM
            .scope(progress.clone(), async {
                tokio::select! {
                    () = answering => true,
                    () = progress.late(look_every, stopping) => false,
                }
            })
            .await
    }

    pub(super) fn hand_out(&self, due: Instant) {
        self.state().due = Some(due);
    }

    /// Limits the deadline of the pending piece to `end`.
    pub(super) fn hasten(&self, end: Instant) {
        let mut state = self.state();
        state.due = state.due.map(|due| due.min(end));
    }

    pub(super) fn taken(&self) {
        let mut state = self.state();
        state.due = None;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Pending while a piece has not been taken.
    pub(super) fn poll_taken(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.due.is_none() {
            return Poll::Ready(());
        }
        state.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.state().due
    }

    /// Returns once a piece was not taken in time.
    async fn late(&self, mut look_every: Duration, mut stopping: Stopping) {
        let mut is_stopping = false;
        loop {
            let now = Instant::now();
            let look = now + look_every;
            let next = self.due().map_or(look, |due| due.min(look));
            if next <= now {
                return;
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = stopping.begins(), if !is_stopping => {
                    is_stopping = true;
                    look_every = LAST_PATIENCE;
                    self.hasten(Instant::now() + LAST_PATIENCE);
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piece {
    pub(super) fn new(bytes: Bytes, progress: Arc<Progress>) -> Self {
        Self { bytes, progress }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.progress.taken();
    }
}

tokio::task_local! {
    static OF_STREAM: Arc<Progress>;
}
