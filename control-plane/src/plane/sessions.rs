//! Sessions: opened, refreshed, listed, ended. Every rule is in [`crate::session`]; the store
//! compares and swaps what the rules decide.
//!
//! The log says which sessions are over. Each change is decided at the log's end and written only
//! while it still ends there, as one step of the store: what any process acknowledged before holds,
//! and no logout slips in between. That the stored sessions follow the log is `endings`' work.

use std::sync::PoisonError;

use offswitch_core::limits::{LONGEST_ACCESS_TOKEN_SECONDS, REQUEST_MEMORY};
use offswitch_core::record::{OWN_ACT, Record, Revocation};
use offswitch_core::session::{
    Device, Grant, Holder, LostSessions, Opening, Outage, Repeats, Rotation, Session, SessionId,
    UserSessions,
};
use offswitch_snapshot::Position;
use zeroize::Zeroizing;

use super::stored::{Basis, busy};
use super::{Issued, Plane, PlaneError, Revoked};
use crate::credential::{Credential, CredentialKind};
use crate::master_key::random_bytes;
use crate::store::{Request, StoreError};

/// Who logs in, and what the tokens shall say.
#[derive(Debug, Clone, Default)]
pub struct SessionRequest {
    /// The user.
    pub sub: String,
    /// What the access tokens say; an empty audience is the configured one.
    pub grant: Grant,
    /// The device.
    pub device: Device,
    /// True if the client shall hold no token: the answer is a one-time code for the edge worker.
    pub handover: bool,
    /// What a repetition of the request has in common with it.
    pub opening: Opening,
}

/// A session, just opened.
#[derive(Debug)]
pub enum Opened {
    /// Its one-time code.
    Code {
        /// The session.
        session: SessionId,
        /// The code.
        code: Zeroizing<String>,
        /// When the code is worthless, unix seconds.
        expires_at: u64,
    },
    /// Its first tokens.
    Tokens(Issued),
}

/// The answer to a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// New tokens.
    Issued(Issued),
    /// None.
    Refused(RefreshRefusal),
}

/// Why a refresh is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// The session is over, expired or unknown.
    SessionEnded,
    /// The store has lost the session.
    SessionLost,
    /// The token was spent before: the session is revoked now.
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
    /// Opens a session, after ending those that it leaves no room for.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionOver`] if it is a repetition and the session has ended since, or was
    /// handed over;
    /// [`StoreError::RequestReused`] if it only looks like one; see [`PlaneError`] for the rest.
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
            // Whoever repeats the request must not get what the edge alone may have.
            Holder::Edge | Holder::Offered { .. } => Err(PlaneError::SessionOver),
        }
    }

    /// Trades a refresh token for an access token and its successor.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; whether the token is spent then may be unknown, and showing it again is
    /// the right thing to do.
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

    /// The living sessions of `sub`, newest first.
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

    /// The session that a genuine refresh token names, if the token would be good for a refresh
    /// now.
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

    /// What stands in the log for the end of a session, until its last access token has expired.
    pub fn session_revocation(session: SessionId, now: u64) -> Revocation {
        let exp = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
        Revocation::Session { issuer: None, sid: session.to_string(), exp }
    }

    /// Why a genuine credential names a session that the store does not know: it is over, or the
    /// store has lost it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionLost`] where that is to be answered as unavailable.
    pub(super) fn absent_session(
        &self,
        session: SessionId,
        now: u64,
    ) -> Result<RefreshRefusal, PlaneError> {
        // The user and the version are not known; that the session itself was ended, the log may say.
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

    /// True while the session may give out access tokens.
    pub(super) fn is_living(&self, session: &Session, now: u64) -> bool {
        session.is_live(now, &self.settings.lifetimes) && !self.is_over(session)
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

    /// Stores `fresh` or finds what an earlier execution of its request has stored, after making
    /// room.
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

    /// Adds `fresh`, whose version is where the log ends: not below any revocation of the user so
    /// far, and below every later one, also after the user left the base.
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

    /// A spent refresh token came back. The log comes first: once that is durable the session is
    /// over everywhere, access tokens included; nothing is answered before.
    async fn stop_thief(&self, session: SessionId, now: u64) -> Result<(), PlaneError> {
        self.end_once(&[session], OWN_ACT, "a spent refresh token came back", now).await?;
        metrics::counter!("offswitch_refresh_tokens_reused_total").increment(1);
        tracing::warn!(%session, "a spent refresh token came back: the session is revoked");
        Ok(())
    }

    /// Ends `sessions` because `by` asked for it: however many ask, the log gets one record of it.
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

/// What became of a session that was to be stored.
enum Admission {
    Admitted(Box<Session>),
    /// These must go first.
    Full(Vec<SessionId>),
    /// It is there already.
    Known(Box<Session>),
}

/// Counts a spent token that was shown again, and says so where it came late.
fn note_repetition(session: &Session, is_newly_late: bool) {
    let timing = if is_newly_late { "late" } else { "race" };
    metrics::counter!("offswitch_refresh_repetitions_total", "timing" => timing).increment(1);
    if is_newly_late {
        let (session, in_a_row) = (session.id, session.repeats.in_a_row);
        tracing::info!(%session, in_a_row, "a spent refresh token came back late");
    }
}

/// RFC 6749 section 6: a refresh may ask for less than was granted, never for more.
fn is_within(scope: &str, granted: Option<&str>) -> bool {
    let granted: Vec<&str> = granted.unwrap_or_default().split(' ').collect();
    scope.split(' ').all(|name| granted.contains(&name))
}

/// How long a one-time code is good.
const CODE_SECONDS: u64 = 60;
/// How often a login that finds no room may make some: others may log in meanwhile.
const MADE_ROOM: usize = 8;
