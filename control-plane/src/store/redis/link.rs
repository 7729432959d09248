//! The connections: every call has a deadline, and a connection that may be broken is replaced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    Cmd, ConnectionAddr, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::time::{sleep, timeout};

use super::super::{Durability, Finding, StoreError};
use super::address::Address;
use super::cluster::redirected;
use super::execute::{acknowledged, execute};
use super::health::{Health, Role};
use super::options::{Appendfsync, RedisOptions, Tolerance, Tolerated};
use super::scripts::{Call, NEWER};
use super::servers::Servers;
use super::slots::{Shared, Slot, Slots};
use super::tls;

/// Shared connections for calls, and idle connections for waiting.
pub(super) struct Link {
    servers: Servers,
    deadline: Duration,
    tolerance: Tolerance,
    appendfsync: Appendfsync,
    wait_replicas: u32,
    calls: Slots,
    /// For writes that wait for replicas: that holds up everything behind them.
    acknowledged: Slot,
    idle: Mutex<Vec<(ConnectionAddr, MultiplexedConnection)>>,
    connections: AtomicU64,
    first_run_id: OnceLock<String>,
}

/// The answer to a call, and what is known of the server that gave it.
struct Answer {
    value: Value,
    durability: Durability,
    /// How many replicas have acknowledged it, if that was asked.
    replicas: Option<u32>,
}

impl Link {
    /// `key` is any key of the log.
    pub(super) fn new(options: &RedisOptions, key: &str) -> Result<Self, StoreError> {
        let address = Address::parse(&options.url).map_err(StoreError::Unavailable)?;
        Ok(Self {
            deadline: options.deadline,
            tolerance: options.tolerance.clone(),
            appendfsync: options.appendfsync,
            wait_replicas: options.wait_replicas,
            calls: Slots::new(if address.uses_tls { TLS_CONNECTIONS } else { 1 }),
            acknowledged: Slot::default(),
            idle: Mutex::new(Vec::new()),
            connections: AtomicU64::new(0),
            first_run_id: OnceLock::new(),
            servers: Servers::new(address, &options.tls, key, options.deadline),
        })
    }

    /// Executes `call`, and again if the connection broke: every call can be repeated. Also returns
    /// the durability of what was written.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        call: &Call,
    ) -> Result<(T, Durability), StoreError> {
        let used = AtomicU64::new(0);
        let slot = self.slot(call);
        let Ok(answer) = timeout(self.deadline, self.attempt(slot, call, &used)).await else {
            // A slow connection looks like a dead one, and a dead one never recovers.
            slot.discard(used.load(Ordering::Relaxed));
            return Err(self.too_late());
        };
        let Answer { value, mut durability, replicas } =
            answer.map_err(|error| unavailable(&error))?;
        if let Some(replicas) = replicas {
            if replicas < self.wait_replicas {
                let needed = self.wait_replicas;
                return Err(StoreError::TooFewReplicas { acknowledged: replicas, needed });
            }
            durability = Durability::Replicated(replicas);
        }
        let value = redis::from_redis_value(value).map_err(|error| damaged(&error))?;
        Ok((value, durability))
    }

    /// The durability found by the last health check.
    pub(super) fn durability(&self) -> Option<Durability> {
        let shared = self.calls.current()?;
        match self.wait_replicas {
            0 => Some(shared.health.durability),
            needed => Some(Durability::Replicated(needed)),
        }
    }

    /// True if an append waits for replicas.
    pub(super) fn waits_for_replicas(&self) -> bool {
        self.wait_replicas > 0
    }

    /// Checks the health of the server and remembers it for the connection in use.
    pub(super) async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let used = AtomicU64::new(0);
        let slot = self.calls.next();
        let Ok(answer) = timeout(self.deadline, self.ask(slot, &used)).await else {
            slot.discard(used.load(Ordering::Relaxed));
            return Err(self.too_late());
        };
        let health = answer.map_err(|error| unavailable(&error))?;
        self.calls.note_health(&health);
        let first_run_id = self.first_run_id.get().unwrap_or(&health.run_id);
        let mut findings = health.findings(&self.tolerance, first_run_id);
        findings.extend(health.split_brain(self.wait_replicas));
        findings.extend(health.missing_replicas(self.wait_replicas));
        findings.extend(self.servers.sentinel_finding());
        Ok(findings)
    }

    /// Executes a command that blocks for up to `block`, on a separate connection.
    pub(super) async fn call_blocking(
        &self,
        command: &Cmd,
        block: Duration,
    ) -> Result<Value, StoreError> {
        let used = self.calls.current().map(|shared| shared.address);
        if let Some((address, connection)) = self.idle_at(used.as_ref()) {
            match self.block(command, block, address, connection).await {
                Err(Some(error)) if error.is_unrecoverable_error() => {}
                answer => return answer.or_else(|error| self.not_blocked(error)),
            }
        }
        let connected = timeout(self.deadline, async {
            Ok(match used {
                Some(address) => (address.clone(), self.servers.dial(&address).await?),
                None => self.servers.connect().await?,
            })
        });
        let (address, connection) =
            connected.await.map_err(|_| self.too_late())?.map_err(|error| unavailable(&error))?;
        let answer = self.block(command, block, address, connection).await;
        answer.or_else(|error| self.not_blocked(error))
    }

    /// A connection is used again only if its last command was answered: otherwise an answer may
    /// still arrive on it, or it may be dead.
    async fn block(
        &self,
        command: &Cmd,
        block: Duration,
        address: ConnectionAddr,
        mut connection: MultiplexedConnection,
    ) -> Result<Value, Option<RedisError>> {
        match timeout(block + self.deadline, command.query_async(&mut connection)).await {
            Ok(Ok(value)) => {
                let mut idle = lock(&self.idle);
                if idle.len() < IDLE_CONNECTIONS {
                    idle.push((address, connection));
                }
                Ok(value)
            }
            Ok(Err(error)) => {
                self.servers.note_moved(&error, &address);
                Err(Some(error))
            }
            Err(_) => Err(None),
        }
    }

    /// An idle connection to the server in use; those to other servers are closed.
    fn idle_at(
        &self,
        used: Option<&ConnectionAddr>,
    ) -> Option<(ConnectionAddr, MultiplexedConnection)> {
        let mut idle = lock(&self.idle);
        idle.retain(|(address, _)| used.is_none_or(|used| used == address));
        idle.pop()
    }

    fn not_blocked(&self, error: Option<RedisError>) -> Result<Value, StoreError> {
        match error {
            // The slot is on its way to another node: it cannot be waited for, but it can be read.
            Some(error) if error.is_cluster_error() && !is_moved(&error) => Ok(Value::Nil),
            Some(error) => Err(unavailable(&error)),
            None => Err(self.too_late()),
        }
    }

    async fn attempt(&self, slot: &Slot, call: &Call, used: &AtomicU64) -> RedisResult<Answer> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut shared = self.shared(slot).await?;
            used.store(shared.number, Ordering::Relaxed);
            let mut outcome = self.perform(call, &mut shared, false).await;
            if let Err(error) = &outcome
                && error.kind() == ErrorKind::Server(ServerErrorKind::Ask)
                && let Some(node) = redirected(error, &shared.address)
            {
                // Only this call: the slot is still on its way there.
                let mut importing = self.open(node).await?;
                outcome = self.perform(call, &mut importing, true).await;
            }
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain) {
                // Some of the keys have moved to the other node and some have not, or a node is
                // not yet known to be the primary. The deadline of the call ends this.
                attempts -= 1;
                sleep(TRY_AGAIN_AFTER).await;
                continue;
            }
            if !is_moved(&error) && !needs_another_server(&error) {
                return Err(error);
            }
            slot.discard(shared.number);
            self.servers.note_moved(&error, &shared.address);
            if attempts == ATTEMPTS || !(is_moved(&error) || error.is_unrecoverable_error()) {
                return Err(error);
            }
        }
    }

    /// Executes a call on one server, and waits for its replicas if need be. A separate step on the
    /// same connection: the replicas acknowledge everything that was written on it.
    async fn perform(&self, call: &Call, at: &mut Shared, asking: bool) -> RedisResult<Answer> {
        let value = execute(call, &mut at.connection, asking).await?;
        let durability = at.health.durability;
        let waits = call.is_acknowledged && Call::has_written(&value);
        let replicas = match waits {
            true => {
                let patience = self.deadline / 2;
                Some(acknowledged(&mut at.connection, self.wait_replicas, patience).await?)
            }
            false => None,
        };
        Ok(Answer { value, durability, replicas })
    }

    fn slot(&self, call: &Call) -> &Slot {
        if call.is_acknowledged { &self.acknowledged } else { self.calls.next() }
    }

    async fn ask(&self, slot: &Slot, used: &AtomicU64) -> RedisResult<Arc<Health>> {
        let mut shared = self.shared(slot).await?;
        used.store(shared.number, Ordering::Relaxed);
        match Health::ask(&mut shared.connection, self.appendfsync).await {
            Err(error) if needs_another_server(&error) => {
                slot.discard(shared.number);
                Ok(self.shared(slot).await?.health)
            }
            answer => answer.map(Arc::new),
        }
    }

    /// The shared connection; connects if there is none.
    async fn shared(&self, slot: &Slot) -> RedisResult<Shared> {
        if let Some(shared) = slot.current() {
            return Ok(shared);
        }
        let _connecting = slot.connecting.lock().await;
        if let Some(shared) = slot.current() {
            return Ok(shared);
        }
        let (address, connection) = self.servers.connect().await?;
        let shared = self.examine(address, connection).await?;
        Ok(slot.put(shared))
    }

    async fn open(&self, node: ConnectionAddr) -> RedisResult<Shared> {
        let connection = self.servers.dial(&node).await?;
        self.examine(node, connection).await
    }

    async fn examine(
        &self,
        address: ConnectionAddr,
        mut connection: MultiplexedConnection,
    ) -> RedisResult<Shared> {
        let health = Health::ask(&mut connection, self.appendfsync).await?;
        // A replica behind the address of a primary would show an older log. Everything else that
        // may have changed is reported, but does not prevent revoking.
        if health.role == Role::Replica && !self.tolerance.accepts(Tolerated::Replica) {
            self.servers.forget_moved();
            if self.first_run_id.get().is_some() {
                return Err(RedisError::from((ErrorKind::Client, "the server is a replica")));
            }
        }
        self.first_run_id.get_or_init(|| health.run_id.clone());
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Shared { number, address, connection, health: Arc::new(health) })
    }

    /// Refuses if the sentinels have not confirmed for too long that the server in use is the
    /// primary: a failover that this process cannot see may have replaced it.
    pub(super) fn confirmed(&self) -> Result<(), StoreError> {
        if self.tolerance.accepts(Tolerated::Replica) {
            return Ok(());
        }
        match self.servers.unconfirmed_for() {
            Some(age) if age <= CONFIRMED_FOR => Ok(()),
            _ => Err(StoreError::Unavailable(format!(
                "a majority of the sentinels has not confirmed the primary for {CONFIRMED_FOR:?}"
            ))),
        }
    }

    /// Keeps asking the sentinels for the primary, if there are sentinels, until the link is
    /// dropped. A primary that was replaced may not know it, and answer for as long as it is cut
    /// off.
    pub(super) async fn watch(link: Weak<Self>) {
        while let Some(link) = link.upgrade().filter(|link| link.servers.are_watched()) {
            if let Some(shared) = link.calls.current()
                && let Ok(Some(primary)) = link.servers.replaced_by(&shared.address).await
            {
                tracing::warn!(was = %shared.address, now = %primary, "the primary was replaced");
                link.calls.keep_only(&primary);
                link.acknowledged.keep_only(&primary);
            }
            drop(link);
            sleep(WATCH_EVERY).await;
        }
    }

    fn too_late(&self) -> StoreError {
        StoreError::Unavailable(format!("no answer within {:?}", self.deadline))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_moved(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}

/// True if a new connection may help: this one is broken, or its server is no longer a primary.
fn needs_another_server(error: &RedisError) -> bool {
    let no_primary = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown | ServerErrorKind::ReadOnly
        )
    );
    no_primary || error.is_io_error() || error.is_unrecoverable_error()
}

/// For every error of the server, the caller cannot know whether a write happened.
pub(super) fn unavailable(error: &RedisError) -> StoreError {
    if let Some(reason) = tls::reason(error) {
        return StoreError::Unavailable(reason);
    }
    match error.code() {
        Some("WRONGTYPE") => StoreError::Damaged(error.to_string()),
        Some(NEWER) => {
            let found = error.detail().and_then(|detail| detail.trim().parse().ok());
            StoreError::Newer { found: found.unwrap_or(u64::MAX) }
        }
        Some("OOM") => StoreError::Full(error.to_string()),
        // With `appendfsync everysec`; with `always` the server exits.
        Some("MISCONF") if error.to_string().contains("No space left") => {
            StoreError::Full(error.to_string())
        }
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn damaged(error: &redis::ParsingError) -> StoreError {
    StoreError::Damaged(error.to_string())
}

/// The first, one for a broken connection, one for a slot that moved.
const ATTEMPTS: u32 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);
const IDLE_CONNECTIONS: usize = 4;
/// Redis reads what is sent with TLS one record at a time, and flushes its file after each: with one
/// connection, concurrent writes would not share a flush.
const TLS_CONNECTIONS: usize = 16;
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Adds to how stale a snapshot may be that a cut-off process signs as fresh.
const CONFIRMED_FOR: Duration = Duration::from_secs(10);
