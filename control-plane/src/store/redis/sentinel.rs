//! Sentinels: which server is the primary now, and how many of them say so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ErrorKind, RedisError, RedisResult};
use tokio::time::timeout;

use super::super::Finding;
use super::dial::Dialer;

/// The sentinels that watch one primary.
pub(super) struct Sentinels {
    dialer: Dialer,
    sentinels: Vec<Sentinel>,
    service: String,
    patience: Duration,
    /// How many sentinels there are, as they know of each other; 0 before the first answer.
    known: AtomicU32,
}

/// One of them, with the connection that was used last.
struct Sentinel {
    address: ConnectionAddr,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// What one of them answered.
struct Answer {
    /// Of its configuration.
    epoch: u64,
    primary: ConnectionAddr,
    /// How many sentinels it knows of, itself included.
    known: u32,
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
        Self { dialer, sentinels, service, patience, known: AtomicU32::new(0) }
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
        if let Some(known) = answers.iter().map(|answer| answer.known).max() {
            self.known.store(known, Ordering::Relaxed);
        }
        match answers.into_iter().max_by_key(|answer| answer.epoch) {
            Some(Answer { primary, .. }) => Ok(Named { primary, by_majority }),
            None => Err(failed.unwrap_or_else(|| no_answer("no sentinel"))),
        }
    }

    /// Whether too few are there, or named in the URL, for the loss of one.
    pub(super) fn finding(&self) -> Option<Finding> {
        let (named, known) = (self.sentinels.len(), self.known.load(Ordering::Relaxed));
        let found =
            |detail: String| Some(Finding { code: "store_few_sentinels", detail, fatal: false });
        match known {
            1 | 2 => found(format!(
                "{known} sentinel(s) watch the primary: without one of them, no majority can fail over; run three"
            )),
            // Nothing is known yet.
            0 => None,
            _ if named < ENOUGH => found(format!(
                "{known} sentinels watch the primary, and store names {named}: without one of these, no majority \
                 confirms the primary here; name three"
            )),
            _ => None,
        }
    }

    async fn ask_one(&self, sentinel: &Sentinel) -> RedisResult<Answer> {
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
            Answer::read(&about).ok_or_else(|| no_answer("a sentinel names no primary"))
        };
        match timeout(self.patience, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(no_answer("a sentinel does not answer")),
        }
    }
}

impl Answer {
    fn read(about: &HashMap<String, String>) -> Option<Self> {
        let epoch = about.get("config-epoch")?.parse().ok()?;
        let port = about.get("port")?.parse().ok()?;
        let others = about.get("num-other-sentinels").and_then(|count| count.parse::<u32>().ok());
        Some(Self {
            epoch,
            primary: ConnectionAddr::Tcp(about.get("ip")?.clone(), port),
            known: others.unwrap_or(0).saturating_add(1),
        })
    }
}

fn no_answer(text: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, text))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// With three, a majority is left after the loss of one.
const ENOUGH: usize = 3;
