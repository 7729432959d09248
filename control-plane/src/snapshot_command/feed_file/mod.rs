//! A feed file: the head of a feed and its parts in one file, to be carried to where there is no network. `HEAD.md` of the
//! snapshot crate has the format.
//!
//! Nothing in it is trusted but what the feed has signed, and it is judged as a verifier does.

mod archive;
mod contents;
mod folder;

use std::collections::BTreeMap;

use axum::body::Bytes;
use offswitch_snapshot::{
    BaseDigest, FeedHead, FeedKey, HeadError, OpenError, Part, Position, Snapshot, Step,
};
use offswitch_verifier::{ApplyError, Feed};

use crate::command_line::{Exit, Failure};

pub(super) use self::archive::head_in;
pub(super) use self::contents::Contents;
pub(super) use self::folder::{Folder, Put};

/// A head, and the parts that it names.
pub(super) struct FeedFile {
    pub(super) head: FeedHead,
    pub(super) parts: BTreeMap<Part, Bytes>,
}

/// Why a feed file is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedFileError {
    /// A verifier would refuse one of its snapshots.
    #[error("{0}")]
    Apply(#[from] ApplyError),
    /// It no longer proves anything about the present.
    #[error(
        "it was valid until {}, and now it is {}: verifiers could not decide with it; export a new one",
        offswitch::clock::utc(*.valid_until), offswitch::clock::utc(*.now)
    )]
    Expired { valid_until: u64, now: u64 },
    /// Its head breaks the format.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// A part that the head names is not in it.
    #[error("the part {0} is missing: the file is not complete")]
    Incomplete(Part),
    /// It is no feed file, or only the beginning of one.
    #[error("{0}")]
    Malformed(String),
    /// What is in place was signed later.
    #[error("{0}")]
    Older(String),
    /// It cannot be compared with what is in place.
    #[error("{0}")]
    OtherPlace(String),
    /// No parts lead to its position.
    #[error("nothing in it leads from {from} to its position, {to}: export a new one")]
    Unreachable { from: String, to: Position },
}

impl FeedFile {
    /// Checks everything in it, and what a verifier with these keys has after it has read it at `now`. `held` is a heartbeat
    /// from before, behind which the verifier does not go back.
    pub(super) fn check(
        &self,
        keys: &[FeedKey],
        held: Option<&Snapshot>,
        now: u64,
    ) -> Result<Contents, FeedFileError> {
        let head = &self.head;
        head.check(&head.feed)?;
        let heartbeat = head.open_heartbeat(keys).map_err(ApplyError::from)?;
        let mut opened = self.opened(keys)?;
        let mut feed = Feed::new(head.feed.clone(), keys.to_vec());
        if let Some(held) = held {
            feed.resume(held.as_bytes().to_vec(), now)?;
        }
        let mut contents = Contents::new(self, &heartbeat, now);
        let mut may_take_base = true;
        loop {
            let at = feed.position();
            match head.next_step(at, may_take_base, false) {
                Step::Fetch(part) => {
                    may_take_base &= !matches!(part, Part::Base { .. });
                    let snapshot = opened.remove(&part);
                    let snapshot = snapshot.ok_or_else(|| self.unreachable(at))?;
                    contents.add(&snapshot);
                    feed.take(snapshot, now)?;
                    // A part that does not lead on is not there the second time, so that this ends.
                }
                Step::Heartbeat => break,
                Step::Ask(_) | Step::Behind | Step::NoWay => return Err(self.unreachable(at)),
            }
        }
        let valid_until = heartbeat.valid_until();
        feed.take(heartbeat, now)?;
        if feed.is_past_validity(now) {
            return Err(FeedFileError::Expired { valid_until, now });
        }
        contents.end(&feed);
        Ok(contents)
    }

    /// Every part that the head names: signed, of this feed, and what its name says.
    fn opened(&self, keys: &[FeedKey]) -> Result<BTreeMap<Part, Snapshot>, FeedFileError> {
        let open = |part: Part| {
            let bytes = self.parts.get(&part).ok_or(FeedFileError::Incomplete(part))?;
            let snapshot = Snapshot::open(bytes.to_vec(), keys).map_err(ApplyError::from)?;
            let is_named = match part {
                Part::Base { position, digest } => {
                    snapshot.is_base()
                        && snapshot.to() == position
                        && digest == BaseDigest::of(bytes)
                }
                Part::Delta { from, to } => (snapshot.from(), snapshot.to()) == (from, to),
            };
            let is_own = snapshot.feed() == self.head.feed;
            match is_named && is_own {
                true => Ok((part, snapshot)),
                false => Err(FeedFileError::Malformed(format!("{part} is not what its name says"))),
            }
        };
        self.head.parts().map(open).collect()
    }

    /// The size of all parts.
    fn part_bytes(&self) -> usize {
        self.parts.values().map(Bytes::len).sum()
    }

    fn unreachable(&self, from: Option<Position>) -> FeedFileError {
        let from = from.map_or("nothing".to_owned(), |from| from.to_string());
        FeedFileError::Unreachable { from, to: self.head.position }
    }
}

impl FeedFileError {
    /// The stable code string.
    fn code(&self) -> &'static str {
        match self {
            Self::Apply(error) => error.code(),
            Self::Expired { .. } => "feed_file_expired",
            Self::Head(error) => error.code(),
            Self::Incomplete(_) => "feed_file_incomplete",
            Self::Malformed(_) => "feed_file_malformed",
            Self::Older(_) => "feed_file_older",
            Self::OtherPlace(_) => "feed_folder_unknown",
            Self::Unreachable { .. } => "feed_file_unreachable",
        }
    }
}

impl From<FeedFileError> for Failure {
    fn from(error: FeedFileError) -> Self {
        let mut detail = error.to_string();
        if matches!(error, FeedFileError::Apply(ApplyError::Open(OpenError::UnknownKey))) {
            // That text is for verifiers.
            detail = "it is signed by none of the given keys (--key)".to_owned();
        }
        Self::refused(Exit::Refused, error.code(), detail)
    }
}
