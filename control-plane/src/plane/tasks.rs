//! The tasks that keep a process current.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{Plane, PlaneError};

impl Plane {
    /// Starts the tasks; they end with the runtime, or when they are aborted.
    pub fn spawn_tasks(self: &Arc<Self>) -> Vec<AbortHandle> {
        let publication = self.publication.clone();
        let published = publication.map(|publication| tokio::spawn(publication.keep_published()));
        let tasks = [
            tokio::spawn(self.publisher.clone().keep_announced()),
            tokio::spawn(self.log.clone().follow()),
            tokio::spawn(self.clone().keep_base()),
            tokio::spawn(self.clone().keep_documents()),
            tokio::spawn(self.sessions.clone().keep_ended()),
            tokio::spawn(self.outgoing.clone().keep_notifying()),
            tokio::spawn(self.clone().keep_trimmed()),
            tokio::spawn(self.receivers.clone().keep_streams()),
            tokio::spawn(self.clone().keep_audited()),
            tokio::spawn(self.processes.clone().keep_listed()),
            tokio::spawn(self.processes.clone().keep_hearing()),
            tokio::spawn(self.processes.clone().keep_answering()),
        ];
        tasks.into_iter().chain(published).map(|task| task.abort_handle()).collect()
    }

    async fn keep_base(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut built_at = self.now();
        loop {
            ticks.tick().await;
            let now = self.now();
            if self.publisher.is_base_due(now.saturating_sub(built_at)) {
                self.publisher.rebuild_base(now).await;
                built_at = now;
            }
            self.publisher.forget_heads();
            self.log.keep_memory().await;
        }
    }

    async fn keep_documents(self: Arc<Self>) {
        let mut ticks = interval(DOCUMENTS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.api_keys.reload().await {
                tracing::warn!(%error, "the API keys cannot be read or restored");
            }
            let kept = match self.publisher.reload_keys().await {
                Ok(()) => self.rotate_key_if_due(self.now()).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = kept {
                tracing::warn!(%error, "the keyring cannot be kept current");
            }
            self.log.remember_documents().await;
            self.log.report_findings().await;
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

    async fn keep_audited(self: Arc<Self>) {
        let mut ticks = interval(FLUSH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut signed_at = Instant::now();
        loop {
            ticks.tick().await;
            if signed_at.elapsed() >= SIGN_EVERY {
                self.audit.checkpoint("time");
                signed_at = Instant::now();
            }
            let audit = self.audit.clone();
            // The disk may take long.
            if tokio::task::spawn_blocking(move || audit.flush()).await.is_err() {
                tracing::error!("flushing the audit log panicked");
            }
        }
    }

    /// Trims the beginning of the log, which no verifier can need any more at `now`.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn trim(&self, now: u64) -> Result<(), PlaneError> {
        let notified = self.outgoing.settled_up_to().await?;
        self.log.trim(self.sessions.ended_up_to().await?, notified, now).await
    }
}

/// Twice within the shortest non-zero `key_publish_seconds`: every process knows a new token key
/// before any process signs with it.
const DOCUMENTS_EVERY: Duration = Duration::from_secs(5);
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// What a power cut can take from the audit log.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// What someone who can write to the files can cut off their end, or change there, at most.
const SIGN_EVERY: Duration = Duration::from_secs(10);
