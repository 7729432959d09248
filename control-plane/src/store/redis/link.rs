//! The connections: every call has a deadline, and a connection that may be broken is replaced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::time::timeout;

use super::super::{Durability, Finding, StoreError};
use super::health::{Health, Role};
use super::options::{Appendfsync, RedisOptions, Tolerance, Tolerated};
use super::scripts::Call;

/// One shared connection for calls, and idle connections for waiting.
pub(super) struct Link {
    client: Client,
    deadline: Duration,
    tolerance: Tolerance,
    appendfsync: Appendfsync,
    shared: Mutex<Option<Shared>>,
    /// Held while connecting, so that only one caller connects at a time.
    connecting: tokio::sync::Mutex<()>,
    idle: Mutex<Vec<MultiplexedConnection>>,
    /// The node of a cluster that has the slot, if the server named one.
    moved: Mutex<Option<ConnectionAddr>>,
    connections: AtomicU64,
    first_run_id: OnceLock<String>,
}

#[derive(Clone)]
struct Shared {
    number: u64,
    connection: MultiplexedConnection,
    health: Arc<Health>,
}

impl Link {
    pub(super) fn new(options: &RedisOptions) -> RedisResult<Self> {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(KEEPALIVE.max(options.deadline));
        let info = options.url.as_str().into_connection_info()?;
        let redis = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_tcp_settings(tcp).set_redis_settings(redis);
        Ok(Self {
            client: Client::open(info)?,
            deadline: options.deadline,
            tolerance: options.tolerance.clone(),
            appendfsync: options.appendfsync,
            shared: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            idle: Mutex::new(Vec::new()),
            moved: Mutex::new(None),
            connections: AtomicU64::new(0),
            first_run_id: OnceLock::new(),
        })
    }

    /// Executes `call`, and again if the connection broke: every call can be repeated. Also returns
    /// the durability of writes on the connection that was used.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        call: &Call,
    ) -> Result<(T, Durability), StoreError> {
        let used = AtomicU64::new(0);
        let Ok(answer) = timeout(self.deadline, self.attempt(call, &used)).await else {
            // A slow connection looks like a dead one, and a dead one never recovers.
            self.discard(used.load(Ordering::Relaxed));
            return Err(self.too_late());
        };
        let (value, durability) = answer.map_err(|error| unavailable(&error))?;
        let value = redis::from_redis_value(value).map_err(|error| damaged(&error))?;
        Ok((value, durability))
    }

    /// The durability found by the last health check.
    pub(super) fn durability(&self) -> Option<Durability> {
        lock(&self.shared).as_ref().map(|shared| shared.health.durability)
    }

    /// Checks the health of the server and remembers it for the connection in use.
    pub(super) async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let used = AtomicU64::new(0);
        let Ok(answer) = timeout(self.deadline, self.ask(&used)).await else {
            self.discard(used.load(Ordering::Relaxed));
            return Err(self.too_late());
        };
        let health = answer.map_err(|error| unavailable(&error))?;
        if let Some(shared) = lock(&self.shared).as_mut()
            && shared.number == used.load(Ordering::Relaxed)
        {
            shared.health = Arc::clone(&health);
        }
        let first_run_id = self.first_run_id.get().unwrap_or(&health.run_id);
        Ok(health.findings(&self.tolerance, first_run_id))
    }

    /// Executes a command that blocks for up to `block`, on a separate connection.
    pub(super) async fn call_blocking(
        &self,
        command: &Cmd,
        block: Duration,
    ) -> Result<Value, StoreError> {
        let idle = lock(&self.idle).pop();
        if let Some(mut connection) = idle {
            match timeout(block + self.deadline, command.query_async(&mut connection)).await {
                Ok(Ok(value)) => return Ok(self.put_back(connection, value)),
                Ok(Err(error)) if error.is_unrecoverable_error() => {}
                Ok(Err(error)) => return Err(unavailable(&error)),
                Err(_) => return Err(self.too_late()),
            }
        }
        let connecting = timeout(self.deadline, self.connect());
        let mut connection =
            connecting.await.map_err(|_| self.too_late())?.map_err(|error| unavailable(&error))?;
        match timeout(block + self.deadline, command.query_async(&mut connection)).await {
            Ok(Ok(value)) => Ok(self.put_back(connection, value)),
            Ok(Err(error)) => Err(self.note(&error)),
            Err(_) => Err(self.too_late()),
        }
    }

    /// A connection is used again only if its last command was answered: otherwise an answer may
    /// still arrive on it, or it may be dead.
    fn put_back(&self, connection: MultiplexedConnection, value: Value) -> Value {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
        value
    }

    async fn attempt(&self, call: &Call, used: &AtomicU64) -> RedisResult<(Value, Durability)> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut shared = self.shared().await?;
            used.store(shared.number, Ordering::Relaxed);
            let error = match execute(call, &mut shared.connection).await {
                Ok(value) => return Ok((value, shared.health.durability)),
                Err(error) => error,
            };
            let moved = error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
            if !moved && !needs_another_server(&error) {
                return Err(error);
            }
            self.discard(shared.number);
            self.remember_moved(&error);
            if attempts == ATTEMPTS || !(moved || error.is_unrecoverable_error()) {
                return Err(error);
            }
        }
    }

    async fn ask(&self, used: &AtomicU64) -> RedisResult<Arc<Health>> {
        let mut shared = self.shared().await?;
        used.store(shared.number, Ordering::Relaxed);
        match Health::ask(&mut shared.connection, self.appendfsync).await {
            Err(error) if needs_another_server(&error) => {
                self.discard(shared.number);
                Ok(self.shared().await?.health)
            }
            answer => answer.map(Arc::new),
        }
    }

    /// The shared connection; connects if there is none.
    async fn shared(&self) -> RedisResult<Shared> {
        if let Some(shared) = lock(&self.shared).as_ref() {
            return Ok(shared.clone());
        }
        let _connecting = self.connecting.lock().await;
        if let Some(shared) = lock(&self.shared).as_ref() {
            return Ok(shared.clone());
        }
        let mut connection = self.connect().await?;
        let health = Health::ask(&mut connection, self.appendfsync).await?;
        // A replica behind the address of a primary would show an older log. Everything else that
        // may have changed is reported, but does not prevent revoking.
        if health.role == Role::Replica && !self.tolerance.accepts(Tolerated::Replica) {
            lock(&self.moved).take();
            if self.first_run_id.get().is_some() {
                return Err(RedisError::from((ErrorKind::Client, "the server is a replica")));
            }
        }
        self.first_run_id.get_or_init(|| health.run_id.clone());
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let shared = Shared { number, connection, health: Arc::new(health) };
        Ok(lock(&self.shared).insert(shared).clone())
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(self.deadline));
        let moved = lock(&self.moved).take();
        if let Some(address) = moved {
            let info = self.client.get_connection_info().clone().set_addr(address.clone());
            let node = Client::open(info)?;
            if let Ok(connection) = node.get_multiplexed_async_connection_with_config(&config).await
            {
                lock(&self.moved).replace(address);
                return Ok(connection);
            }
        }
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    fn discard(&self, number: u64) {
        let mut slot = lock(&self.shared);
        if slot.as_ref().is_some_and(|shared| shared.number == number) {
            *slot = None;
        }
    }

    /// Connects to the node that the error names from now on; forgets it if that node fails.
    fn remember_moved(&self, error: &RedisError) {
        let own_host = match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) => host.as_str(),
            _ => "",
        };
        let node = error.redirect_node().and_then(|(node, _)| node.rsplit_once(':'));
        let address = node.and_then(|(host, port)| {
            let host = if host.is_empty() { own_host } else { host };
            Some(ConnectionAddr::Tcp(host.to_owned(), port.parse().ok()?))
        });
        *lock(&self.moved) = address;
    }

    fn note(&self, error: &RedisError) -> StoreError {
        self.remember_moved(error);
        unavailable(error)
    }

    fn too_late(&self) -> StoreError {
        StoreError::Unavailable(format!("no answer within {:?}", self.deadline))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn execute(call: &Call, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
    let answer = call.command.query_async(connection).await;
    match (answer, call.script) {
        (Err(error), Some(script))
            if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
        {
            script.load_async(connection).await?;
            call.command.query_async(connection).await
        }
        (answer, _) => answer,
    }
}

/// True if a new connection may help: this one is broken, or its server is no longer a primary.
fn needs_another_server(error: &RedisError) -> bool {
    let no_primary = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
    );
    no_primary || error.is_io_error() || error.is_unrecoverable_error()
}

/// For every error of the server, the caller cannot know whether a write happened.
pub(super) fn unavailable(error: &RedisError) -> StoreError {
    match error.code() {
        Some("WRONGTYPE") => StoreError::Damaged(error.to_string()),
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

/// Detects a peer that disappeared without closing, also while no answer is expected.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// The first, one for a broken connection, one for a slot that moved.
const ATTEMPTS: u32 = 3;
const IDLE_CONNECTIONS: usize = 4;
