//! Health, readiness and metrics, at an address of their own: gateways and clients do not reach it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use offswitch_server::problem::Problem;
use serde::Serialize;
use tokio::sync::watch;

use crate::followed::{FeedState, Followed};

/// What the state of the process is read from.
#[derive(Clone)]
pub(crate) struct Observed {
    /// None while the process starts.
    pub(crate) followed: Arc<ArcSwapOption<Followed>>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) metrics: PrometheusHandle,
}

/// Whether this process can judge.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// The state of each feed; absent while the process starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    feeds: Option<Vec<FeedState>>,
}

/// What operators reach.
pub(crate) fn router(observed: Observed) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || {
            let detail = "there are /healthz, /readyz and /metrics";
            Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
        })
        .with_state(observed)
}

impl Readiness {
    /// Ready with the keys of every issuer, something of every feed, and one that is fresh; and not while the process
    /// stops. A feed that is away later must not take the others' tokens with it.
    fn of(observed: &Observed) -> Self {
        let feeds = observed.followed.load().as_ref().map(|followed| followed.states());
        let is_ready = |feeds: &Vec<FeedState>| {
            feeds.iter().all(|feed| feed.status.is_ready) && feeds.iter().any(|feed| feed.is_fresh)
        };
        let ready = feeds.as_ref().is_some_and(is_ready) && !*observed.stopping.borrow();
        Self { ready, feeds }
    }
}

async fn readyz(State(observed): State<Observed>) -> Response {
    let readiness = Readiness::of(&observed);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics(State(observed): State<Observed>) -> Response {
    // It changes without an event, so it is set when it is read.
    let ready = Readiness::of(&observed).ready;
    metrics::gauge!("offswitch_ready").set(f64::from(u8::from(ready)));
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, observed.metrics.render()).into_response()
}
