//! A follower: the real verifier, with the part of a client that asks, waits, keeps and starts again.

mod cache;
mod kept;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offswitch_snapshot::Position;
use offswitch_verifier::{
    Applied, ApplyError, DpopConfig, FeedConfig, IssuerConfig, Jws, Objection, OnStale,
    Presentation, Staleness, Standing, Verifier, VerifierConfig,
};
use tokio::time::sleep;

pub use cache::ResponseCache;
use kept::Kept;

use crate::checks::{MAX_STALENESS, Revocation, Said, Seen};
use crate::flaw::Flaw;
use crate::time::Clock;
use crate::tokens::{AUDIENCE, ISSUER};
use crate::world::World;

/// One follower.
pub struct Follower {
    index: usize,
    world: Arc<World>,
    /// Its clock.
    pub clock: Clock,
    /// True while it reaches no process.
    pub is_cut_off: AtomicBool,
    state: Mutex<State>,
}

struct State {
    verifier: Verifier,
    /// When its process started.
    born: Duration,
    kept: Kept,
    /// What it remembers of tokens, by their numbers; none for the good token.
    standings: HashMap<Option<u64>, (String, Standing)>,
    /// Answers that are still on their way.
    late: Vec<Vec<u8>>,
}

impl Follower {
    /// A follower that holds nothing.
    pub fn new(index: usize, world: Arc<World>) -> Arc<Self> {
        let state = State {
            verifier: new_verifier(&world),
            born: world.time.elapsed(),
            kept: Kept::default(),
            standings: HashMap::new(),
            late: vec![],
        };
        let (clock, is_cut_off) = (Clock::new(world.time), AtomicBool::new(false));
        Arc::new(Self { index, world, clock, is_cut_off, state: Mutex::new(state) })
    }

    /// Follows without end.
    pub async fn follow(self: Arc<Self>) {
        loop {
            self.round().await;
            self.judge();
            sleep(self.world.chance.millis(500..3000)).await;
        }
    }

    /// Its process ends and starts again, with what it had saved: everything, or not the last part, or nothing.
    pub fn restart(&self) {
        let chance = &self.world.chance;
        let mut state = self.state();
        let survives = match chance.between(0..4) {
            0 => {
                state.kept = Kept::default();
                false
            }
            1 => {
                state.kept.forget_unsaved();
                false
            }
            _ => true,
        };
        if !survives {
            self.world.checks.follower_forgets(self.index);
        }
        state.verifier = new_verifier(&self.world);
        state.born = self.world.time.elapsed();
        state.standings.clear();
        state.late.clear();
        let (now, kept) = (self.clock.now(), state.kept.clone());
        kept.restore(&mut state.verifier, now);
        drop(state);
        let what = if survives { "with what it had" } else { "without the last part" };
        self.world.trace.step(format_args!("follower: {} starts again {what}", self.index));
        self.note_floor();
    }

    /// The position that it holds.
    pub fn position(&self) -> Option<Position> {
        self.state().verifier.feed().position()
    }

    /// Its place among the followers.
    pub fn index(&self) -> usize {
        self.index
    }

    /// True if it calls the good token valid.
    pub fn serves(&self) -> bool {
        self.says(None, &self.world.good_token()) == Said::Valid
    }

    /// True if it refuses the token.
    pub fn refuses(&self, revocation: &Revocation) -> bool {
        self.says(Some(revocation.number), &revocation.token) != Said::Valid
    }

    /// Asks a process once, by a poll or a long poll, and takes what comes of it.
    async fn round(&self) {
        let (world, chance) = (&self.world, &self.world.chance);
        if self.is_cut_off.load(Ordering::Relaxed) {
            return;
        }
        let since = self.state().verifier.feed().since();
        let Some(bytes) = self.ask(since).await else { return };
        let is_rough = world.network.conditions().is_rough;
        sleep(chance.millis(0..if is_rough { 300 } else { 20 })).await;
        if is_rough {
            match chance.between(0..24) {
                0 => return,
                1 => {
                    self.state().late.push(bytes);
                    return;
                }
                2 => self.take(damaged(bytes.clone(), chance.below(bytes.len()))),
                3 => self.take(bytes.clone()),
                _ => {}
            }
        }
        self.take(bytes);
        let late = match chance.one_in(4) {
            true => self.state().late.pop(),
            false => None,
        };
        if let Some(late) = late {
            self.take(late);
        }
    }

    async fn ask(&self, since: Option<Position>) -> Option<Vec<u8>> {
        let world = &self.world;
        // Every second follower is behind a cache.
        let is_cached = self.index % 2 == 1;
        if is_cached && let Some(bytes) = world.cache.find(since, world.time.elapsed()) {
            return Some(bytes);
        }
        let process = world.any_process()?;
        let plane = process.plane()?;
        let life = *process.lives().borrow();
        if let Some(since) = since.filter(|_| self.index < 2) {
            let longest = world.chance.seconds(1..6);
            plane.publisher.wait_beyond(since, longest).await;
        }
        if *process.lives().borrow() != life {
            return None;
        }
        world.checks.reached(process.index(), plane.log.position());
        let bytes = plane.publisher.snapshot(since)?.bytes.to_vec();
        if is_cached {
            world.cache.put(since, &bytes, world.time.elapsed());
        }
        Some(bytes)
    }

    fn take(&self, bytes: Vec<u8>) {
        let mut state = self.state();
        let uptime = (self.world.time.elapsed() - state.born).as_secs();
        state.verifier.feed().tick(uptime);
        let taken = self.put(&mut state, bytes);
        let position = state.verifier.feed().position().unwrap_or_default();
        drop(state);
        let code = match &taken {
            Ok(applied) => applied.code(),
            Err(error) => error.code(),
        };
        self.world.trace.step(format_args!("follower: {} {code} {position}", self.index));
        self.note_floor();
    }

    fn put(&self, state: &mut State, bytes: Vec<u8>) -> Result<Applied, ApplyError> {
        let snapshot = state.verifier.feed().trust().open(bytes.clone())?;
        self.world.checks.published(&snapshot);
        let (now, is_base) = (self.clock.now(), snapshot.is_base());
        if self.world.flaw == Some(Flaw::AcceptsOlder) && is_base {
            let uptime = (self.world.time.elapsed() - state.born).as_secs();
            state.verifier = new_verifier(&self.world);
            state.verifier.feed().tick(uptime);
            state.standings.clear();
        }
        let to = snapshot.to();
        let applied = state.verifier.take(snapshot, now)?;
        state.kept.put(applied, is_base, to, bytes);
        if self.world.chance.one_in(2) {
            state.kept.save();
        }
        Ok(applied)
    }

    fn note_floor(&self) {
        let floor = self.state().verifier.feed().floor().position;
        self.world.checks.floor(self.index, floor);
    }

    /// Judges revoked tokens, the newest and some others, and the good one.
    fn judge(&self) {
        self.world.look_if_lost();
        let all = self.world.checks.revocations();
        let newest = all.iter().rev().take(NEWEST);
        let others = (0..OTHERS).filter_map(|_| self.world.chance.pick(&all));
        for revocation in newest.chain(others) {
            self.judge_revoked(revocation);
        }
        if self.says(None, &self.world.good_token()) == Said::Revoked {
            let text = format!("follower {} calls a token revoked that is not", self.index);
            self.world.checks.violated(text);
        }
    }

    fn judge_revoked(&self, revocation: &Revocation) {
        let said = self.says(Some(revocation.number), &revocation.token);
        let ahead = self.world.network.most_ahead(LONGEST_AGE) - self.clock.ahead_seconds();
        let clock_ahead = Duration::from_secs(u64::try_from(ahead).unwrap_or(0));
        let position = self.position().unwrap_or_default();
        let seen = Seen { follower: self.index, position, clock_ahead, said };
        self.world.checks.judged(revocation, &seen);
    }

    fn says(&self, number: Option<u64>, token: &str) -> Said {
        let mut state = self.state();
        let state = &mut *state;
        let uptime = (self.world.time.elapsed() - state.born).as_secs();
        let verifier = &state.verifier;
        verifier.feed().tick(uptime);
        let held = state.standings.get(&number);
        let is_current =
            held.is_some_and(|(of, standing)| of == token && verifier.is_current(standing));
        if !is_current {
            let admitted = Jws::parse(token).and_then(|jws| verifier.admit(&jws));
            let Ok((standing, _)) = admitted else { return Said::Other };
            if state.standings.len() > REMEMBERED {
                state.standings.clear();
            }
            state.standings.insert(number, (token.to_owned(), standing));
        }
        let Some((_, standing)) = state.standings.get(&number) else { return Said::Other };
        let staleness = match self.world.flaw {
            Some(Flaw::TrustsStale) => Staleness::Any,
            _ => Staleness::Configured,
        };
        match verifier.judge(standing, Presentation::Bearer, self.clock.now(), staleness) {
            Ok(()) => Said::Valid,
            Err(Objection::Refused(refusal)) if refusal.code().starts_with("revoked") => {
                Said::Revoked
            }
            Err(_) => Said::Other,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_verifier(world: &World) -> Verifier {
    let feed = FeedConfig {
        id: ISSUER.to_owned(),
        public_keys: world.feed_keys(),
        max_staleness_seconds: MAX_STALENESS.as_secs(),
        on_stale: OnStale::Deny,
    };
    let issuers = vec![IssuerConfig::offswitch(ISSUER, AUDIENCE)];
    let config = VerifierConfig { issuers, feed, dpop: DpopConfig::default() };
    let mut verifier = Verifier::new(config).expect("a good configuration");
    verifier.set_keys(ISSUER, world.minter.keys());
    verifier
}

fn damaged(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    bytes
}

/// How many of the newest revocations are judged in each round.
const NEWEST: usize = 12;
/// And how many others.
const OTHERS: usize = 4;
const REMEMBERED: usize = 1000;
/// The oldest statement that a verifier may hold for fresh, with clocks that differ by minutes.
const LONGEST_AGE: Duration = Duration::from_secs(600);
