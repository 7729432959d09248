//! `offswitch receipt`: checks receipts for what was revoked. Asks a control plane only for its public keys, and
//! only if they are not given.

mod audit;
mod keys;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use offswitch_core::receipt::{AppliedThen, Comparison, Opened, Receipt, compare, open};
use offswitch_snapshot::{FeedKey, Snapshot};
use offswitch_verifier::MAX_TOKEN_BYTES;
use serde_json::{Value, json};

use crate::command_line::{
    Answer, Connection, EXIT_CODES, Exit, Failure, Outcome, fields, moment, read_snapshot,
    read_text, scalar,
};

/// Checks receipts for what was revoked.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ReceiptCommands {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Verify),
}

/// Checks the signature of a receipt, and explains it; with `--snapshot` and `--audit` also whether these have
/// what it says.
///
/// Without `--key` and `--keys` it asks the control plane for its public keys (scope `keys:read`). It exits with 1
/// for a receipt that was changed, was made by others, or is contradicted, and with 3 where a snapshot does not
/// cover it.
#[derive(Debug, Args)]
struct Verify {
    /// A file with the receipt, or with the answer that has it; `-` reads the standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// A public key of the feed (`feed_public_keys` of `GET /v1/keys`), now or earlier; can be repeated.
    #[arg(long = "key", allow_hyphen_values = true)]
    keys: Vec<String>,
    /// A file with such keys: what `GET /v1/keys` answers.
    #[arg(long = "keys", value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// The control plane that it must be of, the exact `iss` of its tokens.
    #[arg(long)]
    issuer: Option<String>,
    /// A snapshot of the feed, as returned by `GET /v1/feed`, which must have what the receipt says.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Files of audit logs, or folders with such files, one of which must have the request; can be repeated.
    #[arg(long, value_name = "FILE")]
    audit: Vec<PathBuf>,
}

impl ReceiptCommands {
    pub(crate) async fn run(self) -> Outcome {
        let Self { connection, command: Command::Verify(verify) } = self;
        verify.run(&connection).await
    }
}

impl Verify {
    async fn run(&self, connection: &Connection) -> Outcome {
        let receipt = receipt_in(&read_text(&self.file, FILE_BYTES)?);
        let keys = keys::trusted(&self.keys, self.keys_file.as_deref(), connection).await?;
        let opened = open(&receipt, &keys, self.issuer.as_deref());
        let opened = opened
            .map_err(|flaw| Failure::refused(Exit::Refused, flaw.code(), flaw.to_string()))?;
        let in_snapshot = match &self.snapshot {
            Some(file) => Some(in_snapshot(&opened.receipt, read_snapshot(file)?, &keys)?),
            None => None,
        };
        let in_audit = match self.audit.as_slice() {
            [] => None,
            files => Some(audit::place_of(&opened.receipt, files, &keys)?),
        };
        Ok(answer(&opened, in_snapshot.as_ref(), in_audit.as_deref()))
    }
}

/// The receipt in an answer of the API, or the text itself.
fn receipt_in(text: &str) -> String {
    let answer: Option<Value> = serde_json::from_str(text).ok();
    let receipt = answer.as_ref().and_then(|answer| answer.get("receipt")?.as_str());
    receipt.unwrap_or(text).to_owned()
}

/// What the snapshot says about the receipt: `Ok` unless it contradicts it.
fn in_snapshot(receipt: &Receipt, bytes: Vec<u8>, keys: &[FeedKey]) -> Result<Comparison, Failure> {
    let snapshot = Snapshot::open(bytes, keys);
    let snapshot = snapshot
        .map_err(|error| Failure::refused(Exit::Refused, error.code(), error.to_string()))?;
    let refused = |code: &str, detail: String| Err(Failure::refused(Exit::Refused, code, detail));
    match compare(receipt, &snapshot) {
        Comparison::Forked => refused(
            "receipt_forked",
            format!(
                "the snapshot is of the same position, {}, and has another chain hash: it is of another history",
                receipt.position
            ),
        ),
        Comparison::Lacks(place) => {
            let entry = receipt.revoked.get(place).cloned().unwrap_or_default();
            let entry = Value::Object(entry);
            let detail = format!("the snapshot covers the receipt, and does not have {entry}");
            refused("receipt_not_in_snapshot", detail)
        }
        Comparison::OtherFeed => refused(
            "receipt_other_feed",
            format!("the snapshot is of {}, the receipt of {}", snapshot.feed(), receipt.iss),
        ),
        covered @ (Comparison::Contains { .. } | Comparison::Elsewhere) => Ok(covered),
    }
}

fn answer(opened: &Opened, snapshot: Option<&Comparison>, audit: Option<&str>) -> Answer {
    let Opened { receipt, claims, key } = opened;
    let (exit, snapshot) = match snapshot {
        None => (Exit::Done, None),
        Some(Comparison::Contains { found, expired, apart }) => {
            let text = format!("has {found}, no more {expired} (expired), never {apart}");
            (Exit::Done, Some(text))
        }
        Some(_) => (Exit::Undecided, Some("does not cover the position".to_owned())),
    };
    let first = format!("the receipt is good, signed by the feed key {key}\n");
    let shown = u64::try_from(receipt.revoked.len()).unwrap_or(u64::MAX);
    let more = receipt.entries.saturating_sub(shown);
    let mut text = first
        + &fields([
            ("control plane", Some(receipt.iss.clone())),
            ("position", Some(receipt.position.to_string())),
            ("chain hash", receipt.chain.clone()),
            ("durability", Some(receipt.durability.clone())),
            ("replicas", receipt.replicas.map(|count| count.to_string())),
            ("recorded", moment(&json!(receipt.at))),
            ("signed", moment(&json!(receipt.iat))),
            ("by key", Some(format!("{} ({})", receipt.by.id, receipt.by.name))),
            ("entries", Some(receipt.entries.to_string())),
            ("applied", receipt.applied.as_ref().map(applied)),
            ("snapshot", snapshot.clone()),
            ("audit log", audit.map(str::to_owned)),
        ]);
    for entry in &receipt.revoked {
        let members = entry.iter().map(|(name, value)| (name.as_str(), scalar(value)));
        text += "\n";
        text += &fields(members);
    }
    if more > 0 {
        text += &format!("\nand {more} more, which the chain hash covers\n");
    }
    let json = json!({
        "signature": "verified", "verified_by": key, "claims": claims, "snapshot": snapshot,
        "audit": audit,
    });
    Answer { exit, text, json }
}

/// How many followers held it when the receipt was signed.
fn applied(then: &AppliedThen) -> String {
    let AppliedThen { complete, followers, holding, unidentified, counted, .. } = then;
    let whether = if *complete { "complete" } else { "not complete" };
    let whose = counted.replace('_', " ");
    let mut text = format!("{whether}: {holding} of {followers} followers of {whose} held it");
    if *unidentified > 0 {
        text += &format!(", {unidentified} more are not known");
    }
    text
}

/// A receipt, or an answer around it.
const FILE_BYTES: usize = 2 * MAX_TOKEN_BYTES;
