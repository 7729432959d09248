//! Whether a stream brings its events in time. A proxy that buffers or compresses holds them back for seconds or
//! minutes while the connection looks well.

use std::time::Instant;

use crate::http::MOST_HEARTBEAT_SECONDS;

pub(crate) struct Pulse {
    began: Instant,
    heartbeat_seconds: f64,
    /// When the last event came; none where no stream brings any.
    event_at: Option<f64>,
    /// Since when all events came in time.
    good_since: f64,
    is_trusted: bool,
    /// True until a stream that was opened has brought an event.
    is_first: bool,
    /// True once it was reported that the stream is late.
    is_reported: bool,
    /// How late the last event was, seconds; none before there was one.
    lateness_seconds: Option<f64>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            heartbeat_seconds: DEFAULT_HEARTBEAT_SECONDS,
            event_at: None,
            good_since: 0.0,
            is_trusted: true,
            is_first: true,
            is_reported: false,
            lateness_seconds: None,
        }
    }

    /// A stream has begun.
    pub(super) fn opened(&mut self) {
        self.heartbeat_seconds = DEFAULT_HEARTBEAT_SECONDS;
        self.is_first = true;
    }

    /// Takes what the server says about its stream: the seconds from one heartbeat to the next.
    pub(super) fn beats(&mut self, data: &str) -> Option<f64> {
        let said: serde_json::Value = serde_json::from_str(data).ok()?;
        let seconds = said.get("heartbeat_seconds")?.as_f64()?;
        if !(1.0..=f64::from(MOST_HEARTBEAT_SECONDS)).contains(&seconds) {
            return None;
        }
        self.heartbeat_seconds = seconds;
        Some(seconds)
    }

    /// The stream has brought an event, `delay` seconds after it was signed.
    pub(super) fn heard(&mut self, delay: f64) {
        let now = self.now();
        let is_silent = self.silent_seconds() > self.patience_seconds();
        let lateness = delay.max(0.0);
        self.lateness_seconds = Some(lateness);
        // A relay signs nothing: it begins with the heartbeat that came to it last.
        let is_first = std::mem::take(&mut self.is_first);
        let age = if is_first { self.heartbeat_seconds } else { 0.0 };
        // All that a poll brought meanwhile says nothing about this.
        if is_silent || lateness > LATE_SECONDS + age {
            self.good_since = now;
            self.is_trusted = false;
        } else if now - self.good_since >= (3.0 * self.heartbeat_seconds).max(10.0) {
            self.is_trusted = true;
        }
        self.event_at = Some(now);
    }

    /// The stream is over.
    pub(super) fn closed(&mut self) {
        self.event_at = None;
    }

    /// True while a stream brings everything in time.
    pub(super) fn is_timely(&mut self) -> bool {
        if self.event_at.is_none() {
            return false;
        }
        if self.silent_seconds() > self.patience_seconds() {
            self.is_trusted = false;
        }
        self.is_trusted
    }

    /// True where a stream brings events, but late.
    pub(super) fn is_late(&mut self) -> bool {
        self.event_at.is_some() && !self.is_timely()
    }

    /// True once each time that the stream begins to be late.
    pub(super) fn is_newly_late(&mut self) -> bool {
        if self.is_timely() {
            self.is_reported = false;
        }
        let is_new = self.is_late() && !self.is_reported;
        self.is_reported |= is_new;
        is_new
    }

    /// The seconds from one heartbeat to the next, as the server of the stream says.
    pub(super) fn heartbeat_seconds(&self) -> f64 {
        self.heartbeat_seconds
    }

    /// Seconds since the last event.
    pub(super) fn silent_seconds(&self) -> f64 {
        self.event_at.map_or(0.0, |at| self.now() - at)
    }

    /// How long a stream may be silent, seconds.
    pub(super) fn patience_seconds(&self) -> f64 {
        self.heartbeat_seconds * 1.5 + 1.0
    }

    /// How late the last event was, or how long the stream has been silent; none before there was one.
    pub(super) fn lateness_seconds(&mut self) -> Option<f64> {
        let silent = if self.is_late() { self.silent_seconds() } else { 0.0 };
        self.lateness_seconds.map(|lateness| lateness.max(silent))
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Of a server that does not name it.
const DEFAULT_HEARTBEAT_SECONDS: f64 = 10.0;
/// A snapshot's time has whole seconds, and the process that signs it may itself be a bit behind.
const LATE_SECONDS: f64 = 4.0;
