//! What one peer, and all of them together, may take of this process.

use std::time::Duration;

/// The limits of the accept loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long the header of a request may take, and the first one to come at all.
    pub header_timeout: Duration,
    /// How long a connection may ask nothing.
    pub idle_timeout: Duration,
    /// How many connections there may be. Each follower of the stream holds one over HTTP/1.
    pub max_connections: usize,
    /// How long open requests may go on when the process is asked to stop.
    pub shutdown_timeout: Duration,
    /// How long a peer may accept nothing of what is there for it.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            // Longer than the pools of common clients and proxies keep a connection, so that it is
            // they who close it: a request that crosses our closing has to be sent again.
            idle_timeout: Duration::from_secs(90),
            max_connections: 20_000,
            shutdown_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// The same limits, with no more connections than the process may have files open, whose limit
    /// is raised first as far as the system lets it.
    pub fn within_open_files(self) -> Self {
        let open_files = raise_open_files();
        let possible = open_files.saturating_sub(RESERVED_FILES).max(1);
        let max_connections = self.max_connections.min(possible);
        if max_connections < self.max_connections {
            tracing::warn!(
                open_files,
                wanted = self.max_connections,
                max_connections,
                "there is no room for max_connections; raise the limit of open files (ulimit -n)"
            );
        }
        Self { max_connections, ..self }
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
