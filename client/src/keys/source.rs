//! Where one issuer's keys come from: given with the options, or fetched.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use offswitch_verifier::{KeySet, VerifyingKey};
use serde::Serialize;

use crate::backoff::Backoff;
use crate::http::{Client, KeySetAddress};

/// The key set of one issuer.
pub(crate) struct Source {
    pub(super) issuer: String,
    /// None for keys that were given with the options.
    address: Option<KeySetAddress>,
    headers: HeaderMap,
    state: Mutex<State>,
    /// Taken by what fetches: one at a time, and the others wait for it.
    turn: tokio::sync::Mutex<()>,
}

/// The state of an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeysStatus {
    /// The exact `iss`.
    pub issuer: String,
    /// True once there is a set.
    pub is_ready: bool,
    /// When it was fetched last, unix seconds; none for keys that were given with the options.
    pub fetched_at: Option<u64>,
    /// Why the last fetch failed, or brought no usable key.
    pub problem: Option<String>,
    /// Keys of the fetched set that were left out, each with the reason.
    pub dropped: Vec<String>,
}

#[derive(Default)]
struct State {
    is_ready: bool,
    kids: BTreeSet<String>,
    fetched_at: Option<u64>,
    problem: Option<String>,
    is_failing: bool,
    dropped: Vec<String>,
    backoff: Backoff,
    /// When the fetch began that brought what is held.
    confirmed_at: Option<Instant>,
    /// When the last fetch ended.
    ended_at: Option<Instant>,
    /// Key ids that the newest set lacks and the one before it had.
    missed: BTreeSet<String>,
    /// Key ids that two sets in a row have lacked since; the newest.
    withdrawn: VecDeque<String>,
}

impl Source {
    pub(super) fn new(issuer: String, address: Option<KeySetAddress>, headers: HeaderMap) -> Self {
        let is_ready = address.is_none();
        let state = Mutex::new(State { is_ready, ..State::default() });
        Self { issuer, address, headers, state, turn: tokio::sync::Mutex::default() }
    }

    pub(super) fn is_fetched(&self) -> bool {
        self.address.is_some()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state().is_ready
    }

    /// True if the issuer may have published the key `kid` by `time` and it is not held here. One that was
    /// withdrawn just before is not expected to come back.
    pub(super) fn is_open_at(&self, time: Instant, kid: Option<&str>) -> bool {
        let state = self.state();
        let is_withdrawn = kid.is_some_and(|kid| state.withdrawn.iter().any(|one| one == kid));
        let since = if is_withdrawn { time.checked_sub(WITHDRAWN).unwrap_or(time) } else { time };
        self.is_fetched() && state.confirmed_at.is_none_or(|confirmed| confirmed < since)
    }

    /// True while a fetch is under way, or will be in a moment.
    pub(super) fn is_fetching(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// True while no fetch may begin because the last one failed.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.state().backoff.is_waiting(now)
    }

    /// Until when no fetch may begin because the last one failed, or none if one may.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.state().backoff.left(now)
    }

    /// How long ago the fetch began that brought what is held; none if there was none.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.state().confirmed_at.map(|confirmed| now.saturating_duration_since(confirmed))
    }

    /// Why it is not known which keys the issuer has now; none if it is.
    pub(super) fn doubt(&self) -> Option<String> {
        let state = self.state();
        match (&state.problem, state.is_failing) {
            (Some(problem), true) => Some(format!("fetching them failed: {problem}")),
            _ => None,
        }
    }

    /// Fetches the set that comes after `since`, unless another caller has done so meanwhile, and hands it to
    /// `accept`. It waits for the fetch that is under way and for the pause after it.
    pub(super) async fn fetch(
        &self,
        client: &Client,
        since: Option<Instant>,
        unix_now: impl Fn() -> u64,
        accept: impl FnOnce(KeySet),
    ) -> Fetched {
        let Some(address) = &self.address else { return Fetched::Nothing };
        let queued_at = Instant::now();
        let _turn = self.turn.lock().await;
        if self.state().confirmed_at != since {
            return Fetched::ByAnother;
        }
        if self.state().ended_at.is_some_and(|ended| ended > queued_at) {
            // The fetch that was waited for has failed.
            return Fetched::Nothing;
        }
        let pause = self.state().ended_at.map(|ended| ended + COOL_DOWN);
        if let Some(end) = pause {
            tokio::time::sleep_until(end.into()).await;
        }
        if self.is_resting(Instant::now()) {
            return Fetched::Nothing;
        }
        let begun = Instant::now();
        let fetched = client.key_set(address, &self.headers).await;
        let now = Instant::now();
        let mut state = self.state();
        state.ended_at = Some(now);
        match fetched {
            Ok(keys) => {
                let kids = keys.keys().iter().filter_map(VerifyingKey::kid).map(str::to_owned);
                state.compare(kids.collect());
                state.problem = keys.check_usable().err().map(|error| error.to_string());
                state.dropped = keys.refused().iter().map(ToString::to_string).collect();
                state.is_failing = false;
                state.is_ready = true;
                state.confirmed_at = Some(begun);
                state.fetched_at = Some(unix_now());
                state.backoff.succeeded();
                drop(state);
                accept(keys);
                Fetched::New
            }
            Err(problem) => {
                let chance = fastrand::f64();
                state.backoff.failed(now, Duration::ZERO, Duration::MAX, chance);
                state.is_failing = true;
                state.problem = Some(problem.clone());
                Fetched::Failed(problem)
            }
        }
    }

    /// The moment at which what is held was asked for.
    pub(super) fn confirmed_at(&self) -> Option<Instant> {
        self.state().confirmed_at
    }

    pub(super) fn status(&self) -> KeysStatus {
        let state = self.state();
        KeysStatus {
            issuer: self.issuer.clone(),
            is_ready: state.is_ready,
            fetched_at: state.fetched_at,
            problem: state.problem.clone(),
            dropped: state.dropped.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// Another caller has fetched the set meanwhile.
    ByAnother,
    /// It failed, in words.
    Failed(String),
    /// There is a new set.
    New,
    /// None was begun.
    Nothing,
}

impl State {
    /// Remembers which keys are withdrawn; one set may be of a copy that lags.
    fn compare(&mut self, kids: BTreeSet<String>) {
        for kid in std::mem::take(&mut self.missed) {
            if !self.withdrawn.contains(&kid) {
                self.withdrawn.push_back(kid);
            }
        }
        self.withdrawn.retain(|kid| !kids.contains(kid));
        while self.withdrawn.len() > MOST_WITHDRAWN {
            self.withdrawn.pop_front();
        }
        self.missed = self.kids.difference(&kids).cloned().collect();
        self.kids = kids;
    }
}

/// However many unknown keys tokens name, a key set is fetched again no sooner after a fetch.
const COOL_DOWN: Duration = Duration::from_secs(2);
/// A key that left its set is not searched for again within this time: after a red button every client still
/// shows tokens of the old keys.
const WITHDRAWN: Duration = Duration::from_secs(10);
const MOST_WITHDRAWN: usize = 256;
