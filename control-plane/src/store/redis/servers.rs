//! Where the primary is, and a connection to it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, RedisError, RedisResult};
use tokio::time::Instant;

use super::super::Finding;
use super::address::{Address, Places};
use super::cluster::{Cluster, redirected};
use super::dial::Dialer;
use super::sentinel::Sentinels;
use super::tls::RedisTls;

/// The servers of a store.
pub(super) struct Servers {
    dialer: Dialer,
    places: Found,
}

enum Found {
    Cluster(Cluster),
    /// One address; and the node that has the slot, if that server is in cluster mode.
    One(ConnectionAddr, Mutex<Option<ConnectionAddr>>),
    Sentinels(Sentinels, Mutex<Option<Instant>>),
}

impl Servers {
    /// `key` is any key of the log.
    pub(super) fn new(address: Address, tls: &RedisTls, key: &str, deadline: Duration) -> Self {
        let Address { servers, login, uses_tls } = address;
        let tls = uses_tls.then(|| tls.clone());
        // Several servers may have to be asked within the deadline of one call.
        let patience = deadline / 4;
        let places = match servers {
            Places::Cluster(seeds) => Found::Cluster(Cluster::new(seeds, key, patience)),
            Places::One(address) => Found::One(address, Mutex::default()),
            Places::Sentinel { sentinels, login, service } => {
                let dialer = Dialer::new(login, tls.clone(), deadline);
                let sentinels = Sentinels::new(dialer, sentinels, service, patience);
                Found::Sentinels(sentinels, Mutex::default())
            }
        };
        Self { dialer: Dialer::new(login, tls, deadline), places }
    }

    /// Looks for the primary and connects to it. The caller checks its role.
    pub(super) async fn connect(&self) -> RedisResult<(ConnectionAddr, MultiplexedConnection)> {
        match &self.places {
            Found::Cluster(cluster) => cluster.connect(&self.dialer).await,
            Found::One(address, moved) => {
                let node = lock(moved).take();
                if let Some(node) = node
                    && let Ok(connection) = self.dialer.dial(&node).await
                {
                    lock(moved).replace(node.clone());
                    return Ok((node, connection));
                }
                Ok((address.clone(), self.dialer.dial(address).await?))
            }
            Found::Sentinels(sentinels, confirmed_at) => {
                let asked_at = Instant::now();
                let named = sentinels.ask().await?;
                let connection = self.dialer.dial(&named.primary).await?;
                if named.by_majority {
                    lock(confirmed_at).replace(asked_at);
                }
                Ok((named.primary, connection))
            }
        }
    }

    /// Connects to this server.
    pub(super) async fn dial(
        &self,
        address: &ConnectionAddr,
    ) -> RedisResult<MultiplexedConnection> {
        self.dialer.dial(address).await
    }

    /// Notes the node that `error`, an answer of `asked`, names as the one that has the slot.
    pub(super) fn note_moved(&self, error: &RedisError, asked: &ConnectionAddr) {
        match (&self.places, redirected(error, asked)) {
            (Found::Cluster(cluster), Some(node)) => cluster.moved_to(node),
            (Found::One(_, moved), node) => *lock(moved) = node,
            _ => {}
        }
    }

    /// Forgets what a node that is no primary has led to.
    pub(super) fn forget_moved(&self) {
        if let Found::One(_, moved) = &self.places {
            lock(moved).take();
        }
    }

    /// The primary that the sentinels name, if it is not `used`. What a majority of them confirms is
    /// noted. Always absent where there are no sentinels.
    pub(super) async fn replaced_by(
        &self,
        used: &ConnectionAddr,
    ) -> RedisResult<Option<ConnectionAddr>> {
        let Found::Sentinels(sentinels, confirmed_at) = &self.places else { return Ok(None) };
        let asked_at = Instant::now();
        let named = sentinels.ask().await?;
        if named.primary != *used {
            return Ok(Some(named.primary));
        }
        if named.by_majority {
            lock(confirmed_at).replace(asked_at);
        }
        Ok(None)
    }

    /// What an operator should know about the sentinels, if there are any.
    pub(super) fn sentinel_finding(&self) -> Option<Finding> {
        match &self.places {
            Found::Sentinels(sentinels, _) => sentinels.finding(),
            _ => None,
        }
    }

    /// True if there are sentinels to ask.
    pub(super) fn are_watched(&self) -> bool {
        matches!(self.places, Found::Sentinels(..))
    }

    /// How long ago a majority of the sentinels confirmed the primary in use; zero where there are
    /// no sentinels, absent if none has yet.
    pub(super) fn unconfirmed_for(&self) -> Option<Duration> {
        match &self.places {
            Found::Sentinels(_, confirmed_at) => lock(confirmed_at).map(|at| at.elapsed()),
            _ => Some(Duration::ZERO),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
