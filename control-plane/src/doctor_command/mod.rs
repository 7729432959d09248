//! `offswitch doctor`: checks a running control plane and its issuers end to end, over HTTP as an
//! operator's machine does. Needs no store and no configuration.

mod issuers;
mod remote;
mod report;
mod sample;
mod system;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use offswitch_core::doctor::{Finding, issuer_named};
use offswitch_verifier::MAX_TOKEN_BYTES;
use url::Url;
use zeroize::Zeroizing;

use self::remote::Remote;
use self::sample::Sample;

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
    let findings = match command.asked() {
        Ok(asked) => asked.examine().await,
        Err(error) => {
            eprintln!("offswitch: {error:#}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    report::print(&findings, is_json)
}

/// What the command line asks for, read.
struct Asked {
    remote: Remote,
    issuer: Option<String>,
    feed_keys: Vec<String>,
    token: Option<Zeroizing<String>>,
    edge: Option<Url>,
}

impl Doctor {
    fn asked(self) -> anyhow::Result<Asked> {
        let url = address(&self.url).context("--url")?;
        let edge = self.edge.as_deref().map(address).transpose().context("--edge")?;
        let key = match &self.api_key_file {
            Some(file) => read(file, MAX_KEY_BYTES)?,
            None => Zeroizing::new(std::env::var(API_KEY).unwrap_or_default()),
        };
        anyhow::ensure!(!key.trim().is_empty(), "give an API key: --api-key-file or {API_KEY}");
        let remote = Remote::new(&url, key.trim())?;
        let token = self.token_file.as_deref().map(|file| read(file, MAX_TOKEN_BYTES + 2));
        let token = token.transpose()?;
        Ok(Asked { remote, issuer: self.issuer, feed_keys: self.feed_keys, token, edge })
    }
}

impl Asked {
    async fn examine(&self) -> Vec<Finding> {
        let mut findings = system::reached(&self.remote).await;
        if findings.iter().any(|one| one.check == system::UNREACHED) {
            return findings;
        }
        let mut needed = vec!["feed:read"];
        needed.extend(self.feed_keys.is_empty().then_some("keys:read"));
        needed.extend(self.edge.is_some().then_some("revocations:write"));
        let known = system::known(&self.remote, &needed, &mut findings).await;
        let feed = match &known {
            Some(known) => system::feed(&self.remote, known, &self.feed_keys, &mut findings).await,
            None => None,
        };
        let own_keys = system::own_keys(&self.remote, &mut findings).await;
        let Some(known) = known else { return findings };
        let named = self.issuer.as_deref();
        findings.extend(named.and_then(|name| issuer_named(name, &known.registered)));
        let is_meant = |name: &str| named.is_none_or(|named| named == name);
        let mut key_sets = vec![(known.issuer.clone(), own_keys)];
        for issuer in known.registered.iter().filter(|one| is_meant(&one.name)) {
            let keys = issuers::examine(&self.remote, &known.issuer, issuer, &mut findings).await;
            key_sets.push((issuer.issuer.clone(), keys));
        }
        if let Some(token) = &self.token {
            let sample = Sample { token: token.trim(), known: &known };
            let is_good = sample.explain(feed, key_sets, &mut findings);
            if let Some(edge) = &self.edge {
                sample.sacrifice(&self.remote, edge, is_good, &mut findings).await;
            }
        }
        findings
    }
}

/// An http or https address without a password in it.
fn address(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).context("is not an address")?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    anyhow::ensure!(is_http, "must be an http or https address");
    let has_login = !url.username().is_empty() || url.password().is_some();
    anyhow::ensure!(!has_login, "must not contain a user name or a password");
    Ok(url)
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
