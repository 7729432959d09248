//! `offswitch snapshot import`: puts a feed file where verifiers without a network read it.

use std::path::PathBuf;

use clap::Args;
use offswitch::clock::unix_seconds;
use serde_json::{json, to_value};

use super::feed_file::{Folder, Put};
use super::verify::{Trust, read};
use crate::command_line::{Answer, EXIT_CODES, Outcome};

/// Checks a file that `snapshot export` wrote, and puts it into a folder that verifiers follow. Needs no network.
///
/// The folder is a feed as files: the Rust client and the guard follow `file:///FOLDER/head`, a web server can serve it, and
/// the npm package can read it. Readers never see half of it. A file that says less than what is there, or that is no longer
/// valid, changes nothing.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Import {
    /// The file; `-` reads the standard input.
    file: PathBuf,
    /// The folder; it is made if it is not there.
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Prints one JSON object, also for errors: `{"code", "detail"}`.
    #[arg(long)]
    pub(super) json: bool,
}

impl Import {
    pub(super) fn run(&self) -> Outcome {
        let keys = self.trust.keys()?;
        let file = read(&self.file)?;
        // Nothing is made for a file that is refused anyway.
        file.check(&keys, None, unix_seconds())?;
        let (contents, put) = Folder::open(&self.into)?.put(&file, &keys, unix_seconds())?;
        let folder = self.into.display();
        let first = match put {
            Put::Same => format!("{folder} has this already\n"),
            Put::Taken => format!("{folder} is now at {}\n", contents.position),
        };
        let mut json = to_value(&contents).unwrap_or_default();
        json["changed"] = json!(put == Put::Taken);
        Ok(Answer::done(format!("{first}{contents}"), json))
    }
}
