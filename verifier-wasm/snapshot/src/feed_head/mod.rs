//! The head of a feed and the names of its parts: `HEAD.md` in the folder of this crate has the rules.
//!
//! The head is JSON and has no signature of its own. Callers read its text, for this crate has no JSON.

mod part;
mod steps;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};

use crate::envelope::{FeedKey, OpenError};
use crate::position::Position;
use crate::snapshot::Snapshot;

pub use part::{BaseDigest, Part, PartNameError};
pub use steps::Step;

/// A head, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedHead {
    /// [`HEAD_FORMAT`].
    pub format: u32,
    /// The id of the feed.
    pub feed: String,
    /// Where the feed ended when the head was written.
    pub position: Position,
    /// A signed heartbeat of that position, in base64.
    pub heartbeat: String,
    /// The base to start with.
    pub base: HeadBase,
    /// Deltas, ascending by their beginning, each beginning once.
    pub deltas: Vec<HeadDelta>,
    /// True if the place makes a delta from any position on request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_demand: bool,
}

/// The base that a head names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadBase {
    /// Where it ends.
    pub position: Position,
    /// What its bytes hash to.
    pub digest: BaseDigest,
    /// Its size: it helps to choose, and is no check.
    pub bytes: u64,
}

/// A delta that a head names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadDelta {
    /// Where it begins.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// Its size: it helps to choose, and is no check.
    pub bytes: u64,
}

/// Why a head is not one of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Its heartbeat is not a signed one of this position.
    #[error("the heartbeat in the head is not one of its position, signed by a trusted key")]
    Heartbeat,
    /// It breaks the format.
    #[error("the head breaks the format: {0}")]
    Malformed(&'static str),
    /// It is written in another format.
    #[error("the head has format {0}, expected 1")]
    UnknownFormat(u32),
    /// It is of another feed.
    #[error("the head is of another feed")]
    WrongFeed,
}

impl HeadError {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Heartbeat | Self::Malformed(_) | Self::UnknownFormat(_) => "head_malformed",
            Self::WrongFeed => "wrong_feed",
        }
    }
}

impl FeedHead {
    /// Checks everything but the heartbeat: that the head is of this feed, and breaks no rule.
    ///
    /// # Errors
    ///
    /// See [`HeadError`].
    pub fn check(&self, feed: &str) -> Result<(), HeadError> {
        if self.format != HEAD_FORMAT {
            return Err(HeadError::UnknownFormat(self.format));
        }
        if self.feed != feed {
            return Err(HeadError::WrongFeed);
        }
        let base = self.base.position;
        if base.era != self.position.era || base > self.position {
            return Err(HeadError::Malformed("the position of the base"));
        }
        let is_range = |delta: &HeadDelta| {
            delta.from.era == self.position.era
                && delta.to.era == self.position.era
                && delta.from < delta.to
                && delta.to <= self.position
        };
        let is_ascending = |pair: &[HeadDelta]| match pair {
            [one, other] => one.from < other.from,
            _ => true,
        };
        if !self.deltas.iter().all(is_range) || !self.deltas.windows(2).all(is_ascending) {
            return Err(HeadError::Malformed("the deltas"));
        }
        Ok(())
    }

    /// The bytes of the heartbeat, which nothing is known about.
    ///
    /// # Errors
    ///
    /// [`HeadError::Heartbeat`] if it is no base64, or too long.
    pub fn heartbeat_bytes(&self) -> Result<Vec<u8>, HeadError> {
        if self.heartbeat.len() > MAX_HEARTBEAT_TEXT {
            return Err(HeadError::Heartbeat);
        }
        BASE64_STANDARD.decode(&self.heartbeat).map_err(|_| HeadError::Heartbeat)
    }

    /// The heartbeat, if a `trusted` key signed it for the feed and the position of this head.
    ///
    /// # Errors
    ///
    /// [`HeadError::Heartbeat`], or why it cannot be opened.
    pub fn open_heartbeat(&self, trusted: &[FeedKey]) -> Result<Snapshot, OpenError> {
        let malformed = |_| OpenError::Malformed("the heartbeat of the head");
        let opened = Snapshot::open(self.heartbeat_bytes().map_err(malformed)?, trusted)?;
        match self.is_heartbeat(&opened) {
            true => Ok(opened),
            false => Err(OpenError::Malformed("the heartbeat of the head")),
        }
    }

    /// True if the snapshot is a heartbeat of this head's feed and position.
    pub fn is_heartbeat(&self, opened: &Snapshot) -> bool {
        let is_here = opened.from() == self.position && opened.to() == self.position;
        is_here && opened.feed() == self.feed
    }

    /// The names of all parts.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let deltas = self.deltas.iter().map(|delta| Part::Delta { from: delta.from, to: delta.to });
        std::iter::once(self.base.part()).chain(deltas)
    }

    /// The heartbeat as it is written in a head.
    pub fn heartbeat_text(bytes: &[u8]) -> String {
        BASE64_STANDARD.encode(bytes)
    }
}

impl HeadBase {
    /// Its name.
    pub fn part(&self) -> Part {
        Part::Base { position: self.position, digest: self.digest }
    }
}

/// The format of heads that this crate reads and writes.
pub const HEAD_FORMAT: u32 = 1;
/// The most bytes of a head.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most deltas that are written in a head.
pub const MAX_HEAD_DELTAS: usize = 64;
/// The name of the head.
pub const HEAD_NAME: &str = "head";
/// 8 KiB in base64.
const MAX_HEARTBEAT_TEXT: usize = 11 * 1024;
