//! The streams of an HTTP/2 connection are watched separately: a peer may accept bytes of some and
//! none of others (RFC 9113 section 5.2), and a proxy's connection carries many clients.

use std::time::Duration;

use hyper::rt::Executor;

use super::progress::Progress;
use super::stopping::Stopping;

/// Runs the tasks that answer streams, and ends a stream whose peer takes too long.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) write_timeout: Duration,
    pub(super) stopping: Stopping,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, answering: F) {
        let watched = Progress::watch(answering, self.write_timeout, self.stopping.clone());
        tokio::spawn(async move {
            // Dropping the task that answers the stream resets it.
            if !watched.await {
                metrics::counter!("offswitch_streams_reset_total", "reason" => "write_timeout")
                    .increment(1);
            }
        });
    }
}
