//! The storage of the log: one narrow trait, two real implementations and one conformance suite.
//!
//! A store knows nothing about revocations: it keeps an append-only log of opaque records, one
//! checkpoint that replaces the records already trimmed, and a few small named documents. Every
//! call may be repeated after an unknown outcome without a second effect.

mod embedded;
mod mark;
mod redis;

use std::time::Duration;

use async_trait::async_trait;
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use serde::{Serialize, Serializer};

pub use embedded::EmbeddedStore;
pub use mark::marks_after;
pub use redis::{
    Appendfsync, RedisOptions, RedisStore, RedisTls, Tolerance, Tolerated, UnknownTolerance,
    check_store_url,
};

/// The log and the documents of one feed.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Appends records in this order, all of them or none, and returns once they are durable, each
    /// with its position and the durability that was reached. [`StoreError::Moved`] if the log does
    /// not satisfy `onto`; nothing is appended then.
    ///
    /// A request id that the store still remembers appends nothing and returns the first outcome.
    /// If it is used with another digest, there is no outcome for it, and the others are appended.
    async fn append_all(&self, batch: Vec<Append>, onto: Onto) -> Result<Batch, StoreError>;

    /// [`append_all`](Self::append_all) of one record to any log;
    /// [`StoreError::RequestReused`] if the id was used with another digest.
    async fn append(&self, request: &Request, record: &[u8]) -> Result<Appended, StoreError> {
        let batch = vec![Append { request: request.clone(), record: record.to_vec() }];
        let appended = self.append_all(batch, Onto::default()).await?.answers.pop().flatten();
        appended.ok_or(StoreError::RequestReused)
    }

    /// The outcome of an earlier execution of `request`, if the store still remembers it;
    /// [`StoreError::RequestReused`] if the id was used with another digest. Appends nothing.
    async fn recall(&self, request: &Request) -> Result<Option<Appended>, StoreError>;

    /// At most `limit` records after seq `after`, in order, and where the log ends.
    ///
    /// If `after` is before the checkpoint, the page begins at the checkpoint. A page also ends
    /// once its records reach [`PAGE_SIZE_BYTES`]: there are more records if the last one is not
    /// the head. Only a primary answers, unless the operator tolerates a replica. It is checked in
    /// the same step as the read, so that an answer proves how fresh the caller is.
    async fn read(&self, after: u64, limit: usize) -> Result<Page, StoreError>;

    /// At most `limit` records before seq `before`, the newest of them, in order; as with
    /// [`read`](Self::read), large records end it early.
    async fn read_back(&self, before: u64, limit: usize) -> Result<Older, StoreError>;

    /// Returns when the log may have a record after seq `after` or has begun another era, but no
    /// later than after `timeout`.
    async fn wait(&self, after: u64, timeout: Duration) -> Result<(), StoreError>;

    /// Replaces the records up to `checkpoint.seq` by `checkpoint`. A checkpoint that is not newer
    /// than the present one, is newer than the head or is of another era changes nothing.
    async fn trim(&self, era: u64, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// Where the log ends. Reads no records, so it works even if the log is damaged.
    async fn end(&self) -> Result<End, StoreError>;

    /// Replaces the log by `checkpoint` under a new `era`, if the log still ends at `expected`.
    ///
    /// False if it does not: what was appended since may be acknowledged revocations that
    /// `checkpoint` does not contain. Also false if `era` is not greater.
    async fn start_era(
        &self,
        expected: End,
        era: u64,
        checkpoint: &Checkpoint,
    ) -> Result<bool, StoreError>;

    /// Reads a document; empty if there is none.
    async fn load(&self, name: &str) -> Result<Vec<u8>, StoreError>;

    /// Replaces `from` by `to` (empty means no document) and returns once that is durable. With
    /// `at`, only if the log ends there, as one step. After `expires_at` (unix seconds) the store
    /// may forget the document, sooner or later: nothing may depend on when.
    ///
    /// The result is [`Swapped::Written`] also if the document is `to` already: writers that must
    /// be distinguished have to write different contents.
    async fn swap_at(
        &self,
        at: Option<Position>,
        name: &str,
        from: &[u8],
        to: &[u8],
        expires_at: Option<u64>,
    ) -> Result<Swapped, StoreError>;

    /// [`swap_at`](Self::swap_at) wherever the log ends; true if the document is `to` afterwards.
    async fn swap(
        &self,
        name: &str,
        from: &[u8],
        to: &[u8],
        expires_at: Option<u64>,
    ) -> Result<bool, StoreError> {
        Ok(self.swap_at(None, name, from, to, expires_at).await? == Swapped::Written)
    }

    /// Some documents whose names begin with `prefix`, starting at `cursor` (the `next` of the
    /// previous stretch, empty at first). A document that exists all the time is returned at least
    /// once.
    async fn scan(&self, prefix: &str, cursor: &str) -> Result<Stretch, StoreError>;

    /// The time of the store's clock, unix seconds: the same for every process that uses the store,
    /// even if their own clocks differ. As of the last [`read`](Self::read).
    fn now(&self) -> u64;

    /// What an operator should know about the store now; empty if all is well.
    async fn findings(&self) -> Result<Vec<Finding>, StoreError>;

    /// True if other processes may use the store at the same time.
    fn is_shared(&self) -> bool {
        true
    }

    /// Which failures a record that is acknowledged now survives, if known.
    fn durability(&self) -> Option<Durability>;

    /// Since when no process can use the store that knows only an earlier format than this version, by the store's
    /// clock, unix seconds; 0 if that was always so. A store of an earlier format is raised first.
    async fn format_since(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Leaves a note for the other processes that use the store now. It is kept for [`NOTES_LAST`] only, and is not
    /// durable: nothing may depend on its arrival.
    async fn leave_note(&self, _note: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The notes after the place `after`, in order, each with its place; as soon as there are some, and no later than
    /// after `timeout`. A store that is not shared has none.
    async fn notes(
        &self,
        _after: NotePlace,
        timeout: Duration,
    ) -> Result<Vec<(NotePlace, Vec<u8>)>, StoreError> {
        tokio::time::sleep(timeout).await;
        Ok(vec![])
    }
}

/// The place of a note among the others, which are ascending; that before all of them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NotePlace {
    /// When it was left, by the store's clock, milliseconds.
    pub milliseconds: u64,
    /// Distinguishes notes of one millisecond.
    pub number: u64,
}

/// A record to append, and the request that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Identifies the request.
    pub request: Request,
    /// Opaque to the store.
    pub record: Vec<u8>,
}

/// What an append requires of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onto {
    /// A record that the log must contain, or its checkpoint must end with: then what the caller
    /// has read is still part of the log. Absent for any log.
    pub end: Option<End>,
    /// The next record gets at least this seq.
    pub least_seq: u64,
}

/// The outcome of appending records together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// One outcome per record; none if the request id was used with another digest.
    pub answers: Vec<Option<Appended>>,
    /// Where the log ended before.
    pub from: End,
    /// Where it ends now: `from` if nothing was new.
    pub to: End,
}

/// Identifies a request, so that repeating it has no second effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The idempotency key; printable ASCII, at most 200 bytes.
    pub id: String,
    /// A digest of what is requested, to detect that a key is used for something else.
    pub digest: [u8; 32],
    /// The minimum time for which the id must be remembered.
    pub memory: Duration,
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The record's position.
    pub position: Position,
    /// How durable it is.
    pub durability: Durability,
    /// True if an earlier execution of the same request appended it.
    pub repeated: bool,
}

/// Which failures an acknowledged record survives; serialised as its [`name`](Self::name).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// None beyond the life of the store's process: it keeps no append-only file.
    Memory,
    /// Written to the append-only file; a power cut may lose about the last second.
    Written,
    /// Flushed to disk before the answer.
    Synced,
    /// In the memory of that many replicas before the answer, in addition to the primary: a
    /// failover to one of them keeps it.
    Replicated(u32),
}

impl Durability {
    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Written => "written",
            Self::Synced => "synced",
            Self::Replicated(_) => "replicated",
        }
    }

    /// How many replicas have it, if that is known.
    #[must_use]
    pub const fn replicas(self) -> Option<u32> {
        match self {
            Self::Replicated(count) => Some(count),
            Self::Memory | Self::Written | Self::Synced => None,
        }
    }
}

impl Serialize for Durability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A stretch of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The log's era, at least 1.
    pub era: u64,
    /// The seq of the newest record; the checkpoint's if there is none after it.
    pub head: u64,
    /// The mark of the newest record.
    pub head_mark: u64,
    /// Replaces the records already trimmed.
    pub checkpoint: Checkpoint,
    /// The mark of the record that the page begins after; absent if the log has no such record.
    pub after_mark: Option<u64>,
    /// Records with their seqs, ascending; none between two of them is missing.
    pub records: Vec<(u64, Vec<u8>)>,
    /// Their marks.
    pub marks: Vec<u64>,
}

impl Page {
    /// Where the log ends.
    pub fn end(&self) -> End {
        End { position: Position { era: self.era, seq: self.head }, mark: self.head_mark }
    }

    /// Refuses a page with a gap, or one that ends too early.
    fn without_gaps(self, after: u64, limit: usize) -> Result<Self, StoreError> {
        let mut reached = after.max(self.checkpoint.seq);
        if self.records.is_empty() && limit > 0 && reached < self.head {
            return Err(StoreError::Damaged(format!(
                "the log ends at {reached}, not {}",
                self.head
            )));
        }
        let mut before = self.after_mark;
        for ((seq, _), mark) in self.records.iter().zip(&self.marks) {
            let follows = before.is_none_or(|before| mark::follows(before, *mark));
            if !follows || *seq <= reached || *seq > self.head {
                return Err(StoreError::Damaged(format!("after record {reached} comes {seq}")));
            }
            (reached, before) = (*seq, Some(*mark));
        }
        Ok(self)
    }
}

/// The records of a log before a seq.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Older {
    /// The log's era.
    pub era: u64,
    /// The seq of the oldest record that is not trimmed; 0 if there is none.
    pub oldest: u64,
    /// Records with their seqs, ascending.
    pub records: Vec<(u64, Vec<u8>)>,
}

/// The outcome of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// The document has another content.
    Changed,
    /// The log ends somewhere else.
    Moved,
    /// The document has the new content.
    Written,
}

/// Some of the documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    /// Names and contents, at most a few thousand.
    pub documents: Vec<(String, Vec<u8>)>,
    /// Where the next stretch begins; absent after the last one.
    pub next: Option<String>,
}

/// Something about a store that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable code such as `store_evicts`.
    pub code: &'static str,
    /// What was found and what to do, in words.
    pub detail: String,
    /// True if the store must not be used with this, unless it is tolerated explicitly.
    pub fatal: bool,
}

/// Why a store did not do what was requested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The control plane did not write this document under this name.
    #[error("the document {0} in the store was not written by this control plane, or was changed")]
    Altered(String),
    /// What is stored cannot be read.
    #[error("the store's content is damaged: {0}")]
    Damaged(String),
    /// The store has no room, in memory or on its disk; nothing is known to have been written.
    #[error("the store is full: {0}")]
    Full(String),
    /// The log does not continue what the caller has read of it: read it again.
    #[error("the log is not the one that this process has read")]
    Moved,
    /// A newer version has written what this one may not understand. Nothing is read or written.
    #[error(
        "the store has format {found}, and this version of offswitch knows formats up to {FORMAT}: run a \
         version that knows it (docs/guides/upgrading.md)"
    )]
    Newer {
        /// The format of the store.
        found: u64,
    },
    /// The request id was used before for something else.
    #[error("the idempotency key was used for another request")]
    RequestReused,
    /// The records are in the log of the primary, but too few replicas acknowledged them in time: a
    /// failover may lose them. The same request again waits for the replicas again.
    #[error("{acknowledged} of {needed} replicas acknowledged the append in time")]
    TooFewReplicas {
        /// How many did.
        acknowledged: u32,
        /// How many must.
        needed: u32,
    },
    /// The store cannot be reached or refuses to work; whether a write happened may be unknown.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// The format of what is in a store: records, checkpoints and documents. A version that writes anything that
/// the version before it cannot read, such as a new kind of record or a new scope of API keys, raises the number
/// by one. So does one that relies on something which the version before it does not do. Its first process then marks
/// the store with it, and older processes refuse the store from then on. Since 2, every process lists itself.
pub const FORMAT: u64 = 2;

impl StoreError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Altered(_) => "document_altered",
            Self::Damaged(_) => "store_damaged",
            Self::Full(_) => "store_full",
            Self::Newer { .. } => "store_newer",
            Self::RequestReused => "idempotency_key_reused",
            Self::TooFewReplicas { .. } => "too_few_replicas",
            Self::Moved | Self::Unavailable(_) => "store_unavailable",
        }
    }
}

/// A page ends with the record that takes it to this size, so that neither memory nor a deadline
/// depends on the number of large records.
pub const PAGE_SIZE_BYTES: usize = 16 << 20;

/// For how long the store keeps notes: longer than any request waits.
pub const NOTES_LAST: Duration = Duration::from_secs(60);
