//! What operators see of a receiver, and the budget of what it refuses.

use offswitch_core::receivers::{Budget, Refusal, StreamState};

use super::{ReceiverError, Taken};

/// What this process has seen of one receiver since it started. Times are unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverStatus {
    /// How many requests were accepted that revoke something.
    pub accepted: u64,
    /// How many were acknowledged that revoke nothing.
    pub ignored: u64,
    /// How many were refused, or could not be carried out.
    pub failed: u64,
    /// When the last one was accepted or acknowledged.
    pub accepted_at: Option<u64>,
    /// Why the last one failed that did.
    pub last_error: Option<ReceiverFailure>,
    /// What is known about the stream of events.
    pub stream: StreamStatus,
    /// How polling goes, where events are polled.
    pub polling: PollingStatus,
}

/// What is known about a stream of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStatus {
    /// `enabled`, `paused` or `disabled`, as the transmitter said last, and when.
    pub status: Option<(u64, &'static str)>,
    /// When a verification event arrived last.
    pub verified_at: Option<u64>,
    /// When this process asked for one last.
    pub asked_at: Option<u64>,
    /// The stream that the control plane has set up, as it was when it was checked last.
    pub set_up: Option<SetUp>,
    /// Why it cannot be set up or checked now.
    pub error: Option<ReceiverFailure>,
}

/// A stream at its transmitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetUp {
    /// The transmitter's id of it.
    pub id: String,
    /// The events that the transmitter sends, by their URI.
    pub events: Vec<String>,
    /// When that was checked.
    pub checked_at: u64,
}

/// How polling goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollingStatus {
    /// When the transmitter answered last.
    pub answered_at: Option<u64>,
    /// Why the last poll failed, if it did.
    pub error: Option<ReceiverFailure>,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverFailure {
    /// When, unix seconds.
    pub at: u64,
    /// The stable code.
    pub code: &'static str,
    /// What was found and what was expected, in words.
    pub detail: String,
}

/// The state of one receiver.
#[derive(Default)]
pub(super) struct State {
    pub(super) budget: Budget,
    pub(super) status: ReceiverStatus,
}

impl State {
    pub(super) fn note(&mut self, at: u64, taken: &Result<Taken, ReceiverError>) {
        let Self { budget, status } = self;
        match taken {
            Ok(taken) => {
                match taken {
                    Taken::Ignored => status.ignored += 1,
                    Taken::Revoked(_) => status.accepted += 1,
                }
                status.accepted_at = Some(at);
            }
            Err(error) => {
                if matches!(error, ReceiverError::Forbidden(_) | ReceiverError::Refused(_)) {
                    budget.note_refused(at);
                }
                status.failed += 1;
                let (code, detail) = (error.code(), error.detail());
                status.last_error = Some(ReceiverFailure { at, code, detail });
            }
        }
    }
}

impl StreamStatus {
    /// Notes what an event says about its stream.
    pub(super) fn note(&mut self, at: u64, said: &StreamState) {
        match said {
            StreamState::Verified { .. } => self.verified_at = Some(at),
            StreamState::Updated(status) => self.status = Some((at, status)),
        }
    }
}

impl ReceiverFailure {
    pub(super) fn new(at: u64, refusal: &Refusal) -> Self {
        Self { at, code: refusal.code, detail: refusal.detail.clone() }
    }
}
