//! `offswitch snapshot verify`: checks a feed file, without a network.

use std::path::{Path, PathBuf};

use clap::Args;
use offswitch::clock::unix_seconds;
use offswitch_snapshot::FeedKey;
use serde_json::to_value;

use super::feed_file::FeedFile;
use crate::command_line::{Answer, EXIT_CODES, Failure, Outcome, feed_key, read_snapshot};

/// Checks a file that `snapshot export` wrote, and shows what it holds. Needs no network.
///
/// It is checked as a verifier does: everything in it is signed by a given key, its parts lead to its position, and it is
/// still valid.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verify {
    /// The file; `-` reads the standard input.
    file: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Prints one JSON object, also for errors: `{"code", "detail"}`.
    #[arg(long)]
    pub(super) json: bool,
}

/// Whose signatures are trusted.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// A public key of the feed (`feed_public_keys` of `GET /v1/keys`); can be repeated.
    #[arg(long = "key", required = true, allow_hyphen_values = true)]
    keys: Vec<String>,
}

impl Verify {
    pub(super) fn run(&self) -> Outcome {
        let keys = self.trust.keys()?;
        let contents = read(&self.file)?.check(&keys, None, unix_seconds())?;
        Ok(Answer::done(contents.to_string(), to_value(&contents).unwrap_or_default()))
    }
}

impl Trust {
    pub(super) fn keys(&self) -> Result<Vec<FeedKey>, Failure> {
        self.keys.iter().map(|key| feed_key(key)).collect()
    }
}

/// Reads a feed file, of which nothing is known yet.
pub(super) fn read(file: &Path) -> Result<FeedFile, Failure> {
    Ok(FeedFile::read(&read_snapshot(file)?.into())?)
}
