//! How many followers hold a position, and which do not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::Behind;
use super::member::{Entry, State};
use super::seen::{Face, Seen};

/// How many followers hold a position.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// The followers that may still decide, also those behind relays.
    pub followers: u64,
    /// Those that hold the position.
    pub holding: u64,
    /// Those of `followers` that are behind relays, which report for them.
    pub behind_relays: u64,
    /// How many more are served at least that are not known.
    pub unidentified: u64,
    /// Of those that hold it, the one that said so last.
    pub slowest: Option<Slowest>,
    /// Those that do not hold it, at most 20; a relay is one of them until all behind it hold it.
    pub silent: Vec<Shown>,
    /// Within what time all that do not hold it refuse to decide; none if one of them never does, or if that is not
    /// known.
    pub refuse_within: Option<Duration>,
}

/// The follower that took the longest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Slowest {
    /// Its name, if its operator chose one.
    pub name: Option<String>,
    /// The beginning of its id.
    pub follower: String,
    /// How long it took, from when the wait began.
    pub milliseconds: u64,
}

/// A follower as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Follower)]
pub struct Shown {
    /// Its name, if its operator chose one.
    pub name: Option<String>,
    /// The beginning of its id.
    pub follower: String,
    /// The API key that it follows with.
    pub key: String,
    /// Its software and version, as it says.
    pub software: String,
    /// The position that it has said it holds. A stream is asked for it only while a request waits.
    #[schema(value_type = Option<String>)]
    pub position: Option<Position>,
    /// The position that its stream was sent, or that its last poll was answered with.
    #[schema(value_type = Option<String>)]
    pub sent: Option<Position>,
    /// True while it has a stream or a long poll open.
    pub connected: bool,
    /// How long ago it was served last, seconds.
    pub seen_seconds_ago: u64,
    /// In how many seconds it refuses to decide if it gets no news; absent if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses_in_seconds: Option<u64>,
    /// For a relay: what it reported last about those behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
}

impl Tally {
    /// How many of these followers hold `position`. What is measured from `began` on is how long they took.
    pub fn of(all: &[Seen], unidentified: u64, position: Position, began: Instant) -> Self {
        let mut tally =
            Self { unidentified, refuse_within: Some(Duration::ZERO), ..Self::default() };
        let mut last: Option<&Seen> = None;
        for seen in all {
            let holds = seen.held.is_some_and(|held| held >= position);
            let behind = seen.report.as_ref().map(|one| (one.about >= position, &one.behind));
            let all_hold = match behind {
                None => !seen.is_relay,
                Some((is_about, behind)) => {
                    tally.followers += behind.followers;
                    tally.behind_relays += behind.followers;
                    tally.holding += if is_about { behind.holding } else { 0 };
                    tally.unidentified += behind.unidentified;
                    is_about && behind.holding == behind.followers
                }
            };
            tally.followers += 1;
            // A relay that has not reported yet may have any followers.
            let is_counted = holds && (behind.is_some() || all_hold);
            tally.holding += u64::from(is_counted);
            if holds && all_hold {
                if last.is_none_or(|last| last.grew_at < seen.grew_at) {
                    last = Some(seen);
                }
                continue;
            }
            for time in [seen.refuses_within, seen.theirs()] {
                tally.refuse_within =
                    tally.refuse_within.zip(time).map(|(one, other)| one.max(other));
            }
            if tally.silent.len() < MOST_SHOWN {
                tally.silent.extend(seen.shown());
            }
        }
        if tally.unidentified > 0 {
            tally.refuse_within = None;
        }
        tally.slowest = last.filter(|last| last.grew_at >= began).and_then(|last| {
            let milliseconds = milliseconds(last.grew_at.saturating_duration_since(began));
            last.slowest(milliseconds)
        });
        tally
    }

    /// True if every follower that is served holds the position.
    pub fn is_complete(&self) -> bool {
        self.holding == self.followers && self.unidentified == 0
    }

    /// What a relay reports of it.
    pub fn behind(&self) -> Behind {
        Behind {
            followers: self.followers,
            holding: self.holding,
            unidentified: self.unidentified,
            refuse_within_seconds: self.refuse_within.map(|time| time.as_secs()),
        }
    }
}

impl Seen {
    /// What this process knows of a follower of its own.
    pub(super) fn of(entry: &Arc<Entry>, validity: Duration, now: Instant) -> Self {
        let state = entry.lock();
        Self {
            print: entry.print,
            is_relay: entry.introduction.is_relay,
            held: state.held,
            said_at: state.said_at,
            grew_at: state.grew_at,
            refuses_within: entry.refuses_within(&state, validity, now),
            report: state.report.clone(),
            face: Face::Here(entry.clone(), now, validity),
        }
    }

    /// As it is shown, if this process knows how.
    pub fn shown(&self) -> Option<Shown> {
        match &self.face {
            Face::Here(entry, now, validity) => Some(Shown::of(entry, *validity, *now)),
            Face::Stated(shown) => Some((**shown).clone()),
            Face::Unnamed => None,
        }
    }

    fn slowest(&self, milliseconds: u64) -> Option<Slowest> {
        let (name, follower) = match &self.face {
            Face::Here(entry, ..) => {
                (entry.introduction.name.clone(), entry.introduction.id.shown())
            }
            Face::Stated(shown) => (shown.name.clone(), shown.follower.clone()),
            Face::Unnamed => return None,
        };
        Some(Slowest { name, follower, milliseconds })
    }
}

impl Entry {
    /// Within what time it refuses to decide if it gets no news, rounded up to seconds; none if it never does.
    fn refuses_within(&self, state: &State, validity: Duration, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(state.contact_at);
        let time = self.refuses_after(validity)?;
        // What is written to an open connection may not arrive: it may refuse as late as if it had.
        let left = if state.open > 0 { time } else { time.saturating_sub(silence) };
        Some(Duration::from_secs(left.saturating_add(ALMOST_A_SECOND).as_secs()))
    }
}

impl Shown {
    pub(super) fn of(entry: &Entry, validity: Duration, now: Instant) -> Self {
        let state = entry.lock();
        let silence = now.saturating_duration_since(state.contact_at);
        Self {
            name: entry.introduction.name.clone(),
            follower: entry.introduction.id.shown(),
            key: entry.key.to_string(),
            software: entry.introduction.software.clone(),
            position: state.held,
            sent: state.sent,
            connected: state.open > 0,
            seen_seconds_ago: silence.as_secs(),
            refuses_in_seconds: entry
                .refuses_within(&state, validity, now)
                .map(|time| time.as_secs()),
            behind: state.report.as_ref().map(|report| report.behind.clone()),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// To round up.
const ALMOST_A_SECOND: Duration = Duration::from_nanos(999_999_999);
/// How many followers an answer names.
pub const MOST_SHOWN: usize = 20;
