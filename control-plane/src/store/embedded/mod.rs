//! The embedded store: one redb file, flushed to disk before every answer.

mod tables;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use redb::{ReadTransaction, WriteTransaction};
use tokio::sync::{oneshot, watch};
use tokio::task;

use self::writer::{File, Job, Writer};
use super::{
    Append, Appended, Batch, Durability, Finding, Older, Onto, Page, Request, Store, StoreError,
    Stretch, Swapped, mark,
};
use crate::clock::unix_seconds;

/// A store in one file, for one process at a time: a second file with the suffix `.lock` is locked
/// while the store is open, and is not removed.
///
/// All writes go through one thread, which commits everything in its queue together, so that many
/// concurrent appends share one flush to disk. Dropping the store finishes the writes in progress
/// and releases the file.
#[derive(Debug)]
pub struct EmbeddedStore {
    file: Arc<File>,
    writer: Writer,
    newest: watch::Receiver<Position>,
}

impl EmbeddedStore {
    /// Opens the file at `path`, or creates it with an empty log of era `first_era` (at least 1).
    ///
    /// The whole file is verified, which takes a moment if it is large. This call blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the file is not a store or its content was altered,
    /// [`StoreError::Unavailable`] if it cannot be opened or another process has it open,
    /// [`StoreError::Newer`] if a newer version has written it.
    pub fn open(path: &Path, first_era: u64) -> Result<Self, StoreError> {
        let file = Arc::new(File::open(path)?);
        let begin = |transaction: &WriteTransaction| tables::begin(transaction, first_era);
        let newest = guarded(|| file.write(begin))?;
        let (announce, newest) = watch::channel(newest);
        let writer = Writer::start(Arc::clone(&file), announce)?;
        Ok(Self { file, writer, newest })
    }

    /// Has the writer thread do `work`, and returns after the commit.
    ///
    /// An error of `work` rolls back everything that would have been committed with it, so it must
    /// mean that the file failed; a refusal is part of `T`.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let outcome = transaction.and_then(work);
            let failure = outcome.as_ref().err().cloned();
            let reply = move |committed: Result<(), StoreError>| {
                // The caller may be gone; what was written stays written.
                let _ = answer.send(committed.and(outcome));
            };
            (failure, Box::new(reply))
        });
        self.writer.queue(job).await?;
        answered.await.unwrap_or_else(|_| Err(writer::stopped()))
    }

    async fn read_with<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        let reading = task::spawn_blocking(move || file.read(work));
        reading.await.unwrap_or_else(|error| Err(StoreError::Damaged(error.to_string())))
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn append_all(&self, batch: Vec<Append>, onto: Onto) -> Result<Batch, StoreError> {
        let (now, chance) = (unix_seconds(), (onto.least_seq, mark::nonce()?));
        let write = move |transaction: &WriteTransaction| {
            if !tables::continues(transaction, onto)? {
                return Ok(None);
            }
            let from = tables::end_written(transaction)?;
            let append = |one: &Append| {
                tables::append(transaction, (&one.request, &one.record), chance, now).map(appended)
            };
            let answers = batch.iter().map(append).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(Batch { answers, from, to: tables::end_written(transaction)? }))
        };
        self.write(write).await?.ok_or(StoreError::Moved)
    }

    async fn recall(&self, request: &Request) -> Result<Option<Appended>, StoreError> {
        let request = request.clone();
        let known =
            self.read_with(move |transaction| tables::recall(transaction, &request)).await?;
        known.map(|outcome| appended(outcome).ok_or(StoreError::RequestReused)).transpose()
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.read_with(move |transaction| tables::page(transaction, after, limit)).await
    }

    async fn read_back(&self, before: u64, limit: usize) -> Result<Older, StoreError> {
        self.read_with(move |transaction| tables::older(transaction, before, limit)).await
    }

    async fn wait(&self, after: u64, timeout: Duration) -> Result<(), StoreError> {
        let mut newest = self.newest.clone();
        let era = newest.borrow_and_update().era;
        let news = newest.wait_for(|newest| newest.seq > after || newest.era != era);
        match tokio::time::timeout(timeout, news).await {
            Ok(Err(_)) => Err(writer::stopped()),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    async fn trim(&self, era: u64, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let checkpoint = checkpoint.clone();
        self.write(move |transaction| tables::trim(transaction, era, &checkpoint)).await
    }

    async fn end(&self) -> Result<End, StoreError> {
        self.read_with(tables::end).await
    }

    async fn start_era(
        &self,
        expected: End,
        era: u64,
        checkpoint: &Checkpoint,
    ) -> Result<bool, StoreError> {
        let (checkpoint, mark) = (checkpoint.clone(), mark::nonce()?);
        let write = move |transaction: &WriteTransaction| {
            tables::start_era(transaction, expected, (era, mark), &checkpoint)
        };
        self.write(write).await
    }

    async fn load(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let name = name.to_owned();
        self.read_with(move |transaction| tables::load(transaction, &name)).await
    }

    async fn swap_at(
        &self,
        at: Option<Position>,
        name: &str,
        from: &[u8],
        to: &[u8],
        expires_at: Option<u64>,
    ) -> Result<Swapped, StoreError> {
        let (name, from, to) = (name.to_owned(), from.to_vec(), to.to_vec());
        let expires_at = expires_at.unwrap_or(tables::NEVER);
        let write = move |transaction: &WriteTransaction| {
            tables::swap(transaction, at, &name, (&from, &to), expires_at)
        };
        self.write(write).await
    }

    async fn scan(&self, prefix: &str, cursor: &str) -> Result<Stretch, StoreError> {
        let (prefix, cursor) = (prefix.to_owned(), cursor.to_owned());
        self.read_with(move |transaction| tables::scan(transaction, &prefix, &cursor)).await
    }

    fn now(&self) -> u64 {
        unix_seconds()
    }

    async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let failure = self.file.failure().clone();
        let code = match &failure {
            Some(StoreError::Full(_)) => "store_full",
            Some(_) => "store_write_error",
            None => return self.read_with(tables::end).await.map(|_| Vec::new()),
        };
        let detail = failure.map(|failure| format!("the last write failed: {failure}"));
        Ok(vec![Finding { code, detail: detail.unwrap_or_default(), fatal: code != "store_full" }])
    }

    /// One process at a time holds the file.
    fn is_shared(&self) -> bool {
        false
    }

    fn durability(&self) -> Option<Durability> {
        Some(Durability::Synced)
    }
}

fn appended(outcome: tables::Outcome) -> Option<Appended> {
    let (position, repeated) = match outcome {
        tables::Outcome::Appended(position) => (position, false),
        tables::Outcome::Repeated(position) => (position, true),
        tables::Outcome::Reused => return None,
    };
    Some(Appended { position, durability: Durability::Synced, repeated })
}

/// Turns a panic of the database on damaged content into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Damaged("the database panicked on damaged content".to_owned()))
    })
}
