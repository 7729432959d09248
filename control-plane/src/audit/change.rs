//! One change, from its request to its line.

use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::facts::{self, Facts};
use super::{AuditLog, Unrecordable};

/// Where a change comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `request`, `command` or `task`.
    pub kind: &'static str,
    /// Identifies the request, in its answer and here.
    pub request: Option<String>,
    /// The peer of the connection.
    pub source: Option<IpAddr>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status, if it came by HTTP.
    pub status: Option<u16>,
    /// The stable code of what went wrong.
    pub code: Option<&'static str>,
    /// In one word.
    pub word: Word,
}

/// An outcome in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It was made, or there was nothing to do.
    Accepted,
    /// By the control plane: it may have been made, or not.
    Failed,
    /// It was not made.
    Refused,
    /// The caller was gone before the answer, or the process failed: it may have been made, or not.
    Unknown,
}

/// A change in progress. Its line is written when it is finished; if it is dropped before, too, since what
/// was begun may have an effect.
pub struct Change {
    log: Arc<AuditLog>,
    operation: Arc<str>,
    origin: Origin,
    facts: Arc<Mutex<Facts>>,
    /// Only if something was revoked.
    if_revoked: bool,
    is_over: bool,
}

impl Outcome {
    /// Of an answer over HTTP.
    pub fn of_answer(status: u16, code: Option<&'static str>) -> Self {
        let word = match status {
            ..400 => Word::Accepted,
            400..500 => Word::Refused,
            _ => Word::Failed,
        };
        // Some codes of OAuth have an explanation after them.
        let code = code.and_then(|code| code.split(':').next());
        Self { status: Some(status), code, word }
    }

    /// Of a command or a task.
    pub fn of(is_done: bool) -> Self {
        let word = if is_done { Word::Accepted } else { Word::Failed };
        Self { status: None, code: None, word }
    }
}

impl Word {
    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl Change {
    pub(super) fn new(
        log: Arc<AuditLog>,
        operation: Arc<str>,
        origin: Origin,
        if_revoked: bool,
    ) -> Self {
        Self { log, operation, origin, facts: Arc::default(), if_revoked, is_over: false }
    }

    /// Of the control plane itself; absent if nothing is recorded.
    pub(super) fn of_own(log: &Arc<AuditLog>, operation: &str, origin: Origin) -> Option<Self> {
        log.place()?;
        log.in_progress.fetch_add(1, Ordering::Relaxed);
        Some(Self::new(log.clone(), operation.into(), origin, false))
    }

    /// Carries out `work`, and collects the facts that it reports.
    pub async fn collect<T>(&self, work: impl Future<Output = T>) -> T {
        facts::scope(self.facts.clone(), work).await
    }

    /// Writes the line.
    ///
    /// # Errors
    ///
    /// If it could not be written.
    pub fn finish(mut self, outcome: Outcome) -> Result<(), Unrecordable> {
        self.is_over = true;
        self.write(outcome)
    }

    /// Writes the line only if it reported anything: a task that had nothing to do made no change.
    pub(super) fn finish_if_any(mut self, outcome: Outcome) {
        self.is_over = true;
        let is_any = !self.facts.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if is_any {
            let _ = self.write(outcome);
        }
    }

    pub(super) fn forget(mut self) {
        self.is_over = true;
    }

    fn write(&self, outcome: Outcome) -> Result<(), Unrecordable> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if self.if_revoked && !facts.has_revoked() {
            return Ok(());
        }
        let mut members = Vec::with_capacity(512);
        let Origin { kind, request, source } = &self.origin;
        // Writing to a vector cannot fail; what callers chose is written as JSON.
        let _ = write!(members, r#""type":"{kind}","operation":"{}""#, self.operation);
        if let Some(request) = request {
            let _ = write!(members, r#","request":"{request}""#);
        }
        if let Some(source) = source {
            let _ = write!(members, r#","source":"{source}""#);
        }
        let _ = write!(members, r#","outcome":"{}""#, outcome.word.name());
        if let Some(status) = outcome.status {
            let _ = write!(members, r#","status":{status}"#);
        }
        if let Some(code) = outcome.code {
            let _ = write!(members, r#","code":"{code}""#);
        }
        facts.write(&mut members);
        self.log.write(facts.is_by_anyone(), &members)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.write(Outcome { status: None, code: None, word: Word::Unknown });
        }
        self.log.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}
