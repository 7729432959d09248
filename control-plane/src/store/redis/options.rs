//! How to reach a Redis, and what the operator accepts about it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::IntoConnectionInfo;
use serde::{Deserialize, Serialize};
use url::Url;

/// How a [`RedisStore`](super::RedisStore) is reached and used.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port/database`; never printed, because of the password.
    pub url: String,
    /// The feed's name. All its keys begin with it in braces, which makes it the hash tag. Not
    /// empty, without braces.
    pub prefix: String,
    /// What the operator accepts although it may lose revocations.
    pub tolerance: Tolerance,
    /// The era of a new log, at least 1.
    pub first_era: u64,
    /// What is known about the server's `appendfsync`.
    pub appendfsync: Appendfsync,
    /// How long a call may take, including connecting and one retry.
    pub deadline: Duration,
    /// How long the server holds one blocking read; a longer wait uses several of them.
    pub block: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            prefix: "offswitch".to_owned(),
            tolerance: Tolerance::default(),
            first_era: 1,
            appendfsync: Appendfsync::default(),
            deadline: Duration::from_secs(2),
            block: Duration::from_secs(1),
        }
    }
}

/// Refuses a store URL that is not fully understood: a parameter that is ignored, such as
/// `?tls=true`, would give the operator a wrong idea of the connection.
///
/// # Errors
///
/// What was found and what was expected, without the URL: it may contain a password.
pub fn check_store_url(text: &str) -> Result<(), String> {
    let expected = "must be embedded, redis://user:password@host:port/database or unix:///path";
    let url = Url::parse(text).map_err(|_| expected.to_owned())?;
    let parameters: &[&str] = match url.scheme() {
        "redis" => &[],
        "unix" => &["db", "user", "pass"],
        "rediss" => return Err("TLS (rediss://) is not supported yet".to_owned()),
        _ => return Err(expected.to_owned()),
    };
    if url.fragment().is_some() {
        return Err("the URL must not have a fragment (#…)".to_owned());
    }
    for (name, _) in url.query_pairs() {
        if !parameters.contains(&name.as_ref()) {
            let known = match parameters {
                [] => "it takes none".to_owned(),
                known => format!("there are {}", known.join(", ")),
            };
            let name = name.escape_debug();
            return Err(format!("unknown parameter {name} in the URL; {known}"));
        }
    }
    if url.scheme() == "redis" && url.host_str().is_none_or(str::is_empty) {
        return Err("the URL names no host".to_owned());
    }
    // The error's text is a constant, never a part of the URL.
    let read = url.into_connection_info().map(drop);
    read.map_err(|error| format!("the URL cannot be used: {error}"))
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("tolerance", &self.tolerance)
            .field("first_era", &self.first_era)
            .field("appendfsync", &self.appendfsync)
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
