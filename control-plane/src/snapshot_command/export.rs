//! `offswitch snapshot export`: the feed as it is now, in one file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use offswitch::clock::unix_seconds;
use serde_json::to_value;

use super::feed_source::FeedSource;
use super::verify::Trust;
use crate::command_line::{Answer, Connection, EXIT_CODES, Failure, Kind, Outcome};

/// Writes the feed as it is now to one file, to be carried to verifiers without a network.
///
/// It asks the control plane at --url, with an API key that has the scope feed:read; or it reads a feed that is published as
/// files (--head). What it reads is checked with the feed's key before the file is written. It takes until the feed has a base
/// with everything that was revoked before, usually a moment and ten seconds at most by default.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(super) connection: Connection,
    /// In place of a control plane: the head of a feed that is published as files, an http or https address or
    /// file:///folder/head.
    #[arg(long, value_name = "ADDRESS")]
    head: Option<String>,
    /// The file to write; one that is there is replaced.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    trust: Trust,
}

impl Export {
    pub(super) async fn run(&self) -> Outcome {
        let keys = self.trust.keys()?;
        let source = match self.head.as_deref().filter(|head| !head.is_empty()) {
            Some(head) => FeedSource::head(head)?,
            None => FeedSource::control_plane(&self.connection.open()?)?,
        };
        let file = source.read(&keys).await?;
        let contents = file.check(&keys, None, unix_seconds())?;
        let written = file.write(contents.issued_at).and_then(|bytes| write(&self.to, &bytes));
        let path = self.to.display();
        written.map_err(|error| Failure::new(Kind::FileUnreadable, format!("{path}: {error}")))?;
        let text = format!("wrote {path}\n{contents}");
        Ok(Answer::done(text, to_value(&contents).unwrap_or_default()))
    }
}

/// The file gets its name once it is complete.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}
