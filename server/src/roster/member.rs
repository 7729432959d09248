//! One follower: what it holds, when it was heard of, and what it was asked.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offswitch_snapshot::Position;
use tokio::sync::Notify;

use super::introduction::Introduction;
use super::seen::{Print, Report};
use super::{LEAVING_SLACK, LONGEST_STAY, Roster};

/// A follower as one of its requests meets it. One that has not introduced itself, or for which there is no room, is
/// counted as unidentified while it is served.
#[derive(Clone)]
pub struct Member {
    pub(super) roster: Roster,
    pub(super) entry: Option<Arc<Entry>>,
}

/// A follower with an open stream or long poll, until this is dropped.
pub struct Present(Member);

/// What is known of a follower.
#[derive(Debug)]
pub struct Entry {
    pub(super) key: Arc<str>,
    pub(super) print: Print,
    pub(super) introduction: Introduction,
    /// It has answered: a later position may be waited for already.
    pub(super) answered: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The position that it says it holds.
    pub(super) held: Option<Position>,
    /// When it said that last, or that it holds nothing.
    pub(super) said_at: Instant,
    /// When that grew last.
    pub(super) grew_at: Instant,
    /// When it was served last.
    pub(super) contact_at: Instant,
    /// The position that it was sent last.
    pub(super) sent: Option<Position>,
    /// How many streams and long polls are open.
    pub(super) open: u32,
    pub(super) asked: Option<Asked>,
    /// The question before, if it was not answered: its answer may be late.
    pub(super) asked_before: Option<Asked>,
    /// What a relay reported last about those behind it.
    pub(super) report: Option<Report>,
}

/// What it was asked last.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) token: String,
    /// The position that was waited for.
    pub(super) position: Position,
    /// The position that it had been sent before the question: the token proves no more.
    pub(super) sent: Position,
    pub(super) at: Instant,
    pub(super) is_answered: bool,
}

impl Entry {
    pub(super) fn new(key: Arc<str>, introduction: Introduction, now: Instant) -> Self {
        let state = State {
            held: None,
            said_at: now,
            grew_at: now,
            contact_at: now,
            sent: None,
            open: 0,
            asked: None,
            asked_before: None,
            report: None,
        };
        let print = Print::of(&key, introduction.id);
        Self { key, print, introduction, answered: Notify::new(), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True until it has refused to decide for a while.
    pub(super) fn is_live(&self, validity: Duration, now: Instant) -> bool {
        let state = self.lock();
        let stay = self.refuses_after(validity).map_or(LONGEST_STAY, |time| time + LEAVING_SLACK);
        state.open > 0 || now.saturating_duration_since(state.contact_at) < stay
    }

    /// How long after the last news it refuses to decide; none if it never does. Those behind a relay may have
    /// another staleness.
    pub(super) fn refuses_after(&self, validity: Duration) -> Option<Duration> {
        let staleness = self.introduction.staleness?;
        Some(if self.introduction.is_relay { validity } else { staleness.min(validity) })
    }
}

impl Member {
    /// What the follower says it holds: nothing where it asks for a base. A position beyond the log is for the caller
    /// to leave out. What it holds never goes back while it holds anything, so a request that is late or sent twice
    /// changes nothing.
    pub fn says(&self, held: Option<Position>, now: Instant) {
        let Some(entry) = &self.entry else {
            // Also where it asks for a base: it decides with that.
            self.roster.registry().stranger_at = Some(now);
            return;
        };
        let mut state = entry.lock();
        (state.contact_at, state.said_at) = (now, now);
        let before = state.held;
        state.held = held.map(|held| held.max(before.unwrap_or(held)));
        let held = state.held;
        if held > before {
            state.grew_at = now;
        }
        drop(state);
        if held != before {
            self.roster.note_held(before, held, now);
        }
    }

    /// The follower was sent what leads to `position`.
    pub fn sent(&self, position: Position, now: Instant) {
        if let Some(entry) = &self.entry {
            let mut state = entry.lock();
            (state.sent, state.contact_at) = (Some(position), now);
        }
    }

    /// The follower has opened a stream, or a long poll.
    pub fn enter(&self) -> Present {
        match &self.entry {
            Some(entry) => entry.lock().open += 1,
            None => {
                self.roster.0.strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.roster.note_change();
        Present(self.clone())
    }
}

impl Present {
    /// The follower.
    pub fn member(&self) -> &Member {
        &self.0
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let now = Instant::now();
        match &self.0.entry {
            Some(entry) => {
                let mut state = entry.lock();
                state.open = state.open.saturating_sub(1);
            }
            None => {
                self.0.roster.0.strangers.fetch_sub(1, Ordering::Relaxed);
                self.0.roster.registry().stranger_at = Some(now);
            }
        }
        self.0.roster.note_change();
    }
}

impl Roster {
    /// Notes that a follower holds more, or less, than before.
    pub(super) fn note_held(&self, before: Option<Position>, held: Option<Position>, now: Instant) {
        let wanted = *self.0.wanted.borrow();
        if let Some(wanted) = wanted
            && before.is_none_or(|before| before < wanted.position)
            && held.is_some_and(|held| held >= wanted.position)
        {
            let took = now.saturating_duration_since(wanted.began).as_secs_f64();
            metrics::histogram!("offswitch_propagation_seconds").record(took);
        }
        self.note_change();
    }
}
