//! `offswitch audit verify`: checks every line against the one before it.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use offswitch::clock::utc;
use offswitch::config::Config;
use offswitch_core::audit::{ChainReport, Check, Flaw, LineHash};
use offswitch_snapshot::FeedKey;
use serde_json::{Value, json};

use super::files;
use crate::command_line::{Answer, EXIT_CODES, Exit};

/// Checks audit logs, and names the first line that is not as it was written.
///
/// It exits with 1 for a line that was changed, removed, moved or added, which it names as FILE:LINE, and with 3
/// where a file cannot be read.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verify {
    /// Files of audit logs, folders with such files, or `-` for the standard input; by default the folder
    /// `audit` in data_dir. All files of a process from its first one on are needed, but the oldest may
    /// be missing.
    paths: Vec<PathBuf>,
    /// A public key of the feed (`GET /v1/keys`), now or earlier: checkpoints must be signed by one of
    /// these. Can be repeated. Without it, signatures are not checked.
    #[arg(long = "key", allow_hyphen_values = true)]
    keys: Vec<String>,
    /// A line that was noted elsewhere (`audit` in `GET /v1/status`), as SEQ:HASH, which must be there.
    /// Can be repeated.
    #[arg(long)]
    contains: Vec<String>,
    /// Prints JSON, also for errors: `{"code", "detail"}`.
    #[arg(long)]
    pub(super) json: bool,
}

impl Verify {
    pub(super) fn run(&self, config: &Config) -> anyhow::Result<Answer> {
        let keys = self.keys.iter().map(|key| feed_key(key)).collect::<anyhow::Result<Vec<_>>>()?;
        let wanted = self.contains.iter().map(|one| noted(one)).collect::<anyhow::Result<_>>()?;
        let mut check = Check::new(&keys, wanted);
        let files = files::open_configured(config, &self.paths)?;
        ensure!(!files.is_empty(), "there is no file of an audit log");
        for mut lines in files {
            while !lines.line.is_empty() {
                let checked = match lines.line.strip_suffix(b"\n") {
                    Some(line) => check.line(line),
                    None => Err(Flaw::Torn),
                };
                if let Err(flaw) = checked {
                    let (file, line) = (lines.path.display(), lines.number);
                    let (text, detail) = (format!("{file}:{line}: {flaw}\n"), flaw.to_string());
                    let (file, intact) = (file.to_string(), false);
                    let json =
                        json!({ "intact": intact, "file": file, "line": line, "detail": detail });
                    return Ok(Answer { exit: Exit::Refused, text, json });
                }
                lines.next()?;
            }
        }
        match check.finish() {
            Ok(reports) => {
                let has_keys = !keys.is_empty();
                let text = reports.iter().map(|report| shown(report, has_keys)).collect();
                let chains: Vec<_> =
                    reports.iter().map(|report| listed(report, has_keys)).collect();
                Ok(Answer::done(text, json!({ "intact": true, "chains": chains })))
            }
            Err((seq, hash)) => {
                let detail = format!("line {seq} with the hash {hash} is in none of the files");
                let json = json!({ "intact": false, "detail": detail });
                Ok(Answer { exit: Exit::Refused, text: format!("{detail}\n"), json })
            }
        }
    }
}

fn shown(report: &ChainReport, is_checked: bool) -> String {
    let ChainReport { first_file, lines, changes, lost, signed_up_to, signed_by, written_ms, end } =
        report;
    let (from, to) = (utc(written_ms.0 / 1000), utc(written_ms.1 / 1000));
    let last = end.seq.saturating_sub(1);
    let mut text = format!(
        "chain {}: {lines} line(s), {changes} change(s), {from} to {to}\n  ends with line {last}, hash {}\n",
        end.chain, end.hash
    );
    if *first_file > 1 {
        text += &format!("  begins with file {first_file}: earlier files were not given\n");
    }
    if *lost > 0 {
        text +=
            &format!("  {lost} change(s) have no line: the log could not be written at the time\n");
    }
    let checked = match is_checked {
        true => "signature checked",
        false => "signature not checked: give --key",
    };
    text += &match signed_up_to {
        Some(signed) => format!(
            "  signed up to line {signed} by {} ({checked}); after it: {} line(s)\n",
            signed_by.join(", "),
            last.saturating_sub(*signed).saturating_sub(1)
        ),
        None => {
            "  not signed: anyone who can write the file could have made all of it\n".to_owned()
        }
    };
    text
}

fn listed(report: &ChainReport, is_checked: bool) -> Value {
    json!({
        "chain": report.end.chain,
        "first_file": report.first_file,
        "lines": report.lines,
        "changes": report.changes,
        "lost": report.lost,
        "from": report.written_ms.0 / 1000,
        "to": report.written_ms.1 / 1000,
        "last": report.end.seq.saturating_sub(1),
        "hash": report.end.hash.to_string(),
        "signed_up_to": report.signed_up_to,
        "signed_by": report.signed_by,
        "signature_checked": is_checked,
    })
}

fn feed_key(text: &str) -> anyhow::Result<FeedKey> {
    let mut bytes = [0; 32];
    let decoded = Base64UrlUnpadded::decode(text, &mut bytes);
    let is_whole = decoded.is_ok_and(|decoded| decoded.len() == 32);
    ensure!(is_whole, "--key: expected 32 bytes in base64url, as GET /v1/keys shows them");
    FeedKey::from_bytes(&bytes).context("--key")
}

fn noted(text: &str) -> anyhow::Result<(u64, LineHash)> {
    let parts = text.split_once(':');
    let read = parts.and_then(|(seq, hash)| Some((seq.parse().ok()?, hash.parse().ok()?)));
    read.ok_or_else(|| anyhow!("--contains: expected SEQ:HASH, as GET /v1/status shows them"))
}
