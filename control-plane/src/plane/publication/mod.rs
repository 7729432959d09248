//! Static publication: the feed as files at a place that readers reach without a control plane. `HEAD.md`
//! of the snapshot crate has the format, and `offswitch_core::publication` the rules.
//!
//! Every process publishes; there is no leader. Each reads the head that is there, writes the parts that it
//! lacks, and then the next head, if no other process was faster. Nothing here holds a lock or a request:
//! a place that does not answer delays its own readers, and nothing else.

mod address;
mod http;
mod objects;
mod place;
mod round;
mod workers_kv;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch_core::publication::{AFTER_VALIDITY_SECONDS, Retention};
use offswitch_snapshot::{BaseDigest, FeedKeyId, Part, Position};
use tokio::time::{sleep, timeout};

use super::publish::Publisher;
use crate::master_key::random_bytes;

pub use address::{PublicationSecrets, PublishTo};
pub use place::{Place, PlaceError, PlaceVersion};
pub use round::Outcome;

/// The settings of the publication.
#[derive(Debug, Clone)]
pub struct PublicationSettings {
    /// Where to; nowhere if absent.
    pub to: Option<PublishTo>,
    /// What opens the place.
    pub secrets: PublicationSecrets,
    /// The shortest time between two heads.
    pub interval_seconds: u64,
    /// The longest time between two heads.
    pub heartbeat_seconds: u64,
}

/// Publishes the feed at one place.
pub struct Publication {
    interval: Duration,
    heartbeat: Duration,
    place: Box<dyn Place>,
    publisher: Arc<Publisher>,
    began: Instant,
    state: tokio::sync::Mutex<State>,
}

/// What this process remembers of the place.
struct State {
    retention: Retention,
    /// The base that the head names, and since when it was seen there, seconds.
    base: Option<(BaseDigest, u64)>,
    /// Who signed the base that this process published last.
    keys: Option<Vec<FeedKeyId>>,
    /// Where the last heads of this process ended, the newest last.
    ends: VecDeque<Position>,
    /// The parts that the head names and that were not there at the last look.
    missing: Vec<Part>,
    /// True if one of them was missing twice: readers need another base.
    is_incomplete: bool,
    /// True if the head that is there is of this process.
    was_first: bool,
    /// When the parts were last looked through, seconds.
    swept_at: u64,
}

impl Publication {
    /// Publishes at `place`.
    pub fn new(
        settings: &PublicationSettings,
        place: Box<dyn Place>,
        publisher: Arc<Publisher>,
    ) -> Self {
        let keep = publisher.validity_seconds().saturating_add(AFTER_VALIDITY_SECONDS);
        let state = State {
            retention: Retention::new(keep),
            base: None,
            keys: None,
            ends: VecDeque::new(),
            missing: vec![],
            is_incomplete: false,
            was_first: false,
            swept_at: 0,
        };
        Self {
            interval: Duration::from_secs(settings.interval_seconds),
            heartbeat: Duration::from_secs(settings.heartbeat_seconds),
            place,
            publisher,
            began: Instant::now(),
            state: tokio::sync::Mutex::new(state),
        }
    }

    /// Publishes without end: news as soon as the interval allows, heartbeats otherwise.
    pub async fn keep_published(self: Arc<Self>) {
        let mut positions = self.publisher.positions();
        let mut pause = FIRST_PAUSE;
        loop {
            positions.mark_unchanged();
            let began = tokio::time::Instant::now();
            let done = timeout(LONGEST_ROUND, self.round(self.uptime())).await;
            let failure = match done {
                Ok(Ok(outcome)) => {
                    self.note(outcome);
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} s", LONGEST_ROUND.as_secs())),
            };
            self.publisher.note_publication(failure.as_deref(), &self.place.to_string());
            if failure.is_some() {
                metrics::counter!("offswitch_publications_total", "outcome" => "failed")
                    .increment(1);
                sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            pause = FIRST_PAUSE;
            self.sweep_if_due().await;
            sleep(self.interval.saturating_sub(began.elapsed())).await;
            let rest = jittered(self.heartbeat).saturating_sub(began.elapsed());
            // News, or the end of the time: either way there is something to do.
            let _ = timeout(rest, positions.changed()).await;
            // The process that wrote the last head goes first, so that the others find their work done.
            if !self.state.lock().await.was_first {
                sleep(jittered(BEHIND_ANOTHER)).await;
            }
        }
    }

    /// Removes the parts that no head which may be in use names, and notes those that are missing although the
    /// head names them: something else may have removed them. `at` is in seconds of a clock that does not
    /// go back. Answers how many were removed.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    pub async fn sweep(&self, at: u64) -> Result<usize, PlaceError> {
        let Some((text, _)) = self.place.head().await? else { return Ok(0) };
        // Without a head of this feed nothing is known about what is in use.
        let Some(head) = self.publisher.genuine_head(&text)? else { return Ok(0) };
        let parts = self.place.parts().await?;
        let removable = {
            let mut state = self.state.lock().await;
            state.note_missing(&head.head, &parts);
            state.retention.removable(&head.head, &parts, at)
        };
        for part in &removable {
            self.place.remove(*part).await?;
        }
        metrics::counter!("offswitch_publication_removed_total").increment(removable.len() as u64);
        Ok(removable.len())
    }

    async fn sweep_if_due(&self) {
        let at = self.uptime();
        {
            let mut state = self.state.lock().await;
            if at.saturating_sub(state.swept_at) < SWEEP_EVERY_SECONDS {
                return;
            }
            state.swept_at = at;
        }
        match timeout(LONGEST_ROUND, self.sweep(at)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "old parts of the feed cannot be removed"),
            Err(_) => tracing::warn!("old parts of the feed cannot be removed in time"),
        }
    }

    fn note(&self, outcome: Outcome) {
        let name = match outcome {
            Outcome::Idle => return,
            Outcome::Lost => "lost",
            Outcome::Published(position) => {
                self.note_position(position);
                "published"
            }
        };
        metrics::counter!("offswitch_publications_total", "outcome" => name).increment(1);
    }

    fn note_position(&self, position: Position) {
        metrics::gauge!("offswitch_publication_seq").set(position.seq as f64);
    }

    fn uptime(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

/// Between half and all of the time, so that processes do not go in step.
fn jittered(time: Duration) -> Duration {
    let chance = f64::from(u16::from_le_bytes(random_bytes())) / 65_536.0;
    time.mul_f64(0.5 + chance / 2.0)
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A sixth of the time that a heartbeat is good for by default.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A base of a hundred megabytes takes a while.
const LONGEST_ROUND: Duration = Duration::from_secs(30);
/// How long a process waits for the one that published last.
const BEHIND_ANOTHER: Duration = Duration::from_millis(400);
const SWEEP_EVERY_SECONDS: u64 = 60;
