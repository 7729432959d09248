//! The requests to the collector, by the one HTTP client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use http_body_util::Full;
use offswitch_client::http::{Client, Limits};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// The collector. Answers are bounded in bytes and time, and no redirect is followed: headers may have a secret.
pub(super) struct Collector {
    client: Arc<Client>,
    runtime: Handle,
    timeout: Duration,
}

impl Collector {
    /// Must be called in a runtime, which then does the requests: the library sends from a thread without one.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { client: Arc::new(Client::new()), runtime: Handle::current(), timeout }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Collector").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, limits) =
            (self.client.clone(), Limits { bytes: MAX_BYTES, time: self.timeout });
        let sending = async move { client.answer(request.map(Full::new), limits).await };
        let answer = self.runtime.spawn(sending).await?.inspect_err(|error| {
            // The library keeps the reason to itself.
            tracing::debug!(error, "the collector was not reached");
        })?;
        let mut response = Response::new(answer.body);
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
        Ok(response)
    }
}

/// An answer says at most which spans were refused, and why.
const MAX_BYTES: usize = 64 * 1024;
