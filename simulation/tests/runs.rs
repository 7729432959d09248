//! Whole runs: without a bug, and with each of the bugs that must be found.

use std::process::Command;

use clap::ValueEnum;
use offswitch_simulation::flaw::Flaw;

/// Whether the run ended well, and what it printed.
fn run(steps: u64, seed: u64, flaw: Option<Flaw>) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offswitch-simulation"));
    command.args(["--steps", &steps.to_string(), "--seed", &seed.to_string()]);
    if let Some(flaw) = flaw.and_then(|flaw| flaw.to_possible_value()) {
        command.args(["--flaw", flaw.get_name()]);
    }
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

// T03: the whole output is the same, with the hash of every step, and it is another for another seed.
#[test]
fn the_same_seed_gives_the_same_run() {
    let [one, again, other] = [5, 5, 6].map(|seed| run(3000, seed, None));
    let trace = |(_, text): &(bool, String)| {
        text.lines().find(|line| line.starts_with("trace ")).unwrap().to_owned()
    };
    assert_eq!(one, again);
    assert_ne!(trace(&one), trace(&other));
}

// R02, R03, R06, R14: every acknowledged revocation is refused by every fresh follower, no position has two
// contents, nothing goes back, and everything agrees after the faults.
#[test]
fn every_rule_holds_in_a_short_run() {
    let (is_well, text) = run(15_000, 3, None);
    assert!(is_well, "{text}");
    assert!(text.contains("lossy failover") && text.contains("wipe"), "{text}");
}

/// A run with a bug must end with the rule that the bug breaks. Each seed finds it early.
fn finds(flaw: Flaw, seed: u64, rule: &str) {
    let (is_well, text) = run(60_000, seed, Some(flaw));
    let violated = text.lines().find(|line| line.starts_with("VIOLATED"));
    let violated = violated.unwrap_or("no violation");
    assert!(!is_well && violated.contains(rule), "{flaw:?}: {violated}");
}

// T01.
#[test]
fn a_follower_that_accepts_an_older_position_is_found() {
    finds(Flaw::AcceptsOlder, 1, "the floor of follower");
}

// T01, R05.
#[test]
fn a_store_that_executes_a_request_twice_is_found() {
    finds(Flaw::AppendsTwice, 1, "a request was appended at");
}

// T01, R10.
#[test]
fn a_replaced_primary_that_goes_on_to_answer_is_found() {
    finds(Flaw::DemotedAnswers, 1, "");
}

// T01, R03, R06.
#[test]
fn an_era_that_begins_without_what_was_published_is_found() {
    finds(Flaw::EmptyEra, 1, "but the log ended at");
}

// T01, R03.
#[test]
fn a_process_that_forgets_what_it_published_is_found() {
    finds(Flaw::Forgets, 2, "went back from");
}

// T01, R02.
#[test]
fn a_store_that_gives_a_position_twice_is_found() {
    finds(Flaw::ReusesPositions, 4, "calls token");
}

// T01, S07.
#[test]
fn a_follower_that_trusts_an_old_feed_is_found() {
    finds(Flaw::TrustsStale, 5, "calls token");
}
