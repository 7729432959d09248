//! Keeps a process current: folds what the log contains, and trims what is past.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use offswitch_core::fold::{FoldError, Trimming};
use offswitch_core::log::End;
use offswitch_core::record::Record;
use offswitch_core::relying_parties::{MAX_AGE_SECONDS, Place, ends_sessions};
use offswitch_core::session::Outage;
use offswitch_server::trace::{Origin, Span};
use offswitch_snapshot::Position;
use tokio::time::{Instant, sleep, timeout};

use super::clock_watch::Step;
use super::continuity::{Loading, PAGE_RECORDS, continues, recover};
use super::{Log, PlaneError};
use crate::store::StoreError;
use crate::{api_keys, keyring, relying_parties};

/// The last round of reading the log's tail.
#[derive(Debug, Default)]
pub(super) struct Round {
    number: u64,
    error: Option<StoreError>,
}

impl Log {
    /// Folds everything that the store contains now.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn catch_up(&self) -> Result<(), PlaneError> {
        let asked_at = self.rounds_begun.load(Ordering::Acquire);
        let mut last = self.following.lock().await;
        if last.number > asked_at {
            // That round began after this call: with a slow store, waiting callers share a round.
            return match &last.error {
                None => Ok(()),
                Some(error) => Err(error.clone().into()),
            };
        }
        let number = self.rounds_begun.fetch_add(1, Ordering::AcqRel) + 1;
        let began = Instant::now();
        let outcome = self.read_tail().await;
        // By the store's clock as of this reading: before it, this would have been the process's
        // own clock, which may be fast.
        let began_at = self.store.now().saturating_sub(began.elapsed().as_secs() + 1);
        // Only now: if the caller is dropped before, no round is recorded.
        *last = Round { number, error: outcome.as_ref().err().map(shared) };
        self.note_outage(outcome.is_err());
        if outcome.is_ok() {
            let was_set_back = self.clock.note(began_at) == Step::Back;
            self.folded.note_current(began_at, was_set_back);
        }
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.store_error = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    /// Notes when the store did not answer: clients that got no response then may ask again.
    fn note_outage(&self, failed: bool) {
        let now = self.store.now();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = outage.ended_at < outage.began_at;
        if failed && !lasts {
            *outage = Outage { began_at: now, ended_at: 0 };
        } else if !failed && lasts {
            outage.ended_at = now;
        }
    }

    /// Keeps folding the log, and makes sure that a key can sign.
    pub(in crate::plane) async fn follow(self: Arc<Self>) {
        loop {
            let after = self.position().seq;
            let caught_up = match self.catch_up().await {
                Ok(()) => self.fold_own().await,
                Err(error) => Err(error),
            };
            if let Err(error) = caught_up {
                tracing::warn!(%error, after, "the log cannot be followed");
                sleep(RETRY_AFTER).await;
            }
            if let Err(error) = self.publisher.need_active_key().await {
                tracing::error!(%error, "the signing key is dead and there is no new one yet");
            }
        }
    }

    /// Folds what this process appends, without reading it back, until the log may contain
    /// something else; at the latest after [`LONGEST_WAIT`].
    ///
    /// A record that was appended directly after the last one folded need not be read. Only a
    /// reading shows how fresh the process is, and that the log kept its records.
    async fn fold_own(&self) -> Result<(), PlaneError> {
        let end = Instant::now() + LONGEST_WAIT;
        loop {
            let after = self.position().seq;
            let left = end.saturating_duration_since(Instant::now());
            let mut news = pin!(self.store.wait(after, left));
            let waited = loop {
                tokio::select! {
                    () = self.appender.appended() => {
                        if !self.fold_appended().await {
                            self.catch_up().await?;
                        }
                    }
                    waited = news.as_mut() => break waited,
                }
            };
            waited?;
            let is_ours = self.appender.is_busy() || self.appender.has_unfolded();
            if self.position().seq == after && is_ours {
                // Most likely it is what the store has just taken from here.
                let _ = timeout(OWN_SOON, self.appender.appended()).await;
                if !self.fold_appended().await {
                    return Ok(());
                }
            }
            if self.position().seq == after || Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// Folds what this process appended; false if that does not directly follow what is folded:
    /// then the log has to be read.
    async fn fold_appended(&self) -> bool {
        let _only_reader = self.following.lock().await;
        while let Some(own) = self.appender.take_unfolded() {
            let end = self.folded.lock().end();
            if own.is_passed(end) {
                if self.appender.has_folded(&own) {
                    continue;
                }
                self.appender.put_back(own);
                return false;
            }
            if own.to.position.era != end.position.era {
                // The store answered after another era began, which may lack it. Until that is known the
                // store refuses to append: a log that grows could not be replaced.
                self.appender.require(own.to);
                self.appender.put_back(own);
                let joined = self.start_over().await;
                if let Err(error) = &joined {
                    tracing::warn!(%error, "what was acknowledged is not yet in the new era");
                    self.appender.require(self.folded.lock().end());
                }
                return joined.is_ok();
            }
            let marks: Vec<_> = own.marks().collect();
            if own.from != end || self.fold_records(&own.records, &marks, &own.origins).is_err() {
                self.appender.put_back(own);
                return false;
            }
        }
        true
    }

    /// Folds records that directly follow what is folded, and publishes them. They are first
    /// written to the local memory, so that what a follower has seen is still known after a
    /// restart. `origins` are what caused them, as far as that is known.
    fn fold_records(
        &self,
        records: &[(u64, Vec<u8>)],
        marks: &[u64],
        origins: &[Origin],
    ) -> Result<(), FoldError> {
        let span = Span::caused_by("fold", origins);
        span.set("offswitch.records", records.len() as i64);
        let (folded, end) = {
            let mut fold = self.folded.lock();
            let mut count = 0;
            let folded = records.iter().zip(marks).try_for_each(|((seq, record), mark)| {
                fold.push(*seq, record)?;
                fold.set_mark(*mark);
                count += 1;
                Ok(())
            });
            if let Some(memory) = &self.memory {
                // While the lock is held: a record is written before any of it is published.
                let entries = records.iter().zip(marks).take(count);
                memory.append(entries.map(|((seq, record), mark)| (*seq, *mark, &record[..])));
            }
            (folded, fold.end())
        };
        metrics::counter!("offswitch_records_folded_total").increment(records.len() as u64);
        // Also if a later record cannot be read.
        let count = records.partition_point(|(seq, _)| *seq <= end.position.seq);
        self.appender.note_folded(end, &records[..count], &marks[..count]);
        self.publisher.note_origin(span.origin());
        self.folded.note_position(end.position);
        folded
    }

    async fn read_tail(&self) -> Result<(), PlaneError> {
        loop {
            let held = self.folded.lock().end();
            let page = match self.store.read(held.position.seq, PAGE_RECORDS).await {
                Err(StoreError::Damaged(error)) => {
                    tracing::error!(error, "the log in the store is damaged");
                    return self.start_over().await;
                }
                page => page?,
            };
            if !continues(held, &page) {
                return self.start_over().await;
            }
            if page.records.is_empty() {
                return self.keep_passed(held).await;
            }
            let origins = self.appender.origins_of(&page.records);
            self.fold_records(&page.records, &page.marks, &origins)?;
        }
    }

    /// Makes sure that the log contains what this process acknowledged and has not found among the records
    /// that it has read up to `held`. Otherwise the store has lost it, and another process has appended to
    /// what was left.
    async fn keep_passed(&self, held: End) -> Result<(), PlaneError> {
        for own in self.appender.passed(held) {
            let to = own.to.position;
            let page = self.store.read(to.seq.saturating_sub(1), 1).await?;
            if page.era != to.era || !own.ends_in(&page.records) {
                return self.start_over().await;
            }
            self.appender.forget(to);
        }
        Ok(())
    }

    /// Takes over the log as it is now, after it moved or lost records. Afterwards it contains
    /// everything that this process acknowledged, including during this call.
    async fn start_over(&self) -> Result<(), PlaneError> {
        let mut published = self.folded();
        let held = published.reached();
        let (now, store) = (self.store.now(), self.store.as_ref());
        let until = self.folded.prunable_until(now);
        let mut joined = Vec::new();
        let end = loop {
            for own in self.appender.unfolded_batches() {
                if !joined.contains(&own.to.position) {
                    for (seq, record) in &own.records {
                        published.join_record(*seq, record)?;
                    }
                    joined.push(own.to.position);
                }
            }
            let fold = recover(store, held, &published, Some(until), &Loading::default()).await?;
            let end = fold.end();
            if let Some(memory) = &self.memory {
                memory.clone().write(memory.begin_state(&fold), until).await;
            }
            // Without a wait in between: a caller that goes away must not leave one without the other.
            if self.appender.take_over(end, &joined) {
                *self.folded.lock() = fold;
                break end;
            }
        };
        tracing::warn!(held = %held.position, now = %end.position, "the log moved");
        self.publisher.rebuild_base(now).await;
        self.folded.note_position(end.position);
        self.publisher.reload_keys().await
    }

    /// Writes the folded state to the local memory, if enough has changed.
    pub(in crate::plane) async fn keep_memory(&self) {
        if self.memory.as_ref().is_some_and(|memory| memory.is_due()) {
            let now = self.store.now();
            self.write_memory_of_now(self.folded.prunable_until(now)).await;
        }
    }

    /// Writes everything that a restart needs to the local memory, now.
    pub async fn remember(&self, now: u64) {
        self.remember_documents().await;
        self.write_memory_of_now(now).await;
    }

    async fn write_memory_of_now(&self, now: u64) {
        let Some(memory) = &self.memory else { return };
        let unwritten = {
            let _only_reader = self.following.lock().await;
            memory.begin_state(&self.folded.lock())
        };
        memory.clone().write(unwritten, now).await;
    }

    /// Remembers the documents without which a store that lost everything would be started afresh.
    pub(in crate::plane) async fn remember_documents(&self) {
        let Some(memory) = &self.memory else { return };
        for name in [api_keys::DOCUMENT, keyring::DOCUMENT, relying_parties::DOCUMENT] {
            match self.store.load(name).await {
                Ok(bytes) => memory.keep_document(name, bytes),
                Err(error) => tracing::warn!(%error, name, "a document cannot be remembered"),
            }
        }
    }

    /// Trims the beginning of the log, which no verifier can need any more at `now`, and whose
    /// records up to `ended` the stored sessions record as well. Of what relying parties have not
    /// settled, from `notified` on, the ends of sessions stay as long as it is tried to deliver them.
    pub(in crate::plane) async fn trim(
        &self,
        ended: Position,
        notified: Option<Place>,
        now: u64,
    ) -> Result<(), PlaneError> {
        let mut page = self.store.read(0, PAGE_RECORDS).await?;
        let (era, begin, head) = (page.era, page.checkpoint.seq, page.head);
        if ended.era != era {
            return Ok(());
        }
        let mut trimming = Trimming::begin(self.master.salt(), &self.issuer, &page.checkpoint)?;
        'walk: while let Some((last, _)) = page.records.last() {
            let last = *last;
            for (seq, record) in &page.records {
                let is_past = *seq <= ended.seq
                    && !is_awaited(notified, era, *seq, record, now)?
                    && trimming.take(*seq, record, now)?;
                if !is_past {
                    break 'walk;
                }
            }
            page = self.store.read(last, PAGE_RECORDS).await?;
            if page.era != era {
                return Ok(());
            }
        }
        let checkpoint = trimming.checkpoint(now);
        if checkpoint.seq > begin {
            self.store.trim(era, &checkpoint).await?;
        }
        // Every start reads these records; their number grows while nothing can be trimmed.
        metrics::gauge!("offswitch_log_records").set(head.saturating_sub(checkpoint.seq) as f64);
        Ok(())
    }
}

/// The error of a round for those who waited for it.
fn shared(error: &PlaneError) -> StoreError {
    match error {
        PlaneError::Store(newer @ StoreError::Newer { .. }) => newer.clone(),
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// True if a relying party that has settled everything up to `notified` is to hear of the record.
fn is_awaited(
    notified: Option<Place>,
    era: u64,
    seq: u64,
    record: &[u8],
    now: u64,
) -> Result<bool, FoldError> {
    if notified.is_none_or(|place| Place::after(era, seq) <= place) {
        return Ok(false);
    }
    let record = Record::decode(record).map_err(|_| FoldError::Damaged { seq })?;
    Ok(record.at.saturating_add(MAX_AGE_SECONDS) > now && ends_sessions(&record))
}

const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The answer to an append arrives at about the same time as the notification of it.
const OWN_SOON: Duration = Duration::from_millis(50);
const RETRY_AFTER: Duration = Duration::from_millis(100);
