//! `offswitch snapshot inspect`: reads, verifies and explains.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use offswitch::clock::unix_seconds;
use offswitch_snapshot::{FeedKey, FeedKeyId, OpenError, Snapshot};

use super::explanation::{Asked, Explanation, key_id};
use crate::command_line::{Answer, EXIT_CODES, Exit, Failure, Kind, Outcome};

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
    pub(super) json: bool,
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

impl Inspect {
    pub(super) fn run(&self) -> Outcome {
        let explanation = self.explained()?;
        let exit = if explanation.is_verified() { Exit::Done } else { Exit::Undecided };
        let json = serde_json::to_value(&explanation).unwrap_or_default();
        Ok(Answer { exit, text: explanation.to_string(), json })
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
    Failure::refused(Exit::Refused, error.code(), detail)
}

fn feed_key(text: &str) -> Result<FeedKey, Failure> {
    let bytes = Base64UrlUnpadded::decode_vec(text).ok();
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let invalid = |detail: &str| Failure::new(Kind::InvalidKey, format!("--key: {detail}"));
    let bytes = bytes.ok_or_else(|| invalid("must be 32 bytes in base64url"))?;
    FeedKey::from_bytes(&bytes).map_err(|_| invalid("is not a key that can be trusted"))
}

/// Reads at most the maximum size of a snapshot: a device file must not fill the memory.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failure = |kind, problem: &str| Failure::new(kind, format!("{} {problem}", file.display()));
    let unreadable =
        |error: std::io::Error| failure(Kind::FileUnreadable, &format!("cannot be read: {error}"));
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(file).map_err(unreadable)?),
    };
    let mut bytes = Vec::new();
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failure(Kind::FileTooLarge, "is larger than any snapshot"));
    }
    Ok(bytes)
}

const MAX_FILE_BYTES: u64 = 4 << 30;
