//! Where an audit log has the request of a receipt.

use std::path::PathBuf;

use offswitch_core::audit::{Check, Flaw};
use offswitch_core::receipt::Receipt;
use offswitch_snapshot::FeedKey;
use serde_json::Value;

use crate::audit_command::open;
use crate::command_line::{Exit, Failure, Kind};

/// Checks the files as `offswitch audit verify` does, and names the first line that has the request.
pub(super) fn place_of(
    receipt: &Receipt,
    files: &[PathBuf],
    keys: &[FeedKey],
) -> Result<String, Failure> {
    let unreadable =
        |error: anyhow::Error| Failure::new(Kind::FileUnreadable, format!("--audit: {error:#}"));
    let mut check = Check::new(keys, Vec::new());
    let mut place = None;
    for mut lines in open(files).map_err(unreadable)? {
        while !lines.line.is_empty() {
            let at = format!("{}:{}", lines.path.display(), lines.number);
            let line = lines.line.strip_suffix(b"\n").ok_or(Flaw::Torn);
            let checked = line.and_then(|line| check.line(line).map(|()| is_of(receipt, line)));
            match checked {
                Ok(true) if place.is_none() => place = Some(at),
                Ok(_) => {}
                Err(flaw) => {
                    let detail = format!("{at}: {flaw}");
                    return Err(Failure::refused(Exit::Refused, "audit_changed", detail));
                }
            }
            lines.next().map_err(unreadable)?;
        }
    }
    place.ok_or_else(|| {
        let (position, by) = (receipt.position, &receipt.by.id);
        let detail = format!(
            "no line has an accepted request of {by} at the position {position}; give the files of the process \
             that answered it"
        );
        Failure::refused(Exit::Refused, "receipt_not_in_audit", detail)
    })
}

/// True if the line is about the request: it was accepted, by the same key, at the same position.
fn is_of(receipt: &Receipt, line: &[u8]) -> bool {
    let Ok(line) = serde_json::from_slice::<Value>(line) else { return false };
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    text("outcome") == "accepted"
        && text("by") == receipt.by.id
        && text("position") == receipt.position.to_string()
}
