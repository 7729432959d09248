//! Group commit: appends that arrive while the store is busy with others go to it together.
//!
//! They share a call, a flush and a publication. A lone one goes at once: nothing waits for company.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offswitch_verifier::snapshot::Position;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;

use crate::store::{Append, Appended, Store, StoreError};

/// Records that this process appended, each with the position it got.
pub(super) type Own = Vec<(Position, Vec<u8>)>;

/// The queue before a store. One batch is on its way at a time.
pub(super) struct Appender {
    store: Arc<dyn Store>,
    queue: Mutex<Queue>,
    /// Tells of each batch: whoever folds the log need not read it back from the store.
    own: mpsc::Sender<Own>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    size_bytes: usize,
    /// True while a task sends batches.
    is_busy: bool,
}

struct Waiting {
    append: Append,
    answer: oneshot::Sender<Result<Option<Appended>, StoreError>>,
}

impl Appender {
    /// With where it tells of what was appended.
    pub(super) fn new(store: Arc<dyn Store>) -> (Arc<Self>, mpsc::Receiver<Own>) {
        let (own, told) = mpsc::channel(BATCHES_TOLD);
        (Arc::new(Self { store, queue: Mutex::default(), own }), told)
    }

    /// True while something is on its way to the store.
    pub(super) fn is_busy(&self) -> bool {
        self.queue().is_busy
    }

    /// Appends one record. Whoever drops this before the answer may have appended it or not.
    ///
    /// # Errors
    ///
    /// Those of [`Store::append`]; where the store does not answer a batch, also for what waited
    /// behind it.
    pub(super) async fn append(self: &Arc<Self>, append: Append) -> Result<Appended, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.size_bytes > MOST_WAITING_BYTES {
                let text = "too much waits for the store already";
                return Err(StoreError::Unavailable(text.to_owned()));
            }
            queue.size_bytes += append.record.len();
            queue.waiting.push_back(Waiting { append, answer });
            if !queue.is_busy {
                queue.is_busy = true;
                // A task of its own: a caller that goes away takes nobody's answer with it.
                tokio::spawn(self.clone().send_batches());
            }
        }
        let gone = || StoreError::Unavailable("the append was not carried out".to_owned());
        answered.await.map_err(|_| gone())??.ok_or(StoreError::RequestReused)
    }

    async fn send_batches(self: Arc<Self>) {
        while let Some(batch) = self.next_batch() {
            metrics::histogram!("offswitch_append_batch").record(batch.len() as f64);
            let is_large = batch.iter().any(Waiting::is_large);
            let (appends, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|one| (one.append, one.answer)).unzip();
            let records = appends.iter().map(|append| append.record.clone());
            let records: Vec<_> = if is_large { vec![] } else { records.collect() };
            let store = self.store.clone();
            // A task of its own: a panic of the store fails this batch, and the queue goes on.
            let appending = tokio::spawn(async move { store.append_all(appends).await });
            let panicked = |error: JoinError| StoreError::Damaged(error.to_string());
            match appending.await.unwrap_or_else(|error| Err(panicked(error))) {
                Ok(appended) => {
                    let positions = appended.iter().map(|one| one.map(|one| one.position));
                    let own = positions.zip(records).filter_map(|(at, record)| Some((at?, record)));
                    // Where nobody takes them, the log itself tells of them.
                    let _ = self.own.try_send(own.collect());
                    for (answer, appended) in answers.into_iter().zip(appended) {
                        // A caller that has gone misses nothing: what is appended stays.
                        let _ = answer.send(Ok(appended));
                    }
                }
                Err(error) => {
                    let is_late = matches!(error, StoreError::Unavailable(_));
                    let behind = if is_late { self.take_behind(is_large) } else { VecDeque::new() };
                    let behind = behind.into_iter().map(|one| one.answer);
                    for answer in answers.into_iter().chain(behind) {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// What goes to the store next; with nothing left the task ends.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        let (mut batch, mut size_bytes) = (Vec::new(), 0_usize);
        while batch.len() < BATCH_RECORDS && size_bytes < BATCH_BYTES {
            let goes = |next: &mut Waiting| batch.is_empty() || !next.is_large();
            let Some(one) = queue.waiting.pop_front_if(goes) else { break };
            size_bytes += one.append.record.len();
            batch.push(one);
        }
        queue.size_bytes = queue.size_bytes.saturating_sub(size_bytes);
        queue.is_busy = !batch.is_empty();
        queue.is_busy.then_some(batch)
    }

    /// What waited behind a batch that the store did not answer in time, and would only wait for
    /// the same time-out again. Behind a large record that is other large ones: the store may be
    /// quick enough for the rest.
    fn take_behind(&self, is_large: bool) -> VecDeque<Waiting> {
        let mut queue = self.queue();
        let waiting = std::mem::take(&mut queue.waiting);
        let (behind, rest) = waiting.into_iter().partition(|one| !is_large || one.is_large());
        queue.waiting = rest;
        queue.size_bytes = queue.waiting.iter().map(|one| one.append.record.len()).sum();
        behind
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// True if it goes to the store by itself: nobody pays for another's upload.
    fn is_large(&self) -> bool {
        self.append.record.len() >= BATCH_BYTES
    }
}

/// Of which whoever folds is told: more than are on their way at once.
const BATCHES_TOLD: usize = 8;
/// Lua takes some thousand keys and arguments at once.
const BATCH_RECORDS: usize = 256;
/// A batch ends with the record that makes it this large: the store takes it well within its
/// deadline.
const BATCH_BYTES: usize = 1 << 20;
/// Two bulk requests of the largest size, and room for others.
const MOST_WAITING_BYTES: usize = 128 << 20;
