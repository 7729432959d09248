//! What is measured, one job after the other: how it is built, how long it takes, and which program measures it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::Which;
use super::figure::Figure;
use super::scale::{Kind, Scale};
use super::section::Section;
use crate::refreshes::server;
use crate::system::System;
use crate::tools::{self, root};
use crate::{capacity, edge_latency, refreshes, wasm};

/// One of the measurements, which can be done separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Client,
    Edge,
    Gateways,
    HotPaths,
    Load,
    Package,
    Part(capacity::Part),
    Refreshes,
}

/// What several jobs need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Bench(Bench),
    /// The program and its bare peers.
    Programs,
    /// The whole system, as the tour has it.
    System,
    Wasm,
}

/// What a job measured.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Measured {
    /// Of the programs that were measured.
    #[serde(default)]
    pub(crate) versions: Option<String>,
    pub(crate) sections: Vec<Section>,
}

impl Job {
    /// The jobs of one command: those that are named, or all that belong to the scale.
    pub(crate) fn all(which: Option<Which>, parts: &[capacity::Part], kind: Kind) -> Vec<Self> {
        let capacity = || capacity::Part::value_variants().iter().copied().map(Self::Part);
        match which {
            Some(Which::Client) => vec![Self::Client],
            Some(Which::ControlPlane) if parts.is_empty() => capacity().collect(),
            Some(Which::ControlPlane) => parts.iter().copied().map(Self::Part).collect(),
            Some(Which::Edge) => vec![Self::Edge],
            Some(Which::Gateways) => vec![Self::Gateways],
            Some(Which::HotPaths) => vec![Self::HotPaths],
            Some(Which::Load) => vec![Self::Load],
            Some(Which::Package) => vec![Self::Package],
            Some(Which::Refreshes) => vec![Self::Refreshes],
            None => [Self::Package, Self::Load, Self::HotPaths, Self::Client]
                .into_iter()
                .chain(capacity())
                .chain([Self::Edge, Self::Refreshes, Self::Gateways])
                .filter(|job| kind != Kind::Quick || job.is_quick())
                .collect(),
        }
    }

    pub(crate) fn name(self) -> String {
        let (command, part) = match self {
            Self::Client => ("client", None),
            Self::Edge => ("edge", None),
            Self::Gateways => ("gateways", None),
            Self::HotPaths => ("hot-paths", None),
            Self::Load => ("load", None),
            Self::Package => ("package", None),
            Self::Part(part) => ("control-plane", part.to_possible_value()),
            Self::Refreshes => ("refreshes", None),
        };
        part.map_or(command.to_owned(), |part| format!("{command} {}", part.get_name()))
    }

    /// The chapter of BENCHMARKS.md.
    pub(crate) fn chapter(self) -> &'static str {
        match self {
            Self::Package => "## The npm package",
            Self::Gateways | Self::Part(capacity::Part::Relay) => "## The guard",
            _ => "## The control plane and the edge worker",
        }
    }

    /// How long it takes on two cores with everything built. Nothing is estimated of the smoke test.
    pub(crate) fn estimate(self, kind: Kind) -> Option<Duration> {
        use capacity::Part;
        let (full, quick) = match self {
            Self::Client => (40, 20),
            Self::Edge => (125, 25),
            Self::Gateways => (380, 70),
            Self::HotPaths => (25, 15),
            Self::Load => (10, 10),
            Self::Package => (330, 60),
            Self::Part(Part::Applied) => (45, 20),
            Self::Part(Part::Bulk) => (30, 8),
            Self::Part(Part::Fold) => (40, 30),
            Self::Part(Part::Flood) => (20, 15),
            Self::Part(Part::Followers) => (22, 10),
            Self::Part(Part::Https) => (15, 10),
            Self::Part(Part::Idle) => (28, 16),
            Self::Part(Part::Introspection) => (65, 28),
            Self::Part(Part::Polls) => (40, 10),
            Self::Part(Part::Relay) => (120, 90),
            Self::Part(Part::Revokes) => (60, 16),
            Self::Part(Part::Start) => (90, 70),
            Self::Part(Part::Traces) => (40, 25),
            Self::Refreshes => (95, 28),
        };
        match kind {
            Kind::Full => Some(Duration::from_secs(full)),
            Kind::Quick => Some(Duration::from_secs(quick)),
            Kind::Smoke => None,
        }
    }

    /// True if a run of a few minutes contains it.
    fn is_quick(self) -> bool {
        use capacity::Part::{Bulk, Followers, Polls, Revokes};
        match self {
            Self::Part(part) => matches!(part, Bulk | Followers | Polls | Revokes),
            _ => true,
        }
    }

    /// What must be built for it.
    pub(crate) fn needs(self, kind: Kind) -> Build {
        match self {
            Self::Client => Build::Bench(CLIENT),
            Self::HotPaths => Build::Bench(HOT_PATHS),
            Self::Part(capacity::Part::Fold) => Build::Bench(FOLD),
            Self::Gateways | Self::Part(_) | Self::Refreshes => Build::Programs,
            // The smoke test takes the wasm and the page as they are, like all tests.
            Self::Edge if kind == Kind::Smoke => Build::Programs,
            Self::Edge => Build::System,
            Self::Load | Self::Package => Build::Wasm,
        }
    }

    /// Measures everything, or only some contests of it.
    pub(crate) async fn measure(self, scale: &Scale, only: &[String]) -> Result<Measured> {
        let mut measured = match self {
            Self::Client => of(&["The Rust client"], bench_program(scale, CLIENT).await?),
            Self::Edge => {
                of(&["From a revoke to the edge worker"], edge_latency::figures(only).await?)
            }
            Self::Gateways => printed_by_node("tests/bench/gateways.mjs", scale, only).await?,
            Self::HotPaths => {
                of(&["Hot paths of the control plane"], bench_program(scale, HOT_PATHS).await?)
            }
            Self::Load => printed_by_node("tests/bench/load.mjs", scale, only).await?,
            Self::Package => printed_by_node("tests/bench/report.mjs", scale, only).await?,
            Self::Part(capacity::Part::Relay) => {
                of(&RELAY, capacity::measure(capacity::Part::Relay).await?)
            }
            Self::Part(part) => of(&CAPACITY, capacity::measure(part).await?),
            Self::Refreshes => of(&REFRESHES, refreshes::measure().await?),
        };
        let figures = measured.sections.iter_mut().flat_map(|section| &mut section.figures);
        for figure in figures.filter(|figure| figure.contest.is_empty()) {
            // It has no part that can be run alone.
            figure.contest = self.name();
        }
        Ok(measured)
    }
}

impl Build {
    pub(crate) fn run(self, scale: &Scale) -> Result<()> {
        let is_built = scale.kind == Kind::Smoke && root().join(wasm::BUILT).exists();
        match self {
            Self::Bench(bench) => {
                tools::run("cargo", &[&bench_arguments(scale, bench)[..], &["--no-run"]].concat())
            }
            Self::Programs => server::build(scale),
            Self::System => System::build(),
            Self::Wasm if is_built => Ok(()),
            Self::Wasm => {
                tools::ensure_wasm_target()?;
                wasm::build()
            }
        }
    }
}

/// One section, with its title and how it was measured.
fn of(title: &[&str], figures: Vec<Figure>) -> Measured {
    let about = title.get(1).copied().unwrap_or_default();
    let section = Section { figures, ..Section::new(title[0], about) };
    Measured { versions: None, sections: vec![section] }
}

/// Runs a benchmark in Rust, which prints one figure a line.
pub(crate) async fn bench_program(scale: &Scale, (package, name): Bench) -> Result<Vec<Figure>> {
    let entries = if name == FOLD.1 { scale.many_entries } else { scale.entries };
    let numbers = ["--".to_owned(), entries.to_string(), scale.rounds.to_string()];
    let arguments = bench_arguments(scale, (package, name));
    let numbers = numbers.iter().map(String::as_str);
    let arguments: Vec<_> = arguments.into_iter().chain(numbers).collect();
    let printed = printed_by("cargo", &arguments, &[]).await?;
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// As a test with the features of all members, or as a benchmark.
fn bench_arguments(scale: &Scale, (package, name): Bench) -> Vec<&'static str> {
    let (command, package): (_, &[_]) = match scale.kind {
        Kind::Smoke => ("test", &["--workspace"]),
        _ => ("bench", &["--package", package]),
    };
    [&[command, "--quiet", "--all-features", "--locked", "--bench", name], package].concat()
}

/// Runs a program that prints what it measured as JSON.
async fn printed_by_node(script: &str, scale: &Scale, only: &[String]) -> Result<Measured> {
    let order = json!({ "scale": scale, "only": only }).to_string();
    let example = |name: &str| scale.program(&format!("examples/{name}"));
    let variables =
        [("MEASURED_PROGRAM", scale.program("offswitch")), ("FIXED_CHECK", example("fixed_check"))];
    let variables = variables.map(|(name, path)| (name, path.display().to_string()));
    let printed = printed_by("node", &[script, &order], &variables).await?;
    serde_json::from_str(&printed).with_context(|| format!("{script} printed something else"))
}

async fn printed_by(
    program: &str,
    arguments: &[&str],
    variables: &[(&str, String)],
) -> Result<String> {
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    let variables = variables.iter().map(|(name, value)| (name, value));
    let output =
        command.args(arguments).envs(variables).current_dir(root()).stderr(Stdio::inherit());
    let output = output.output().await.with_context(|| format!("{program} cannot be started"))?;
    ensure!(output.status.success(), "{program} {} failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// The package and the name of a benchmark in Rust.
pub(crate) type Bench = (&'static str, &'static str);
const CLIENT: Bench = ("offswitch-client", "verdicts");
const HOT_PATHS: Bench = ("offswitch", "hot_paths");
pub(crate) const FOLD: Bench = ("offswitch", "capacity");
const CAPACITY: [&str; 2] = [
    "What one control plane holds",
    "The load is made on the same cores. How fast the disk flushes decides the single revokes, and those of bare EVAL.",
];
const REFRESHES: [&str; 2] = [
    "Refreshes",
    "64 chains, each of which waits for its answer, on Redis with `appendfsync always`; all three take turns.",
];
const RELAY: [&str; 2] = [
    "Followers of a relay",
    "As many streams of the control plane, then of a relay that follows it; 20 revocations in each round.",
];

#[cfg(test)]
mod tests {
    use super::super::scale::Scale;
    use super::*;

    // The estimates of everything, with time left for what is measured again.
    #[test]
    fn a_run_of_everything_is_estimated_to_stay_below_its_limit() {
        for (kind, share) in [(Kind::Full, 0.9), (Kind::Quick, 1.0)] {
            let jobs = Job::all(None, &[], kind).into_iter();
            let all: Duration = jobs.filter_map(|job| job.estimate(kind)).sum();
            assert!(all <= Scale::of(kind).limit().mul_f64(share), "{kind:?}: {all:?}");
        }
    }

    // Everything runs as a test; the quick run leaves out what takes long, unless it is named.
    #[test]
    fn jobs_are_all_of_a_scale_or_those_that_are_named() {
        let every = Job::all(None, &[], Kind::Full);
        assert_eq!(every.len(), 7 + capacity::Part::value_variants().len());
        assert_eq!(Job::all(None, &[], Kind::Smoke), every);
        let relay = Job::Part(capacity::Part::Relay);
        assert!(!Job::all(None, &[], Kind::Quick).contains(&relay));
        let named = Job::all(Some(Which::ControlPlane), &[capacity::Part::Relay], Kind::Quick);
        assert_eq!((named, relay.name()), (vec![relay], "control-plane relay".to_owned()));
    }
}
