//! A verifier with its state between calls: valid tokens, tokens whose signatures are being checked
//! elsewhere, and snapshots that are arriving.

use std::num::NonZeroU32;

use crate::feed::{Applied, ApplyError};
use crate::keys::KeyId;
use crate::snapshot::Arriving;
use crate::token::claims::VerifiedClaims;
use crate::token::jws::{Jws, MAX_TOKEN_BYTES, TOKEN_TOO_LONG};
use crate::token::known_headers::KnownHeaders;
use crate::verify::explain::Step;
use crate::verify::presentation::Presentation;
use crate::verify::refusal::{Objection, Refusal};
use crate::verify::standing::Standing;
use crate::verify::tickets::Tickets;
use crate::verify::{Pending, Staleness, Verifier};

/// A [`Verifier`] that remembers tokens in slots which its caller chooses, and that lets others
/// check signatures.
///
/// The bindings for JavaScript use it. All its state is bounded; dropped state is reported as
/// forgotten, and the caller reads the token again.
#[derive(Debug)]
pub struct CachingVerifier {
    verifier: Verifier,
    headers: KnownHeaders,
    pending: Tickets<Pending>,
    arriving: Tickets<Arriving>,
    standings: Vec<Option<Standing>>,
}

/// A token that is valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Good {
    /// Its claims.
    pub claims: VerifiedClaims,
    /// True if the token shows that the feed is behind.
    pub is_behind: bool,
}

/// A key that may have signed a token, and the data for the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// For [`CachingVerifier::verify_vouched_for`].
    pub ticket: NonZeroU32,
    /// The key.
    pub key: KeyId,
    /// The signature's bytes.
    pub signature: Vec<u8>,
    /// How many of the token's first bytes are signed.
    pub signed_bytes: usize,
}

/// The change of the floor by an applied snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloorChange {
    /// It is as before, and a fresh statement of the feed ends there.
    Confirmed,
    /// It is as before.
    None,
    /// It is higher than before.
    Raised,
}

impl CachingVerifier {
    /// A verifier without any state yet.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            headers: KnownHeaders::default(),
            pending: Tickets::new(MAX_PENDING),
            arriving: Tickets::new(MAX_ARRIVING),
            standings: Vec::new(),
        }
    }

    /// The verifier.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The verifier, to set its keys and time.
    pub fn verifier_mut(&mut self) -> &mut Verifier {
        &mut self.verifier
    }

    /// Judges `token` at `now` (unix seconds). A valid token is remembered in `slot`.
    ///
    /// # Errors
    ///
    /// Why it is not valid now.
    pub fn verify(
        &mut self,
        token: &[u8],
        presentation: Presentation<'_>,
        now: u64,
        slot: usize,
        staleness: Staleness,
    ) -> Result<Good, Objection> {
        let admitted = self.read(token).and_then(|jws| {
            let admitted = self.verifier.admit(&jws)?;
            self.headers.keep(&jws);
            Ok(admitted)
        });
        self.remember(admitted, presentation, now, slot, staleness)
    }

    /// The `nth` key that may have signed `token`, if there is one. The token is kept for
    /// [`verify_vouched_for`](Self::verify_vouched_for).
    pub fn candidate(&mut self, token: &[u8], nth: usize) -> Option<Candidate> {
        let jws = self.read(token).ok()?;
        let key = self.verifier.candidate(&jws, nth)?;
        let (signature, signed_bytes) = (jws.signature().to_vec(), jws.signed().len());
        let pending = self.verifier.suspend(&jws, key);
        self.headers.keep(&jws);
        let ticket = self.pending.put(pending);
        Some(Candidate { ticket, key, signature, signed_bytes })
    }

    /// Like [`verify`](Self::verify), for a token whose signature the caller has checked with the
    /// candidate's key. Without a ticket, the caller has found that no candidate's key signed it.
    ///
    /// `None` if the token was dropped, or the keys have changed since: it must be read again.
    pub fn verify_vouched_for(
        &mut self,
        ticket: Option<NonZeroU32>,
        presentation: Presentation<'_>,
        now: u64,
        slot: usize,
        staleness: Staleness,
    ) -> Option<Result<Good, Objection>> {
        let admitted = match ticket {
            None => Err(Refusal::BadSignature),
            Some(ticket) => self.verifier.admit_vouched_for(self.pending.find(ticket)?)?,
        };
        Some(self.remember(admitted, presentation, now, slot, staleness))
    }

    /// Judges at `now` (unix seconds) the token that is remembered in `slot`; true if the token
    /// shows that the feed is behind. `None` if the slot is empty, or if its content is outdated.
    pub fn judge(
        &self,
        slot: usize,
        presentation: Presentation<'_>,
        now: u64,
        staleness: Staleness,
    ) -> Option<Result<bool, Objection>> {
        let standing = self.standings.get(slot)?.as_ref()?;
        if !self.verifier.is_current(standing) {
            return None;
        }
        let judged = self.verifier.judge(standing, presentation, now, staleness);
        Some(judged.map(|()| self.verifier.is_behind(standing)))
    }

    /// The result of each check of `token` at `now` (unix seconds).
    pub fn explain(&self, token: &[u8], presentation: Presentation<'_>, now: u64) -> Vec<Step> {
        self.verifier.explain(self.read(token), presentation, now)
    }

    /// Applies one snapshot at `now` (unix seconds).
    pub fn apply(
        &mut self,
        snapshot: Vec<u8>,
        now: u64,
    ) -> (Result<Applied, ApplyError>, FloorChange) {
        let floor = self.verifier.feed().floor();
        let applied = self.verifier.apply(snapshot, now);
        let feed = self.verifier.feed();
        let change = match applied {
            _ if feed.floor() != floor => FloorChange::Raised,
            Ok(Applied::Refreshed) if feed.is_ready() => FloorChange::Confirmed,
            _ => FloorChange::None,
        };
        (applied, change)
    }

    /// Resumes at the end of a stored snapshot, at `now` (unix seconds).
    ///
    /// # Errors
    ///
    /// As [`Feed::resume`](crate::Feed::resume).
    pub fn resume(&mut self, snapshot: Vec<u8>, now: u64) -> Result<FloorChange, ApplyError> {
        let feed = self.verifier.feed_mut();
        let floor = feed.floor();
        feed.resume(snapshot, now)?;
        Ok(if feed.floor() == floor { FloorChange::None } else { FloorChange::Raised })
    }

    /// Begins to check a snapshot that arrives in pieces; `head` is the first. Returns a ticket for
    /// [`piece`](Self::piece) and [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// As [`Feed::begin`](crate::Feed::begin).
    pub fn begin(&mut self, head: &[u8]) -> Result<NonZeroU32, ApplyError> {
        let arriving = self.verifier.feed().begin(head)?;
        Ok(self.arriving.put(arriving))
    }

    /// Takes the next piece of a snapshot that is arriving.
    pub fn piece(&mut self, ticket: NonZeroU32, piece: &[u8]) {
        if let Some(arriving) = self.arriving.find_mut(ticket) {
            arriving.update(piece);
        }
    }

    /// Checks the signatures of the pieces. A dropped snapshot passes: [`apply`](Self::apply)
    /// checks it completely.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Open`].
    pub fn end(&mut self, ticket: NonZeroU32) -> Result<(), ApplyError> {
        match self.arriving.take(ticket) {
            Some(arriving) => Ok(arriving.finish(self.verifier.feed().trusted())?),
            None => Ok(()),
        }
    }

    fn read<'a>(&self, token: &'a [u8]) -> Result<Jws<'a>, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TOKEN_TOO_LONG);
        }
        let token = str::from_utf8(token).unwrap_or_default();
        Jws::parse_with(token, &mut |header| self.headers.read(header))
    }

    fn remember(
        &mut self,
        admitted: Result<(Standing, VerifiedClaims), Refusal>,
        presentation: Presentation<'_>,
        now: u64,
        slot: usize,
        staleness: Staleness,
    ) -> Result<Good, Objection> {
        let (standing, claims) = self.verifier.conclude(admitted, presentation, now, staleness)?;
        if slot >= self.standings.len() && slot < MAX_SLOTS {
            self.standings.resize(slot.saturating_add(1), None);
        }
        let is_behind = self.verifier.is_behind(&standing);
        if let Some(place) = self.standings.get_mut(slot) {
            *place = Some(standing);
        }
        Ok(Good { claims, is_behind })
    }
}

/// How many signatures may be checked elsewhere at the same time before a token must be read again.
pub const MAX_PENDING: usize = 32;
/// How many snapshots may be arriving at the same time.
pub const MAX_ARRIVING: usize = 16;
/// Slots are counted from 0. A token for a slot at or above this is not remembered.
pub const MAX_SLOTS: usize = 1 << 24;
