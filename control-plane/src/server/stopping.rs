//! The process is asked to stop: what every connection and every HTTP/2 stream learns of it.

use std::time::Duration;

use tokio::sync::watch;

/// Becomes true once, and stays so.
#[derive(Debug, Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self(stopping)
    }

    /// True from then on.
    pub(super) fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when the process is asked to stop, or when nothing is left that could ask.
    pub(super) async fn begins(&mut self) {
        let _ = self.0.wait_for(|is_stopping| *is_stopping).await;
    }
}

/// How long a peer may do nothing that it was waited for, once the process is asked to stop: take
/// nothing of an answer, send nothing of a body, or nothing at all.
pub(super) const LAST_PATIENCE: Duration = Duration::from_millis(700);
