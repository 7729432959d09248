//! The streams of an HTTP/2 connection, each by itself: its peer may accept bytes of some and none
//! of others (RFC 9113 section 5.2), and a proxy's connection carries many clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

/// Runs what answers a stream, and ends the stream once its peer has accepted nothing for too long.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) write_timeout: Duration,
}

/// How far a stream's answer has come.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<Option<Instant>>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, answering: F) {
        let (progress, write_timeout) = (Arc::new(Progress::default()), self.write_timeout);
        let watched = progress.clone();
        tokio::spawn(PROGRESS.scope(progress, async move {
            tokio::select! {
                () = answering => {}
                // Dropping what answers it resets the stream.
                () = watched.stalled(write_timeout) => {
                    metrics::counter!("offswitch_streams_reset_total", "reason" => "write_timeout")
                        .increment(1);
                }
            }
        }));
    }
}

impl Progress {
    /// Of the stream that the present task answers; none over HTTP/1.
    pub(super) fn of_this_task() -> Option<Arc<Self>> {
        PROGRESS.try_with(Clone::clone).ok()
    }

    /// More is asked for: what was handed out before is on its way.
    pub(super) fn resume(&self) {
        *self.handed_out_at() = None;
    }

    /// Something was handed out, which may have to wait for the peer.
    pub(super) fn hand_out(&self) {
        *self.handed_out_at() = Some(Instant::now());
    }

    /// Ends once something has waited for the peer for so long.
    async fn stalled(&self, longest: Duration) {
        loop {
            let handed_out_at = *self.handed_out_at();
            let now = Instant::now();
            let end = handed_out_at.unwrap_or(now) + longest;
            if end <= now {
                return;
            }
            sleep_until(end).await;
        }
    }

    fn handed_out_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

tokio::task_local! {
    static PROGRESS: Arc<Progress>;
}
