//! The sessions of one user, and the rules for them: rotation, grace, theft, caps and expiry.
//! Pure: the clock and all randomness are arguments, and the store only compares and swaps the
//! outcome.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};

/// One login on one device: a family of refresh tokens, of which one is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The tokens' `sid`.
    pub id: SessionId,
    /// The user.
    pub sub: String,
    /// The claims of its access tokens in addition to the control plane's own.
    pub grant: Grant,
    /// The device, as described in the login request.
    pub device: Device,
    /// The `ver` of its access tokens: the seq of the log when it was opened. A later revocation of
    /// the user has a higher seq and ends the session; a login after that has a higher one again.
    pub version: u64,
    /// When it was opened, unix seconds.
    pub opened_at: u64,
    /// When an access token was last issued for it, unix seconds.
    pub used_at: u64,
    /// Which party has the refresh credential.
    pub holder: Holder,
    /// How often used tokens were presented again late.
    pub repeats: Repeats,
    /// Set when the session ends; never unset.
    pub ended: Option<Ended>,
    /// The request that opened it.
    pub request: Opening,
}

/// Identifies the request that opened a session, so that a repetition finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Opening {
    /// A MAC of the idempotency key, or random if the request had none.
    pub name: [u8; 16],
    /// A digest of the request, to detect that a key is used for a different request.
    pub digest: [u8; 16],
}

/// Counts generations whose used token was presented again later than a race of tabs explains. One
/// such repetition is a lost response; one in each generation means that two parties have tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Repeats {
    /// The number of such generations in a row.
    pub in_a_row: u8,
    /// True if the parent of the current token is the last of them.
    pub latest: bool,
}

/// Identifies a session: the user's key, when it was opened, then 96 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId {
    user: UserKey,
    random: [u8; 16],
}

/// The key under which a user's sessions are stored. Two users may share one by chance, so no
/// decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserKey(pub [u8; 8]);

/// The content of a session's access tokens.
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

/// A device, described so that a person recognises it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: Option<String>,
    /// The `User-Agent` of the browser or application.
    pub user_agent: Option<String>,
    /// Where the login came from.
    pub ip: Option<String>,
}

/// Which party has the refresh credential of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// The client has a refresh token; its `generation` is current since `since`.
    Client {
        /// The number of rotations so far.
        generation: u32,
        /// When the last rotation was, unix seconds.
        since: u64,
    },
    /// The control plane; the edge worker has a handle that is only ever stored in a cookie.
    Edge,
    /// No party yet: a one-time code can be exchanged for a handle until `until` (unix seconds).
    Offered {
        /// When the code expires.
        until: u64,
    },
}

/// Why a session has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, unix seconds.
    pub at: u64,
    /// Who ended it: the id of an API key, or the control plane itself.
    pub by: String,
    /// The reason given.
    pub reason: Option<String>,
}

/// How long sessions live, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// The idle timeout: the longest time without a refresh.
    pub idle_seconds: u64,
    /// The longest lifetime in total.
    pub absolute_seconds: u64,
    /// How long a used token may be presented again while its successor is unused.
    pub grace_seconds: u64,
}

/// How to treat sessions that the store has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LostSessions {
    /// Refreshing them gets 503, so that clients keep their refresh tokens until an operator has
    /// restored the sessions from a backup or chosen the other policy.
    #[default]
    Unavailable,
    /// They have ended: users log in again.
    End,
}

/// A time in which clients that got no response could not repeat their requests, unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outage {
    /// When it began.
    pub began_at: u64,
    /// When it ended; a time before `began_at` while it lasts.
    pub ended_at: u64,
}

/// The outcome of presenting a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The session has ended, or never existed.
    Over,
    /// A lost response or a race of tabs: the same successor is returned again.
    Repeated {
        /// The successor's generation.
        generation: u32,
    },
    /// Theft: a used token was presented that no honest client would present, or the third
    /// repetition in a row was late. Two parties have tokens of the family, one of them a thief.
    Reused,
    /// The token is used from now on.
    Rotated {
        /// The successor's generation.
        generation: u32,
    },
}

impl Session {
    /// When the session expires and issues no more tokens, unix seconds.
    pub fn expires_at(&self, lifetimes: &Lifetimes) -> u64 {
        self.absolute_end(lifetimes).min(self.used_at.saturating_add(lifetimes.idle_seconds))
    }

    /// The end that no refresh can move, unix seconds.
    pub fn absolute_end(&self, lifetimes: &Lifetimes) -> u64 {
        self.opened_at.saturating_add(lifetimes.absolute_seconds)
    }

    /// True while access tokens may be issued for it, judged by the session alone, without the log.
    pub fn is_live(&self, now: u64, lifetimes: &Lifetimes) -> bool {
        self.ended.is_none() && now < self.expires_at(lifetimes)
    }

    /// Uses the refresh token of generation `presented`. The caller has already verified it.
    ///
    /// The current token rotates. Its parent gets the same successor again while that is unused and
    /// the grace period lasts; an outage restarts the grace period. Any older token means theft. A
    /// token ahead of the stored generation was issued before the store lost writes: the chain
    /// continues from there, since every chain of a session is the same one.
    ///
    /// If a thief and a victim use every generation one after the other, neither presents an older
    /// token. They are detected because the second of them comes later than [`RACE_SECONDS`] in
    /// every generation: the third such repetition in a row counts as theft.
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
        // During an outage no client could ask earlier.
        let is_late = begin == since && now > since.saturating_add(RACE_SECONDS);
        if is_late && self.repeats.came_late() >= MOST_LATE_IN_A_ROW {
            return Rotation::Reused;
        }
        Rotation::Repeated { generation }
    }

    /// Ends the session for good, unless it has ended already. Drops what no listing needs.
    pub fn end(&mut self, ended: Ended) {
        if self.ended.is_none() {
            self.ended = Some(ended);
            self.grant = Grant::default();
            self.device = Device::default();
        }
    }

    /// The number of its refresh tokens that are used.
    pub fn spent(&self) -> u32 {
        match self.holder {
            Holder::Client { generation, .. } => generation,
            Holder::Edge | Holder::Offered { .. } => 0,
        }
    }
}

impl Repeats {
    /// A generation that was not presented again, or only within the race time, ends the row.
    fn rotated(&mut self) {
        if !self.latest {
            self.in_a_row = 0;
        }
        self.latest = false;
    }

    /// Counts a late repetition, once per generation; returns how many there are in a row now.
    fn came_late(&mut self) -> u8 {
        if !self.latest {
            self.latest = true;
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
        self.in_a_row
    }
}

impl Outage {
    /// The outage before a process that starts `now`: clients may not have received responses of
    /// the last hour.
    pub fn before(now: u64) -> Self {
        Self { began_at: now.saturating_sub(3600), ended_at: now }
    }

    /// When the grace period of a token that was used at `since` begins. If it would have run out
    /// during the outage, it begins at the end of the outage.
    fn grace_begin(self, since: u64, lifetimes: &Lifetimes) -> u64 {
        let could_ask = since.saturating_add(lifetimes.grace_seconds) < self.began_at;
        if could_ask || since > self.ended_at { since } else { self.ended_at }
    }
}

/// The sessions under one user key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserSessions {
    /// In the order in which they were opened.
    pub sessions: Vec<Session>,
    /// Random, different with each write: if two processes want to write the same content, only one
    /// of them has written it.
    pub stamp: u64,
}

impl UserSessions {
    /// Decodes the output of [`encode`](Self::encode).
    ///
    /// # Errors
    ///
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        match bytes {
            [] => Ok(Self::default()),
            bytes => match postcard::take_from_bytes(bytes)? {
                (sessions, []) => Ok(sessions),
                _ => Err(postcard::Error::DeserializeBadEncoding),
            },
        }
    }

    /// The bytes to store; empty if there are no sessions.
    pub fn encode(&self) -> Vec<u8> {
        if self.sessions.is_empty() {
            return vec![];
        }
        // Empty bytes in their place would delete the sessions.
        postcard::to_allocvec(self).expect("plain data is always encoded")
    }

    /// The session with this id.
    pub fn find(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// Drops sessions that expired, and ended ones once none of their refresh tokens could be valid
    /// any more. Of the ended sessions at most [`MAX_ENDED`] are kept, those opened last.
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

    /// Which of the `live` sessions must end before one more may be opened under `cap`: the ones
    /// that have been idle for longest.
    pub fn surplus<'a>(live: impl Iterator<Item = &'a Session>, cap: usize) -> Vec<SessionId> {
        let mut live: Vec<&Session> = live.collect();
        live.sort_by_key(|session| (session.used_at, session.opened_at, session.id));
        let count = (live.len() + 1).saturating_sub(cap);
        live.iter().take(count).map(|session| session.id).collect()
    }

    /// When the store may drop the document, unix seconds: its clock may be ahead of ours by a day.
    pub fn forget_at(&self, lifetimes: &Lifetimes) -> Option<u64> {
        self.forgettable_at(lifetimes).map(|at| at.saturating_add(CLOCK_MARGIN_SECONDS))
    }

    /// When no session in it matters any more, unix seconds.
    pub fn forgettable_at(&self, lifetimes: &Lifetimes) -> Option<u64> {
        self.sessions.iter().map(|session| session.absolute_end(lifetimes)).max()
    }
}

impl SessionId {
    /// Creates the id of a session of the user. The first four bytes of `random` are its opening
    /// time.
    pub fn new(user: UserKey, random: [u8; 16]) -> Self {
        Self { user, random }
    }

    /// Creates the id of a session of the user that is opened `at` (unix seconds).
    pub fn opened(user: UserKey, at: u64, random: [u8; 12]) -> Self {
        let mut bytes = [0; 16];
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&at.to_be_bytes());
        bytes[4..].copy_from_slice(&random);
        Self { user, random: bytes }
    }

    /// When the session was opened, unix seconds. Its credentials prove it, even if the store does
    /// not know the session.
    pub fn opened_at(self) -> u64 {
        let [a, b, c, d, ..] = self.random;
        u32::from_be_bytes([a, b, c, d]).into()
    }

    /// True if the session, which is not in the store, is one that was lost when the store lost
    /// records at `lost_at`: it was opened before, is not past its absolute end, and has not been
    /// idle for too long since, assuming the latest possible use.
    pub fn is_lost(self, lost_at: Option<u64>, now: u64, lifetimes: &Lifetimes) -> bool {
        let end = self.opened_at().saturating_add(lifetimes.absolute_seconds);
        let is_recent = |lost_at: u64| now < lost_at.saturating_add(lifetimes.idle_seconds);
        lost_at.is_some_and(|at| self.opened_at() <= at && is_recent(at)) && now < end
    }

    /// The key of its user's sessions.
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

    /// Creates the id from these bytes.
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

/// Prefix of the names of documents that remember for a day what a login request asked for.
pub const OPENING_DOCUMENTS: &str = "opening:";
/// Prefix of the names of all documents with sessions.
pub const USER_DOCUMENTS: &str = "user:";
const CLOCK_MARGIN_SECONDS: u64 = 86_400;
/// Within this time after its use, presenting a token again is a race of tabs or a quick retry.
pub const RACE_SECONDS: u64 = 10;
/// A row of this many late repetitions means theft.
pub const MOST_LATE_IN_A_ROW: u8 = 3;
/// 32 characters of base64url.
pub const SESSION_ID_BYTES: usize = 24;
/// How many ended sessions of a user are remembered: enough to recognise them in a listing.
/// Security does not depend on it, because a session that is not stored gets no tokens.
pub const MAX_ENDED: usize = 50;
