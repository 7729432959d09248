//! Group commit: appends that arrive while the store is busy are sent to it together.
//!
//! They share a call, a flush and a publication. A single append is sent immediately: it does not
//! wait for others. A second batch is sent while the store is busy with the first, so that it need not
//! wait for this process in between.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use offswitch_core::log::End;
use offswitch_server::trace::{Origin, Span};
use offswitch_snapshot::Position;
use tokio::sync::{Notify, oneshot};

use crate::store::{Append, Appended, Batch, Onto, Store, StoreError, marks_after};

/// The records that this process appended in one batch, each with its seq; only new ones. Or one that was
/// found to be appended before, see [`Appender::repeated`].
#[derive(Debug, Clone)]
pub(super) struct Own {
    /// The end of the log before the first of them.
    pub(super) from: End,
    /// The last of them.
    pub(super) to: End,
    pub(super) records: Vec<(u64, Vec<u8>)>,
    /// The appends in the traces of those who asked for them.
    pub(super) origins: Vec<Origin>,
}

impl Own {
    /// True if a log of the same era that ends at `folded` has gone on beyond its end. That log contains it,
    /// unless the store has lost it and something else was appended there.
    pub(super) fn is_passed(&self, folded: End) -> bool {
        let (own, folded) = (self.to.position, folded.position);
        own.era == folded.era && own.seq <= folded.seq
    }

    /// True if its last record is among `records`, which are in order.
    pub(super) fn ends_in(&self, records: &[(u64, Vec<u8>)]) -> bool {
        let found = records.binary_search_by_key(&self.to.position.seq, |(seq, _)| *seq);
        let own = self.records.last().map(|(_, record)| record);
        found.is_ok_and(|at| own == Some(&records[at].1))
    }

    /// The marks of the records: each counts one more than the one before.
    pub(super) fn marks(&self) -> impl Iterator<Item = u64> {
        marks_after(self.from.mark, self.to.mark, self.records.len())
    }
}

/// The queue in front of a store.
pub(super) struct Appender {
    store: Arc<dyn Store>,
    queue: Mutex<Queue>,
    /// The batches that were appended but not folded yet. They are noted before their callers get
    /// an answer, so this process knows what was acknowledged even if the store loses it before any
    /// process reads it.
    unfolded: Mutex<VecDeque<Own>>,
    arrived: Notify,
    /// Something waits in the queue while a task is sending batches.
    waits: Notify,
    /// What this process has folded; the log must still contain it.
    folded: Mutex<End>,
    /// Seq and mark of the records folded last, in order: a batch may be read before its answer arrives.
    recent: Mutex<VecDeque<(u64, u64)>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    size_bytes: usize,
    /// True while a task is sending batches.
    is_busy: bool,
}

/// A batch that the store has answered.
struct Answered {
    outcome: Result<Batch, StoreError>,
    records: Vec<Vec<u8>>,
    origins: Vec<Origin>,
    answers: Vec<oneshot::Sender<Result<Option<Appended>, StoreError>>>,
    is_large: bool,
    span: Span,
}

struct Waiting {
    append: Append,
    origin: Option<Origin>,
    answer: oneshot::Sender<Result<Option<Appended>, StoreError>>,
}

impl Appender {
    /// Creates a queue for the log that contains `folded`.
    pub(super) fn new(store: Arc<dyn Store>, folded: End) -> Arc<Self> {
        Arc::new(Self {
            store,
            queue: Mutex::default(),
            unfolded: Mutex::default(),
            arrived: Notify::new(),
            waits: Notify::new(),
            folded: Mutex::new(folded),
            recent: Mutex::default(),
        })
    }

    /// From now on the log must contain `folded`.
    pub(super) fn require(&self, folded: End) {
        *self.folded.lock().unwrap_or_else(PoisonError::into_inner) = folded;
    }

    /// The same after these records were folded: the batches that end in them are no longer to be folded.
    pub(super) fn note_folded(&self, folded: End, records: &[(u64, Vec<u8>)], marks: &[u64]) {
        self.require(folded);
        {
            let mut recent = self.recent();
            recent.extend(records.iter().zip(marks).map(|((seq, _), mark)| (*seq, *mark)));
            let surplus = recent.len().saturating_sub(MOST_RECENT);
            recent.drain(..surplus);
        }
        self.unfolded().retain(|own| !own.ends_in(records));
    }

    /// True if the batch is known to be among what was folded last.
    pub(super) fn has_folded(&self, own: &Own) -> bool {
        let (seq, mark) = (own.to.position.seq, own.to.mark);
        self.recent().binary_search(&(seq, mark)).is_ok()
    }

    /// The batches up to `folded` in its era that were not among what was folded.
    pub(super) fn passed(&self, folded: End) -> Vec<Own> {
        let mut unfolded = self.unfolded();
        unfolded.retain(|own| !own.is_passed(folded) || !self.has_folded(own));
        unfolded.iter().filter(|own| own.is_passed(folded)).cloned().collect()
    }

    /// The batch that ends there was found in the log.
    pub(super) fn forget(&self, to: Position) {
        self.unfolded().retain(|own| own.to.position != to);
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
        self.require(folded);
        // What of this log was read is not known record by record.
        self.recent().clear();
        unfolded.retain(|own| !joined.contains(&own.to.position));
        true
    }

    /// Returns when something was appended since the last call.
    pub(super) async fn appended(&self) {
        self.arrived.notified().await;
    }

    /// True while a batch was appended but not folded yet.
    pub(super) fn has_unfolded(&self) -> bool {
        !self.unfolded().is_empty()
    }

    /// Takes the oldest batch that was not folded yet.
    pub(super) fn take_unfolded(&self) -> Option<Own> {
        self.unfolded().pop_front()
    }

    /// Puts back a batch that does not directly follow what is folded.
    pub(super) fn put_back(&self, own: Own) {
        self.unfolded().push_front(own);
    }

    /// What caused the records among these that this process appended, as far as that is known already.
    pub(super) fn origins_of(&self, records: &[(u64, Vec<u8>)]) -> Vec<Origin> {
        let unfolded = self.unfolded();
        let known = unfolded.iter().filter(|own| !own.origins.is_empty() && own.ends_in(records));
        known.flat_map(|own| own.origins.iter().cloned()).collect()
    }

    /// All batches that were acknowledged but not folded yet.
    pub(super) fn unfolded_batches(&self) -> Vec<Own> {
        self.unfolded().iter().cloned().collect()
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(u64, u64)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// What the next batch requires of the log. A seq grows with the store's clock. So a log that
    /// was restored from an earlier state does not assign one a second time, and a session opened
    /// before a revocation never has a greater version than it: the seconds fill all but the lower
    /// 20 bits.
    fn onto(&self) -> Onto {
        let end = *self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.store.now().min(MOST_SECONDS);
        Onto { end: Some(end), least_seq: seconds << SEQ_BITS_IN_A_SECOND }
    }

    /// True while a batch is on its way to the store.
    pub(super) fn is_busy(&self) -> bool {
        self.queue().is_busy
    }

    /// Appends one record. If the caller drops this future early, the record may be appended or
    /// not.
    ///
    /// # Errors
    ///
    /// Those of [`Store::append`]; if the store does not answer a batch, also for the records that
    /// waited behind it.
    pub(super) async fn append(self: &Arc<Self>, append: Append) -> Result<Appended, StoreError> {
        let span = Span::begin("append");
        let appended = self.append_as(append, span.origin()).await;
        match &appended {
            Ok(Appended { position, durability, repeated }) if span.is_recorded() => {
                span.set("offswitch.position", position.to_string());
                span.set("offswitch.durability", durability.name());
                span.set("offswitch.repeated", *repeated);
            }
            Ok(_) => {}
            Err(error) => span.fail(error.code()),
        }
        appended
    }

    async fn append_as(
        self: &Arc<Self>,
        append: Append,
        origin: Option<Origin>,
    ) -> Result<Appended, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.size_bytes > MOST_WAITING_BYTES {
                let text = "the append queue is full";
                return Err(StoreError::Unavailable(text.to_owned()));
            }
            queue.size_bytes += append.record.len();
            queue.waiting.push_back(Waiting { append, origin, answer });
            if !queue.is_busy {
                queue.is_busy = true;
                // A task of its own: a caller that is cancelled does not cost others their answers.
                tokio::spawn(self.clone().send_batches());
            } else {
                self.waits.notify_one();
            }
        }
        let gone = || StoreError::Unavailable("the append was not carried out".to_owned());
        answered.await.map_err(|_| gone())??.ok_or(StoreError::RequestReused)
    }

    async fn send_batches(self: Arc<Self>) {
        // In the order in which they were sent: each follows the one before, so it is folded after it.
        let mut sent = FuturesOrdered::new();
        loop {
            while sent.len() < BATCHES_SENT
                && let Some(batch) = self.next_batch(sent.is_empty())
            {
                sent.push_back(self.send(batch));
            }
            let has_room = sent.len() < BATCHES_SENT;
            tokio::select! {
                biased;
                answered = sent.next() => match answered {
                    Some(answered) => self.answer(answered),
                    None => return,
                },
                () = self.waits.notified(), if has_room => {}
            }
        }
    }

    async fn send(&self, batch: Vec<Waiting>) -> Answered {
        metrics::histogram!("offswitch_append_batch").record(batch.len() as f64);
        let is_large = batch.iter().any(Waiting::is_large);
        let origins: Vec<_> = batch.iter().filter_map(|one| one.origin.clone()).collect();
        let (appends, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|one| (one.append, one.answer)).unzip();
        let span = Span::caused_by("store append", &origins);
        span.set("offswitch.records", appends.len() as i64);
        let records = appends.iter().map(|append| append.record.clone()).collect();
        // A panic of the store fails this batch, but not the queue.
        let appending = AssertUnwindSafe(self.store.append_all(appends, self.onto()));
        let panicked = |_| Err(StoreError::Damaged("the store panicked".to_owned()));
        let outcome = appending.catch_unwind().await.unwrap_or_else(panicked);
        Answered { outcome, records, origins, answers, is_large, span }
    }

    fn answer(&self, answered: Answered) {
        let Answered { outcome, records, origins, answers, is_large, span } = answered;
        match outcome {
            Ok(Batch { answers: appended, from, to }) => {
                let unread = self.repeated(&appended, &records);
                let own = Own { from, to, records: new_ones(&appended, records), origins };
                if !own.records.is_empty() {
                    self.note_own(own);
                }
                unread.into_iter().for_each(|own| self.note_own(own));
                for (answer, appended) in answers.into_iter().zip(appended) {
                    // The caller may be gone; what is appended stays.
                    let _ = answer.send(Ok(appended));
                }
            }
            Err(error) => {
                span.fail(error.code());
                let is_late =
                    matches!(error, StoreError::TooFewReplicas { .. } | StoreError::Unavailable(_));
                let behind = if is_late { self.take_behind(is_large) } else { VecDeque::new() };
                let behind = behind.into_iter().map(|one| one.answer);
                for answer in answers.into_iter().chain(behind) {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// The records that were appended before, by another process or by a call whose answer was lost, and
    /// that this process has not read yet. They are acknowledged here too, so the store must not be able
    /// to lose them. They do not directly follow anything, so they are only folded with what is read.
    fn repeated(&self, appended: &[Option<Appended>], records: &[Vec<u8>]) -> Vec<Own> {
        let folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner).position;
        let unread = |(one, record): (&Option<Appended>, &Vec<u8>)| {
            let position = one.filter(|one| one.repeated && one.position > folded)?.position;
            let (from, to) = (End::default(), End { position, mark: 0 });
            let records = vec![(position.seq, record.clone())];
            Some(Own { from, to, records, origins: vec![] })
        };
        appended.iter().zip(records).filter_map(unread).collect()
    }

    /// The records of the next batch. If there are none and this `is_idle`, the task ends.
    fn next_batch(&self, is_idle: bool) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        let (mut batch, mut size_bytes) = (Vec::new(), 0_usize);
        while batch.len() < BATCH_RECORDS && size_bytes < BATCH_BYTES {
            let goes = |next: &mut Waiting| batch.is_empty() || !next.is_large();
            let Some(one) = queue.waiting.pop_front_if(goes) else { break };
            size_bytes += one.append.record.len();
            batch.push(one);
        }
        queue.size_bytes = queue.size_bytes.saturating_sub(size_bytes);
        queue.is_busy = !(batch.is_empty() && is_idle);
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes what waited behind a batch that the store did not answer in time; it would only wait
    /// for the same time-out again. Behind a large record these are the other large ones: the store
    /// may be fast enough for the rest.
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
    /// True if it is sent in a batch of its own, so that no caller waits for another's upload.
    fn is_large(&self) -> bool {
        self.append.record.len() >= BATCH_BYTES
    }
}

/// The records of a batch that were newly appended, with their seqs.
fn new_ones(appended: &[Option<Appended>], records: Vec<Vec<u8>>) -> Vec<(u64, Vec<u8>)> {
    let new = |one: &Option<Appended>| one.filter(|one| !one.repeated).map(|one| one.position.seq);
    appended.iter().map(new).zip(records).filter_map(|(seq, record)| Some((seq?, record))).collect()
}

/// While the store flushes one batch, the next one is on its way.
const BATCHES_SENT: usize = 2;
/// How many batches may wait to be folded: far more than arrive during one reading of the log.
const MOST_UNFOLDED: usize = 1024;
/// More than are appended while an answer is on its way.
const MOST_RECENT: usize = 8192;
/// Seqs run ahead of the clock only above a million records per second, which does no harm.
const SEQ_BITS_IN_A_SECOND: u32 = 20;
/// A seq is exact in JSON and in Lua until the year 2242.
const MOST_SECONDS: u64 = (1 << 33) - 1;
/// Lua accepts some thousand keys and arguments in one call.
const BATCH_RECORDS: usize = 256;
/// A batch ends with the record that takes it to this size: the store can process it well within
/// its deadline.
const BATCH_BYTES: usize = 1 << 20;
/// Two bulk requests of the maximum size, and room for others.
const MOST_WAITING_BYTES: usize = 128 << 20;
