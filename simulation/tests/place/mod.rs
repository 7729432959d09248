//! Where the simulated stores of a test are, so that they can be opened more than once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use offswitch::clock::unix_seconds;
use offswitch::store::{Request, Store};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_simulation::chance::Chance;
use offswitch_simulation::checks::Checks;
use offswitch_simulation::store::{Connection, Network};
use offswitch_simulation::time::{Clock, WorldTime};
use offswitch_simulation::trace::Trace;

/// A calm network to one server for each feed.
pub(crate) struct Place {
    time: WorldTime,
    networks: Mutex<HashMap<String, Arc<Network>>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { time: WorldTime::begin(unix_seconds()), networks: Mutex::default() }
    }

    /// Opens the store of one feed; its first era is 7.
    pub(crate) async fn open(&self, feed: &str) -> Arc<dyn Store> {
        let network = self.network(feed);
        network.begin_log(FIRST_ERA);
        let (checks, clock) = (Checks::new(self.time), Arc::new(Clock::new(self.time)));
        Connection::open(network, checks, 0, clock).await.unwrap()
    }

    /// Two stores for the same feed, as of two processes.
    pub(crate) async fn open_twice(&self, feed: &str) -> [Arc<dyn Store>; 2] {
        [self.open(feed).await, self.open(feed).await]
    }

    fn network(&self, feed: &str) -> Arc<Network> {
        let new = || {
            let trace = Arc::new(Trace::new(self.time, false));
            Network::new(self.time, Chance::new(1), trace, None, 1)
        };
        self.networks.lock().unwrap().entry(feed.to_owned()).or_insert_with(new).clone()
    }
}

/// A request whose digest follows from `content`.
pub(crate) fn request(id: &str, content: u8) -> Request {
    Request { id: id.to_owned(), digest: [content; 32], memory: REQUEST_MEMORY }
}

pub(crate) const FIRST_ERA: u64 = 7;
