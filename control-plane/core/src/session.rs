//! One user's sessions, and the rules of their lives: rotation, grace, theft, caps and expiry.
//! Pure: the clock and all randomness are arguments, and the store only compares and swaps the
//! outcome.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};

/// One login on one device: a family of refresh tokens, of which one is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The tokens' `sid`.
    pub id: SessionId,
    /// The user.
    pub sub: String,
    /// What its access tokens say beside the control plane's own claims.
    pub grant: Grant,
    /// The device, as the login named it.
    pub device: Device,
    /// The `ver` of its access tokens: the seq of the log when it was opened. A revocation of the
    /// user has a higher one and ends it; a login after that has a higher one again.
    pub version: u64,
    /// When it was opened, unix seconds.
    pub opened_at: u64,
    /// When it last gave out an access token, unix seconds.
    pub used_at: u64,
    /// Who holds its refresh side.
    pub holder: Holder,
    /// How often spent tokens came back late.
    pub repeats: Repeats,
    /// Set once it is over; never unset.
    pub ended: Option<Ended>,
    /// The request that opened it.
    pub request: Opening,
}

/// Names the request that opened a session, so that a repetition finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Opening {
    /// A MAC of the idempotency key, or random where there was none.
    pub name: [u8; 16],
    /// A digest of what was asked for, to notice a key that is used for something else.
    pub digest: [u8; 16],
}

/// Generations whose spent token came back later than a race of tabs explains. Once that is a lost
/// answer; generation after generation it is a second holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Repeats {
    /// How many of them in a row.
    pub in_a_row: u8,
    /// True if the living token's parent is the last of them.
    pub latest: bool,
}

/// Names a session: the user's key, when it was opened, then 96 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId {
    user: UserKey,
    random: [u8; 16],
}

/// Finds a user's sessions. Two users may share one by chance, so it decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserKey(pub [u8; 8]);

/// What a session's access tokens say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    /// The `client_id` (RFC 9068 section 2.2).
    pub client_id: String,
    /// True if a refresh must name the client.
    pub client_bound: bool,
    /// The `aud`.
    pub audience: String,
    /// The `scope`, if any.
    pub scope: Option<String>,
    /// The application's own claims, a JSON object.
    pub claims: String,
}

/// A device, as a person would recognise it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: Option<String>,
    /// The browser's or application's own name for itself.
    pub user_agent: Option<String>,
    /// Where the login came from.
    pub ip: Option<String>,
}

/// Who holds the refresh side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// The client, with a refresh token of the `generation` that is alive since `since`.
    Client {
        /// How often it was rotated.
        generation: u32,
        /// When it was rotated last, unix seconds.
        since: u64,
    },
    /// The control plane; the edge worker has a handle that never leaves a cookie.
    Edge,
    /// Nobody yet: a one-time code waits to be traded for a handle, until `until` (unix seconds).
    Offered {
        /// When the code is worthless.
        until: u64,
    },
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, unix seconds.
    pub at: u64,
    /// Who asked for it: the id of an API key, or the control plane itself.
    pub by: String,
    /// The reason given.
    pub reason: Option<String>,
}

/// How long sessions live, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without a refresh.
    pub idle_seconds: u64,
    /// In all.
    pub absolute_seconds: u64,
    /// How long a spent token may be shown again while its successor is unused.
    pub grace_seconds: u64,
}

/// What becomes of sessions that the store has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LostSessions {
    /// Their refresh tokens are answered 503, so that clients keep them until an operator has put
    /// the sessions back from a backup or chosen the other answer.
    #[default]
    Unavailable,
    /// They are over: users log in again.
    End,
}

/// A time in which clients could not repeat what they had not been answered, unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outage {
    /// When it began.
    pub began_at: u64,
    /// When it was over; before it began while it lasts.
    pub ended_at: u64,
}

/// What a refresh token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The session is over, or never was.
    Over,
    /// A lost reply, or a tab that raced: the same successor once more.
    Repeated {
        /// The successor's generation.
        generation: u32,
    },
    /// A spent token came back that no honest client shows, or the third in a row came back late:
    /// two hold the family, and one of them is a thief.
    Reused,
    /// The token is spent from now on.
    Rotated {
        /// The successor's generation.
        generation: u32,
    },
}

impl Session {
    /// From when on it gives out nothing more, unix seconds.
    pub fn expires_at(&self, lifetimes: &Lifetimes) -> u64 {
        self.absolute_end(lifetimes).min(self.used_at.saturating_add(lifetimes.idle_seconds))
    }

    /// The instant that no refresh moves, unix seconds.
    pub fn absolute_end(&self, lifetimes: &Lifetimes) -> u64 {
        self.opened_at.saturating_add(lifetimes.absolute_seconds)
    }

    /// True while it may give out access tokens, as far as the session itself knows.
    pub fn is_live(&self, now: u64, lifetimes: &Lifetimes) -> bool {
        self.ended.is_none() && now < self.expires_at(lifetimes)
    }

    /// Uses the refresh token of `presented` generation, whose genuineness was checked before.
    ///
    /// The living token rotates. Its parent is answered with the same successor while that is
    /// unused and the grace lasts, which begins again after an outage. Any older one is theft. A
    /// token ahead of what is stored was given out before the store lost writes: the chain goes on
    /// from there, since every chain of a session is the same one.
    ///
    /// A thief and a victim who use every generation one after the other never show an older one.
    /// They are noticed because the second of them comes later than [`RACE_SECONDS`], generation
    /// after generation: the third such repetition in a row is theft.
    pub fn rotate(
        &mut self,
        presented: u32,
        now: u64,
        lifetimes: &Lifetimes,
        outage: Outage,
    ) -> Rotation {
        let Holder::Client { generation, since } = self.holder else {
            return Rotation::Over;
        };
        if !self.is_live(now, lifetimes) {
            return Rotation::Over;
        }
        let Some(successor) = presented.checked_add(1) else {
            return Rotation::Over;
        };
        if presented >= generation {
            self.holder = Holder::Client { generation: successor, since: now };
            self.used_at = self.used_at.max(now);
            self.repeats.rotated();
            return Rotation::Rotated { generation: successor };
        }
        let begin = outage.grace_begin(since, lifetimes);
        if successor != generation || now > begin.saturating_add(lifetimes.grace_seconds) {
            return Rotation::Reused;
        }
        // Nobody could ask earlier during an outage.
        let is_late = begin == since && now > since.saturating_add(RACE_SECONDS);
        if is_late && self.repeats.came_late() >= MOST_LATE_IN_A_ROW {
            return Rotation::Reused;
        }
        Rotation::Repeated { generation }
    }

    /// Ends it for good, unless it is over already. What no listing needs is forgotten.
    pub fn end(&mut self, ended: Ended) {
        if self.ended.is_none() {
            self.ended = Some(ended);
            self.grant = Grant::default();
            self.device = Device::default();
        }
    }

    /// How many refresh tokens of it are spent.
    pub fn spent(&self) -> u32 {
        match self.holder {
            Holder::Client { generation, .. } => generation,
            Holder::Edge | Holder::Offered { .. } => 0,
        }
    }
}

impl Repeats {
    /// A generation that nobody showed twice, or only at once, ends the row.
    fn rotated(&mut self) {
        if !self.latest {
            self.in_a_row = 0;
        }
        self.latest = false;
    }

    /// Each generation counts once; how many there are in a row now.
    fn came_late(&mut self) -> u8 {
        if !self.latest {
            self.latest = true;
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
        self.in_a_row
    }
}

impl Outage {
    /// The one before a process that starts `now`: what was answered in the hour before may not
    /// have been heard.
    pub fn before(now: u64) -> Self {
        Self { began_at: now.saturating_sub(3600), ended_at: now }
    }

    /// When the grace of a token begins that was spent at `since`: where it would have run out in
    /// the outage, at the outage's end.
    fn grace_begin(self, since: u64, lifetimes: &Lifetimes) -> u64 {
        let could_ask = since.saturating_add(lifetimes.grace_seconds) < self.began_at;
        if could_ask || since > self.ended_at { since } else { self.ended_at }
    }
}

/// The sessions under one user key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserSessions {
    /// In the order they were opened.
    pub sessions: Vec<Session>,
    /// Random, another one with each write: of two processes that want to write the same only one
    /// has written it.
    pub stamp: u64,
}

impl UserSessions {
    /// Reads what [`encode`](Self::encode) made.
    ///
    /// # Errors
    ///
    /// Where the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        match bytes {
            [] => Ok(Self::default()),
            bytes => match postcard::take_from_bytes(bytes)? {
                (sessions, []) => Ok(sessions),
                _ => Err(postcard::Error::DeserializeBadEncoding),
            },
        }
    }

    /// The bytes to store; none for no sessions.
    pub fn encode(&self) -> Vec<u8> {
        if self.sessions.is_empty() {
            return vec![];
        }
        // No bytes in their place would delete the sessions.
        postcard::to_allocvec(self).expect("plain data is always encoded")
    }

    /// The session with this id.
    pub fn find(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// Forgets sessions that expired, and those that ended once no refresh token of theirs could be
    /// good any more. Of the ended ones those opened last are kept, [`MAX_ENDED`].
    pub fn tidy(&mut self, now: u64, lifetimes: &Lifetimes) {
        self.sessions.retain(|session| match session.ended {
            Some(_) => now < session.absolute_end(lifetimes),
            None => session.is_live(now, lifetimes),
        });
        let ended = self.sessions.iter().filter(|session| session.ended.is_some()).count();
        let mut surplus = ended.saturating_sub(MAX_ENDED);
        self.sessions.retain(|session| {
            let goes = surplus > 0 && session.ended.is_some();
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// Which of `live` sessions must go before one more may be opened under `cap`: those idle for
    /// longest.
    pub fn surplus<'a>(live: impl Iterator<Item = &'a Session>, cap: usize) -> Vec<SessionId> {
        let mut live: Vec<&Session> = live.collect();
        live.sort_by_key(|session| (session.used_at, session.opened_at, session.id));
        let count = (live.len() + 1).saturating_sub(cap);
        live.iter().take(count).map(|session| session.id).collect()
    }

    /// When the store may forget it, unix seconds: its clock may be ahead of ours by a day.
    pub fn forget_at(&self, lifetimes: &Lifetimes) -> Option<u64> {
        self.forgettable_at(lifetimes).map(|at| at.saturating_add(CLOCK_MARGIN_SECONDS))
    }

    /// When nothing of it matters any more, unix seconds.
    pub fn forgettable_at(&self, lifetimes: &Lifetimes) -> Option<u64> {
        self.sessions.iter().map(|session| session.absolute_end(lifetimes)).max()
    }
}

impl SessionId {
    /// A session of the user. The first four bytes of `random` say when it was opened.
    pub fn new(user: UserKey, random: [u8; 16]) -> Self {
        Self { user, random }
    }

    /// A session of the user that is opened `at` (unix seconds).
    pub fn opened(user: UserKey, at: u64, random: [u8; 12]) -> Self {
        let mut bytes = [0; 16];
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&at.to_be_bytes());
        bytes[4..].copy_from_slice(&random);
        Self { user, random: bytes }
    }

    /// When it was opened, unix seconds. Its credentials prove it, also where the store does not
    /// know the session.
    pub fn opened_at(self) -> u64 {
        let [a, b, c, d, ..] = self.random;
        u32::from_be_bytes([a, b, c, d]).into()
    }

    /// True if the session, which the store does not know, is one that a store lost which lost
    /// records at `lost_at`: it was opened before, is not past its absolute end, and was not idle
    /// for too long since, however late it was last used.
    pub fn is_lost(self, lost_at: Option<u64>, now: u64, lifetimes: &Lifetimes) -> bool {
        let end = self.opened_at().saturating_add(lifetimes.absolute_seconds);
        let is_recent = |lost_at: u64| now < lost_at.saturating_add(lifetimes.idle_seconds);
        lost_at.is_some_and(|at| self.opened_at() <= at && is_recent(at)) && now < end
    }

    /// Where its user's sessions are.
    pub fn user(self) -> UserKey {
        self.user
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; SESSION_ID_BYTES] {
        let mut bytes = [0; SESSION_ID_BYTES];
        bytes[..8].copy_from_slice(&self.user.0);
        bytes[8..].copy_from_slice(&self.random);
        bytes
    }

    /// The session with these bytes.
    pub fn from_bytes(bytes: [u8; SESSION_ID_BYTES]) -> Self {
        let (mut user, mut random) = ([0; 8], [0; 16]);
        user.copy_from_slice(&bytes[..8]);
        random.copy_from_slice(&bytes[8..]);
        Self { user: UserKey(user), random }
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Base64UrlUnpadded::encode_string(&self.bytes()))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Not the id of a session of this control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session id")]
pub struct NotASessionId;

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        let mut bytes = [0; SESSION_ID_BYTES];
        match Base64UrlUnpadded::decode(text, &mut bytes) {
            Ok(decoded) if decoded.len() == SESSION_ID_BYTES => Ok(Self::from_bytes(bytes)),
            _ => Err(NotASessionId),
        }
    }
}

/// Begins the names of documents that remember for a day what a login's request asked for.
pub const OPENING_DOCUMENTS: &str = "opening:";
/// Begins the names of all documents with sessions.
pub const USER_DOCUMENTS: &str = "user:";
const CLOCK_MARGIN_SECONDS: u64 = 86_400;
/// Within this time after a token was spent its repetition is a race of tabs or a quick retry.
pub const RACE_SECONDS: u64 = 10;
/// The late repetition that makes a row of this length is theft.
pub const MOST_LATE_IN_A_ROW: u8 = 3;
/// 32 characters of base64url.
pub const SESSION_ID_BYTES: usize = 24;
/// How many ended sessions of a user are remembered: enough to recognise them in a listing. That
/// they are over does not depend on it, for what is not there gives out nothing.
pub const MAX_ENDED: usize = 50;
