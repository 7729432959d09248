//! Health, readiness and metrics, at an address of their own: gateways and clients do not reach it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use offswitch_client::{Status, Verifier};
use offswitch_server::problem::Problem;
use serde::Serialize;
use tokio::sync::watch;

/// What the state of the process is read from.
#[derive(Clone)]
pub(crate) struct Observed {
    /// None while the first one starts.
    pub(crate) verifier: Arc<ArcSwapOption<Verifier>>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) max_staleness_seconds: u64,
}

/// Whether this process can judge.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Absent while the process starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    verifier: Option<Status>,
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
    /// Ready with the keys of every issuer and a fresh feed, and not while the process stops.
    fn of(observed: &Observed) -> Self {
        let verifier = observed.verifier.load().as_ref().map(|verifier| verifier.status());
        let is_fresh = |status: &Status| {
            status.is_ready
                && status.age_seconds.is_some_and(|age| age <= observed.max_staleness_seconds)
        };
        let ready = verifier.as_ref().is_some_and(is_fresh) && !*observed.stopping.borrow();
        Self { ready, verifier }
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
