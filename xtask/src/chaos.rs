//! Faults under load, with a history checker (`tests/chaos`).

use anyhow::Result;

use crate::{tools, wasm};

/// What happens in a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often the server loses its last seconds.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// The seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// The control planes also lose their own files: the checker must find violations.
    #[arg(long)]
    forget: bool,
    /// Instead: these faults in random order, `all` or names with commas (tests/chaos/nemeses).
    #[arg(long)]
    nemeses: Option<String>,
    /// With `--nemeses`: about how long. `all` of them take at most 15 minutes by default.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

/// Builds what the run needs and runs it, which takes some minutes.
pub(crate) fn run(options: &Options) -> Result<()> {
    build()?;
    let Options { rounds, seed, seconds, .. } = options;
    let (rounds, seed, seconds) = (rounds.to_string(), seed.to_string(), seconds.to_string());
    let mut arguments = vec!["tests/chaos/run.mjs", "--rounds", &rounds, "--seed", &seed];
    if options.forget {
        arguments.push("--forget");
    }
    if let Some(nemeses) = &options.nemeses {
        arguments.extend(["--nemeses", nemeses, "--seconds", &seconds]);
    }
    tools::run("node", &arguments)
}

/// Measures this many failovers by Sentinel, while each revocation waits for a replica.
pub(crate) fn failovers(count: u32) -> Result<()> {
    build()?;
    let count = count.to_string();
    let run = ["tests/chaos/run.mjs", "--nemeses", "sentinel-failover", "--times", &count];
    tools::run("node", &[&run[..], &["--wait-replicas", "1"]].concat())
}

fn build() -> Result<()> {
    tools::ensure_wasm_target()?;
    tools::ensure_npm_packages()?;
    tools::ensure_fault_programs()?;
    wasm::build()?;
    let build = ["build", "--workspace", "--all-features", "--bin", "offswitch", "--locked"];
    tools::run("cargo", &build)
}
