//! The requests in progress over all connections: one HTTP/2 connection may carry hundreds.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// The permits for requests, and for refusals with an explanation.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

/// Held by a request until its response is finished.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl InFlight {
    pub(super) fn new(max_requests: usize) -> Self {
        metrics::gauge!("offswitch_requests_limit").set(max_requests as f64);
        let [places, refusals] =
            [max_requests, REFUSALS_AT_ONCE].map(|count| Arc::new(Semaphore::new(count)));
        Self { places, refusals }
    }

    /// Counts one more request. If there are too many, also returns the response. The body of that
    /// response waits in memory for its peer, too: if many are being refused, it is empty.
    pub(super) fn enter(&self) -> (Place, Option<Response>) {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return (Some(place), None);
        }
        metrics::counter!("offswitch_requests_refused_total", "reason" => CODE).increment(1);
        let place = self.refusals.clone().try_acquire_owned().ok();
        let detail = "too many requests are being answered at this process";
        let mut response =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, CODE, detail).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if place.is_none() {
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::empty();
        }
        (place, Some(response))
    }
}

const CODE: &str = "too_many_requests_in_flight";
const REFUSALS_AT_ONCE: usize = 64;
