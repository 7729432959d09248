//! `cargo xtask …`: the project's own commands.

mod bench;
mod capacity;
mod chaos;
mod deb;
mod edge_latency;
mod guide;
mod image;
mod nameless;
mod page;
mod refreshes;
mod simulate;
mod system;
mod test;
mod tools;
mod tour;
mod wasm;

use anyhow::Result;
use clap::Parser;

use self::bench::scale::Kind;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Measures everything in comparison with its peers, says what moved and writes BENCHMARKS.md.
    Bench {
        /// Runs and prints only this one.
        which: Option<bench::Which>,
        /// For `control-plane`: only these parts of it.
        parts: Vec<capacity::Part>,
        /// Measures less, in five minutes, and only prints it.
        #[arg(long)]
        quick: bool,
        /// Runs everything with tiny numbers and debug builds, to see that it runs: a test, no measurement.
        #[arg(long, conflicts_with = "quick")]
        smoke: bool,
    },
    /// Puts load on real control planes whose Redis server repeatedly loses its last seconds, and
    /// checks everything that clients observed.
    Chaos(chaos::Options),
    /// Builds a Debian package of the statically linked program, with the units of systemd.
    Deb,
    /// Measures how long revoking does not work after the death of a primary, behind Sentinel.
    Failovers {
        /// How many failovers.
        #[arg(long, default_value_t = 50)]
        count: u32,
    },
    /// Runs the fuzz targets, each for this long.
    Fuzz {
        /// Seconds for each target.
        #[arg(long, default_value_t = 300)]
        seconds: u64,
    },
    /// Builds an OCI image of the statically linked program, without a container engine.
    Image(image::Options),
    /// Builds the browser page, and the wasm in it.
    Page,
    /// Simulates ten thousand edge isolates that follow one feed or several, in virtual time; with
    /// `--steps` instead the store, control planes and followers with faults (`simulation/`).
    Simulate {
        /// The same seed gives the same run.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many steps of the store, control planes and followers, at least.
        #[arg(long)]
        steps: Option<u64>,
        /// With `--steps`: puts a bug into the run, which must be found.
        #[arg(long, requires = "steps")]
        flaw: Option<String>,
        /// With `--steps`: prints every step.
        #[arg(long, requires = "steps")]
        print: bool,
    },
    /// Runs all tests.
    Test,
    /// Starts the whole system on free ports, walks the tour without a person and stops.
    Tour,
    /// Starts the whole system and prints the tour.
    Up,
    /// Builds the verifier for wasm.
    Wasm,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Command::parse() {
        Command::Bench { which, parts, quick, smoke } => {
            let kind = match (quick, smoke) {
                (true, _) => Kind::Quick,
                (_, true) => Kind::Smoke,
                _ => Kind::Full,
            };
            bench::run(which, &parts, kind).await
        }
        Command::Chaos(options) => chaos::run(&options),
        Command::Deb => deb::run(),
        Command::Failovers { count } => chaos::failovers(count),
        Command::Fuzz { seconds } => test::fuzz(seconds),
        Command::Image(options) => image::run(&options),
        Command::Page => {
            tools::ensure_wasm_target()?;
            tools::ensure_npm_packages()?;
            wasm::build()?;
            page::build()
        }
        Command::Simulate { seed, steps: Some(steps), flaw, print } => {
            simulate::run(steps, seed, flaw.as_deref(), print)
        }
        Command::Simulate { seed, .. } => {
            tools::ensure_wasm_target()?;
            tools::ensure_npm_packages()?;
            wasm::build()?;
            let seed = seed.to_string();
            let run = ["--max-semi-space-size=128", "tests/simulate/run.mjs", "--seed", &seed];
            tools::run("node", &run)
        }
        Command::Test => test::run().await,
        Command::Tour => tour::run().await,
        Command::Up => tour::up().await,
        Command::Wasm => {
            tools::ensure_wasm_target()?;
            wasm::build()
        }
    }
}
