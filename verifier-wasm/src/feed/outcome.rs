//! The result of applying a snapshot.

use crate::snapshot::{OpenError, Position};

/// What applying a snapshot changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// A delta was added.
    Extended,
    /// Nothing new in it: older than what is held, or a repetition.
    Ignored,
    /// A heartbeat proved the feed fresh.
    Refreshed,
    /// A base took the place of the one before.
    Replaced,
}

/// Why a snapshot was not applied. What was held before stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It contradicts the history that is held: fetch the base.
    #[error(
        "the snapshot contradicts the history of the verifier, which is at {held} (fetch a base)"
    )]
    Fork {
        /// The position held.
        held: Position,
    },
    /// It begins beyond what is held: fetch the base.
    #[error("the snapshot starts at {from}, but the verifier {} (fetch a base)", state(*held))]
    Gap {
        /// Where it begins.
        from: Position,
        /// The position held, if any.
        held: Option<Position>,
    },
    /// It was signed in the future.
    #[error("the snapshot was issued at {issued_at}, but the time is {now}")]
    FromTheFuture {
        /// When it says it was signed, unix seconds.
        issued_at: u64,
        /// The verifier's time, unix seconds.
        now: u64,
    },
    /// The bytes are not a snapshot that a trusted key signed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It claims a number that no log can have reached yet: the feed's key is in the wrong hands, or
    /// a clock is far off.
    #[error("the snapshot's {field} is {found}, accepted is at most {limit}")]
    Implausible {
        /// Which number it is.
        field: &'static str,
        /// What the snapshot says.
        found: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// It belongs to another feed.
    #[error("the snapshot belongs to the feed '{found}', expected '{expected}' (option feed.id)")]
    WrongFeed {
        /// The id of its feed, shortened; what is not plain text is shown as `?`.
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

    /// True where only a base can help.
    pub fn needs_base(&self) -> bool {
        matches!(self, Self::Fork { .. } | Self::Gap { .. })
    }
}

fn state(held: Option<Position>) -> String {
    held.map_or("has no snapshot".to_owned(), |held| format!("is at {held}"))
}
