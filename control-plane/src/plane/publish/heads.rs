//! The head of the feed and its parts, as this process makes them: `HEAD.md` of the snapshot crate has
//! the format. They are served below `/v1/feed/`, and published to other places.
//!
//! A base that a head has named stays here for as long as that head may be in a cache, so heads do not
//! change their base as often as there is a new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use offswitch_core::fold::Validity;
use offswitch_core::publication::{AFTER_VALIDITY_SECONDS, is_other_base_due};
use offswitch_server::feed::Published;
use offswitch_snapshot::{
    BaseDigest, FeedHead, FeedKey, FeedKeyId, HEAD_FORMAT, HeadBase, HeadError, Part, Position,
};

use super::Publisher;

/// A base that heads name.
#[derive(Debug, Clone)]
pub struct NamedBase {
    /// What a head says about it.
    pub named: HeadBase,
    /// The base.
    pub snapshot: Arc<Published>,
    /// Who signed it.
    pub keys: Vec<FeedKeyId>,
}

/// A head with a heartbeat that the feed has signed.
#[derive(Debug)]
pub(in crate::plane) struct GenuineHead {
    pub(in crate::plane) head: FeedHead,
    /// When its heartbeat was signed, unix seconds.
    pub(in crate::plane) issued_at: u64,
}

/// The head is of this other feed.
#[derive(Debug)]
pub(in crate::plane) struct OtherFeed(pub(in crate::plane) String);

/// What was made for heads.
#[derive(Default)]
pub(super) struct Heads {
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    /// The base that heads name now, since when, and when a head was last asked for.
    shown: Option<(NamedBase, Instant, Instant)>,
    /// The base that they named before, and until when.
    before: Option<(NamedBase, Instant)>,
    /// The deltas that were made last, and who signed them.
    deltas: Vec<(Part, Bytes)>,
    keys: Vec<FeedKeyId>,
    /// The last head: when it was signed, where it ends, and its JSON.
    last: Option<(u64, HeadBase, Position, Bytes)>,
}

impl Publisher {
    /// The head of the feed as JSON, whose parts this process makes on demand. None while there is no
    /// base of the present era.
    pub fn head(&self) -> Option<Bytes> {
        let base = self.shown_base()?.named;
        let position = self.folded.position();
        let issued_at = self.validity().issued_at;
        let last = self.made().last.clone();
        if let Some((at, of, end, text)) = last
            && (at, &of, end) == (issued_at, &base, position)
        {
            return Some(text);
        }
        let heartbeat = self.heartbeat()?;
        let (position, issued_at) = (heartbeat.position, heartbeat.issued_at);
        let head = FeedHead {
            format: HEAD_FORMAT,
            feed: self.feed_id(),
            position,
            heartbeat: FeedHead::heartbeat_text(&heartbeat.bytes),
            base: base.clone(),
            deltas: vec![],
            on_demand: true,
        };
        // A base of a later position, or of an era that ended meanwhile, would be another head's.
        head.check(&head.feed).ok()?;
        let text = Bytes::from(serde_json::to_vec(&head).ok()?);
        self.made().last = Some((issued_at, base, position, text.clone()));
        Some(text)
    }

    /// A part of the feed; none if it is not a base that a head of this process names, or not a delta
    /// between positions that it knows.
    pub fn part(&self, part: Part) -> Option<Bytes> {
        match part {
            Part::Delta { from, to } => self.part_delta(from, to),
            Part::Base { .. } => {
                let made = self.made();
                let shown = made.shown.as_ref().map(|(base, ..)| base);
                let before = made.before.as_ref().map(|(base, _)| base);
                let all = shown.into_iter().chain(before);
                let found = all.into_iter().find(|base| base.named.part() == part);
                found.map(|base| base.snapshot.bytes.clone())
            }
        }
    }

    /// The delta between two positions. It is signed without times, so it proves nothing about freshness:
    /// a fresh statement that the feed ends at an old position would hide what came after it.
    fn part_delta(&self, from: Position, to: Position) -> Option<Bytes> {
        if from >= to {
            return None;
        }
        let part = Part::Delta { from, to };
        if let Some(bytes) = self.made_delta(part) {
            return Some(bytes);
        }
        let signer = self.signing.signer();
        let taken = self.folded.lock().taken(from, to, Validity::default())?;
        let bytes = Bytes::from(signer.sign(&taken.delta().borrow()));
        if bytes.len() <= MOST_KEPT_BYTES {
            let mut made = self.made();
            made.deltas.push((part, bytes.clone()));
            let excess = made.deltas.len().saturating_sub(MOST_KEPT_DELTAS);
            made.deltas.drain(..excess);
        }
        Some(bytes)
    }

    /// The delta, if it was made a while ago by the keys that sign now.
    fn made_delta(&self, part: Part) -> Option<Bytes> {
        let keys = self.key_ids();
        let mut made = self.made();
        if made.keys != keys {
            made.deltas.clear();
            made.keys = keys;
        }
        made.deltas.iter().find_map(|(one, bytes)| (*one == part).then(|| bytes.clone()))
    }

    /// A heartbeat of the present position.
    pub(in crate::plane) fn heartbeat(&self) -> Option<Arc<Published>> {
        let position = self.folded.position();
        self.delta(position, position)
    }

    /// The newest base, with what a head says about it; none if it is of another era than the log.
    pub(in crate::plane) fn newest_base(&self) -> Option<NamedBase> {
        let snapshot = self.base.load_full()?;
        if snapshot.position.era != self.folded.position().era {
            return None;
        }
        let digest = BaseDigest::of(&snapshot.bytes);
        let bytes = u64::try_from(snapshot.bytes.len()).unwrap_or(u64::MAX);
        let named = HeadBase { position: snapshot.position, digest, bytes };
        Some(NamedBase { named, snapshot, keys: self.key_ids() })
    }

    /// Where the newest base ends.
    pub(in crate::plane) fn base_position(&self) -> Option<Position> {
        self.base.load().as_ref().map(|base| base.position)
    }

    /// The id of the feed.
    pub(in crate::plane) fn feed_id(&self) -> String {
        self.folded.lock().names().1.to_owned()
    }

    /// Reads the head that another process may have written. None if it is no head, or if its heartbeat is not
    /// signed by this feed's keys: anyone who can write to a place can put a far position into a head.
    pub(in crate::plane) fn genuine_head(
        &self,
        text: &[u8],
    ) -> Result<Option<GenuineHead>, OtherFeed> {
        let Ok(head) = serde_json::from_slice::<FeedHead>(text) else { return Ok(None) };
        match head.check(&self.feed_id()) {
            Err(HeadError::WrongFeed) => return Err(OtherFeed(head.feed)),
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
        let opened = head.open_heartbeat(&self.signing.feed_keys());
        Ok(opened.ok().map(|opened| GenuineHead { issued_at: opened.issued_at(), head }))
    }

    /// The keys that sign now.
    pub(in crate::plane) fn key_ids(&self) -> Vec<FeedKeyId> {
        self.signing.feed_keys().iter().map(FeedKey::id).collect()
    }

    /// The base that heads name: the newest one, if it is time for another one than before.
    fn shown_base(&self) -> Option<NamedBase> {
        let (now, era) = (Instant::now(), self.folded.position().era);
        let newest = self.base.load_full()?;
        let keys = self.key_ids();
        let shown = self.made().shown.clone();
        if let Some((shown, since, _)) = shown {
            let position = shown.named.position;
            let leads_on = position.era == era && self.folded.lock().knows(position);
            let is_signed = shown.keys == keys;
            let age = now.saturating_duration_since(since).as_secs();
            if leads_on && is_signed && !is_other_base_due(position, newest.position, age) {
                if let Some((.., asked)) = &mut self.made().shown {
                    *asked = now;
                }
                return Some(shown);
            }
        }
        // Hashing takes milliseconds: not under the lock.
        let next = self.newest_base()?;
        let mut made = self.made();
        let last = made.shown.replace((next.clone(), now, now));
        let is_other = |last: &NamedBase| last.named != next.named;
        if let Some((last, ..)) = last.filter(|(last, ..)| is_other(last)) {
            made.before = Some((last, now + self.longest_use()));
        }
        drop(made);
        Some(next)
    }

    /// Drops bases that no head names any more. Called once a second.
    pub(in crate::plane) fn forget_heads(&self) {
        let now = Instant::now();
        let mut made = self.made();
        let before = made.before.take_if(|(_, until)| *until < now);
        let unasked = |asked: Instant| now.saturating_duration_since(asked) > self.longest_use();
        let shown = made.shown.take_if(|(_, _, asked)| unasked(*asked));
        drop(made);
        // Dropping a large base takes milliseconds: not under the lock.
        drop((before, shown));
    }

    /// For how long a head may be in use after another one has taken its place.
    fn longest_use(&self) -> Duration {
        let validity = self.settings.snapshot_validity_seconds;
        Duration::from_secs(validity.saturating_add(AFTER_VALIDITY_SECONDS))
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.heads.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Readers are at few different positions.
const MOST_KEPT_DELTAS: usize = 64;
/// A larger delta is made again each time.
const MOST_KEPT_BYTES: usize = 128 * 1024;
