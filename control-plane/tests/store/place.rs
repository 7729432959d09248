//! Where a store keeps its data, so that it can be opened more than once.

use std::sync::Arc;

use offswitch::store::{EmbeddedStore, RedisOptions, RedisStore, Request, Store};
use offswitch_core::limits::REQUEST_MEMORY;
use tempfile::TempDir;

use crate::support::redis_server::RedisServer;

/// A directory or a server.
pub(crate) enum Place {
    Embedded(TempDir),
    Redis(RedisServer),
}

impl Place {
    pub(crate) fn embedded() -> Self {
        Self::Embedded(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn redis() -> Self {
        Self::Redis(RedisServer::start().await)
    }

    pub(crate) async fn redis_cluster() -> Self {
        Self::Redis(RedisServer::start_cluster().await)
    }

    /// Opens the store of one feed; its first era is 7.
    pub(crate) async fn open(&self, feed: &str) -> Arc<dyn Store> {
        match self {
            Self::Embedded(directory) => {
                let path = directory.path().join(format!("{feed}.redb"));
                Arc::new(EmbeddedStore::open(&path, FIRST_ERA).unwrap())
            }
            Self::Redis(server) => {
                let options = RedisOptions { prefix: feed.to_owned(), ..options(&server.url()) };
                Arc::new(RedisStore::connect(options).await.unwrap())
            }
        }
    }

    /// Two stores for the same feed, as of two processes where that is possible.
    pub(crate) async fn open_twice(&self, feed: &str) -> [Arc<dyn Store>; 2] {
        let first = self.open(feed).await;
        let second = match self {
            Self::Embedded(_) => Arc::clone(&first),
            Self::Redis(_) => self.open(feed).await,
        };
        [first, second]
    }
}

/// The options of all tests that do not need others.
pub(crate) fn options(url: &str) -> RedisOptions {
    RedisOptions { url: url.to_owned(), first_era: FIRST_ERA, ..RedisOptions::default() }
}

/// A request whose digest follows from `content`.
pub(crate) fn request(id: &str, content: u8) -> Request {
    Request { id: id.to_owned(), digest: [content; 32], memory: REQUEST_MEMORY }
}

pub(crate) const FIRST_ERA: u64 = 7;
