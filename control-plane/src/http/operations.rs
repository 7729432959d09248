//! Health, readiness and metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use metrics_exporter_prometheus::PrometheusHandle;
use offswitch_snapshot::Position;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::receivers::ReceiverState;
use super::relying_parties::RelyingPartyListed;
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};
use crate::store::{Durability, Finding};

/// Whether this process can serve, and what an operator should know.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// The position folded so far.
    #[schema(value_type = String)]
    position: Position,
    /// True if the last attempt to read the store succeeded.
    store_reachable: bool,
    /// What the checks of the store and of the base found.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<Finding>,
}

/// The process is running.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "readHealth",
    summary = "Check that the process runs",
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain"))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can serve: it follows the log and has a base.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readReadiness",
    summary = "Check that the process can serve",
    responses((status = 200, description = "It can", body = Readiness),
              (status = 503, description = "It cannot", body = Readiness))
)]
pub(super) async fn readyz(State(plane): State<Arc<Plane>>) -> (StatusCode, Json<Readiness>) {
    let health = plane.log.health();
    let ready = can_serve(&plane);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Readiness {
        ready,
        position: plane.log.position(),
        store_reachable: health.store_error.is_none(),
        findings: health.findings,
    };
    (status, Json(body))
}

/// A process that is being stopped still answers, but new requests should go elsewhere.
fn can_serve(plane: &Plane) -> bool {
    plane.is_ready() && !plane.publisher.is_stopping()
}

/// The process, its store and the API key in the request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The API key in the request.
    key: KeyStatus,
    /// The version of the control plane.
    version: &'static str,
    /// Which failures a revocation that is acknowledged now survives: `memory`, `written`,
    /// `synced` or `replicated`; absent while that is not known.
    #[schema(value_type = Option<String>)]
    durability: Option<Durability>,
    /// How many replicas of the store it waits for; only with `replicated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u32>,
    /// The issuer whose tokens it signs, and the id of its feed.
    issuer: String,
    /// The registered issuers, whose tokens can be revoked too.
    issuers: Vec<IssuerStatus>,
    /// The relying parties that are notified of ended sessions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relying_parties: Vec<RelyingPartyListed>,
    /// The last line of this process's audit log; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<AuditEnd>,
}

/// The last line of an audit log. Kept elsewhere, it shows later that nothing before it was changed, and
/// that nothing was cut off: `offswitch audit verify --contains SEQ:HASH`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditEnd {
    chain: String,
    seq: u64,
    hash: String,
}

/// A registered issuer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuerStatus {
    name: String,
    /// The exact `iss` of its tokens.
    issuer: String,
    /// Its receivers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receivers: Vec<ReceiverState>,
}

/// What an API key may do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyStatus {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    /// When it expires, unix seconds; absent if it never expires.
    expires_at: Option<u64>,
}

/// What the API key in the request may do, and the state of this process.
#[utoipa::path(
    get, path = "/v1/status", tag = "operations", operation_id = "readStatus",
    summary = "Read what the API key may do",
    responses((status = 200, description = "The status", body = Status),
              (status = 401, description = "Refused", body = ProblemDocument))
)]
pub(super) async fn status(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Status>, Problem> {
    // It may have been deleted since the request was authenticated.
    let Some(key) = plane.api_keys.named(&caller.id) else {
        let detail = "no such API key";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "unknown_api_key", detail));
    };
    Ok(Json(Status {
        key: KeyStatus {
            id: key.id,
            name: key.name,
            scopes: key.scopes.iter().map(|scope| scope.name()).collect(),
            expires_at: key.expires_at,
        },
        version: env!("CARGO_PKG_VERSION"),
        durability: plane.log.durability(),
        replicas: plane.log.durability().and_then(Durability::replicas),
        issuer: plane.issuer().to_owned(),
        issuers: plane
            .log
            .issuers()
            .registered()
            .map(|(name, one)| IssuerStatus {
                name: name.to_owned(),
                issuer: one.issuer.clone(),
                receivers: ReceiverState::all(&plane, name, &one.receivers),
            })
            .collect(),
        relying_parties: RelyingPartyListed::all(&plane),
        audit: plane.audit.end().map(|end| AuditEnd {
            chain: end.chain,
            seq: end.seq.saturating_sub(1),
            hash: end.hash.to_string(),
        }),
    }))
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "readMetrics",
    summary = "Read the metrics",
    responses((status = 200, description = "Text", body = String, content_type = "text/plain"), (status = "4XX", description = "Refused", body = ProblemDocument))
)]
pub(super) async fn metrics(
    State(plane): State<Arc<Plane>>,
    Extension(handle): Extension<PrometheusHandle>,
) -> Response {
    // These change without an event, so they are set when they are read.
    metrics::gauge!("offswitch_ready").set(f64::from(u8::from(can_serve(&plane))));
    metrics::gauge!("offswitch_log_age_seconds").set(plane.log.age_seconds() as f64);
    let head = plane.log.position();
    let levels = plane.publisher.roster().levels(head, std::time::Instant::now());
    metrics::gauge!("offswitch_followers_live").set(levels.live as f64);
    metrics::gauge!("offswitch_followers_behind").set(levels.behind as f64);
    let oldest = if levels.live == 0 { head.seq } else { levels.lowest.map_or(0, |one| one.seq) };
    metrics::gauge!("offswitch_followers_oldest_seq").set(oldest as f64);
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, handle.render()).into_response()
}
