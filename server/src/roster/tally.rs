//! How many followers hold a position, and which do not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch_snapshot::Position;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Behind;
use super::member::Entry;

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
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Slowest {
    /// Its name, if its operator chose one.
    pub name: Option<String>,
    /// The beginning of its id.
    pub follower: String,
    /// How long it took, from when the wait began.
    pub milliseconds: u64,
}

/// A follower as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
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
    /// The tally of these followers.
    pub(super) fn of(
        live: &[Arc<Entry>],
        unidentified: u64,
        position: Position,
        began: Instant,
        validity: Duration,
        now: Instant,
    ) -> Self {
        let mut tally =
            Self { unidentified, refuse_within: Some(Duration::ZERO), ..Self::default() };
        let mut last: Option<(Instant, &Entry)> = None;
        for entry in live {
            let state = entry.lock();
            let holds = state.held.is_some_and(|held| held >= position);
            let behind = state.report.as_ref().map(|(about, behind)| (*about >= position, behind));
            let all_hold = match behind {
                None => !entry.introduction.is_relay,
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
            let grew_at = state.grew_at;
            let those_behind = behind.map(|(_, behind)| behind.refuse_within_seconds);
            drop(state);
            if holds && all_hold {
                if last.is_none_or(|(at, _)| at < grew_at) {
                    last = Some((grew_at, entry));
                }
                continue;
            }
            let shown = Shown::of(entry, validity, now);
            let own = shown.refuses_in_seconds.map(Duration::from_secs);
            let theirs = match those_behind {
                Some(seconds) => seconds.map(Duration::from_secs),
                None if entry.introduction.is_relay => None,
                None => own,
            };
            for time in [own, theirs] {
                tally.refuse_within =
                    tally.refuse_within.zip(time).map(|(one, other)| one.max(other));
            }
            if tally.silent.len() < MOST_SHOWN {
                tally.silent.push(shown);
            }
        }
        if tally.unidentified > 0 {
            tally.refuse_within = None;
        }
        tally.slowest = last.filter(|(at, _)| *at >= began).map(|(at, entry)| Slowest {
            name: entry.introduction.name.clone(),
            follower: entry.introduction.id.shown(),
            milliseconds: milliseconds(at.saturating_duration_since(began)),
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

impl Shown {
    pub(super) fn of(entry: &Entry, validity: Duration, now: Instant) -> Self {
        let state = entry.lock();
        let silence = now.saturating_duration_since(state.contact_at);
        let is_open = state.open > 0;
        // What is written to an open connection may not arrive: it may refuse as late as if it had.
        let left = |time: Duration| if is_open { time } else { time.saturating_sub(silence) };
        Self {
            name: entry.introduction.name.clone(),
            follower: entry.introduction.id.shown(),
            key: entry.key.to_string(),
            software: entry.introduction.software.clone(),
            position: state.held,
            sent: state.sent,
            connected: is_open,
            seen_seconds_ago: silence.as_secs(),
            refuses_in_seconds: entry
                .refuses_after(validity)
                .map(|time| left(time).saturating_add(ALMOST_A_SECOND).as_secs()),
            behind: state.report.as_ref().map(|(_, behind)| behind.clone()),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// To round up.
const ALMOST_A_SECOND: Duration = Duration::from_nanos(999_999_999);
/// How many followers an answer names.
const MOST_SHOWN: usize = 20;
