//! `?wait=applied`: a revocation is answered once the followers hold it.

use std::time::{Duration, Instant};

use offswitch_core::receipt::AppliedThen;
use offswitch_server::roster::{Shown, Slowest};
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::plane::{Count, Plane, SilentProcess};
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
    /// True if every follower holds it: those of all processes, and none is unidentified. Only with `counted`
    /// `all_processes`.
    complete: bool,
    /// The followers that may still decide, also those behind relays.
    followers: u64,
    /// Those of them that hold it.
    holding: u64,
    /// Those of `followers` that are behind relays, which report for them.
    behind_relays: u64,
    /// How many more are served at least that send no id, or for which there is no room.
    unidentified: u64,
    /// Whose followers these are: `all_processes`, `some_processes` if one has not answered, or `this_process` if no other
    /// has.
    counted: &'static str,
    /// The processes on the store; absent with a store that only one process can use.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<ProcessesAsked>,
    /// How long the answer waited.
    milliseconds: u64,
    /// Of those that hold it, the one that took the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    slowest: Option<Slowest>,
    /// Those that do not hold it, at most 20. A relay is one of them until all behind it hold it.
    silent: Vec<Shown>,
    /// Within how many seconds those that do not hold it refuse to decide, if they get no news, also those of processes
    /// that have not answered; absent if one of them never does, or if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuse_within_seconds: Option<u64>,
}

/// The processes on the store, and which of them have answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProcessesAsked {
    /// How many processes may have followers that decide, also this one.
    asked: u64,
    /// How many of them have answered, also this one.
    answered: u64,
    /// Those that have not.
    silent: Vec<ProcessSilent>,
}

/// A process that has not answered: what its followers hold is not known.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProcessSilent {
    /// Its id, as `GET /v1/followers` says it; `older_version` for one that cannot be asked, `unlisted` for one that is
    /// not known.
    process: String,
    /// In how many seconds all its followers refuse to decide, if it has no news for them; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuses_in_seconds: Option<u64>,
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
        let count = plane.processes.count(position, time).await;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Self::new(count, milliseconds))
    }

    fn new(count: Count, milliseconds: u64) -> Self {
        let (complete, counted) = (count.is_complete(), counted(&count));
        let refuse_within_seconds = count.refuse_within_seconds();
        let Count { tally, asked, silent } = count;
        Self {
            complete,
            followers: tally.followers,
            holding: tally.holding,
            behind_relays: tally.behind_relays,
            unidentified: tally.unidentified,
            counted,
            processes: asked.map(|asked| ProcessesAsked::new(asked, silent)),
            milliseconds,
            slowest: tally.slowest,
            silent: tally.silent,
            refuse_within_seconds,
        }
    }

    /// What a receipt says of it.
    pub(super) fn then(&self) -> AppliedThen {
        AppliedThen {
            complete: self.complete,
            followers: self.followers,
            holding: self.holding,
            behind_relays: self.behind_relays,
            unidentified: self.unidentified,
            counted: self.counted.to_owned(),
            milliseconds: self.milliseconds,
            refuse_within_seconds: self.refuse_within_seconds,
        }
    }
}

impl ProcessesAsked {
    fn new(asked: u64, silent: Vec<SilentProcess>) -> Self {
        let not_answered = u64::try_from(silent.len()).unwrap_or(u64::MAX);
        let silent = silent.into_iter().map(|SilentProcess { name, refuses_in_seconds }| {
            ProcessSilent { process: name, refuses_in_seconds }
        });
        Self { asked, answered: asked.saturating_sub(not_answered), silent: silent.collect() }
    }
}

/// Whose followers are counted.
fn counted(count: &Count) -> &'static str {
    let silent = u64::try_from(count.silent.len()).unwrap_or(u64::MAX);
    match count.asked.map_or(1, |asked| asked.saturating_sub(silent)) {
        _ if silent == 0 => "all_processes",
        0 | 1 => "this_process",
        _ => "some_processes",
    }
}

const DEFAULT_SECONDS: u64 = 2;
const MOST_SECONDS: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn count(asked: Option<u64>, silent: usize) -> Count {
        let silent = (0..silent)
            .map(|number| SilentProcess { name: number.to_string(), refuses_in_seconds: Some(9) });
        Count { tally: Default::default(), asked, silent: silent.collect() }
    }

    // P10: whose followers are counted is said for what has answered, and never as more than that.
    #[test]
    fn what_is_counted_is_named_for_the_processes_that_have_answered() {
        let all = [
            // A store that only one process can use; that process has not read the position itself.
            (None, 0, "all_processes", true),
            (None, 1, "this_process", false),
            (Some(1), 0, "all_processes", true),
            (Some(2), 0, "all_processes", true),
            (Some(2), 1, "this_process", false),
            (Some(3), 1, "some_processes", false),
            (Some(3), 2, "this_process", false),
            // This process has not read the position either: it is one of the silent, and counts no follower of its own.
            (Some(2), 2, "this_process", false),
            (Some(1), 2, "this_process", false),
            (Some(0), 0, "all_processes", true),
        ];
        for (asked, silent, expected, is_complete) in all {
            let applied = Applied::new(count(asked, silent), 5);
            assert_eq!(
                (applied.counted, applied.complete),
                (expected, is_complete),
                "{asked:?} {silent}"
            );
            assert_eq!(applied.counted == "all_processes", applied.complete);
            assert_eq!(applied.then().counted, expected);
            let Some(processes) = applied.processes else { continue };
            let silent = silent as u64;
            assert_eq!((processes.asked, processes.silent.len() as u64), (asked.unwrap(), silent));
            assert_eq!(processes.answered, asked.unwrap().saturating_sub(silent));
        }
    }
}
