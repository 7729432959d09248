//! The result of applying a snapshot.

use crate::snapshot::{OpenError, Position};

/// What applying a snapshot changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// A delta was added.
    Extended,
    /// It has no news: it is older than the held state, or a repetition.
    Ignored,
    /// A heartbeat proved the feed fresh.
    Refreshed,
    /// A base replaced the previous one.
    Replaced,
}

/// Why a snapshot was not applied. The previous state stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It contradicts the held history: fetch the base.
    #[error(
        "the snapshot contradicts the history of the verifier, which is at {held} (fetch a base)"
    )]
    Fork {
        /// The held position.
        held: Position,
    },
    /// It begins after the held position: fetch the base.
    #[error("the snapshot starts at {from}, but the verifier {} (fetch a base)", state(*held))]
    Gap {
        /// Where it begins.
        from: Position,
        /// The held position, if any.
        held: Option<Position>,
    },
    /// It was signed in the future.
    #[error("the snapshot was issued at {issued_at}, but the time is {now}")]
    FromTheFuture {
        /// Its signing time, unix seconds.
        issued_at: u64,
        /// The verifier's time, unix seconds.
        now: u64,
    },
    /// The bytes are not a snapshot that a trusted key signed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It contains a number that no log can have reached yet: an attacker has the feed's key, or a
    /// clock is far off.
    #[error("the snapshot's {field} is {found}, accepted is at most {limit}")]
    Implausible {
        /// The name of the number.
        field: &'static str,
        /// The number in the snapshot.
        found: u64,
        /// The largest accepted number.
        limit: u64,
    },
    /// It belongs to another feed.
    #[error("the snapshot belongs to the feed '{found}', expected '{expected}' (option feed.id)")]
    WrongFeed {
        /// The id of its feed, shortened; characters that are not plain text are shown as `?`.
        found: String,
        /// The id of the feed that is followed, in the same way.
        expected: String,
    },
}

impl Applied {
    /// The stable code string.
    pub fn code(self) -> &'static str {
        match self {
            Self::Extended => "extended",
            Self::Ignored => "ignored",
            Self::Refreshed => "refreshed",
            Self::Replaced => "replaced",
        }
    }
}

impl ApplyError {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "feed_fork",
            Self::Gap { .. } => "feed_gap",
            Self::FromTheFuture { .. } => "snapshot_from_the_future",
            Self::Implausible { .. } => "snapshot_implausible",
            Self::Open(error) => error.code(),
            Self::WrongFeed { .. } => "wrong_feed",
        }
    }

    /// True if only a base can help.
    pub fn needs_base(&self) -> bool {
        matches!(self, Self::Fork { .. } | Self::Gap { .. })
    }
}

fn state(held: Option<Position>) -> String {
    held.map_or("has no snapshot".to_owned(), |held| format!("is at {held}"))
}
