//! `offswitch completions` and `offswitch man`: files for shells and for `man`, made from the commands.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;
use rustix::fs::Mode;
use rustix::process::umask;
use serde_json::json;

use crate::command_line::{Answer, Failure, Kind, Outcome};

/// Prints the completions for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Writes a man page for each command.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder for them, such as /usr/local/share/man/man1. It is made if it is not there.
    folder: PathBuf,
}

impl Completions {
    pub(crate) fn run(&self, mut command: clap::Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "offswitch", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        Ok(Answer::done(script, json!(null)))
    }
}

impl Man {
    pub(crate) fn run(&self, command: clap::Command) -> Outcome {
        write(command, &self.folder).map_err(|error| {
            let detail = format!("{}: {error}", self.folder.display());
            Failure::new(Kind::FileUnreadable, detail)
        })?;
        let text = format!("the man pages are in {}\n", self.folder.display());
        Ok(Answer::done(text, json!(null)))
    }
}

fn write(command: clap::Command, folder: &Path) -> std::io::Result<()> {
    // These are for all users, unlike all other files of the process.
    umask(Mode::WGRP | Mode::WOTH);
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}
