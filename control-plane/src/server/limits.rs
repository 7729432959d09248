//! What one peer, and all of them together, may take of this process.

use std::time::Duration;

/// The limits of the accept loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a peer may be at one answer, or at one event of a stream. A base that is on its way
    /// to someone stays in memory after newer ones.
    pub answer_timeout: Duration,
    /// How long the header of a request may take, and the first one to come at all.
    pub header_timeout: Duration,
    /// How long a connection may ask nothing.
    pub idle_timeout: Duration,
    /// How many connections there may be. Each follower of the stream holds one over HTTP/1.
    pub max_connections: usize,
    /// How many requests may be answered at once, over all connections. Each follower is one.
    pub max_requests: usize,
    /// How long open requests may go on when the process is asked to stop.
    pub shutdown_timeout: Duration,
    /// How long a peer may accept nothing of what is there for it, or be at 64 KiB of an answer.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A base of ten million entries (53 MB) at 0.7 Mbit/s, or one of four million for 3,400
            // who start at once behind 1 Gbit/s. A new base every ten seconds makes 60 old ones.
            answer_timeout: Duration::from_secs(10 * 60),
            header_timeout: Duration::from_secs(10),
            // Longer than the pools of common clients and proxies keep a connection, so that it is
            // they who close it: a request that crosses our closing has to be sent again.
            idle_timeout: Duration::from_secs(90),
            max_connections: 20_000,
            max_requests: 40_000,
            shutdown_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// The same limits, with no more connections than the process may have files open, whose limit
    /// is raised first as far as the system lets it. That is worth a warning where the operator has
    /// asked for so many.
    pub fn within_open_files(self, is_asked_for: bool) -> Self {
        let open_files = raise_open_files();
        let possible = open_files.saturating_sub(RESERVED_FILES).max(1);
        let max_connections = self.max_connections.min(possible);
        if max_connections < self.max_connections {
            let wanted = self.max_connections;
            let text =
                "there is no room for max_connections; raise the limit of open files (ulimit -n)";
            match is_asked_for {
                true => tracing::warn!(open_files, wanted, max_connections, "{text}"),
                false => tracing::info!(open_files, wanted, max_connections, "{text}"),
            }
        }
        Self { max_connections, ..self }
    }

    /// The same limits, with room for other requests beside so many followers.
    pub fn beside_followers(self, max_followers: usize) -> Self {
        let least = max_followers.saturating_add(REQUESTS_BESIDE_FOLLOWERS);
        Self { max_requests: self.max_connections.saturating_mul(2).max(least), ..self }
    }
}

/// Many systems give a process 1,024 files and let it take more when it asks.
fn raise_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current =
        if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// For the store, the log, the connections that are being refused, and the like.
const RESERVED_FILES: usize = 256;
/// More than a hundred connections of a proxy ask for at a time.
const REQUESTS_BESIDE_FOLLOWERS: usize = 1_000;
