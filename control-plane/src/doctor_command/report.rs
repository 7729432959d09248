//! The findings for people and for programs, and the exit status.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use offswitch::doctor::report;
use offswitch_core::doctor::{Explained, Finding, Outcome};

/// In one write, and not with `println!`: a reader that closes early must not cause a panic.
pub(super) fn print(findings: &[Finding], is_json: bool) -> ExitCode {
    let text = if is_json { format!("{:#}\n", report(findings)) } else { as_text(findings) };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(status(findings)),
        Err(_) => ExitCode::FAILURE,
    }
}

fn status(findings: &[Finding]) -> u8 {
    match Outcome::of_all(findings) {
        Outcome::Ok | Outcome::Warning => 0,
        Outcome::Failed => 1,
        Outcome::Skipped => 2,
    }
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

/// What others have written does nothing to the terminal.
fn plain(text: &str) -> String {
    let escape = |one: char| match one.is_control() {
        true => one.escape_default().to_string(),
        false => one.to_string(),
    };
    text.chars().map(escape).collect()
}
