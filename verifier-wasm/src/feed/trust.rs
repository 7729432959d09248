//! What shows that bytes are a snapshot of the feed that is followed.

use super::ApplyError;
use crate::snapshot::{Arriving, FeedKey, Head, Snapshot};

/// The id of a feed, and the keys whose signatures are trusted for it. It needs no [`Feed`](super::Feed): a
/// large snapshot can be opened elsewhere, while verdicts go on.
#[derive(Debug, Clone)]
pub struct FeedTrust {
    id: String,
    keys: Vec<FeedKey>,
}

impl FeedTrust {
    /// Trusts these keys for the feed with this id.
    pub fn new(id: String, keys: Vec<FeedKey>) -> Self {
        Self { id, keys }
    }

    /// The id of the feed.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The keys whose signatures are trusted.
    pub fn keys(&self) -> &[FeedKey] {
        &self.keys
    }

    /// Looks at the first bytes of what may be a snapshot of this feed, before the rest is loaded:
    /// [`HEAD_BYTES`](crate::snapshot::HEAD_BYTES) of them, or all if there are fewer. Nothing is proved by that, but most of
    /// what is not a snapshot ends here.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Open`] and [`ApplyError::WrongFeed`].
    pub fn preview(&self, head: &[u8]) -> Result<(), ApplyError> {
        self.head(head).map(drop)
    }

    /// Begins to check a snapshot that arrives in pieces, of which `head` is the first as
    /// [`preview`](Self::preview) takes it. No piece is kept.
    ///
    /// # Errors
    ///
    /// As `preview`.
    pub fn begin(&self, head: &[u8]) -> Result<Arriving, ApplyError> {
        self.head(head).map(|head| Arriving::new(&head))
    }

    /// Opens a snapshot of the feed: its signature, its form and its feed are checked.
    ///
    /// # Errors
    ///
    /// As `preview`.
    pub fn open(&self, bytes: Vec<u8>) -> Result<Snapshot, ApplyError> {
        let snapshot = Snapshot::open(bytes, &self.keys)?;
        if snapshot.feed() == self.id {
            Ok(snapshot)
        } else {
            Err(self.wrong_feed(snapshot.feed().as_bytes()))
        }
    }

    fn head<'a>(&self, bytes: &'a [u8]) -> Result<Head<'a>, ApplyError> {
        let head = Head::read(bytes, &self.keys)?;
        let (length, found) = head.feed()?;
        let is_ours = length == self.id.len() && self.id.as_bytes().starts_with(found);
        if is_ours { Ok(head) } else { Err(self.wrong_feed(found)) }
    }

    fn wrong_feed(&self, found: &[u8]) -> ApplyError {
        ApplyError::WrongFeed { found: shown(found), expected: shown(self.id.as_bytes()) }
    }
}

/// A feed's id may have anything in it, and the message that shows it goes into logs and JSON.
fn shown(id: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    let plain = |byte: &u8| if is_plain(*byte) { char::from(*byte) } else { '?' };
    id.iter().take(MAX_SHOWN_CHARACTERS).map(plain).collect()
}

/// Of a feed's id that was found in place of the expected one.
const MAX_SHOWN_CHARACTERS: usize = 100;
