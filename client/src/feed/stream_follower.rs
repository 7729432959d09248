//! Follows the streams of a feed.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use offswitch_verifier::Applied;
use offswitch_verifier::snapshot::Position;

use super::source::{Source, Way};
use super::stream::{EVENTS_TYPE, Events, StreamEvent};
use super::{Failure, FeedClient, Round};

/// How a stream ended.
pub(super) struct StreamEnd {
    pub(super) round: Round,
    /// True where a poll is to bring what the stream could not.
    pub(super) wants_poll: bool,
}

impl FeedClient {
    /// How long nothing has to be polled: a stream brings everything in time.
    pub(super) fn quiet(&self) -> Duration {
        let mut pulse = self.pulse();
        if !pulse.is_timely() {
            return Duration::ZERO;
        }
        let patience = pulse.patience_seconds() - pulse.silent_seconds();
        drop(pulse);
        let longest =
            u32::try_from(self.settings.max_staleness_seconds).map_or(f64::MAX, f64::from);
        let until_old = self.seconds_left() - longest * 2.0 / 3.0;
        Duration::from_secs_f64(patience.min(until_old).clamp(0.0, MOST_QUIET_SECONDS))
    }

    /// True while a stream brings everything in time.
    pub(crate) fn is_streaming(&self) -> bool {
        self.pulse().is_timely()
    }

    /// Follows the stream of one address until it ends, fails or falls behind.
    pub(super) async fn follow_stream(&self) -> StreamEnd {
        let Some(source) = self.free_for_stream() else {
            return StreamEnd { round: Round::Skipped, wants_poll: false };
        };
        let mut wants_poll = false;
        let ended = self.stream(&source, &mut wants_poll).await;
        let needs_base = ended.as_ref().is_err_and(|failure| failure.needs_base);
        let round = match ended {
            Ok(None) => Round::Skipped,
            Ok(Some(applied)) => self.settle(&source, Way::Streams, Ok(applied)),
            Err(failure) => self.settle(&source, Way::Streams, Err(failure)),
        };
        self.pulse().closed();
        // That a stream ends is no failure, but the next one may be another address's.
        self.next(&source);
        StreamEnd { round, wants_poll: wants_poll || needs_base }
    }

    async fn stream(
        &self,
        source: &Arc<Source>,
        wants_poll: &mut bool,
    ) -> Result<Option<Applied>, Failure> {
        let since = self.intake.engine.since();
        let mut events = self.open_stream(source, since).await?;
        self.pulse().opened();
        let mut last = None;
        loop {
            let event = events.next(|head| self.preview(head)).await.map_err(Failure::from)?;
            let bytes = match event {
                None => return Ok(last),
                Some(StreamEvent::Snapshot(bytes)) => bytes,
                // Too large for an event: a poll brings it.
                Some(StreamEvent::Notice { name, .. }) if name == "fetch" => {
                    *wants_poll = true;
                    return Ok(Some(Applied::Ignored));
                }
                Some(StreamEvent::Notice { name, data }) if name == "position" => {
                    self.take_question(source, data);
                    continue;
                }
                Some(StreamEvent::Notice { name, data }) => {
                    let seconds = (name == "stream").then(|| self.pulse().beats(&data)).flatten();
                    // Heartbeats that are far apart are no silence.
                    if let Some(seconds) = seconds {
                        let apart = Duration::from_secs_f64(2.0 * seconds + 5.0);
                        events.patience = events.patience.max(apart);
                    }
                    continue;
                }
            };
            let taken = self.take(bytes, source, since).await?;
            last = Some(taken.applied);
            self.succeeded(source, Way::Streams);
            let delay = self.intake.engine.seconds_since_issued() - self.state().poll_delay;
            self.pulse().heard(delay);
            self.notice_lateness();
            // After too many deltas a base is wanted: a poll brings it.
            if taken.applied == Applied::Extended && taken.since.is_none() {
                *wants_poll = true;
                return Ok(last);
            }
            if self.is_old() {
                return Err(Failure {
                    code: "feed_stale",
                    detail: "the stream's snapshots are too old".to_owned(),
                    needs_base: false,
                    retry_after: Duration::ZERO,
                });
            }
            events.is_patient_again();
        }
    }

    async fn open_stream(
        &self,
        source: &Arc<Source>,
        since: Option<Position>,
    ) -> Result<Events, Failure> {
        let url = source.address("/stream", None, 0.0);
        let longest = Duration::from_secs(self.settings.max_staleness_seconds);
        let timeout = self.settings.timeout.min(longest);
        let mut ask = self.asking(source, &url, EVENTS_TYPE, None, timeout);
        if let Some(since) = since
            && let Ok(value) = HeaderValue::try_from(since.to_string())
        {
            ask.headers.insert("last-event-id", value);
        }
        Events::open(&self.client, ask).await.map_err(Failure::from)
    }

    /// Reports once that a stream is held back on its way; polls bring what it does not.
    pub(super) fn notice_lateness(&self) {
        let mut pulse = self.pulse();
        let is_new = pulse.is_newly_late();
        let late = pulse.lateness_seconds().unwrap_or(0.0).max(pulse.silent_seconds());
        let patience = pulse.patience_seconds();
        drop(pulse);
        if is_new {
            let detail = format!(
                "the stream's events come {late:.0} s late or not at all (allowed are {patience:.0} s): \
                 a proxy may buffer or compress it. The feed is polled meanwhile"
            );
            self.events.failed("stream_late", &detail, None);
        }
    }
}

const MOST_QUIET_SECONDS: f64 = 3600.0;
