//! What a place can do.

use std::fmt;

use async_trait::async_trait;
use axum::body::Bytes;
use offswitch_snapshot::Part;

use crate::plane::publish::OtherFeed;

/// A place where files are kept: an object store, a folder, a key-value store. Its text is its address,
/// without any secret.
#[async_trait]
pub trait Place: fmt::Display + Send + Sync {
    /// The head that is there, with what names this version of it.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    async fn head(&self) -> Result<Option<(Bytes, PlaceVersion)>, PlaceError>;

    /// Replaces the head, unless it is another version than `over` by now (or there is one, if that is
    /// absent). False if it is; a place that cannot compare never answers false.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    async fn write_head(
        &self,
        text: Bytes,
        over: Option<&PlaceVersion>,
    ) -> Result<bool, PlaceError>;

    /// Writes a part. Once this has returned, it is complete and durable.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    async fn write_part(&self, part: Part, bytes: Bytes) -> Result<(), PlaceError>;

    /// The names of parts that are there; anything else is passed over.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    async fn parts(&self) -> Result<Vec<Part>, PlaceError>;

    /// Removes a part.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    async fn remove(&self, part: Part) -> Result<(), PlaceError>;
}

/// Names one version of the head, as the place does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceVersion {
    /// Its entity tag.
    pub e_tag: Option<String>,
    /// Its number.
    pub version: Option<String>,
}

/// Why nothing was published. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// What is there belongs to another feed.
    #[error("the head that is there is of another feed ({0}): publish to another place")]
    Foreign(String),
    /// There is no base that a head can name.
    #[error("there is no base that leads to the end of the log")]
    NoBase,
    /// The place did not do it.
    #[error("{0}")]
    Place(String),
}

impl PlaceError {
    /// A failure of the place, shortened: it may repeat a whole answer.
    pub(super) fn of(error: impl fmt::Display) -> Self {
        let text: String = error.to_string().chars().take(MOST_CHARS).collect();
        Self::Place(text)
    }
}

impl From<OtherFeed> for PlaceError {
    fn from(OtherFeed(feed): OtherFeed) -> Self {
        Self::Foreign(feed.chars().take(MOST_CHARS).collect())
    }
}

/// No more names are looked at: 100,000 parts are a year of heads without a sweep.
pub(super) const MOST_PARTS: usize = 100_000;
/// What caches may do with a head, and with a part.
pub(super) const HEAD_CACHING: &str = "public, max-age=1, stale-if-error=60";
pub(super) const PART_CACHING: &str = "public, max-age=31536000, immutable";
const MOST_CHARS: usize = 500;
