//! Completions, man pages, and readers that go away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::run_with;
use crate::support::process::command;

// O07.
#[test]
fn each_shell_gets_completions_and_bash_understands_them() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run_with(&["completions", shell], &[], "");
        assert_eq!((script.code, script.err.as_str()), (Some(0), ""), "{shell}");
        assert!(script.out.contains("rotate-feed") && script.out.contains("key-file"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("offswitch.bash");
    fs::write(&path, run_with(&["completions", "bash"], &[], "").out).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&path).status().unwrap();
    assert!(checked.success());
    // What bash itself offers after `offswitch revoke t`.
    let script = format!(
        "source {}; COMP_WORDS=(offswitch revoke t); COMP_CWORD=2; \
         _offswitch offswitch t revoke; echo \"${{COMPREPLY[*]}}\"",
        path.display()
    );
    let offered = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(offered.stdout).unwrap(), "token\n");
    assert_eq!(run_with(&["completions", "tcsh"], &[], "").code, Some(2));
}

// O07: a page for each command, which every user may read and `man` shows without a complaint.
#[test]
fn each_command_has_a_man_page_that_renders() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    let written = run_with(&["man", pages.to_str().unwrap()], &[], "");
    assert_eq!((written.code, written.err.as_str()), (Some(0), ""));
    let names: Vec<_> = fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(names.len() > 40, "{}", names.len());
    for page in
        ["offswitch.1", "offswitch-revoke-user.1", "offswitch-serve.1", "offswitch-verify.1"]
    {
        assert!(pages.join(page).exists(), "{page}");
    }
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&pages), mode(&names[0])), (0o755, 0o644));
    let failed = run_with(&["man", "/dev/null/x"], &[], "");
    assert_eq!(failed.code, Some(2), "{}", failed.err);
    let plain = ["-Kutf8", "-man", "-Tutf8", "-P-cbou", "-ww"];
    let render = |path| Command::new("groff").args(plain).arg(path).output();
    for path in &names {
        // The machine of a developer may have no groff.
        let Ok(shown) = render(path) else { return };
        let (shown, complaints) = (shown.stdout, String::from_utf8(shown.stderr).unwrap());
        assert_eq!(complaints, "", "{}", path.display());
        assert!(String::from_utf8_lossy(&shown).contains("SYNOPSIS"), "{}", path.display());
    }
}

// O07: `offswitch completions bash | head -1`, with a reader that has already closed the pipe.
#[test]
fn a_reader_that_closes_early_causes_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command();
    command.args(["completions", "bash"]).stdout(writer).stderr(Stdio::piped());
    let ended = command.output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(1), 0));
}

// O07: no help and no error shows what is in the environment.
#[test]
fn the_help_does_not_show_the_environment() {
    let environment = [
        ("OFFSWITCH_URL", "http://hunter2.example"),
        ("OFFSWITCH_API_KEY", "osk_hunter2"),
        ("OFFSWITCH_API_KEY_FILE", "/hunter2"),
        ("OFFSWITCH_CONFIG", "/hunter2"),
    ];
    for arguments in
        [&["--help"][..], &["revoke", "--help"], &["help", "revoke", "user"], &["verify", "-h"]]
    {
        let help = run_with(arguments, &environment, "");
        assert_eq!(help.code, Some(0), "{arguments:?}");
        assert!(help.out.contains("OFFSWITCH_") && !help.out.contains("hunter2"), "{}", help.out);
    }
}
