//! `offswitch-simulation --steps N --seed S`: runs the simulation, prints what came of it, and ends with 1 if a
//! rule was broken.

mod randomness;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use offswitch_simulation::flaw::Flaw;
use offswitch_simulation::{Options, Report, run};

/// Simulates the store, control planes and followers in virtual time, with faults drawn from a seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many steps at least: calls of the store, answers, snapshots, faults.
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
    /// The same seed gives the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Puts a bug into the run, which must be found.
    #[arg(long, value_enum)]
    flaw: Option<Flaw>,
    /// Prints every step.
    #[arg(long)]
    print: bool,
}

fn main() -> std::io::Result<ExitCode> {
    let Arguments { steps, seed, flaw, print } = Arguments::parse();
    randomness::begin(seed);
    let began = Instant::now();
    let report = run(Options { seed, steps, flaw, is_printed: print })?;
    show(seed, &report);
    // Not part of what is the same for the same seed.
    eprintln!("{:.1} s", began.elapsed().as_secs_f64());
    Ok(if report.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(seed: u64, report: &Report) {
    let Report { steps, hash, lasted, acknowledged, episodes, faults, violation } = report;
    println!(
        "seed {seed}: {steps} steps in {:.1} h of virtual time",
        lasted.as_secs_f64() / 3600.0
    );
    println!("{acknowledged} revocations acknowledged, {episodes} episodes of faults:");
    for (name, count) in faults {
        println!("  {count:>6} {name}");
    }
    println!("trace {hash}");
    match violation {
        None => println!("Every rule held."),
        Some((text, recent)) => {
            println!("The last steps:");
            recent.iter().for_each(|step| println!("{step}"));
            println!("VIOLATED: {text}");
            println!("The same again: cargo xtask simulate --steps {steps} --seed {seed}");
        }
    }
}
