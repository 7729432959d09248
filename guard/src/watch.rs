//! Tokens of connections that stay open, such as WebSockets: a gateway asks once, when the connection
//! is opened. When the token is refused later, the guard calls a URL, and what answers there closes
//! the connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::Full;
use offswitch_client::http::Client;
use offswitch_client::{
    Decision, Presentation, Problem, Staleness, Verifier, Watch, Watched as News,
};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::answer::unavailable;
use crate::config::WatchSettings;
use crate::judge::Watched;

/// All open connections whose tokens are watched.
#[derive(Clone)]
pub(crate) struct Watches {
    places: Arc<Semaphore>,
    callback: Arc<Callback>,
}

/// Where is reported what has become of a token.
struct Callback {
    url: String,
    client: Client,
    /// Held by each call that is under way.
    places: Semaphore,
}

/// The body of a call.
#[derive(Debug, Serialize)]
struct Ended<'a> {
    /// The id that the gateway gave the request.
    id: &'a str,
    /// `refused` or `undecided`.
    outcome: &'static str,
    /// The verdict's code.
    code: &'static str,
}

impl Watches {
    pub(crate) fn new(settings: &WatchSettings) -> Self {
        let callback = Callback {
            url: settings.callback.clone(),
            client: Client::new(),
            places: Semaphore::new(CALLS_AT_ONCE),
        };
        metrics::gauge!("offswitch_guard_watched_limit").set(settings.max_watched as f64);
        let places = Arc::new(Semaphore::new(settings.max_watched));
        Self { places, callback: Arc::new(callback) }
    }

    /// Watches a token for as long as its route says, or until it is not good any more, by the verifier that has its
    /// issuer: no other verifier is kept.
    pub(crate) fn keep(&self, watched: Watched, verifier: &Verifier) -> Result<(), Box<Problem>> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let detail = "this guard watches max_watched connections already";
            return Err(unavailable("too_many_watched", detail));
        };
        let (callback, verifier) = (self.callback.clone(), verifier.clone());
        tokio::spawn(async move {
            let _place = (place, Counted::new());
            let Watched { token, id, longest } = watched;
            let mut watch = verifier.watch(&token);
            if let Ok((outcome, code)) = timeout(longest, end(&mut watch, &verifier, &token)).await
            {
                callback.report(&Ended { id: &id, outcome, code }).await;
            }
        });
        Ok(())
    }
}

/// Waits until the token is refused, or was undecided for a while.
async fn end(watch: &mut Watch, verifier: &Verifier, token: &str) -> (&'static str, &'static str) {
    let mut news = watch.changed().await;
    loop {
        match news {
            News::Refused(refusal) => return ("refused", refusal.code()),
            News::Undecided(undecided) => {
                if let Ok(newer) = timeout(UNDECIDED_GRACE, watch.changed()).await {
                    news = newer;
                    continue;
                }
                let now = verifier.check(token, Presentation::NotShown, Staleness::Configured);
                if let Decision::Undecided(_) = now.decision {
                    return ("undecided", undecided.code());
                }
                news = watch.changed().await;
            }
        }
    }
}

impl Callback {
    /// Calls the URL until it answers, a few times.
    async fn report(&self, ended: &Ended<'_>) {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        for pause in PAUSES {
            if self.call(ended).await {
                return count("reported");
            }
            sleep(pause).await;
        }
        count("failed");
        tracing::warn!(code = ended.code, "the callback did not accept that a token has ended");
    }

    async fn call(&self, ended: &Ended<'_>) -> bool {
        // What consists of texts can be written.
        let body = serde_json::to_vec(ended).unwrap_or_default();
        let request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else { return false };
        let status = self.client.status(request, CALL_TIMEOUT).await;
        status.is_ok_and(|status: StatusCode| status.is_success())
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("offswitch_guard_callbacks_total", "outcome" => outcome).increment(1);
}

/// Counts one watched connection until it is dropped.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("offswitch_guard_watched").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("offswitch_guard_watched").decrement(1.0);
    }
}

/// How long a connection goes on undecided. A stale feed was accepted for the configured time already;
/// this spares the reconnects of a feed that is late by a moment.
const UNDECIDED_GRACE: Duration = Duration::from_secs(5);
const CALLS_AT_ONCE: usize = 64;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// After each call that fails.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(0),
];
