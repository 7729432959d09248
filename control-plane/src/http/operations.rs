//! Health, readiness and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use offswitch_verifier::snapshot::Position;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::ProblemDocument;
use crate::plane::Plane;
use crate::store::Finding;

/// Whether this process can serve, and what an operator should know.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// The position folded so far.
    #[schema(value_type = String)]
    position: Position,
    /// True if the last attempt to read the store succeeded.
    store_reachable: bool,
    /// What the store's own check found.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<Finding>,
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can serve: the log is followed and a base is there.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(super) async fn readyz(State(plane): State<Arc<Plane>>) -> (StatusCode, Json<Readiness>) {
    let health = plane.health();
    let ready = plane.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Readiness {
        ready,
        position: plane.position(),
        store_reachable: health.store_error.is_none(),
        findings: health.findings,
    };
    (status, Json(body))
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", security(("api_key" = ["metrics:read"])),
    responses((status = 200, content_type = "text/plain"), (status = "4XX", body = ProblemDocument))
)]
pub(super) async fn metrics(handle: PrometheusHandle) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, handle.render()).into_response()
}
