//! What `--check` prints.

use std::process::ExitCode;

use crate::command_line::Exit;

/// The findings so far.
#[derive(Default)]
pub(crate) struct Report {
    problems: usize,
}

impl Report {
    /// Prints what was found about `what`.
    pub(crate) fn note(&mut self, what: &str, outcome: &Result<String, String>) {
        let (word, text) = match outcome {
            Ok(text) => ("ok", text),
            Err(text) => ("PROBLEM", text),
        };
        self.problems += usize::from(outcome.is_err());
        println!("{what}: {word}: {text}");
    }

    /// Prints whether `command` would start, and answers with the code to exit with.
    pub(crate) fn conclude(&self, command: &str) -> ExitCode {
        match self.problems {
            0 => {
                println!("{command} would start");
                Exit::Done.into()
            }
            problems => {
                println!("{problems} problem(s): {command} would not start");
                Exit::Refused.into()
            }
        }
    }
}
