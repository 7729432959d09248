//! The relay: it serves the feed that this process follows, byte for byte, to verifiers near it. It
//! signs nothing and holds no secret of the feed. Followers check every signature, and see by the
//! times in it how fresh the feed is: a relay can be late, and no more.

mod reporting;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use offswitch_client::http::HEARTBEAT_HEADER;
use offswitch_client::{Position, SignedSnapshot, Snapshots, Verifier};
use offswitch_server::feed::{
    self, FeedEvent, FeedQuery, FollowerPlaces, Published, StreamQuery, not_ready,
};
use offswitch_server::problem::Problem;
use offswitch_server::roster::{
    ASK_HEADER, Answer, FollowerId, Introduction, Member, Roster, RosterSettings, Tokens, asking,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Relay;

pub(crate) use reporting::report;

/// What followers get.
#[derive(Clone)]
struct Relaying {
    verifier: Verifier,
    places: FollowerPlaces,
    /// Which followers there are, and what they hold.
    roster: Roster,
    /// The hash of the API key that followers send.
    api_key: Option<blake3::Hash>,
    last: Arc<Last>,
    /// When a base was fetched for a follower last.
    bridged: Arc<tokio::sync::Mutex<Option<Instant>>>,
    stopping: watch::Receiver<bool>,
}

/// The snapshot that was sent last, so that followers at the same position share its text.
#[derive(Default)]
struct Last(Mutex<Option<Arc<Published>>>);

/// What followers reach.
pub(crate) fn router(
    relay: &Relay,
    places: FollowerPlaces,
    roster: Roster,
    verifier: Verifier,
    stopping: watch::Receiver<bool>,
) -> Router {
    let api_key = relay.api_key.as_ref().map(|key| blake3::hash(key.as_bytes()));
    let (last, bridged) = (Arc::default(), Arc::default());
    let relaying = Relaying { verifier, places, roster, api_key, last, bridged, stopping };
    Router::new()
        .route("/v1/feed", get(poll))
        .route("/v1/feed/position", post(answer).layer(DefaultBodyLimit::max(MAX_ANSWER_BYTES)))
        .route("/v1/feed/stream", get(follow))
        .layer(from_fn_with_state(relaying.clone(), authorized))
        .fallback(async || {
            let detail = "a relay serves /v1/feed, /v1/feed/stream and /v1/feed/position";
            Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
        })
        .with_state(relaying)
}

/// The API key of the request is the one that followers must send.
async fn authorized(State(relaying): State<Relaying>, request: Request, next: Next) -> Response {
    let Some(expected) = relaying.api_key else { return next.run(request).await };
    let sent = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let is_of_scheme = |value: &&[u8]| {
        value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "))
    };
    // Hashes are compared in constant time.
    match sent.filter(is_of_scheme).map(|value| blake3::hash(&value[7..])) {
        Some(sent) if sent == expected => next.run(request).await,
        _ => {
            let detail = "expected the relay's API key as a bearer token";
            Problem::new(StatusCode::UNAUTHORIZED, "unknown_api_key", detail).into_response()
        }
    }
}

async fn poll(
    State(relaying): State<Relaying>,
    query: Result<Query<FeedQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (since, wait) = query.map_err(|rejection| wrong_query(&rejection))?.0.read()?;
    let introduction = Introduction::read(&headers)?;
    if let Some(since) = since {
        relaying.keep_pace(since).await;
    }
    let member = relaying.meet(introduction, since);
    if let Some(since) = since
        && !wait.is_zero()
        && relaying.end() == Some(since)
    {
        let _waiting = relaying.places.enter("long_poll")?;
        let _present = member.enter();
        relaying.wait_beyond(since, wait).await;
    }
    let held = relaying.held_for(since).await;
    let snapshot = next(&held, since).ok_or_else(not_ready)?;
    let now = std::time::Instant::now();
    member.sent(snapshot.to, now);
    let mut answer = relaying.last.published(snapshot).answer(&headers);
    if let Some(ask) = member.ask_relay(snapshot.to, now)
        && let Ok(ask) = ask.parse()
    {
        answer.headers_mut().insert(ASK_HEADER, ask);
    }
    answer.headers_mut().insert(HEARTBEAT_HEADER, relaying.verifier.heartbeat().as_secs().into());
    Ok(answer)
}

async fn follow(
    State(relaying): State<Relaying>,
    query: Result<Query<StreamQuery>, QueryRejection>,
    version: Version,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let since = query.map_err(|rejection| wrong_query(&rejection))?.0.read(&headers)?;
    let introduction = Introduction::read(&headers)?;
    if let Some(since) = since {
        relaying.keep_pace(since).await;
    }
    relaying.end().ok_or_else(not_ready)?;
    let follower = relaying.places.enter("stream")?;
    let present = relaying.meet(introduction, since).enter();
    let changes = relaying.verifier.snapshot_changes();
    let following = Following { changes, relaying, since, sent: None, announced: Duration::ZERO };
    let events = stream::unfold((following, follower), async |(mut following, follower)| {
        let event = following.next().await?;
        Some((event, (following, follower)))
    });
    Ok(feed::stream(version, asking(events, present, since)))
}

/// The answer of a follower that was asked which position it holds.
async fn answer(
    State(relaying): State<Relaying>,
    headers: HeaderMap,
    body: Result<Json<Answer>, JsonRejection>,
) -> Result<Json<serde_json::Value>, Problem> {
    let Some(introduction) = Introduction::read(&headers)? else {
        let detail = "the header offswitch-follower is missing";
        return Err(Problem::bad_request("invalid_follower", detail));
    };
    let Json(answer) =
        body.map_err(|rejection| Problem::bad_request("invalid_body", rejection.body_text()))?;
    let head = relaying.end().ok_or_else(not_ready)?;
    relaying.roster.answer(KEY, &introduction, &answer, head, std::time::Instant::now())?;
    Ok(Json(serde_json::json!({ "counted": true })))
}

/// The followers of a relay.
pub(crate) fn roster(max_followers: usize) -> Roster {
    Roster::new(RosterSettings {
        most_of_one_key: max_followers,
        validity: LONGEST_VALIDITY,
        tokens: Arc::new(Random),
    })
}

/// Tokens that only this relay knows.
struct Random;

impl Tokens for Random {
    fn make(&self, _: &str, _: FollowerId, _: Position) -> String {
        let mut token = [0; 16];
        if let Err(error) = getrandom::fill(&mut token) {
            panic!("the operating system gives no randomness: {error}");
        }
        token.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn proven(&self, _: &str, _: &str, _: FollowerId) -> Option<Position> {
        None
    }
}

fn wrong_query(rejection: &QueryRejection) -> Problem {
    Problem::bad_request("invalid_query", rejection.body_text())
}

/// One follower of the stream.
struct Following {
    relaying: Relaying,
    changes: watch::Receiver<u64>,
    since: Option<Position>,
    /// What it was sent last: end and time of signature.
    sent: Option<(Position, u64)>,
    /// The time from one heartbeat to the next, as it was announced last.
    announced: Duration,
}

impl Following {
    /// True unless the follower has it: a base that goes no further than it is brings it nothing either.
    fn is_news(&self, next: &SignedSnapshot) -> bool {
        let is_sent = self.sent == Some((next.to, next.issued_at));
        let is_reached = self.since.is_some_and(|since| next.to <= since);
        !is_sent && (!next.is_base() || !is_reached)
    }

    /// The next event for this follower, as soon as it is there: what leads on, or a newer statement
    /// about where it is. Heartbeats are passed on as they come, so their pace is that of what this process
    /// follows, and is announced again when that changes. None if the process has been asked to stop.
    async fn next(&mut self) -> Option<FeedEvent> {
        loop {
            if *self.relaying.stopping.borrow() {
                return None;
            }
            let beat = self.relaying.verifier.heartbeat();
            if std::mem::replace(&mut self.announced, beat) != beat {
                return Some(FeedEvent::Heartbeat(beat));
            }
            self.changes.mark_unchanged();
            let held = self.relaying.held_for(self.since).await;
            if let Some(next) = next(&held, self.since).filter(|next| self.is_news(next)) {
                (self.since, self.sent) = (Some(next.to), Some((next.to, next.issued_at)));
                return Some(FeedEvent::Snapshot(self.relaying.last.published(next)));
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                // The pace may have changed without a snapshot: followers wait for half as long again.
                () = sleep(self.announced.mul_f64(1.25)) => {}
                _ = self.relaying.stopping.wait_for(|is_stopping| *is_stopping) => return None,
            }
        }
    }
}

/// What leads on from `since`; the base if that is absent or not known here.
fn next(held: &Snapshots, since: Option<Position>) -> Option<&SignedSnapshot> {
    since.and_then(|since| held.after(since)).or(held.base.as_ref())
}

impl Relaying {
    /// The follower that sends a request, and what it says it holds.
    fn meet(&self, introduction: Option<Introduction>, since: Option<Position>) -> Member {
        let now = std::time::Instant::now();
        let member = self.roster.meet(KEY, introduction, now);
        let end = self.end();
        member.says(since.filter(|since| Some(*since) <= end), now);
        member
    }

    /// Where what is held ends.
    fn end(&self) -> Option<Position> {
        self.verifier.snapshots().end()
    }

    /// What is held, for a follower at `since`. One that comes from another address, or from before a
    /// restart, may be between the ends of the deltas here: only a base that goes further helps it, and
    /// that of the control plane does soon.
    async fn held_for(&self, since: Option<Position>) -> Arc<Snapshots> {
        let held = self.verifier.snapshots();
        let Some(since) = since else { return held };
        let is_between = held.end().is_some_and(|end| since < end && since.era == end.era)
            && held.after(since).is_none()
            && held.base.as_ref().is_some_and(|base| base.to < since);
        if !is_between {
            return held;
        }
        let mut bridged = self.bridged.lock().await;
        if bridged.is_none_or(|at| at.elapsed() >= BRIDGE_EVERY) {
            self.verifier.renew_base().await;
            *bridged = Some(Instant::now());
        }
        self.verifier.snapshots()
    }

    /// Waits for this process to catch up: a follower that comes from another address may be ahead of
    /// this one for a moment.
    async fn keep_pace(&self, since: Position) {
        let is_ahead = |end: Position| since > end && since.era == end.era;
        if self.end().is_some_and(is_ahead) {
            self.wait_until(Duration::from_secs(1), |end| !is_ahead(end)).await;
        }
    }

    /// Waits until there is something beyond `position`, for `longest` at most.
    async fn wait_beyond(&self, position: Position, longest: Duration) {
        self.wait_until(longest, |end| end != position).await;
    }

    async fn wait_until(&self, longest: Duration, is_there: impl Fn(Position) -> bool) {
        let deadline = Instant::now() + longest;
        let (mut changes, mut stopping) = (self.verifier.snapshot_changes(), self.stopping.clone());
        while !self.end().is_some_and(&is_there) {
            let changed = timeout_at(deadline, async {
                tokio::select! {
                    changed = changes.changed() => changed.is_ok(),
                    _ = stopping.wait_for(|is_stopping| *is_stopping) => false,
                }
            });
            if !changed.await.unwrap_or(false) {
                return;
            }
        }
    }
}

impl Last {
    fn published(&self, signed: &SignedSnapshot) -> Arc<Published> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The same memory, not only the same content: comparing bases would take long.
        let is_same = |known: &&Arc<Published>| {
            known.bytes.as_ptr() == signed.bytes.as_ptr() && known.bytes.len() == signed.bytes.len()
        };
        if let Some(known) = last.as_ref().filter(is_same) {
            return known.clone();
        }
        let published = Published::new(signed.to, signed.issued_at, signed.bytes.clone());
        *last = Some(published.clone());
        published
    }
}

/// The one API key of all followers of a relay.
const KEY: &str = "relay";
/// Of what it passes on, a relay knows no shorter one: the control plane lets no snapshot be valid for longer, and
/// verifiers add ten seconds.
const LONGEST_VALIDITY: Duration = Duration::from_secs(3610);
const MAX_ANSWER_BYTES: usize = 4096;
/// How often a base is fetched for followers that no delta leads on.
const BRIDGE_EVERY: Duration = Duration::from_secs(5);
