//! `?wait=applied`: a revocation is answered once the followers hold it.

use std::time::{Duration, Instant};

use offswitch_server::roster::{Shown, Slowest, Tally};
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::plane::Plane;
use crate::problem::Problem;

/// Whether the answer waits for the followers.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// `applied`: the answer comes once all followers hold the revocation, or at the end of `timeout`.
    #[param(example = "applied")]
    pub(super) wait: Option<String>,
    /// How long it waits at most, seconds, 0 to 30; 2 by default.
    #[param(maximum = 30)]
    pub(super) timeout: Option<u64>,
}

/// How many followers hold the revocation, when the answer was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Applied {
    /// True if every follower holds it: those of all processes, and none is unidentified. Never true with
    /// `counted` `this_process`.
    complete: bool,
    /// The followers that may still decide, also those behind relays.
    followers: u64,
    /// Those of them that hold it.
    holding: u64,
    /// Those of `followers` that are behind relays, which report for them.
    behind_relays: u64,
    /// How many more are served at least that send no id, or for which there is no room.
    unidentified: u64,
    /// Whose followers these are: `all_processes`, where this process is the only one on its store, or `this_process`.
    counted: &'static str,
    /// How long the answer waited.
    milliseconds: u64,
    /// Of those that hold it, the one that took the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    slowest: Option<Slowest>,
    /// Those that do not hold it, at most 20. A relay is one of them until all behind it hold it.
    silent: Vec<Shown>,
    /// Within how many seconds those that do not hold it refuse to decide, if they get no news; absent if one of them
    /// never does, or if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuse_within_seconds: Option<u64>,
}

impl WaitQuery {
    /// How long to wait; none if the request does not ask for it.
    ///
    /// # Errors
    ///
    /// 400 `invalid_query`.
    pub(super) fn read(&self) -> Result<Option<Duration>, Problem> {
        let wrong = |detail| Err(Problem::bad_request("invalid_query", detail));
        match (self.wait.as_deref(), self.timeout) {
            (None, None) => Ok(None),
            (None, Some(_)) => wrong("timeout: is only for wait=applied"),
            (Some("applied"), Some(seconds)) if seconds > MOST_SECONDS => {
                wrong("timeout: must be at most 30")
            }
            (Some("applied"), seconds) => {
                Ok(Some(Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS))))
            }
            (Some(_), _) => wrong("wait: must be applied"),
        }
    }
}

impl Applied {
    /// What came of waiting for `position`, if the request asked for that.
    pub(super) async fn within(
        time: Option<Duration>,
        plane: &Plane,
        position: Position,
    ) -> Option<Self> {
        let time = time?;
        let began = Instant::now();
        let tally = count(plane, position, time).await;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Self::new(tally, plane.has_all_followers(), milliseconds))
    }

    fn new(tally: Tally, has_all: bool, milliseconds: u64) -> Self {
        let is_complete = has_all && tally.is_complete();
        let within = tally.refuse_within.filter(|_| has_all);
        Self {
            complete: is_complete,
            followers: tally.followers,
            holding: tally.holding,
            behind_relays: tally.behind_relays,
            unidentified: tally.unidentified,
            counted: counted(has_all),
            milliseconds,
            slowest: tally.slowest,
            silent: tally.silent,
            refuse_within_seconds: within.map(|time| time.as_secs()),
        }
    }
}

/// How many followers hold `position`, once all do, or at the end of `time`, or of the process: then streams end.
pub(super) async fn count(plane: &Plane, position: Position, time: Duration) -> Tally {
    let (roster, began) = (plane.publisher.roster(), Instant::now());
    tokio::select! {
        tally = roster.until_held(position, time) => tally,
        () = plane.publisher.stopping() => roster.tally(position, began, Instant::now()),
    }
}

/// Whose followers are counted.
pub(super) fn counted(has_all: bool) -> &'static str {
    if has_all { "all_processes" } else { "this_process" }
}

const DEFAULT_SECONDS: u64 = 2;
const MOST_SECONDS: u64 = 30;
