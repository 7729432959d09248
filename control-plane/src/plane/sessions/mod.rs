//! Sessions: open, refresh, list, end. All rules are in [`crate::session`]; the store compares and
//! swaps what the rules decide.
//!
//! The log says which sessions have ended. Each change is decided at the log's end and written only
//! if the log still ends there, as one step of the store. So what any process acknowledged before
//! holds, and no logout can slip in between. `endings` carries the log's endings over to the stored
//! sessions.

pub(in crate::plane) mod endings;
pub(in crate::plane) mod handover;
pub(in crate::plane) mod issue;
pub(in crate::plane) mod stored;

use std::sync::PoisonError;

use offswitch_core::limits::{LONGEST_ACCESS_TOKEN_SECONDS, REQUEST_MEMORY};
use offswitch_core::record::{OWN_ACT, Record, Revocation};
use offswitch_core::session::{
    Device, Grant, Holder, LostSessions, Opening, Outage, Repeats, Rotation, Session, SessionId,
    UserSessions,
};
use offswitch_snapshot::Position;
use zeroize::Zeroizing;

use self::stored::{Basis, busy};
use crate::credential::{Credential, CredentialKind};
use crate::master_key::random_bytes;
use crate::plane::{Issued, Plane, PlaneError, Revoked};
use crate::store::{Request, StoreError};

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
    Tokens(Issued),
}

/// The outcome of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// New tokens.
    Issued(Issued),
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

impl Plane {
    /// Opens a session, after ending sessions of the user if the cap requires it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionOver`] if the request is a repetition and the session has since ended
    /// or been handed over; [`StoreError::RequestReused`] if it only looks like one; see
    /// [`PlaneError`] for the rest.
    pub async fn open_session(
        &self,
        request: SessionRequest,
        now: u64,
    ) -> Result<Opened, PlaneError> {
        let fresh = self.new_session(request, now);
        let session = self.admitted(&fresh, now).await?;
        if !self.is_living(&session, now) {
            return Err(PlaneError::SessionOver);
        }
        let credential = Credential { session: session.id, number: session.spent() };
        match session.holder {
            Holder::Client { .. } => {
                let mut issued = self.issue(&session, None, now).await?;
                let token = credential.text(CredentialKind::RefreshToken, &self.master);
                issued.credential = Some(token);
                Ok(Opened::Tokens(issued))
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
        let outage = self.outage();
        let rotate = |sessions: &mut UserSessions, _| {
            let session = sessions.find(token.session).ok_or(RefreshRefusal::SessionLost)?;
            if self.is_over(session) {
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
        let mut issued = match self.issue(&session, scope, now).await {
            Err(PlaneError::SessionOver) => {
                return Ok(Refreshed::Refused(RefreshRefusal::SessionEnded));
            }
            issued => issued?,
        };
        let successor = Credential { session: session.id, number };
        issued.credential = Some(successor.text(CredentialKind::RefreshToken, &self.master));
        Ok(Refreshed::Issued(issued))
    }

    /// The active sessions of `sub`, newest first.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn sessions(&self, sub: &str, now: u64) -> Result<Vec<Session>, PlaneError> {
        self.catch_up().await?;
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
        self.catch_up().await?;
        let mut sessions = self.user_sessions(token.session.user()).await?;
        if sessions.find(token.session).is_none() {
            self.absent_session(token.session, now)?;
        }
        let Some(session) = self.living(&mut sessions, token.session, now) else {
            return Ok(None);
        };
        let before = session.clone();
        let lifetimes = &self.settings.lifetimes;
        let rotation = session.rotate(token.number, now, lifetimes, self.outage());
        let is_good = matches!(rotation, Rotation::Rotated { .. } | Rotation::Repeated { .. });
        Ok(is_good.then_some(before))
    }

    /// The log entry that ends a session; kept until its last access token has expired.
    pub fn session_revocation(session: SessionId, now: u64) -> Revocation {
        let exp = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
        Revocation::Session { issuer: None, sid: session.to_string(), exp }
    }

    /// Why a genuine credential names a session that is not in the store: the session has ended, or
    /// the store has lost it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionLost`] if the caller must answer that the session is unavailable.
    pub(in crate::plane) fn absent_session(
        &self,
        session: SessionId,
        now: u64,
    ) -> Result<RefreshRefusal, PlaneError> {
        // The user and version are unknown, but the log may say that the session itself was ended.
        let is_over = self.fold().is_session_over(&session.to_string(), "", u64::MAX);
        if is_over || !session.is_lost(self.lost_at(), now, &self.settings.lifetimes) {
            return Ok(RefreshRefusal::SessionEnded);
        }
        metrics::counter!("offswitch_lost_sessions_total").increment(1);
        tracing::warn!(%session, "the store has lost the session of a genuine credential");
        match self.settings.lost_sessions {
            LostSessions::Unavailable => Err(PlaneError::SessionLost),
            LostSessions::End => Ok(RefreshRefusal::SessionLost),
        }
    }

    fn outage(&self) -> Outage {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the log has ended the session.
    pub fn is_over(&self, session: &Session) -> bool {
        let Session { id, sub, version, .. } = session;
        self.fold().is_session_over(&id.to_string(), sub, *version)
    }

    /// True while access tokens may be issued for the session.
    pub(in crate::plane) fn is_living(&self, session: &Session, now: u64) -> bool {
        session.is_live(now, &self.settings.lifetimes) && !self.is_over(session)
    }

    pub(in crate::plane) fn living<'a>(
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
                    self.catch_up().await?;
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
        let revocations =
            sessions.iter().map(|session| Self::session_revocation(*session, now)).collect();
        let names: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        let digest = *blake3::hash(names.join(" ").as_bytes()).as_bytes();
        let id = format!("{by}:end:{}", blake3::Hash::from_bytes(digest).to_hex());
        let (by, reason) = (by.to_owned(), Some(reason.to_owned()));
        let record = Record { at: now, by, reason, revocations };
        self.revoke(&Request { id, digest, memory: REQUEST_MEMORY }, &record).await
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
