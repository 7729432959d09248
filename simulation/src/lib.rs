//! A deterministic simulation of the store, control planes and followers, in virtual time.
//!
//! The planes and the verifiers are the product's own. The store is simulated behind the product's trait, and
//! so are disks that are lost, clocks and networks. All faults are drawn from one seed; [`run`] holds
//! everything that is acknowledged, published and judged against the rules in [`checks`]. `README.md` says what
//! each module is for.

pub mod caller;
pub mod chance;
pub mod checks;
pub mod faults;
pub mod flaw;
pub mod follower;
pub mod process;
pub mod store;
pub mod time;
pub mod tokens;
pub mod trace;
pub mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chance::Chance;
use faults::Faults;
use flaw::Flaw;
use time::WorldTime;
use trace::Trace;
use world::World;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Of all random choices.
    pub seed: u64,
    /// The run ends with the first episode that reaches so many steps.
    pub steps: u64,
    /// A bug to be found.
    pub flaw: Option<Flaw>,
    /// True if every step is printed.
    pub is_printed: bool,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many steps there were.
    pub steps: u64,
    /// The hash of all steps.
    pub hash: String,
    /// How long the run lasted in virtual time.
    pub lasted: Duration,
    /// How many revocations were acknowledged.
    pub acknowledged: u64,
    /// How many episodes of faults there were.
    pub episodes: u64,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// The rule that was broken, and the steps before that.
    pub violation: Option<(String, Vec<String>)>,
}

/// Runs a simulation, on a runtime of its own.
///
/// # Errors
///
/// If there is no runtime.
pub fn run(options: Options) -> std::io::Result<Report> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(simulate(options)))
}

async fn simulate(Options { seed, steps, flaw, is_printed }: Options) -> Report {
    let time = WorldTime::begin(BEGIN);
    let trace = Arc::new(Trace::new(time, is_printed));
    let world = Arc::new(World::new(Chance::new(seed), trace.clone(), time, flaw));
    let followers = world.begin().await;
    for follower in &followers {
        tokio::spawn(follower.clone().follow());
    }
    for caller in 0..usize::try_from(caller::CALLERS).unwrap_or(1) {
        tokio::spawn(caller::revoke_without_end(world.clone(), caller));
    }
    let mut faults = Faults::new(world.clone(), followers);
    let mut episodes = 0;
    while trace.steps() < steps && world.checks.violation().is_none() {
        faults.episode().await;
        episodes += 1;
    }
    let violation = world.checks.violation().map(|text| (text, trace.recent()));
    Report {
        steps: trace.steps(),
        hash: trace.hash(),
        lasted: time.elapsed(),
        acknowledged: world.checks.count(),
        episodes,
        faults: faults.counts().clone(),
        violation,
    }
}

/// When every run begins, unix seconds.
const BEGIN: u64 = 1_800_000_000;
