//! The shutdown signal, as seen by every connection and every HTTP/2 stream.

use std::time::Duration;

use tokio::sync::watch;

/// Becomes true once, and stays true.
#[derive(Debug, Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self(stopping)
    }

    /// True once the process has been asked to stop.
    pub(super) fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the process is asked to stop, or when nothing is left that could ask.
    pub(super) async fn begins(&mut self) {
        let _ = self.0.wait_for(|is_stopping| *is_stopping).await;
    }
}

/// How long a peer that the process is waiting for may do nothing once the process has been asked
/// to stop: read nothing of a response, send nothing of a body, or nothing at all.
pub(super) const LAST_PATIENCE: Duration = Duration::from_millis(700);
