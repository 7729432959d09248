//! The master key from a command, such as a secret manager's client, run once at the start.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::MasterKeyError;

/// Runs `line` without a shell and returns its output. The line is a program and its arguments,
/// separated by spaces, without quoting or expansion. Neither the output nor the line is ever part
/// of an error.
///
/// # Errors
///
/// [`MasterKeyError::Command`].
pub(super) fn output(line: &str) -> Result<Zeroizing<String>, MasterKeyError> {
    let failed = |problem: &str| MasterKeyError::Command { problem: problem.to_owned() };
    let mut words = line.split_ascii_whitespace();
    let program = words.next().ok_or_else(|| failed("it is empty"))?;
    let mut command = Command::new(program);
    // Its output on stderr may be secret, too.
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(&format!("cannot start: {error}")))?;
    let stdout = child.stdout.take().ok_or_else(|| failed("it has no output"))?;
    let reading = thread::spawn(move || {
        let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES + 1));
        let read = stdout.take(MOST_BYTES as u64 + 1).read_to_string(&mut text);
        read.map(|_| text)
    });
    let ended = wait(&mut child, || reading.is_finished());
    let _ = child.kill();
    let status = child.wait().map_err(|error| failed(&error.to_string()))?;
    if !ended {
        return Err(failed("it did not end within 30 s"));
    }
    let text = reading.join().ok().and_then(Result::ok);
    let text = text.ok_or_else(|| failed("its output is not text"))?;
    if text.len() > MOST_BYTES {
        return Err(failed("it prints more than 4096 bytes"));
    }
    if status.success() { Ok(text) } else { Err(failed(&format!("it ended with {status}"))) }
}

/// Waits until the command has ended and its output is read; false if that takes too long. Does not
/// wait for a command that prints too much.
fn wait(child: &mut Child, is_read: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        let is_over = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        // If the output reaches its limit, reading ends before the command does.
        if is_read() && (is_over || begin.elapsed() > AFTER_OUTPUT) {
            return true;
        }
        if begin.elapsed() > LONGEST {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

const MOST_BYTES: usize = 4096;
const LONGEST: Duration = Duration::from_secs(30);
const AFTER_OUTPUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::output;

    #[test]
    fn a_command_is_run_without_a_shell_and_its_output_is_bounded() {
        assert_eq!(output("echo  one $HOME;two").unwrap().as_str(), "one $HOME;two\n");
        for (line, problem) in [
            ("", "empty"),
            ("/nonexistent/program", "cannot start"),
            ("false", "ended with"),
            ("head -c 5000 /dev/zero", "more than 4096 bytes"),
            ("cat /dev/zero", "more than 4096 bytes"),
        ] {
            let error = output(line).unwrap_err().to_string();
            assert!(error.contains(problem), "{line}: {error}");
            assert!(!error.contains("zero"), "{error}");
        }
    }
}
