//! What is shown of receivers in `/v1/status` and `/v1/issuers`.

use offswitch_core::receivers::{EventReceiver, ReceiverKind, Receivers};
use serde::Serialize;
use utoipa::ToSchema;

use crate::plane::{Plane, PollingStatus, ReceiverFailure, ReceiverStatus, SetUp, StreamStatus};

/// What this process has seen of a receiver since it started.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ReceiverState {
    /// Which one.
    #[schema(example = "backchannel-logout")]
    receiver: &'static str,
    /// How many requests were accepted that revoke something.
    accepted: u64,
    /// How many were acknowledged that revoke nothing.
    ignored: u64,
    /// How many were refused, or could not be carried out.
    failed: u64,
    /// When the last one was accepted or acknowledged, unix seconds; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<u64>,
    /// Why the last request failed that did; absent if none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ReceiverErrorState>,
    /// What is known about the stream of events; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamState>,
    /// How polling goes; absent if events are not polled.
    #[serde(skip_serializing_if = "Option::is_none")]
    polling: Option<PollingState>,
}

/// What is known about a stream of events. Times are unix seconds.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
struct StreamState {
    /// `enabled`, `paused` or `disabled`, as the transmitter said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// When that was heard first.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    /// When a verification event arrived last.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<u64>,
    /// When this process asked for one last.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_at: Option<u64>,
    /// The transmitter's id of the stream that the control plane has set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// When it was checked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<u64>,
    /// The events that the transmitter sends, by their URI.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<String>,
    /// Why the stream cannot be set up or checked now; absent if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ReceiverErrorState>,
}

/// How polling goes.
#[derive(Debug, Serialize, ToSchema)]
struct PollingState {
    /// When the transmitter answered last, unix seconds; absent before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<u64>,
    /// Why the last poll failed; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ReceiverErrorState>,
}

/// Why something failed.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct ReceiverErrorState {
    /// When, unix seconds.
    at: u64,
    /// The stable code.
    code: &'static str,
    /// What was found and what was expected, in words.
    detail: String,
}

impl ReceiverState {
    /// The receivers of the issuer with this name.
    pub(in crate::http) fn all(plane: &Plane, name: &str, receivers: &Receivers) -> Vec<Self> {
        let is_polled = receivers.events.as_ref().is_some_and(EventReceiver::is_polled);
        let state = |kind: ReceiverKind| {
            let is_polled = is_polled && kind == ReceiverKind::Events;
            Self::new(kind, plane.receivers.status(name, kind), is_polled)
        };
        receivers.kinds().map(state).collect()
    }

    fn new(kind: ReceiverKind, status: ReceiverStatus, is_polled: bool) -> Self {
        let stream = StreamState::new(status.stream);
        let PollingStatus { answered_at, error } = status.polling;
        let polling = PollingState { answered_at, error: error.map(ReceiverErrorState::new) };
        Self {
            receiver: kind.name(),
            accepted: status.accepted,
            ignored: status.ignored,
            failed: status.failed,
            accepted_at: status.accepted_at,
            last_error: status.last_error.map(ReceiverErrorState::new),
            stream: (stream != StreamState::default()).then_some(stream),
            polling: is_polled.then_some(polling),
        }
    }
}

impl StreamState {
    fn new(known: StreamStatus) -> Self {
        let StreamStatus { status, verified_at, asked_at, set_up, error } = known;
        let (at, status) = status.unzip();
        let (id, events, checked_at) = match set_up {
            Some(SetUp { id, events, checked_at }) => (Some(id), events, Some(checked_at)),
            None => (None, vec![], None),
        };
        let error = error.map(ReceiverErrorState::new);
        Self { status, at, verified_at, asked_at, id, checked_at, events, error }
    }
}

impl ReceiverErrorState {
    fn new(failure: ReceiverFailure) -> Self {
        let ReceiverFailure { at, code, detail } = failure;
        Self { at, code, detail }
    }
}
