//! Sentinels: which server is the primary now, and how many of them say so.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ErrorKind, RedisError, RedisResult};
use tokio::time::timeout;

use super::dial::Dialer;

/// The sentinels that watch one primary.
pub(super) struct Sentinels {
    dialer: Dialer,
    sentinels: Vec<Sentinel>,
    service: String,
    patience: Duration,
}

/// One of them, with the connection that was used last.
struct Sentinel {
    address: ConnectionAddr,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// What the sentinels answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The primary of the newest configuration that any of them has.
    pub(super) primary: ConnectionAddr,
    /// True if more than half of the configured sentinels answered. No failover can have happened
    /// that none of them knows of.
    pub(super) by_majority: bool,
}

impl Sentinels {
    pub(super) fn new(
        dialer: Dialer,
        addresses: Vec<ConnectionAddr>,
        service: String,
        patience: Duration,
    ) -> Self {
        let with_address = |address| Sentinel { address, connection: Mutex::new(None) };
        let sentinels = addresses.into_iter().map(with_address).collect();
        Self { dialer, sentinels, service, patience }
    }

    /// Asks all sentinels at the same time. A failover raises the configuration's epoch, so a
    /// sentinel that was cut off does not outvote one that took part in it.
    pub(super) async fn ask(&self) -> RedisResult<Named> {
        let asked = self.sentinels.iter().map(|sentinel| self.ask_one(sentinel));
        let mut answers = Vec::new();
        let mut failed = None;
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => failed = Some(error),
            }
        }
        let by_majority = answers.len() > self.sentinels.len() / 2;
        match answers.into_iter().max_by_key(|(epoch, _)| *epoch) {
            Some((_, primary)) => Ok(Named { primary, by_majority }),
            None => Err(failed.unwrap_or_else(|| no_answer("no sentinel"))),
        }
    }

    async fn ask_one(&self, sentinel: &Sentinel) -> RedisResult<(u64, ConnectionAddr)> {
        let held = lock(&sentinel.connection).take();
        let answered = async {
            let mut connection = match held {
                Some(connection) => connection,
                None => self.dialer.dial(&sentinel.address).await?,
            };
            let mut command = redis::cmd("SENTINEL");
            command.arg("MASTER").arg(&self.service);
            let about: HashMap<String, String> = command.query_async(&mut connection).await?;
            *lock(&sentinel.connection) = Some(connection);
            primary(&about).ok_or_else(|| no_answer("a sentinel names no primary"))
        };
        match timeout(self.patience, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(no_answer("a sentinel does not answer")),
        }
    }
}

fn primary(about: &HashMap<String, String>) -> Option<(u64, ConnectionAddr)> {
    let epoch = about.get("config-epoch")?.parse().ok()?;
    let port = about.get("port")?.parse().ok()?;
    Some((epoch, ConnectionAddr::Tcp(about.get("ip")?.clone(), port)))
}

fn no_answer(text: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, text))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
