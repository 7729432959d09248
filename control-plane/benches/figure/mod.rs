//! What `cargo xtask bench` reads: one figure a line, as JSON (xtask/src/bench/figure.rs).

use std::time::Duration;

use serde_json::{Value, json};

/// The numbers of the command line: how many entries, and how many rounds.
pub(crate) fn scale(entries: u64) -> (u64, usize) {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let entries = numbers.next().unwrap_or(entries);
    (entries, numbers.next().map_or(9, |rounds| usize::try_from(rounds).unwrap()))
}

/// Prints the rounds of one figure. The goal is `{"least": …}`, `{"most": …}` or null.
pub(crate) fn print(what: &str, unit: &str, rounds: &[f64], goal: &Value, more: &str) {
    let figure =
        json!({ "what": [what], "unit": unit, "rounds": rounds, "goal": goal, "more": [more] });
    println!("{figure}");
}

/// The same for times.
pub(crate) fn print_times(what: &str, rounds: &[Duration], goal: &Value, more: &str) {
    print(what, "nanoseconds", &nanoseconds(rounds), goal, more);
}

pub(crate) fn nanoseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e9).collect()
}
