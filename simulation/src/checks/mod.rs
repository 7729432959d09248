//! The rules that every run is held against, while it runs. The first violation ends the run.

mod revocation;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offswitch_snapshot::{ChainHash, Floor, Position, Snapshot};

pub use revocation::{Revocation, Said, Seen};

use crate::time::WorldTime;
use crate::tokens::LIFETIME_SECONDS;

/// Everything that was acknowledged, published and seen, as far as a rule needs it.
#[derive(Debug)]
pub struct Checks {
    time: WorldTime,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    violation: Option<String>,
    /// The acknowledged revocations whose tokens may still be alive, oldest first.
    revocations: VecDeque<Arc<Revocation>>,
    acknowledged: u64,
    /// Which requests were appended, and where, since the server last lost anything.
    appended: HashMap<String, Position>,
    /// The chain hash of every position that was published.
    chains: HashMap<Position, ChainHash>,
    /// The highest position of each process.
    reached: HashMap<usize, Position>,
    /// The floor of each follower.
    floors: HashMap<usize, Position>,
}

impl Checks {
    /// Nothing has happened yet.
    pub fn new(time: WorldTime) -> Arc<Self> {
        Arc::new(Self { time, state: Mutex::default() })
    }

    /// The first violation.
    pub fn violation(&self) -> Option<String> {
        self.state().violation.clone()
    }

    /// Notes a violation.
    pub fn violated(&self, text: String) {
        self.state().violation.get_or_insert(text);
    }

    /// A request was appended. R05: the same request is appended once, unless the server has lost it.
    pub fn appended(&self, request: &str, position: Position) {
        let before = self.state().appended.insert(request.to_owned(), position);
        if let Some(before) = before {
            self.violated(format!("a request was appended at {before} and again at {position}"));
        }
    }

    /// The server has lost what came after some moment: a request may be appended again.
    pub fn store_lost(&self) {
        self.state().appended.clear();
    }

    /// A revocation was acknowledged.
    pub fn acknowledged(&self, revocation: Revocation) {
        let mut state = self.state();
        state.acknowledged += 1;
        state.revocations.push_back(Arc::new(revocation));
    }

    /// How many were acknowledged.
    pub fn count(&self) -> u64 {
        self.state().acknowledged
    }

    /// The acknowledged revocations whose tokens may still be alive.
    pub fn revocations(&self) -> Vec<Arc<Revocation>> {
        let now = self.time.unix();
        let mut state = self.state();
        let is_past = |one: &Arc<Revocation>| one.issued_at + TRACKED_SECONDS < now;
        while state.revocations.front().is_some_and(is_past) {
            state.revocations.pop_front();
        }
        state.revocations.iter().cloned().collect()
    }

    /// A follower got a snapshot. R02, R14: no position has two contents.
    pub fn published(&self, snapshot: &Snapshot) {
        let begin = Floor { position: snapshot.from(), chain: snapshot.chain_from() };
        for Floor { position, chain } in [begin, snapshot.end()] {
            if position.seq == 0 {
                continue;
            }
            let held = *self.state().chains.entry(position).or_insert(chain);
            if held != chain {
                self.violated(format!("position {position} has two contents"));
            }
        }
    }

    /// A process has folded the log up to `position`. It never goes back, also across restarts.
    pub fn reached(&self, process: usize, position: Position) {
        let mut state = self.state();
        let highest = state.reached.entry(process).or_default();
        if position < *highest {
            let text = format!("process {process} went back from {highest} to {position}");
            state.violation.get_or_insert(text);
        } else {
            *highest = position;
        }
    }

    /// The disk of a process is lost.
    pub fn process_forgets(&self, process: usize) {
        self.state().reached.remove(&process);
    }

    /// A follower's floor is `position`. It never goes back.
    pub fn floor(&self, follower: usize, position: Position) {
        let mut state = self.state();
        let highest = state.floors.entry(follower).or_default();
        if position < *highest {
            let text =
                format!("the floor of follower {follower} went back from {highest} to {position}");
            state.violation.get_or_insert(text);
        } else {
            *highest = position;
        }
    }

    /// A follower lost what it kept, all of it or what came after its last save.
    pub fn follower_forgets(&self, follower: usize) {
        let mut state = self.state();
        state.floors.remove(&follower);
        for revocation in &state.revocations {
            revocation.forget(follower);
        }
    }

    /// What a follower says about a revoked token.
    pub fn judged(&self, revocation: &Revocation, seen: &Seen) {
        if let Some(text) = revocation.judged(seen, self.time.elapsed()) {
            self.violated(text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token is watched for this long after it was issued: it has expired then for every clock.
const TRACKED_SECONDS: u64 = LIFETIME_SECONDS + 300;
/// How old the feed of a verifier may be that gives verdicts.
pub const MAX_STALENESS: Duration = Duration::from_secs(60);
