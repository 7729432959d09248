//! The tasks that keep a process current: follow the log, rebuild the base, trim what is past.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use offswitch_verifier::snapshot::Position;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::append::Own;
use super::continuity::{Continuity, PAGE_RECORDS, judge, recover};
use super::{Plane, PlaneError};
use crate::api_keys::ApiKeys;
use crate::fold::Trimming;
use crate::session::Outage;
use crate::store::StoreError;

/// The last reading of the log's tail.
#[derive(Debug, Default)]
pub(super) struct Round {
    number: u64,
    error: Option<String>,
}

impl Plane {
    /// Starts the tasks; they end with the runtime.
    pub fn spawn_tasks(self: &Arc<Self>) {
        tokio::spawn(self.clone().keep_announced());
        tokio::spawn(self.clone().follow_log());
        tokio::spawn(self.clone().keep_base());
        tokio::spawn(self.clone().keep_documents());
        tokio::spawn(self.clone().keep_ended());
        tokio::spawn(self.clone().keep_trimmed());
    }

    /// Folds everything that the store holds now.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn catch_up(&self) -> Result<(), PlaneError> {
        let asked_at = self.rounds_begun.load(Ordering::Acquire);
        let mut last = self.following.lock().await;
        if last.number > asked_at {
            // It began after this call: where the store is slow, waiting callers do not add up.
            return match &last.error {
                None => Ok(()),
                Some(error) => Err(StoreError::Unavailable(error.clone()).into()),
            };
        }
        let number = self.rounds_begun.fetch_add(1, Ordering::AcqRel) + 1;
        let began_at = self.now();
        let outcome = self.read_tail().await;
        // Only now: a caller that goes away in between leaves no round behind.
        *last = Round { number, error: outcome.as_ref().err().map(ToString::to_string) };
        self.note_outage(outcome.is_err());
        if outcome.is_ok() {
            self.current_at.fetch_max(began_at, Ordering::AcqRel);
        }
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.store_error = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    /// Remembers when the store could not be asked: clients that got no answer then may ask again.
    fn note_outage(&self, failed: bool) {
        let now = self.now();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = outage.ended_at < outage.began_at;
        if failed && !lasts {
            *outage = Outage { began_at: now, ended_at: 0 };
        } else if !failed && lasts {
            outage.ended_at = now;
        }
    }

    async fn follow_log(self: Arc<Self>) {
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
            if self.active_kid().is_none()
                && let Err(error) = self.reload_keyring().await
            {
                tracing::error!(%error, "the signing key is dead and there is no new one yet");
            }
        }
    }

    /// Folds what this process appends, without reading it back, until there may be something else
    /// in the log; at the latest after [`LONGEST_WAIT`].
    ///
    /// A record that got the very next seq of the same era leaves no room for another's before it.
    /// How fresh the process is, and that the log kept what it had, only a reading tells.
    async fn fold_own(&self) -> Result<(), PlaneError> {
        let mut own = self.own.lock().await;
        let end = Instant::now() + LONGEST_WAIT;
        loop {
            let after = self.position().seq;
            let left = end.saturating_duration_since(Instant::now());
            let mut news = pin!(self.store.wait(after, left));
            let waited = loop {
                tokio::select! {
                    Some(batch) = own.recv() => {
                        if !self.fold_batch(batch).await {
                            self.catch_up().await?;
                        }
                    }
                    waited = news.as_mut() => break waited,
                }
            };
            waited?;
            let is_ours = self.appender.is_busy() || !own.is_empty();
            if self.position().seq == after && is_ours {
                // Most likely it is what the store has just taken from here.
                let Ok(Some(batch)) = timeout(OWN_SOON, own.recv()).await else { return Ok(()) };
                if !self.fold_batch(batch).await {
                    return Ok(());
                }
            }
            if self.position().seq == after || Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// False if these records do not follow on what is folded: then the log has to be read.
    async fn fold_batch(&self, batch: Own) -> bool {
        let _only_reader = self.following.lock().await;
        let (follows, held, reached) = {
            let mut fold = self.fold();
            let held = fold.reached().position;
            let follows = batch.iter().all(|(position, record)| {
                let next = fold.reached().position.seq + 1;
                let is_known = position.seq < next;
                position.era == held.era
                    && (is_known || (position.seq == next && fold.push(next, record).is_ok()))
            });
            (follows, held, fold.reached().position)
        };
        if reached != held {
            self.note_reached(reached);
        }
        follows
    }

    fn note_reached(&self, reached: Position) {
        self.head.send_replace(reached);
        metrics::gauge!("offswitch_log_seq").set(reached.seq as f64);
    }

    async fn read_tail(&self) -> Result<(), PlaneError> {
        loop {
            let held = self.position();
            let overlap = self.fold().overlap();
            let page = self.store.read(overlap, PAGE_RECORDS).await?;
            let is_contradicted = {
                let fold = self.fold();
                page.records.iter().any(|(seq, record)| fold.is_contradicted(*seq, record))
            };
            let continuity = if is_contradicted { Continuity::Lost } else { judge(held, &page) };
            if continuity != Continuity::Continues {
                return self.start_over(continuity).await;
            }
            let fresh: Vec<_> = page.records.iter().filter(|(seq, _)| *seq > held.seq).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            let (folded, reached) = {
                let mut fold = self.fold();
                let folded =
                    fresh.into_iter().try_for_each(|(seq, record)| fold.push(*seq, record));
                (folded, fold.reached().position)
            };
            // Also what comes before a record that cannot be read.
            self.note_reached(reached);
            folded?;
        }
    }

    /// Takes over the log as it is now, after it moved or lost records.
    async fn start_over(&self, continuity: Continuity) -> Result<(), PlaneError> {
        let published = self.fold().clone();
        let (salt, issuer) = (self.master.salt(), &self.settings.issuer);
        let now = self.now();
        let store = self.store.as_ref();
        let until = self.prunable_until(now);
        let fold = recover(store, salt, issuer, &published, continuity, until).await?;
        let reached = fold.reached().position;
        tracing::warn!(held = %published.reached().position, now = %reached, "the log moved");
        *self.fold() = fold;
        self.rebuild_base(now).await;
        self.head.send_replace(reached);
        self.reload_keyring().await
    }

    async fn keep_base(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut built_at = self.now();
        loop {
            ticks.tick().await;
            let now = self.now();
            let age = now.saturating_sub(built_at);
            let fresh = self.fold().fresh_len();
            let due = (fresh > 0 && age >= self.settings.base_interval_seconds)
                || fresh > MANY_FRESH_ENTRIES
                || age >= self.settings.snapshot_validity_seconds / 2;
            if due {
                self.rebuild_base(now).await;
                built_at = now;
            }
        }
    }

    async fn keep_documents(self: Arc<Self>) {
        let mut ticks = interval(DOCUMENTS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match ApiKeys::load(self.store.as_ref()).await {
                // Keys are never all withdrawn: the store came back empty, and gets them back.
                Ok(found) if found.is_empty() => {
                    if let Err(error) = self.api_keys.load_full().restore(self.store()).await {
                        tracing::warn!(%error, "the API keys cannot be restored");
                    }
                }
                Ok(found) => self.api_keys.store(Arc::new(found)),
                Err(error) => tracing::warn!(%error, "the API keys cannot be read"),
            }
            let kept = match self.reload_keyring().await {
                Ok(()) => self.rotate_key_if_due(self.now()).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = kept {
                tracing::warn!(%error, "the keyring cannot be kept current");
            }
            if let Ok(mut findings) = self.store.findings().await {
                findings.extend(self.base_finding());
                for finding in &findings {
                    tracing::error!(code = finding.code, detail = finding.detail, "store finding");
                }
                let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
                for gone in &health.findings {
                    metrics::gauge!("offswitch_store_finding", "code" => gone.code).set(0.0);
                }
                for finding in &findings {
                    metrics::gauge!("offswitch_store_finding", "code" => finding.code).set(1.0);
                }
                health.findings = findings;
            }
        }
    }

    async fn keep_trimmed(self: Arc<Self>) {
        let mut ticks = interval(TRIM_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.trim(self.now()).await {
                tracing::warn!(%error, "the log cannot be trimmed");
            }
        }
    }

    /// Trims the beginning of the log that no verifier can need any more at `now`.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn trim(&self, now: u64) -> Result<(), PlaneError> {
        let mut page = self.store.read(0, PAGE_RECORDS).await?;
        let (era, begin, head) = (page.era, page.checkpoint.seq, page.head);
        let ended = self.ended_up_to().await?;
        if ended.era != era {
            return Ok(());
        }
        let mut trimming =
            Trimming::begin(self.master.salt(), &self.settings.issuer, &page.checkpoint)?;
        'walk: while let Some((last, _)) = page.records.last() {
            let last = *last;
            for (seq, record) in &page.records {
                if *seq > ended.seq || !trimming.take(*seq, record, now)? {
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
        // What every start reads; it grows for as long as nothing can be trimmed.
        metrics::gauge!("offswitch_log_records").set(head.saturating_sub(checkpoint.seq) as f64);
        Ok(())
    }
}

/// Twice in the shortest `key_publish_seconds` other than 0: every process knows a new token key
/// before any process signs with it.
const DOCUMENTS_EVERY: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const MANY_FRESH_ENTRIES: usize = 50_000;
/// The answer to an append comes at about the same time as the news of it.
const OWN_SOON: Duration = Duration::from_millis(50);
const RETRY_AFTER: Duration = Duration::from_millis(100);
const TRIM_EVERY: Duration = Duration::from_secs(60);
