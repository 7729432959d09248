//! `POST /v1/feed/position` and `GET /v1/followers`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use offswitch_server::roster::{Answer, Introduction, Shown};
use offswitch_snapshot::Position;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::applied::WaitQuery;
use super::extract::{Body, Params};
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};

/// An answer was counted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counted {
    counted: bool,
}

/// The followers of this process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Followers {
    /// The id of this process: followers of others are not listed here.
    process: String,
    /// The end of the log, as this process has folded it.
    #[schema(value_type = String)]
    position: Position,
    /// How many followers may still decide, also those behind relays.
    live: u64,
    /// How many of them have said that they hold `position`.
    holding: u64,
    /// How many more are served at least that send no id, or for which there is no room.
    unidentified: u64,
    /// Whose followers these are: `all_processes` with a store that only one process can use, otherwise `this_process`.
    counted: &'static str,
    /// Those that this process serves itself, at most 1000, the ones that hold least first.
    followers: Vec<Shown>,
}

/// Answers the question for the position, which a follower gets in its stream, or a relay in a header, while a request
/// waits for a revocation to be applied. The header `offswitch-follower` must be that of the stream.
#[utoipa::path(
    post, path = "/v1/feed/position", tag = "feed", operation_id = "answerPosition",
    summary = "Say which position is held", request_body = Answer,
    responses((status = 200, description = "It counts", body = Counted),
              (status = "4XX", description = "It does not count", body = ProblemDocument))
)]
pub(super) async fn answer(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body<Answer>,
) -> Result<Json<Counted>, Problem> {
    let Some(introduction) = Introduction::read(&headers)? else {
        let detail = "the header offswitch-follower is missing";
        return Err(Problem::bad_request("invalid_follower", detail));
    };
    let answer = body.value;
    // The process that asked may be faster than this one.
    if let Some(position) = answer.position().filter(|one| one.era == plane.log.position().era) {
        plane.log.wait_folded(position, LONGEST_LAG).await;
    }
    let (roster, head) = (plane.publisher.roster(), plane.log.position());
    roster.answer(&caller.id, &introduction, &answer, head, Instant::now())?;
    Ok(Json(Counted { counted: true }))
}

/// Lists the followers of this process that may still decide. With `wait=applied` it asks those that follow a stream
/// first, and answers once all hold the end of the log, or at the end of `timeout`.
#[utoipa::path(
    get, path = "/v1/followers", tag = "feed", operation_id = "listFollowers",
    summary = "List the followers", params(WaitQuery),
    responses((status = 200, description = "The followers", body = Followers),
              (status = "4XX", description = "Refused", body = ProblemDocument))
)]
pub(super) async fn list(
    State(plane): State<Arc<Plane>>,
    Params(query): Params<WaitQuery>,
) -> Result<Json<Followers>, Problem> {
    let wait = query.read()?;
    let position = plane.log.position();
    let roster = plane.publisher.roster();
    let began = Instant::now();
    let tally = tokio::select! {
        tally = roster.until_held(position, wait.unwrap_or_default()) => tally,
        () = plane.publisher.stopping() => roster.tally(position, began, Instant::now()),
    };
    let is_shared = plane.processes.are_possible();
    Ok(Json(Followers {
        process: plane.processes.own_id(),
        position,
        live: tally.followers,
        holding: tally.holding,
        unidentified: tally.unidentified,
        counted: if is_shared { "this_process" } else { "all_processes" },
        followers: roster.list(MOST_LISTED, Instant::now()),
    }))
}

/// How long an answer waits for this process to read the log.
const LONGEST_LAG: Duration = Duration::from_millis(500);
const MOST_LISTED: usize = 1000;
