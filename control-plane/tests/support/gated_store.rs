//! A store that holds back one write, or the answer to it, that counts how often the log is read, and whose appends a
//! test can make fail.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use offswitch::store::{
    Append, Appended, Batch, Durability, Finding, NotePlace, Older, Onto, Page, Request, Store,
    StoreError, Stretch, Swapped,
};
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use tokio::sync::Semaphore;

/// The store, and its gate.
pub(crate) struct GatedStore {
    inner: Box<dyn Store>,
    holds_list: AtomicBool,
    holds_sessions: AtomicBool,
    holds_append: AtomicBool,
    fails_end: AtomicBool,
    reads: AtomicUsize,
    reached: Semaphore,
    open: Semaphore,
    before_append: Option<Hook>,
}

/// Gets each batch before the store; its error is the batch's.
type Hook = Box<dyn Fn(&[Append]) -> Result<(), StoreError> + Send + Sync>;

impl GatedStore {
    pub(crate) fn new(inner: impl Store + 'static) -> Self {
        let [holds_list, holds_sessions, holds_append, fails_end] =
            [const { AtomicBool::new(false) }; 4];
        Self {
            inner: Box::new(inner),
            holds_list,
            holds_sessions,
            holds_append,
            fails_end,
            reads: AtomicUsize::new(0),
            reached: Semaphore::new(0),
            open: Semaphore::new(0),
            before_append: None,
        }
    }

    /// Calls `hook` with every batch before it is appended.
    pub(crate) fn before_append(
        mut self,
        hook: impl Fn(&[Append]) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        self.before_append = Some(Box::new(hook));
        self
    }

    /// Holds back the next write of the list of processes.
    pub(crate) fn hold_list(&self) {
        self.holds_list.store(true, Ordering::SeqCst);
    }

    /// Holds back the answer to the next write of a user's sessions.
    pub(crate) fn hold_sessions(&self) {
        self.holds_sessions.store(true, Ordering::SeqCst);
    }

    /// Holds back the answer to the next append.
    pub(crate) fn hold_append(&self) {
        self.holds_append.store(true, Ordering::SeqCst);
    }

    /// Makes the next query of the log's end fail.
    pub(crate) fn fail_end(&self) {
        self.fails_end.store(true, Ordering::SeqCst);
    }

    /// How often the log was read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Waits until a write is held back, or has happened whose answer is.
    pub(crate) async fn until_reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// Releases it.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }

    async fn hold_if(&self, is_held: &AtomicBool) {
        if is_held.swap(false, Ordering::SeqCst) {
            self.reached.add_permits(1);
            self.open.acquire().await.unwrap().forget();
        }
    }
}

#[async_trait]
impl Store for GatedStore {
    async fn append_all(&self, batch: Vec<Append>, onto: Onto) -> Result<Batch, StoreError> {
        self.before_append.as_ref().map_or(Ok(()), |hook| hook(&batch))?;
        let appended = self.inner.append_all(batch, onto).await;
        self.hold_if(&self.holds_append).await;
        appended
    }

    async fn recall(&self, request: &Request) -> Result<Option<Appended>, StoreError> {
        self.inner.recall(request).await
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read(after, limit).await
    }

    async fn read_back(&self, before: u64, limit: usize) -> Result<Older, StoreError> {
        self.inner.read_back(before, limit).await
    }

    async fn wait(&self, after: u64, timeout: Duration) -> Result<(), StoreError> {
        self.inner.wait(after, timeout).await
    }

    async fn trim(&self, era: u64, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.inner.trim(era, checkpoint).await
    }

    async fn end(&self) -> Result<End, StoreError> {
        if self.fails_end.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test needs it".to_owned()));
        }
        self.inner.end().await
    }

    async fn start_era(
        &self,
        expected: End,
        era: u64,
        checkpoint: &Checkpoint,
    ) -> Result<bool, StoreError> {
        self.inner.start_era(expected, era, checkpoint).await
    }

    async fn load(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.load(name).await
    }

    async fn swap_at(
        &self,
        at: Option<Position>,
        name: &str,
        from: &[u8],
        to: &[u8],
        expires_at: Option<u64>,
    ) -> Result<Swapped, StoreError> {
        if name == "processes" {
            self.hold_if(&self.holds_list).await;
        }
        let swapped = self.inner.swap_at(at, name, from, to, expires_at).await;
        if name.starts_with("user:") {
            self.hold_if(&self.holds_sessions).await;
        }
        swapped
    }

    async fn scan(&self, prefix: &str, cursor: &str) -> Result<Stretch, StoreError> {
        self.inner.scan(prefix, cursor).await
    }

    fn now(&self) -> u64 {
        self.inner.now()
    }

    async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        self.inner.findings().await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn durability(&self) -> Option<Durability> {
        self.inner.durability()
    }

    async fn format_since(&self) -> Result<u64, StoreError> {
        self.inner.format_since().await
    }

    async fn leave_note(&self, note: &[u8]) -> Result<(), StoreError> {
        self.inner.leave_note(note).await
    }

    async fn notes(
        &self,
        after: NotePlace,
        timeout: Duration,
    ) -> Result<Vec<(NotePlace, Vec<u8>)>, StoreError> {
        self.inner.notes(after, timeout).await
    }
}
