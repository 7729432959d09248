//! How much of this process one peer, and all of them together, may use.

use std::time::Duration;

/// The limits of the accept loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a peer may take for one response, or for one event of a stream. A base that is
    /// being sent stays in memory even if there are newer ones.
    pub answer_timeout: Duration,
    /// How long the header of a request may take, and the wait for the first one.
    pub header_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Duration,
    /// The maximum number of connections. Over HTTP/1 each follower of the stream uses one.
    pub max_connections: usize,
    /// The maximum size of a request's head with its target; also bounds the number of CONTINUATION
    /// frames. Over HTTP/1 at most 32 KiB.
    pub max_head_bytes: u32,
    /// The maximum number of requests in progress over all connections. Each follower is one.
    pub max_requests: usize,
    /// How long open requests may continue when the process is asked to stop.
    pub shutdown_timeout: Duration,
    /// How long a peer may accept none of the data that waits for it, or take for 64 KiB of a
    /// response.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A base of ten million entries (53 MB) at 0.7 Mbit/s, or one of four million for 3,400
            // followers that start at the same time behind 1 Gbit/s. With a new base every ten
            // seconds there may be 60 old ones.
            answer_timeout: Duration::from_secs(10 * 60),
            header_timeout: Duration::from_secs(10),
            // Longer than the pools of common clients and proxies keep a connection, so that they
            // close it: a request that arrives while this process closes has to be sent again.
            idle_timeout: Duration::from_secs(90),
            max_connections: 20_000,
            max_head_bytes: 16 * 1024,
            max_requests: 40_000,
            shutdown_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// Returns these limits, with no more connections than the process may have open files. First
    /// raises that limit as far as the system allows. Logs if there is no room for that many
    /// connections, as a warning if the operator asked for them.
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

    /// Returns these limits, with room for other requests in addition to that many followers.
    pub fn beside_followers(self, max_followers: usize) -> Self {
        let least = max_followers.saturating_add(REQUESTS_BESIDE_FOLLOWERS);
        Self { max_requests: self.max_connections.saturating_mul(2).max(least), ..self }
    }
}

/// Many systems start a process with a limit of 1,024 files that the process may raise.
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
/// More than a hundred connections of a proxy use at a time.
const REQUESTS_BESIDE_FOLLOWERS: usize = 1_000;
