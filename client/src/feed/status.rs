//! The state of the feed client, for people and metrics.

use serde::Serialize;

use super::FeedClient;

/// How the feed was followed so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeedStatus {
    /// The address that is asked next.
    pub url: String,
    /// When the feed was last followed successfully, unix seconds.
    pub last_round_at: Option<u64>,
    /// How often it was followed successfully.
    pub rounds: u64,
    /// How often it was not.
    pub failures: u64,
    /// What went wrong last.
    pub last_failure: Option<FeedFailure>,
    /// Since when an address serves less than is held (`feed_behind`), unix seconds.
    pub behind_since: Option<u64>,
    /// How late the stream's last event was, seconds; none where there is no stream.
    pub stream_lateness_seconds: Option<f64>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedFailure {
    /// Unix seconds.
    pub at: u64,
    /// The address of the feed.
    pub url: String,
    /// The stable code string.
    pub code: &'static str,
    /// The same for people.
    pub detail: String,
}

impl FeedClient {
    pub(crate) fn status(&self) -> FeedStatus {
        let url = self.first().url.clone();
        let stream_lateness_seconds = self.pulse().lateness_seconds();
        let state = self.state();
        FeedStatus {
            url,
            last_round_at: state.last_round.map(|(_, at)| at),
            rounds: state.rounds,
            failures: state.failures,
            last_failure: state.last_failure.clone(),
            behind_since: state.behind_since,
            stream_lateness_seconds,
        }
    }
}
