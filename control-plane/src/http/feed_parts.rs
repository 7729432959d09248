//! `GET /v1/feed/head`, `/v1/feed/bases/{base}` and `/v1/feed/deltas/{delta}`: the feed as files that caches
//! keep. `HEAD.md` of the snapshot crate has the format.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use offswitch_server::feed::{is_known, not_ready};
use offswitch_snapshot::Part;

use super::extract::IdInPath;
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};

/// The head of the feed: its position, a signed heartbeat, and the base to start with. Readers follow
/// it through a cache.
#[utoipa::path(
    get, path = "/v1/feed/head", tag = "feed", operation_id = "readFeedHead",
    summary = "Read the head of the feed",
    responses((status = 200, description = "The head, see HEAD.md", body = String, content_type = "application/json"),
              (status = 304, description = "The head that the entity tag names"),
              (status = "4XX", description = "Refused", body = ProblemDocument), (status = 503, description = "There is no base yet", body = ProblemDocument))
)]
pub(super) async fn head(
    State(plane): State<Arc<Plane>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let text = plane.publisher.head().ok_or_else(not_ready)?;
    let tag = format!("\"{:.16}\"", blake3::hash(&text).to_hex());
    let tagged = [(header::ETAG, tag.clone())];
    let cached = [(header::CACHE_CONTROL, SHORT), (header::VARY, BY_KEY)];
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, cached, tagged).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok((cached, tagged, content_type, text).into_response())
}

/// A base that a head of this process names.
#[utoipa::path(
    get, path = "/v1/feed/bases/{base}", tag = "feed", operation_id = "readFeedBase",
    summary = "Read a base", params(("base" = String, Path, description = "The base's position and digest, joined by `-`")),
    responses((status = 200, description = "A signed base, see FORMAT.md", content_type = "application/octet-stream"),
              (status = "4XX", description = "Refused, or unknown here", body = ProblemDocument))
)]
pub(super) async fn base(
    State(plane): State<Arc<Plane>>,
    IdInPath(name): IdInPath,
) -> Result<Response, Problem> {
    let part = format!("bases/{name}").parse().map_err(|_| unknown())?;
    plane.publisher.part(part).map(immutable).ok_or_else(unknown)
}

/// The delta between two positions.
#[utoipa::path(
    get, path = "/v1/feed/deltas/{delta}", tag = "feed", operation_id = "readFeedDelta",
    summary = "Read a delta", params(("delta" = String, Path, description = "Where it begins and where it ends, joined by `_`")),
    responses((status = 200, description = "A signed delta, see FORMAT.md", content_type = "application/octet-stream"),
              (status = "4XX", description = "Refused, or unknown here", body = ProblemDocument))
)]
pub(super) async fn delta(
    State(plane): State<Arc<Plane>>,
    IdInPath(name): IdInPath,
) -> Result<Response, Problem> {
    let part: Part = format!("deltas/{name}").parse().map_err(|_| unknown())?;
    // The head may be of a process that is a moment ahead of this one.
    if part.end().era == plane.log.position().era {
        plane.log.wait_folded(part.end(), LONGEST_WAIT).await;
    }
    plane.publisher.part(part).map(immutable).ok_or_else(unknown)
}

fn immutable(bytes: Bytes) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/octet-stream")];
    let cached = [(header::CACHE_CONTROL, FOR_EVER), (header::VARY, BY_KEY)];
    (cached, content_type, bytes).into_response()
}

fn unknown() -> Problem {
    let detail = "this process has no such part: read the head again, or ask another process";
    Problem::new(StatusCode::NOT_FOUND, "unknown_part", detail)
}

/// How long an answer is good that says what is the newest.
pub(super) const SHORT: &str = "public, max-age=1, stale-if-error=60";
/// A cache that does not send an API key of its own keeps what each key has read apart: it gives nothing to
/// a client without one.
pub(super) const BY_KEY: &str = "authorization";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const LONGEST_WAIT: Duration = Duration::from_secs(1);
