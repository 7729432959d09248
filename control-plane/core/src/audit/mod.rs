//! The audit log: one line of JSON for each change, each chained to the line before by a hash, and
//! signed checkpoints in between.
//!
//! [`write_line`] writes lines, [`Target`] says what a change was about, [`Check`] finds the first line that is
//! not as it was written. docs/guides/audit.md describes the format for readers.

mod check;
mod line;
mod target;

pub use check::{ChainReport, Check, Flaw};
pub use line::{
    End, Line, LineHash, MAX_LINE_BYTES, Marked, UnknownHash, checkpoint_message, write_line,
};
pub use target::{Target, Targets, shown_claims};
