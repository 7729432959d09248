//! `GET /v1/feed` and `GET /v1/feed/stream`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use offswitch_server::feed::{self, FeedEvent, FeedQuery, StreamQuery, not_ready};
use offswitch_server::roster::{ASK_HEADER, Introduction, Member, asking};
use offswitch_snapshot::Position;

use super::access::Caller;
use super::extract::Params;
use super::feed_parts::{BY_KEY, SHORT};
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};

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
    Extension(caller): Extension<Caller>,
    Params(query): Params<FeedQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (since, wait) = query.read()?;
    let introduction = Introduction::read(&headers)?;
    if let Some(since) = since {
        keep_pace(&plane, since).await;
    }
    let member = meet(&plane, &caller, introduction, since);
    if let Some(since) = since
        && !wait.is_zero()
        && plane.log.position() == since
    {
        let _waiting = plane.publisher.followers().enter("long_poll")?;
        let _present = member.enter();
        tokio::select! {
            () = plane.publisher.wait_beyond(since, wait) => {}
            // Answered as after a time-out: with a proof that the feed is fresh now.
            () = plane.publisher.stopping() => {}
        }
    }
    let snapshot = plane.publisher.snapshot(since).ok_or_else(not_ready)?;
    let now = Instant::now();
    member.sent(snapshot.position, now);
    let mut answer = snapshot.answer(&headers);
    // An answer that was waited for was right for one client at one moment, and a question is for one relay.
    if let Some(ask) = member.ask_relay(snapshot.position, now)
        && let Ok(ask) = ask.parse()
    {
        answer.headers_mut().insert(ASK_HEADER, ask);
    } else if wait.is_zero() {
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(SHORT));
        headers.insert(header::VARY, HeaderValue::from_static(BY_KEY));
    }
    Ok(answer)
}

/// The feed as server-sent events: `snapshot` events whose id is the position and whose data is the
/// snapshot in base64, with a heartbeat every few seconds. The first event is a `stream` event,
/// which gives the number of seconds. While a request waits for a revocation to be applied, a `position` event asks
/// for the position that is held; its data is for `POST /v1/feed/position`. A snapshot that is too large for an event is replaced by a
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
    Extension(caller): Extension<Caller>,
    Params(query): Params<StreamQuery>,
    version: Version,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let since = query.read(&headers)?;
    let introduction = Introduction::read(&headers)?;
    if let Some(since) = since {
        keep_pace(&plane, since).await;
    }
    plane.publisher.snapshot(since).ok_or_else(not_ready)?;
    let follower = plane.publisher.followers().enter("stream")?;
    let following = plane.publisher.following(since);
    let heartbeat = FeedEvent::Heartbeat(following.heartbeat());
    let snapshots = stream::unfold((following, follower), async |(mut following, follower)| {
        let snapshot = following.next().await?;
        Some((FeedEvent::Snapshot(snapshot), (following, follower)))
    });
    let present = meet(&plane, &caller, introduction, since).enter();
    let events = asking(stream::iter([heartbeat]).chain(snapshots), present, since);
    Ok(feed::stream(version, events))
}

/// The follower that sends the request, and what it says it holds: a position beyond the log does not count.
fn meet(
    plane: &Plane,
    caller: &Caller,
    introduction: Option<Introduction>,
    since: Option<Position>,
) -> Member {
    let now = Instant::now();
    let member = plane.publisher.roster().meet(&caller.id, introduction, now);
    member.says(since.filter(|since| *since <= plane.log.position()), now);
    member
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
