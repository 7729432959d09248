//! `offswitch snapshot inspect`: reads, verifies and explains.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use offswitch::clock::unix_seconds;
use offswitch_snapshot::{FeedKey, FeedKeyId, OpenError, Snapshot};
use serde::Serialize;

use super::explanation::{Asked, Explanation, key_id};

/// Verifies a base, delta or heartbeat and explains it.
///
/// Without a key it is explained as well, but then anyone may have made it: the first line says so,
/// and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Inspect {
    /// The file, as returned by `GET /v1/feed`; `-` reads the standard input.
    file: PathBuf,
    /// A public key of the feed (`feed_public_keys` of `GET /v1/keys`); can be repeated.
    #[arg(long = "key", allow_hyphen_values = true)]
    keys: Vec<String>,
    /// Prints one JSON object, also for errors: `{"code", "detail"}`.
    #[arg(long)]
    json: bool,
    /// The issuer of the tokens and users in question; the feed's own issuer if absent.
    #[arg(long)]
    issuer: Option<String>,
    /// Is this token denied in it?
    #[arg(long)]
    jti: Vec<String>,
    /// Is this session denied in it?
    #[arg(long)]
    session: Vec<String>,
    /// Does it contain a minimum version for this user?
    #[arg(long)]
    sub: Vec<String>,
}

/// Why the snapshot cannot be explained.
#[derive(Debug, Serialize)]
struct Failure {
    /// The stable code.
    code: &'static str,
    detail: String,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (text, code) = match self.explained() {
            Ok(explanation) => {
                let code = if explanation.is_verified() { 0 } else { NOT_VERIFIED };
                let text = if self.json { json(&explanation)? } else { explanation.to_string() };
                (text, code)
            }
            Err(failure) if self.json => (json(&failure)?, REFUSED),
            Err(Failure { code, detail }) => anyhow::bail!("{code}: {detail}"),
        };
        // In one call, and not with `println!`: a reader that closes early must not cause a panic.
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(ExitCode::from(code))
    }

    fn explained(&self) -> Result<Explanation, Failure> {
        let keys = self.keys.iter().map(|key| feed_key(key)).collect::<Result<Vec<_>, _>>()?;
        let bytes = read(&self.file)?;
        let signers: Vec<_> = Snapshot::claimed_signers(&bytes).collect();
        let opened = match keys.as_slice() {
            [] => Snapshot::peek_unverified(bytes),
            keys => Snapshot::open(bytes, keys),
        };
        let snapshot = opened.map_err(|error| refused(error, &signers, &keys))?;
        let issuer = self.issuer.as_deref().unwrap_or(snapshot.feed());
        let tokens = self.jti.iter().map(|id| Asked::token(&snapshot, issuer, id));
        let sessions = self.session.iter().map(|id| Asked::session(&snapshot, issuer, id));
        let users = self.sub.iter().map(|id| Asked::user(&snapshot, issuer, id));
        let asked = tokens.chain(sessions).chain(users).collect();
        Ok(Explanation::new(&snapshot, signers, &keys, asked, unix_seconds()))
    }
}

fn refused(error: OpenError, signers: &[FeedKeyId], keys: &[FeedKey]) -> Failure {
    let mut detail = error.to_string();
    if error == OpenError::UnknownKey {
        let signers: Vec<_> = signers.iter().copied().map(key_id).collect();
        let given: Vec<_> = keys.iter().map(|key| key_id(key.id())).collect();
        let (signers, given) = (signers.join(", "), given.join(", "));
        detail += &format!("; it is signed by {signers}, and given are {given}");
    }
    Failure { code: error.code(), detail }
}

fn json(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(answer)? + "\n")
}

fn feed_key(text: &str) -> Result<FeedKey, Failure> {
    let bytes = Base64UrlUnpadded::decode_vec(text).ok();
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let invalid =
        |detail: &str| Failure { code: "invalid_key", detail: format!("--key: {detail}") };
    let bytes = bytes.ok_or_else(|| invalid("must be 32 bytes in base64url"))?;
    FeedKey::from_bytes(&bytes).map_err(|_| invalid("is not a key that can be trusted"))
}

/// Reads at most the maximum size of a snapshot: a device file must not fill the memory.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failure = |code, problem: &str| {
        let detail = format!("{} {problem}", file.display());
        Failure { code, detail }
    };
    let unreadable =
        |error: std::io::Error| failure("file_unreadable", &format!("cannot be read: {error}"));
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(file).map_err(unreadable)?),
    };
    let mut bytes = Vec::new();
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failure("file_too_large", "is larger than any snapshot"));
    }
    Ok(bytes)
}

const REFUSED: u8 = 1;
/// A separate code, so that a script without the key does not take an explanation for a
/// verification.
const NOT_VERIFIED: u8 = 3;
const EXIT_CODES: &str = "\
Exit codes:
  0  verified by one of the given keys, and explained
  1  refused: no snapshot, none of the given keys signed it, a signature is wrong, or it cannot be read
  2  the command line is wrong
  3  explained, but NOT verified: no --key was given";
const MAX_FILE_BYTES: u64 = 4 << 30;
