//! `GET /v1/audit`: the lines of the audit log, as they are in its files.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::extract::Params;
use crate::audit::{Writers, page};
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};

/// Which lines to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Only lines from this `seq` on: one more than that of the last line that was read.
    #[serde(default)]
    from: u64,
    /// The maximum number of lines, 1 to 10000; 1000 by default.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u64>,
    /// `serve` (the default) for what this process did, `command` for the commands that were run on its
    /// data folder.
    #[param(inline)]
    writer: Option<WriterName>,
}

/// Who wrote the lines.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WriterName {
    Command,
    Serve,
}

/// Reads the audit log of this process: one line of JSON for each change, in order, each with the hash of
/// the line before it. All lines from `from=0` on are what `offswitch audit verify` checks. A page without
/// lines is the end so far.
#[utoipa::path(
    get, path = "/v1/audit", tag = "operations", operation_id = "readAudit",
    summary = "Read the audit log", params(AuditQuery),
    responses((status = 200, description = "The lines", body = String,
               content_type = "application/x-ndjson"),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The files cannot be read", body = ProblemDocument))
)]
pub(super) async fn read(
    State(plane): State<Arc<Plane>>,
    Params(query): Params<AuditQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(1000);
    if !(1..=10_000).contains(&limit) {
        let detail = "limit: must be between 1 and 10000";
        return Err(Problem::bad_request("invalid_query", detail));
    }
    let Some((folder, own)) = plane.audit.place() else {
        let detail = "this process keeps no audit log (audit = \"off\")";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_audit", detail));
    };
    let name = match query.writer {
        Some(WriterName::Command) => Writers::Command.name().to_owned(),
        Some(WriterName::Serve) | None => own,
    };
    let limit = usize::try_from(limit).unwrap_or(1);
    let read = tokio::task::spawn_blocking(move || page(&folder, &name, query.from, limit)).await;
    let lines = read.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
    let lines = lines.map_err(|error| {
        tracing::error!(%error, "the audit log cannot be read");
        let detail = "the files of the audit log cannot be read";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", detail)
    })?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}
