//! What `--check` answers.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::command_line::{Answer, Exit};

/// The findings so far.
#[derive(Default)]
pub(crate) struct Report {
    text: String,
    checks: Vec<Value>,
    problems: usize,
}

impl Report {
    /// Notes what was found about `what`.
    pub(crate) fn note(&mut self, what: &str, outcome: &Result<String, String>) {
        let (word, detail) = match outcome {
            Ok(detail) => ("ok", detail),
            Err(detail) => ("PROBLEM", detail),
        };
        self.problems += usize::from(outcome.is_err());
        self.checks.push(json!({ "check": what, "ok": outcome.is_ok(), "detail": detail }));
        // A string takes everything.
        let _ = writeln!(self.text, "{what}: {word}: {detail}");
    }

    /// Says whether `command` would start.
    pub(crate) fn conclude(self, command: &str) -> Answer {
        let Self { mut text, checks, problems } = self;
        let would_start = problems == 0;
        text += &match problems {
            0 => format!("{command} would start\n"),
            problems => format!("{problems} problem(s): {command} would not start\n"),
        };
        let exit = if would_start { Exit::Done } else { Exit::Refused };
        Answer { exit, text, json: json!({ "would_start": would_start, "checks": checks }) }
    }
}
