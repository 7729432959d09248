//! The findings for people and for programs, and the exit code.

use std::fmt::Write as _;

use offswitch::doctor::report;
use offswitch_core::doctor::{Explained, Finding, Outcome};

use crate::command_line::{Answer, Exit, plain};

pub(super) fn answer(findings: &[Finding], is_strict: bool) -> Answer {
    let exit = match Outcome::of_all(findings) {
        Outcome::Warning if is_strict => Exit::Refused,
        Outcome::Ok | Outcome::Warning => Exit::Done,
        Outcome::Failed => Exit::Refused,
        Outcome::Skipped => Exit::Undecided,
    };
    Answer { exit, text: as_text(findings), json: report(findings) }
}

fn as_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { check, subject, result, detail, steps, .. } in findings {
        let subject = subject.as_ref().map(|one| format!(" {one}")).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{result:8} {}", plain(&format!("{check}{subject}: {detail}")));
        for Explained { check, passed, detail } in steps {
            let passed = match passed {
                Some(true) => "passed",
                Some(false) => "REFUSED",
                None => "not asked",
            };
            let detail = detail.as_ref().map(|one| format!(": {one}")).unwrap_or_default();
            let _ = writeln!(text, "           {passed:10} {}", plain(&format!("{check}{detail}")));
        }
    }
    let count = |result| findings.iter().filter(|one| one.result == result).count();
    let [failed, warnings, ok, skipped] =
        [Outcome::Failed, Outcome::Warning, Outcome::Ok, Outcome::Skipped].map(count);
    text + &format!("{failed} failed, {warnings} warning(s), {ok} ok, {skipped} skipped\n")
}
