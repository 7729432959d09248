//! `offswitch doctor`: checks a running control plane and its issuers end to end, over HTTP as an
//! operator's machine does. Needs no store and no configuration.

mod report;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use offswitch::doctor::{Examination, Remote, address};
use offswitch_verifier::MAX_TOKEN_BYTES;
use url::Url;
use zeroize::Zeroizing;

/// Checks a control plane and its issuers end to end: keys, feed, clocks, receivers, a sample token.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Doctor {
    /// The address of the control plane.
    #[arg(long)]
    url: String,
    /// A file with an API key; without it the key is read from the environment, `OFFSWITCH_API_KEY`.
    /// It needs the scopes `feed:read` and, without `--feed-key`, `keys:read`.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// Checks only the issuer that is registered under this name; all if absent.
    #[arg(long)]
    issuer: Option<String>,
    /// A public key of the feed that your verifiers trust; by default those that the control plane
    /// names. Can be repeated.
    #[arg(long = "feed-key", allow_hyphen_values = true)]
    feed_keys: Vec<String>,
    /// A file with a token, which is explained; `-` reads the standard input.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Revokes the token, and measures how soon the edge refuses it. The API key needs the scope
    /// `revocations:write`.
    #[arg(long, requires_all = ["edge", "token_file"])]
    sacrifice: bool,
    /// An address at the edge that answers 2xx with the token.
    #[arg(long, requires = "sacrifice")]
    edge: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: Doctor) -> ExitCode {
    let is_json = command.json;
    let mut findings = Vec::new();
    match command.asked() {
        Ok(asked) => asked.run(&mut findings).await,
        Err(error) => {
            eprintln!("offswitch: {error:#}");
            return ExitCode::from(WRONG_USAGE);
        }
    }
    report::print(&findings, is_json)
}

impl Doctor {
    fn asked(self) -> anyhow::Result<Examination> {
        let url = read_address(&self.url).context("--url")?;
        let edge = self.edge.as_deref().map(read_address).transpose().context("--edge")?;
        let key = match &self.api_key_file {
            Some(file) => read(file, MAX_KEY_BYTES)?,
            None => Zeroizing::new(std::env::var(API_KEY).unwrap_or_default()),
        };
        anyhow::ensure!(!key.trim().is_empty(), "give an API key: --api-key-file or {API_KEY}");
        let remote = Remote::at(&url, key.trim()).map_err(anyhow::Error::msg)?;
        let token = self.token_file.as_deref().map(|file| read(file, MAX_TOKEN_BYTES + 2));
        let token = token.transpose()?;
        Ok(Examination { remote, issuer: self.issuer, feed_keys: self.feed_keys, token, edge })
    }
}

fn read_address(text: &str) -> anyhow::Result<Url> {
    address(text).map_err(anyhow::Error::msg)
}

/// Reads a secret of at most `most` bytes; the error does not contain it.
fn read(file: &Path, most: usize) -> anyhow::Result<Zeroizing<String>> {
    let name = file.display();
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(file).with_context(|| format!("{name} cannot be read"))?),
    };
    let mut text = Zeroizing::new(String::new());
    let length = source.take(most as u64 + 1).read_to_string(&mut text);
    let length =
        length.map_err(|error| anyhow::anyhow!("{name} cannot be read: {}", error.kind()))?;
    anyhow::ensure!(length <= most, "{name} has more than {most} bytes");
    Ok(text)
}

const API_KEY: &str = "OFFSWITCH_API_KEY";
const MAX_KEY_BYTES: usize = 1024;
const WRONG_USAGE: u8 = 2;
const EXIT_CODES: &str = "\
Exit codes:
  0  everything is as it should be, or there are warnings
  1  a check failed
  2  the command line is wrong, or nothing could be checked";
