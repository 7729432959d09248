//! `offswitch snapshot inspect`: reads, verifies and explains.

use std::path::PathBuf;

use clap::Args;
use offswitch::clock::unix_seconds;
use offswitch_snapshot::{FeedKey, FeedKeyId, OpenError, Snapshot};

use super::explanation::{Asked, Explanation, key_id};
use crate::command_line::{Answer, EXIT_CODES, Exit, Failure, Outcome, feed_key, read_snapshot};

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
        let bytes = read_snapshot(&self.file)?;
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
