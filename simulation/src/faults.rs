//! What goes wrong: episodes of faults drawn from the seed, each followed by a calm in which everything must
//! come together again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use offswitch_snapshot::Position;
use tokio::time::sleep;

use crate::flaw::Flaw;
use crate::follower::Follower;
use crate::store::{Conditions, Server};
use crate::world::{PROCESSES, World};

/// Draws and causes the faults of a run.
pub struct Faults {
    world: Arc<World>,
    followers: Vec<Arc<Follower>>,
    /// A replica or backup, as old as it is.
    older: Option<Server>,
    /// Where the log ended lately.
    ends: VecDeque<(Duration, Position)>,
    /// Since when each process reaches the store.
    reaching_since: [Duration; PROCESSES],
    /// How often each fault happened.
    counts: BTreeMap<&'static str, u64>,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A replica or a backup is made; from now on it is older than the store.
    Copy,
    /// A process ends and starts again later.
    Crash,
    /// The same, and its disk is lost.
    CrashWithoutDisk,
    /// Every process ends, the store becomes an older one, and they start again.
    CrashEverything,
    /// The older copy takes the place of the store.
    FailOver,
    /// The store comes back empty.
    Wipe,
    /// No process reaches the store.
    StoreDown,
    /// One process does not reach the store.
    CutOff,
    /// Calls become slow, or fast again.
    Slow,
    /// Notifications of news are dropped, or not any more.
    Hints,
    /// The store's clock is set.
    StoreClock,
    /// A process's clock is set.
    ProcessClock,
    /// A follower's clock is set.
    FollowerClock,
    /// A follower reaches no process.
    FollowerCutOff,
    /// A follower starts again.
    FollowerRestart,
    /// The cache serves what is old, or does not any more.
    StaleCache,
}

impl Faults {
    /// Nothing has gone wrong yet.
    pub fn new(world: Arc<World>, followers: Vec<Arc<Follower>>) -> Self {
        Self {
            world,
            followers,
            older: None,
            ends: VecDeque::new(),
            reaching_since: [Duration::ZERO; PROCESSES],
            counts: BTreeMap::new(),
        }
    }

    /// How often each fault happened.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// One episode, and the calm after it. Ends early at a violation.
    pub async fn episode(&mut self) {
        self.world.network.change(|conditions| conditions.is_rough = true);
        for _ in 0..self.world.chance.between(8..24) {
            let fault = *self.world.chance.pick(&ALL).unwrap_or(&Fault::Copy);
            self.cause(fault).await;
            let pause = self.world.chance.seconds(1..20);
            if !self.pass(pause).await {
                return;
            }
        }
        self.calm().await;
    }

    /// Lets time pass; false at a violation.
    async fn pass(&mut self, time: Duration) -> bool {
        let end = self.world.time.elapsed() + time;
        while self.world.time.elapsed() < end {
            sleep(TICK).await;
            self.world.look_if_lost();
            self.look_for_followers_of_hints();
            if self.world.checks.violation().is_some() {
                return false;
            }
        }
        true
    }

    /// R06: a process that runs and reaches the store has folded what was appended a while ago, with or
    /// without hints.
    fn look_for_followers_of_hints(&mut self) {
        let (world, now) = (self.world.clone(), self.world.time.elapsed());
        let conditions = world.network.conditions();
        self.ends.push_back((now, world.network.end()));
        while self.ends.get(1).is_some_and(|(at, _)| *at + FOLDED_WITHIN < now) {
            self.ends.pop_front();
        }
        let Some((at, end)) = self.ends.front().copied() else { return };
        for (index, reaching_since) in self.reaching_since.iter_mut().enumerate() {
            let is_behind = conditions.behind.get(index) == Some(&true);
            let plane = world.plane(index).filter(|_| conditions.reaches(index) && !is_behind);
            let Some(plane) = plane else {
                *reaching_since = now;
                continue;
            };
            let position = plane.log.position();
            if at.max(*reaching_since) + FOLDED_WITHIN < now && position < end {
                let text = format!(
                    "process {index} is at {position}, but the log ended at {end} {:?} ago",
                    now - at
                );
                world.checks.violated(text);
            }
        }
    }

    async fn cause(&mut self, fault: Fault) {
        let world = self.world.clone();
        let (chance, network) = (&world.chance, &world.network);
        let process = chance.pick(&world.processes).expect("there are processes").clone();
        let follower = chance.pick(&self.followers).expect("there are followers").clone();
        let index = process.index();
        // A loss is healed first: what only one process knows must not be lost with it.
        let is_whole = world.look_for_lost() == 0;
        let detail = match fault {
            Fault::Copy => {
                self.older = Some(network.copy());
                String::new()
            }
            Fault::Crash | Fault::CrashWithoutDisk => {
                if !is_whole || !world.is_known(&network.copy(), Some(index)) {
                    return;
                }
                process.crash();
                if fault == Fault::CrashWithoutDisk {
                    process.lose_disk();
                }
                let pause = chance.seconds(0..15);
                tokio::spawn(async move {
                    sleep(pause).await;
                    process.start();
                });
                format!(" {index}")
            }
            Fault::CrashEverything => {
                let Some(older) = self.older.clone().filter(|_| world.is_on_every_disk()) else {
                    return;
                };
                world.processes.iter().for_each(|process| process.crash());
                self.lose(older);
                for process in world.processes.clone() {
                    let pause = chance.seconds(0..10);
                    tokio::spawn(async move {
                        sleep(pause).await;
                        process.start();
                    });
                }
                String::new()
            }
            Fault::FailOver | Fault::Wipe => {
                let server = match fault {
                    Fault::Wipe => Some(Server::new(world.flaw)),
                    _ => self.older.clone(),
                };
                let Some(server) = server.filter(|one| is_whole && world.is_known(one, None))
                else {
                    return;
                };
                self.lose(server);
                String::new()
            }
            Fault::StoreDown => {
                network.change(|conditions| conditions.is_down = true);
                self.later(1..40, |conditions| conditions.is_down = false);
                String::new()
            }
            Fault::CutOff => {
                network.change(|conditions| conditions.cut_off[index] = true);
                self.later(1..100, move |conditions| conditions.cut_off[index] = false);
                format!(" {index}")
            }
            Fault::Slow => {
                network.change(|conditions| conditions.is_slow ^= true);
                String::new()
            }
            Fault::Hints => {
                network.change(|conditions| conditions.drops_hints ^= true);
                String::new()
            }
            Fault::StoreClock => {
                let ahead = self.seconds_off();
                network.set_clock(ahead);
                format!(" {ahead}")
            }
            Fault::ProcessClock => {
                let ahead = self.seconds_off();
                process.clock.set(ahead);
                format!(" {index} {ahead}")
            }
            Fault::FollowerClock => {
                let ahead = self.seconds_off();
                follower.clock.set(ahead);
                format!(" {} {ahead}", follower.index())
            }
            Fault::FollowerCutOff => {
                let is_cut_off = !follower.is_cut_off.load(Ordering::Relaxed);
                follower.is_cut_off.store(is_cut_off, Ordering::Relaxed);
                format!(" {} {is_cut_off}", follower.index())
            }
            Fault::FollowerRestart => {
                follower.restart();
                String::new()
            }
            Fault::StaleCache => {
                let seconds = if chance.one_in(2) { chance.between(5..50) } else { 1 };
                world.cache.keep(seconds);
                format!(" {seconds}")
            }
        };
        *self.counts.entry(fault.name()).or_default() += 1;
        world.trace.step(format_args!("fault: {}{detail}", fault.name()));
    }

    /// Another content takes the place of the store's. Some processes notice later.
    fn lose(&mut self, server: Server) {
        let network = &self.world.network;
        self.world.checks.store_lost();
        network.replace(server);
        self.older = None;
        self.ends.clear();
        let behind: Vec<bool> = (0..self.world.processes.len())
            .map(|_| {
                let of = if self.world.flaw == Some(Flaw::DemotedAnswers) { 2 } else { 3 };
                self.world.chance.one_in(of)
            })
            .collect();
        network.change(|conditions| conditions.behind = behind);
        let longest = if self.world.flaw == Some(Flaw::DemotedAnswers) { 90..120 } else { 1..12 };
        self.later(longest, |conditions| conditions.behind.fill(false));
        self.world.note_loss();
    }

    fn later(
        &self,
        seconds: std::ops::Range<u64>,
        change: impl FnOnce(&mut Conditions) + Send + 'static,
    ) {
        let (network, pause) = (self.world.network.clone(), self.world.chance.seconds(seconds));
        tokio::spawn(async move {
            sleep(pause).await;
            network.change(change);
        });
    }

    fn seconds_off(&self) -> i64 {
        let chance = &self.world.chance;
        let seconds = chance.between(0..2 * MOST_SECONDS_OFF + 1);
        let off = seconds.cast_signed() - MOST_SECONDS_OFF.cast_signed();
        if chance.one_in(3) { 0 } else { off }
    }

    /// All faults end. Within a bound all processes and followers are at the same position, every follower
    /// serves, and every acknowledged revocation is refused by each of them.
    async fn calm(&mut self) {
        let world = self.world.clone();
        let none = vec![false; world.processes.len()];
        let calm = Conditions { cut_off: none.clone(), behind: none, ..Conditions::default() };
        world.network.change(|conditions| *conditions = calm);
        // Verifiers wait until the feed has a later time than before the store's clock was set back.
        let set_back = world.network.most_ahead(Duration::from_secs(900)).max(0);
        world.network.set_clock(0);
        world.cache.keep(1);
        world.processes.iter().for_each(|process| {
            process.clock.set(0);
            process.start();
        });
        for follower in &self.followers {
            follower.clock.set(0);
            follower.is_cut_off.store(false, Ordering::Relaxed);
        }
        let bound = CONVERGES_WITHIN + Duration::from_secs(set_back.cast_unsigned());
        world.trace.step(format_args!("calm: at most {} s", bound.as_secs()));
        let begin = world.time.elapsed();
        loop {
            if !self.pass(Duration::from_secs(1)).await {
                return;
            }
            let Some(missing) = self.missing() else { break };
            if world.time.elapsed() - begin > bound {
                let text = format!("{missing}, {} s after the last fault", bound.as_secs());
                return world.checks.violated(text);
            }
        }
        let took = (world.time.elapsed() - begin).as_secs();
        world.trace.step(format_args!("calm: everything agrees after {took} s"));
    }

    /// What does not agree yet.
    fn missing(&self) -> Option<String> {
        let world = &self.world;
        let lost = world.look_for_lost();
        if lost > 0 {
            let all = world.checks.revocations();
            let which = all.iter().filter(|one| one.is_lost()).map(|one| one.number);
            let which: Vec<_> = which.take(5).collect();
            let text =
                "acknowledged revocations that are not in a log that all processes have read";
            return Some(format!("{lost} {text}: tokens {which:?}"));
        }
        let ends: Vec<_> =
            (0..world.processes.len()).map(|one| Some(world.plane(one)?.log.position())).collect();
        let newest = ends.iter().max().copied().flatten();
        if ends.iter().any(|end| *end != newest) {
            return Some(format!("the processes are at {ends:?}"));
        }
        for follower in &self.followers {
            let (index, position) = (follower.index(), follower.position());
            if position.map(|at| at.era) != newest.map(|at| at.era) {
                return Some(format!("follower {index} is at {position:?}, not {newest:?}"));
            }
            if !follower.serves() {
                return Some(format!("follower {index} does not call a good token valid"));
            }
        }
        // The newest may still be on their way.
        let now = world.time.unix();
        let all = world.checks.revocations();
        let mut settled = all.iter().filter(|one| one.issued_at + SETTLED_SECONDS < now);
        settled.find_map(|one| {
            let follower = self.followers.iter().find(|follower| !follower.refuses(one))?;
            Some(format!("follower {} does not refuse token {}", follower.index(), one.number))
        })
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Crash => "crash",
            Self::CrashWithoutDisk => "crash without disk",
            Self::CrashEverything => "crash of everything on an older store",
            Self::FailOver => "lossy failover",
            Self::Wipe => "wipe",
            Self::StoreDown => "store down",
            Self::CutOff => "process cut off",
            Self::Slow => "slow",
            Self::Hints => "hints dropped",
            Self::StoreClock => "store's clock",
            Self::ProcessClock => "process's clock",
            Self::FollowerClock => "follower's clock",
            Self::FollowerCutOff => "follower cut off",
            Self::FollowerRestart => "follower starts again",
            Self::StaleCache => "stale cache",
        }
    }
}

const ALL: [Fault; 19] = [
    Fault::Copy,
    Fault::Copy,
    Fault::Crash,
    Fault::CrashEverything,
    Fault::CrashWithoutDisk,
    Fault::CutOff,
    Fault::FailOver,
    Fault::FailOver,
    Fault::FollowerClock,
    Fault::FollowerCutOff,
    Fault::FollowerRestart,
    Fault::FollowerRestart,
    Fault::Hints,
    Fault::ProcessClock,
    Fault::Slow,
    Fault::StaleCache,
    Fault::StoreClock,
    Fault::StoreDown,
    Fault::Wipe,
];
/// Clocks are off by this at most. An entry leaves the log ten minutes after its token has expired, by the
/// store's clock: a store that is ahead and a follower that is behind must not differ by more.
const MOST_SECONDS_OFF: u64 = 240;
/// How long it takes after the last fault until everything agrees. A process that starts, reads and heals may
/// have to wait for calls that were lost.
const CONVERGES_WITHIN: Duration = Duration::from_secs(90);
/// How often the rules are looked at that need all parts of the world.
const TICK: Duration = Duration::from_secs(2);
/// How long a process may take to fold what was appended, with slow calls of which some are lost.
const FOLDED_WITHIN: Duration = Duration::from_secs(40);
/// A revocation that is this old is at every follower, without faults.
const SETTLED_SECONDS: u64 = 30;
