//! One round: the parts that are missing, and then the next head.

use axum::body::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use offswitch_core::publication::{Found, Listing, is_other_base_due};
use offswitch_server::feed::Published;
use offswitch_snapshot::{
    FeedHead, HEAD_FORMAT, HeadBase, MAX_HEAD_BYTES, MAX_HEAD_DELTAS, Part, Position,
};

use super::place::{PlaceError, PlaceVersion};
use super::{Publication, State};
use crate::plane::publish::{GenuineHead, NamedBase};

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do.
    Idle,
    /// Another process was faster each time.
    Lost,
    /// There is a new head, which ends here.
    Published(Position),
}

/// A head that is to be written, after its parts.
struct Next {
    head: FeedHead,
    parts: Vec<(Part, Bytes)>,
    /// The base, if it is another one than before.
    base: Option<NamedBase>,
}

impl Publication {
    /// Publishes what is new. `at` is in seconds of a clock that does not go back.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    pub async fn round(&self, at: u64) -> Result<Outcome, PlaceError> {
        let mut state = self.state.lock().await;
        for _ in 0..MOST_TRIES {
            match self.try_once(&mut state, at).await? {
                Outcome::Lost => {}
                outcome => return Ok(outcome),
            }
        }
        state.was_first = false;
        Ok(Outcome::Lost)
    }

    async fn try_once(&self, state: &mut State, at: u64) -> Result<Outcome, PlaceError> {
        let (found, version) = self.place.head().await?.unzip();
        let seen = match &found {
            Some(text) => self.publisher.genuine_head(text)?,
            None => None,
        };
        if let Some(seen) = &seen {
            state.note_head(&seen.head, at);
        }
        let heartbeat = self.publisher.heartbeat().ok_or(PlaceError::NoBase)?;
        let every = self.heartbeat.as_secs();
        let (head, issued_at) = (seen.as_ref().map(|seen| &seen.head), issued_at(seen.as_ref()));
        let found = Found::of(head, issued_at, heartbeat.position, heartbeat.issued_at, every);
        // A head whose parts are gone leads nowhere.
        let head = head.filter(|_| !state.is_incomplete);
        match found {
            Found::Ahead => return Ok(Outcome::Idle),
            Found::Current if state.is_incomplete => {}
            Found::Current
                if head
                    .is_none_or(|head| state.lost_ends(head, head.position).next().is_none()) =>
            {
                return Ok(Outcome::Idle);
            }
            Found::Behind | Found::Current | Found::Nothing | Found::Old => {}
        }
        let Some(next) = self.next(state, head, &heartbeat, at).await? else {
            return Ok(Outcome::Lost);
        };
        self.write(state, next, version.as_ref(), at).await
    }

    /// The next head, and the parts that it needs. None if the log moved on meanwhile.
    async fn next(
        &self,
        state: &State,
        seen: Option<&FeedHead>,
        heartbeat: &Published,
        at: u64,
    ) -> Result<Option<Next>, PlaceError> {
        let end = heartbeat.position;
        let mut parts = vec![];
        let continued = seen.and_then(|seen| self.continued(state, seen, end, &mut parts));
        let (mut listing, named) = match continued {
            Some((listing, base)) => (listing, Some(base)),
            None => {
                parts.clear();
                (Listing::begin(end), None)
            }
        };
        let base = self.other_base(state, &listing, named.as_ref(), at).await?;
        let named = match (&base, named) {
            (Some(base), _) => base.named.clone(),
            (None, Some(named)) => named,
            (None, None) => return Err(PlaceError::NoBase),
        };
        if let Some(base) = &base {
            let begin = base.named.position;
            if begin > end {
                return Ok(None);
            }
            if !listing.leads_from(begin) {
                let bytes = self.delta(begin, end).ok_or(PlaceError::NoBase)?;
                listing.add(begin, end, size(&bytes));
                parts.push((Part::Delta { from: begin, to: end }, bytes));
            }
            parts.push((base.named.part(), base.snapshot.bytes.clone()));
        }
        listing.shorten(named.position);
        let head = FeedHead {
            format: HEAD_FORMAT,
            feed: self.publisher.feed_id(),
            position: end,
            heartbeat: FeedHead::heartbeat_text(&heartbeat.bytes),
            base: named,
            deltas: listing.deltas(),
            on_demand: false,
        };
        Ok(Some(Next { head, parts, base }))
    }

    /// What continues the head that is there: its deltas with those that lead on to `end`. None if this
    /// process does not know how to lead on from there.
    fn continued(
        &self,
        state: &State,
        seen: &FeedHead,
        end: Position,
        parts: &mut Vec<(Part, Bytes)>,
    ) -> Option<(Listing, HeadBase)> {
        let mut listing = Listing::of(seen);
        if seen.position < end {
            for from in listing.beginnings() {
                let made = self.delta(from, end);
                if from == seen.position && made.is_none() {
                    return None;
                }
                // Without another one it keeps the delta that it has.
                let Some(bytes) = made else { continue };
                listing.add(from, end, size(&bytes));
                parts.push((Part::Delta { from, to: end }, bytes));
            }
            listing.advance(end);
        }
        for from in state.lost_ends(seen, end) {
            let Some(bytes) = self.delta(from, end) else { continue };
            listing.add(from, end, size(&bytes));
            parts.push((Part::Delta { from, to: end }, bytes));
        }
        Some((listing, seen.base.clone()))
    }

    /// The base that the next head is to name in place of `named`, if it is to name another one.
    async fn other_base(
        &self,
        state: &State,
        listing: &Listing,
        named: Option<&HeadBase>,
        at: u64,
    ) -> Result<Option<NamedBase>, PlaceError> {
        let Some(named) = named else {
            // Readers may have come as far as any head before; so must the base.
            if self.publisher.base_position() < Some(listing.end()) {
                self.publisher.rebuild_base_now().await;
            }
            return self.publisher.newest_base().map(Some).ok_or(PlaceError::NoBase);
        };
        let newest = self.publisher.base_position().ok_or(PlaceError::NoBase)?;
        let since =
            state.base.filter(|(digest, _)| *digest == named.digest).map_or(at, |one| one.1);
        let is_due = is_other_base_due(named.position, newest, at.saturating_sub(since))
            // Another process may know keys that this one does not: the first base of each process
            // is published, and one for each change.
            || state.keys.as_ref() != Some(&self.publisher.key_ids())
            || !listing.leads_from(named.position);
        if !is_due && !listing.is_long() {
            return Ok(None);
        }
        if newest <= named.position && listing.is_long() {
            // The oldest readers must be able to do without the deltas from where they are.
            self.publisher.rebuild_base_now().await;
        }
        let base = self.publisher.newest_base().ok_or(PlaceError::NoBase)?;
        // Readers may have come further than to an older one, unless the chain of the present one is broken.
        let is_older = base.named.position < named.position;
        Ok((!is_older || !listing.leads_from(named.position)).then_some(base))
    }

    /// Writes the parts, and then the head.
    async fn write(
        &self,
        state: &mut State,
        next: Next,
        version: Option<&PlaceVersion>,
        at: u64,
    ) -> Result<Outcome, PlaceError> {
        let Next { head, parts, base } = next;
        head.check(&head.feed).map_err(PlaceError::of)?;
        let text = serde_json::to_vec(&head).map_err(PlaceError::of)?;
        if text.len() > MAX_HEAD_BYTES {
            return Err(PlaceError::of("the head has too many deltas until there is another base"));
        }
        let writes = stream::iter(parts);
        let writes = writes.map(|(part, bytes)| self.place.write_part(part, bytes));
        writes.buffer_unordered(MOST_WRITES).try_collect::<()>().await?;
        if !self.place.write_head(text.into(), version).await? {
            return Ok(Outcome::Lost);
        }
        state.was_first = true;
        state.is_incomplete = false;
        state.missing.clear();
        state.ends.push_back(head.position);
        let excess = state.ends.len().saturating_sub(MAX_HEAD_DELTAS);
        state.ends.drain(..excess);
        if let Some(base) = base {
            state.keys = Some(base.keys);
        }
        state.note_head(&head, at);
        Ok(Outcome::Published(head.position))
    }

    fn delta(&self, from: Position, to: Position) -> Option<Bytes> {
        self.publisher.part(Part::Delta { from, to })
    }
}

impl State {
    /// Where heads of this process ended that another process wrote over, at a place that cannot compare: the
    /// readers that they led there find no way from there to `end` in this head.
    fn lost_ends(&self, head: &FeedHead, end: Position) -> impl Iterator<Item = Position> {
        let (listing, base) = (Listing::of(head), head.base.position);
        let is_lost = move |at: &Position| *at > base && *at < end && !listing.leads_from(*at);
        self.ends.iter().copied().filter(move |at| at.era == end.era && is_lost(at))
    }

    /// Notes which of the parts that a head names are not among those `there`. A list may be late, so only the
    /// second time counts.
    pub(super) fn note_missing(&mut self, head: &FeedHead, there: &[Part]) {
        let missing: Vec<Part> = head.parts().filter(|part| !there.contains(part)).collect();
        self.is_incomplete |= missing.iter().any(|part| self.missing.contains(part));
        self.missing = missing;
    }

    fn note_head(&mut self, head: &FeedHead, at: u64) {
        self.retention.note_head(head, at);
        if self.base.is_none_or(|(digest, _)| digest != head.base.digest) {
            self.base = Some((head.base.digest, at));
        }
    }
}

fn issued_at(seen: Option<&GenuineHead>) -> u64 {
    seen.map_or(0, |seen| seen.issued_at)
}

fn size(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// How often a process that another one keeps overtaking tries in one round.
const MOST_TRIES: usize = 3;
/// How many parts are written at the same time.
const MOST_WRITES: usize = 8;
