//! How to reach a Redis, and what the operator accepts about it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tls::RedisTls;

/// How a [`RedisStore`](super::RedisStore) is reached and used.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port/database`, or another that
    /// [`check_store_url`](super::check_store_url) accepts; never printed, because of the password.
    pub url: String,
    /// How TLS is used, if the URL asks for it.
    pub tls: RedisTls,
    /// The feed's name. All its keys begin with it in braces, which makes it the hash tag. Not
    /// empty, without braces.
    pub prefix: String,
    /// What the operator accepts although it may lose revocations.
    pub tolerance: Tolerance,
    /// The era of a new log, at least 1.
    pub first_era: u64,
    /// What is known about the server's `appendfsync`.
    pub appendfsync: Appendfsync,
    /// How many replicas must have acknowledged an append before it is a success; 0 for none.
    pub wait_replicas: u32,
    /// How long a call may take, including connecting and one retry.
    pub deadline: Duration,
    /// How long the server holds one blocking read; a longer wait uses several of them.
    pub block: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            tls: RedisTls::default(),
            prefix: "offswitch".to_owned(),
            tolerance: Tolerance::default(),
            first_era: 1,
            appendfsync: Appendfsync::default(),
            wait_replicas: 0,
            deadline: Duration::from_secs(2),
            block: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("tolerance", &self.tolerance)
            .field("first_era", &self.first_era)
            .field("appendfsync", &self.appendfsync)
            .field("wait_replicas", &self.wait_replicas)
            .field("tls", &self.tls)
            .field("deadline", &self.deadline)
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

/// When the server flushes its append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Appendfsync {
    /// Before every answer, also while the server rewrites the file (`no-appendfsync-on-rewrite
    /// no`): the operator confirms this if the server does not let it be read.
    Always,
    /// As the server reports; if it does not report it, not before every answer.
    #[default]
    Detect,
}

/// What the operator accepts; nothing by default. Written as comma-separated names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tolerance(BTreeSet<Tolerated>);

impl Tolerance {
    /// True if the operator accepts this.
    #[must_use]
    pub fn accepts(&self, tolerated: Tolerated) -> bool {
        self.0.contains(&tolerated)
    }
}

impl FromIterator<Tolerated> for Tolerance {
    fn from_iter<I: IntoIterator<Item = Tolerated>>(accepted: I) -> Self {
        Self(accepted.into_iter().collect())
    }
}

impl FromStr for Tolerance {
    type Err = UnknownTolerance;

    fn from_str(names: &str) -> Result<Self, Self::Err> {
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::parse).collect()
    }
}

/// One way in which a server may lose what it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerated {
    /// It evicts keys when memory is short, or has evicted some.
    Eviction,
    /// It has no append-only file: a restart loses everything, or everything after the last dump.
    NoAppendOnlyFile,
    /// It is a replica: it lags behind and refuses writes.
    Replica,
}

impl Tolerated {
    /// The name used in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eviction => "eviction",
            Self::NoAppendOnlyFile => "no_append_only_file",
            Self::Replica => "replica",
        }
    }
}

impl FromStr for Tolerated {
    type Err = UnknownTolerance;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = [Self::Eviction, Self::NoAppendOnlyFile, Self::Replica];
        let found = all.into_iter().find(|tolerated| tolerated.name() == name);
        found.ok_or_else(|| UnknownTolerance(name.to_owned()))
    }
}

/// The name is not one of `eviction`, `no_append_only_file` and `replica`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of eviction, no_append_only_file, replica")]
pub struct UnknownTolerance(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_read_from_names() {
        let tolerance: Tolerance = "eviction, replica".parse().unwrap();
        assert!(tolerance.accepts(Tolerated::Eviction) && tolerance.accepts(Tolerated::Replica));
        assert!(!tolerance.accepts(Tolerated::NoAppendOnlyFile));
        assert_eq!("".parse(), Ok(Tolerance::default()));
        assert_eq!("Eviction".parse::<Tolerance>(), Err(UnknownTolerance("Eviction".to_owned())));
    }

    #[test]
    fn printed_options_do_not_show_the_password() {
        let options =
            RedisOptions { url: "redis://:secret@host".to_owned(), ..RedisOptions::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
