//! How a feed is served, by its control plane and by relays: one snapshot for a poll or a long poll,
//! and server-sent events for a stream.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64, Encoding};
use futures_util::stream::{self, Stream, StreamExt as _};
use offswitch_snapshot::Position;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::IntoParams;

use crate::problem::Problem;

/// One signed snapshot, ready to be sent.
#[derive(Debug)]
pub struct Published {
    /// The position after it.
    pub position: Position,
    /// When it was signed, unix seconds.
    pub issued_at: u64,
    /// Its bytes.
    pub bytes: Bytes,
    event: OnceLock<Bytes>,
}

/// What a poll asks for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// The follower's position, `era.seq`; without it the answer is a base.
    since: Option<String>,
    /// How long to wait for news, in seconds, at most 60; 0 by default.
    #[param(maximum = 60)]
    wait: Option<u64>,
}

/// What a stream starts with.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// The follower's position; a `Last-Event-ID` header takes precedence.
    since: Option<String>,
}

/// One event of a stream, as a follower gets it.
#[derive(Debug, Clone)]
pub enum FeedEvent {
    /// A question for the position that the follower holds, with its token.
    Ask(String),
    /// The time from one heartbeat to the next, from now on.
    Heartbeat(Duration),
    /// A snapshot.
    Snapshot(Arc<Published>),
}

/// The places for followers that wait for news.
#[derive(Debug, Clone)]
pub struct FollowerPlaces(Arc<Semaphore>);

/// One waiting follower, counted until it is dropped.
#[derive(Debug)]
pub struct Follower {
    kind: &'static str,
    _place: OwnedSemaphorePermit,
}

impl Published {
    /// A snapshot that was signed at `issued_at` (unix seconds), and leads to `position`.
    pub fn new(position: Position, issued_at: u64, bytes: impl Into<Bytes>) -> Arc<Self> {
        Arc::new(Self { position, issued_at, bytes: bytes.into(), event: OnceLock::new() })
    }

    /// The snapshot as a server-sent event, encoded once for all receivers. A snapshot that is too
    /// large becomes a `fetch` event: the follower requests it from `/v1/feed`.
    pub fn event(&self) -> Bytes {
        let encode = || {
            if !self.fits_event() {
                return format!("event: fetch\ndata: {}\n\n", self.position).into();
            }
            let data = Base64::encode_string(&self.bytes);
            format!("event: snapshot\nid: {}\ndata: {data}\n\n", self.position).into()
        };
        self.event.get_or_init(encode).clone()
    }

    /// True if the event contains the snapshot itself.
    pub fn fits_event(&self) -> bool {
        self.bytes.len() <= MAX_EVENT_BYTES
    }

    /// The answer to a poll; 304 if `headers` name the snapshot in `If-None-Match`.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        // At one address, the position and the time of its signature identify the content.
        let tag = format!("\"{}-{}\"", self.position, self.issued_at);
        let is_known = is_known(headers, &tag);
        let described =
            [(header::ETAG.as_str(), tag), ("offswitch-position", self.position.to_string())];
        if is_known {
            return (StatusCode::NOT_MODIFIED, described).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, "application/octet-stream")];
        (described, content_type, self.bytes.clone()).into_response()
    }
}

/// True if the headers name this entity tag in `If-None-Match` (RFC 9110 section 13.1.2).
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| names(tags, tag))
}

/// True if `tag` is one of those in an `If-None-Match` field.
fn names(tags: &HeaderValue, tag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default().split(',');
    tags.map(str::trim).any(|one| one.strip_prefix("W/").unwrap_or(one) == tag)
}

impl FeedQuery {
    /// The follower's position, and how long it waits for news.
    ///
    /// # Errors
    ///
    /// If the request has another position or a longer wait.
    pub fn read(&self) -> Result<(Option<Position>, Duration), Problem> {
        let since = self.since.as_deref().map(position).transpose()?;
        let wait = self.wait.unwrap_or(0);
        if wait > MAX_WAIT_SECONDS {
            return Err(Problem::bad_request("invalid_query", "wait: must be at most 60"));
        }
        Ok((since, Duration::from_secs(wait)))
    }
}

impl StreamQuery {
    /// The position from which the stream is resumed.
    ///
    /// # Errors
    ///
    /// If the request has another position.
    pub fn read(self, headers: &HeaderMap) -> Result<Option<Position>, Problem> {
        let last = match headers.get(LAST_EVENT_ID) {
            Some(value) => Some(value.to_str().map_err(|_| wrong_position())?.to_owned()),
            None => self.since,
        };
        last.as_deref().map(position).transpose()
    }
}

impl FollowerPlaces {
    /// That many places.
    pub fn new(max_followers: usize) -> Self {
        metrics::gauge!("offswitch_followers_limit").set(max_followers as f64);
        Self(Arc::new(Semaphore::new(max_followers)))
    }

    /// A place for one more follower, by stream (`stream`) or long poll (`long_poll`).
    ///
    /// # Errors
    ///
    /// If there is none left.
    pub fn enter(&self, kind: &'static str) -> Result<Follower, Problem> {
        let place = self.0.clone().try_acquire_owned().map_err(|_| {
            let detail = "this process already has max_followers followers";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_followers", detail)
        })?;
        metrics::gauge!("offswitch_followers", "kind" => kind).increment(1.0);
        Ok(Follower { kind, _place: place })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        metrics::gauge!("offswitch_followers", "kind" => self.kind).decrement(1.0);
    }
}

/// The answer to a stream, which begins with the seconds between two heartbeats. It ends with `events`, or
/// after a snapshot that is too large for an event.
pub fn stream(
    version: Version,
    events: impl Stream<Item = FeedEvent> + Send + 'static,
) -> Response {
    let events = stream::unfold(Some(Box::pin(events)), async |open| {
        let mut events = open?;
        let (text, is_last) = match events.next().await {
            Some(FeedEvent::Ask(token)) => (ask_event(&token), false),
            Some(FeedEvent::Heartbeat(beat)) => (heartbeat_event(beat), false),
            Some(FeedEvent::Snapshot(snapshot)) => (snapshot.event(), !snapshot.fits_event()),
            None => (Bytes::from_static(LAST_EVENT), true),
        };
        Some((Ok::<_, Infallible>(text), (!is_last).then_some(events)))
    });
    let mut response = (STREAM_HEADERS, Body::from_stream(events)).into_response();
    if version < Version::HTTP_2 {
        // Most streams end because the process stops. A client that reused the connection would
        // lose its next request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn heartbeat_event(beat: Duration) -> Bytes {
    let seconds = beat.as_secs();
    format!("event: stream\ndata: {{\"heartbeat_seconds\":{seconds}}}\n\n").into()
}

fn ask_event(token: &str) -> Bytes {
    format!("event: position\ndata: {token}\n\n").into()
}

fn position(text: &str) -> Result<Position, Problem> {
    text.parse().map_err(|_| wrong_position())
}

fn wrong_position() -> Problem {
    Problem::bad_request("invalid_query", "since: must be a position, era.seq")
}

/// The answer of a process that has no base yet.
pub fn not_ready() -> Problem {
    let detail = "there is no base yet";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}

/// The header with which a follower resumes a stream (the standard of server-sent events).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The largest snapshot in an event of the stream, 4 MiB as base64. Followers refuse a larger event
/// (`feed-stream.js`), because decoding it would block all their other work.
const MAX_EVENT_BYTES: usize = 3 << 20;
/// Gives the reconnection time; a reader that does not support `retry` ignores it.
const LAST_EVENT: &[u8] = b": the process stops; follow again\nretry: 1000\n\n";
const MAX_WAIT_SECONDS: u64 = 60;
/// Proxies must forward every event immediately: nginx buffers unless a header forbids it, and
/// compression waits for more data.
const STREAM_HEADERS: [(&str, &str); 3] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store, no-transform"),
    ("x-accel-buffering", "no"),
];

#[cfg(test)]
mod tests {
    use super::{MAX_EVENT_BYTES, Published};
    use offswitch_snapshot::Position;

    // D01: a large snapshot is announced in the stream, never sent in it.
    #[test]
    fn a_snapshot_that_is_too_large_for_an_event_is_to_be_fetched() {
        let position = Position { era: 7, seq: 9 };
        let event = |size| Published::new(position, 0, vec![0; size]).event();
        assert!(event(MAX_EVENT_BYTES).starts_with(b"event: snapshot\nid: 7.9\ndata: AAAA"));
        assert_eq!(&event(MAX_EVENT_BYTES + 1)[..], b"event: fetch\ndata: 7.9\n\n");
    }
}
