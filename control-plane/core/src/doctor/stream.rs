//! Streams of security events: whether what their transmitter has arrives.

use offswitch_verifier::Shown;
use serde::Deserialize;

use super::{Finding, SeenError, SeenReceiver};

/// A stream of events, as `GET /v1/issuers` describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SeenStream {
    /// `enabled`, `paused` or `disabled`, as the transmitter said last.
    pub status: Option<String>,
    /// When a verification event arrived last, unix seconds.
    pub verified_at: Option<u64>,
    /// The transmitter's id of it, if the control plane has set it up.
    pub id: Option<String>,
    /// Why it cannot be set up or checked.
    pub error: Option<SeenError>,
}

/// How polling goes, as `GET /v1/issuers` describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SeenPolling {
    /// When the transmitter answered last, unix seconds.
    pub answered_at: Option<u64>,
    /// Why the last poll failed.
    pub error: Option<SeenError>,
}

/// Whether events arrive over the stream of a receiver; nothing for a receiver without one.
pub fn receiver_stream(receiver: &SeenReceiver) -> Option<Finding> {
    let SeenReceiver { stream, polling, .. } = receiver;
    if stream.is_none() && polling.is_none() {
        return None;
    }
    let stream = stream.clone().unwrap_or_default();
    let in_polling = polling.as_ref().and_then(|polling| polling.error.as_ref());
    if let Some(SeenError { code, detail, .. }) = stream.error.as_ref().or(in_polling) {
        let what = if stream.error.is_some() { "it is not set up" } else { "it cannot be polled" };
        let detail = format!("{what}: {}: {detail}", Shown::new(code));
        return Some(Finding::failed(RECEIVER_STREAM, detail));
    }
    Some(match stream.status.as_deref() {
        Some(status) if status != "enabled" => {
            let status = Shown::new(status);
            let detail = format!("the transmitter says that it is {status}; enable it there");
            Finding::failed(RECEIVER_STREAM, detail)
        }
        _ if polling.as_ref().is_some_and(|polling| polling.answered_at.is_none()) => {
            Finding::warning(RECEIVER_STREAM, "it was not polled yet; run this again")
        }
        _ if stream.id.is_some() && stream.verified_at.is_none() => {
            let detail = "no verification event has arrived at this process; run this again";
            Finding::warning(RECEIVER_STREAM, detail)
        }
        _ => Finding::ok(RECEIVER_STREAM, "events arrive, as far as the control plane knows"),
    })
}

const RECEIVER_STREAM: &str = "receiver_stream";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // O06, I11: a stream over which nothing arrives fails, with the reason.
    #[test]
    fn a_stream_that_does_not_deliver_fails() {
        let found = |stream, polling| {
            let receiver = json!({
                "receiver": "events", "accepted": 0, "stream": stream, "polling": polling,
            });
            let finding = receiver_stream(&serde_json::from_value(receiver).unwrap());
            finding.map(|one| format!("{:?} {}", one.result, one.detail)).unwrap_or_default()
        };
        let none = || json!(null);
        let error = json!({ "at": 1, "code": "stream_conflict", "detail": "delete it" });
        let polled = || json!({ "answered_at": 1 });
        assert_eq!(found(none(), none()), "");
        for (stream, polling, begin) in [
            (json!({ "id": "1", "status": "enabled", "verified_at": 1 }), polled(), "Ok"),
            (json!({ "verified_at": 1 }), none(), "Ok"),
            (json!({ "id": "1", "status": "enabled" }), polled(), "Warning no verification"),
            (none(), json!({}), "Warning it was not polled"),
            (
                json!({ "status": "paused" }),
                polled(),
                "Failed the transmitter says that it is \"paused",
            ),
            (
                json!({ "error": error }),
                polled(),
                "Failed it is not set up: \"stream_conflict\": delete",
            ),
            (none(), json!({ "error": error }), "Failed it cannot be polled"),
        ] {
            let finding = found(stream, polling);
            assert!(finding.starts_with(begin), "{finding}");
        }
    }
}
