//! What the feed serves: the newest base, and deltas and heartbeats that are made on demand.

mod announce;
mod heads;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use offswitch_core::fold::Validity;
use offswitch_server::feed::{FollowerPlaces, Published};
use offswitch_server::roster::{Roster, RosterSettings, Tokens};
use offswitch_server::trace::Origin;
use offswitch_snapshot::Position;
use tokio::sync::watch;
use tokio::time::timeout;

use super::PlaneError;
use super::folded::Folded;
use super::signing::{Reloaded, SigningKeys};
use crate::blocking;
use crate::keyring::RotatedFeedKey;
use crate::store::Finding;

pub use announce::Following;
pub use heads::NamedBase;
pub(in crate::plane) use heads::{GenuineHead, OtherFeed};

/// The settings of the feed.
#[derive(Debug, Clone)]
pub struct PublishSettings {
    /// How long a snapshot proves the feed fresh.
    pub snapshot_validity_seconds: u64,
    /// How often the stream sends an empty delta.
    pub heartbeat_seconds: u64,
    /// The minimum time between two new bases.
    pub base_interval_seconds: u64,
    /// How many followers may wait for news at this process.
    pub max_followers: usize,
}

/// Everything that followers get from this process.
pub struct Publisher {
    settings: PublishSettings,
    folded: Arc<Folded>,
    signing: Arc<SigningKeys>,
    base: ArcSwapOption<Published>,
    /// True while verifiers would refuse the last base that was built.
    is_base_too_large: AtomicBool,
    /// The deltas that followers at the same position share, by their start and end positions.
    deltas: Mutex<HashMap<(Position, Position), Arc<Published>>>,
    /// What was made for heads.
    heads: heads::Heads,
    /// Why the feed is not published where it should be, if it is not.
    unpublished: Mutex<Option<String>>,
    announced: watch::Sender<announce::Announcement>,
    /// What caused the news that are not announced yet, in its traces.
    origins: Mutex<Vec<Origin>>,
    followers: FollowerPlaces,
    roster: Roster,
    /// True once the process has been asked to stop.
    stopping: watch::Sender<bool>,
}

impl Publisher {
    pub(super) fn new(
        settings: PublishSettings,
        folded: Arc<Folded>,
        signing: Arc<SigningKeys>,
        tokens: Arc<dyn Tokens>,
    ) -> Self {
        Self {
            base: ArcSwapOption::empty(),
            is_base_too_large: AtomicBool::new(false),
            deltas: Mutex::default(),
            heads: heads::Heads::default(),
            unpublished: Mutex::default(),
            announced: watch::Sender::new(announce::Announcement::at(folded.position())),
            origins: Mutex::default(),
            followers: FollowerPlaces::new(settings.max_followers),
            roster: Roster::new(RosterSettings {
                most_of_one_key: settings.max_followers,
                validity: Duration::from_secs(settings.snapshot_validity_seconds) + VALIDITY_SKEW,
                tokens,
            }),
            stopping: watch::Sender::new(false),
            settings,
            folded,
            signing,
        }
    }

    /// The snapshot that continues from `since`: a delta or a heartbeat, or the base if `since` is
    /// absent or unknown here.
    pub fn snapshot(&self, since: Option<Position>) -> Option<Arc<Published>> {
        self.snapshot_between(since, self.folded.position())
    }

    /// Like `snapshot`, but a delta ends at `to` at the latest.
    fn snapshot_between(&self, since: Option<Position>, to: Position) -> Option<Arc<Published>> {
        let delta = since.and_then(|since| self.delta(since, to));
        delta.or_else(|| self.base.load_full())
    }

    /// Waits until there is something beyond `position`, for `longest` at most.
    pub async fn wait_beyond(&self, position: Position, longest: Duration) {
        self.folded.wait_beyond(position, longest).await;
    }

    /// The places for followers that wait for news here.
    pub fn followers(&self) -> &FollowerPlaces {
        &self.followers
    }

    /// Changes of the position up to which there is something to publish.
    pub(super) fn positions(&self) -> watch::Receiver<Position> {
        self.folded.positions()
    }

    /// How long a snapshot proves the feed fresh.
    pub(super) fn validity_seconds(&self) -> u64 {
        self.settings.snapshot_validity_seconds
    }

    /// Builds a base now, although none is due.
    pub(super) async fn rebuild_base_now(&self) {
        self.rebuild_base(self.folded.current_at()).await;
    }

    /// Which followers there are, and what they hold.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The keys that it signs with.
    pub(super) fn signing(&self) -> Arc<SigningKeys> {
        self.signing.clone()
    }

    /// True once there is something to serve.
    pub(super) fn has_base(&self) -> bool {
        self.base.load().is_some()
    }

    fn delta(&self, since: Position, to: Position) -> Option<Arc<Published>> {
        let validity = self.validity();
        let deltas = || self.deltas.lock().unwrap_or_else(PoisonError::into_inner);
        let known = deltas().get(&(since, to)).cloned();
        if let Some(known) = known.filter(|known| known.issued_at == validity.issued_at) {
            return Some(known);
        }
        let signer = self.signing.signer();
        // The head may be notified a moment after the fold, so `since` may be the newer of the two.
        let to = to.max(since);
        // Sorting and signing happen without the lock on the fold.
        let taken = self.folded.lock().taken(since, to, validity)?;
        let content = taken.delta();
        let made =
            Published::new(content.position(), validity.issued_at, signer.sign(&content.borrow()));
        let mut deltas = deltas();
        // No follower asks for an older second again, and the delta of a bulk is large.
        deltas.retain(|_, known| known.issued_at == made.issued_at);
        let shared_bytes: usize = deltas.values().map(|known| known.bytes.len()).sum();
        if deltas.len() < MAX_SHARED_DELTAS && shared_bytes < MAX_SHARED_BYTES {
            deltas.insert((since, to), made.clone());
        }
        Some(made)
    }

    /// Builds and publishes a base of everything folded so far, off the request path.
    pub async fn rebuild_base(&self, now: u64) {
        let now = self.folded.prunable_until(now);
        let compaction = self.folded.lock().compaction();
        let signer = self.signing.signer();
        let validity = self.validity();
        let started = Instant::now();
        let built = blocking::run(move || {
            compaction.run(now, validity, |content| {
                // Revocations are refused long before the limits, but each process counts only what
                // it has seen: several processes that revoke at the same time can exceed them.
                let signed = content.is_within_limits().then(|| signer.sign(content));
                (content.to.position, signed)
            })
        });
        let Ok((main, (position, bytes))) = built.await else {
            tracing::error!("building the base failed");
            return;
        };
        metrics::histogram!("offswitch_base_seconds").record(started.elapsed().as_secs_f64());
        self.is_base_too_large.store(bytes.is_none(), Ordering::Relaxed);
        let published = bytes.map(|bytes| {
            metrics::gauge!("offswitch_base_bytes").set(bytes.len() as f64);
            let Validity { issued_at, valid_until } = validity;
            metrics::gauge!("offswitch_base_issued_at_seconds").set(issued_at as f64);
            metrics::gauge!("offswitch_base_valid_until_seconds").set(valid_until as f64);
            Published::new(position, issued_at, bytes)
        });
        let held;
        {
            let mut fold = self.folded.lock();
            held = fold.held();
            // A base of an era that has ended meanwhile must not replace one of the new era.
            if fold.compacted_to(main, now) {
                metrics::gauge!("offswitch_entries").set(fold.entries() as f64);
                if published.is_some() {
                    self.base.store(published);
                }
            }
        }
        // Dropping a large base takes milliseconds: not under the lock.
        drop(held);
    }

    /// What an operator must know if the last base, or anything at another place, was not published.
    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        let unpublished = self.unpublished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let publication =
            unpublished.map(|detail| Finding { code: "publication_failed", detail, fatal: false });
        self.base_finding().into_iter().chain(publication)
    }

    /// Notes that the feed was published at `place`, or why it was not.
    pub(super) fn note_publication(&self, failure: Option<&str>, place: &str) {
        let mut held = self.unpublished.lock().unwrap_or_else(PoisonError::into_inner);
        let now = failure.map(|failure| format!("{place}: {failure}"));
        match (&*held, &now) {
            (None, Some(error)) => {
                tracing::warn!(error, "the feed cannot be published; this is tried again");
            }
            (Some(_), None) => tracing::info!(place, "the feed is published again"),
            _ => {}
        }
        *held = now;
    }

    fn base_finding(&self) -> Option<Finding> {
        let detail = "no verifier would load a base with so many entries, dead keys or selectors: the one before \
                      stays published until enough of them have expired";
        let finding =
            || Finding { code: "base_too_large", detail: detail.to_owned(), fatal: false };
        self.is_base_too_large.load(Ordering::Relaxed).then(finding)
    }

    /// True if a new base is to be built, the last one being `age_seconds` old.
    pub(super) fn is_base_due(&self, age_seconds: u64) -> bool {
        let fresh = self.folded.lock().fresh_len();
        (fresh > 0 && age_seconds >= self.settings.base_interval_seconds)
            || fresh > MANY_FRESH_ENTRIES
            || age_seconds >= self.settings.snapshot_validity_seconds / 2
    }

    /// Reads the private keys again, and makes a new token key if the last one is dead. If the feed
    /// keys changed, the base is signed with the new ones from then on.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn reload_keys(&self) -> Result<(), PlaneError> {
        if let Reloaded::OtherFeedKeys { read_at, reading: _reading } =
            self.signing.reload().await?
        {
            self.rebuild_base(read_at).await;
        }
        Ok(())
    }

    /// Reads the private keys again if the one that signs tokens is dead.
    pub(super) async fn need_active_key(&self) -> Result<(), PlaneError> {
        if self.signing.active_kid().is_some() { Ok(()) } else { self.reload_keys().await }
    }

    /// Reads the private keys again before the public ones are served: the answer then includes
    /// every key that any process signed with before the request. If the store does not answer
    /// soon, the known keys are served.
    pub async fn refresh_keys(&self) {
        match timeout(KEYS_WAIT, self.reload_keys()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the keys are published as they were"),
            Err(_) => tracing::warn!("the keys are published as they were: the store is slow"),
        }
    }

    /// Adds a feed key, which signs together with the others from now on. `request` identifies the
    /// request: a repetition returns the same key.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn rotate_feed_key(
        &self,
        request: &str,
        now: u64,
    ) -> Result<RotatedFeedKey, PlaneError> {
        let rotated = self.signing.rotate_feed(request, now).await?;
        self.reload_keys().await?;
        Ok(rotated)
    }

    /// Stops signing with the feed key `id`, here immediately and in every other process within
    /// five seconds. True if it signed until now.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn drop_feed_key(&self, id: &str, now: u64) -> Result<bool, PlaneError> {
        let dropped = self.signing.drop_feed(id, now).await?;
        self.reload_keys().await?;
        Ok(dropped)
    }

    /// A process that is cut off from the log keeps serving, but no longer claims to be fresh.
    fn validity(&self) -> Validity {
        let issued_at = self.folded.current_at();
        let valid_until = issued_at.saturating_add(self.settings.snapshot_validity_seconds);
        Validity { issued_at, valid_until }
    }
}

/// How long after its validity a verifier still decides by a snapshot (`VALIDITY_SKEW_SECONDS` of the verifier).
const VALIDITY_SKEW: Duration = Duration::from_secs(10);
const MANY_FRESH_ENTRIES: usize = 50_000;
/// How long a request for the public keys waits for the store.
const KEYS_WAIT: Duration = Duration::from_millis(500);
/// Followers are at few different positions; more than this are not worth caching.
const MAX_SHARED_DELTAS: usize = 1024;
/// While the store is unreachable the second does not advance, so no delta is dropped.
const MAX_SHARED_BYTES: usize = 32 << 20;
