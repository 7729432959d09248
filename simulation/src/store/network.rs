//! The server, and the network between it and the processes: what happens to each call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offswitch::store::StoreError;
use offswitch_snapshot::Position;
use tokio::sync::watch;

use super::Server;
use crate::chance::Chance;
use crate::flaw::Flaw;
use crate::time::{Clock, WorldTime};
use crate::trace::Trace;

/// One server for all processes of a run.
#[derive(Debug)]
pub struct Network {
    pub(crate) time: WorldTime,
    pub(crate) chance: Chance,
    pub(crate) trace: Arc<Trace>,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) clock: Clock,
    state: Mutex<State>,
    /// Where the log ends: the hint that there is news.
    pub(super) news: watch::Sender<Position>,
}

#[derive(Debug)]
struct State {
    server: Server,
    /// The primary that was replaced last.
    demoted: Option<Server>,
    conditions: Conditions,
    /// The contents that the server began an era with, or got in place of others, lately.
    begun: Vec<Server>,
    /// When the server's clock was set, and by how much it was ahead from then on.
    clock_history: VecDeque<(Duration, i64)>,
}

/// What is wrong with the server and with the network now.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// No call is answered.
    pub is_down: bool,
    /// No call of these processes is answered.
    pub cut_off: Vec<bool>,
    /// These processes are still connected to the primary that was replaced.
    pub behind: Vec<bool>,
    /// Waiting processes are not notified of news.
    pub drops_hints: bool,
    /// Calls take up to a second.
    pub is_slow: bool,
    /// Some calls and answers are lost, late, or executed twice.
    pub is_rough: bool,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// It is executed after its caller has given up.
    Late,
    /// It does not arrive.
    Lost,
    /// It is executed twice, as after a retry of the connection.
    Twice,
    /// It is executed, and the answer is lost.
    Unanswered,
}

impl Network {
    /// A calm network with a new server, used by so many processes.
    pub fn new(
        time: WorldTime,
        chance: Chance,
        trace: Arc<Trace>,
        flaw: Option<Flaw>,
        processes: usize,
    ) -> Arc<Self> {
        let none = vec![false; processes];
        let conditions =
            Conditions { cut_off: none.clone(), behind: none, ..Conditions::default() };
        let state = State {
            server: Server::new(flaw),
            demoted: None,
            conditions,
            begun: vec![],
            clock_history: VecDeque::from([(Duration::ZERO, 0)]),
        };
        let (state, news) = (Mutex::new(state), watch::Sender::new(Position::default()));
        Arc::new(Self { time, chance, trace, flaw, clock: Clock::new(time), state, news })
    }

    /// What is wrong now.
    pub fn conditions(&self) -> Conditions {
        self.state().conditions.clone()
    }

    /// Changes what is wrong.
    pub fn change(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.state().conditions);
    }

    /// The server's content, as a replica or a backup has it.
    pub fn copy(&self) -> Server {
        self.state().server.clone()
    }

    /// Takes the contents with which an era began since the last call.
    pub fn take_begun(&self) -> Vec<Server> {
        std::mem::take(&mut self.state().begun)
    }

    /// Begins a log of era `first_era`, unless there is a log.
    pub fn begin_log(&self, first_era: u64) {
        self.state().server.begin(first_era);
    }

    /// Where the log ends.
    pub fn end(&self) -> Position {
        self.state().server.end(0).position
    }

    /// Puts another content in the server's place. The old primary still exists, for those that have not
    /// noticed.
    pub fn replace(&self, server: Server) {
        {
            let mut state = self.state();
            state.begun.push(server.clone());
            let demoted = std::mem::replace(&mut state.server, server);
            state.demoted = Some(demoted);
        }
        self.hint();
    }

    /// Sets the server's clock.
    pub fn set_clock(&self, ahead_seconds: i64) {
        self.clock.set(ahead_seconds);
        let mut state = self.state();
        state.clock_history.push_back((self.time.elapsed(), ahead_seconds));
        if state.clock_history.len() > CLOCK_HISTORY {
            state.clock_history.pop_front();
        }
    }

    /// By how much the server's clock was ahead at most, since `within` ago.
    pub fn most_ahead(&self, within: Duration) -> i64 {
        let since = self.time.elapsed().saturating_sub(within);
        let state = self.state();
        let (mut most, mut at_begin) = (i64::MIN, 0);
        for (at, ahead) in &state.clock_history {
            if *at <= since {
                at_begin = *ahead;
            } else {
                most = most.max(*ahead);
            }
        }
        most.max(at_begin)
    }

    /// True if the process reaches the server.
    pub(super) fn reaches(&self, process: usize) -> bool {
        self.state().conditions.reaches(process)
    }

    pub(super) fn drops_hints(&self) -> bool {
        self.state().conditions.drops_hints
    }

    /// Draws what happens to a call, and how long it takes to get there and back.
    pub(super) fn fate(&self) -> (Fate, Duration, Duration) {
        let (is_rough, is_slow) = {
            let state = self.state();
            (state.conditions.is_rough, state.conditions.is_slow)
        };
        let longest = if is_slow { 500 } else { 4 };
        let (there, back) = (self.chance.millis(0..longest), self.chance.millis(0..longest));
        let fate = match is_rough && self.chance.one_in(12) {
            false => Fate::Answered,
            true => *self.chance.pick(&FATES).unwrap_or(&Fate::Answered),
        };
        (fate, there, back)
    }

    /// Executes a call of `process`, if it reaches a server.
    pub(super) fn execute<T>(
        &self,
        process: usize,
        what: &str,
        work: &dyn Fn(&mut Server, u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        let State { server, demoted, conditions, begun, .. } = &mut *state;
        let era = server.end(0).position.era;
        if !conditions.reaches(process) {
            return Err(unavailable("it does not answer"));
        }
        let is_behind = conditions.behind.get(process) == Some(&true);
        let outcome = match demoted {
            Some(demoted) if is_behind && self.flaw == Some(Flaw::DemotedAnswers) => {
                work(demoted, now)
            }
            _ if is_behind => Err(unavailable("the server is a replica")),
            _ => work(server, now),
        };
        let end = server.end(0).position;
        if end.era != era {
            begun.push(server.clone());
        }
        drop(state);
        let is_done = if outcome.is_ok() { "" } else { " refused" };
        self.trace.step(format_args!("store: {process} {what}{is_done} {end}"));
        self.hint();
        outcome
    }

    fn hint(&self) {
        let end = self.state().server.end(0).position;
        self.news.send_if_modified(|known| std::mem::replace(known, end) != end);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conditions {
    /// True if the process reaches the server.
    pub fn reaches(&self, process: usize) -> bool {
        !self.is_down && self.cut_off.get(process) != Some(&true)
    }
}

/// The store's error where a call has no answer.
pub(super) fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

const FATES: [Fate; 4] = [Fate::Late, Fate::Lost, Fate::Twice, Fate::Unanswered];
const CLOCK_HISTORY: usize = 64;
