//! The state a verifier builds by following a feed: one base read in place and an overlay of what
//! came after it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::arriving::Arriving;
use super::envelope::{self, FeedKey, OpenError};
use super::fingerprint::{Fingerprint, Kind, Salt};
use super::opened::{DeadKey, Snapshot};
use super::position::{Floor, Position};
use super::user_map::UserFloor;

/// A followed feed. Everything that is applied only adds revocations, and positions only grow.
#[derive(Debug)]
pub struct Feed {
    id: String,
    trusted: Vec<FeedKey>,
    base: Option<Snapshot>,
    overlay: Overlay,
    /// The newest position held, and the chain hash there.
    reached: Floor,
    /// The newest position ever seen, also before a restart.
    floor: Floor,
    /// Positions whose chain hash is known, oldest first.
    known: VecDeque<Floor>,
    epoch: u64,
    issued_at: u64,
    valid_until: u64,
    /// The verifier's own monotonic time, in seconds: now, and when `issued_at` last grew.
    uptime: u64,
    heard_at: u64,
    /// When the last snapshot was signed whose signature was right, whatever came of it.
    last_issued_at: u64,
    /// Where it ends.
    last_end: Position,
    /// What a snapshot says that was refused as signed in the future: our own clock may be behind.
    witnessed_at: u64,
    forked: bool,
    /// How large the overlay may grow before a base is asked for.
    overlay_limit: usize,
}

/// What applying a snapshot changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// A delta was added.
    Extended,
    /// Nothing new in it: older than what is held, or a repetition.
    Ignored,
    /// A heartbeat proved the feed fresh.
    Refreshed,
    /// A base took the place of the one before.
    Replaced,
}

/// Why a snapshot was not applied. What was held before stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It contradicts the history that is held: fetch the base.
    #[error("the snapshot contradicts the history held at {held}")]
    Fork {
        /// The position held.
        held: Position,
    },
    /// It begins beyond what is held: fetch the base.
    #[error("the snapshot begins at {from}, beyond what is held{}", up_to(*held))]
    Gap {
        /// Where it begins.
        from: Position,
        /// The position held, if any.
        held: Option<Position>,
    },
    /// It was signed in the future.
    #[error("the snapshot was issued at {issued_at}, it is {now}")]
    FromTheFuture {
        /// When it says it was signed, unix seconds.
        issued_at: u64,
        /// The verifier's time, unix seconds.
        now: u64,
    },
    /// The bytes are not a snapshot that a trusted key signed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It claims a number that no log can have reached yet: the feed's key is in the wrong hands, or
    /// a clock is far off.
    #[error("the snapshot's {field} is {found}, accepted is at most {limit}")]
    Implausible {
        /// Which number it is.
        field: &'static str,
        /// What the snapshot says.
        found: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// It belongs to another feed.
    #[error("the snapshot belongs to the feed '{found}', expected '{expected}' (option feed.id)")]
    WrongFeed {
        /// The id of its feed, shortened; what is not plain text is shown as `?`.
        found: String,
        /// The id of the feed that is followed, in the same way.
        expected: String,
    },
}

impl Applied {
    /// The stable code string.
    pub fn code(self) -> &'static str {
        match self {
            Self::Extended => "extended",
            Self::Ignored => "ignored",
            Self::Refreshed => "refreshed",
            Self::Replaced => "replaced",
        }
    }
}

impl ApplyError {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "feed_fork",
            Self::Gap { .. } => "feed_gap",
            Self::FromTheFuture { .. } => "snapshot_from_the_future",
            Self::Implausible { .. } => "snapshot_implausible",
            Self::Open(error) => error.code(),
            Self::WrongFeed { .. } => "wrong_feed",
        }
    }

    /// True where only a base can help.
    pub fn needs_base(&self) -> bool {
        matches!(self, Self::Fork { .. } | Self::Gap { .. })
    }
}

impl Feed {
    /// A feed of which nothing is known yet.
    pub fn new(id: String, trusted: Vec<FeedKey>) -> Self {
        Self {
            id,
            trusted,
            base: None,
            overlay: Overlay::default(),
            reached: Floor::default(),
            floor: Floor::default(),
            known: VecDeque::new(),
            epoch: 0,
            issued_at: 0,
            valid_until: 0,
            uptime: 0,
            heard_at: 0,
            last_issued_at: 0,
            last_end: Position::default(),
            witnessed_at: 0,
            forked: false,
            overlay_limit: OVERLAY_LIMIT,
        }
    }

    /// The keys whose signatures are trusted.
    pub fn trusted(&self) -> &[FeedKey] {
        &self.trusted
    }

    /// Resumes at the end of a snapshot that was kept from before a restart: nothing older will be
    /// trusted. The rest of the snapshot is not applied. `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Open`], [`ApplyError::WrongFeed`] and [`ApplyError::Implausible`]: a floor that
    /// no log can reach would keep a verifier from deciding for ever.
    pub fn resume(&mut self, snapshot: Vec<u8>, now: u64) -> Result<(), ApplyError> {
        let snapshot = self.open(snapshot)?;
        refuse_implausible(&snapshot, now)?;
        self.raise_floor(snapshot.end());
        Ok(())
    }

    /// Looks at the first bytes of what may be a snapshot of this feed, before the rest is loaded:
    /// [`HEAD_BYTES`] of them, or all if there are fewer. Nothing is proved by that, but most of
    /// what is not a snapshot ends here.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Open`] and [`ApplyError::WrongFeed`].
    pub fn preview(&self, head: &[u8]) -> Result<(), ApplyError> {
        let (_, body) = envelope::promising(head, &self.trusted)?;
        self.preview_body(body)
    }

    /// Begins to check a snapshot that arrives in pieces, of which `head` is the first as
    /// [`preview`](Self::preview) takes it. No piece is kept.
    ///
    /// # Errors
    ///
    /// As `preview`.
    pub fn begin(&self, head: &[u8]) -> Result<Arriving, ApplyError> {
        let (signatures, body) = envelope::promising(head, &self.trusted)?;
        self.preview_body(body)?;
        Ok(Arriving::new(signatures, body))
    }

    fn preview_body(&self, body: &[u8]) -> Result<(), ApplyError> {
        let (length, rest) = postcard::take_from_bytes::<u32>(body)
            .map_err(|_| OpenError::Malformed("the header"))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // A long id may go on beyond the head.
        let found = rest.get(..length).unwrap_or(rest);
        let is_ours = length == self.id.len() && self.id.as_bytes().starts_with(found);
        if is_ours { Ok(()) } else { Err(self.wrong_feed(found)) }
    }

    fn wrong_feed(&self, found: &[u8]) -> ApplyError {
        ApplyError::WrongFeed { found: shown(found), expected: shown(self.id.as_bytes()) }
    }

    /// Lets the verifier's own monotonic time go on to `uptime`, in seconds since any moment. What is
    /// held ages by it too: neither a feed that is dated in the future nor a clock that was set back
    /// makes it look fresh for longer.
    pub fn tick(&mut self, uptime: u64) {
        self.uptime = self.uptime.max(uptime);
    }

    /// The uptime at which the feed's newest statement was heard.
    pub fn heard_at(&self) -> u64 {
        self.heard_at
    }

    /// When the last snapshot was signed that [`apply`](Self::apply) was given and whose signature was
    /// right, unix seconds; what came of it does not matter. It shows how late a stream is.
    pub fn last_issued_at(&self) -> u64 {
        self.last_issued_at
    }

    /// True if that snapshot ends before what is held: whoever signed it has lost records since, or it
    /// was kept somewhere on the way.
    pub fn is_last_behind(&self) -> bool {
        self.position().is_some_and(|held| self.last_end < held)
    }

    /// Applies one snapshot, or changes nothing and says why. `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn apply(&mut self, bytes: Vec<u8>, now: u64) -> Result<Applied, ApplyError> {
        let snapshot = self.open(bytes)?;
        let issued_at = snapshot.issued_at();
        self.last_issued_at = issued_at;
        self.last_end = snapshot.to();
        if issued_at > now.saturating_add(MAX_SKEW_SECONDS) {
            self.witnessed_at = self.witnessed_at.max(issued_at);
            return Err(ApplyError::FromTheFuture { issued_at, now });
        }
        refuse_implausible(&snapshot, now)?;
        self.refuse_contradiction(&snapshot)?;
        if snapshot.to().era < self.floor.position.era {
            return Ok(Applied::Ignored);
        }
        if snapshot.is_base() { Ok(self.replace(snapshot)) } else { self.extend(&snapshot) }
    }

    /// The position up to which revocations are held; none before the first base.
    pub fn position(&self) -> Option<Position> {
        self.base.as_ref().map(|_| self.reached.position)
    }

    /// The newest position ever seen, with its chain hash. The snapshot that raised it is what to
    /// [`resume`](Self::resume) at after a restart.
    pub fn floor(&self) -> Floor {
        self.floor
    }

    /// The position to ask the feed for more from; none where a base is wanted.
    pub fn since(&self) -> Option<Position> {
        let base = self.base.as_ref()?;
        let limit = base.denied_count().max(base.users_count()).max(self.overlay_limit);
        let full = self.overlay.len() > limit;
        (!self.forked && !full).then_some(self.reached.position)
    }

    /// `now`, or a later time that the feed has signed: what seems to come from the future shows
    /// that our own clock may be behind, and then all that is held is older than it looks.
    pub fn proven_time(&self, now: u64) -> u64 {
        now.max(self.witnessed_at)
    }

    /// As [`proven_time`](Self::proven_time), also by what was accepted: within the skew that is
    /// tolerated, a snapshot may show that our own clock is behind.
    pub fn shown_time(&self, now: u64) -> u64 {
        self.proven_time(now).max(self.issued_at)
    }

    /// Seconds since the feed's newest signed statement that is in force: by the clock, or since it
    /// was heard by the verifier's own monotonic time, whichever is more.
    pub fn age_seconds(&self, now: u64) -> Option<u64> {
        let by_clock = self.proven_time(now).saturating_sub(self.issued_at);
        self.base.as_ref().map(|_| by_clock.max(self.heard_seconds()))
    }

    fn heard_seconds(&self) -> u64 {
        self.uptime.saturating_sub(self.heard_at)
    }

    /// True once everything up to the floor is held.
    pub fn is_ready(&self) -> bool {
        self.base.is_some() && self.reached.position >= self.floor.position
    }

    /// True after two contents were seen for one position, until a newer base settles it.
    pub fn is_forked(&self) -> bool {
        self.forked
    }

    /// True where even the feed's own statement no longer claims to be fresh.
    pub fn is_past_validity(&self, now: u64) -> bool {
        let validity = self.valid_until.saturating_sub(self.issued_at);
        self.proven_time(now) > self.valid_until.saturating_add(VALIDITY_SKEW_SECONDS)
            || self.heard_seconds() > validity.saturating_add(VALIDITY_SKEW_SECONDS)
    }

    /// For how many seconds the feed's newest statement claims to be fresh.
    pub fn validity_seconds(&self) -> u64 {
        self.valid_until.saturating_add(VALIDITY_SKEW_SECONDS).saturating_sub(self.issued_at)
    }

    /// Tokens issued before this instant (unix seconds) are off; 0 for none.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The key of the fingerprints; none before the first base.
    pub fn salt(&self) -> Option<Salt> {
        self.base.as_ref().map(Snapshot::salt)
    }

    /// True if the issuer's key of this name was declared dead.
    pub fn is_dead(&self, issuer: &str, kid: &str) -> bool {
        self.dead_keys().any(|key| key.issuer == issuer && key.kid == kid)
    }

    fn dead_keys(&self) -> impl Iterator<Item = &DeadKey> {
        let base = self.base.iter().flat_map(Snapshot::dead_keys);
        base.chain(self.overlay.dead_keys.iter().map(|(key, _)| key))
    }

    /// True if this token or session was revoked.
    pub fn is_denied(&self, kind: Kind, issuer: &str, id: &str) -> bool {
        self.salt().is_some_and(|salt| self.holds(Fingerprint::new(salt, kind, issuer, id)))
    }

    /// What tokens of this user must show, if the user was ever revoked.
    pub fn user_floor(&self, issuer: &str, subject: &str) -> Option<UserFloor> {
        self.floor_of(Fingerprint::new(self.salt()?, Kind::User, issuer, subject))
    }

    /// True if the token or session of this fingerprint was revoked.
    pub(crate) fn holds(&self, id: Fingerprint) -> bool {
        let in_base = || self.base.as_ref().is_some_and(|base| base.is_denied(id));
        self.overlay.denied.contains_key(&id) || in_base()
    }

    /// What tokens of the user of this fingerprint must show, if the user was ever revoked.
    pub(crate) fn floor_of(&self, user: Fingerprint) -> Option<UserFloor> {
        let newer = self.overlay.users.get(&user).map(|(floor, _)| *floor);
        match (self.base.as_ref().and_then(|base| base.user_floor(user)), newer) {
            (Some(one), Some(other)) => Some(one.join(other)),
            (one, other) => one.or(other),
        }
    }

    /// The position at which the token, session or user of this fingerprint was last revoked, or that
    /// of the base which has it.
    pub(crate) fn revoked_at(&self, id: Fingerprint) -> Option<Position> {
        let Overlay { denied, users, .. } = &self.overlay;
        let newer = denied.get(&id).or_else(|| users.get(&id).map(|(_, position)| position));
        newer.copied().or_else(|| self.base.as_ref().map(|base| base.to()))
    }

    fn open(&self, bytes: Vec<u8>) -> Result<Snapshot, ApplyError> {
        let snapshot = Snapshot::open(bytes, &self.trusted)?;
        if snapshot.feed() == self.id {
            Ok(snapshot)
        } else {
            Err(self.wrong_feed(snapshot.feed().as_bytes()))
        }
    }

    /// A position whose chain hash is known must not come with another one.
    fn refuse_contradiction(&mut self, snapshot: &Snapshot) -> Result<(), ApplyError> {
        let start = Floor { position: snapshot.from(), chain: snapshot.chain_from() };
        let ends = [start, snapshot.end()];
        let held = self.known.iter().chain([&self.floor]);
        for known in held {
            if ends.iter().any(|end| end.position == known.position && end.chain != known.chain) {
                self.forked |= snapshot.is_base();
                return Err(ApplyError::Fork { held: self.reached.position });
            }
        }
        Ok(())
    }

    /// A base takes the place of the one before; what is held beyond it stays on top.
    fn replace(&mut self, snapshot: Snapshot) -> Applied {
        let end = snapshot.end();
        let held = self.base.as_ref().map(|base| (base.to(), base.salt()));
        match held {
            Some((to, _)) if end.position <= to => {
                self.refresh(&snapshot, end.position);
                // The feed has no newer base yet: follow its deltas meanwhile.
                self.overlay_limit = self.overlay.len().saturating_mul(2).max(OVERLAY_LIMIT);
                let is_current = end.position >= self.reached.position;
                // It freshens only what it speaks of in full.
                return if is_current { Applied::Refreshed } else { Applied::Ignored };
            }
            // Its fingerprints mean something else: the overlay cannot stay on top of it.
            Some((_, salt)) if salt != snapshot.salt() && end.position < self.reached.position => {
                return Applied::Ignored;
            }
            _ => {}
        }
        self.refresh(&snapshot, end.position);
        self.epoch = self.epoch.max(snapshot.epoch());
        self.overlay.forget_up_to(end.position);
        self.reach(end);
        self.forked = false;
        self.overlay_limit = OVERLAY_LIMIT;
        self.base = Some(snapshot);
        Applied::Replaced
    }

    /// A delta goes on top, if it continues exactly what is held.
    fn extend(&mut self, snapshot: &Snapshot) -> Result<Applied, ApplyError> {
        let gap = ApplyError::Gap { from: snapshot.from(), held: self.position() };
        let Some(base) = &self.base else { return Err(gap) };
        if snapshot.from() > self.reached.position || base.salt() != snapshot.salt() {
            return Err(gap);
        }
        if snapshot.from() < self.reached.position {
            // Whether its end continues our history cannot be told; what it adds is held already,
            // or comes with the next delta.
            return Ok(Applied::Ignored);
        }
        if self.reached.chain != snapshot.chain_from() {
            return Err(ApplyError::Fork { held: self.reached.position });
        }
        let to = snapshot.to();
        self.refresh(snapshot, to);
        self.epoch = self.epoch.max(snapshot.epoch());
        if to == self.reached.position {
            return Ok(Applied::Refreshed);
        }
        self.overlay.add(snapshot);
        self.reach(snapshot.end());
        Ok(Applied::Extended)
    }

    /// Only a statement about everything that is held proves that it is fresh.
    fn refresh(&mut self, snapshot: &Snapshot, to: Position) {
        if to >= self.reached.position {
            // A newer statement that our clock can place: what seemed to be the future was another's
            // mistake.
            if snapshot.issued_at() > self.issued_at {
                self.witnessed_at = 0;
                self.heard_at = self.uptime;
            }
            self.issued_at = self.issued_at.max(snapshot.issued_at());
            self.valid_until = self.valid_until.max(snapshot.valid_until());
        }
    }

    fn reach(&mut self, end: Floor) {
        self.known.retain(|known| known.position.era == end.position.era);
        if !self.known.contains(&end) {
            self.known.push_back(end);
        }
        if self.known.len() > MAX_KNOWN {
            self.known.pop_front();
        }
        if end.position > self.reached.position {
            self.reached = end;
        }
        self.raise_floor(end);
    }

    fn raise_floor(&mut self, end: Floor) {
        if end.position > self.floor.position {
            self.floor = end;
        }
    }
}

/// An era is the unix time at which a log began, or one more than the era before it, and an epoch
/// is the moment of a red button. Neither can lie far ahead of the clock, however well it is signed.
fn refuse_implausible(snapshot: &Snapshot, now: u64) -> Result<(), ApplyError> {
    let limit = now.saturating_add(MAX_LEAD_SECONDS);
    let claims = [("era", snapshot.to().era), ("epoch", snapshot.epoch())];
    match claims.into_iter().find(|(_, found)| *found > limit) {
        Some((field, found)) => Err(ApplyError::Implausible { field, found, limit }),
        None => Ok(()),
    }
}

fn up_to(held: Option<Position>) -> String {
    held.map_or(String::new(), |held| format!(" up to {held}"))
}

/// A feed's id may have anything in it, and the message that shows it goes into logs and JSON.
fn shown(id: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    let plain = |byte: &u8| if is_plain(*byte) { char::from(*byte) } else { '?' };
    id.iter().take(MAX_SHOWN_CHARACTERS).map(plain).collect()
}

/// What deltas added, each with the position by which it is certain.
#[derive(Debug, Default)]
struct Overlay {
    denied: ByFingerprint<Position>,
    users: ByFingerprint<(UserFloor, Position)>,
    /// Few: red buttons and retired keys.
    dead_keys: Vec<(DeadKey, Position)>,
}

type ByFingerprint<T> = HashMap<Fingerprint, T, BuildHasherDefault<Ready>>;

/// A fingerprint is a hash already, keyed with the feed's salt.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Overlay {
    fn len(&self) -> usize {
        self.denied.len().saturating_add(self.users.len())
    }

    fn add(&mut self, snapshot: &Snapshot) {
        let to = snapshot.to();
        for id in snapshot.denied() {
            let seen = self.denied.entry(id).or_insert(to);
            *seen = (*seen).max(to);
        }
        for (user, floor) in snapshot.users() {
            let (held, seen) = self.users.entry(user).or_insert((floor, to));
            *held = held.join(floor);
            *seen = (*seen).max(to);
        }
        for key in snapshot.dead_keys() {
            match self.dead_keys.iter_mut().find(|(held, _)| held == key) {
                Some((_, seen)) => *seen = (*seen).max(to),
                None => self.dead_keys.push((key.clone(), to)),
            }
        }
    }

    /// A base up to `base` holds everything that was certain by then and has not expired.
    fn forget_up_to(&mut self, base: Position) {
        self.denied.retain(|_, to| *to > base);
        self.users.retain(|_, (_, to)| *to > base);
        self.dead_keys.retain(|(_, to)| *to > base);
    }
}

/// How far ahead of the clock an era or an epoch may be. Without this bound one snapshot of era
/// 2^64 - 1, signed with a stolen feed key, would raise the floor of every verifier above all that
/// the feed can ever publish. A day is more than any clock that serves tokens is off by.
const MAX_LEAD_SECONDS: u64 = 86_400;
/// So many bytes show what a snapshot claims to be: its envelope, and the feed's id unless that is
/// very long.
pub const HEAD_BYTES: usize = 4096;
/// Of a feed's id that was found in place of the expected one.
const MAX_SHOWN_CHARACTERS: usize = 100;
/// How far in the future a snapshot's `issued_at` may lie.
const MAX_SKEW_SECONDS: u64 = 300;
/// How long after `valid_until` a snapshot still counts as fresh, for clocks that differ.
const VALIDITY_SKEW_SECONDS: u64 = 10;
/// A fresh base is asked for once deltas have added this many entries, or as many as the base has.
const OVERLAY_LIMIT: usize = 65_536;
/// How many positions' chain hashes are remembered.
const MAX_KNOWN: usize = 64;
