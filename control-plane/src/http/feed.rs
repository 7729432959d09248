//! `GET /v1/feed` and `GET /v1/feed/stream`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use offswitch_snapshot::Position;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::extract::Params;
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};

/// The position of a follower.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FeedQuery {
    /// The follower's position, `era.seq`; without it the answer is a base.
    since: Option<String>,
    /// How long to wait for news, in seconds, at most 60; 0 by default.
    #[param(maximum = 60)]
    wait: Option<u64>,
}

/// The start of a stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// The follower's position; a `Last-Event-ID` header takes precedence.
    since: Option<String>,
}

/// One snapshot that continues from `since`: a delta, a heartbeat if there is nothing new, or the
/// base if `since` is absent or unknown. With `If-None-Match` the same snapshot is not sent twice.
#[utoipa::path(
    get, path = "/v1/feed", tag = "feed", operation_id = "readFeed",
    summary = "Read one snapshot", params(FeedQuery),
    responses((status = 200, description = "A signed snapshot, see FORMAT.md",
               content_type = "application/octet-stream"),
              (status = 304, description = "The snapshot that the entity tag names"),
              (status = "4XX", description = "Refused", body = ProblemDocument), (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn poll(
    State(plane): State<Arc<Plane>>,
    Params(query): Params<FeedQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let since = query.since.as_deref().map(position).transpose()?;
    let wait = query.wait.unwrap_or(0);
    if wait > MAX_WAIT_SECONDS {
        return Err(Problem::bad_request("invalid_query", "wait: must be at most 60"));
    }
    if let Some(since) = since {
        keep_pace(&plane, since).await;
        if wait > 0 && plane.log.position() == since {
            let _waiting = Follower::new("long_poll", &plane)?;
            tokio::select! {
                () = plane.publisher.wait_beyond(since, Duration::from_secs(wait)) => {}
                // Answered as after a time-out: with a proof that the feed is fresh now.
                () = plane.publisher.stopping() => {}
            }
        }
    }
    let snapshot = plane.publisher.snapshot(since).ok_or_else(not_ready)?;
    // At one address, the position and the time of its signature identify the content.
    let tag = format!("\"{}-{}\"", snapshot.position, snapshot.issued_at);
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| names(tags, &tag));
    let described =
        [(header::ETAG.as_str(), tag), ("offswitch-position", snapshot.position.to_string())];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, described).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((described, content_type, snapshot.bytes.clone()).into_response())
}

/// True if `tag` is one of those in an `If-None-Match` field (RFC 9110 section 13.1.2).
fn names(tags: &HeaderValue, tag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default().split(',');
    tags.map(str::trim).any(|one| one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// The feed as server-sent events: `snapshot` events whose id is the position and whose data is the
/// snapshot in base64, with a heartbeat every few seconds. The first event is a `stream` event,
/// which gives the number of seconds. A snapshot that is too large for an event is replaced by a
/// `fetch` event, which ends the stream: request the snapshot from `/v1/feed`, then follow the
/// stream again from there.
#[utoipa::path(
    get, path = "/v1/feed/stream", tag = "feed", operation_id = "followFeed",
    summary = "Follow the feed", params(StreamQuery),
    responses((status = 200, description = "Snapshots as they are published", body = String,
               content_type = "text/event-stream"),
              (status = "4XX", description = "Refused", body = ProblemDocument), (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn follow(
    State(plane): State<Arc<Plane>>,
    Params(query): Params<StreamQuery>,
    version: Version,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = match headers.get(LAST_EVENT_ID) {
        Some(value) => Some(value.to_str().map_err(|_| wrong_position())?.to_owned()),
        None => query.since,
    };
    let since = last.as_deref().map(position).transpose()?;
    if let Some(since) = since {
        keep_pace(&plane, since).await;
    }
    plane.publisher.snapshot(since).ok_or_else(not_ready)?;
    let begin = (plane.publisher.following(since), Follower::new("stream", &plane)?);
    let beat = begin.0.heartbeat().as_secs();
    let first = format!("event: stream\ndata: {{\"heartbeat_seconds\":{beat}}}\n\n");
    let events = stream::unfold(Some(begin), async |open| {
        let (mut following, follower) = open?;
        let Some(snapshot) = following.next().await else {
            return Some((Ok::<_, Infallible>(Bytes::from_static(LAST_EVENT)), None));
        };
        let open = snapshot.fits_event().then_some((following, follower));
        Some((Ok(snapshot.event()), open))
    });
    let events = stream::iter([Ok(first.into())]).chain(events);
    let mut response = (STREAM_HEADERS, Body::from_stream(events)).into_response();
    if version < Version::HTTP_2 {
        // Most streams end because the process stops. A client that reused the connection would
        // lose its next request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Counts one waiting follower until it is dropped.
struct Follower {
    kind: &'static str,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn new(kind: &'static str, plane: &Plane) -> Result<Self, Problem> {
        let place = plane.publisher.follower_place().ok_or_else(|| {
            let detail = "this process already has max_followers followers";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_followers", detail)
        })?;
        metrics::gauge!("offswitch_followers", "kind" => kind).increment(1.0);
        Ok(Self { kind, _place: place })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        metrics::gauge!("offswitch_followers", "kind" => self.kind).decrement(1.0);
    }
}

/// Waits for this process to catch up: a follower that comes from a faster process may be ahead of
/// this one for a moment.
async fn keep_pace(plane: &Plane, since: Position) {
    if since > plane.log.position() && since.era == plane.log.position().era {
        plane.log.wait_folded(since, Duration::from_secs(1)).await;
    }
    if since > plane.log.position()
        && plane.log.catch_up().await.is_ok()
        && since > plane.log.position()
    {
        plane.log.note_ahead(since);
    }
}

fn position(text: &str) -> Result<Position, Problem> {
    text.parse().map_err(|_| wrong_position())
}

fn wrong_position() -> Problem {
    Problem::bad_request("invalid_query", "since: must be a position, era.seq")
}

fn not_ready() -> Problem {
    let detail = "there is no base yet";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}

/// Gives the reconnection time; a reader that does not support `retry` ignores it.
const LAST_EVENT: &[u8] = b": the process stops; follow again\nretry: 1000\n\n";
const MAX_WAIT_SECONDS: u64 = 60;
/// The header with which a follower resumes a stream (the standard of server-sent events).
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies must forward every event immediately: nginx buffers unless a header forbids it, and
/// compression waits for more data.
const STREAM_HEADERS: [(&str, &str); 3] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store, no-transform"),
    ("x-accel-buffering", "no"),
];
