//! The figures: the npm package compared with its peers, hot paths natively and in wasm, the time
//! from a revocation to the edge, refreshes. A run of all of them writes BENCHMARKS.md.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use tokio::process::Command;

use crate::system::Following;
use crate::tools::{self, root, target_dir};
use crate::{capacity, edge_latency, refreshes, wasm};

/// What can be measured separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// The capacity of the control plane on this machine, compared with bare Redis and bare Axum.
    ControlPlane,
    /// The guard, and gateways with it, compared with what users take instead.
    Gateways,
    /// The npm package compared with its peers, in every runtime.
    Package,
    /// Refreshes per second on durable Redis, compared with the limit of Redis and oidc-provider.
    Refreshes,
}

/// Measures `which` and prints it, or measures everything and writes it to the file. `parts`
/// selects among the measurements of the control plane; if it is empty, all are run.
pub(crate) async fn run(which: Option<Which>, parts: &[capacity::Part]) -> Result<()> {
    tools::ensure_npm_packages()?;
    match which {
        Some(Which::ControlPlane) => drop(capacity::measure(parts).await?),
        Some(Which::Gateways) => println!("{}", gateways().await?),
        Some(Which::Package) => println!("{}", package().await?),
        Some(Which::Refreshes) => println!("{}", refreshes::measure().await?),
        None => {
            let path = root().join("BENCHMARKS.md");
            std::fs::write(path, everything().await?)?;
            println!("written to BENCHMARKS.md");
        }
    }
    Ok(())
}

async fn everything() -> Result<String> {
    let package = package().await?;
    let hot_paths =
        ["bench", "--quiet", "--package", "offswitch", "--locked", "--bench", "hot_paths"];
    let sections = [
        ("What one control plane holds", capacity::measure(&[]).await?),
        ("Hot paths of the control plane", printed_by("cargo", &hot_paths).await?),
        ("The Rust client", printed_by("cargo", &CLIENT).await?),
        ("A base of a million entries in wasm, Node", printed_by("node", &[LOAD]).await?),
        (
            "From a revoke to the edge worker",
            edge_latency::measure(Following::LongPolling, 200).await?
                + &edge_latency::measure(Following::Polling, 100).await?,
        ),
        ("Refreshes", refreshes::measure().await?),
    ];
    let mut text = format!("{HEAD}\n{}\n\n## The npm package\n\n{package}\n", machine()?);
    text.push_str("\n## The control plane and the edge worker\n");
    for (title, printed) in sections {
        text.push_str(&format!("\n### {title}\n\n```\n{}\n```\n", printed.trim_end()));
    }
    text.push_str(&format!("\n## The guard\n\n{}\n", gateways().await?));
    Ok(text)
}

async fn package() -> Result<String> {
    tools::ensure_wasm_target()?;
    tools::ensure_bench_programs()?;
    wasm::build()?;
    printed_by("node", &["tests/bench/report.mjs"]).await
}

async fn gateways() -> Result<String> {
    tools::ensure_bench_programs()?;
    let build = ["build", "--quiet", "--release", "--locked", "--package", "offswitch"];
    let peer = ["--package", "offswitch-guard", "--bin", "offswitch", "--example", "fixed_check"];
    tools::run("cargo", &[build.as_slice(), &peer].concat())?;
    let release = target_dir().join("release");
    let program = format!("MEASURED_PROGRAM={}", release.join("offswitch").display());
    let fixed = format!("FIXED_CHECK={}", release.join("examples/fixed_check").display());
    printed_by("env", &[&program, &fixed, "node", "tests/bench/gateways.mjs"]).await
}

async fn printed_by(program: &str, arguments: &[&str]) -> Result<String> {
    println!("$ {program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(root()).stderr(Stdio::inherit());
    let output = output.output().await.with_context(|| format!("{program} cannot be started"))?;
    ensure!(output.status.success(), "{program} {} failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// The machine, and the date of the measurement.
fn machine() -> Result<String> {
    let date = std::process::Command::new("date").args(["-u", "+%F"]).output()?.stdout;
    let cores = std::thread::available_parallelism()?;
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    Ok(format!("{}, {cores} cores of {model}.\n", String::from_utf8(date)?.trim()))
}

const CLIENT: [&str; 8] = [
    "bench",
    "--quiet",
    "--package",
    "offswitch-client",
    "--all-features",
    "--locked",
    "--bench",
    "verdicts",
];
const LOAD: &str = "tests/bench/load.mjs";
const HEAD: &str = "# Benchmarks

Written by `cargo xtask bench`, everything in one run. The machine is shared and noisy: compare figures
of one table, where contestants took turns; each figure is the median of all rounds. Ratios come first.
";
