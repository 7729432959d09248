//! What happens to a verifier, for logs and metrics.

use std::sync::{Mutex, PoisonError};

use offswitch_verifier::Applied;
use tokio::sync::broadcast;

use crate::metrics::{FAILURES, FeedLabel};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something failed; the last good state stays in force.
    Failure {
        /// The stable code string, such as `feed_unreachable`.
        code: &'static str,
        /// The same for people.
        detail: String,
        /// The address of the feed where it happened.
        url: Option<String>,
    },
    /// The key set of an issuer was fetched.
    Keys {
        /// The exact `iss`.
        issuer: String,
    },
    /// A snapshot arrived.
    Snapshot {
        /// Its size.
        bytes: usize,
        /// What came of it.
        applied: Applied,
    },
}

/// Hands events to those who listen, and writes each kind of failure to the log once.
pub(crate) struct Events {
    label: FeedLabel,
    listeners: broadcast::Sender<Event>,
    logged: Mutex<Vec<&'static str>>,
}

impl Events {
    pub(crate) fn new(label: FeedLabel) -> Self {
        Self { label, listeners: broadcast::Sender::new(MOST_WAITING), logged: Mutex::default() }
    }

    /// What the metrics about them are labelled with.
    pub(crate) fn label(&self) -> &FeedLabel {
        &self.label
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.listeners.subscribe()
    }

    pub(crate) fn failed(&self, code: &'static str, detail: &str, url: Option<&str>) {
        self.label.counter(FAILURES, &[("code", code)]).increment(1);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let url = url.map(str::to_owned);
        if logged.contains(&code) {
            tracing::debug!(code, detail, url, "the verifier has met a failure");
        } else {
            tracing::warn!(
                code,
                detail,
                url,
                "the verifier has met a failure; shown once as a warning"
            );
            logged.push(code);
        }
        drop(logged);
        self.report(Event::Failure { code, detail: detail.to_owned(), url });
    }

    pub(crate) fn report(&self, event: Event) {
        // Nothing has to listen.
        drop(self.listeners.send(event));
    }
}

/// A listener that is slower misses the oldest.
const MOST_WAITING: usize = 256;
