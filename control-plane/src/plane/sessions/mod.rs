//! Sessions: open, refresh, list, end. All rules are in [`offswitch_core::session`]; the store compares and
//! swaps what the rules decide.
//!
//! The log says which sessions have ended. Each change is decided at the log's end and written only
//! if the log still ends there, as one step of the store. So what any process acknowledged before
//! holds, and no logout can slip in between. `endings` carries the log's endings over to the stored
//! sessions.

mod endings;
mod handover;
mod issue;
mod named;
mod stored;

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::limits::{LONGEST_ACCESS_TOKEN_SECONDS, REQUEST_MEMORY};
use offswitch_core::record::{OWN_ACT, Record, Revocation};
use offswitch_core::session::{
    Device, Grant, Holder, Lifetimes, LostSessions, OPENING_DOCUMENTS, Opening, Repeats, Rotation,
    Session, SessionId, UserSessions,
};
use offswitch_snapshot::Position;
use zeroize::Zeroizing;

use self::stored::{Basis, busy};
use super::PlaneError;
use super::folded::Folded;
use super::log::{Log, Revoked};
use super::publish::Publisher;
use super::signing::SigningKeys;
use crate::credential::{Credential, CredentialKind};
use crate::master_key::{MasterKey, random_bytes};
use crate::sealing::SealedStore;
use crate::store::{Request, Store, StoreError};
use crate::telemetry::audit;

pub use issue::{Issued, RESERVED_CLAIMS, TokenPair};
pub use named::{NamedSessions, Reach};
pub use stored::StoredSessions;

/// The settings of the sessions.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The `aud` of the tokens, unless a session sets another.
    pub audience: String,
    /// How long an access token lives.
    pub access_token_seconds: u64,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// How to treat sessions that the store has lost.
    pub lost_sessions: LostSessions,
    /// How many sessions a user may have; the next login ends the one that was idle for longest.
    pub sessions_per_user: usize,
}

/// The stored sessions, and the tokens that are issued for them.
pub struct Sessions {
    settings: SessionSettings,
    issuer: String,
    store: Arc<SealedStore>,
    master: MasterKey,
    folded: Arc<Folded>,
    signing: Arc<SigningKeys>,
    publisher: Arc<Publisher>,
    log: Arc<Log>,
    /// One pass over the ended sessions at a time.
    ending: tokio::sync::Mutex<()>,
}

/// A login: the user and the content of the tokens.
#[derive(Debug, Clone, Default)]
pub struct SessionRequest {
    /// The user.
    pub sub: String,
    /// The content of the access tokens; an empty audience means the configured one.
    pub grant: Grant,
    /// The device.
    pub device: Device,
    /// True if the client must not hold a token: the answer is a one-time code for the edge worker.
    pub handover: bool,
    /// Identifies the request, so that a repetition is recognised.
    pub opening: Opening,
}

/// A session that was just opened.
#[derive(Debug)]
pub enum Opened {
    /// Its one-time code.
    Code {
        /// The session.
        session: SessionId,
        /// The code.
        code: Zeroizing<String>,
        /// When the code expires, unix seconds.
        expires_at: u64,
    },
    /// Its first tokens.
    Tokens(TokenPair),
}

/// The outcome of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// New tokens.
    Issued(TokenPair),
    /// No tokens.
    Refused(RefreshRefusal),
}

/// Why a refresh is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// The session has ended, has expired or is unknown.
    SessionEnded,
    /// The store has lost the session.
    SessionLost,
    /// The token was used before: the session is revoked now.
    TokenReused,
    /// The session is bound to another client.
    WrongClient,
    /// The scope asked for goes beyond the session's.
    WrongScope,
}

impl RefreshRefusal {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::SessionEnded => "session_ended",
            Self::SessionLost => "session_lost",
            Self::TokenReused => "refresh_token_reused",
            Self::WrongClient => "wrong_client",
            Self::WrongScope => "wrong_scope",
        }
    }
}

/// The refresh tokens of one session that are not accepted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// All of them.
    Revoked,
    /// All but the current one.
    Spent,
}

impl Sessions {
    pub(super) fn new(
        settings: SessionSettings,
        issuer: String,
        store: Arc<SealedStore>,
        master: MasterKey,
        folded: Arc<Folded>,
        log: Arc<Log>,
    ) -> Self {
        let publisher = log.publisher();
        Self {
            signing: publisher.signing(),
            publisher,
            settings,
            issuer,
            store,
            master,
            folded,
            log,
            ending: tokio::sync::Mutex::default(),
        }
    }

    /// How long an access token lives.
    pub(super) fn access_token_seconds(&self) -> u64 {
        self.settings.access_token_seconds
    }

    /// The genuine credential in `text`.
    pub fn credential(&self, text: &str, kind: CredentialKind) -> Option<Credential> {
        Credential::parse(text, kind, &self.master)
    }

    /// True if `session` is the id of a session of `sub`, whether or not it exists.
    pub fn is_of(&self, session: SessionId, sub: &str) -> bool {
        session.user() == self.master.user_key(sub)
    }

    /// When a session ends if it is not refreshed, unix seconds.
    pub fn expires_at(&self, session: &Session) -> u64 {
        session.expires_at(&self.settings.lifetimes)
    }

    /// Writes an event of a session to the audit log.
    pub fn audit(&self, event: &'static str, by: &str, session: SessionId) {
        audit::session(event, by, &session, &self.master);
    }

    /// Remembers what a login with this idempotency key asks for, and identifies its session. The
    /// session itself is remembered only among those of its user: with another user the key would
    /// open a second session.
    ///
    /// # Errors
    ///
    /// [`StoreError::RequestReused`] if the key was used for another login; see [`PlaneError`] for
    /// the rest.
    pub async fn claim(&self, request: &Request) -> Result<Opening, PlaneError> {
        let mut opening =
            Opening { name: self.master.request_name(&request.id), ..Opening::default() };
        opening.digest.copy_from_slice(&request.digest[..16]);
        if request.memory < REQUEST_MEMORY {
            return Ok(opening);
        }
        let id = self.master.request_name(&format!("login {}", request.id));
        let id = Base64UrlUnpadded::encode_string(&id);
        let (name, digest) = (format!("{OPENING_DOCUMENTS}{id}"), &request.digest[..]);
        let forget_at = self.store.now().saturating_add(REQUEST_MEMORY.as_secs());
        if self.store.swap(&name, &[], digest, Some(forget_at)).await?
            || self.store.load(&name).await? == digest
        {
            return Ok(opening);
        }
        Err(StoreError::RequestReused.into())
    }

    /// Opens a session, after ending sessions of the user if the cap requires it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionOver`] if the request is a repetition and the session has since ended
    /// or been handed over; [`StoreError::RequestReused`] if it only looks like one; see
    /// [`PlaneError`] for the rest.
    pub async fn open(&self, request: SessionRequest, now: u64) -> Result<Opened, PlaneError> {
        let fresh = self.new_session(request, now);
        let session = self.admitted(&fresh, now).await?;
        if !self.is_living(&session, now) {
            return Err(PlaneError::SessionOver);
        }
        let credential = Credential { session: session.id, number: session.spent() };
        match session.holder {
            Holder::Client { .. } => {
                let token = credential.text(CredentialKind::RefreshToken, &self.master);
                Ok(Opened::Tokens(self.issue(&session, None, now).await?.with(token)))
            }
            Holder::Offered { until } if now < until => {
                let code = credential.text(CredentialKind::HandoverCode, &self.master);
                Ok(Opened::Code { session: session.id, code, expires_at: until })
            }
            // A repetition of the request must not return what only the edge may have.
            Holder::Edge | Holder::Offered { .. } => Err(PlaneError::SessionOver),
        }
    }

    /// Exchanges a refresh token for an access token and the next refresh token.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]. It may then be unknown whether the token was used; presenting it again
    /// is the right reaction.
    pub async fn refresh(
        &self,
        token: Credential,
        client_id: Option<&str>,
        scope: Option<&str>,
        now: u64,
    ) -> Result<Refreshed, PlaneError> {
        let outage = self.log.outage();
        let rotate = |sessions: &mut UserSessions, _| {
            let session = sessions.find(token.session).ok_or(RefreshRefusal::SessionLost)?;
            if self.folded.is_over(session) {
                return Err(RefreshRefusal::SessionEnded);
            }
            let Grant { client_id: owner, client_bound, scope: granted, .. } = &session.grant;
            if !client_id.map_or(!client_bound, |client| client == owner) {
                return Err(RefreshRefusal::WrongClient);
            }
            if scope.is_some_and(|scope| !is_within(scope, granted.as_deref())) {
                return Err(RefreshRefusal::WrongScope);
            }
            let before = session.repeats;
            match session.rotate(token.number, now, &self.settings.lifetimes, outage) {
                Rotation::Over => Err(RefreshRefusal::SessionEnded),
                Rotation::Reused => Err(RefreshRefusal::TokenReused),
                Rotation::Repeated { generation } => {
                    let is_new = session.repeats != before;
                    Ok((session.clone(), generation, Some(is_new)))
                }
                Rotation::Rotated { generation } => Ok((session.clone(), generation, None)),
            }
        };
        let (session, number, repeated) =
            match self.change(token.session.user(), Basis::LogEnd, now, rotate).await? {
                Ok(rotated) => rotated,
                Err(RefreshRefusal::SessionLost) => {
                    let refusal = self.absent_session(token.session, now)?;
                    return Ok(Refreshed::Refused(refusal));
                }
                Err(refusal) => {
                    if refusal == RefreshRefusal::TokenReused {
                        self.stop_thief(token.session, now).await?;
                    }
                    return Ok(Refreshed::Refused(refusal));
                }
            };
        if let Some(is_newly_late) = repeated {
            note_repetition(&session, is_newly_late);
        }
        let issued = match self.issue(&session, scope, now).await {
            Err(PlaneError::SessionOver) => {
                return Ok(Refreshed::Refused(RefreshRefusal::SessionEnded));
            }
            issued => issued?,
        };
        let successor = Credential { session: session.id, number };
        let token = successor.text(CredentialKind::RefreshToken, &self.master);
        Ok(Refreshed::Issued(issued.with(token)))
    }

    /// The active sessions of `sub`, newest first.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn of_user(&self, sub: &str, now: u64) -> Result<Vec<Session>, PlaneError> {
        self.log.catch_up().await?;
        let mut sessions = self.user_sessions(self.master.user_key(sub)).await?.sessions;
        sessions.retain(|session| session.sub == sub && self.is_living(session, now));
        sessions.reverse();
        Ok(sessions)
    }

    /// The session of a genuine refresh token, if a refresh with the token would succeed now.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn peek_refresh(
        &self,
        token: Credential,
        now: u64,
    ) -> Result<Option<Session>, PlaneError> {
        self.log.catch_up().await?;
        let mut sessions = self.user_sessions(token.session.user()).await?;
        if sessions.find(token.session).is_none() {
            self.absent_session(token.session, now)?;
        }
        let Some(session) = self.living(&mut sessions, token.session, now) else {
            return Ok(None);
        };
        let before = session.clone();
        let lifetimes = &self.settings.lifetimes;
        let rotation = session.rotate(token.number, now, lifetimes, self.log.outage());
        let is_good = matches!(rotation, Rotation::Rotated { .. } | Rotation::Repeated { .. });
        Ok(is_good.then_some(before))
    }

    /// The log entry that ends a session; kept until its last access token has expired.
    pub fn revocation(session: SessionId, now: u64) -> Revocation {
        let exp = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
        Revocation::Session { issuer: None, sid: session.to_string(), exp }
    }

    /// Why a genuine credential names a session that is not in the store: the session has ended, or
    /// the store has lost it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionLost`] if the caller must answer that the session is unavailable.
    pub(super) fn absent_session(
        &self,
        session: SessionId,
        now: u64,
    ) -> Result<RefreshRefusal, PlaneError> {
        // The user and version are unknown, but the log may say that the session itself was ended.
        let is_over = self.folded.lock().is_session_over(&session.to_string(), "", u64::MAX);
        if is_over || !session.is_lost(self.log.lost_at(), now, &self.settings.lifetimes) {
            return Ok(RefreshRefusal::SessionEnded);
        }
        metrics::counter!("offswitch_lost_sessions_total").increment(1);
        tracing::warn!(%session, "the store has lost the session of a genuine credential");
        match self.settings.lost_sessions {
            LostSessions::Unavailable => Err(PlaneError::SessionLost),
            LostSessions::End => Ok(RefreshRefusal::SessionLost),
        }
    }

    /// Which refresh tokens of a session are not accepted at `now`, and until when one of them
    /// could otherwise be valid (unix seconds); none if that is none of them.
    pub fn denied(&self, session: &Session, now: u64) -> Option<(Denial, u64)> {
        let lifetimes = &self.settings.lifetimes;
        let until = session.absolute_end(lifetimes);
        let is_over = || self.folded.is_over(session);
        match session.ended {
            Some(_) if now < until => Some((Denial::Revoked, until)),
            None if is_over() => Some((Denial::Revoked, until)),
            None if session.is_live(now, lifetimes) && session.spent() > 0 => {
                Some((Denial::Spent, until))
            }
            _ => None,
        }
    }

    /// True while access tokens may be issued for the session.
    pub(super) fn is_living(&self, session: &Session, now: u64) -> bool {
        session.is_live(now, &self.settings.lifetimes) && !self.folded.is_over(session)
    }

    pub(super) fn living<'a>(
        &self,
        sessions: &'a mut UserSessions,
        id: SessionId,
        now: u64,
    ) -> Option<&'a mut Session> {
        sessions.find(id).filter(|session| self.is_living(session, now))
    }

    fn new_session(&self, request: SessionRequest, now: u64) -> Session {
        let mut grant = request.grant;
        if grant.audience.is_empty() {
            grant.audience.clone_from(&self.settings.audience);
        }
        Session {
            id: SessionId::opened(self.master.user_key(&request.sub), now, random_bytes()),
            sub: request.sub,
            grant,
            device: request.device,
            version: 0,
            opened_at: now,
            used_at: now,
            holder: if request.handover {
                Holder::Offered { until: now.saturating_add(CODE_SECONDS) }
            } else {
                Holder::Client { generation: 0, since: now }
            },
            repeats: Repeats::default(),
            ended: None,
            request: request.opening,
        }
    }

    /// Stores `fresh`, after making room, or finds the session that an earlier execution of the
    /// same request stored.
    async fn admitted(&self, fresh: &Session, now: u64) -> Result<Session, PlaneError> {
        for _ in 0..MADE_ROOM {
            let admit = |held: &mut UserSessions, end| self.admit(held, fresh, end, now);
            match self.change(fresh.id.user(), Basis::LogEnd, now, admit).await? {
                Admission::Admitted(session) => return Ok(*session),
                Admission::Full(surplus) => {
                    let reason = "the user has too many sessions";
                    self.end_once(&surplus, OWN_ACT, reason, now).await?;
                    self.log.catch_up().await?;
                }
                Admission::Known(known) if known.request.digest != fresh.request.digest => {
                    return Err(StoreError::RequestReused.into());
                }
                Admission::Known(known) => return Ok(*known),
            }
        }
        Err(busy())
    }

    /// Adds `fresh` with the log's end as its version: not below any revocation of the user so far,
    /// and below every later one, even after the user has been removed from the base.
    fn admit(
        &self,
        held: &mut UserSessions,
        fresh: &Session,
        end: Position,
        now: u64,
    ) -> Admission {
        let is_known = |one: &&Session| one.request.name == fresh.request.name;
        if let Some(known) = held.sessions.iter().find(is_known) {
            return Admission::Known(Box::new(known.clone()));
        }
        let living = |one: &&Session| one.sub == fresh.sub && self.is_living(one, now);
        let living = held.sessions.iter().filter(living);
        let surplus = UserSessions::surplus(living, self.settings.sessions_per_user);
        if !surplus.is_empty() {
            return Admission::Full(surplus);
        }
        let session = Session { version: end.seq, ..fresh.clone() };
        held.sessions.push(session.clone());
        Admission::Admitted(Box::new(session))
    }

    /// Handles a used refresh token that was presented again. The log comes first: once the record
    /// is durable, the session has ended everywhere, including its access tokens. The client gets
    /// no response before.
    async fn stop_thief(&self, session: SessionId, now: u64) -> Result<(), PlaneError> {
        self.end_once(&[session], OWN_ACT, "a spent refresh token came back", now).await?;
        metrics::counter!("offswitch_refresh_tokens_reused_total").increment(1);
        tracing::warn!(%session, "a spent refresh token came back: the session is revoked");
        Ok(())
    }

    /// Ends `sessions` on behalf of `by`. Many callers may ask; the log gets one record.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn end_once(
        &self,
        sessions: &[SessionId],
        by: &str,
        reason: &str,
        now: u64,
    ) -> Result<Revoked, PlaneError> {
        let revocations = sessions.iter().map(|session| Self::revocation(*session, now)).collect();
        let names: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        let digest = *blake3::hash(names.join(" ").as_bytes()).as_bytes();
        let id = format!("{by}:end:{}", blake3::Hash::from_bytes(digest).to_hex());
        let (by, reason) = (by.to_owned(), Some(reason.to_owned()));
        let record = Record { at: now, by, reason, revocations };
        self.log.revoke(&Request { id, digest, memory: REQUEST_MEMORY }, &record).await
    }
}

/// The outcome of storing a new session.
enum Admission {
    Admitted(Box<Session>),
    /// These sessions must end first.
    Full(Vec<SessionId>),
    /// The session is stored already.
    Known(Box<Session>),
}

/// Counts a used token that was presented again, and logs it if it came late.
fn note_repetition(session: &Session, is_newly_late: bool) {
    let timing = if is_newly_late { "late" } else { "race" };
    metrics::counter!("offswitch_refresh_repetitions_total", "timing" => timing).increment(1);
    if is_newly_late {
        let (session, in_a_row) = (session.id, session.repeats.in_a_row);
        tracing::info!(%session, in_a_row, "a spent refresh token came back late");
    }
}

/// RFC 6749 section 6: a refresh may request less than was granted, never more.
fn is_within(scope: &str, granted: Option<&str>) -> bool {
    let granted: Vec<&str> = granted.unwrap_or_default().split(' ').collect();
    scope.split(' ').all(|name| granted.contains(&name))
}

/// How long a one-time code is valid.
const CODE_SECONDS: u64 = 60;
/// How often a login may make room for itself: others may log in meanwhile.
const MADE_ROOM: usize = 8;
