//! Writes lines, notes failures and tries again.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch_core::audit::End;

use super::file::{ChainFile, Found, Signer, Writers};
use crate::store::Finding;

/// The file of this process, if it can be used.
pub(super) struct Writer {
    folder: Option<PathBuf>,
    writers: Writers,
    file_bytes: u64,
    open: Option<ChainFile>,
    failure: Option<String>,
    failed_at: Option<Instant>,
    /// Changes without a line, since the last line.
    lost: u64,
    /// Changes without a line, in the life of this process.
    lost_in_all: u64,
    is_damaged: bool,
    is_flushed: bool,
}

impl Writer {
    pub(super) fn new(folder: Option<PathBuf>, writers: Writers, file_bytes: u64) -> Self {
        let mut writer = Self {
            folder,
            writers,
            file_bytes,
            open: None,
            failure: None,
            failed_at: None,
            lost: 0,
            lost_in_all: 0,
            is_damaged: false,
            is_flushed: true,
        };
        writer.try_open();
        writer
    }

    pub(super) fn is_on(&self) -> bool {
        self.folder.is_some()
    }

    /// Writes a line; false if that failed.
    pub(super) fn write(&mut self, members: &[u8], left_out: u64, signer: Option<&Signer>) -> bool {
        self.try_open();
        let written = self.write_all(members, left_out, signer);
        match written {
            Some(Ok(())) => true,
            failed => {
                if let Some(Err(error)) = failed {
                    self.failed(&error);
                }
                self.lost += 1;
                self.lost_in_all += 1;
                false
            }
        }
    }

    fn write_all(
        &mut self,
        members: &[u8],
        left_out: u64,
        signer: Option<&Signer>,
    ) -> Option<io::Result<()>> {
        let open = self.open.as_mut()?;
        let mut append = || {
            if open.size_bytes() >= self.file_bytes {
                if let Some(signer) = signer {
                    open.checkpoint(signer, "file")?;
                }
                open.rotate()?;
            }
            if self.lost > 0 {
                open.append(format!(r#""type":"lost","lost":{}"#, self.lost).as_bytes())?;
                self.lost = 0;
            }
            if left_out > 0 {
                let members = format!(r#""type":"left_out","left_out":{left_out}"#);
                open.append(members.as_bytes())?;
            }
            open.append(members)?;
            if let Some(signer) = signer.filter(|_| open.unsigned() >= CHECKPOINT_LINES) {
                open.checkpoint(signer, "lines")?;
            }
            Ok(())
        };
        let appended = append();
        self.is_flushed = false;
        if appended.is_ok() {
            self.failure = None;
        }
        Some(appended)
    }

    pub(super) fn checkpoint(&mut self, signer: &Signer, reason: &str) {
        let Some(open) = self.open.as_mut().filter(|open| open.unsigned() > 0) else { return };
        let signed = open.checkpoint(signer, reason);
        self.is_flushed = false;
        if let Err(error) = signed {
            self.failed(&error);
        }
    }

    /// True if `bytes` more can be written.
    pub(super) fn has_room(&mut self, bytes: u64) -> bool {
        self.try_open();
        let Some(open) = &mut self.open else { return false };
        match open.reserve(bytes) {
            Ok(()) => {
                self.failure = None;
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// The file, if something was written since the last call.
    pub(super) fn unflushed(&mut self) -> Option<Arc<File>> {
        let open = self.open.as_ref().filter(|_| !self.is_flushed)?;
        self.is_flushed = true;
        Some(open.file())
    }

    pub(super) fn release(&mut self) {
        if let Some(open) = self.open.take() {
            open.release();
        }
        self.folder = None;
    }

    pub(super) fn end(&self) -> Option<End> {
        self.open.as_ref().map(|open| open.end().clone())
    }

    pub(super) fn place(&self) -> Option<(PathBuf, String)> {
        let name = self.open.as_ref().map_or(self.writers.name(), ChainFile::name);
        Some((self.folder.clone()?, name.to_owned()))
    }

    /// Notes that a line could not be written. The file is opened again a moment later.
    pub(super) fn failed(&mut self, error: &io::Error) {
        if self.failure.is_none() {
            tracing::error!(%error, "the audit log cannot be written");
        }
        self.failure = Some(error.to_string());
        self.failed_at = Some(Instant::now());
        self.open = None;
    }

    pub(super) fn findings(&self, refuses: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(error) = self.failure.as_ref().filter(|_| self.is_on()) {
            let then = match refuses {
                true => "changes are refused until it can (audit_failure)".to_owned(),
                false => format!(
                    "changes are made without a record, {} so far (audit_failure)",
                    self.lost_in_all
                ),
            };
            let detail = format!(
                "the audit log in data_dir/audit cannot be written ({error}): {then}; check its disk"
            );
            findings.push(Finding { code: "audit_not_written", detail, fatal: false });
        }
        if self.is_damaged {
            let detail = "the end of the audit log was changed since this process wrote it: a new \
                          chain has begun; run `offswitch audit verify` on data_dir/audit";
            let (code, detail) = ("audit_damaged", detail.to_owned());
            findings.push(Finding { code, detail, fatal: false });
        }
        findings
    }

    /// Opens the file, unless it is open or was tried a moment ago.
    fn try_open(&mut self) {
        let Some(folder) = self.folder.as_ref().filter(|_| self.open.is_none()) else { return };
        if self.failed_at.is_some_and(|at| at.elapsed() < TRY_EVERY) {
            return;
        }
        match ChainFile::open(folder, self.writers) {
            Ok((open, found)) => {
                match found {
                    Found::Good => {}
                    Found::Damaged => {
                        self.is_damaged = true;
                        tracing::error!("the end of the audit log was changed: a new chain begins");
                    }
                    Found::Torn => {
                        tracing::warn!("the last line of the audit log was torn; it is healed");
                    }
                }
                (self.open, self.is_flushed) = (Some(open), false);
            }
            Err(error) => self.failed(&error),
        }
    }
}

/// How long after a failure the next try is made.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// This many lines are covered by one signature, which takes as long as twenty lines.
const CHECKPOINT_LINES: u64 = 4096;
