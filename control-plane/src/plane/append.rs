//! Group commit: appends that arrive while the store is busy with others go to it together.
//!
//! They share a call, a flush and a publication. A lone one goes at once: nothing waits for company.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offswitch_core::log::End;
use offswitch_snapshot::Position;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinError;

use crate::store::{Append, Appended, Batch, Onto, Store, StoreError, marks_after};

/// Records that this process appended in one batch: new ones only, each with its seq.
#[derive(Debug, Clone)]
pub(super) struct Own {
    /// Where the log ended before the first of them.
    pub(super) from: End,
    /// The last of them.
    pub(super) to: End,
    pub(super) records: Vec<(u64, Vec<u8>)>,
}

impl Own {
    /// True if a log of the same era that ends at `folded` contains it.
    pub(super) fn is_in(&self, folded: End) -> bool {
        let (own, folded) = (self.to.position, folded.position);
        own.era == folded.era && own.seq <= folded.seq
    }

    /// The marks of the records: each counts one more than the one before.
    pub(super) fn marks(&self) -> impl Iterator<Item = u64> {
        marks_after(self.from.mark, self.to.mark, self.records.len())
    }
}

/// The queue before a store. One batch is on its way at a time.
pub(super) struct Appender {
    store: Arc<dyn Store>,
    queue: Mutex<Queue>,
    /// What was appended and not folded yet. It is noted before its callers are answered: what was
    /// acknowledged is known here, also if the store loses it before anyone reads it.
    unfolded: Mutex<VecDeque<Own>>,
    arrived: Notify,
    /// What this process has folded: the log must still hold it.
    folded: Mutex<End>,
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
    /// Appends to the log that holds `folded`.
    pub(super) fn new(store: Arc<dyn Store>, folded: End) -> Arc<Self> {
        Arc::new(Self {
            store,
            queue: Mutex::default(),
            unfolded: Mutex::default(),
            arrived: Notify::new(),
            folded: Mutex::new(folded),
        })
    }

    /// From now on the log must hold `folded`; batches of its era up to there are folded.
    pub(super) fn note_folded(&self, folded: End) {
        *self.folded.lock().unwrap_or_else(PoisonError::into_inner) = folded;
        self.unfolded().retain(|own| !own.is_in(folded));
    }

    /// From now on the log must hold `folded`, which may be of another era and contains every batch
    /// of `joined`. False, and nothing is changed, if meanwhile a batch of yet another era was
    /// acknowledged: that era may lack it. What follows on `folded` is still to be folded.
    pub(super) fn take_over(&self, folded: End, joined: &[Position]) -> bool {
        let mut unfolded = self.unfolded();
        let follows = |own: &Own| own.to.position.era == folded.position.era;
        if !unfolded.iter().all(|own| follows(own) || joined.contains(&own.to.position)) {
            return false;
        }
        *self.folded.lock().unwrap_or_else(PoisonError::into_inner) = folded;
        unfolded.retain(|own| follows(own) && !own.is_in(folded));
        true
    }

    /// Until the next [`take_over`](Self::take_over) or [`note_folded`](Self::note_folded) the store
    /// refuses to append: it no longer holds `lost`. A log that grows could not be replaced.
    pub(super) fn hold_back(&self, lost: End) {
        *self.folded.lock().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    /// Returns when something was appended since the last call.
    pub(super) async fn appended(&self) {
        self.arrived.notified().await;
    }

    /// True while something is appended that was not folded yet.
    pub(super) fn has_unfolded(&self) -> bool {
        !self.unfolded().is_empty()
    }

    /// Takes the oldest batch that was not folded yet.
    pub(super) fn take_unfolded(&self) -> Option<Own> {
        self.unfolded().pop_front()
    }

    /// Gives a batch back that does not follow on what is folded.
    pub(super) fn put_back(&self, own: Own) {
        self.unfolded().push_front(own);
    }

    /// Every batch that was acknowledged and not folded yet.
    pub(super) fn unfolded_batches(&self) -> Vec<Own> {
        self.unfolded().iter().cloned().collect()
    }

    fn unfolded(&self) -> MutexGuard<'_, VecDeque<Own>> {
        self.unfolded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_own(&self, own: Own) {
        let era = own.to.position.era;
        let mut unfolded = self.unfolded();
        unfolded.push_back(own);
        // If no task folds them, the log itself still has them; of an era before, it may not.
        if unfolded.len() > MOST_UNFOLDED
            && let Some(oldest) = unfolded.iter().position(|own| own.to.position.era == era)
        {
            unfolded.remove(oldest);
        }
        drop(unfolded);
        self.arrived.notify_one();
    }

    /// What the next batch demands. A seq grows with the store's clock, so that none is given out a
    /// second time by a log that was restored from an earlier state, and a session opened before
    /// has no greater version than a revocation after: seconds fill all but the lower 20 bits.
    fn onto(&self) -> Onto {
        let end = *self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.store.now().min(MOST_SECONDS);
        Onto { end: Some(end), least_seq: seconds << SEQ_BITS_IN_A_SECOND }
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
            let records: Vec<_> = appends.iter().map(|append| append.record.clone()).collect();
            let (store, onto) = (self.store.clone(), self.onto());
            // A task of its own: a panic of the store fails this batch, and the queue goes on.
            let appending = tokio::spawn(async move { store.append_all(appends, onto).await });
            let panicked = |error: JoinError| StoreError::Damaged(error.to_string());
            match appending.await.unwrap_or_else(|error| Err(panicked(error))) {
                Ok(appended) => {
                    let Batch { answers: appended, from, to } = appended;
                    let own = Own { from, to, records: new_ones(&appended, records) };
                    if !own.records.is_empty() {
                        self.note_own(own);
                    }
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

/// The records of a batch that were appended now, with their seqs.
fn new_ones(appended: &[Option<Appended>], records: Vec<Vec<u8>>) -> Vec<(u64, Vec<u8>)> {
    let new = |one: &Option<Appended>| one.filter(|one| !one.repeated).map(|one| one.position.seq);
    appended.iter().map(new).zip(records).filter_map(|(seq, record)| Some((seq?, record))).collect()
}

/// How many batches may wait to be folded: many more than come while the log is read once.
const MOST_UNFOLDED: usize = 1024;
/// A million records in a second before seqs run ahead of the clock, which harms nothing.
const SEQ_BITS_IN_A_SECOND: u32 = 20;
/// Until the year 2242 a seq is exact in JSON and in Lua.
const MOST_SECONDS: u64 = (1 << 33) - 1;
/// Lua takes some thousand keys and arguments at once.
const BATCH_RECORDS: usize = 256;
/// A batch ends with the record that makes it this large: the store takes it well within its
/// deadline.
const BATCH_BYTES: usize = 1 << 20;
/// Two bulk requests of the largest size, and room for others.
const MOST_WAITING_BYTES: usize = 128 << 20;
