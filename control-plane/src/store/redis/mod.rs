//! The Redis store: a stream, a few more keys, and small scripts that are safe to repeat.

mod address;
mod cluster;
mod dial;
mod execute;
mod health;
mod link;
mod options;
mod reading;
mod scripts;
mod sentinel;
mod servers;
mod slots;
mod tls;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use redis::Value;
use tokio::time::Instant;

pub use self::address::check_store_url;
pub use self::options::{Appendfsync, RedisOptions, Tolerance, Tolerated, UnknownTolerance};
pub use self::tls::RedisTls;

use self::link::Link;
use self::reading::{Known, Seen};
use self::scripts::{Keys, digest_of};
use crate::clock::unix_seconds;

use super::{
    Append, Appended, Batch, Durability, FORMAT, Finding, NotePlace, Older, Onto, Page, Request,
    Store, StoreError, Stretch, Swapped, mark,
};

/// A store in Redis (7.0 or later) or Valkey, shared by any number of processes: in one server, in
/// the primary that sentinels watch, or in one slot of a cluster.
///
/// All keys of a feed have one hash tag: `meta` (era, seq and mark of the last record and of the
/// checkpoint, the checkpoint's digest, the format, the last large record), `log` (a stream whose ids are `seq-mark`), `checkpoint`,
/// `notes` (a stream, while a request waits for followers), `doc:<name>` and `request:<id>`. Requests, notes and some
/// documents expire.
pub struct RedisStore {
    link: Arc<Link>,
    keys: Keys,
    first_era: u64,
    block: Duration,
    may_be_replica: bool,
    /// How far the server's clock is ahead of this process's.
    clock_ahead_seconds: AtomicI64,
    /// The log as the last reading showed it, if that had many records and it is known where the large ones end.
    seen: Mutex<Option<Seen>>,
    /// The newest checkpoint that was read; cached so that it is not transferred with every page.
    checkpoint: Mutex<Arc<Known>>,
}

impl RedisStore {
    /// Connects and checks the server; begins an empty log if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the options are wrong, the server cannot be reached within
    /// the deadline, or it has fatal findings that are not tolerated: the text then lists them all.
    /// [`StoreError::Damaged`] if only parts of a log exist, [`StoreError::Newer`] if a newer version has
    /// written it.
    pub async fn connect(options: RedisOptions) -> Result<Self, StoreError> {
        let RedisOptions { prefix, .. } = &options;
        if prefix.is_empty() || prefix.contains(['{', '}']) {
            let text = format!("the prefix {prefix:?} is empty or has braces");
            return Err(StoreError::Unavailable(text));
        }
        let keys = Keys::new(prefix);
        let link = Arc::new(Link::new(&options, &keys.meta)?);
        tokio::spawn(Link::watch(Arc::downgrade(&link)));
        let store = Self {
            link,
            keys,
            first_era: options.first_era.max(1),
            block: options.block.max(Duration::from_millis(1)),
            may_be_replica: options.tolerance.accepts(Tolerated::Replica),
            clock_ahead_seconds: AtomicI64::new(0),
            seen: Mutex::default(),
            checkpoint: Mutex::default(),
        };
        if let Some(found) = store.newer_format().await? {
            return Err(StoreError::Newer { found });
        }
        let findings = store.findings().await?;
        let fatal: Vec<_> = findings.into_iter().filter(|finding| finding.fatal).collect();
        if !fatal.is_empty() {
            let texts =
                fatal.iter().map(|Finding { code, detail, .. }| format!("{code}: {detail}"));
            return Err(StoreError::Unavailable(texts.collect::<Vec<_>>().join("; ")));
        }
        // A command that only looks must not end the processes of an older version, which refuse a raised format.
        store.begin(Some(store.first_era), false).await?;
        Ok(store)
    }

    /// Returns since when the log has its format. Begins one if there is none and a first era is given.
    async fn begin(&self, first_era: Option<u64>, may_raise: bool) -> Result<u64, StoreError> {
        let call = self.keys.begin(first_era, may_raise);
        let ((begun, since), _): ((bool, u64), _) = self.link.call(&call).await?;
        if begun { Ok(since) } else { Err(gone()) }
    }

    /// One blocking read; false if nothing came.
    async fn wait_round(&self, after: u64, block: Duration) -> Result<bool, StoreError> {
        let mut command = redis::cmd("XREAD");
        // 0 would block for ever.
        command.arg("BLOCK").arg(block.as_millis().max(1)).arg("COUNT").arg(1);
        command.arg("STREAMS").arg(&self.keys.log).arg(format!("{after}-{}", u64::MAX));
        Ok(self.link.call_blocking(&command, block).await? != Value::Nil)
    }

    /// What is forbidden that processes need to ask each other: a request that waits would find it out too late.
    async fn forbidden_notes(&self) -> Result<Option<Finding>, StoreError> {
        let call = self.keys.forbidden_for_notes();
        match self.link.call::<Vec<String>>(&call).await {
            Ok((forbidden, _)) => Ok(health::forbidden_notes(&forbidden, &self.keys.notes)),
            // A finding of its own.
            Err(StoreError::Newer { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The format of the store, if it is newer than this version knows.
    async fn newer_format(&self) -> Result<Option<u64>, StoreError> {
        let (format, _): (Option<u64>, _) = self.link.call(&self.keys.format()).await?;
        Ok(format.filter(|format| *format > FORMAT))
    }

    async fn era(&self) -> Result<Option<u64>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(&self.keys.meta).arg("era");
        Ok(self.link.call(&scripts::Call::plain(command)).await?.0)
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn append_all(&self, batch: Vec<Append>, onto: Onto) -> Result<Batch, StoreError> {
        let waits = self.link.waits_for_replicas();
        let call = self.keys.append(&batch, onto, mark::nonce()?, waits);
        let (answer, durability): (Vec<String>, _) = self.link.call(&call).await?;
        let Some(([_, from_seq, from_mark, to_seq, to_mark, era], outcomes)) =
            answer.split_first_chunk::<6>()
        else {
            return Err(StoreError::Moved);
        };
        if outcomes.len() != batch.len() {
            return Err(gone());
        }
        let answers = outcomes.iter().map(|outcome| {
            if outcome == "reused" {
                return Ok(None);
            }
            let earlier = outcome.split_once(' ');
            let (era, seq) = earlier.unwrap_or((era, outcome));
            let position = Position { era: number(era)?, seq: number(seq)? };
            Ok(Some(Appended { position, durability, repeated: earlier.is_some() }))
        });
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        let (from, to) = (end_of([era, from_seq, from_mark])?, end_of([era, to_seq, to_mark])?);
        Ok(Batch { answers, from, to })
    }

    async fn recall(&self, request: &Request) -> Result<Option<Appended>, StoreError> {
        let call = self.keys.recall(request, self.link.waits_for_replicas());
        let (known, durability): (Option<String>, _) = self.link.call(&call).await?;
        let Some(known) = known else { return Ok(None) };
        let mut parts = known.split(' ');
        let (era, seq, digest) = (parts.next(), parts.next(), parts.next());
        if digest != Some(digest_of(request).as_str()) {
            return Err(StoreError::RequestReused);
        }
        let position =
            Position { era: number(era.unwrap_or(""))?, seq: number(seq.unwrap_or(""))? };
        Ok(Some(Appended { position, durability, repeated: true }))
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.read_page(after, limit).await
    }

    async fn read_back(&self, before: u64, limit: usize) -> Result<Older, StoreError> {
        let (answer, _) = self.link.call::<ReadBack>(&self.keys.read_back(before, limit)).await?;
        let (era, oldest, ids, records) = answer;
        let seq = |id: &String| id.split_once('-').and_then(|(seq, _)| seq.parse::<u64>().ok());
        let records = ids.iter().zip(records).map(|(id, record)| Some((seq(id)?, record)));
        let records: Option<Vec<_>> = records.rev().collect();
        let records = records.ok_or_else(|| StoreError::Damaged("a foreign entry".to_owned()))?;
        let oldest = oldest.as_ref().and_then(seq).unwrap_or(0);
        Ok(Older { era: era.unwrap_or(self.first_era), oldest, records })
    }

    async fn wait(&self, after: u64, timeout: Duration) -> Result<(), StoreError> {
        let end = Instant::now() + timeout.min(LONGEST_WAIT);
        let era = self.era().await?;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero()
                || self.wait_round(after, left.min(self.block)).await?
                || self.era().await? != era
            {
                return Ok(());
            }
        }
    }

    async fn trim(&self, era: u64, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.link.call::<bool>(&self.keys.trim(era, checkpoint)).await.map(|_| ())
    }

    async fn end(&self) -> Result<End, StoreError> {
        let (found, _): ([Option<u64>; 3], _) = self.link.call(&self.keys.end()).await?;
        let [era, seq, mark] = found;
        let position = Position { era: era.unwrap_or(self.first_era), seq: seq.unwrap_or(0) };
        Ok(End { position, mark: mark.unwrap_or(0) })
    }

    async fn start_era(
        &self,
        expected: End,
        era: u64,
        checkpoint: &Checkpoint,
    ) -> Result<bool, StoreError> {
        let new = (era, mark::nonce()?);
        let call = self.keys.start_era(expected, new, checkpoint, &nonce()?, self.first_era);
        Ok(self.link.call(&call).await?.0)
    }

    async fn load(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let (bytes, _): (Option<Vec<u8>>, _) = self.link.call(&self.keys.load(name)).await?;
        Ok(bytes.unwrap_or_default())
    }

    async fn swap_at(
        &self,
        at: Option<Position>,
        name: &str,
        from: &[u8],
        to: &[u8],
        expires_at: Option<u64>,
    ) -> Result<Swapped, StoreError> {
        let call = self.keys.swap(at, name, (from, to), expires_at);
        match self.link.call::<String>(&call).await?.0.as_str() {
            "written" => Ok(Swapped::Written),
            "changed" => Ok(Swapped::Changed),
            _ => Ok(Swapped::Moved),
        }
    }

    async fn scan(&self, prefix: &str, cursor: &str) -> Result<Stretch, StoreError> {
        if !cursor.bytes().all(|byte| byte.is_ascii_digit()) {
            // The cursor of another store: nothing to return.
            return Ok(Stretch::default());
        }
        let ((next, keys), _): ((String, Vec<Vec<u8>>), _) =
            self.link.call(&self.keys.scan(prefix, cursor)).await?;
        let mut documents = Vec::with_capacity(keys.len());
        if !keys.is_empty() {
            let (found, _): (Vec<Option<Vec<u8>>>, _) =
                self.link.call(&self.keys.load_all(&keys)).await?;
            for (key, bytes) in keys.iter().zip(found) {
                if let (Some(name), Some(bytes)) = (self.keys.name(key), bytes) {
                    documents.push((name.to_owned(), bytes));
                }
            }
        }
        Ok(Stretch { documents, next: (next != "0").then_some(next) })
    }

    fn now(&self) -> u64 {
        unix_seconds().saturating_add_signed(self.clock_ahead_seconds.load(Ordering::Relaxed))
    }

    async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.link.findings().await?;
        findings.extend(self.forbidden_notes().await?);
        if let Some(found) = self.newer_format().await? {
            let detail = StoreError::Newer { found }.to_string();
            findings.push(Finding { code: "store_newer", detail, fatal: true });
        }
        Ok(findings)
    }

    fn durability(&self) -> Option<Durability> {
        self.link.durability()
    }

    async fn format_since(&self) -> Result<u64, StoreError> {
        self.begin(None, true).await
    }

    async fn leave_note(&self, note: &[u8]) -> Result<(), StoreError> {
        self.link.call::<bool>(&self.keys.leave_note(note)).await.map(|_| ())
    }

    async fn notes(
        &self,
        after: NotePlace,
        timeout: Duration,
    ) -> Result<Vec<(NotePlace, Vec<u8>)>, StoreError> {
        let found = self.link.call_blocking(&self.keys.notes(after, timeout), timeout).await?;
        let strange = |_| StoreError::Damaged("the notes cannot be read".to_owned());
        let found: Option<Notes> = redis::from_redis_value(found).map_err(strange)?;
        let found = found.into_iter().flatten().flat_map(|(_, notes)| notes);
        let notes = found.filter_map(|(id, fields)| {
            let (milliseconds, number) = id.split_once('-')?;
            let (milliseconds, number) = (milliseconds.parse().ok()?, number.parse().ok()?);
            Some((NotePlace { milliseconds, number }, fields.into_iter().nth(1)?))
        });
        Ok(notes.collect())
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisStore").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Entries of a stream: their ids and fields.
type Entries = Vec<(String, Vec<Vec<u8>>)>;

/// The result of reading notes: of each stream its key and its entries.
type Notes = Vec<(String, Entries)>;

/// The result of `read_back.lua`: era, id of the oldest record, ids and records, newest first.
type ReadBack = (Option<u64>, Option<String>, Vec<String>, Vec<Vec<u8>>);

fn number(text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|_| gone())
}

fn end_of([era, seq, mark]: [&String; 3]) -> Result<End, StoreError> {
    let position = Position { era: number(era)?, seq: number(seq)? };
    Ok(End { position, mark: number(mark)? })
}

/// The error if the log, or a part of it, is missing although it was begun. Appending would assign
/// positions a second time; a new era does not.
fn gone() -> StoreError {
    StoreError::Damaged("the log is gone, or parts of it are".to_owned())
}

/// Identifies one call, to distinguish its repetition from the same call by another process.
fn nonce() -> Result<[u8; 16], StoreError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(nonce)
}

const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
