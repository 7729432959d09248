//! How a command ends: its exit code, and what it prints for people and for programs.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use offswitch::config::Problem;
use serde::Serialize;
use serde_json::Value;

/// The exit codes, the same for all commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; the token is valid.
    Done = 0,
    /// The answer is no.
    Refused = 1,
    /// Nothing was asked or done.
    Usage = 2,
    /// Not known now.
    Undecided = 3,
}

/// The answer of a command.
pub(crate) struct Answer {
    pub(crate) exit: Exit,
    /// For people, with a line break at its end.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
}

/// Why a command has no answer.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// The stable code: that of the control plane, or of a [`Kind`].
    pub(crate) code: String,
    pub(crate) detail: String,
    /// The HTTP status, if the control plane refused the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// The place in the request that is wrong, a JSON Pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
}

/// The failures of the commands themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BaseLate,
    ConfirmationNeeded,
    ControlPlaneUnreachable,
    FeedUnreachable,
    FileTooLarge,
    FileUnreadable,
    FileWritable,
    InvalidInput,
    InvalidKey,
    UnexpectedAnswer,
    WrongUsage,
}

/// What a command comes to.
pub(crate) type Outcome = Result<Answer, Failure>;

impl Exit {
    /// All of them, each with what it means: for the reference.
    #[cfg(test)]
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (
            Self::Done,
            "done; of `verify`: the token is valid; of `inspect`, `receipt verify` and `snapshot verify`: its signature is good",
        ),
        (
            Self::Refused,
            "refused, or failed: the control plane refused the request, the token is refused, a check \
             of `doctor` failed, a backup cannot be used",
        ),
        (
            Self::Usage,
            "the command line, the configuration or a file that it names is wrong: nothing was asked or \
             done",
        ),
        (
            Self::Undecided,
            "not known now: the control plane or the store does not answer, the token is undecided, or \
             something was explained without a key that could verify it",
        ),
    ];
}

impl Kind {
    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::ConfirmationNeeded => "confirmation_needed",
            Self::ControlPlaneUnreachable => "control_plane_unreachable",
            Self::BaseLate => "base_late",
            Self::FeedUnreachable => "feed_unreachable",
            Self::FileTooLarge => "file_too_large",
            Self::FileUnreadable => "file_unreadable",
            Self::FileWritable => "file_writable",
            Self::InvalidInput => "invalid_input",
            Self::InvalidKey => "invalid_key",
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::WrongUsage => "wrong_usage",
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::BaseLate
            | Self::ControlPlaneUnreachable
            | Self::FeedUnreachable
            | Self::UnexpectedAnswer => Exit::Undecided,
            _ => Exit::Usage,
        }
    }
}

impl Answer {
    /// What was asked for was done.
    pub(crate) fn done(text: String, json: Value) -> Self {
        Self { exit: Exit::Done, text, json }
    }
}

impl Failure {
    /// A failure of the command itself.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self::refused(kind.exit(), kind.code(), detail)
    }

    /// A refusal with a code of the control plane or of the verifier.
    pub(crate) fn refused(exit: Exit, code: &str, detail: impl Into<String>) -> Self {
        let (code, detail) = (code.to_owned(), detail.into());
        Self { exit, code, detail, status: None, pointer: None }
    }

    /// A configuration that has these problems.
    pub(crate) fn of_configuration(problems: &[Problem]) -> Self {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self::new(Kind::WrongUsage, format!("the configuration: {}", all.join("; ")))
    }

    /// Prints it to the standard error.
    pub(crate) fn print(&self, is_json: bool) -> ExitCode {
        let text = match is_json {
            true => serde_json::to_string_pretty(self).unwrap_or_default(),
            false => format!("offswitch: {self}"),
        };
        // Without a reader, the exit code still says it.
        let _ = writeln!(std::io::stderr(), "{text}");
        self.exit.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, super::plain(&self.detail))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints an answer to the standard output, or a failure to the standard error.
pub(crate) fn print(outcome: Outcome, is_json: bool) -> ExitCode {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(failure) => return failure.print(is_json),
    };
    let text = match is_json {
        true => format!("{:#}\n", answer.json),
        false => answer.text,
    };
    // In one write, and not with `println!`: a reader that closes early must not cause a panic.
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => answer.exit.into(),
        Err(_) => Exit::Refused.into(),
    }
}

/// Prints every problem of a configuration.
pub(crate) fn misconfigured(problems: &[Problem], is_json: bool) -> ExitCode {
    if is_json {
        return Failure::of_configuration(problems).print(true);
    }
    eprintln!("the configuration has {} problem(s):", problems.len());
    problems.iter().for_each(|problem| eprintln!("  {problem}"));
    Exit::Usage.into()
}

/// For `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; of verify: the token is valid; of inspect, receipt verify and snapshot verify: its signature is good
  1  refused, or failed
  2  the command line, the configuration or a file that it names is wrong: nothing was asked or done
  3  not known now: no answer, an undecided token, or something explained but not verified";
