//! Logins: a session is stored once, however often its request comes.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::OWN_ACT;
use offswitch_core::session::{
    Device, Grant, Holder, OPENING_DOCUMENTS, Opening, Repeats, Session, SessionId, UserSessions,
};
use offswitch_snapshot::Position;
use zeroize::Zeroizing;

use super::stored::{Basis, busy};
use super::{Sessions, TokenPair};
use crate::credential::{Credential, CredentialKind};
use crate::master_key::random_bytes;
use crate::plane::PlaneError;
use crate::store::{Request, Store, StoreError};

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

impl Sessions {
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
}

/// The outcome of storing a new session.
enum Admission {
    Admitted(Box<Session>),
    /// These sessions must end first.
    Full(Vec<SessionId>),
    /// The session is stored already.
    Known(Box<Session>),
}

/// How long a one-time code is valid.
const CODE_SECONDS: u64 = 60;
/// How often a login may make room for itself: others may log in meanwhile.
const MADE_ROOM: usize = 8;
