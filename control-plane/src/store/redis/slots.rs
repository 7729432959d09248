//! The connections that calls share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::ConnectionAddr;
use redis::aio::MultiplexedConnection;

use super::health::Health;

/// A connection, and what is known of its server.
#[derive(Clone)]
pub(super) struct Shared {
    /// Different for each connection.
    pub(super) number: u64,
    pub(super) address: ConnectionAddr,
    pub(super) connection: MultiplexedConnection,
    pub(super) health: Arc<Health>,
}

/// The place of a connection that any number of calls use at the same time.
#[derive(Default)]
pub(super) struct Slot {
    shared: Mutex<Option<Shared>>,
    /// Held while connecting, so that only one caller connects at a time.
    pub(super) connecting: tokio::sync::Mutex<()>,
}

/// Several such places, used in turn.
pub(super) struct Slots {
    slots: Vec<Slot>,
    calls: AtomicUsize,
}

impl Slot {
    pub(super) fn current(&self) -> Option<Shared> {
        self.lock().clone()
    }

    pub(super) fn put(&self, shared: Shared) -> Shared {
        self.lock().insert(shared).clone()
    }

    /// Gives up the connection of that number.
    pub(super) fn discard(&self, number: u64) {
        self.lock().take_if(|shared| shared.number == number);
    }

    /// Gives up the connection, if it is not to `address`.
    pub(super) fn keep_only(&self, address: &ConnectionAddr) {
        self.lock().take_if(|shared| shared.address != *address);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        let slots = std::iter::repeat_with(Slot::default).take(count.max(1)).collect();
        Self { slots, calls: AtomicUsize::new(0) }
    }

    /// The place for the next call.
    pub(super) fn next(&self) -> &Slot {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        &self.slots[call % self.slots.len()]
    }

    /// Any connection that there is.
    pub(super) fn current(&self) -> Option<Shared> {
        self.slots.iter().find_map(Slot::current)
    }

    /// Notes how the server is, for all connections to the same process of it.
    pub(super) fn note_health(&self, health: &Arc<Health>) {
        for slot in &self.slots {
            if let Some(shared) = slot.lock().as_mut()
                && shared.health.run_id == health.run_id
            {
                shared.health = Arc::clone(health);
            }
        }
    }

    /// Gives up all connections that are not to `address`.
    pub(super) fn keep_only(&self, address: &ConnectionAddr) {
        self.slots.iter().for_each(|slot| slot.keep_only(address));
    }
}
