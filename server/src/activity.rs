//! What a connection's peer is doing: sending a request, beginning one, or nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::in_flight::Place;
use super::progress::Progress;
use super::stopping::{LAST_PATIENCE, Stopping};

/// The activity of one connection; shared by its stream, its requests and its watch.
#[derive(Debug)]
pub(super) struct Activity {
    limits: Arc<Limits>,
    /// The progress of the response over HTTP/1; streams over HTTP/2 are watched separately.
    progress: Progress,
    stopping: Stopping,
    state: Mutex<State>,
}

/// A request that was not answered completely yet.
#[derive(Debug)]
pub(super) struct Asking {
    activity: Arc<Activity>,
    _place: Place,
}

/// Why this process closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    HeaderTimeout,
    Idle,
    WriteTimeout,
}

#[derive(Debug)]
struct State {
    /// The number of requests in progress.
    asking: usize,
    /// How many of them wait for more of their body.
    awaiting: usize,
    /// When the last bytes came from the peer.
    read_at: Instant,
    /// When the header that is being read began; only set while no request is in progress.
    header_since: Option<Instant>,
    /// Not all of its reads are headers: there are replies to pings, and window updates.
    is_http2: bool,
    /// Since when no request is in progress, if that is so.
    quiet_since: Instant,
}

impl Activity {
    /// For a connection that was just accepted: its first header is awaited.
    pub(super) fn new(limits: Arc<Limits>, stopping: Stopping) -> Self {
        let now = Instant::now();
        let state = State {
            asking: 0,
            awaiting: 0,
            read_at: now,
            header_since: Some(now),
            is_http2: false,
            quiet_since: now,
        };
        Self { limits, progress: Progress::default(), stopping, state: Mutex::new(state) }
    }

    /// Notes that bytes came from the peer.
    pub(super) fn note_read(&self) {
        let mut state = self.state();
        state.read_at = Instant::now();
        if state.asking == 0 && !state.is_http2 {
            let now = state.read_at;
            state.header_since.get_or_insert(now);
        }
    }

    /// Notes that one request more, or one less, waits for more of its body.
    pub(super) fn note_awaited(&self, is_awaited: bool) {
        let mut state = self.state();
        match is_awaited {
            true => state.awaiting += 1,
            false => state.awaiting = state.awaiting.saturating_sub(1),
        }
    }

    /// Notes that a request's header is complete. The request is in progress until the returned
    /// value is dropped.
    pub(super) fn ask(self: &Arc<Self>, is_http2: bool, place: Place) -> Asking {
        let mut state = self.state();
        state.asking += 1;
        state.header_since = None;
        state.is_http2 = is_http2;
        drop(state);
        Asking { activity: self.clone(), _place: place }
    }

    pub(super) fn is_asking(&self) -> bool {
        self.state().asking > 0
    }

    /// True if no request is in progress, or only requests whose bodies do not arrive.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let state = self.state();
        match state.asking {
            0 => state.quiet_since + LAST_PATIENCE <= now,
            asking => state.awaiting >= asking && state.read_at + LAST_PATIENCE <= now,
        }
    }

    /// Shortens the peer's time for taking data, because the process was asked to stop.
    pub(super) fn hasten(&self) {
        self.progress.hasten(Instant::now() + LAST_PATIENCE);
    }

    /// When to check again, or why the connection must be closed. If few connections are left for
    /// other clients, an idle one is closed sooner.
    pub(super) fn judge(&self, now: Instant, is_crowded: bool) -> Result<Instant, Reason> {
        let state = self.state();
        // A header may begin immediately afterwards.
        let soon = now + self.limits.header_timeout;
        let idle_timeout = match is_crowded {
            true => self.limits.idle_timeout.min(CROWDED_IDLE_TIMEOUT),
            false => self.limits.idle_timeout,
        };
        let (end, reason) = match state.header_since {
            _ if state.asking > 0 => (self.progress.due().unwrap_or(soon), Reason::WriteTimeout),
            Some(since) => (since + self.limits.header_timeout, Reason::HeaderTimeout),
            None => (state.quiet_since + idle_timeout, Reason::Idle),
        };
        if end <= now { Err(reason) } else { Ok(end.min(soon)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// The progress of the response over HTTP/1.
    pub(super) fn progress(&self) -> &Progress {
        &self.activity.progress
    }

    /// The deadline for taking a piece that is handed out now, of data that was available at
    /// `since`.
    pub(super) fn due(&self, since: Instant) -> Instant {
        let limits = &self.activity.limits;
        let patience = match self.activity.stopping.is_now() {
            true => limits.write_timeout.min(LAST_PATIENCE),
            false => limits.write_timeout,
        };
        (Instant::now() + patience).min(since + limits.answer_timeout)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.activity.progress.taken();
        let mut state = self.activity.state();
        state.asking -= 1;
        state.quiet_since = Instant::now();
    }
}

impl Reason {
    /// Its label in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HeaderTimeout => "header_timeout",
            Self::Idle => "idle",
            Self::WriteTimeout => "write_timeout",
        }
    }
}

/// Honest clients may pause longer and then have to reconnect; with no room left they could not.
const CROWDED_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
