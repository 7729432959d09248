//! The simulation of the store, control planes and followers (`simulation/`).

use anyhow::Result;

use crate::tools;

/// Builds it and runs it.
pub(crate) fn run(steps: u64, seed: u64, flaw: Option<&str>, is_printed: bool) -> Result<()> {
    let program = "offswitch-simulation";
    // With the features that the tests are built with, so that nothing is compiled twice.
    let build = ["build", "--workspace", "--all-features", "--bin", program, "--locked"];
    tools::run("cargo", &build)?;
    let (steps, seed) = (steps.to_string(), seed.to_string());
    let mut arguments = vec!["--steps", &steps, "--seed", &seed];
    if let Some(flaw) = flaw {
        arguments.extend(["--flaw", flaw]);
    }
    if is_printed {
        arguments.push("--print");
    }
    let path = tools::root().join("target/debug").join(program);
    tools::run(&path.to_string_lossy(), &arguments)
}
