//! The figures: the npm package compared with its peers, hot paths natively and in wasm, the time
//! from a revocation to the edge, refreshes. A run of all of them writes BENCHMARKS.md.

mod document;
pub(crate) mod figure;
pub(crate) mod job;
mod machine;
mod moved;
pub(crate) mod scale;
mod section;

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::task::JoinSet;

use self::job::{Job, Measured};
use self::machine::Load;
use self::scale::{Kind, Scale, scale};
use crate::capacity;
use crate::tools::{self, root};

/// What can be measured separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// The Rust client, natively.
    Client,
    /// The capacity of the control plane on this machine, compared with bare Redis and bare Axum.
    ControlPlane,
    /// From a revocation to the edge worker.
    Edge,
    /// The guard, and gateways with it, compared with what users take instead.
    Gateways,
    /// The hot paths of the control plane, natively.
    HotPaths,
    /// How a base is loaded in wasm.
    Load,
    /// The npm package compared with its peers, in every runtime.
    #[value(alias = "verifier")]
    Package,
    /// Refreshes per second on durable Redis, compared with the limit of Redis and oidc-provider.
    Refreshes,
}

/// What one job measured, and how long it took.
struct Done {
    job: Job,
    measured: Measured,
    took: Duration,
}

/// Measures `which` and prints it, or everything. A full run of everything writes BENCHMARKS.md. `parts` selects among the
/// measurements of the control plane; if it is empty, all are run.
pub(crate) async fn run(which: Option<Which>, parts: &[capacity::Part], kind: Kind) -> Result<()> {
    scale::choose(kind);
    let scale = scale();
    let load = Load::watch()?;
    print!("{}", load.report());
    tools::ensure_npm_packages()?;
    let mut jobs = Job::all(which, parts, kind);
    if kind == Kind::Smoke {
        // What takes long begins first, since some run at the same time.
        jobs.sort_by_key(|job| Reverse(job.estimate(Kind::Quick)));
    }
    tools::ensure_bench_programs()?;
    let mut built = Vec::new();
    for build in jobs.iter().map(|job| job.needs(kind)) {
        if !built.contains(&build) {
            build.run(scale)?;
            built.push(build);
        }
    }
    announce(&jobs, kind);
    let begin = Instant::now();
    let mut done = measure_all(jobs, scale).await?;
    println!("everything took {}", written(begin.elapsed()));
    if kind == Kind::Smoke {
        return Ok(());
    }
    repeat(&mut done, scale, begin).await?;
    for Done { measured, .. } in &done {
        for section in &measured.sections {
            println!("\n{}\n{}", section.title, section.table());
        }
    }
    println!("with what was measured again it took {}", written(begin.elapsed()));
    conclude(&done, &load, which.is_none() && kind == Kind::Full)
}

/// Says what will be measured and how long it takes.
fn announce(jobs: &[Job], kind: Kind) {
    let all: Duration = jobs.iter().filter_map(|job| job.estimate(kind)).sum();
    if kind != Kind::Smoke {
        println!("estimated on two cores: {}, and what is measured again", written(all));
    }
    for job in jobs {
        println!("  {}{}", job.name(), estimated(*job, kind));
    }
}

fn estimated(job: Job, kind: Kind) -> String {
    job.estimate(kind).map_or(String::new(), |time| format!(" (estimated {})", written(time)))
}

/// One after the other; some at the same time where their figures mean nothing. The first failure ends all.
async fn measure_all(jobs: Vec<Job>, scale: &'static Scale) -> Result<Vec<Done>> {
    let together = if scale.kind == Kind::Smoke { TOGETHER } else { 1 };
    let (mut running, mut done) = (JoinSet::new(), Vec::new());
    for (at, job) in jobs.into_iter().enumerate() {
        if running.len() == together {
            done.extend(running.join_next().await.transpose()?.transpose()?);
        }
        running.spawn(async move {
            measure(job, scale).await.map(|done| (at, done)).with_context(|| job.name())
        });
    }
    while let Some(ended) = running.join_next().await {
        done.push(ended??);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}

async fn measure(job: Job, scale: &Scale) -> Result<Done> {
    println!("measuring {}", job.name());
    let begin = Instant::now();
    let measured = job.measure(scale, &[]).await?;
    section::check(&job.name(), &measured.sections)?;
    let took = begin.elapsed();
    println!("  {} took {}{}", job.name(), written(took), estimated(job, scale.kind));
    Ok(Done { job, measured, took })
}

/// Measures unsteady figures again, as long as there is time.
async fn repeat(all: &mut [Done], scale: &Scale, begin: Instant) -> Result<()> {
    for repeats in 0..MAX_REPEATS {
        for Done { job, measured, took } in all.iter_mut() {
            let contests = section::unsteady(&measured.sections);
            let all = section::contests(&measured.sections, |_| true).len();
            let cost = cost(*took, contests.len(), all);
            let may = may_repeat(repeats, cost, begin.elapsed(), scale.limit());
            if contests.is_empty() || !may {
                continue;
            }
            println!(
                "measuring again, since it is unsteady: {} ({})",
                job.name(),
                contests.join(", ")
            );
            let again = job.measure(scale, &contests).await.with_context(|| job.name())?;
            section::check(&job.name(), &again.sections)?;
            section::steadier(&mut measured.sections, again.sections);
        }
    }
    Ok(())
}

/// What it takes to run some contests of a job again: their share of the time, and what all of them need.
fn cost(took: Duration, some: usize, all: usize) -> Duration {
    took.min(took.mul_f64(some as f64 / all.max(1) as f64) + SET_UP)
}

/// Whether something is measured again: twice at most, and only if that ends within the limit.
fn may_repeat(repeats: u32, cost: Duration, elapsed: Duration, limit: Duration) -> bool {
    repeats < MAX_REPEATS && elapsed + cost <= limit
}

/// Prints what moved, and writes BENCHMARKS.md if everything was measured.
fn conclude(done: &[Done], load: &Load, is_everything: bool) -> Result<()> {
    let mut sections = Vec::new();
    for Done { measured, .. } in done {
        section::joined(&mut sections, measured.sections.clone());
    }
    let figures = moved::figures(&sections);
    let mut changes = moved::changes(&moved::committed()?, &figures);
    // The rest was not asked for.
    changes.retain(|change| is_everything || matches!(change, moved::Change::Moved { .. }));
    println!(
        "moved by more than 5 % since the last commit, of {} ratios and sizes: {}",
        figures.len(),
        changes.len()
    );
    for change in changes {
        println!("{change}");
    }
    if is_everything {
        let path = root().join("BENCHMARKS.md");
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(path, rewritten(text, done, &machine::described(load)?))?;
        moved::write(&figures)?;
        println!("written to BENCHMARKS.md and {}", moved::FILE);
    }
    Ok(())
}

/// The document with everything that was measured.
fn rewritten(mut text: String, done: &[Done], machine: &str) -> String {
    text = document::with_text(&text, TITLE, TITLE, &format!("{HEAD}\n{machine}"));
    let mut chapters: Vec<(&str, Vec<section::Section>)> = Vec::new();
    for Done { job, measured, .. } in done {
        let chapter = job.chapter();
        if let Some(versions) = &measured.versions {
            text = document::with_text(&text, chapter, chapter, versions);
        }
        match chapters.iter_mut().find(|(name, _)| *name == chapter) {
            Some((_, sections)) => section::joined(sections, measured.sections.clone()),
            None => chapters.push((chapter, measured.sections.clone())),
        }
    }
    for (chapter, sections) in chapters {
        for section in sections {
            let below = format!("{}\n\n{}", section.about, section.table());
            text = document::with_text(&text, chapter, &format!("### {}", section.title), &below);
        }
    }
    text
}

/// Minutes and seconds.
fn written(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds / 60 {
        0 => format!("{seconds} s"),
        minutes => format!("{minutes} min {} s", seconds % 60),
    }
}

/// Some jobs mostly wait.
const TOGETHER: usize = 3;
/// Tokens, a base, and processes that start.
const SET_UP: Duration = Duration::from_secs(20);
const MAX_REPEATS: u32 = 2;
const TITLE: &str = "# Benchmarks";
const HEAD: &str = "Written by `cargo xtask bench`. Contestants take turns: compare figures of one row. Each figure is the median of nine rounds,
ratios of the ratios of each round. The spread is the distance from the tenth to the ninetieth percentile of the rounds, as a share
of the median; above 15 % a figure was measured again, up to twice, and is marked if it is still unsteady. \"-\" means that it
was measured once, or before spreads were written. Sections with a date were measured separately, as they say.
[CONTRIBUTING.md](CONTRIBUTING.md#measuring) says how to measure.
";

#[cfg(test)]
mod tests {
    use super::figure::{Figure, Unit};
    use super::section::Section;
    use super::*;

    // Half of the time is over, nearly all of it, and there is no time for repeats at all.
    #[test]
    fn a_job_is_measured_again_twice_at_most_and_only_while_there_is_time() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let may = |repeats, elapsed, limit| {
            may_repeat(repeats, minutes(6), minutes(elapsed), minutes(limit))
        };
        assert_eq!([may(0, 24, 30), may(1, 24, 30), may(2, 24, 30)], [true, true, false]);
        assert!(!may(0, 25, 30) && !may(0, 1, 0));
        // One of ten contests of a long job, and all of a short one.
        assert_eq!(cost(minutes(6), 1, 10), Duration::from_secs(36 + 20));
        assert_eq!(cost(Duration::from_secs(9), 1, 1), Duration::from_secs(9));
    }

    // Two parts of the control plane, and a section that was written by hand.
    #[test]
    fn what_was_measured_is_written_and_the_rest_of_the_document_stays() {
        let of = |part, what: &str| {
            let figures = vec![Figure::new(what, Unit::Share, vec![0.5; 3])];
            let section =
                Section { figures, ..Section::new("What one control plane holds", "How.") };
            let measured = Measured { versions: None, sections: vec![section] };
            Done { job: Job::Part(part), measured, took: Duration::ZERO }
        };
        let text = "# Benchmarks\n\nearlier\n\n## The control plane and the edge worker\n\n### Faults\n\nby hand\n";
        let done = [of(capacity::Part::Revokes, "a"), of(capacity::Part::Polls, "b")];
        let new = rewritten(text.to_owned(), &done, "2 cores\n");
        assert!(new.starts_with("# Benchmarks\n\nWritten by") && !new.contains("earlier"));
        assert!(new.ends_with("| **50 %** | 0 % | a |  |\n| **50 %** | 0 % | b |  |\n"), "{new}");
        assert!(new.contains(
            "### Faults\n\nby hand\n\n### What one control plane holds\n\nHow.\n\n| median"
        ));
    }

    // Below a minute, and above.
    #[test]
    fn times_are_written_in_minutes_and_seconds() {
        let written = [3.4, 59.6, 125.0].map(|seconds| written(Duration::from_secs_f64(seconds)));
        assert_eq!(written, ["3 s", "1 min 0 s", "2 min 5 s"]);
    }
}
