//! Faults under load, with a history checker (`tests/chaos`).

use anyhow::Result;

use crate::{tools, wasm};

/// Builds what the run needs and runs it, which takes some minutes.
pub(crate) fn run(rounds: u32, seed: u32, forget: bool) -> Result<()> {
    tools::ensure_wasm_target()?;
    tools::ensure_npm_packages()?;
    tools::ensure_redis()?;
    wasm::build()?;
    let build = ["build", "--workspace", "--all-features", "--bin", "offswitch", "--locked"];
    tools::run("cargo", &build)?;
    let (rounds, seed) = (rounds.to_string(), seed.to_string());
    let mut arguments = vec!["tests/chaos/run.mjs", "--rounds", &rounds, "--seed", &seed];
    if forget {
        arguments.push("--forget");
    }
    tools::run("node", &arguments)
}
