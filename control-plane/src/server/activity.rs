//! What a connection's peer is doing: asking, beginning to ask, or nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// Of one connection; shared by its stream, its requests and its watch.
#[derive(Debug)]
pub(super) struct Activity {
    header_timeout: Duration,
    idle_timeout: Duration,
    state: Mutex<State>,
}

/// A request that was not answered to the end yet.
#[derive(Debug)]
pub(super) struct Asking(Arc<Activity>);

/// Why a connection is closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    HeaderTimeout,
    Idle,
    WriteTimeout,
}

#[derive(Debug)]
struct State {
    /// How many requests are being answered.
    asking: usize,
    /// When the header that is being read began; only where nothing is being answered.
    header_since: Option<Instant>,
    /// Its reads are not all headers: there are answers to pings, and window updates.
    is_http2: bool,
    /// Since when nothing is being answered, where that is so.
    quiet_since: Instant,
}

impl Activity {
    /// Of a connection that was just accepted: its first header is being waited for.
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let state = State { asking: 0, header_since: Some(now), is_http2: false, quiet_since: now };
        let &Limits { header_timeout, idle_timeout, .. } = limits;
        Self { header_timeout, idle_timeout, state: Mutex::new(state) }
    }

    /// Something came from the peer.
    pub(super) fn note_read(&self) {
        let mut state = self.state();
        if state.asking == 0 && !state.is_http2 {
            state.header_since.get_or_insert_with(Instant::now);
        }
    }

    /// A request's header is complete; it is being answered until what is returned is dropped.
    pub(super) fn ask(self: &Arc<Self>, is_http2: bool) -> Asking {
        let mut state = self.state();
        state.asking += 1;
        state.header_since = None;
        state.is_http2 = is_http2;
        drop(state);
        Asking(self.clone())
    }

    /// When to look again, or why the connection has to go.
    pub(super) fn judge(&self, now: Instant) -> Result<Instant, Reason> {
        let state = self.state();
        // A header may begin right after.
        let soon = now + self.header_timeout;
        if state.asking > 0 {
            return Ok(soon);
        }
        let (end, reason) = match state.header_since {
            Some(since) => (since + self.header_timeout, Reason::HeaderTimeout),
            None => (state.quiet_since + self.idle_timeout, Reason::Idle),
        };
        if end <= now { Err(reason) } else { Ok(end.min(soon)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.0.state();
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
